"""`make gpu-check` on any machine: its refusal, its plan, its tables, its wheels."""

import os
import subprocess
import sys
import zipfile

import click.testing
import pytest

from lab.gpu_check.cli import PARTS, main
from lab.gpu_check.lines import SCHEMA, GpuCheck, Line, as_markdown
from lab.gpu_check.suite import lines_of_tests
from lab.gpu_check.wheels import install, lines_of_libraries
from mde_runtime.errors import BadInputError
from mde_runtime.machine import this_machine


def check(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lab.gpu_check", *map(str, arguments)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **environment},  # a machine with a GPU hides it
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_gpu_it_says_so_and_ends_with_4(tmp_path):
    ended = check("--out", tmp_path)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert "no NVIDIA GPU here" in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def planned():
    def plan(*arguments):
        return click.testing.CliRunner().invoke(main, [*arguments, "--plan"])

    return plan


@pytest.mark.parametrize("part", PARTS)
def test_every_part_says_beforehand_what_it_takes(planned, part):
    ended = planned("--only", part)
    assert ended.exit_code == 0, ended.stderr
    assert f"{part}, in all: " in ended.stdout


def test_tests_and_benches_are_reckoned_to_end_within_eight_minutes(planned):
    last = planned().stdout.splitlines()[-1]
    assert last.startswith("in all ")
    assert float(last.split()[2]) <= 8.0


def test_each_failed_or_skipped_test_has_its_own_line():
    report = """<testsuites><testsuite>
        <testcase classname="tests.a" name="test_1"/>
        <testcase classname="tests.a" name="test_2"><failure message="off by 3 m&#10;and more"/></testcase>
        <testcase classname="tests.b" name="test_3"><skipped message="no TensorRT"/></testcase>
    </testsuite></testsuites>"""
    assert [(line.what, line.verdict, line.detail) for line in lines_of_tests(report)] == [
        ("tests.a::test_2", "failed", "off by 3 m"),
        ("tests.b::test_3", "absent", "no TensorRT"),
        ("1 of 3 tests", "passed", ""),
    ]


def test_each_part_has_a_table_with_a_column_for_every_figure():
    lines = (
        Line("bench", "fast", "passed", {"p50_ms": 1.5}, "TensorRT 10.3"),
        Line("bench", "fcrn", "passed", {"p50_ms": 2, "p99_ms": 2.125}, ""),
        Line("train", "train", "absent", {}, "a | b"),
    )
    machine, libraries = this_machine(), {"torch": "2.11"}
    text = as_markdown(
        GpuCheck(SCHEMA, "mde-toolchain 0", machine, "Orin", "today", "gpu-check", libraries, 1.0, lines)
    )
    assert text.startswith("Orin; ")
    assert "torch 2.11" in text
    assert text[text.index("## bench") :].splitlines() == [
        "## bench",
        "",
        "| what | verdict | p50_ms | p99_ms | detail |",
        "| --- | --- | --- | --- | --- |",
        "| fast | passed | 1.5 |  | TensorRT 10.3 |",
        "| fcrn | passed | 2 | 2.125 |  |",
        "",
        "## train",
        "",
        "| what | verdict | detail |",
        "| --- | --- | --- |",
        r"| train | absent | a \| b |",
    ]


@pytest.fixture
def wheel(tmp_path):
    """A wheel of one module, as small as pip takes it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "abacus-1.0-py3-none-any.whl", "w") as file:
        file.writestr("abacus.py", "BEADS = 10\n")
        file.writestr("abacus-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: abacus\nVersion: 1.0\n")
        file.writestr("abacus-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nTag: py3-none-any\n")
        file.writestr("abacus-1.0.dist-info/RECORD", "")
    return folder


def test_wheels_are_there_for_the_check_and_its_processes_alone(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    install(wheel, tmp_path / "site")
    said = subprocess.run([sys.executable, "-c", "import abacus; print(abacus.BEADS)"], capture_output=True, check=True)
    assert said.stdout == b"10\n"
    assert (tmp_path / "site" / "abacus.py").exists()


def test_wheels_that_were_installed_before_are_not_installed_again(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    install(wheel, tmp_path / "site")
    (tmp_path / "site" / "abacus.py").write_text("BEADS = 7\n")
    install(wheel, tmp_path / "site")
    assert (tmp_path / "site" / "abacus.py").read_text() == "BEADS = 7\n"


def test_nothing_but_skipped_tests_are_no_pass():
    report = '<testsuite><testcase classname="a" name="b"><skipped message="no GPU"/></testcase></testsuite>'
    assert {line.verdict for line in lines_of_tests(report)} == {"absent"}


def test_nvidias_libraries_are_found_wherever_pip_put_them(wheel, tmp_path, monkeypatch):
    libraries = tmp_path / "elsewhere" / "nvidia" / "cu13" / "lib"
    libraries.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "elsewhere")])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib/known")
    install(wheel, tmp_path / "site")
    folders = os.environ["LD_LIBRARY_PATH"].split(os.pathsep)
    assert str(libraries) in folders
    assert folders[-1] == "/usr/lib/known"


def test_a_folder_without_a_wheel_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="holds no wheel"):
        install(tmp_path, tmp_path / "site")


def test_a_missing_library_is_named_with_what_needs_it(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if "torch" not in name})
    found = {line.what: line.detail for line in lines_of_libraries()}
    assert found["torch"] == "not installed here; needed by: bench, train"


def test_an_error_without_a_message_is_a_line_all_the_same():
    report = '<testsuite><testcase classname="a" name="b"><error message=""/></testcase></testsuite>'
    first, *_ = lines_of_tests(report)
    assert (first.verdict, first.detail) == ("failed", "")
