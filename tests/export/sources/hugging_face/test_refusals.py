"""Refusals of published networks: questions for what their files do not say, and for what no contract can."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("transformers")

from lab.public_networks.small import save_small
from mde_export.request.described import Described
from mde_export.request.request import Request
from mde_export.sources import open_source
from mde_export.sources.hugging_face import FAMILIES, REFUSED
from mde_export.sources.hugging_face.pipeline import fitted_size
from mde_runtime.errors import BadInputError, UsageError


@pytest.fixture(scope="module")
def relative(tmp_path_factory):
    return save_small("dpt", tmp_path_factory.mktemp("published") / "dpt")


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    return save_small("glpn", tmp_path_factory.mktemp("published") / "glpn")


def asked(folder, **changes):
    return replace(Request(f"hf:{folder}", source_size=(64, 96)), **changes)


def changed(folder, file, **settings):
    """The folder with other settings in one of its files; gives them back when it is done."""
    path = folder / file
    content = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize("given", [{}, {"scale": 0.1}, {"shift": 0.1}])
def test_a_relative_network_without_scale_and_shift_is_refused_with_both_ways_to_give_them(relative, given):
    with pytest.raises(UsageError, match=r"--measured FILE, or pass both --scale and --shift"):
        open_source(asked(relative, **given))


def test_a_relative_networks_far_end_is_one_over_its_shift_and_shown_as_assumed(relative):
    source = open_source(asked(relative, scale=0.1, shift=0.05))
    assert source.contract.from_network.far_m == 20.0
    assert any("20 m is assumed, 1 / shift" in note for note in source.notes)


@pytest.mark.parametrize("given", [{"scale": 0.1, "shift": 0.0}, {"scale": 0.1, "shift": -0.1}])
def test_a_relative_network_that_gives_no_far_end_needs_a_range(relative, given):
    with pytest.raises(UsageError, match="--range NEAR:FAR"):
        open_source(asked(relative, **given))
    source = open_source(asked(relative, **given, described=Described(range_m=(0.5, 8.0))))
    assert (source.contract.from_network.near_m, source.contract.from_network.far_m) == (0.5, 8.0)


def test_a_metric_network_needs_no_flag_and_its_range_is_not_assumed(metric):
    source = open_source(asked(metric))
    assert (source.contract.from_network.kind, source.contract.from_network.far_m) == ("metric_depth", 10.0)
    assert source.notes == ()


def test_a_flag_that_the_publishers_files_answer_is_refused(metric):
    with pytest.raises(UsageError, match="--interpolation does not apply to this kind of model"):
        open_source(asked(metric, described=Described(interpolation="bilinear")))


def test_the_card_and_the_folder_travel_with_the_source(metric):
    publication = open_source(asked(metric)).publication
    assert (publication.repository, publication.revision, publication.licence) == ("glpn", None, "apache-2.0")


def test_a_processor_that_pads_is_exported_only_where_nothing_is_padded(tmp_path):
    folder = save_small("dpt", tmp_path / "dpt")
    changed(folder, "preprocessor_config.json", do_pad=True, size_divisor=16, do_resize=False)
    scaled = {"scale": 0.1, "shift": 0.05}
    with pytest.raises(BadInputError, match=r"pads what comes of 70x64 to multiples of 16 px .* 64x64"):
        open_source(asked(folder, source_size=(70, 64), **scaled))
    assert open_source(asked(folder, source_size=(64, 64), **scaled)).contract.to_network.height_px == 64


def test_a_resize_that_no_contract_can_say_is_refused(tmp_path):
    folder = save_small("glpn", tmp_path / "glpn")
    changed(folder, "preprocessor_config.json", resample=1)
    with pytest.raises(BadInputError, match="Pillow's filter 1"):
        open_source(asked(folder))


def test_a_dpt_that_may_be_metric_or_relative_is_asked_which(tmp_path):
    folder = save_small("dpt-dinov2", tmp_path / "dpt")
    with pytest.raises(UsageError, match="--kind metric_depth or --kind relative_inverse_depth"):
        open_source(asked(folder, scale=0.1, shift=0.05))
    metric = Described(kind="metric_depth", range_m=(0.0, 10.0))
    assert open_source(asked(folder, described=metric)).contract.from_network.kind == "metric_depth"


def test_a_family_that_is_not_known_is_refused_with_what_its_contract_would_have_to_say(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"family 'bert' is not supported.* a --contract that says size"):
        open_source(asked(tmp_path))


def folder_of(path, **configuration):
    """A folder as a hub has it for a network that transformers does not hold: no processor's configuration."""
    (path / "config.json").write_text(json.dumps(configuration))
    (path / "model.safetensors").write_bytes(b"")
    return path


def test_every_depth_network_that_transformers_maps_is_a_family_or_refused_by_name(tmp_path):
    from transformers.models.auto import modeling_auto

    assert set(modeling_auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES) == {*FAMILIES, *REFUSED} - {"depth_anything_3"}
    for family in REFUSED:
        with pytest.raises(BadInputError, match=rf"family '{family}' is not supported: .*; "):
            open_source(asked(folder_of(tmp_path, model_type=family)))


def test_a_network_that_takes_a_lidars_map_names_one_that_needs_none(tmp_path):
    with pytest.raises(BadInputError, match=r"the depth map of a LiDAR beside the picture.*; export a network that"):
        open_source(asked(folder_of(tmp_path, model_type="prompt_depth_anything")))


def test_a_configuration_without_a_family_is_not_blamed_on_the_download(tmp_path):
    with pytest.raises(BadInputError, match=r"names no model_type, .*; export it as package\.module:build"):
        open_source(asked(folder_of(tmp_path, hidden_size=8)))


def test_a_configuration_that_is_no_json_is_refused_in_one_line(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "config.json").write_text("{")
    with pytest.raises(BadInputError, match=r"its config\.json cannot be read .*; download it again"):
        open_source(asked(folder))


def test_pickled_weights_are_not_opened(tmp_path):
    folder = save_small("glpn", tmp_path / "glpn")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadInputError, match="no weights as safetensors, and pickled ones are not opened"):
        open_source(asked(folder))


def test_weights_that_are_not_a_depth_networks_are_refused_and_not_filled_with_chance(tmp_path):
    folder = save_small("glpn", tmp_path / "glpn")
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    some = {name: value for name, value in weights.items() if not name.startswith("decoder")}
    save_file(some, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInputError, match=r"the weight decoder\..* is missing"):
        open_source(asked(folder))


def test_a_folder_without_a_configuration_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"contains no config\.json"):
        open_source(asked(tmp_path))


@pytest.mark.parametrize(
    ("source", "size"),
    [((480, 640), (392, 518)), ((640, 480), (518, 392)), ((720, 1280), (518, 924)), ((518, 518), (518, 518))],
)
def test_the_side_that_changes_less_leads_where_the_aspect_is_kept(source, size):
    # 480x640 to 518: 1.079 down and 0.809 across; down changes less, and 640 x 1.079 is 691 px, 49.3 times 14
    expected = {(480, 640): (518, 686), (640, 480): (686, 518)}.get(source, size)
    assert fitted_size(source, (518, 518), True, 14) == expected
