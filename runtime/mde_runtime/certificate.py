"""The certificate of a graph: how far it is from the model it came from, on which frames, judged how."""

import math
from dataclasses import astuple, dataclass, replace
from typing import Any

from mde_runtime import records
from mde_runtime.contract import FromNetwork
from mde_runtime.errors import BadInputError
from mde_runtime.parity import AIM, Limits, Parity
from mde_runtime.precision import Precision

SCHEMA = 2


@dataclass(frozen=True)
class Island:
    """A block of nodes that stays FP32 in a lower precision, and why."""

    nodes: tuple[str, ...]  # ONNX node names
    reason: str
    rmse_worst_without_m: float | None  # the worst frame's RMSE if this block were lowered too; None: not measured


NEVER_NEGATIVE = ("reference_std_m", "rmse_m", "rmse_worst_m", "p999_m", "max_abs_m", "abs_rel", "num_nonfinite")
ROUNDING = 1e-9  # relative: sums in another order, and the same formula on another machine


@dataclass(frozen=True)
class Certificate:
    """One graph's certificate, `certificates/<precision>.json` in a bundle. Only a passed one is ever written."""

    schema: int
    precision: Precision
    graph_sha256: str
    reference: str  # what the graph was compared with, in words
    executor: str  # what ran the graph, in words, with its version
    frames_source: str  # where the frames came from, in words, without a path
    frames_sha256: str  # of the frames' bytes, in order
    limits: Limits
    parity: Parity
    unsigned: Parity | None  # INT8: of the form with unsigned activations, which CPUs run; None: of another precision
    half_accumulation: Parity | None  # FP16: with sums in half, stated; None: of another precision, or not measured
    kept_fp32: tuple[Island, ...]
    derived_from: Parity | None  # the original's figures, where the reference was a bundle's FP32 graph
    truth_rmse_m: tuple[float, float] | None  # RMSE to ground truth of the reference and of this graph, where known

    @property
    def breaches(self) -> list[str]:
        """The limits that do not hold, of any form that is judged: a certificate with one is not to be believed."""
        return self._beyond(self.limits)

    @property
    def beyond_aim(self) -> list[str]:
        """The figures beyond 80 % of a limit: they pass, but another machine may exceed the limit."""
        return self._beyond(self.limits.at_share(AIM))

    def _beyond(self, limits: Limits) -> list[str]:
        forms = [self.parity, *filter(None, (self.unsigned,))]
        return [line for form in forms for line in form.breaches(limits)]

    def has_limits_of(self, from_network: FromNetwork) -> bool:
        """Whether its limits are those of its precision over a depth range. Schema 1 had none for R²."""
        limits = Limits.of(self.precision, from_network)
        pairs = zip(astuple(self.limits), astuple(limits if self.schema > 1 else replace(limits, r2=None)), strict=True)
        return all(
            found is expected if found is None or expected is None else math.isclose(found, expected, rel_tol=ROUNDING)
            for found, expected in pairs
        )


def read_certificate(text: bytes, where: str) -> Certificate:
    """A certificate of this schema or of the first. Raises BadInputError that begins with `where`."""
    content = records.parse(text, where)
    if isinstance(content, dict) and "schema" not in content:
        content = _from_first_schema(content)
    certificate = records.from_json(Certificate, content, where)
    if certificate.schema not in (1, SCHEMA):
        raise BadInputError(
            f"{where}: certificate schema {certificate.schema}, this version reads 1 and {SCHEMA}; update mde-toolchain"
        )
    for name in ("parity", "derived_from", "unsigned", "half_accumulation"):
        parity: Parity | None = getattr(certificate, name)
        if parity is not None and (what := impossible(parity)):
            raise BadInputError(f"{where}: {name}: {what}, which is impossible; do not trust this file")
    islands = (island.rmse_worst_without_m for island in certificate.kept_fp32)
    if any(rmse_m is not None and rmse_m < 0 for rmse_m in (*islands, *(certificate.truth_rmse_m or ()))):
        raise BadInputError(f"{where}: it has a negative RMSE; do not trust this file")
    return certificate


def impossible(parity: Parity) -> str:
    """The first figure that no measurement can give, or that contradicts another one; empty where there is none."""
    most_rmse_m, most_bias_m = parity.rmse_worst_m * (1 + ROUNDING), parity.rmse_m * (1 + ROUNDING)
    ranges = (
        ("num_frames", 1, math.inf),
        *((name, 0, math.inf) for name in NEVER_NEGATIVE),
        ("worst_frame", 0, parity.num_frames - 1),
        ("p999_m", 0, parity.max_abs_m),
        ("rmse_m", 0, most_rmse_m),  # the worst frame's is at least that of all
        ("bias_m", -most_bias_m, most_bias_m),  # a mean is within the root mean square
        ("ssim_worst", -1 - ROUNDING, 1 + ROUNDING),
        ("r2", -math.inf, 1),
        ("delta1", 0, 1),
    )
    for name, low, high in ranges:
        value = getattr(parity, name)
        if value is not None and not low <= value <= high:
            return f"{name} is {value}"
    return ""


def _from_first_schema(content: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 had no version, neither R² nor AbsRel and one form a graph: they are null, and R² has no limit."""
    unknown = {"limits": ("r2",), "parity": ("r2", "abs_rel"), "derived_from": ("r2", "abs_rel")}
    found = {name: part for name in unknown if isinstance(part := content.get(name), dict)}
    completed = {name: {**part, **dict.fromkeys(unknown[name])} for name, part in found.items()}
    return {**content, **completed, "unsigned": None, "half_accumulation": None, "schema": 1}
