"""The corpus: sound files of every format that is read, and odd ones of kinds that once were read wrongly."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx.parser
from PIL import Image

from lab.fuzz.edits import packed, unpacked
from mde_runtime import files, parity, records
from mde_runtime.bundle import Golden, Provenance, write_bundle
from mde_runtime.certificate import SCHEMA, Certificate
from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_runtime.parity import Limits
from mde_runtime.precision import PRECISIONS, Precision

HEIGHT_PX, WIDTH_PX = 24, 32


def depth_m() -> npt.NDArray[np.float32]:
    """A map from 1 to 19 m."""
    return np.linspace(1, 19, HEIGHT_PX * WIDTH_PX, dtype=np.float32).reshape(HEIGHT_PX, WIDTH_PX)


def frame() -> npt.NDArray[np.uint8]:
    """A frame of noise."""
    return np.random.default_rng(0).integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), np.uint8)


def contract() -> Contract:
    """Of frames of 24x32 px."""
    whole = (0, 0, HEIGHT_PX, WIDTH_PX)
    return Contract(
        source=SourceFrame(height_px=HEIGHT_PX, width_px=WIDTH_PX, colour="rgb", dtype="uint8", layout="NHWC"),
        to_network=ToNetwork(
            height_px=HEIGHT_PX, width_px=WIDTH_PX, multiple_of_px=8, resize="stretch", interpolation="bilinear",
            antialias=False, align_corners=False, rounding="none", pad_px=(0, 0, 0, 0), padding="zero", fill="zero",
            scale=1 / 255, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
        ),
        from_network=FromNetwork(
            kind="metric_depth", unit="m", near_m=0.0, far_m=20.0, distance="z", covers=whole,
            interpolation="bilinear", antialias=False, align_corners=False, via_input=True, inversion="before_resize",
            scale=1.0, shift=0.0, canonical_focal_px=None,
        ),
        intrinsics=None,
    )  # fmt: skip


def graph(number: str = "float") -> bytes:
    """A graph that gives the frame's mean as depth, with a weight and an attribute of every common type."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["": 20]>
        small (uint8[N, {HEIGHT_PX}, {WIDTH_PX}, 3] frame)
            => (float[N, {HEIGHT_PX}, {WIDTH_PX}] depth_m, int32[N] num_nonfinite)
            <{number}[3] factors = {{1, 2, 3}}>
        {{
            values = Cast <to = {1 if number == "float" else 10}> (frame)
            scaled = Mul (values, factors)
            wide = Cast <to = 1> (scaled)
            channels = Constant <value_ints = [3]> ()
            depth_m = ReduceMean <keepdims = 0> (wide, channels)
            bad = IsNaN (depth_m)
            counts = Cast <to = 6> (bad)
            sides = Constant <value_ints = [1, 2]> ()
            num_nonfinite = ReduceSum <keepdims = 0> (counts, sides)
        }}""")
    return bytes(model.SerializeToString())


def graphs() -> list[bytes]:
    """In single and in half precision; one whose weight lies in another file, one with an operator of its own."""
    outside, foreign = onnx.load_from_string(graph()), onnx.load_from_string(graph())
    weight = outside.graph.initializer[0]
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")
    foreign.graph.node[0].domain = "com.example"
    return [graph(), graph("float16"), outside.SerializeToString(), foreign.SerializeToString()]


def certificate(content: bytes, precision: Precision) -> Certificate:
    """A certificate that a graph passed."""
    exact = parity.measure(depth_m()[None], depth_m()[None], 0, contract())
    return Certificate(
        schema=SCHEMA, precision=precision, graph_sha256=files.sha256_of(content), reference="none", executor="none",
        frames_source="noise", frames_sha256="0" * 64, limits=Limits.of(precision, contract().from_network),
        parity=exact, unsigned=None, half_accumulation=None, kept_fp32=(), derived_from=None, truth_rmse_m=None,
    )  # fmt: skip


def certificates() -> list[bytes]:
    """One of each precision."""
    return [records.dumps(certificate(graph(), precision)).encode() for precision in PRECISIONS]


def bundles(folder: Path) -> list[bytes]:
    """A sound one; one that is compressed, one with its end twice, and one with thousands of members."""
    contents: dict[Precision, bytes] = {"fp32": graph(), "fp16": graph("float16")}
    made = {precision: certificate(content, precision) for precision, content in contents.items()}
    path, golden = folder / "seed.mde", Golden(frame()[None], depth_m()[None])
    write_bundle(path, contract(), Provenance("onnx", "small", "0" * 64, None, None, {}), contents, made, golden)
    sound = path.read_bytes()
    path.unlink()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in unpacked(sound).items():
            archive.writestr(name, member)
    many = packed({**unpacked(sound), **{f"graphs/{number}.onnx": b"" for number in range(3000)}})
    return [sound, sound, sound, buffer.getvalue(), sound + sound[-200:], many]


def with_true_manifest(members: dict[str, bytes]) -> bytes:
    """A bundle of these members, whose manifest vouches for them where it can be read."""
    others = {name: member for name, member in members.items() if name != "manifest.json"}
    try:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = {
            name: {"sha256": files.sha256_of(member), "size_bytes": len(member)} for name, member in others.items()
        }
        text = json.dumps(manifest).encode()
    except (ValueError, TypeError, LookupError, RecursionError):
        text = members.get("manifest.json", b"")
    return packed({"manifest.json": text, **others})


def contracts() -> list[bytes]:
    """The sample's contract; with a byte order mark, in UTF-16, a key twice, and nested without end."""
    text = records.dumps(contract())
    doubled = text.replace("{", '{"source": 0, ', 1)
    nested = '{"source":' * 5000
    return [text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), doubled.encode(), nested.encode()]


def recipes() -> list[bytes]:
    """A recipe with everything."""
    from mde_train.recipes import RECIPES

    return [records.dumps(recipe).encode() for recipe in list(RECIPES.values())[:3]]


def npy(array: npt.NDArray[np.generic]) -> bytes:
    """An .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def depth_arrays() -> list[bytes]:
    """Depth maps of several types and orders; with NaN, and of no pixel."""
    depth = depth_m()
    bad = np.where(depth > 18, np.float32(np.nan), depth)
    return [npy(a) for a in (depth, depth.astype(">f8"), depth.astype(np.float16), np.asfortranarray(depth), bad,
                             depth[:0], depth[None], depth.astype(np.int32), np.array(["text"]))]  # fmt: skip


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def upright() -> bytes:
    """The frame as it is."""
    return encoded(Image.fromarray(frame()), "PNG")


def depth_pictures() -> list[bytes]:
    """Grey PNGs of 16, 8 and 4 bits, one with a transparent level, one with a palette."""
    grey16 = Image.fromarray((depth_m() * 3000).astype(np.uint16))
    grey8 = Image.fromarray((depth_m() * 10).astype(np.uint8))
    return [encoded(grey16, "PNG"), encoded(grey8, "PNG"), encoded(grey8, "PNG", bits=4),
            encoded(grey8, "PNG", transparency=7), encoded(grey8.convert("P"), "PNG")]  # fmt: skip


def pictures() -> list[bytes]:
    """A frame in every format that is read, some turned by EXIF, and 16 bits a colour."""
    image = Image.fromarray(frame())
    exif = Image.Exif()
    exif[0x0112] = 6
    seeds = [encoded(image, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    seeds += [encoded(image, "BMP"), encoded(image, "PPM"), encoded(image.convert("CMYK"), "JPEG")]
    seeds += [encoded(image, "TIFF", compression="tiff_lzw"), encoded(image.convert("LA"), "PNG")]
    return seeds


def mats() -> list[bytes]:
    """NYU's labelled file of three frames, and one whose frames lie in another file."""
    import h5py

    seeds = []
    for leads_out in (False, True):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file["images"] = np.stack([frame().transpose(2, 1, 0)] * 3)
            if leads_out:
                file.create_dataset(
                    "rawDepths", (3, WIDTH_PX, HEIGHT_PX), np.float32, external=[("/etc/passwd", 0, 9216)]
                )
            else:
                file["rawDepths"] = np.stack([depth_m().T] * 3)
        seeds.append(buffer.getvalue())
    return seeds


def splits() -> list[bytes]:
    """splits.mat of those frames; with fractions, NaN, text and cells."""
    from scipy.io import savemat

    seeds = []
    for numbers in ([[1], [3]], [[1.5], [2.0]], [[np.nan], [1.0]], "text", np.array([[1], "x"], object)):
        buffer = io.BytesIO()
        savemat(buffer, {"trainNdxs": numbers, "testNdxs": [[2]]})
        seeds.append(buffer.getvalue())
    return seeds


def checkpoints(folder: Path) -> list[bytes]:
    """A checkpoint of a small network, and its weights alone in both of torch's formats."""
    import torch

    from mde_train.checkpoint import Checkpoint, write_checkpoint
    from mde_train.models import build_model, model_named

    torch.manual_seed(0)
    network, contract = build_model("fast"), model_named("fast").contract(HEIGHT_PX, 40)
    frames = np.random.default_rng(0).integers(0, 256, (64, HEIGHT_PX, 40, 3), np.uint8)
    path = folder / "seed.ckpt"
    write_checkpoint(
        path, Checkpoint(network, "fast", contract, {}, None, frames, np.ones(frames.shape[:3], np.float32))
    )
    seeds = [path.read_bytes()]
    for is_zip in (True, False):
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=is_zip)
        seeds.append(path.read_bytes())
    path.unlink()
    return seeds


def points() -> list[bytes]:
    """Measured points; as a spreadsheet writes them, with a byte order mark and semicolons."""
    text = "image,x,y,metres\nframe.png,3,4,2.5\nframe.png,30.5,20,7\n"
    return [text.encode(), b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(), text.replace(",", ";").encode()]


def nyu_lists() -> list[bytes]:
    """Lists in NYU's csv layout."""
    return [b"data/frame.png,data/depth.png\n" * 2, b"\xef\xbb\xbfdata/frame.png , data/depth.png\r\n", b".,.\n"]


def kitti_lists() -> list[bytes]:
    """Lists in both of KITTI's forms."""
    return [b"frame.png depth.png 721.5\nframe.png None\n", b"2011_09_26/drive 0000000005 l\n", b". .\n"]


def gates() -> list[bytes]:
    """A gate of mde-bench."""
    return [b'protocol = "seed"\n["*"]\np50_ms = 30\nrmse_worst_m = 0.01\n', b'["onnxruntime*"]\np50_ms = "x"\n']
