"""`mde-doctor`: what this machine can do, and what closes each gap."""

import click

from mde_runtime.cli.tables import table
from mde_runtime.command import Command


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(as_json: bool) -> None:
    """Show what this machine can run, and the command that closes each gap.

    Each backend runs a small graph; for TensorRT only the library is loaded.

    \b
    mde-doctor
    """
    from mde_runtime import records
    from mde_runtime.doctor import examine

    findings = examine()
    if as_json:
        click.echo(records.dumps(findings), nl=False)
        return
    rows = [(found.what, found.state, found.detail if found.state == "yes" else found.gap) for found in findings]
    click.echo(table(("", "", "found, or what closes the gap"), rows))
