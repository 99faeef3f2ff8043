"""The modes of `mde-bench run --mode`: what single calls back to back do not tell, one file each.

A mode's file has `measure(worker, settings)`, which gives its figures, `in_words(figures)` for the terminal, and
`HEADINGS` with `rows(figures)` for the report. Each candidate is measured alone, one after the other: modes are not for
telling candidates apart by a per cent, which is what the interleaved single stream is for.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """A row of the table. help: one line for `--help`."""

    module: str  # loaded when the mode is measured or shown, so that --help stays light
    help: str


MODES = {
    "offline": Mode("mde_bench.timing.modes.offline", "batches back to back"),
    "paced": Mode("mde_bench.timing.modes.paced", "frames arriving at a steady rate"),
    "sustained": Mode("mde_bench.timing.modes.sustained", "minutes under load"),
}


@dataclass(frozen=True, kw_only=True)
class ModeSettings:
    """The modes to measure beside the single stream, and what they need to know."""

    names: tuple[str, ...] = ()
    fps: float = 30.0
    minutes: float = 15.0


NO_MODES = ModeSettings()
