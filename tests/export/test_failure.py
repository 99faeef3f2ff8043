"""A certificate that fails says what to look at, and an operator that jumps is named before all else."""

import contextlib

import pytest

from mde_export.failure import verdict
from mde_export.graph.jumps import first_jump
from mde_export.precision.islands import kept_by_rule
from mde_export.precision.lower import Half, lowered_to_int8

BINS = """
    [pick] i = ArgMax <axis = 1, keepdims = 1> (b) [bin] f = Cast <to = 1> (i) [spread] c = Concat <axis = 1> (f, f, f)
"""


@contextlib.contextmanager
def silent(_name, _total=None):
    yield lambda: None


def said(trial, model, evidence):
    return str(verdict(trial, model, evidence, None))


def test_bins_picked_by_arg_max_cannot_be_int8_and_the_message_names_the_node_and_the_way_out(world):
    model, evidence = world(BINS)
    trial = lowered_to_int8(model, evidence, silent)
    assert trial.breaches
    assert "ArgMax pick jumps" in said(trial, model, evidence)
    assert "the mean of the bins weighted by their softmax" in said(trial, model, evidence)
    assert "export with --fp16 instead" in said(trial, model, evidence)


def test_bins_that_are_averaged_can_be_int8(world):
    trial = lowered_to_int8(*world("[soft] c = Softmax <axis = 1> (b)"), silent)
    assert trial.breaches == ()
    assert not any(island.reason.startswith("measured") for island in trial.kept_fp32)


def test_a_failure_without_a_jump_names_none(world):
    model, evidence = world("[up] large = Mul (b, k) [peak] huge = Mul (large, k) [down] c = Div (huge, k)", k=500.0)
    trial = Half(model)(kept_by_rule(model), evidence)
    assert trial.breaches
    assert "jumps" not in said(trial, model, evidence)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("[level] c = Round (b)", "Round level"),
        ("[is_near] t = Less (b, k) [count] c = Cast <to = 1> (t)", "Cast count"),
        ("[is_near] t = Less (b, k) [choose] c = Where (t, k, b)", ""),  # as a clip: both sides agree at the border
        ("c = Relu (b)", ""),
    ],
)
def test_what_makes_steps_of_the_networks_values_jumps_and_what_chooses_among_them_need_not(world, body, named):
    model, _ = world(body, k=0.5)
    assert first_jump(model) == named
