"""A folder's network, configuration and processor, read by transformers: safetensors alone, and none of its code."""

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers
from torch import nn

from mde_export.sources.hugging_face.pipeline import Configuration, Processor
from mde_export.sources.hugging_face.repository import CONFIG
from mde_runtime.errors import BadInputError, reason_of

PROCESSOR = "preprocessor_config.json"
# Scaled dot product attention of strided queries cannot be captured (BEiT's), and the arithmetic is the same.
ATTENTION = "eager"


@dataclass(frozen=True)
class Published:
    """What a publisher's folder holds."""

    config: Configuration
    processor: Processor
    model: nn.Module


def config_of(folder: Path, where: str) -> Configuration:
    """The configuration. Raises BadInputError for one that transformers cannot read."""
    with reading(where, f"its {CONFIG}"):
        content = json.loads((folder / CONFIG).read_bytes())
    if not isinstance(content, dict) or "model_type" not in content:
        return _not_of_transformers(content, where)
    with reading(where, f"its {CONFIG}"):
        return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _not_of_transformers(content: object, where: str) -> Configuration:
    """The configuration of a family that transformers does not know. Raises BadInputError where nobody knows it."""
    if isinstance(content, dict) and str(content.get("model_name", "")).startswith("da3"):
        return SimpleNamespace(**content, model_type="depth_anything_3")
    raise BadInputError(
        f"{where}: its {CONFIG} names no model_type, so transformers cannot build it, and no code of a repository "
        "runs; export it as package.module:build with --weights"
    )


def published(folder: Path, config: Configuration, where: str) -> Published:
    """The processor that AutoImageProcessor picks, and the network in FP32.

    Raises BadInputError where a file is missing or damaged, or the weights are not all there.
    """
    if not (folder / PROCESSOR).is_file():
        raise BadInputError(f"{where}: contains no {PROCESSOR}, so its pre-processing is not known; copy all of it")
    with reading(where, f"its {PROCESSOR}"):
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    with reading(where, "its network"):
        model, report = transformers.AutoModelForDepthEstimation.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation=ATTENTION,
            dtype=torch.float32,
            output_loading_info=True,
        )
    check_complete(report["missing_keys"], where)
    return Published(config, processor, model.eval())


def check_complete(missing: Iterable[str], where: str) -> None:
    """Raises BadInputError where a weight is missing: what has none keeps its start, which is chance."""
    if names := sorted(missing):
        raise BadInputError(
            f"{where}: the weight {names[0]} is missing ({len(names)} in all); is it a depth network? copy it again"
        )


@contextlib.contextmanager
def reading(where: str, what: str) -> Iterator[None]:
    """transformers without its talk, and its errors as one line."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout holds our results
            yield
    except Exception as error:  # whatever a file of somebody's makes transformers raise
        raise BadInputError(
            f"{where}: {what} cannot be read ({type(error).__name__}: {reason_of(error)}); download it again"
        ) from error
