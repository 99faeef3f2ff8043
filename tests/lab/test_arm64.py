"""The emulated Arm processor, without one: its command line, its table, and the machines that cannot emulate it."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.arm64.emulator import CPUS, command, cpuinfo
from lab.arm64.fetched import NEEDED, check_machine, python_of
from lab.arm64.table import Row, as_markdown
from mde_runtime.errors import MachineError

ROOT = Path(__file__).parents[2]


def test_a_table_has_a_row_for_each_precision_and_says_that_it_is_no_measure_of_speed():
    passed = Row("cortex-a76", "fp32", "ort 1", 7.2e-6, 4.4e-5, (), 2e-5)
    refused = Row("cortex-a76", "fp16", "ort 1", 0.0814, 0.47, ("RMSE is over 0.01 m", "p99.9 of |d| is"), None)
    lines = as_markdown([passed, refused]).splitlines()
    assert lines[0] == "**Numerics, not speed.** ort 1"
    assert lines[-2:] == [
        "| cortex-a76 | fp32 | 0.0007 cm | 0.0044 cm | verified | 0.0020 cm |",
        "| cortex-a76 | fp16 | 8.14 cm | 47.00 cm | RMSE is over 0.01 m; p99.9 of \\|d\\| is | none made |",
    ]


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")])
def test_another_machine_is_refused_by_its_name(system, machine):
    with pytest.raises(MachineError, match=f"this is {system} on {machine}, not Debian on x86-64; "):
        check_machine(system, machine, lambda tool: tool)


def test_the_missing_tools_and_only_those_are_named():
    check_machine("Linux", "x86_64", lambda tool: tool)
    with pytest.raises(MachineError, match=r"^apt-get, dpkg-deb not found; "):
        check_machine("Linux", "x86_64", lambda tool: None if tool in NEEDED[:2] else tool)


def test_a_machine_without_the_tools_ends_in_one_line_and_exit_code_4(tmp_path):
    words = [sys.executable, "-m", "lab.arm64", ROOT / "samples/fast.mde"]
    rooms = {"PYTHONPATH": f"{ROOT / 'runtime'}", "PATH": str(tmp_path)}
    ended = subprocess.run(words, cwd=ROOT, env=rooms, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (4, "", 1)
    assert "lab.arm64" in ended.stderr


def test_every_folder_is_bound_at_its_own_place_and_once(tmp_path):
    bundles = tmp_path / "bundles"
    words = command(tmp_path, "cortex-a57", "3.11", ["-c", "pass"], [bundles, bundles])
    bound = [words[at + 1] for at, word in enumerate(words) if word == "-b"]
    assert bound == [
        "/dev",
        "/proc",
        f"{tmp_path / 'cpuinfo-cortex-a57'}:/proc/cpuinfo",
        *map(str, (ROOT, tmp_path, bundles)),
    ]


def test_the_emulator_runs_debians_python_with_an_environment_of_its_own(tmp_path):
    words = command(tmp_path, "cortex-a57", "3.13", ["-c", "pass"], [])
    assert words[:2] == ["env", "-i"]
    assert "QEMU_CPU=cortex-a57" in words
    assert f"PYTHONPATH={ROOT / 'runtime'}:/opt/site" in words
    assert words[words.index("-q") + 1] == str(tmp_path / "tools/usr/bin/qemu-aarch64-static")
    assert words[-3:] == ["/usr/bin/python3.13", "-c", "pass"]


@pytest.mark.parametrize("cpu", CPUS)
def test_a_processor_shows_half_arithmetic_where_its_kind_has_it(cpu):
    facts = dict(line.split("\t: ") for line in cpuinfo(cpu).splitlines() if line)
    assert facts["processor"] == "0"
    assert ("asimdhp" in facts["Features"].split()) == (cpu in {"cortex-a76", "neoverse-n1"})


def test_the_python_of_a_root_is_found_among_its_programs(tmp_path):
    programs = tmp_path / "usr/bin"
    programs.mkdir(parents=True)
    (programs / "python3.11").touch()
    (programs / "python3.11-config").touch()
    assert python_of(tmp_path) == "3.11"
    (programs / "python3.13").touch()
    with pytest.raises(MachineError, match="holds 2 Pythons, not one; remove"):
        python_of(tmp_path)
