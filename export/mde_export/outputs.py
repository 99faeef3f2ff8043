"""The files that an export writes, named before anything is computed: none replaces what the bundle is made of."""

from collections.abc import Sequence
from pathlib import Path

from mde_export.failure import rejected_graph
from mde_export.request.request import Request
from mde_runtime import files
from mde_runtime.errors import UsageError
from mde_runtime.precision import Precision


def emitted(request: Request, precisions: Sequence[Precision]) -> list[Path]:
    """Where --emit puts the plain graphs, in the order of `precisions`, and the contract, last."""
    if request.emit is None:
        return []
    graphs = [request.emit / f"{request.bundle.stem}.{precision}.onnx" for precision in precisions]
    return [*graphs, request.emit / "contract.json"]


def core_files(request: Request) -> tuple[Path, Path, Path] | None:
    """Where --emit-core puts the bare network, the contract and the network's inputs; None: nowhere."""
    if request.emit_core is None:
        return None
    folder = request.emit_core
    return folder / f"{request.bundle.stem}.core.onnx", folder / "contract.json", folder / "inputs.npy"


def check_written(request: Request, precisions: Sequence[Precision]) -> None:
    """Raises UsageError where a file to be written is one that the export reads, a folder, or another one of them.

    Raises BadInputError where it is neither file nor stream.
    """
    plain = emitted(request, precisions)
    flags = {request.bundle: "-o"} | dict.fromkeys(plain, "--emit")
    flags |= dict.fromkeys(core_files(request) or (), "--emit-core")
    if request.emit_core is not None and request.most_at_once > 1:
        raise UsageError("--emit-core writes a network for one frame at a time; leave --batch out")
    if request.emit_core is not None and request.emit_core == request.emit:
        raise UsageError(f"{request.emit}: --emit and --emit-core would both write contract.json; name two folders")
    if request.keep_rejected is not None:
        rejected = [rejected_graph(request.keep_rejected, request.bundle.stem, precision) for precision in precisions]
        flags |= dict.fromkeys(rejected, "--keep-rejected")
    for target, flag in flags.items():
        if target.is_dir():
            raise UsageError(f"{target}: is a folder; name another place with {flag}")
        files.check_target(target)
    if request.bundle.resolve() in {path.resolve() for path in plain}:
        raise UsageError(f"{request.bundle}: would be both the bundle and a plain file; name another with -o")
    read = [path for path in (Path(request.model), request.contract, request.weights, request.measured) if path]
    inputs = {path.resolve(): path for path in read}
    for target, flag in flags.items():
        if target.resolve() in inputs:
            raise UsageError(
                f"{inputs[target.resolve()]}: is an input and would be overwritten; choose another place with {flag}"
            )
