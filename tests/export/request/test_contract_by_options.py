"""A contract by few options: five at most are typed, pictures and file give the rest, and what is assumed is said."""

import json

import numpy as np
import pytest
from PIL import Image

from mde_export.request.contract_by_options import contract_of
from mde_export.request.described import Described
from mde_export.request.normalisations import NORMALISATIONS
from mde_export.request.request import Request
from mde_runtime import records
from mde_runtime.errors import BadInputError, UsageError

NETWORK = (8, 16)
FIVE = {
    "network_size": NETWORK,
    "resize": "stretch",
    "mean": "imagenet",
    "kind": "metric_depth",
    "range_m": (0.0, 10.0),
}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.zeros((12, 20, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def said(*settings, frames=None, contract=None, graph_size=None, **described):
    request = Request(
        "net:build", described=Described(**described), settings=settings, frames=frames, contract=contract
    )
    return contract_of(request, graph_size)


def test_five_options_and_pictures_make_a_contract_and_the_other_six_are_read_or_said(pictures):
    contract, notes = said(frames=pictures, **FIVE)
    assert (contract.source.height_px, contract.source.width_px) == (12, 20)
    assert contract.to_network.std == NORMALISATIONS["imagenet"].std
    assert contract.source.colour == "rgb"
    assert (contract.from_network.distance, contract.from_network.interpolation) == ("z", "bilinear")
    assert notes == [
        "assumed --colour rgb, --interpolation bilinear, --no-antialias, --distance z; "
        "pass an option where the network was trained differently"
    ]


def test_what_is_said_is_not_assumed():
    contract, notes = said(**FIVE, colour="bgr", interpolation="bicubic", antialias=True, distance="ray")
    assert (contract.source.colour, contract.to_network.interpolation, contract.to_network.antialias) == (
        *("bgr", "bicubic", True),
    )
    assert contract.from_network.distance == "ray"
    assert notes == []


def test_the_size_of_a_file_is_not_asked_for():
    contract, _ = said(graph_size=(24, 32), **{**FIVE, "network_size": None})
    assert (contract.to_network.height_px, contract.to_network.width_px) == (24, 32)


def test_frames_with_the_networks_aspect_need_no_policy_of_resizing(pictures):
    contract, _ = said(frames=pictures, **{**FIVE, "network_size": (24, 40), "resize": None})
    assert contract.to_network.resize == "stretch"
    with pytest.raises(UsageError, match=r"pass --resize stretch\|letterbox\|crop, or everything"):
        said(frames=pictures, **{**FIVE, "resize": None})


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_a_normalisation_has_a_name(name):
    contract, _ = said(**{**FIVE, "mean": name})
    named = NORMALISATIONS[name]
    assert (contract.to_network.mean, contract.to_network.std) == (named.mean, named.std)


def test_a_std_beside_a_name_is_taken_and_a_mean_in_figures_needs_one():
    contract, _ = said(**{**FIVE, "mean": "none", "std": (0.5, 0.5, 0.5)})
    assert (contract.to_network.mean, contract.to_network.std) == ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5))
    with pytest.raises(UsageError, match="pass --std R,G,B"):
        said(**{**FIVE, "mean": (0.5, 0.5, 0.5)})


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        ({"mean": (0.406, 0.456, 0.485), "std": (0.225, 0.224, 0.229)}, "did you mean --mean imagenet"),
        ({"mean": (103.53, 116.28, 123.675), "std": (1.0, 1.0, 1.0)}, "did you mean --mean imagenet"),
        ({"mean": (0.485, 0.456, 0.406), "std": (0.225, 0.224, 0.229)}, "did you mean --mean imagenet"),
        ({"mean": (123.675, 116.28, 103.53), "std": (1.0, 1.0, 1.0)}, "did you mean 0.485,0.456,0.406"),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.0, 0.0, 0.0)}, "write 1,1,1 if training did not divide"),
        ({"range_m": (20.0, 0.5)}, "did you mean 0.5 to 20 m"),
    ],
)
def test_what_people_get_wrong_is_refused_with_the_likely_correction(values, remedy):
    with pytest.raises((UsageError, BadInputError), match=remedy):
        said(**{**FIVE, **values})


def test_statistics_that_resemble_those_in_the_wrong_order_are_taken():
    contract, _ = said(**{**FIVE, "mean": (0.44, 0.45, 0.47), "std": (0.225, 0.225, 0.225)})
    assert contract.to_network.mean == (0.44, 0.45, 0.47)


def test_any_other_key_is_set_by_its_path():
    keys = ("from_network.antialias=true", "to_network.rounding=none", "to_network.fill=128", "from_network.scale=2")
    contract, _ = said(*keys, **FIVE)
    assert contract.from_network.antialias
    assert not contract.to_network.antialias
    assert (contract.to_network.fill, contract.from_network.scale) == (128, 2)


def test_a_key_that_is_set_is_neither_asked_for_nor_assumed():
    keys = ("to_network.resize=crop", "from_network.distance=ray", "source.colour=bgr")
    contract, notes = said(*keys, **{**FIVE, "resize": None})
    assert (contract.to_network.resize, contract.from_network.distance) == ("crop", "ray")
    assert notes == [
        "assumed --interpolation bilinear, --no-antialias; pass an option where the network was trained differently"
    ]


def test_a_key_of_one_way_leaves_the_other_assumed():
    _, notes = said("from_network.antialias=true", **FIVE)
    assert "--no-antialias" in notes[0]


def test_one_key_of_a_contract_file_is_changed(tmp_path, contract):
    file = tmp_path / "contract.json"
    file.write_text(records.dumps(contract(far_m=20.0)))
    changed, _ = said("from_network.far_m=8", contract=file)
    assert changed.from_network.far_m == 8
    file.write_text(json.dumps([]))
    with pytest.raises(BadInputError):
        said(contract=file)


@pytest.mark.parametrize(
    "setting", ["from_network.nonsense=1", "nonsense.far_m=1", "from_network.far_m", "=", "a.b.c=1"]
)
def test_a_key_that_no_contract_has_is_refused_with_those_that_it_has(setting):
    with pytest.raises(UsageError, match=r"pass KEY=VALUE with a KEY from"):
        said(setting, **FIVE)


def test_a_value_of_another_kind_is_refused_by_its_path():
    with pytest.raises(BadInputError, match=r"contract\.from_network\.antialias: true or false is expected"):
        said("from_network.antialias=maybe", **FIVE)
