"""`mde-bundle`: what is in a bundle, whether this machine gives its depth, and its engines."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mde_runtime.cli.cache import cache
from mde_runtime.cli.calibrate import calibrate
from mde_runtime.cli.engine import engine
from mde_runtime.cli.tables import fact, table
from mde_runtime.command import PATH, Group, OneOf, say
from mde_runtime.errors import VerdictError, one_line
from mde_runtime.precision import PRECISIONS

if TYPE_CHECKING:
    from mde_runtime.bundle import Bundle, Publication
    from mde_runtime.parity import Parity
    from mde_runtime.precision import Precision
    from mde_runtime.verify import NotHere, Verification

FIGURES = ("RMSE cm", "p99.9 cm", "bias cm", "SSIM")  # of the worst frame, but p99.9 and bias
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=Group)
def main() -> None:
    """Inspect a bundle, verify and calibrate it on this machine, and build its engines."""


main.add_command(engine)
main.add_command(cache)
main.add_command(calibrate)


@main.command()
@click.argument("bundle", type=PATH)
@JSON
def inspect(bundle: Path, as_json: bool) -> None:
    """Show a bundle's contract, graphs, certificates and origin. Every member's SHA-256 is checked.

    \b
    mde-bundle inspect model.mde
    """
    from mde_runtime import records
    from mde_runtime.bundle import nominal_alone, read_bundle

    opened = read_bundle(bundle)
    certificates = {precision: opened.certificate(precision) for precision in opened.precisions}
    notes = {precision: nominal_alone(opened.graph(precision), precision) for precision in opened.precisions}
    golden = opened.golden()
    if as_json:
        known = {"manifest": opened.manifest, "certificates": certificates, "num_golden_frames": len(golden.frames)}
        click.echo(records.dumps(known), nl=False)
        return
    for line in (*_contract_lines(opened), f"golden  {len(golden.frames)} frames", ""):
        click.echo(fact(one_line(line), indent=8))
    rows = [
        (
            precision,
            f"{opened.manifest.members[f'graphs/{precision}.onnx'].size_bytes / 1e6:.1f} MB",
            f"{certificate.parity.rmse_worst_m * 100:.3f}",
            f"{certificate.parity.p999_m * 100:.3f}",
            f"{certificate.parity.ssim_worst:.5f}",
            "not stated" if certificate.parity.r2 is None else f"{certificate.parity.r2:.6f}",
            f"{certificate.parity.num_frames} frames against {certificate.reference}; {certificate.executor}"
            f"{notes[precision] and '; this graph '}{notes[precision]}",
        )
        for precision, certificate in certificates.items()
    ]
    click.echo(table(("graph", "size", "RMSE cm", "p99.9 cm", "SSIM", "R²", "certified on"), rows))


@main.command()
@click.argument("bundle", type=PATH)
@click.option(
    "--depth",
    type=PATH,
    metavar="DIR",
    help="Check depth from another engine instead: golden-0.npy (m) or golden-0.png (16-bit, mm), one per frame.",
)
@click.option(
    "--precision",
    type=OneOf(PRECISIONS),
    default="fp16",
    show_default=True,
    help="With --depth: the precision whose limits apply. FP32 and FP16 share theirs.",
)
@JSON
def verify(bundle: Path, depth: Path | None, precision: "Precision", as_json: bool) -> int:
    """Run the golden frames on every backend and precision available here, and remember the results.

    With --depth nothing runs: the depth that another engine computed from the pictures of `mde-bundle golden` is
    checked instead. The exit code is 1 if a precision has no verified backend, or if that depth is off.

    \b
    mde-bundle verify model.mde
    mde-bundle verify model.mde --depth from-my-engine/
    """
    if depth is not None:
        return _verify_depth(bundle, depth, precision, as_json)
    from mde_runtime import records
    from mde_runtime.bundle import read_bundle
    from mde_runtime.cache import take_ignored
    from mde_runtime.progress import progress
    from mde_runtime.verify import pairs, verify_everywhere, without_backend

    opened = read_bundle(bundle)
    with progress("Verifying", len(pairs(opened))) as advance:
        rows = verify_everywhere(opened, advance)
    if as_json:
        click.echo(records.dumps(rows), nl=False)
    else:
        header = ("backend", "precision", "verdict", *FIGURES, "executor or reason")
        click.echo(table(header, _verification_rows(rows)))
    for line in take_ignored():
        say(line)
    left = without_backend(rows)
    if left:
        say(f"no backend here is verified with {', '.join(left)}")
    return VerdictError.exit_code if left else 0


@main.command()
@click.argument("bundle", type=PATH)
@click.option("-o", "--out", type=PATH, required=True, metavar="DIR", help="Folder for the pictures.")
def golden(bundle: Path, out: Path) -> None:
    """Write the golden frames as PNG. Run another engine on them, then check its depth with `verify --depth`.

    \b
    mde-bundle golden model.mde -o frames/
    """
    from mde_runtime.bundle import read_bundle
    from mde_runtime.golden_frames import write_golden

    for path in write_golden(read_bundle(bundle), out):
        click.echo(path)


def _verify_depth(bundle: Path, depth: Path, precision: "Precision", as_json: bool) -> int:
    from mde_runtime import records
    from mde_runtime.bundle import read_bundle
    from mde_runtime.golden_frames import judge_depth

    verdict = judge_depth(read_bundle(bundle), depth, precision)
    if as_json:
        click.echo(records.dumps(verdict), nl=False)
    else:
        row = _figures(verdict.parity)
        reasons = "; ".join(verdict.breaches) or f"within the limits of {precision}"
        header = ("depth", "verdict", *FIGURES, "reason")
        click.echo(table(header, [(str(depth), "FAILED" if verdict.breaches else "passed", *row, reasons)]))
    return VerdictError.exit_code if verdict.breaches else 0


def _contract_lines(bundle: "Bundle") -> list[str]:
    from mde_runtime.bundle import RENDERED_ALONE

    contract, provenance = bundle.contract, bundle.manifest.provenance
    source, to_network, from_network = contract.source, contract.to_network, contract.from_network
    data = f", data {provenance.data_sha256[:12]}" if provenance.data_sha256 else ""
    return [
        f"{bundle.path}: {provenance.model}, from {provenance.origin} {provenance.source_sha256[:12]}{data}",
        *_published_lines(provenance.publication),
        *([f"seen    {RENDERED_ALONE}"] if provenance.rendered else []),
        f"frame   {source.dtype} {source.height_px}x{source.width_px} {source.colour}",
        f"network {to_network.height_px}x{to_network.width_px}, {to_network.resize}, {to_network.interpolation}"
        f"{', antialias' if to_network.antialias else ''}{', corners aligned' if to_network.align_corners else ''}"
        f"{', rounded to levels' if to_network.rounding == 'uint8' else ''}"
        f"{f', padded by {to_network.pad_px} px ({to_network.padding})' if any(to_network.pad_px) else ''}",
        f"depth   {from_network.distance}, {from_network.near_m:g} to {from_network.far_m:g} m, "
        f"from {from_network.kind} x {from_network.scale:g} + {from_network.shift:g}"
        f"{_canonical(from_network.canonical_focal_px)}",
        f"made by {', '.join(f'{tool} {version}' for tool, version in provenance.tools.items()) or 'unknown tools'}",
    ]


def _canonical(focal_px: float | None) -> str:
    return "" if focal_px is None else f", metric for a focal length of {focal_px:g} px: runs with --focal-px"


def _published_lines(publication: "Publication | None") -> list[str]:
    if publication is None:
        return []
    revision = f" at {publication.revision}" if publication.revision else ""
    licence = publication.licence or "not stated: ask its publisher"
    return [f"from    {publication.repository}{revision}, licence {licence}"]


def _verification_rows(rows: "list[Verification | NotHere]") -> list[tuple[str, ...]]:
    """A row for each verification, and one for each reason why a backend is not here."""
    from mde_runtime.verify import NotHere

    verified = {row.precision for row in rows if not isinstance(row, NotHere) and row.passed}
    absent: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if isinstance(row, NotHere):
            absent.setdefault((row.backend, row.reason), []).append(row.precision)
    return [
        *(_verification_row(row, row.precision in verified) for row in rows if not isinstance(row, NotHere)),
        *(
            (backend, ", ".join(precisions), "not here", "", "", "", "", reason)
            for (backend, reason), precisions in absent.items()
        ),
    ]


def _verification_row(row: "Verification", has_another: bool) -> tuple[str, ...]:
    """has_another: whether another backend of this machine is verified with its precision."""
    return (
        row.backend,
        f"{row.precision} in {row.arithmetic}" if row.precision != row.arithmetic else row.precision,
        "passed" if row.passed else "not used" if has_another else "FAILED",
        *_figures(row.parity),
        "; ".join([row.executor, *row.breaches]),
    )


def _figures(parity: "Parity") -> tuple[str, ...]:
    """What stands under `FIGURES`."""
    return (
        f"{parity.rmse_worst_m * 100:.3f}",
        f"{parity.p999_m * 100:.3f}",
        f"{parity.bias_m * 100:+.3f}",
        f"{parity.ssim_worst:.5f}",
    )
