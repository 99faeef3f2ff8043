"""The table of public networks: from a list and a hub to rows, and what makes it fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from lab.public_networks.fake_hub import REPOSITORY, served
from lab.public_networks.law import Distance
from lab.public_networks.listed import read_list
from lab.public_networks.small import save_small
from lab.public_networks.table import as_markdown

ROOT = Path(__file__).parents[2]


def run(*words, cwd, **variables):
    return subprocess.run(
        [sys.executable, "-m", "lab.public_networks", *map(str, words)],
        capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ, **variables}, timeout=280,
    )  # fmt: skip


@pytest.mark.slow
def test_a_listed_network_comes_from_the_hub_and_goes_to_the_table(tmp_path):
    networks, lines = tmp_path / "networks.toml", tmp_path / "networks.jsonl"
    networks.write_text(
        f"[[network]]\nname = 'tiny'\nrepository = '{REPOSITORY}'\n\n"
        "[[network]]\nname = 'missing'\nrepository = 'org/none'\n"
    )
    with served(save_small("glpn", tmp_path / "glpn"), tmp_path / "home") as hub:
        measured = run("listed", "--list", networks, "--size", "96x128", "--out", lines, cwd=ROOT, **hub)
    assert measured.returncode == 1, measured.stderr
    made, missing = map(json.loads, lines.read_text().splitlines())
    assert made["keeps_the_law"], made
    assert made["certificate_m"] < 5e-3  # T of 0 to 10 m
    assert "no such repository on the hub" in missing["why"]
    table = run("table", lines, cwd=ROOT)
    assert table.returncode == 1
    assert table.stdout.count("| tiny | 96x128 |") == 1


def test_a_row_that_breaks_the_law_says_so():
    row = {"network": "a", "height_px": 4, "width_px": 6, "network_height_px": 4, "network_width_px": 6, "span_m": 10.0}
    row |= {"rmse_m": 0.1, "std_m": 1.0, "certificate_m": 0.001, "export_s": 9.0, "peak_gb": 1.0}
    assert "**too far**" in as_markdown([{**row, "keeps_the_law": False}])
    assert "**too far**" not in as_markdown([{**row, "keeps_the_law": True}])


@pytest.mark.parametrize(
    ("rmse_m", "std_m", "keeps"),
    [(0.004, 1.0, True), (0.006, 1.0, False), (0.004, 0.3, False), (float("nan"), 1.0, False)],
)
def test_the_law_has_two_limits_and_a_nan_keeps_neither(rmse_m, std_m, keeps):
    assert Distance(rmse_m, std_m, span_m=10.0).keeps_the_law is keeps


def test_the_list_has_a_network_of_each_family_and_several_of_some():
    assert len(read_list(ROOT / "lab" / "public_networks" / "networks.toml")) == 11
