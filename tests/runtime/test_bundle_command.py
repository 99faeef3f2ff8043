import dataclasses
import io
import json
import re
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mde_runtime import DepthEstimator
from mde_runtime.backends import BACKENDS, Backend
from mde_runtime.bundle import read_bundle
from mde_runtime.cli.bundle import main


@pytest.fixture
def wrong_backend(monkeypatch):
    """A backend whose depth is 1 m off, in place of one that a user can choose; gives its name."""

    class Wrong:
        executor, device, max_batch, arithmetic = "wrong", "cpu", None, {"fp32": "fp32", "fp16": "fp32"}

        def run(self, feeds):
            depth_m = feeds["frame"].astype(np.float32).mean(axis=-1) * np.float32(20 / 255) + 1
            return {"depth_m": depth_m.astype(np.float32), "num_nonfinite": np.zeros(len(depth_m), np.int32)}

        def close(self): ...

    module = types.ModuleType("wrong_backend")
    module.open = lambda _graph, _variant, _num_threads: Wrong()
    monkeypatch.setitem(sys.modules, "wrong_backend", module)
    monkeypatch.setitem(BACKENDS, "openvino-bf16", Backend("wrong_backend", "", "cpu"))
    return "openvino-bf16"


def test_inspect_shows_contract_graphs_and_certificates(command, tiny_bundle):
    ended = command(main, "inspect", tiny_bundle)
    assert ended.exit_code == 0
    assert "uint8 24x32 rgb" in ended.stdout
    assert "z, 0 to 20 m" in ended.stdout
    assert {line.split()[0] for line in ended.stdout.splitlines()[-2:]} == {"fp32", "fp16"}


def test_text_of_a_bundle_that_would_command_the_terminal_is_shown_as_an_escape(command, tiny_bundle, with_member):
    with zipfile.ZipFile(tiny_bundle) as archive:
        certificate = json.loads(archive.read("certificates/fp32.json"))
    certificate["reference"] = "a\x1b[2J\x9bmodel"
    with_member(tiny_bundle, "certificates/fp32.json", json.dumps(certificate).encode())
    for options in ((), ("--json",)):
        ended = command(main, "inspect", tiny_bundle, *options)
        assert ended.exit_code == 0
        assert all(character.isprintable() for line in ended.stdout.split("\n") for character in line)
        assert "[2J" in ended.stdout


def test_inspect_says_where_a_graph_has_its_precision_in_the_name_alone(command, make_bundle, tiny_graph):
    named = make_bundle(graphs={"fp32": tiny_graph(), "fp16": tiny_graph(), "int8": tiny_graph()})
    _, fp32, fp16, int8 = command(main, "inspect", named).stdout.splitlines()[-4:]
    assert "this graph" not in fp32
    assert fp16.endswith("; this graph computes nothing in FP16")
    assert int8.endswith("; this graph quantises nothing")


def test_inspect_says_nothing_of_graphs_that_compute_in_their_precision(command, make_bundle, tiny_graph):
    graphs = {"fp32": tiny_graph(), "fp16": tiny_graph("FLOAT16"), "int8": tiny_graph("INT8")}
    assert "this graph" not in command(main, "inspect", make_bundle(graphs=graphs)).stdout


def test_inspect_gives_json(command, tiny_bundle):
    known = json.loads(command(main, "inspect", tiny_bundle, "--json").stdout)
    assert known["manifest"]["contract"]["source"]["height_px"] == 24
    assert known["certificates"]["fp16"]["parity"]["num_frames"] == 8


def test_inspect_finds_an_altered_member(command, tiny_bundle):
    content = tiny_bundle.read_bytes()
    at = content.rindex(b"num_nonfinite")  # inside a graph
    tiny_bundle.write_bytes(content[:at] + b"X" + content[at + 1 :])
    ended = command(main, "inspect", tiny_bundle)
    assert ended.exit_code == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "graphs/" in ended.stderr


def test_verify_shows_what_runs_and_what_precision_is_real(command, tiny_bundle):
    ended = command(main, "verify", tiny_bundle)
    assert ended.exit_code == 0
    rows = [re.split(r"  +", line) for line in ended.stdout.splitlines()]
    assert ["onnxruntime-cpu", "fp16 in fp32", "passed"] in [row[:3] for row in rows]
    assert ["onnxruntime-cuda", "fp32, fp16", "not here"] in [row[:3] for row in rows]


def test_a_precision_without_a_verified_backend_makes_the_verdict_no(command, make_bundle, tiny_graph):
    bundle = make_bundle(graphs={"fp32": tiny_graph(), "fp16": tiny_graph("FLOAT16", offset_m=0.02)})
    ended = command(main, "verify", bundle)
    assert ended.exit_code == 1
    assert "no backend here is verified with fp16" in ended.stderr
    assert "RMSE of the worst frame is 0.02" in ended.stdout


def test_verify_gives_json_and_keeps_records(command, tiny_bundle):
    rows = json.loads(command(main, "verify", tiny_bundle, "--json").stdout)
    passed = [row for row in rows if row.get("breaches") == [] and row["backend"] == "onnxruntime-cpu"]
    assert [row["precision"] for row in passed] == ["fp32", "fp16"]
    with DepthEstimator.open(tiny_bundle, backend="onnxruntime-cpu") as estimate:
        assert not estimate.choice.is_newly_verified


def test_a_graph_that_no_backend_takes_costs_its_own_row(command, make_bundle, tiny_graph):
    unknown = tiny_graph("FLOAT16").replace(b"ReduceMean", b"ReduceMany")
    ended = command(main, "verify", make_bundle(graphs={"fp32": tiny_graph(), "fp16": unknown}))
    assert ended.exit_code == 1
    assert "rejects the graph" in ended.stdout
    assert "passed" in ended.stdout


def test_a_file_that_is_no_bundle_is_one_line(command, tmp_path):
    (tmp_path / "x.mde").write_bytes(b"PK")
    ended = command(main, "verify", tmp_path / "x.mde")
    assert (ended.exit_code, len(ended.stderr.splitlines())) == (3, 1)
    assert "not a bundle, or cut short" in ended.stderr


def test_golden_frames_that_are_damaged_end_the_verification(
    command, tiny_bundle, tiny_frames, tiny_depth, with_member
):
    golden = io.BytesIO()
    np.savez(golden, frames=tiny_frames, depth_m=tiny_depth(tiny_frames)[:, :12])
    with_member(tiny_bundle, "golden.npz", golden.getvalue())
    ended = command(main, "verify", tiny_bundle)
    assert (ended.exit_code, len(ended.stderr.splitlines())) == (3, 1)
    assert "golden depth_m is float32 (8, 12, 32)" in ended.stderr


def test_inspect_shows_where_a_network_was_published_and_its_licence(command, tiny_bundle, with_provenance):
    published = {"repository": "org/net", "revision": "c0ffee", "licence": "cc-by-nc-4.0"}
    with_provenance(tiny_bundle, publication=published)
    assert "from    org/net at c0ffee, licence cc-by-nc-4.0" in command(main, "inspect", tiny_bundle).stdout
    with_provenance(tiny_bundle, publication={**published, "licence": None})
    assert "licence not stated" in command(main, "inspect", tiny_bundle).stdout


def test_inspect_says_nothing_of_a_network_that_nobody_published(command, tiny_bundle):
    assert "licence" not in command(main, "inspect", tiny_bundle).stdout


def test_inspect_says_of_a_bundle_that_it_is_metric_for_one_focal_length(command, make_bundle, tiny_contract):
    canonical = dataclasses.replace(tiny_contract.from_network, canonical_focal_px=300.0)
    bundle = make_bundle(contract=dataclasses.replace(tiny_contract, from_network=canonical))
    assert "metric for a focal length of 300 px" in command(main, "inspect", bundle).stdout


def test_a_backend_that_fails_is_not_used_where_another_passes_and_has_failed_where_none_does(
    command, make_bundle, tiny_graph, wrong_backend
):
    whole = command(main, "verify", make_bundle("whole.mde"))
    assert whole.exit_code == 0
    assert "not used" in next(line for line in whole.stdout.splitlines() if line.startswith(wrong_backend))
    assert "FAILED" not in whole.stdout
    failing = command(main, "verify", make_bundle("off.mde", graphs={"fp32": tiny_graph(offset_m=0.5)}))
    assert failing.exit_code == 1
    assert "FAILED" in failing.stdout
    assert "not used" not in failing.stdout


def test_the_sample_says_what_it_has_seen():
    assert read_bundle(Path(__file__).parents[2] / "samples" / "fast.mde").manifest.provenance.rendered is True
