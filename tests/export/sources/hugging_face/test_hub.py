"""The hub: a fake one on loopback, and none at all. What goes wrong is one line that says what to do."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("transformers")

from lab.public_networks.fake_hub import COMMIT, served
from lab.public_networks.small import save_small


@pytest.fixture
def hub(tmp_path):
    """The environment of a machine whose hub is a folder with one network, served on loopback."""
    with served(save_small("glpn", tmp_path / "glpn"), tmp_path / "home") as variables:
        yield {**os.environ, **variables}


def dry_run(model, environment, folder):
    return subprocess.run(
        [sys.executable, "-c", "from mde_export.cli import main; main()", model, "--dry-run", "--source-size", "64x96"],
        capture_output=True, text=True, env=environment, cwd=folder, timeout=200,
    )  # fmt: skip


def test_a_repository_is_fetched_and_its_commit_is_named(hub, tmp_path):
    told = dry_run("hf:org/tiny@v1", hub, tmp_path)
    assert told.returncode == 0, told.stderr
    assert "org/tiny" in told.stdout
    assert "0 to 10 m from metric_depth" in told.stdout
    assert (tmp_path / "home" / "hub" / "models--org--tiny" / "snapshots" / COMMIT / "model.safetensors").exists()
    offline = dry_run("hf:org/tiny@v1", {**hub, "HF_HUB_OFFLINE": "1"}, tmp_path)
    assert offline.returncode == 0, offline.stderr


@pytest.mark.parametrize(
    ("model", "changes", "code", "complaint"),
    [
        ("hf:gated/one", {}, 3, "agree to terms first"),
        ("hf:org/none", {}, 3, "no such repository on the hub"),
        ("hf:org/tiny@v9", {}, 3, "has no revision 'v9'"),
        ("hf:org/tiny", {"HF_HUB_OFFLINE": "1"}, 4, "the hub cannot be reached"),
        ("hf:org/tiny", {"HF_ENDPOINT": "http://127.0.0.1:9"}, 4, "download the repository"),
        ("hf:three/parts/here", {}, 2, "neither a folder nor a name on the hub"),
    ],
)
def test_a_repository_that_cannot_be_had_costs_one_line(hub, tmp_path, model, changes, code, complaint):
    told = dry_run(model, {**hub, **changes}, tmp_path)
    assert (told.returncode, told.stdout) == (code, "")
    assert complaint in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1
