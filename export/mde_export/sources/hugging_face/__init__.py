"""A network published on Hugging Face: its contract from its own files, itself as the reference.

A family is one file and one line in the table. Each has `into(processor, source)`, the contract's way in;
`out_of(config, processor)`, the way back; and `network(model)`, a module that gives the map alone. One that
transformers has no class for brings `published(folder, config, where)` as well, which reads its files.
"""

import importlib
from functools import partial
from importlib.metadata import version
from types import ModuleType

import torch

from mde_export.request.request import Request
from mde_export.request.source_size import source_size_of
from mde_export.sources import Source
from mde_export.sources.checkpoint import depth_of
from mde_export.sources.first_difference import first_difference
from mde_export.sources.from_torch import onnx_from_torch
from mde_export.sources.hugging_face.assembled import contract_of
from mde_export.sources.hugging_face.repository import open_repository
from mde_export.sources.trial_run import answer_of
from mde_runtime.errors import BadInputError
from mde_train.depth_model import DepthModel
from mde_train.torchvision_ops import import_torchvision

FAMILIES = {  # by a configuration's model_type
    "chmv2": "mde_export.sources.hugging_face.chmv2",
    "depth_anything": "mde_export.sources.hugging_face.depth_anything",
    "depth_anything_3": "mde_export.sources.hugging_face.depth_anything_3",
    "depth_pro": "mde_export.sources.hugging_face.depth_pro",
    "dpt": "mde_export.sources.hugging_face.dpt",
    "glpn": "mde_export.sources.hugging_face.glpn",
    "tipsv2_dpt": "mde_export.sources.hugging_face.tipsv2_dpt",
    "zoedepth": "mde_export.sources.hugging_face.zoedepth",
}
REFUSED = {  # the others that transformers maps to depth estimation: the reason, and the way out
    "prompt_depth_anything": (
        "it takes the depth map of a LiDAR beside the picture, for which no contract has a place, and gives no metres "
        "without",
        "export a network that needs the picture alone, such as "
        "hf:depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf, or bake one map in: a package.module:build whose "
        "forward calls it with that prompt_depth, with --weights",
    ),
}
TOOLS = ("torch", "torchvision", "onnxscript", "transformers", "huggingface_hub", "safetensors")


def open_source(request: Request) -> Source:
    """Fetch and read the network. Raises UsageError for a scale or range that it does not bring."""
    import_torchvision()  # before transformers, which looks whether it can be imported and imports no network without
    from mde_export.sources.hugging_face.loading import config_of, published

    repository = open_repository(request.model)
    config = config_of(repository.folder, request.model)
    family = family_of(config.model_type, request.model)
    found = getattr(family, "published", published)(repository.folder, config, request.model)
    contract, notes = contract_of(request, family, found, source_size_of(request.source_size, request.frames)[0])
    network = family.network(found.model).eval()
    answer_of(network, (contract.to_network.height_px, contract.to_network.width_px), request.model)
    return Source(
        origin="hugging_face",
        model=repository.publication.repository,
        sha256=repository.sha256,
        data_sha256=None,
        recipe=None,
        contract=contract,
        network=lambda: onnx_from_torch(network, contract, request.most_at_once),
        pictures=None,
        reference=f"{repository.publication.repository} of transformers {version('transformers')} in PyTorch "
        f"{torch.__version__}, FP32",
        depth_by=lambda wanted: depth_of(DepthModel(network, wanted)),
        tools={name: version(name) for name in TOOLS},
        first_difference=partial(first_difference, network, contract),
        publication=repository.publication,
        notes=tuple(notes),
    )


def family_of(model_type: str, where: str) -> ModuleType:
    """The family's file. Raises BadInputError for one that is not known."""
    if model_type in REFUSED:
        reason, way_out = REFUSED[model_type]
        raise BadInputError(f"{where}: family {model_type!r} is not supported: {reason}; {way_out}")
    if model_type not in FAMILIES:
        raise BadInputError(
            f"{where}: family {model_type!r} is not supported, only {', '.join(FAMILIES)}; export it as "
            "package.module:build with --weights and a --contract that says size, resize, interpolation, antialias, "
            "rounding, padding, mean, std, kind, range and way back (docs/formats.md)"
        )
    return importlib.import_module(FAMILIES[model_type])
