"""An ONNX file of any depth network: the graph as given is the reference."""

from importlib.metadata import version
from pathlib import Path

from mde_export.canonical import to_bytes
from mde_export.execute import LITERALLY, Executor
from mde_export.foreign import network_from_onnx
from mde_export.load_onnx import load_onnx
from mde_export.request import Request
from mde_export.sources import Source
from mde_export.stages import graft
from mde_runtime import files
from mde_runtime.contract import Contract
from mde_runtime.errors import UsageError


def open_source(request: Request) -> Source:
    """Read the graph and fix its sizes. Raises UsageError where its contract is not given."""
    path = Path(request.model)
    if request.contract is None:
        raise UsageError(
            f"{path}: an ONNX graph does not say its colours, scale, mean or unit; say them with --contract FILE "
            "(docs/formats.md)"
        )
    contract = Contract.loads(request.contract.read_bytes())
    proto = load_onnx(path)
    network = network_from_onnx(proto, contract, request.output, request.most_at_once > 1, str(path))
    return Source(
        origin="onnx",
        model=path.stem,
        sha256=files.sha256_of_file(path),
        data_sha256=None,
        recipe=None,
        contract=contract,
        network=lambda: network,
        pictures=None,
        reference=f"{path.name} as given, in {LITERALLY}",
        depth_by=lambda contract: Executor(to_bytes(graft(network, contract)), literal=True).depth,
        tools={"onnxscript": version("onnxscript")},
    )
