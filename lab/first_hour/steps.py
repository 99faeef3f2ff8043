"""The steps of the first hour, each a kind of newcomer: pictures, a camera, a network of one's own, a public one."""

import json
import re
import shlex
import sys
import textwrap
from pathlib import Path

from lab.first_hour.cameras import write_camera
from lab.first_hour.play import Play
from mde_runtime.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "train,export,openvino,hf"
NETWORK = '''
    """A network of somebody's own: 4 convolutions, metres from 0.3 to 8.3."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(),
                nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
                nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(),
            )
            self.head = nn.Conv2d(32, 1, 3, 1, 1)

        def forward(self, image):
            map_ = nn.functional.interpolate(self.head(self.body(image)), scale_factor=4.0, mode="bilinear")
            return 0.3 + 8 * torch.sigmoid(4 * map_)

    def build():
        torch.manual_seed(0)
        return Net()

    if __name__ == "__main__":
        torch.save(build().state_dict(), "net.pth")
        torch.onnx.export(build().eval(), (torch.zeros(1, 3, 192, 256),), "net.onnx", dynamo=True)
'''


def environment(play: Play) -> None:
    """A fresh environment with all that the other steps need."""
    env = play.scripts.parent
    play.run("environment", [sys.executable, "-m", "venv", "--clear", env])
    constraints = ("-c", ROOT / "constraints.txt")
    play.run("environment", [env / "bin/python", "-m", "pip", "install", "-q", *constraints, f"{ROOT}[{EXTRAS}]"])


def photographs(play: Play) -> None:
    """The sample on a picture of any size."""
    sample, picture = ROOT / "samples/fast.mde", ROOT / "samples/street.jpeg"
    play.run("photograph", ["mde-predict", sample, picture, "-o", "depth", "--format", "side"], "rendered")
    command = ["mde-predict", sample, *photos(), "-o", "photos", "--format", "color", "--color-range", "auto"]
    play.run("photograph", command, "written to")


def photos() -> list[Path]:
    """Photographs that scikit-image carries, where it is installed; else the sample's street."""
    try:
        import skimage
    except ImportError:
        return [ROOT / "samples/street.jpeg"]
    return [Path(skimage.__file__).parent / "data" / name for name in ("coffee.png", "chelsea.png")]


def own_camera(play: Play, name: str, minutes: float) -> None:
    """Colour and depth folders of a camera to depth, by the lines that the commands print."""
    if not (play.folder / name).exists():
        write_camera(name, play.folder / name)
    play.run(f"camera {name}", ["mde-data", "check", name], "measured")
    (play.folder / name / "split.json").unlink(missing_ok=True)
    play.run(f"camera {name}", ["mde-data", "split", name], "go to neither split")
    checked = play.run(f"camera {name}", ["mde-data", "check", name], "to train on it")
    train = shlex.split(_found(r"to train on it: (.*)", checked))
    trained = play.run(f"camera {name}", [*train, "--set", f"max_minutes={minutes:g}"], "^best:")
    export = shlex.split(_found(r"next: (.*)", trained))
    play.run(f"camera {name}", export, "fp16 +worst frame")
    bundle = export[-1]
    play.run(f"camera {name}", ["mde-predict", bundle, f"{name}/color", "-o", f"depth-{name}"], "written to")
    play.run(f"camera {name}", ["mde-bench", "accuracy", bundle, "--data", name], "rmse_m")


def own_network(play: Play) -> None:
    """A PyTorch network and the ONNX file that somebody made of it, by five options and by four."""
    (play.folder / "net.py").write_text(textwrap.dedent(NETWORK).strip() + "\n")
    play.run("own network", ["python", "net.py"], "ONNX graph.*")
    pictures = play.folder / "room"
    if not pictures.exists():
        write_camera("room", pictures)
    said = ["--resize", "stretch", "--mean", "imagenet", "--kind", "metric_depth", "--range", "0.3:8.3"]
    judged = ["--frames", "room/color", "--fp16"]
    module = ["mde-export", "net:build", "--weights", "net.pth", *judged, "--network-size", "192x256", *said]
    play.run("own network", module, "assumed")
    play.run("own network", ["mde-export", "net.onnx", *judged, *said, "-o", "onnx.mde"], "fp16 +worst frame")
    swapped = [word if word != "imagenet" else "0.406,0.456,0.485" for word in module]
    play.run("own network", [*swapped, "--std", "0.225,0.224,0.229"], "did you mean", exit_code=UsageError.exit_code)


def public_network(play: Play) -> None:
    """A small Depth Anything folder with seeded weights, as its publisher would save it."""
    from lab.public_networks.small import save_small

    save_small("depth_anything-metric", play.folder / "anything")
    command = ["mde-export", "hf:anything", "--frames", "room/color", "--fp16", "-o", "anything.mde"]
    play.run("public network", command, "fp32 +worst frame")
    play.run("public network", ["mde-predict", "anything.mde", "room/color/0000.png", "-o", "depth-anything"])


def notebook(play: Play) -> None:
    """The notebook's cells, one after the other."""
    cells = json.loads((ROOT / "docs/first_hour.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    (play.folder / "notebook.py").write_text(code.replace('"samples/', f'"{ROOT}/samples/'))
    play.run("notebook", ["python", "notebook.py"])


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise RuntimeError(f"no line {pattern!r} in: {text}")
    return found[1]
