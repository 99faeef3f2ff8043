"""Each row of the table of seams in docs/architecture.md is true: one new file and one line make a new kind work."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mde_runtime.errors import BadInputError, UsageError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes a module of a package that is not ours, and gives the name to put into a table."""
    folder = tmp_path / "strangers"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, content: str) -> str:
        (folder / f"{name}.py").write_text(textwrap.dedent(content))
        return f"strangers.{name}"

    yield write
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "strangers"]:
        del sys.modules[name]


def seams_in_the_docs(root: Path) -> list[str]:
    text = (root / "docs" / "architecture.md").read_text().split("## Seams", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| an? ([^|]+?) \|", text, re.MULTILINE)


def test_every_seam_of_the_docs_is_tried_here(root):
    tried = [name for name in globals() if name.startswith("test_a_") or name.startswith("test_an_")]
    for seam in seams_in_the_docs(root):
        words = set(re.findall(r"\w+", seam.lower())) - {"of", "the", "to", "that", "gives", "reads", "onnx"}
        assert any(words <= set(name.split("_")) for name in tried), f"no test here adds a {seam}"


def test_a_backend(package, monkeypatch):
    from mde_runtime.backends import BACKENDS, Backend, open_session

    module = package(
        "echo",
        """
        class Echo:
            executor, device, max_batch, arithmetic = "echo", "cpu", None, {"fp32": "fp32"}

            def run(self, feeds, out=None):
                return {"depth_m": feeds["frame"] * 2}

            def close(self): ...

        def open(graph, variant, num_threads):
            return Echo()
        """,
    )
    monkeypatch.setitem(BACKENDS, "echo", Backend(module, "", "cpu"))
    assert open_session("echo", b"any graph").run({"frame": np.ones(3)})["depth_m"].tolist() == [2, 2, 2]
    with pytest.raises(UsageError, match="choose from"):
        open_session("ecko", b"any graph")


def test_a_source_of_frames_to_predict(package, monkeypatch):
    from mde_runtime import sources

    module = package(
        "grey_frames",
        """
        import numpy as np
        from mde_runtime.sources import NamedFrame, Source

        def open(source):
            if not source.startswith("grey:"):
                return None
            frame = NamedFrame("grey", lambda: np.full((2, 2, 3), 128, np.uint8), "grey")
            return Source(source, (("grey", source),), 1, lambda: iter([frame]), None)
        """,
    )
    with pytest.raises(BadInputError, match="no such file or folder"):
        sources.open_sources(["grey:1"])
    monkeypatch.setattr(sources, "SOURCES", (module, *sources.SOURCES))
    (source,) = sources.open_sources(["grey:1"])
    assert [frame.read().mean() for frame in source.frames()] == [128]


def test_a_format_of_depth_that_a_prediction_gives(package, monkeypatch, tmp_path):
    from mde_runtime.sinks import SINKS, Prediction, Sink, Writing, file_of, open_sink

    module = package(
        "text",
        """
        import contextlib
        from mde_runtime.sinks import file_of

        @contextlib.contextmanager
        def writer(out, writing):
            def write(prediction):
                path = file_of("txt", out, prediction.name)
                path.write_text(f"{prediction.depth_m.mean():.1f} m")
                return path
            yield write
        """,
    )
    monkeypatch.setitem(SINKS, "txt", Sink(module, "the mean depth", ".txt"))
    prediction = Prediction("a", np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 4.0, np.float32), "", None)
    with open_sink("txt", tmp_path, Writing((0.0, 20.0), "z")) as write:
        assert write(prediction).read_text() == "4.0 m"
    assert file_of("txt", tmp_path, "a").exists()


def test_a_driver_of_cuda(package, monkeypatch):
    from mde_runtime.cuda import DRIVERS, open_cuda

    for name in list(DRIVERS):
        monkeypatch.delitem(DRIVERS, name)
    monkeypatch.setitem(DRIVERS, "stand-in", package("driver", "def open():\n    return 'a driver'\n"))
    assert open_cuda() == "a driver"


def test_a_data_set_layout(package, monkeypatch, tmp_path):
    from mde_train.data import open_split
    from mde_train.layout_table import LAYOUTS, LayoutRow

    module = package(
        "flat",
        """
        import numpy as np
        from PIL import Image
        from mde_train.data.samples import FrameSet, Source, sample_of

        def matches(root):
            return (root / "flat.txt").exists()

        def splits(root):
            return ("train",)

        def open_split(root, split):
            def read():
                return sample_of("a", np.array(Image.open(root / "a.png")), np.full((4, 6), 3.0, np.float32))
            return FrameSet(root, split, [Source("a", (root / "a.png",), read, "")])
        """,
    )
    monkeypatch.setitem(LAYOUTS, "flat", LayoutRow(module, "flat.txt beside the frames"))
    (tmp_path / "flat.txt").touch()
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    (sample,) = open_split(tmp_path, "train")
    assert sample.depth_m.mean() == 3.0


MODEL = """
from torch import nn
from mde_train.models import fast

def contract(height_px, width_px):
    return fast.contract(height_px, width_px)

def build(width: int = 4):
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 1, 1))
"""


def test_a_model(package, monkeypatch):
    from mde_train.models import MODELS, build_model, model_named

    monkeypatch.setitem(MODELS, "shallow", package("shallow", MODEL))
    assert model_named("shallow").contract(144, 256).to_network.height_px == 160
    assert build_model("shallow", width=8)[0].out_channels == 8
    with pytest.raises(UsageError, match="no option 'depth'"):
        build_model("shallow", depth=8)


def test_a_loss(monkeypatch):
    import torch

    from mde_train.losses import LOSSES, loss_from_text

    monkeypatch.setitem(LOSSES, "worst", lambda depth_m, truth_m, valid: (depth_m - truth_m)[valid].abs().max())
    depth_m, truth_m, valid = torch.tensor([1.0, 5.0]), torch.zeros(2), torch.tensor([True, False])
    assert float(loss_from_text("2 worst")(depth_m, truth_m, valid)) == 2.0


def test_a_schedule_of_the_learning_rate(monkeypatch):
    from mde_train.recipe import with_settings
    from mde_train.recipes import recipe_named
    from mde_train.schedules import SCHEDULES, Pace

    with pytest.raises(BadInputError, match="schedule"):
        with_settings(recipe_named("fast"), ["schedule=halving"])
    monkeypatch.setitem(SCHEDULES, "halving", lambda step, _progress: Pace(0.5**step, 0.9))
    assert with_settings(recipe_named("fast"), ["schedule=halving"]).schedule == "halving"


def test_a_source_of_export(package, monkeypatch, tmp_path):
    from mde_export.request.request import Request
    from mde_export.sources import SUFFIXES, Kind, open_source

    module = package("other_format", "def open_source(request):\n    return f'read {request.model}'\n")
    monkeypatch.setitem(SUFFIXES, ".other", Kind(module, refuses=("weights",)))
    (tmp_path / "model.other").touch()
    request = Request(str(tmp_path / "model.other"))
    assert open_source(request) == f"read {tmp_path / 'model.other'}"
    with pytest.raises(UsageError, match="--weights does not apply to this kind of model"):
        open_source(replace(request, weights=tmp_path / "file"))


def test_a_family_of_published_networks(package, monkeypatch):
    pytest.importorskip("transformers")
    from mde_export.request.request import Request
    from mde_export.sources import hugging_face
    from mde_export.sources.hugging_face.assembled import contract_of

    module = package(
        "other_family",
        """
        from mde_export.sources.hugging_face.pipeline import LEVELS, FromPublisher, PredictedDepth, to_network

        network = PredictedDepth

        def into(processor, source):
            return to_network(processor, (source[0] // 2, source[1] // 2), LEVELS)

        def out_of(config, processor):
            return FromPublisher(kind="metric_depth", range_m=(0.0, config.max_depth), interpolation="bilinear")
        """,
    )
    monkeypatch.setitem(hugging_face.FAMILIES, "other", module)
    settings = SimpleNamespace(resample=2, do_rescale=True, rescale_factor=1 / 255, do_normalize=False)
    found = SimpleNamespace(processor=settings, config=SimpleNamespace(max_depth=7.0))
    contract, notes = contract_of(Request("hf:org/net"), hugging_face.family_of("other", "hf:org/net"), found, (24, 32))
    assert (contract.to_network.height_px, contract.to_network.width_px, contract.from_network.far_m) == (12, 16, 7.0)
    assert notes == []


def test_a_preset_of_a_public_network(monkeypatch):
    from mde_export.request.contract_by_options import contract_of
    from mde_export.request.presets import PRESETS, Preset
    from mde_export.request.request import Request

    said = {"colour": "bgr", "resize": "stretch", "interpolation": "bilinear", "antialias": True, "distance": "z"}
    said |= {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "kind": "metric_depth", "range_m": (0.0, 9.0)}
    monkeypatch.setitem(PRESETS, "other", Preset("another", "a page", said, network_size=(8, 16)))
    contract, _ = contract_of(Request("a.onnx", preset="other", source_size=(12, 20)), None)
    assert (contract.to_network.height_px, contract.source.colour, contract.from_network.far_m) == (8, "bgr", 9.0)


def test_a_target_of_export(monkeypatch):
    import onnx.parser
    import onnx_ir as ir

    from mde_export.precision.target_table import TARGETS, Target
    from mde_export.precision.targets import check_target

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1] x) => (float[1] y) {y = Abs(x)}'
    )
    monkeypatch.setitem(TARGETS, "plain", Target("boards without Abs", "a library", 17, frozenset({"Abs"})))
    with pytest.raises(BadInputError, match=r"Abs .* has no implementation in a library"):
        check_target(ir.from_proto(model), "plain")


def test_a_method_of_int8_calibration(monkeypatch):
    from mde_export.precision.clipping import METHODS, Histogram

    monkeypatch.setitem(METHODS, "half", lambda histogram: histogram.largest / 2)
    histogram = Histogram(8.0, np.ones(4, np.int64))
    assert METHODS["half"](histogram) == METHODS["max"](histogram) / 2 == 4.0


def test_a_subject_of_the_bench(package, tmp_path):
    from mde_bench.timing.candidates import Candidate
    from mde_bench.timing.worker import Worker
    from mde_bench.timing.worker_process import FRAMES

    module = package(
        "still",
        """
        import numpy as np
        from mde_bench.timing.candidates import Answer

        class Still:
            executor, arithmetic = "still", "fp32"

            def __init__(self, depth_m):
                self.depth_m = depth_m

            def answer(self, frame):
                return Answer(np.full(frame.shape[:2], self.depth_m, np.float32), 0, 0)

            def close(self): ...

        def open_subject(depth_m):
            return Still(depth_m)
        """,
    )
    np.save(tmp_path / FRAMES, np.zeros((1, 2, 2, 3), np.uint8))
    with Worker(Candidate("still fp32", "still", "fp32", f"{module}:open_subject", {"depth_m": 3}), tmp_path) as worker:
        assert worker.opened().executor == "still"
        assert worker.answer(0).depth_m.mean() == 3.0


def test_a_mode_of_the_bench(package, monkeypatch):
    from mde_bench.timing.modes import MODES, Mode, ModeSettings
    from mde_bench.timing.modes.figures import mode_file

    module = package(
        "twice",
        """
        HEADINGS = ("ms",)

        def measure(worker, settings):
            return worker.batch(2)

        def in_words(found):
            return f"twice: {found} ns"

        def rows(found):
            return [(found / 1e6,)]
        """,
    )
    monkeypatch.setitem(MODES, "twice", Mode(module, "two frames"))
    found = mode_file("twice").measure(SimpleNamespace(batch=lambda size: size * 10**6), ModeSettings())
    assert mode_file("twice").rows(found) == [(2.0,)]


def test_an_effort_of_the_bench(monkeypatch):
    from dataclasses import replace

    from mde_bench.timing.effort import EFFORTS, NORMAL

    monkeypatch.setitem(EFFORTS, "glance", replace(NORMAL, name="glance", help="a moment"))
    assert EFFORTS["glance"].rounds == NORMAL.rounds


def test_a_protocol_of_accuracy(package, monkeypatch):
    from mde_runtime.protocols import PROTOCOLS, ProtocolRow, open_protocol

    module = package(
        "largest",
        """
        class Largest:
            def __init__(self):
                self.error_m = 0.0

            def add(self, depth_m, truth_m):
                self.error_m = max(self.error_m, float(abs(depth_m - truth_m).max()))

            def result(self):
                return self.error_m

        def accumulator(name, span_m):
            return Largest()
        """,
    )
    monkeypatch.setitem(PROTOCOLS, "largest", ProtocolRow(module, "the largest error"))
    judge = open_protocol("largest")
    judge.add(np.ones((2, 2)), np.full((2, 2), 3.0))
    assert judge.result() == 2.0
