"""`make docs`: the site in `out/docs/site`. Any warning, dead link or dead anchor makes the exit code 1."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.docsite import command_pages, pages, python_page, site_check

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "out" / "docs" / "pages"  # mkdocs.yml names both
SITE = ROOT / "out" / "docs" / "site"
VERDICT = 1  # exit code: the site has faults
CANNOT = 4  # exit code: what builds it is not installed


def main(arguments: list[str]) -> int:
    """Make the pages, build the site, check it; give the exit code. `--external` asks other sites too."""
    mkdocs = shutil.which("mkdocs", path=str(Path(sys.executable).parent))
    if mkdocs is None:
        say("docs: mkdocs is not installed; make setup installs it, or: pip install -c constraints.txt '.[docs]'")
        return CANNOT
    pages.assemble(ROOT, PAGES)
    command_pages.write_pages(ROOT, PAGES)
    python_page.write_page(PAGES)
    quietly = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # an announcement of the theme's makers, no fault of a page
    if subprocess.run([mkdocs, "build", "--strict", "--quiet"], cwd=ROOT, env=quietly, check=False).returncode:
        return VERDICT
    found = site_check.faults(SITE)
    if "--external" in arguments:
        found += site_check.external_faults(SITE)
    for fault in found:
        say(fault)
    say(f"{len(site_check.read(SITE))} pages, {len(found)} faults: {(SITE / 'index.html').relative_to(ROOT)}")
    return VERDICT if found else 0


def say(text: str) -> None:
    """Talk to the person at the terminal."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
