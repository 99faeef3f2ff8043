"""`make fuzz MINUTES=10`: every reader of files is given mutants of sound files. A finding exits with 1."""

import secrets
import sys
from pathlib import Path

import click

from lab.fuzz.readers import READERS
from lab.fuzz.search import keep, search
from mde_runtime.cli.tables import table
from mde_runtime.command import Command, Real, Whole

OUTCOMES = ("read", "refused", "wrong", "crashed", "hung")


@click.command(cls=Command)
@click.option("--minutes", type=Real(0), default=10.0, show_default=True, help="For all readers together.")
@click.option("--only", multiple=True, type=click.Choice(list(READERS)), help="These readers alone.")
@click.option("--seed", type=Whole(0), help="Another seed, other mutants; drawn where it is left out.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/fuzz"), show_default=True, help="For findings."
)
def main(minutes: float, only: tuple[str, ...], seed: int | None, out: Path) -> None:
    """Give every reader mutants. Keep in --out, made small, each that is neither read rightly nor refused by name."""
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    names = only or tuple(READERS)
    found = {}
    for name in names:
        found[name] = search(READERS[name], seed, seconds=60 * minutes / len(names))
        counts = found[name].counts
        click.echo(f"{name}: {sum(counts.values())} mutants, {len(found[name].found)} findings", err=True)
        keep(READERS[name], name, found[name], out)
    rows = [(name, *(str(found[name].counts[outcome]) for outcome in OUTCOMES)) for name in names]
    click.echo(table(("reader", *OUTCOMES), rows))
    click.echo(f"seed {seed}")
    sys.exit(any(findings.found for findings in found.values()))


if __name__ == "__main__":
    main()
