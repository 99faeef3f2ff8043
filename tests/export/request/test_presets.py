"""Presets: contracts of public networks that come as ONNX, and the focal length that one is metric for."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from mde_export.camera.focal_length import contract_for_camera
from mde_export.request.contract_by_options import contract_of
from mde_export.request.described import Described
from mde_export.request.presets import PRESETS
from mde_export.request.request import Request
from mde_export.sources.bundle import at_source_size
from mde_runtime.contract import Intrinsics
from mde_runtime.errors import UsageError

FRAME, NETWORK = (480, 640), (308, 532)
RANGE = Described(range_m=(0.0, 30.0))


def by_preset(name, **changes):
    return replace(Request("network.onnx", preset=name, source_size=FRAME, described=RANGE), **changes)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_contract_and_names_its_source(name):
    contract, _ = contract_of(by_preset(name), NETWORK)
    assert (contract.to_network.height_px, contract.to_network.width_px) == NETWORK
    assert PRESETS[name].source.startswith("github.com/")


def test_a_flag_says_otherwise_than_the_preset():
    ours, _ = contract_of(by_preset("depth-anything-v2-indoor", described=Described(range_m=(0.5, 8.0))), NETWORK)
    theirs, _ = contract_of(by_preset("depth-anything-v2-indoor", described=Described()), NETWORK)
    assert (ours.from_network.near_m, ours.from_network.far_m) == (0.5, 8.0)
    assert (theirs.from_network.near_m, theirs.from_network.far_m) == (0.0, 20.0)


def test_a_preset_that_gives_no_range_asks_for_one():
    with pytest.raises(UsageError, match="pass --range"):
        contract_of(by_preset("zipdepth", described=Described()), NETWORK)


def test_a_preset_beside_a_contract_is_refused():
    with pytest.raises(UsageError, match=r"--contract already covers these; leave .*--preset out"):
        contract_of(by_preset("zipdepth", contract=Path("contract.json"), described=Described()), NETWORK)


def test_a_focal_length_scales_metres_and_range_and_leaves_no_canonical_one():
    request = by_preset("metric3d", focal_px=500.0)
    contract, _ = contract_of(request, NETWORK)
    # 480x640 fits into 308x532 by 308/480, so that 1000 px there are 1558 px at the frame's size
    assert contract.from_network.canonical_focal_px == pytest.approx(1000 * 480 / 308)
    mine = contract_for_camera(contract, request).from_network
    gain = 500 / (1000 * 480 / 308)
    assert mine.canonical_focal_px is None
    assert (mine.scale, mine.far_m) == (pytest.approx(gain), pytest.approx(30 * gain))


def test_a_focal_length_of_a_stretched_frame_is_the_mean_of_both_axes():
    contract = contract_of(by_preset("depth-anything-3-metric"), NETWORK)[0]
    # metres = map * focal / 300 px, where fx becomes fx * 532 / 640 and fy becomes fy * 308 / 480
    focal_px = 500 * (532 / 640 + 308 / 480) / 2
    assert 500 / contract.from_network.canonical_focal_px == pytest.approx(focal_px / 300)


@pytest.mark.parametrize("preset", ["depth-anything-3-metric", "metric3d"])
@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (300, 300)])
def test_a_bundle_made_for_another_frame_has_the_focal_length_of_an_export_at_that_size(preset, size):
    at_first = contract_of(by_preset(preset), NETWORK)[0]
    at_once = contract_of(by_preset(preset, source_size=size), NETWORK)[0]
    expected_px = at_once.from_network.canonical_focal_px
    assert at_source_size(at_first, size).from_network.canonical_focal_px == pytest.approx(expected_px, rel=0.004)


def test_inverse_depth_is_divided_by_what_metres_are_multiplied_by(contract):
    canonical = contract(kind="inverse_depth", canonical_focal_px=250.0, shift=0.5)
    mine = contract_for_camera(canonical, Request("a.onnx", focal_px=500.0)).from_network
    assert (mine.scale, mine.shift, mine.far_m) == (0.5, 0.25, 40.0)


def test_the_logarithm_of_depth_is_moved_by_the_gains(contract):
    canonical = contract(kind="log_depth", canonical_focal_px=250.0, shift=0.5)
    mine = contract_for_camera(canonical, Request("a.onnx", focal_px=500.0)).from_network
    assert (mine.scale, mine.shift, mine.far_m) == (1.0, pytest.approx(0.5 + math.log(2)), 40.0)


def test_a_focal_length_makes_no_relative_depth_metric(contract):
    relative = contract(kind="relative_inverse_depth", canonical_focal_px=250.0)
    assert not contract_for_camera(relative, Request("a.onnx", focal_px=500.0)).from_network.is_metric
    known = replace(relative, from_network=replace(relative.from_network, scale=0.02, shift=0.05))
    assert contract_for_camera(known, Request("a.onnx", focal_px=500.0)).from_network.scale == 0.01


def test_the_intrinsics_of_a_contract_are_a_focal_length(contract):
    known = replace(contract(canonical_focal_px=250.0), intrinsics=Intrinsics(fx_px=500, fy_px=500, cx_px=9, cy_px=5))
    assert contract_for_camera(known, Request("a.onnx")).from_network.scale == 2.0


def test_without_a_focal_length_the_canonical_one_goes_along_to_the_robot(contract):
    canonical = contract(canonical_focal_px=250.0)
    assert contract_for_camera(canonical, Request("a.onnx")) == canonical


def test_a_focal_length_for_a_network_that_has_no_use_for_it_is_refused(contract):
    with pytest.raises(UsageError, match="does not depend on a focal length"):
        contract_for_camera(contract(), Request("a.onnx", focal_px=500.0))
