"""`mde-bundle cache`: what this machine keeps, and why it has no engine."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.cli.tables import table
from mde_runtime.command import PATH, Group, Real
from mde_runtime.engines.build import DEFAULTS
from mde_runtime.errors import MachineError

if TYPE_CHECKING:
    from mde_runtime.engines.flavours import Flavour
    from mde_runtime.precision import Precision


@click.group(cls=Group)
def cache() -> None:
    """Show and clean this machine's cache: engines, compiled models, verifications, rankings."""


@cache.command(name="list")
def list_() -> None:
    """List the engines, and the size of everything else."""
    from mde_runtime.cache import cache_dir
    from mde_runtime.engines import store

    rows = [
        (
            entry.path.stem[:12],
            f"{entry.path.lstat().st_size / 1e6:.1f} MB",
            entry.record.key.graph_sha256[:12] if entry.record else "",
            entry.record.key.in_words if entry.record else "without a record: never used",
        )
        for entry in store.entries()
    ]
    click.echo(table(("engine", "size", "graph", "built by"), rows))
    for kind in sorted(path for path in cache_dir().iterdir() if path.is_dir() and path != store.folder()):
        sizes = [path.lstat().st_size for path in kind.iterdir()]
        click.echo(f"{kind.name}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB")
    click.echo(cache_dir())


@cache.command()
@click.argument("bundle", type=PATH)
def why(bundle: Path) -> None:
    """Show whether this machine has an engine for each graph of BUNDLE, and if not, why."""
    from mde_runtime.bundle import read_bundle
    from mde_runtime.engines import store
    from mde_runtime.engines.flavours import MODULES
    from mde_runtime.engines.key import key_for

    def row(precision: "Precision", flavour: "Flavour") -> tuple[str, str, str, str]:
        try:
            _, record = store.find(key_for(opened.graph_sha256(precision), flavour, DEFAULTS))
        except MachineError as error:
            return precision, flavour, "no", str(error)
        return precision, flavour, "yes", record.key.in_words

    opened = read_bundle(bundle)
    rows = [row(precision, flavour) for precision in opened.precisions for flavour in MODULES]
    click.echo(table(("graph", "flavour", "engine", "why"), rows))


@cache.command()
@click.option("--all", "everything", is_flag=True, help="Remove everything: engines, compiled models, records.")
@click.option(
    "--unused-days",
    type=Real(0),
    default=30.0,
    show_default=True,
    help="Also remove compiled models unused for this many days.",
)
def prune(everything: bool, unused_days: float) -> None:
    """Remove stale entries: altered engines, engines of other library versions, interrupted writes.

    Compiled models are keyed by content, so only their age shows that they are stale.
    """
    from mde_runtime.cache import drafts, is_in_use, kept, unused_blobs
    from mde_runtime.engines import store

    if everything:
        removed = [path for path in kept() if not is_in_use(path)]
    else:
        removed = [*drafts(), *store.remove_unusable(), *unused_blobs(unused_days)]
    for path in removed:
        path.unlink(missing_ok=True)
        click.echo(path)
