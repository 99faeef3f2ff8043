import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

HEAVY = {"torch", "torchvision", "lightning", "onnx", "onnxscript", "onnx_ir", "onnxruntime", "openvino", "tensorrt"}
HEAVY |= {"tensorrt_rtx", "scipy", "skimage", "PIL", "numpy"}

# Ask a command, and every command in it, for help; then print what was loaded.
ALL_HELP = """
import contextlib, importlib.metadata, os, sys
(point,) = importlib.metadata.entry_points(group="console_scripts", name=sys.argv[1])
main = point.load()
with contextlib.redirect_stdout(open(os.devnull, "w")):
    for arguments in ([], *([name] for name in getattr(main, "commands", ()))):
        with contextlib.suppress(SystemExit):
            main([*arguments, "--help"], sys.argv[1])
print(*sys.modules)
"""


def test_help_loads_nothing_heavy(python, command):
    assert HEAVY.isdisjoint(python(ALL_HELP, command).split())


def completions(command, words):
    """What bash is offered at the end of these words."""
    variable = f"_{command.upper().replace('-', '_')}_COMPLETE"
    environment = {**os.environ, variable: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    program = Path(sys.executable).parent / command
    ended = subprocess.run([program], env=environment, capture_output=True, text=True, check=True)
    return [line.partition(",")[2] for line in ended.stdout.splitlines()]


@pytest.mark.parametrize(
    ("command", "words", "offered"),
    [
        ("mde-bundle", "mde-bundle ver", ["verify"]),
        ("mde-predict", "mde-predict --colour-r", ["--colour-range"]),
        ("mde-bench", "mde-bench accuracy --backend openvino-", ["openvino-bf16", "openvino-throughput"]),
    ],
)
def test_a_shell_completes_commands_options_and_choices(command, words, offered):
    assert completions(command, words) == offered


def test_a_heavy_import_would_be_seen(python):
    assert "PIL" in python("import PIL, sys; print(*sys.modules)").split()


def test_the_runtime_loads_numpy_and_the_standard_library(python):
    modules = python("import sys; before = set(sys.modules); import mde_runtime; print(*set(sys.modules) - before)")
    packages = {name.split(".")[0] for name in modules.split()}
    assert packages - set(sys.stdlib_module_names) <= {"mde_runtime", "numpy"}


def test_an_unknown_option_is_wrong_usage(call, command):
    ended = call(command, "--no-such-option")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--no-such-option" in ended.stderr


def test_too_little_on_the_command_line_is_wrong_usage_and_teaches(call, demanding_command):
    ended = call(demanding_command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Usage:" in ended.stderr or "--help" in ended.stderr


def helps(command, path=()):
    """The help of a command and of every command below it, as a terminal of 80 columns shows it."""
    name = " ".join(path)
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(command, ["--help"], prog_name=name)
    assert shown.exit_code == 0
    yield name, shown.stdout
    for verb, below in getattr(command, "commands", {}).items():
        yield from helps(below, (*path, verb))


def test_every_help_fits_80_columns_and_no_sentence_of_it_is_cut(command, command_module):
    for name, text in helps(importlib.import_module(command_module).main, (command,)):
        lines = text.splitlines()
        assert lines[0].startswith(f"Usage: {name}")
        assert [line for line in lines if len(line) > 80] == []
        assert [line for line in lines[1:] if line.endswith("...") and " ..." not in line] == []


def test_many_options_stand_below_headings(command, command_module):
    for name, text in helps(importlib.import_module(command_module).main, (command,)):
        headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
        if len([line for line in text.splitlines() if line.startswith("  -")]) > 12:
            assert len(headings) > 1, name


def test_every_command_tells_its_version_and_helps_by_h(call, command):
    from mde_runtime import __version__

    assert call(command, "--version").stdout == f"mde-toolchain {__version__}\n"
    short, long = call(command, "-h"), call(command, "--help")
    assert (short.returncode, short.stdout) == (0, long.stdout)
