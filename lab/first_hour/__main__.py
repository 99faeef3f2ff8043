"""Play the first hour from a fresh environment and print its table: `make first-hour`."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from lab.first_hour import steps
from lab.first_hour.cameras import CAMERAS
from lab.first_hour.play import Play, as_markdown
from mde_runtime.command import PATH, Command, Real, say

PARTS = ("environment", "photographs", *(f"camera-{name}" for name in CAMERAS), "network", "public", "notebook")


@click.command(cls=Command)
@click.option("--out", type=PATH, default="out/first-hour", show_default=True, help="The folder to play in.")
@click.option("--minutes", type=Real(0, min_open=True), default=4.0, show_default=True, help="Of each training.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="A part. May be repeated.")
def main(out: Path, minutes: float, only: tuple[str, ...]) -> int:
    """Play what newcomers do first; exit code 1 where a step fails. Rows are kept in OUT/rows.jsonl as they come."""
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    play = Play(out, out / "env" / "bin")
    parts: dict[str, Callable[[], None]] = {
        "environment": partial(steps.environment, play),
        "photographs": partial(steps.photographs, play),
        **{f"camera-{name}": partial(steps.own_camera, play, name, minutes) for name in CAMERAS},
        "network": partial(steps.own_network, play),
        "public": partial(steps.public_network, play),
        "notebook": partial(steps.notebook, play),
    }
    failures = num_kept = 0
    for name in only or PARTS:
        try:
            parts[name]()
        except RuntimeError as error:
            failures += 1
            say(str(error))
        with (out / "rows.jsonl").open("a") as file:
            file.writelines(f"{json.dumps(asdict(row))}\n" for row in play.rows[num_kept:])
        num_kept = len(play.rows)
    click.echo(as_markdown(play.rows))
    return 1 if failures else 0


if __name__ == "__main__":
    main()
