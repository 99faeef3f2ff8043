"""`make fuzz MINUTES=10`: every reader of files is given mutants of sound files. A finding exits with 1."""

import secrets
import sys
import tempfile
from pathlib import Path

import click

from lab.fuzz.readers import READERS
from lab.fuzz.watch import Findings, watch
from lab.fuzz.worker import content_of
from mde_runtime.cli.tables import table
from mde_runtime.command import Command, Real, Whole

MOST_KEPT = 20  # findings of a reader; more are mostly one
OUTCOMES = ("read", "refused", "wrong", "crashed", "hung")


@click.command(cls=Command)
@click.option("--minutes", type=Real(0), default=10.0, show_default=True, help="For all readers together.")
@click.option("--only", multiple=True, type=click.Choice(list(READERS)), help="These readers alone.")
@click.option("--seed", type=Whole(0), help="Another seed, other mutants; drawn where it is left out.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/fuzz"), show_default=True, help="For findings."
)
def main(minutes: float, only: tuple[str, ...], seed: int | None, out: Path) -> None:
    """Give every reader mutants. Whatever is neither read rightly nor refused by name is kept in --out."""
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    names = only or tuple(READERS)
    found = {}
    for name in names:
        found[name] = watch(name, seed, seconds=60 * minutes / len(names))
        counts = found[name].counts
        click.echo(f"{name}: {sum(counts.values())} mutants, {len(found[name].found)} findings", err=True)
        _keep(name, seed, found[name], out)
    rows = [(name, *(str(found[name].counts[outcome]) for outcome in OUTCOMES)) for name in names]
    click.echo(table(("reader", *OUTCOMES), rows))
    click.echo(f"seed {seed}")
    sys.exit(any(findings.found for findings in found.values()))


def _keep(name: str, seed: int, findings: Findings, out: Path) -> None:
    """Write each finding's file, and say what it is."""
    if not findings.found:
        return
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        seeds = list(reader.seeds(Path(folder)))
    out.mkdir(parents=True, exist_ok=True)
    for number, outcome, words in findings.found[:MOST_KEPT]:
        file = out / f"{name}-{seed}-{number}{Path(reader.name).suffix}"
        file.write_bytes(content_of(reader, seeds, seed, number))
        click.echo(f"{file}: {outcome}: {words}")


if __name__ == "__main__":
    main()
