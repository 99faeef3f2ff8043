"""A result as a table in the terminal, and the lines around it."""

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mde_bench.result import verdict
from mde_bench.result.result import Result, Row
from mde_bench.timing.device_times import DeviceTimes
from mde_bench.timing.effort import EFFORTS

DASH = "–"
SPEED = ("p50 ms", "p90", "p99", "mean", "min", "backend p50", "host p50", "× ref.")
ELSEWHERE = ("mean", "min")  # in the report and the JSON; 80 columns have no room for them
PARITY = ("RMSE to ref. mm", "max mm", "SSIM", "δ1")


def terminal_table(result: Result) -> Group:
    """One row a candidate: how fast, and below that how faithful and how right, so that each fits 80 columns."""
    names, rows = headings(result)[1:], {row.name: cells(row) for row in result.rows}
    how_fast = [SPEED.index(name) for name in SPEED if name not in ELSEWHERE]
    how_right = range(len(SPEED), len(names))
    drawn = [
        _drawn([names[at] for at in part], {name: [row[at] for at in part] for name, row in rows.items()})
        for part in (how_fast, how_right)
    ]
    lines = (*on_gpu_of(result), *modes_of(result), *conditions_of(result), *problems_of(result))
    return Group(*drawn, *(Text(line) for line in lines))


def _drawn(names: list[str], rows: dict[str, list[str]]) -> Table:
    """Figures stay on one line; a heading has its words below each other, and a candidate's name where need be."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    drawn.add_column("candidate", justify="left")
    for name in names:
        drawn.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    for candidate, cells_of_row in rows.items():
        drawn.add_row(candidate, *cells_of_row)
    return drawn


def headings(result: Result) -> list[str]:
    """The columns' names; accuracy's carry the protocol's."""
    protocol = next((row.accuracy.protocol for row in result.rows if row.accuracy), "")
    return ["candidate", *SPEED, *PARITY, f"RMSE m ({protocol})", f"SSIM ({protocol})"]


def cells(row: Row) -> list[str]:
    """A row's figures as text, after its name."""
    return [*_speed_cells(row), *_parity_cells(row), *_accuracy_cells(row)]


def modes_of(result: Result) -> list[str]:
    """What the modes beside the single stream found."""
    return [f"{row.name}, {line}" for row in result.rows if row.modes for line in row.modes.in_words()]


def on_gpu_of(result: Result) -> list[str]:
    """What candidates do on their GPU, by its own clock, and trtexec's word beside it."""
    lines = []
    for row in result.rows:
        if row.speed and (found := row.speed.device):
            memory = "" if found.memory_bytes is None else f"{found.memory_bytes / 2**20:.0f} MiB of its memory"
            energy = "" if found.energy_j is None else f"{found.energy_j:.3g} J a frame of the whole card"
            times = _spans(found.times) if found.times else f"times not told: {found.times_absent_because}"
            lines.append(f"{row.name}, on the GPU: {'; '.join(filter(None, (times, memory, energy)))}")
            beside = found.trtexec.in_words if found.trtexec else found.trtexec_absent_because
            lines.append(f"{row.name}: {beside}")
    return lines


def _spans(times: DeviceTimes) -> str:
    spans = {"upload": times.upload_s, "compute": times.compute_s, "download": times.download_s}
    return ", ".join(f"{name} {span * 1e3:.4g}" for name, span in spans.items() if span is not None) + " ms"


def peaks_of(result: Result) -> list[str]:
    """What the processors can do that the figures are held against."""
    return list(dict.fromkeys(row.physics.peaks.in_words for row in result.rows if row.physics))


def conditions_of(result: Result) -> list[str]:
    """What the figures were measured on, and what could not be."""
    judged, under = result.judged, result.conditions
    load = under.before.load_average
    lines = [
        f"{judged.num_frames} of {judged.num_frames_in_split} frames of {judged.split!r}; "
        f"parity against {judged.reference}",
        f"{under.machine.cpu}, {under.threads}, load {DASH if load is None else f'{load:.1f}'}; "
        "times end to end unless they say otherwise",
        f"effort {result.effort}: {EFFORTS[result.effort].help}",
    ]
    lines += [f"not on this machine: {', '.join(names)}: {why}" for why, names in by_reason(result.absent).items()]
    lines += [
        f"not held against its peak: {', '.join(names)}: {why}" for why, names in by_reason(unchecked(result)).items()
    ]
    return lines


def unchecked(result: Result) -> dict[str, str]:
    """The candidates whose figures nothing was held against, so that an impossible one would stand, and why."""
    return {row.name: row.physics_absent_because for row in result.rows if row.physics_absent_because}


def problems_of(result: Result) -> list[str]:
    """What did not go as it should."""
    return [
        *(f"NOT WORTH IT: {line}" for line in verdict.useless_int8(result)),
        *(f"NOT USED: {line}" for line in verdict.exceptions(result)),
        *(f"NO: {line}" for line in verdict.problems(result)),
    ]


def by_reason(absent: dict[str, str]) -> dict[str, list[str]]:
    """What cannot run on this machine: each reason with all that it keeps away."""
    found: dict[str, list[str]] = {}
    for name, reason in absent.items():
        found.setdefault(reason, []).append(name)
    return found


def _speed_cells(row: Row) -> list[str]:
    if row.speed is None:
        return ["failed" if row.failure else DASH, *[DASH] * (len(SPEED) - 1)]
    speed, times = row.speed, row.speed.end_to_end
    seconds = (times.p50_s, times.p90_s, times.p99_s, times.mean_s, times.min_s, speed.backend.p50_s)
    share = f"{speed.ratio.value:.2f}" if speed.ratio else DASH
    return [*(f"{value * 1e3:.4g}" for value in seconds), f"{speed.host.p50_s * 1e3:.3g}", share]


def _parity_cells(row: Row) -> list[str]:
    if row.parity is None:
        return [DASH] * len(PARITY)
    parity = row.parity
    millimetres = f"{parity.rmse_m * 1e3:.3f}", f"{parity.max_abs_m * 1e3:.2f}"
    return [*millimetres, f"{parity.ssim_worst:.6f}", f"{parity.delta1:.5f}"]


def _accuracy_cells(row: Row) -> list[str]:
    values = row.accuracy.values if row.accuracy else {}
    return [f"{values[name]:.4f}" if name in values else DASH for name in ("rmse_m", "ssim")]
