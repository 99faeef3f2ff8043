"""The precision that an engine really computes in, read from its inspector's JSON.

Written from NVIDIA's description of the format for 10.x and 11.x; not seen on a GPU by this project yet.
"""

import json
import math
import re
from collections.abc import Collection, Iterator
from typing import Any

REAL_SHARE = 0.95  # of the multiply-adds: below it a precision is called by its share, and an FP16 engine is not real
HALF = ("half", "fp16")
ONNX_NAME = re.compile(r"\[ONNX Layer: ([^\]]*)\]")  # in a layer's metadata, one for each node that was fused


def arithmetic_of(inspected: str) -> str:
    """The precision of the multiply-adds in words: `fp32`, `fp16`, `int8`, shares where they are mixed.

    `unstated` where the engine does not tell, as one that is compiled as a whole.
    """
    shares = shares_of(inspected)
    if not shares:
        return "unstated"
    name, share = max(shares.items(), key=lambda item: item[1])
    if share >= REAL_SHARE:
        return name
    return ", ".join(f"{share:.0%} {name}" for name, share in sorted(shares.items(), key=lambda item: -item[1]))


def share_of(inspected: str, arithmetic: str, without: Collection[str]) -> float | None:
    """The share of the multiply-adds that are done in one precision, but for layers of the ONNX nodes `without`.

    None where no layer tells.
    """
    shares = shares_of(inspected, without)
    return shares.get(arithmetic, 0.0) if shares else None


def shares_of(inspected: str, without: Collection[str] = ()) -> dict[str, float]:
    """The share of the multiply-adds that each precision does. Empty where no layer tells its weights."""
    work: dict[str, float] = {}
    for layer in _layers(inspected):
        if (found := _multiply_adds(layer)) is not None and _nodes_of(layer).isdisjoint(without):
            precision, amount = found
            work[precision] = work.get(precision, 0.0) + amount
    total = sum(work.values())
    return {precision: amount / total for precision, amount in work.items()} if total else {}


def _layers(inspected: str) -> Iterator[dict[str, Any]]:  # Any: a foreign program's JSON
    try:
        layers = json.loads(inspected).get("Layers", [])
    except (ValueError, AttributeError):
        return
    yield from (layer for layer in layers if isinstance(layer, dict))


def _nodes_of(layer: dict[str, Any]) -> set[str]:
    """The ONNX nodes that became a layer."""
    return {*ONNX_NAME.findall(str(layer.get("Metadata", ""))), *str(layer.get("Name", "")).split(" + ")}


def _multiply_adds(layer: dict[str, Any]) -> tuple[str, float] | None:  # Any: a foreign program's JSON
    weights, outputs = layer.get("Weights"), layer.get("Outputs")
    if not (isinstance(weights, dict) and isinstance(weights.get("Count"), int) and outputs):
        return None
    dimensions = outputs[0].get("Dimensions", [])
    pixels = math.prod(dimensions[2:]) if len(dimensions) > 2 else 1
    return _precision(str(weights.get("Type", ""))), float(weights["Count"] * pixels)


def _precision(word: str) -> str:
    lowered = word.lower()
    if lowered in HALF:
        return "fp16"
    return {"float": "fp32", "int8": "int8", "bfloat16": "bf16", "bf16": "bf16"}.get(lowered, lowered or "unstated")
