"""A search stops at 80 % of each limit, as another machine rounds otherwise; what passes with less to spare says so."""

import contextlib
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from mde_export.judge.certify import Trial, certificate_of
from mde_export.precision.islands import kept_by_rule, names_in
from mde_export.precision.lower import Half, lowered_to_fp16
from mde_export.precision.repair import repaired
from mde_runtime.parity import AIM, Limits, measure


@contextlib.contextmanager
def silent(_name, _total=None):
    yield lambda: None


def test_a_share_of_the_limits_is_that_share_of_the_way_from_perfect_to_each(contract):
    limits = Limits.of("fp16", contract().from_network)
    shared = limits.at_share(0.8)
    assert (shared.rmse_worst_m, shared.p999_m, shared.bias_m) == pytest.approx((0.008, 0.04, 0.002))
    assert (shared.ssim_worst, shared.r2) == pytest.approx((0.9992, 0.9992))
    assert limits.at_share(1.0) == limits


def test_a_limit_that_is_not_judged_stays_so(contract):
    shared = Limits.of("int8", contract().from_network).at_share(0.8)
    assert (shared.p999_m, shared.bias_m, shared.ssim_worst) == (None, None, None)
    assert (shared.rmse_worst_m, shared.r2) == pytest.approx((0.32, 0.96))


ROUNDED = "[far] f = Add (b, k) [near] n = Sub (f, k) [lost] d = Sub (n, b) [some] e = Mul (d, s) [sum] c = Add (b, e)"


@pytest.mark.parametrize(("wanted_share", "is_searched"), [(0.85, True), (0.6, False)])
def test_what_passes_with_less_than_a_fifth_to_spare_is_searched_and_no_other(world, wanted_share, is_searched):
    def without_search(share):
        model, evidence = world(ROUNDED, k=100.0, s=share)
        return model, evidence, Half(model)(kept_by_rule(model), evidence)

    *_, whole = without_search(1.0)
    *_, none = without_search(0.0)
    lost_m, rest_m = whole.parity.rmse_worst_m, none.parity.rmse_worst_m
    limit_m = 0.01  # over 20 m
    model, evidence, before = without_search(((wanted_share * limit_m) ** 2 - rest_m**2) ** 0.5 / lost_m)
    assert before.breaches == ()
    assert bool(before.beyond_aim) == is_searched  # errors add up as squares, so nearly as expected
    trial = lowered_to_fp16(model, evidence, silent)
    assert trial.parity.rmse_worst_m <= AIM * limit_m
    assert any(island.reason.startswith("measured") for island in trial.kept_fp32) == is_searched


@dataclass(frozen=True)
class Fixed:
    """A lowering whose error is given: with one node in FP32 or more, and with none."""

    model: object
    trial: Trial
    with_none_m: float
    with_some_m: float

    def graph(self, _islands) -> bytes:
        return self.trial.graph

    def local_errors(self, _islands, blocks, _frames) -> dict:
        return dict.fromkeys(blocks, 1.0)

    def __call__(self, islands, evidence, _advance=lambda: None) -> Trial:
        is_kept = names_in(islands) > names_in(kept_by_rule(self.model))
        parity = replace(self.trial.parity, rmse_worst_m=self.with_some_m if is_kept else self.with_none_m)
        limits = Limits.of("fp16", evidence.contract.from_network)
        return replace(
            self.trial,
            parity=parity,
            kept_fp32=islands,
            breaches=tuple(parity.breaches(limits)),
            beyond_aim=tuple(parity.breaches(limits.at_share(AIM))),
        )


@pytest.fixture
def fixed(world):
    """Search with a given error without and with a node in FP32; gives the trial that comes of it."""
    model, evidence = world("c = Relu (b)")
    trial = Half(model)(kept_by_rule(model), evidence)

    def search(with_none_m: float, with_some_m: float) -> Trial:
        lowering = Fixed(model, trial, with_none_m, with_some_m)
        failed = lowering(kept_by_rule(model), evidence)
        return repaired(lowering, model, failed, evidence)

    search.certificate = lambda trial: certificate_of(trial, evidence, None)
    return search


def test_where_no_search_reaches_80_percent_the_limit_is_enough_and_the_certificate_says_so(fixed):
    trial = fixed(0.02, 0.009)
    assert (trial.breaches, len(trial.kept_fp32)) == ((), 4)  # the three rules, and what was searched
    (line,) = fixed.certificate(trial).beyond_aim
    assert line.startswith("RMSE of the worst frame is 0.0090 m, over 0.0080 m")


def test_where_it_reaches_80_percent_nothing_is_said(fixed):
    assert fixed.certificate(fixed(0.02, 0.007)).beyond_aim == []


def test_what_passes_and_cannot_be_bettered_stays_as_it_was(fixed):
    trial = fixed(0.0095, 0.009)
    assert (trial.breaches, trial.parity.rmse_worst_m, len(trial.kept_fp32)) == ((), 0.0095, 3)


def test_where_even_the_limit_is_out_of_reach_it_fails(fixed):
    assert fixed(0.03, 0.02).breaches


@dataclass(frozen=True)
class ByFrame(Fixed):
    """A lowering that is wrong on frame 5 alone unless `second` is FP32, and on all others unless `middle` is."""

    def __call__(self, islands, evidence, _advance=lambda: None) -> Trial:
        kept = names_in(islands)
        is_fifth = np.array([np.array_equal(frame, self.fifth) for frame in evidence.pictures.frames])
        off_m = np.where(is_fifth, 0.0 if "second" in kept else 0.05, 0.0 if "middle" in kept else 0.02)
        depth_m = (evidence.depth_m + off_m[:, None, None]).astype(np.float32)
        parity = measure(depth_m, evidence.depth_m, 0, evidence.contract)
        limits = Limits.of("fp16", evidence.contract.from_network)
        return replace(
            self.trial,
            depth_m=depth_m,
            parity=parity,
            kept_fp32=islands,
            breaches=tuple(parity.breaches(limits)),
            beyond_aim=tuple(parity.breaches(limits.at_share(AIM))),
        )

    fifth: np.ndarray = field(default_factory=lambda: np.zeros(0))


def test_frames_that_turn_out_worst_only_when_all_are_run_join_the_search(world):
    model, evidence = world("[middle] d = Conv (b, w4) [calm] e = Conv (d, w4) [last] c = Relu (e)")
    trial = Half(model)(kept_by_rule(model), evidence)
    lowering = ByFrame(model, trial, 0.0, 0.0, fifth=evidence.pictures.frames[5])
    some = lowering(kept_by_rule(model), evidence.spaced(8))  # not the fifth
    found = repaired(lowering, model, some, evidence)
    assert found.breaches == ()
    assert names_in(found.kept_fp32) - names_in(kept_by_rule(model)) == {"second", "middle"}
