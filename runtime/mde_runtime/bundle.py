"""The bundle `model.mde`: what is shipped. One stored zip of a manifest, graphs, certificates and golden frames.

Hostile until checked: names, sizes and hashes are checked before a member is used, every member is read to bytes
once and those very bytes are hashed and used, and nothing in a bundle is executed or unpickled.
Format: docs/formats.md.
"""

import io
import struct
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from mde_runtime import files, notebook, records
from mde_runtime.certificate import Certificate, read_certificate
from mde_runtime.contract import Contract, current
from mde_runtime.errors import BadInputError
from mde_runtime.onnx_graph.content import facts_of
from mde_runtime.precision import PRECISIONS, Precision

SCHEMA, READABLE_SCHEMAS = 2, (1, 2)  # 2: certificates of schema 2
RENDERED_ALONE = "rendered scenes only"
SUFFIX = ".mde"
MANIFEST, GOLDEN = "manifest.json", "golden.npz"
GOLDEN_ARRAYS = ("frames", "depth_m")
# A graph's 2 GiB are protobuf's own limit.
MAX_BYTES = {MANIFEST: 1 << 20, GOLDEN: 1 << 29, "certificates": 1 << 20, "graphs": 1 << 31}
# What zipfile raises for a damaged or foreign file; RuntimeError, NotImplementedError: encrypted, of a later version.
DAMAGED_ZIP = (
    *(zipfile.BadZipFile, ValueError, LookupError, OSError, EOFError, OverflowError, RuntimeError),
    struct.error,  # of an extra field that is cut off
)
# numpy parses an array's header as Python.
DAMAGED_ARRAYS = (*DAMAGED_ZIP, MemoryError, SyntaxError, TokenError, TypeError)
# The earliest date that zip can say: a bundle has no build time, so equal input gives equal bytes.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Member:
    """What the manifest says of a file in the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Publication:
    """Where a network was published, and under which licence."""

    repository: str  # its name on the hub, or its folder's
    revision: str | None  # the commit; None: a folder that does not say
    licence: str | None  # as the publisher's model card names it; None: it does not


@dataclass(frozen=True)
class Provenance:
    """Where the model came from: enough to make it again, and no path, time or machine."""

    origin: str  # checkpoint, onnx, module or bundle
    model: str  # the network's name
    source_sha256: str  # of the file that was exported
    data_sha256: str | None  # of the data set it was trained on, where the checkpoint knows
    recipe: Any  # the training recipe as its room wrote it: read by that room alone, so any JSON here
    tools: dict[str, str]  # name to version of what made the graphs
    publication: Publication | None = None  # of a network that somebody published
    rendered: bool | None = None  # whether it was trained on rendered scenes only; None: unknown


@dataclass(frozen=True)
class Manifest:
    """`manifest.json`."""

    schema: int
    contract: Contract
    members: dict[str, Member]
    provenance: Provenance


@dataclass(frozen=True)
class Golden:
    """Held-out frames and the reference model's depth for them: what a device is verified with."""

    frames: npt.NDArray[np.uint8]  # (N, H, W, 3), in the contract's colour order
    depth_m: npt.NDArray[np.float32]  # (N, H, W)


class Bundle:
    """An open bundle. Reading a member checks its hash; see `read_bundle`."""

    def __init__(self, path: Path, manifest: Manifest, sha256: str):
        self.path, self.manifest = path, manifest
        self.sha256 = sha256  # of manifest.json, which holds that of every other member: two bundles of one are alike

    def __repr__(self) -> str:
        source, to = self.contract.source, self.contract.from_network
        holds = ", ".join(self.precisions)
        return (
            f"<Bundle {self.path.name}: {self.manifest.provenance.model}, {source.height_px}x{source.width_px} px, "
            f"{to.near_m:g} to {to.far_m:g} m, {holds}>"
        )

    def _repr_html_(self) -> str:
        source, to = self.contract.source, self.contract.from_network
        provenance = self.manifest.provenance
        graphs: dict[str, str] = {
            precision: f"worst frame {self.certificate(precision).parity.rmse_worst_m * 100:.3f} cm"
            for precision in self.precisions
        }
        rows: dict[str, str] = {
            "network": f"{provenance.model}, from {provenance.origin}",
            "frame": f"{source.height_px}x{source.width_px} px, {source.colour}",
            "depth": f"{to.distance}, {to.near_m:g} to {to.far_m:g} m",
            **graphs,
            "seen": RENDERED_ALONE if provenance.rendered else "",
        }
        return notebook.table(self.path.name, rows)

    @property
    def contract(self) -> Contract:
        """What the model expects and gives."""
        return self.manifest.contract

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions that the bundle holds a graph for, FP32 first."""
        return tuple(precision for precision in PRECISIONS if graph_name(precision) in self.manifest.members)

    def graph(self, precision: Precision) -> bytes:
        """The ONNX graph of a precision, with all of its weights.

        Raises BadInputError when the bundle has none, its bytes were altered, it wants values from another file, has
        operators of its own, or is of another precision.
        """
        self.graph_sha256(precision)
        content = self._read(graph_name(precision))
        _check_graph(content, precision, f"{self.path}: {graph_name(precision)}")
        return content

    def graph_sha256(self, precision: Precision) -> str:
        """The SHA-256 of a precision's graph. Raises BadInputError when the bundle has none."""
        if precision not in self.precisions:
            raise BadInputError(
                f"{self.path}: has no {precision} graph, only {', '.join(self.precisions)}; "
                f"add one: mde-export {self.path.name} --{precision} --frames DIR -o NAME.mde"
            )
        return self.manifest.members[graph_name(precision)].sha256

    def certificate(self, precision: Precision) -> Certificate:
        """The certificate of a precision's graph.

        Raises BadInputError when the bundle has none, or one of another graph, or one that its graph did not pass.
        """
        graph_sha256, where = self.graph_sha256(precision), f"{self.path}: {certificate_name(precision)}"
        certificate = read_certificate(self._read(certificate_name(precision)), where)
        if (certificate.precision, certificate.graph_sha256) != (precision, graph_sha256):
            raise BadInputError(f"{where} belongs to another graph; do not trust this bundle")
        if not certificate.has_limits_of(self.contract.from_network):
            raise BadInputError(
                f"{where}: its limits do not match {precision} over the contract's depth range; "
                "do not trust this bundle"
            )
        if breaches := certificate.breaches:
            raise BadInputError(f"{where}: its graph did not pass ({breaches[0]}); do not trust this bundle")
        return certificate

    def certificate_sha256(self, precision: Precision) -> str:
        """The SHA-256 of a precision's certificate."""
        return self.manifest.members[certificate_name(precision)].sha256

    @property
    def golden_sha256(self) -> str:
        """The SHA-256 of the golden frames and their depth."""
        return self.manifest.members[GOLDEN].sha256

    def golden(self) -> Golden:
        """The golden frames. Raises BadInputError when they do not fit the contract or their depth is no number."""
        arrays = _load_npz(self._read(GOLDEN), f"{self.path}: {GOLDEN}", GOLDEN_ARRAYS)
        source = self.contract.source
        shape = (len(arrays["frames"]) if arrays["frames"].ndim else 0, source.height_px, source.width_px)
        for name, wanted_shape, wanted_dtype in (("frames", (*shape, 3), "uint8"), ("depth_m", shape, "float32")):
            found = arrays[name]
            if not found.size or found.shape != wanted_shape or found.dtype.name != wanted_dtype:
                raise BadInputError(
                    f"{self.path}: golden {name} is {found.dtype} {found.shape}, not {wanted_dtype} {wanted_shape}; "
                    "export the model again"
                )
        if not np.isfinite(arrays["depth_m"]).all():
            raise BadInputError(f"{self.path}: golden depth_m holds NaN or infinity; export the model again")
        return Golden(arrays["frames"], arrays["depth_m"])

    def _read(self, name: str) -> bytes:
        with _open_zip(self.path) as archive:
            try:
                content = archive.read(name)
            except DAMAGED_ZIP as error:
                raise BadInputError(f"{self.path}: {name} cannot be read ({error}); copy the bundle again") from error
        if files.sha256_of(content) != self.manifest.members[name].sha256:
            raise BadInputError(
                f"{self.path}: {name} was altered (its SHA-256 does not match the manifest); copy the bundle again"
            )
        return content


def graph_name(precision: str) -> str:
    """The member that holds a precision's graph."""
    return f"graphs/{precision}.onnx"


def certificate_name(precision: str) -> str:
    """The member that holds a precision's certificate."""
    return f"certificates/{precision}.json"


KNOWN_MEMBERS = frozenset(
    {
        GOLDEN,
        *(graph_name(precision) for precision in PRECISIONS),
        *(certificate_name(precision) for precision in PRECISIONS),
    }
)


def read_bundle(path: str | Path) -> Bundle:
    """Open a bundle and check its shape: names, sizes, no member missing, doubled or unknown. Reads the manifest only.

    Raises BadInputError that names the file and the member at fault.
    """
    path = Path(path)
    where = f"{path}: {MANIFEST}"
    with _open_zip(path) as archive:
        _check_listing(path, archive.infolist())
        try:
            text = archive.read(MANIFEST)
        except DAMAGED_ZIP as error:
            raise BadInputError(f"{path}: {MANIFEST} cannot be read ({error}); copy the bundle again") from error
        sizes = {entry.filename: entry.file_size for entry in archive.infolist() if entry.filename != MANIFEST}
    manifest = records.from_json(Manifest, _current(records.parse(text, where)), where)
    if manifest.schema not in READABLE_SCHEMAS:
        raise BadInputError(
            f"{path}: bundle schema {manifest.schema}, this version reads 1 to {SCHEMA}; update mde-toolchain"
        )
    if missing := sorted(set(manifest.members) - set(sizes)):
        raise BadInputError(f"{path}: the member {missing[0]} is missing; copy the bundle again")
    if extra := sorted(set(sizes) - set(manifest.members)):
        raise BadInputError(f"{path}: the member {extra[0]} is not in the manifest; do not trust this file")
    for name, member in manifest.members.items():
        if sizes[name] != member.size_bytes:
            raise BadInputError(
                f"{path}: {name} has {sizes[name]} bytes, the manifest says {member.size_bytes}; copy it again"
            )
    bundle = Bundle(path, manifest, files.sha256_of(text))
    if "fp32" not in bundle.precisions or GOLDEN not in sizes:
        raise BadInputError(
            f"{path}: a bundle holds at least {graph_name('fp32')} and {GOLDEN}; export the model again"
        )
    for precision in bundle.precisions:
        if certificate_name(precision) not in sizes:
            raise BadInputError(f"{path}: the {precision} graph has no certificate; export the model again")
    return bundle


def _current(manifest: Any) -> Any:  # Any: JSON that nobody has checked yet
    """The JSON of a manifest that an earlier version wrote as that of today's."""
    if not isinstance(manifest, dict) or "contract" not in manifest:
        return manifest
    raised = {**manifest, "contract": current(manifest["contract"])}
    if isinstance(raised.get("provenance"), dict):
        raised["provenance"] = {"publication": None, "rendered": None, **raised["provenance"]}
    return raised


def write_bundle(
    path: Path,
    contract: Contract,
    provenance: Provenance,
    graphs: Mapping[Precision, bytes],
    certificates: Mapping[Precision, Certificate],
    golden: Golden,
) -> None:
    """Write a bundle, whole or not at all. The same arguments give the same bytes.

    It is read back before it takes its place: raises BadInputError where no reader would take it.
    """
    members = {graph_name(precision): content for precision, content in graphs.items()}
    members |= {
        certificate_name(precision): records.dumps(record).encode() for precision, record in certificates.items()
    }
    members[GOLDEN] = stored_zip({"frames.npy": _npy(golden.frames), "depth_m.npy": _npy(golden.depth_m)})
    listing = {name: Member(files.sha256_of(content), len(content)) for name, content in sorted(members.items())}
    try:
        manifest = records.dumps(Manifest(SCHEMA, contract, listing, provenance)).encode()
    except (ValueError, TypeError, RecursionError) as error:  # a recipe of another room may hold anything
        raise BadInputError(
            f"the bundle's {MANIFEST} cannot be written ({error}); check the recipe of the exported model"
        ) from error
    with files.replacing(path) as draft:
        draft.write_bytes(stored_zip({MANIFEST: manifest, **dict(sorted(members.items()))}))
        try:
            check_whole(read_bundle(draft))
        except BadInputError as error:
            problem = str(error).removeprefix(f"{draft}: ")  # a name that nobody has heard of
            raise BadInputError(f"no bundle was written; it could not be opened again: {problem}") from error


def check_whole(bundle: Bundle) -> None:
    """Read every member and check it. Raises BadInputError that names the first that is not what it should be."""
    for precision in bundle.precisions:
        bundle.graph(precision)
        bundle.certificate(precision)
    bundle.golden()


def stored_zip(members: Mapping[str, bytes]) -> bytes:
    """A zip of `members`, uncompressed, with fixed dates and modes: the same bytes for the same members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _ZIP_DATE)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # Unix, on every platform
            archive.writestr(entry, content)
    return buffer.getvalue()


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        files.check_regular(path)
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise BadInputError(f"{path}: no such file; make a bundle with mde-export") from error
    except DAMAGED_ZIP as error:
        raise BadInputError(
            f"{path}: not a bundle, or cut short ({error}); copy it again or make it with mde-export"
        ) from error


def _check_listing(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    counts = Counter(entry.filename for entry in entries)
    if MANIFEST not in counts:
        raise BadInputError(f"{path}: the member {MANIFEST} is missing; this is not a bundle from mde-export")
    for entry in entries:
        if entry.filename not in KNOWN_MEMBERS | {MANIFEST}:
            raise BadInputError(f"{path}: unknown member {entry.filename[:80]!r}; do not trust this file")
        if counts[entry.filename] > 1:
            raise BadInputError(f"{path}: the member {entry.filename} appears twice; do not trust this file")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
            raise BadInputError(
                f"{path}: {entry.filename} is compressed or encrypted; bundle members must be stored uncompressed"
            )
        limit = MAX_BYTES.get(entry.filename) or MAX_BYTES[entry.filename.split("/")[0]]
        if entry.file_size > limit:
            raise BadInputError(
                f"{path}: {entry.filename} has {entry.file_size} bytes, more than {limit}; do not trust this file"
            )
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise BadInputError(f"{path}: its members overlap; do not trust this file")


def nominal_alone(graph: bytes, precision: Precision) -> str:
    """In words, how a graph has a precision in its name alone; empty where it computes in it.

    A network whose every layer has to stay FP32 exports to such a graph: it is right, and no faster.
    """
    facts = facts_of(graph)
    if precision == "fp16" and not facts.computes_in_half:
        return "computes nothing in FP16"
    if precision == "int8" and not facts.quantizes:
        return "quantises nothing"
    return ""


def _check_graph(graph: bytes, precision: Precision, where: str) -> None:
    """Raise BadInputError where a graph must not run, or is not of the precision that its name says."""
    try:
        facts = facts_of(graph)
    except ValueError as error:
        raise BadInputError(f"{where} is not an ONNX graph ({error}); export the model again") from error
    if facts.external_tensor is not None:  # that file's bytes are in no hash
        raise BadInputError(
            f"{where}: the tensor {facts.external_tensor[:80]!r} reads its values from another file; "
            "do not trust this bundle"
        )
    if facts.foreign_operator is not None:
        raise BadInputError(
            f"{where}: {facts.foreign_operator[:80]!r} is not a standard ONNX operator; export again without it"
        )
    if precision == "fp32" and facts.half:  # a CPU computes half in FP32, so the certificate would hide an overflow
        raise BadInputError(f"{where}: has half-precision tensors, so it is not an FP32 graph; export the model again")


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _load_npz(content: bytes, where: str, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # it may not unpack to more than its size
            entries = archive.infolist()
            if sorted(entry.filename for entry in entries) != sorted(f"{name}.npy" for name in names):
                raise BadInputError(f"{where}: not the arrays {', '.join(names)} alone; export the model again")
            is_stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not is_stored or sum(entry.file_size for entry in entries) > len(content):
                raise BadInputError(f"{where}: its arrays are compressed or overlap; do not trust this file")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):  # numpy gives others as their bytes
            raise ValueError("one of them is not a .npy file")
        return arrays
    except DAMAGED_ARRAYS as error:
        raise BadInputError(f"{where}: not the arrays {', '.join(names)} ({error}); export the model again") from error
