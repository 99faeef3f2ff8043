"""Networks of anyone's, as people write them: one map is found in what forward gives, and mistakes are told by line."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from mde_export.cli import main
from mde_export.graph.canonical import to_bytes
from mde_export.judge.execute import Executor
from mde_export.request.request import Request
from mde_export.sources import Source, open_source
from mde_runtime import records
from mde_runtime.errors import BadInputError

SOURCE = """
from collections import namedtuple
from dataclasses import dataclass
import torch
from torch import nn

Pair = namedtuple("Pair", ("features", "depth"))

@dataclass
class Record:
    depth: torch.Tensor

class Answer:
    def __init__(self, depth):
        self.depth = depth

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, {takes}):
        y = self.conv(x)
        {also}
        return {gives}

def build():
    return Net()
"""
SIZE = (8, 16)  # the contract's, of the network's input


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(4)
    return nn.Conv2d(3, 1, 3, padding=1)


@pytest.fixture
def opened(network, contract, tmp_path, monkeypatch) -> Callable[..., Source]:
    """Open a module whose forward gives an expression of the map y."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two sources of one second and size would be the same
    torch.save({f"conv.{name}": value for name, value in network.state_dict().items()}, "somenet.pth")
    Path("contract.json").write_text(records.dumps(contract()))

    def open_it(gives: str = "y", takes: str = "x", also: str = "pass", source: str = SOURCE, **asked) -> Source:
        text = source.replace("{gives}", gives).replace("{takes}", takes).replace("{also}", also)
        Path("somenet.py").write_text(text)
        monkeypatch.delitem(sys.modules, "somenet", raising=False)
        given = {"weights": Path("somenet.pth"), "contract": Path("contract.json")} | asked
        return open_source(Request("somenet:build", **given))

    return open_it


def depth_of(source: Source, noise) -> np.ndarray:
    frames = noise.integers(0, 256, (2, 12, 20, 3), np.uint8)
    return source.depth_by(source.contract)(frames, lambda: None)[0]


@pytest.mark.parametrize(
    "gives",
    [
        *("{'depth': y}", "{('disp', 0): y}", "(y,)", "[y]", "Pair(x, y)", "Record(y)", "Answer([y])"),
        *("y[:, 0]", "y[0, 0]", "y[0].permute(1, 2, 0)", "y.permute(0, 2, 3, 1)", "y[None]", "y.double()", "y.half()"),
        "{'depth': y, 'features': torch.cat([y, y], 1), 'label': y.argmax()}",
    ],
)
def test_the_one_map_in_what_forward_gives_is_the_depth(opened, gives):
    chance = [np.random.default_rng(1) for _ in range(2)]
    plain = depth_of(opened(), chance[0])
    found = depth_of(opened(gives), chance[1])
    np.testing.assert_allclose(found, plain, atol=0.01 if "half" in gives else 0)  # half has 11 bits, of 20 m


@pytest.mark.parametrize("kind", ["half", "double"])
def test_a_network_that_is_built_in_another_precision_is_judged_in_fp32(opened, kind):
    chance = [np.random.default_rng(1) for _ in range(2)]
    plain = depth_of(opened(), chance[0])
    source = SOURCE.replace("return Net()", f"return Net().{kind}()")
    np.testing.assert_array_equal(depth_of(opened(source=source), chance[1]), plain)


def test_what_is_captured_is_the_output_that_is_the_reference(opened, network, noise):
    source = opened("{'confidence': y * 0.5, 'depth': y.double()[0, 0]}", output="depth")
    assert source.reference.endswith("FP32, its output depth")
    graph = source.network()
    x = noise.normal(size=(1, 3, *SIZE)).astype(np.float32)
    (answer,) = Executor(to_bytes(graph), literal=True).run({str(graph.graph.inputs[0].name): x}).values()
    expected = network(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(answer.reshape(SIZE), expected.reshape(SIZE), atol=1e-5)  # float32 rounding


@pytest.mark.parametrize("output", ["points:1", "0:1"])
def test_one_channel_of_what_forward_gives_can_be_the_map(opened, output):
    chance = [np.random.default_rng(1) for _ in range(2)]
    named = depth_of(opened("{'points': torch.cat([y, 2 * y], 1)}", output=output), chance[0])
    np.testing.assert_array_equal(named, depth_of(opened("2 * y"), chance[1]))


@pytest.mark.parametrize(("output", "factor"), [("far", 2), ("1", 2), ("maps.0", 3), ("2", 3), (None, None)])
def test_of_several_maps_one_has_to_be_named(opened, output, factor):
    gives = "{'near': y, 'far': 2 * y, 'maps': [3 * y]}"
    if output is None:
        with pytest.raises(BadInputError, match="several outputs") as refused:
            opened(gives)
        shape = (1, 1, *SIZE)
        assert f"0 near {shape}, 1 far {shape}, 2 maps.0 {shape}; choose one with --output" in str(refused.value)
        return
    chance = [np.random.default_rng(1) for _ in range(2)]
    named = depth_of(opened(gives, output=output), chance[0])
    np.testing.assert_array_equal(named, depth_of(opened(f"{factor} * y"), chance[1]))


@pytest.mark.parametrize(
    ("gives", "asked", "says"),
    [
        ("torch.cat([y, y], 1)", {}, r"its forward: gives \(1, 2, 8, 16\), not one map a frame"),
        ("y.mean((2, 3), keepdim=True)", {}, "a map of 1x1: one number a frame"),
        ("y[0, 0]", {"batch": (1, 2, 4)}, r"gives \(8, 16\) for one frame, without an axis of frames"),
        ("{}", {}, "its forward gives dict without a tensor"),
        ("y", {"output": "depth"}, "has no output 'depth'; 0 tensor"),
        ("(y > 0)", {}, "holds whole numbers"),
    ],
)
def test_what_is_no_map_is_refused_with_what_it_is(opened, gives, asked, says):
    with pytest.raises(BadInputError, match=says):
        opened(gives, **asked)


@pytest.mark.parametrize("takes", ["x, intrinsics", "x, *, intrinsics"])
def test_a_second_input_is_refused_with_the_way_to_bake_it_in(opened, takes):
    with pytest.raises(BadInputError, match=r"Bake in intrinsics: .*forward\(x\) returns network\(x, intrinsics\)"):
        opened(takes=takes)


def test_an_input_with_a_default_is_none_that_is_needed(opened):
    assert opened(takes="x, intrinsics=None, *others, **more").reference.startswith("somenet:build in PyTorch")


MISTAKES = {
    "its import": SOURCE + "SIZES = {'small': 1}['large']",
    "build()": SOURCE + "    raise OSError('no such backbone')",
    "its forward": SOURCE.replace("{also}", "torch.cat([y, x[:, :, 1:]], 1)"),
}


@pytest.mark.parametrize("doing", MISTAKES)
def test_a_mistake_in_their_code_is_one_line_with_its_place(opened, doing):
    source = MISTAKES[doing].replace("def build():\n    return Net()\n    raise", "def build():\n    raise")
    line = 1 + next(
        index
        for index, text in enumerate(source.splitlines())
        if any(mistake in text for mistake in ("['large']", "raise OSError", "torch.cat([y, x"))
    )
    with pytest.raises(BadInputError) as refused:
        opened(source=source)
    assert str(refused.value).startswith(f"somenet:build: {doing} fails at somenet.py:{line} (")
    assert "\n" not in str(refused.value)


def test_a_mistake_that_only_some_frames_meet_is_the_same_line(opened, noise):
    source = opened(also="assert x.max() < 0.5, 'too bright'")  # the first run is on black
    with pytest.raises(BadInputError, match=r"its forward fails at somenet\.py:24 \(AssertionError: too bright\)"):
        depth_of(source, noise)


def test_what_their_code_prints_is_no_result_of_ours(opened, capsys):
    opened(also="print('hello')", source=SOURCE + "print('imported')")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "imported\nhello\n"


def test_a_syntax_error_and_a_module_that_theirs_misses_have_a_place(opened):
    with pytest.raises(BadInputError, match=r"its import fails at somenet\.py:1 \(SyntaxError"):
        opened(source="def build(:\n")
    with pytest.raises(BadInputError, match=r"its import fails at somenet\.py:2 \(ModuleNotFoundError.*'not_there'"):
        opened(source="\nimport not_there\n")
    with pytest.raises(BadInputError, match=r"No module named 'nobodys'; write package\.module:function"):
        open_source(Request("nobodys:build", weights=Path("somenet.pth"), contract=Path("contract.json")))
    with pytest.raises(BadInputError, match="somenet has no function 'build'"):
        opened(source="x = 1\n")


def test_the_traceback_is_shown_only_for_debug(opened):
    with pytest.raises(BadInputError):
        opened(source=MISTAKES["its import"])
    command = ["somenet:build", "--weights", "somenet.pth", "--contract", "contract.json", "-o", "somenet.mde"]
    for also, is_shown in (([], False), (["--debug"], True)):
        ended = CliRunner().invoke(main, [*command, *also], prog_name="mde-export")
        assert ended.exit_code == 3
        assert ("KeyError: 'large'\n" in ended.stderr) is is_shown
        assert ended.stderr.splitlines()[-1].startswith("mde-export: somenet:build: its import fails at somenet.py:")


UNET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 3, padding=1)
    def forward(self, x):
        half = nn.functional.max_pool2d(x, STEP)
        return self.conv(x + nn.functional.interpolate(half, scale_factor=STEP))

def build():
    return Net()
"""


def test_a_size_that_the_network_does_not_take_is_refused_with_the_nearest_that_it_takes(opened):
    with pytest.raises(BadInputError) as refused:
        opened(source=UNET.replace("STEP", "7"))
    said = str(refused.value)
    assert said.startswith("somenet:build: its forward does not take 8x16 and fails at somenet.py:11 (RuntimeError")
    assert "it takes 14x28: pass such a size with --network-size" in said
    assert opened(source=UNET.replace("STEP", "8"))


@dataclass
class Saved:
    """Ways to write a file of PyTorch."""

    network: nn.Module

    def weights(self, path: Path) -> None:
        torch.save(self.network.state_dict(), path)

    def old_weights(self, path: Path) -> None:
        torch.save(self.network.state_dict(), path, _use_new_zipfile_serialization=False)

    def script(self, path: Path) -> None:
        torch.jit.trace(self.network, torch.zeros(1, 3, 4, 4)).save(path)

    def program(self, path: Path) -> None:
        torch.export.save(torch.export.export(self.network, (torch.zeros(1, 3, 4, 4),)), path)


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("weights", "weights without a network; pass the function that builds it: mde-export package.module:build"),
        ("old_weights", "weights without a network; .* package.module:build --weights net.pth"),
        ("script", "TorchScript; write an ONNX file"),
        ("program", r"an exported program of torch\.export; write an ONNX file"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--source-size", "12x20"]])
def test_a_file_of_pytorch_that_is_no_model_names_the_way_to_give_it(network, tmp_path, kind, says, flags):
    getattr(Saved(network), kind)(tmp_path / "net.pth")
    ended = CliRunner().invoke(main, [str(tmp_path / "net.pth"), *flags], prog_name="mde-export")
    assert ended.exit_code == 3
    assert len(ended.stderr.splitlines()) == 1
    assert re.search(says, ended.stderr)


WRAPPED = SOURCE.replace("self.conv =", "self.module = nn.Module(); self.module.conv =").replace(
    "self.conv(", "self.module.conv("
)


@pytest.mark.parametrize(
    ("prefix", "nested", "source", "stripped"),
    [
        ("module.", False, SOURCE, "module."),
        ("module.", True, SOURCE, "module."),
        ("model._orig_mod.", True, SOURCE, "model._orig_mod."),
        ("module.", False, WRAPPED, ""),  # the network's own
        ("", True, SOURCE, ""),
    ],
)
def test_a_wrappers_prefix_goes_from_the_weights_and_that_is_said(opened, network, prefix, nested, source, stripped):
    state = {f"{prefix}conv.{name}": value for name, value in network.state_dict().items()}
    torch.save({"model": {"state_dict": state}, "epoch": 7} if nested else state, "saved.pth")
    reference = opened(source=source, weights=Path("saved.pth")).reference
    assert reference.partition("FP32")[2] == (f", weights without their prefix {stripped}" if stripped else "")


def test_weights_of_another_network_are_refused_with_what_is_missing_and_what_is_too_much(opened, network):
    torch.save({f"module.other.{name}": value for name, value in network.state_dict().items()}, "saved.pth")
    with pytest.raises(
        BadInputError, match=r"weight conv\.weight is missing \(2 in all\), and other\.weight is unknown"
    ):
        opened(weights=Path("saved.pth"))


TORCHVISION = """
import torchvision
from torch import nn

def build():
    return nn.Sequential()
"""


def test_their_module_may_import_torchvision_where_its_operators_do_not_load(opened):
    code = (
        "from pathlib import Path; from mde_export.request.request import Request\n"
        "from mde_export.sources import open_source\n"
        "open_source(Request('somenet:build', weights=Path('somenet.pth'), contract=Path('contract.json')))"
    )
    with pytest.raises(BadInputError):  # writes the module
        opened(source=TORCHVISION)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the weight conv.weight is unknown" in ended.stderr  # what comes after the import
