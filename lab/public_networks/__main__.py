"""The table of public networks: each at five sizes and aspects, against its publisher's own pipeline.

    python -m lab.public_networks small --out networks.jsonl     # seeded small ones: `make public-networks`
    python -m lab.public_networks listed --out networks.jsonl    # the real ones of networks.toml, from the hub
    python -m lab.public_networks table networks.jsonl

One line of JSON a network and size, so that it can be ended at any time; what is there already is not measured again.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

import click

from lab.public_networks.table import as_markdown
from mde_runtime.command import PATH, Group, Several, Whole

SIZES = ((120, 160), (97, 211), (203, 95), (144, 256), (128, 128))
DEPTH_ANYTHING_3 = "depth_anything_3"
LIST = Path(__file__).with_name("networks.toml")
OUT = click.option("--out", type=PATH, required=True, help="The JSON lines to add to.")

LISTED = click.option("--list", "networks", type=PATH, default=LIST, show_default="networks.toml", help="The list.")


@click.group(cls=Group)
def main() -> None:
    """Measure public networks against their publishers' pipelines."""


@main.command()
@OUT
@click.option("--only", multiple=True, help="A network of the table. May be repeated.")
def small(out: Path, only: tuple[str, ...]) -> int:
    """Small networks of every family, with seeded weights, at five sizes.

    Depth Anything 3 is among them where its publisher's package is installed (lab/public_networks/depth_anything_3.py).
    """
    from lab.public_networks.depth_anything_3 import is_here
    from lab.public_networks.small import SMALL

    names = [*SMALL, *[DEPTH_ANYTHING_3] * is_here()]  # of a package that is no part of the environment
    jobs = [(name, size) for size in SIZES for name in names if not only or name in only]
    return _all(out, "one-small", jobs)


@main.command()
@OUT
@LISTED
@click.option(
    "--size",
    type=Several(Whole(1), "x", "480x640"),
    default="480x640",  # what most cameras give; the real networks take minutes each
    show_default=True,
    help="Of the frames, height x width, px.",
)
def listed(out: Path, networks: Path, size: tuple[int, int]) -> int:
    """The networks of a list, from the hub."""
    from lab.public_networks.listed import read_list

    jobs = [(entry.name, size) for entry in read_list(networks)]
    return _all(out, "one-listed", jobs, "--list", str(networks))


@main.command()
@click.argument("lines", type=PATH)
def table(lines: Path) -> int:
    """Print the table in Markdown; exit code 1 where a network is further off than the law allows, or was not made."""
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    click.echo(as_markdown(rows))
    return 0 if all(row["keeps_the_law"] for row in rows) else 1


@main.command("one-small", hidden=True)
@click.argument("name")
@click.argument("height_px", type=int)
@click.argument("width_px", type=int)
def one_small(name: str, height_px: int, width_px: int) -> None:
    """Measure one, in this process."""
    from lab.public_networks import depth_anything_3
    from lab.public_networks.measuring import measure
    from lab.public_networks.small import SMALL, save_small
    from mde_export.request.request import Request

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        if name == DEPTH_ANYTHING_3:
            options = depth_anything_3.OPTIONS
            depth_anything_3.save(depth_anything_3.SMALL, folder)
        else:
            options = SMALL[name].options
            save_small(name, folder)
        request = Request(f"hf:{folder}", source_size=(height_px, width_px), **options)
        _print(measure(name, request, folder))


@main.command("one-listed", hidden=True)
@click.argument("name")
@click.argument("height_px", type=int)
@click.argument("width_px", type=int)
@LISTED
def one_listed(name: str, height_px: int, width_px: int, networks: Path) -> None:
    """Measure one, in this process."""
    from lab.public_networks.listed import read_list
    from lab.public_networks.measuring import measure
    from mde_export.sources.hugging_face.repository import open_repository

    (entry,) = [entry for entry in read_list(networks) if entry.name == name]
    request = entry.request((height_px, width_px))
    _print(measure(name, request, open_repository(request.model).folder))


def _print(row: object) -> None:
    click.echo(json.dumps({field.name: getattr(row, field.name) for field in fields(row)}))  # type: ignore[arg-type]  # a Row


def _all(out: Path, command: str, jobs: list[tuple[str, tuple[int, int]]], *options: str) -> int:
    """Every job in a process of its own, whose memory is then its own as well. A failing one costs its own row."""
    done = {_key(json.loads(line)) for line in out.read_text().splitlines()} if out.exists() else set()
    failures = 0
    for name, size in jobs:
        if (name, *size) in done:
            continue
        words = [sys.executable, "-m", "lab.public_networks", command, name, *map(str, size), *options]
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        if ended.returncode:
            failures += 1
            why = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
            line = json.dumps(
                {"network": name, "height_px": size[0], "width_px": size[1], "keeps_the_law": False, "why": why}
            )
        else:
            line = ended.stdout.strip().splitlines()[-1]
        with out.open("a") as file:
            file.write(f"{line}\n")
        click.echo(line, err=True)
    return 1 if failures else 0


def _key(row: dict[str, object]) -> tuple[object, ...]:
    return row["network"], row["height_px"], row["width_px"]


if __name__ == "__main__":
    main()
