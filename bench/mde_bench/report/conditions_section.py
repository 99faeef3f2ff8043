"""Two sections of the report: the conditions of the measurement, and where the bundle came from."""

from html import escape

from mde_bench.machine.nvml import GpuMoment
from mde_bench.report.html import facts_list, table, thousandths
from mde_bench.report.table import DASH, by_reason, unchecked
from mde_bench.result.result import Result
from mde_bench.timing.effort import EFFORTS


def conditions(result: Result) -> str:
    """The machine, its settings, its libraries and its load."""
    under, judged = result.conditions, result.judged
    before, after = under.before, under.after
    facts = {
        "Frames": f"{judged.num_frames} of {judged.num_frames_in_split} of the split {judged.split!r}, evenly spaced "
        f"(data {judged.data_sha256[:12]})",
        "Effort": f"{result.effort}: {EFFORTS[result.effort].help}",
        "Processor": f"{under.machine.cpu}, {under.machine.num_cores} cores, {under.threads}",
        "Instruction set": " ".join(under.machine.instruction_set),
        "System": f"{under.machine.system}, Python {under.python}",
        "Libraries": ", ".join(f"{name} {version}" for name, version in under.libraries.items()),
        "Load average": _before_and_after(before.load_average, after.load_average, ".2f"),
        "Clock, GHz": _before_and_after(_giga(before.clock_hz), _giga(after.clock_hz), ".2f"),
        "Temperature, °C": _before_and_after(before.temperature_c, after.temperature_c, ".0f"),
        **(_gpu(before.gpu, after.gpu) if before.gpu and after.gpu else {}),
        "Governor": under.governor or "unknown",
        "Power mode": under.power_mode or "unknown",
        "Windows": f"{result.num_windows_discarded} discarded because the figures had not settled",
        **{row.name: row.executor for row in result.rows if row.executor},
        **{f"Not available: {', '.join(names)}": reason for reason, names in by_reason(result.absent).items()},
        **{
            f"Not compared with its peak: {', '.join(names)}": why
            for why, names in by_reason(unchecked(result)).items()
        },
    }
    return facts_list(facts)


def provenance(result: Result) -> str:
    """The bundle, and the certificates of its graphs."""
    judged = result.judged
    made = judged.provenance
    facts = {
        "Bundle": f"{judged.bundle}, SHA-256 {judged.bundle_sha256}",
        "Network": f"{made.model}, from {made.origin} {made.source_sha256[:12]}",
        "Trained on": f"data {made.data_sha256[:12]}" if made.data_sha256 else "unknown",
        "Made with": ", ".join(f"{name} {version}" for name, version in made.tools.items()) or "unknown",
    }
    headings = ("precision", "RMSE mm", "worst frame mm", "SSIM, worst frame", "R²", "frames", "kept FP32", "run by")
    rows = [
        (
            precision,
            thousandths(certificate.parity.rmse_m),
            thousandths(certificate.parity.rmse_worst_m),
            f"{certificate.parity.ssim_worst:.6f}",
            DASH if certificate.parity.r2 is None else f"{certificate.parity.r2:.6f}",
            str(certificate.parity.num_frames),
            f"{sum(len(island.nodes) for island in certificate.kept_fp32)} nodes",
            escape(certificate.executor),
        )
        for precision, certificate in judged.certificates.items()
    ]
    return facts_list(facts) + table("certificates", headings, rows)


def _gpu(before: GpuMoment, after: GpuMoment) -> dict[str, str]:
    return {
        "GPU clock, GHz": _before_and_after(_giga(before.clock_hz), _giga(after.clock_hz), ".2f"),
        "GPU temperature, °C": _before_and_after(before.temperature_c, after.temperature_c, ".0f"),
        "GPU at its power cap": "unknown"
        if after.is_power_capped is None
        else "yes"
        if after.is_power_capped
        else "no",
    }


def _before_and_after(before: float | None, after: float | None, form: str) -> str:
    return "unknown" if before is None or after is None else f"{before:{form}} before, {after:{form}} after"


def _giga(value: float | None) -> float | None:
    return None if value is None else value / 1e9
