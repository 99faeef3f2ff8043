"""`make demo`: the whole chain on this machine, by the very commands that a user types.

Scenes are rendered, a small network is trained on them, exported, run and judged. What is done is left alone when the
demo runs again, so an interrupted one goes on; delete demo/ to see all of it anew.
"""

import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mde_runtime.errors import INTERRUPTED, MachineError, MeasurementError, VerdictError

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path("demo")  # from ROOT, as in the commands that are shown
SCENES, RUN, BUNDLE = DEMO / "scenes", DEMO / "run", DEMO / "fast.mde"
CHECKPOINT, REPORT = RUN / "best.ckpt", DEMO / "report.html"
STATS, ACCURACY, BENCH = DEMO / "stats.json", DEMO / "accuracy.json", DEMO / "bench.json"

NUM_SCENES = 1000  # every fifth is held out; more would train no better in the recipe's minutes


@dataclass(frozen=True)
class Step:
    """A command of the chain."""

    title: str
    command: tuple[object, ...]
    stdout: Path | None = None  # the file that its results go to, where it has no option for that
    resumed: tuple[object, ...] | None = None  # the command that goes on, where it was interrupted

    @property
    def mark(self) -> Path:
        """The file that says that it was done, by which command."""
        return ROOT / DEMO / "done" / self.title.replace(" ", "-")

    @property
    def text(self) -> str:
        """What its mark holds."""
        return " ".join(map(str, self.command))

    @property
    def is_done(self) -> bool:
        """Whether this very command was done before."""
        return self.mark.exists() and self.mark.read_text() == self.text


def steps(engine: str) -> tuple[Step, ...]:
    """The chain. engine: what `mde-export --engine` is asked for."""
    train = ("mde-train", "--data", SCENES, "--out", RUN)
    resumed = (*train, "--resume") if (ROOT / RUN / "last.ckpt").exists() else None
    return (
        Step("synthesise", ("mde-data", "synth", SCENES, "--frames", NUM_SCENES, "--seed", 1)),
        Step("what can be guessed", ("mde-data", "stats", SCENES, "--json"), stdout=STATS),
        Step("train", (*train, "--recipe", "fast-demo"), resumed=resumed),
        Step(
            "export", ("mde-export", CHECKPOINT, "--fp16", "--engine", engine, "--emit", DEMO / "plain", "-o", BUNDLE)
        ),
        Step(
            "predict",
            ("mde-predict", BUNDLE, SCENES / "rgb/val", "-o", DEMO / "depth", "--format", "npy", "--format", "colour"),
            stdout=DEMO / "depth.txt",
        ),
        Step("judge the depth", ("mde-bench", "accuracy", BUNDLE, "--data", SCENES, "--json", ACCURACY)),
        Step(
            "bench",
            (
                *("mde-bench", "run", BUNDLE, "--data", SCENES, "--checkpoint", CHECKPOINT),
                *("--report", REPORT, "--json", BENCH),
            ),
        ),
    )


def main() -> int:
    """Run the chain; give the exit code of the step that ended it."""
    started = time.perf_counter()
    say("The demo downloads nothing more, writes about 300 MB into demo/ and takes 4 to 6 minutes on 2 cores.")
    engine = "tensorrt-rtx" if importlib.util.find_spec("tensorrt_rtx") else "none"
    if engine == "none":
        say(f"TensorRT-RTX is not installed here ({platform.system()}): no engine is built, all else runs.")
    todo = list(steps(engine))
    while todo and todo[0].is_done:
        say(f"{todo.pop(0).title}: done before")
    for step in todo:
        code = do(step)
        if code == MachineError.exit_code and engine in step.command:
            say(f"TensorRT-RTX builds no engine on this {platform.machine()}: exporting without one.")
            plain = next(other.command for other in steps("none") if other.title == step.title)
            code = do(replace(step, resumed=plain))
        if code == MeasurementError.exit_code:
            say("This machine is too busy for figures of speed that hold; those in the report are not valid. Going on.")
        elif code == VerdictError.exit_code and step.title == "bench":
            say("Not every candidate gives the PyTorch model's depth on this machine; the report says which. Going on.")
        elif code:
            say(f"{step.title}: exit code {code}; the same make goes on from here")
            return code
    for line in (*telling_figures(), f"report          {REPORT}", f"depth           {DEMO / 'depth'}"):
        say(line)
    say(f"whole demo      {time.perf_counter() - started:.0f} s")
    return 0


def do(step: Step) -> int:
    """Do a step and mark it as done; give its exit code."""
    command = [str(word) for word in step.resumed or step.command]
    say(f"\n{step.title}\n$ {' '.join(command)}{f' > {step.stdout}' if step.stdout else ''}")
    started = time.perf_counter()
    code = run(command, step.stdout)
    say(f"{step.title}: {time.perf_counter() - started:.1f} s")
    if code == 0:
        step.mark.parent.mkdir(parents=True, exist_ok=True)
        step.mark.write_text(step.text)
    return code


def run(command: list[str], stdout: Path | None) -> int:
    """Run a command as from a shell; give its exit code. Ctrl-C is the command's to handle: it saves first."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE if stdout else None, text=True
    )
    while True:
        try:
            output, _ = process.communicate()
            break
        except KeyboardInterrupt:
            continue
    if stdout and process.returncode == 0:
        (ROOT / stdout).write_text(output)
    return INTERRUPTED if process.returncode < 0 else process.returncode


def telling_figures() -> list[str]:
    """How right, how faithful and how fast, one line each, from the files that the commands wrote."""
    stats, accuracy, bench = (json.loads((ROOT / path).read_text()) for path in (STATS, ACCURACY, BENCH))
    return ["", how_right(stats, accuracy), how_faithful(bench), how_fast(bench)]


def how_right(stats: Any, accuracy: Any) -> str:  # Any, here and below: JSON
    """The error on held-out scenes beside that of the mean image."""
    guess_m = next(row["rmse_m"] for row in stats["baselines"] if row["guess"] == "mean image")
    rmse_m = accuracy["figures"]["values"]["rmse_m"]
    return (
        f"how right       RMSE {rmse_m:.2f} m on {accuracy['num_frames']} held-out scenes, "
        f"{rmse_m / guess_m:.2f} times the mean image's {guess_m:.2f} m"
    )


def how_faithful(bench: Any) -> str:
    """The worst frame of the FP16 graph against PyTorch, by the certificate."""
    certificate = bench["judged"]["certificates"]["fp16"]
    worst_m, limit_m = certificate["parity"]["rmse_worst_m"], certificate["limits"]["rmse_worst_m"]
    return (
        f"how faithful    FP16 is within {1000 * worst_m:.2f} mm RMSE of PyTorch on the worst of "
        f"{certificate['parity']['num_frames']} frames (limit {1000 * limit_m:.0f} mm)"
    )


def how_fast(bench: Any) -> str:
    """The fastest candidate beside PyTorch."""
    rows = [row for row in bench["rows"] if row["speed"] and not row["failure"] and not row["parity_breaches"]]
    reference, fastest = rows[0], min(rows, key=p50_s)
    doubt = "; NOT VALID, the machine was busy" if bench["invalid_because"] else ""
    return (
        f"how fast        {1000 * p50_s(fastest):.1f} ms per frame (p50) by {fastest['name']}, "
        f"{p50_s(reference) / p50_s(fastest):.1f} times as fast as {reference['name']}{doubt}"
    )


def p50_s(row: Any) -> float:
    """The median latency of a row of the bench, end to end, in seconds."""
    return float(row["speed"]["end_to_end"]["p50_s"])


def say(text: str) -> None:
    """Talk to the person at the terminal."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
