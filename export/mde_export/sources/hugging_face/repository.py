"""A published network's folder: one that lies here, or a snapshot of a repository of the Hugging Face hub."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub import errors

from mde_export.request.request import PUBLISHED
from mde_runtime import files
from mde_runtime.bundle import Publication
from mde_runtime.errors import BadInputError, MachineError, UsageError, reason_of

CONFIG, WEIGHTS, CARD = "config.json", "*.safetensors", "README.md"
# All that is fetched: no pickled weights, and no code.
FETCHED = (CONFIG, "preprocessor_config.json", WEIGHTS, "*.safetensors.index.json", CARD)
HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?(?:@[\w./-]+)?")


@dataclass(frozen=True)
class Repository:
    """A network's files, and where they come from."""

    folder: Path
    publication: Publication

    @property
    def weights(self) -> list[Path]:
        """Its safetensors files."""
        return sorted(self.folder.glob(WEIGHTS))

    @property
    def sha256(self) -> str:
        """Of the weights: the file's own, or that of the files' hashes one after the other."""
        hashes = [files.sha256_of_file(path.resolve()) for path in self.weights]
        return hashes[0] if len(hashes) == 1 else files.sha256_of("".join(hashes).encode())


def open_repository(model: str) -> Repository:
    """The files of `hf:FOLDER` or `hf:ORG/NAME[@REVISION]`.

    Raises UsageError for a name that is none, BadInputError where there is no such network, MachineError where the hub
    cannot be reached.
    """
    name = model.removeprefix(PUBLISHED)
    folder = Path(name)
    if (folder / CONFIG).is_file():
        opened = Repository(folder, Publication(folder.resolve().name, None, _licence(folder)))
    elif folder.exists():
        raise BadInputError(
            f"{name}: contains no {CONFIG}, so it is not a network's folder; pass one, or ORG/NAME on the hub"
        )
    elif not HUB_NAME.fullmatch(name):
        raise UsageError(f"{model}: neither a folder nor a name on the hub; write hf:FOLDER or hf:ORG/NAME[@REVISION]")
    else:
        opened = _snapshot(*_parted(name))
    if not opened.weights:
        raise BadInputError(
            f"{name}: has no weights as safetensors, and pickled ones are not opened; save it again with "
            "save_pretrained(FOLDER), or name a revision that has them"
        )
    return opened


def _parted(name: str) -> tuple[str, str | None]:
    repository, _, revision = name.partition("@")
    return repository, revision or None


def _snapshot(name: str, revision: str | None) -> Repository:
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    try:
        folder = Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=list(FETCHED)))
    except errors.GatedRepoError as error:
        raise BadInputError(
            f"{name}: its publisher asks you to agree to terms first; do so on its page, then log in with `hf auth "
            "login` or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadInputError(f"{name}: has no revision {revision!r}; leave @{revision} out, or name a commit") from error
    except errors.RepositoryNotFoundError as error:
        raise BadInputError(
            f"{name}: no such folder here, and no such repository on the hub, or a private one; check the name, or log "
            "in with `hf auth login`"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        raise MachineError(
            f"{name}: not here, and the hub cannot be reached ({reason_of(error)}); download the repository on a "
            "machine with a network, and pass its folder: hf:FOLDER"
        ) from error
    return Repository(folder, Publication(name, folder.name, _licence(folder)))


def _licence(folder: Path) -> str | None:
    """What the model card's header says; None where it says nothing."""
    card = folder / CARD
    if not card.is_file():
        return None
    try:
        data = huggingface_hub.ModelCard.load(card, ignore_metadata_errors=True).data
    except (ValueError, OSError):  # a card that is no card
        return None
    named = data.get("license")
    other = data.get("license_name") if named == "other" else None
    return str(other or named) if named else None
