"""Every ONNX operator that ONNX Runtime's CPU runs, through our conversion, against the file's own bytes.

    python -m lab.operator_sweep [--only WORD] [--json FILE]

The graphs are ONNX's own node tests, each between an image and a map, in each opset from 7 on in which its operator
changed. A graph is *same* where the exported network gives the file's map, *plain* where only the network that was not
optimised does, *refused* with its reason, or *wrong*: then its certificate fails, and the export with it.
"""

import collections
import contextlib
import dataclasses
import io
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from mde_export.judge.execute import Executor
from mde_export.sources import foreign
from mde_export.sources.original import OnnxOriginal
from mde_export.sources.widen import float_network
from mde_runtime import files, records
from mde_runtime.contract import Contract, FromNetwork, SourceFrame, ToNetwork
from mde_runtime.errors import MdeError
from mde_runtime.progress import progress

SIDE_PX = 8
OLDEST, NEWEST = 7, 24  # opsets
SMALL = 0.05  # what the image adds to an input: less than what would leave an operator's domain
IR_VERSIONS = {opset: version for version, opset in ((3, 8), (4, 9), (5, 10), (6, 11), (7, 14), (8, 18), (9, 20))}
CONTRACT = Contract(
    source=SourceFrame(height_px=SIDE_PX, width_px=SIDE_PX, colour="rgb", dtype="uint8", layout="NHWC"),
    to_network=ToNetwork(
        height_px=SIDE_PX,
        width_px=SIDE_PX,
        multiple_of_px=1,
        resize="stretch",
        interpolation="bilinear",
        antialias=False,
        align_corners=False,
        rounding="none",
        pad_px=(0, 0, 0, 0),
        padding="zero",
        fill="zero",
        scale=1 / 255,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
    from_network=FromNetwork(
        kind="metric_depth",
        unit="m",
        near_m=0.0,
        far_m=20.0,
        distance="z",
        covers=(0, 0, SIDE_PX, SIDE_PX),
        interpolation="bilinear",
        antialias=False,
        align_corners=False,
        via_input=True,
        inversion="before_resize",
        scale=1.0,
        shift=0.0,
        canonical_focal_px=None,
    ),
    intrinsics=None,
)
Inputs = list[tuple[str, npt.NDArray[np.generic]]]


@dataclasses.dataclass(frozen=True)
class Row:
    """What came of one graph."""

    operator: str
    opset: int
    case: str
    outcome: str  # same, plain, wrong, refused, or no graph
    reason: str  # of a refusal, or why there is no graph


@dataclasses.dataclass(frozen=True)
class Case:
    """A node test of ONNX: one node of the standard domain, its inputs by name."""

    name: str
    node: onnx.NodeProto
    opset: int
    inputs: Inputs
    num_values: int  # of its first output


def node_cases() -> Iterator[Case]:
    """ONNX's own node tests that are a single node on plain tensors."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        found = collect_testcases(None)
    for case in found:
        if case.model is None:
            continue
        nodes = list(case.model.graph.node)
        if len(nodes) != 1 or nodes[0].domain or not case.data_sets:
            continue
        opset = next(entry.version for entry in case.model.opset_import if not entry.domain)
        given, expected = case.data_sets[0]
        names = [value.name for value in case.model.graph.input]
        values = [np.asarray(value) if isinstance(value, np.generic) else value for value in given]
        yield Case(case.name, nodes[0], opset, list(zip(names, values, strict=False)), _size(expected[0]))


def _size(value: object) -> int:
    return int(value.size) if isinstance(value, np.ndarray) else 1


def opsets_of(operator: str, newest: int) -> list[int]:
    """The opsets in which an operator changed, and the first that we look at."""
    changed = {
        schema.since_version
        for schema in onnx.defs.get_all_schemas_with_history()
        if schema.name == operator and not schema.domain and schema.since_version <= newest
    }
    return sorted({max(OLDEST, version) for version in changed if max(OLDEST, version) <= min(newest, NEWEST)})


def graph_of(case: Case, opset: int) -> onnx.ModelProto:
    """The case between an image (1, 3, 8, 8) and a map (1, 1, 8, 8). Raises ValueError where it cannot be said."""
    node, inputs = _as_of(case, opset)
    values = dict(inputs)
    if not all(isinstance(value, np.ndarray) for value in values.values()):
        raise ValueError("takes or gives a sequence or an optional value")
    if any(value.dtype.kind in "OSU" for value in values.values()):
        raise ValueError("takes text")
    moved = next((name for name, value in inputs if value.dtype == np.float32 and value.size), None)
    nodes, constants = [], {name: value for name, value in values.items() if name != moved}
    if moved is not None:
        nodes += _from_image(moved, values[moved], constants)
    nodes += [node, *_to_map(node.output[0], max(1, case.num_values), constants)]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 3, SIDE_PX, SIDE_PX))
    depth = helper.make_tensor_value_info("sweep_depth", onnx.TensorProto.FLOAT, (1, 1, SIDE_PX, SIDE_PX))
    ir_version = next((IR_VERSIONS[upto] for upto in sorted(IR_VERSIONS) if opset <= upto), 10)
    infos = [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in tensors]
    graph = helper.make_graph(nodes, "case", [image, *(infos if ir_version < 4 else [])], [depth], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"not valid in this opset ({' '.join(str(error).split())[:80]})") from error
    return model


def outcome_of(model: onnx.ModelProto) -> tuple[str, str]:
    """What our conversion makes of a graph, and why it refuses it."""
    try:
        proto, _ = float_network(model, "case.onnx")
        network, original = foreign.network_from_onnx(proto, CONTRACT, None, False, "case.onnx")
    except MdeError as error:
        return "refused", str(error)
    try:
        return ("same" if _is_same(network, original) else "wrong"), ""
    except MdeError as error:
        return "no graph", f"its size depends on values: {error}"


def _is_same(network: object, original: OnnxOriginal) -> bool:
    """On other images than those that the conversion itself looks at."""
    from mde_export.graph.canonical import to_bytes

    chance = np.random.default_rng(5)
    executor = Executor(to_bytes(network), literal=True)  # type: ignore[arg-type]  # onnx_ir's model
    for _ in range(3):
        image = chance.uniform(0, 1, (1, 3, SIDE_PX, SIDE_PX)).astype(np.float32)
        expected = original.map_of(image)
        (found,) = executor.run({"image": image}).values()
        scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
        if not np.allclose(found, expected, rtol=0, atol=1e-3 * scale, equal_nan=True):
            return False
    return True


def _as_of(case: Case, opset: int) -> tuple[onnx.NodeProto, Inputs]:
    """The node as an older opset says it: an input of today may have been an attribute, or stood elsewhere."""
    node = onnx.NodeProto()
    node.CopyFrom(case.node)
    now = onnx.defs.get_schema(node.op_type, case.opset)
    then = onnx.defs.get_schema(node.op_type, opset)
    values = dict(case.inputs)
    if [formal.name for formal in now.inputs] != [formal.name for formal in then.inputs]:
        given = {formal.name: name for formal, name in zip(now.inputs, node.input, strict=False) if name}
        for name in [name for name in given if name in then.attributes]:
            value = values.pop(given.pop(name))
            plain = value.item() if np.ndim(value) == 0 or name == "k" else value.tolist()
            node.attribute.append(helper.make_attribute(name, plain))
        if lost := sorted(set(given) - {formal.name for formal in then.inputs}):
            raise ValueError(f"the input {lost[0]} is not in this opset")
        node.input[:] = [given.get(formal.name, "") for formal in then.inputs]
        while node.input and not node.input[-1]:
            del node.input[-1]
    for attribute in list(node.attribute):
        if attribute.name not in then.attributes:
            if attribute == now.attributes[attribute.name].default_value:
                node.attribute.remove(attribute)
                continue
            raise ValueError(f"the attribute {attribute.name} is not in this opset")
    required = onnx.defs.OpSchema.FormalParameterOption.Single
    for index, name in enumerate(node.input):  # Resize of opset 11 wants an empty tensor where 13 wants none
        if not name and then.inputs[index].option == required:
            node.input[index] = f"sweep_empty_{index}"
            values[node.input[index]] = np.zeros(0, np.float32)
    used = set(node.input)
    return node, [(name, value) for name, value in values.items() if name in used]


def _from_image(
    name: str, value: npt.NDArray[np.generic], constants: dict[str, npt.NDArray[np.generic]]
) -> list[onnx.NodeProto]:
    """The value with a little of the image added."""
    count = 3 * SIDE_PX * SIDE_PX
    constants |= {
        "sweep_flat": np.array([count], np.int64),
        "sweep_pick": np.arange(value.size, dtype=np.int64) % count,
        "sweep_shape": np.array(value.shape, np.int64),
        "sweep_small": np.array(SMALL, np.float32),
        "sweep_value": value,
    }
    return [
        helper.make_node("Reshape", ["image", "sweep_flat"], ["sweep_a"]),
        helper.make_node("Gather", ["sweep_a", "sweep_pick"], ["sweep_b"]),
        helper.make_node("Reshape", ["sweep_b", "sweep_shape"], ["sweep_c"]),
        helper.make_node("Mul", ["sweep_c", "sweep_small"], ["sweep_d"]),
        helper.make_node("Add", ["sweep_d", "sweep_value"], [name]),
    ]


def _to_map(name: str, num_values: int, constants: dict[str, npt.NDArray[np.generic]]) -> list[onnx.NodeProto]:
    """Values of the answer, evenly spaced, over a map, which the image's red plane stands beneath."""
    size = SIDE_PX * SIDE_PX
    constants |= {
        "sweep_all": np.array([-1], np.int64),
        "sweep_first": np.linspace(0, num_values - 1, size).round().astype(np.int64),
        "sweep_map": np.array([1, 1, SIDE_PX, SIDE_PX], np.int64),
        "sweep_red": np.array([0], np.int64),
    }
    return [
        helper.make_node("Cast", [name], ["sweep_e"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Reshape", ["sweep_e", "sweep_all"], ["sweep_f"]),
        helper.make_node("Softsign", ["sweep_f"], ["sweep_g"]),  # bounded, so that large answers hide nothing
        helper.make_node("Gather", ["sweep_g", "sweep_first"], ["sweep_h"]),
        helper.make_node("Reshape", ["sweep_h", "sweep_map"], ["sweep_i"]),
        helper.make_node("Gather", ["image", "sweep_red"], ["sweep_j"], axis=1),
        helper.make_node("Add", ["sweep_i", "sweep_j"], ["sweep_depth"]),
    ]


def sweep(word: str = "") -> Iterator[Row]:
    """Every graph whose operator or case holds the word."""
    for case in node_cases():
        operator = case.node.op_type
        if word and word not in (operator, case.name):
            continue
        for opset in opsets_of(operator, case.opset):
            try:
                outcome, reason = outcome_of(graph_of(case, opset))
            except ValueError as error:
                outcome, reason = "no graph", str(error)
            yield Row(operator, opset, case.name, outcome, reason)


@click.command()
@click.option("--only", default="", help="One operator, such as Resize, or one of ONNX's node tests.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write every row.")
def main(only: str, target: Path | None) -> None:
    """Sweep the operators; exit 1 where one is wrong."""
    logging.disable(logging.WARNING)
    rows: list[Row] = []
    with progress("operators") as advance:
        for row in sweep(only):
            rows.append(row)
            advance()
    if target:
        files.write_text(target, records.dumps({"rows": rows}))
    counts = collections.Counter(row.outcome for row in rows)
    click.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))
    seen = {row.operator for row in rows if row.outcome in ("same", "wrong")}
    for operator in sorted({row.operator for row in rows} - seen):
        reasons = sorted({row.reason for row in rows if row.operator == operator})
        click.echo(f"{operator}: {reasons[0][:160]}")
    for row in rows:
        if row.outcome == "wrong":
            click.echo(f"WRONG {row.operator} of opset {row.opset}, {row.case}")
    sys.exit(any(row.outcome == "wrong" for row in rows))


if __name__ == "__main__":
    main()
