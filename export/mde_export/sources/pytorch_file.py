"""Files of PyTorch that are no model by themselves: weights, TorchScript, exported programs. Read without torch."""

import zipfile
from pathlib import Path

from mde_runtime.errors import BadInputError
from mde_runtime.files import check_regular

MARK = b"mde_checkpoint"  # the key that a checkpoint of ours begins with; pickle writes keys as they are
OLD_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # of torch.save before torch 1.6, a plain pickle
MAX_BYTES = 1 << 28  # of the listing of a file's tensors
REMEDIES = {
    "weights without a network": "pass the function that builds it: mde-export package.module:build --weights {name}",
    "weights in safetensors": "write them with torch.save(safetensors.torch.load_file({name!r}), 'net.pth'), and "
    "pass the function that builds the network: mde-export package.module:build --weights net.pth",
    "TorchScript": "write an ONNX file of it with torch.onnx.export(..., dynamo=False) and pass that, or the "
    "function that builds the network: mde-export package.module:build --weights FILE",
    "an exported program of torch.export": "write an ONNX file of it with torch.onnx.export(..., dynamo=True) and "
    "pass that, or the function that builds the network: mde-export package.module:build --weights FILE",
}


def refuse_other_files(path: Path) -> None:
    """Raises BadInputError for a file of PyTorch that is no checkpoint of mde-train, with the way to name its model."""
    kind = "weights in safetensors" if path.suffix.lower() == ".safetensors" else _kind_of(path)
    if kind is not None:
        raise BadInputError(f"{path}: {kind}; {REMEDIES[kind].format(name=path.name)}")


def _kind_of(path: Path) -> str | None:
    """A key of REMEDIES; None: a checkpoint of ours, damaged, or another thing altogether."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            if file.read(len(OLD_START)) == OLD_START:
                return None if MARK in file.read(MAX_BYTES) else "weights without a network"
        with zipfile.ZipFile(path) as archive:
            return _kind_of_archive(archive)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError):
        return None


def _kind_of_archive(archive: zipfile.ZipFile) -> str | None:
    members = {member.filename.partition("/")[2]: member for member in archive.infolist()}  # below the file's own name
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return "TorchScript"
    # the first from torch 2.7 on, the second before
    if "archive_format" in members or "serialized_exported_program.json" in archive.namelist():
        return "an exported program of torch.export"
    listing = members.get("data.pkl")
    if listing is None or listing.file_size > MAX_BYTES or MARK in archive.read(listing):
        return None
    return "weights without a network"
