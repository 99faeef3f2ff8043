import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mde_runtime import BadInputError, records
from mde_runtime.contract import Contract, FromNetwork, Intrinsics, Placement, SourceFrame, ToNetwork

SEED_A = Contract(
    source=SourceFrame(height_px=144, width_px=256, colour="rgb", dtype="uint8", layout="NHWC"),
    to_network=ToNetwork(
        height_px=224,
        width_px=224,
        multiple_of_px=32,
        resize="stretch",
        interpolation="bilinear",
        antialias=True,
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
        covers=(0, 0, 224, 224),
        interpolation="bilinear",
        antialias=True,
        align_corners=False,
        via_input=True,
        inversion="before_resize",
        scale=1.0,
        shift=0.0,
        canonical_focal_px=None,
    ),
    intrinsics=Intrinsics(fx_px=200.0, fy_px=200.0, cx_px=127.5, cy_px=71.5),
)


def with_to_network(**changes: object) -> Contract:
    return dataclasses.replace(SEED_A, to_network=dataclasses.replace(SEED_A.to_network, **changes))


def with_from_network(**changes: object) -> Contract:
    return dataclasses.replace(SEED_A, from_network=dataclasses.replace(SEED_A.from_network, **changes))


def test_a_contract_survives_the_disk():
    assert Contract.loads(records.dumps(SEED_A)) == SEED_A
    without_camera = dataclasses.replace(SEED_A, intrinsics=None)
    assert Contract.loads(records.dumps(without_camera)) == without_camera


def of_version_1(contract: Contract) -> dict:
    content = records.to_json(contract)
    del content["version"]
    for key in ("align_corners", "rounding", "pad_px", "padding", "fill"):
        del content["to_network"][key]
    for key in ("align_corners", "via_input", "inversion", "canonical_focal_px"):
        del content["from_network"][key]
    return content


def test_a_contract_of_version_1_means_what_it_meant():
    assert Contract.loads(json.dumps(of_version_1(SEED_A))) == SEED_A


def test_a_contract_that_says_version_2_has_to_say_all_of_it():
    with pytest.raises(BadInputError, match="the key 'align_corners' is missing"):
        Contract.loads(json.dumps({"version": 2, **of_version_1(SEED_A)}))


def test_a_contract_of_a_later_version_is_refused():
    with pytest.raises(BadInputError, match=r"contract\.version: 3 is not one of 2"):
        Contract.loads(json.dumps({**records.to_json(SEED_A), "version": 3}))


@pytest.mark.parametrize("key", ["padding", "fill"])
def test_padding_is_a_word_or_a_level(key):
    content = records.to_json(SEED_A)
    content["to_network"][key] = 114
    assert getattr(records.from_json(Contract, content, "contract").to_network, key) == 114.0
    content["to_network"][key] = "grey"
    with pytest.raises(BadInputError, match=f"{key}: 'grey' is not one of"):
        records.from_json(Contract, content, "contract")


def test_the_padding_of_the_frame_is_not_seen_as_frame():
    padded = with_to_network(pad_px=(10, 20, 30, 40), padding="edge")
    assert padded.padded_size == (184, 316)
    assert padded.seen == (slice(0, 144), slice(0, 256))
    # 112 of 224 rows hold 92 of the 184 padded ones; 10 of them are padding
    upper = dataclasses.replace(padded, from_network=dataclasses.replace(padded.from_network, covers=(0, 0, 112, 224)))
    assert upper.seen == (slice(0, 82), slice(0, 256))


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (
            lambda: SourceFrame(height_px=0, width_px=256, colour="rgb", dtype="uint8", layout="NHWC"),
            r"contract\.source\.height_px: 0",
        ),
        (
            lambda: SourceFrame(height_px=144, width_px=10**6, colour="rgb", dtype="uint8", layout="NHWC"),
            r"contract\.source\.width_px: 1000000",
        ),
        (lambda: with_to_network(height_px=225), "225 px is not a multiple of 32 px; the next is 256 px"),
        (lambda: with_to_network(multiple_of_px=0), "multiple_of_px: 0"),
        (lambda: with_to_network(std=(1.0, 0.0, 1.0)), "std: 1,0,1 must be greater than 0; write 1,1,1"),
        (lambda: with_to_network(scale=0.0), "scale: 0 is not greater than 0"),
        (lambda: with_to_network(resize="pad"), r"144 px pads to 160 px \(a multiple of 32\), not to 224 px"),
        (lambda: with_to_network(height_px=192), "reaches beyond the network's input of 192x224 px"),
        (lambda: with_from_network(near_m=20.0), "0 <= near < far"),
        (lambda: with_from_network(near_m=-1.0), "0 <= near < far"),
        (lambda: with_from_network(far_m=1e200), "near < far <= 1e\\+09"),
        (lambda: with_from_network(covers=(5, 0, 5, 224)), "is empty"),
        (lambda: with_from_network(scale=0.0), "the same depth everywhere"),
        (lambda: with_to_network(align_corners=True), "to_network: antialias and align_corners exclude each other"),
        (lambda: with_from_network(align_corners=True), "from_network: antialias and align_corners exclude"),
        (lambda: with_to_network(antialias=False, rounding="uint8"), "uint8 needs antialias"),
        (lambda: with_to_network(interpolation="area", antialias=False), "area always averages"),
        (lambda: with_to_network(interpolation="area", rounding="uint8"), "uint8 does not go with area"),
        (lambda: with_to_network(pad_px=(0, -1, 0, 0)), "is negative"),
        (lambda: with_to_network(pad_px=(144, 0, 0, 0), padding="reflect"), "144 px cannot be reflected from 144 px"),
        (lambda: with_to_network(padding=256.0), "padding: 256 is not a pixel value"),
        (lambda: with_to_network(fill=-1.0), "fill: -1 is not a pixel value"),
        (
            lambda: with_from_network(via_input=False, covers=(0, 0, 112, 224)),
            "via_input: false needs a frame stretched",
        ),
        (lambda: with_from_network(canonical_focal_px=0.0), "0 is not greater than 0 px"),
        (lambda: Intrinsics(fx_px=0.0, fy_px=1.0, cx_px=0.0, cy_px=0.0), "greater than 0 px"),
    ],
)
def test_a_contract_that_contradicts_itself_cannot_be_made(broken, complaint):
    with pytest.raises(BadInputError, match=complaint):
        broken()


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEAN_LEVELS, STD_LEVELS = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize(
    ("scale", "mean", "std"),
    [
        (1 / 255, IMAGENET_MEAN, IMAGENET_STD),
        (1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        (1 / 127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        (1.0, (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
        (1.0, (128.0, 128.0, 128.0), (256.0, 256.0, 256.0)),
        (1.0, MEAN_LEVELS, STD_LEVELS),
        (1.0, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0)),
        (0.017, (103.94 * 0.017, 116.78 * 0.017, 123.68 * 0.017), (1.0, 1.0, 1.0)),
        (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        (1 / 255, (0.0, 0.0, 0.0), (0.0039216, 0.0039216, 0.0039216)),
        (1 / 255, IMAGENET_MEAN, (1 / 255, 1 / 255, 1 / 255)),
        (1 / 255, (-0.5, -0.5, -0.5), (1.0, 1.0, 1.0)),
    ],
    ids=["ImageNet", "-1 to 1", "-1 to 1 by the scale", "-1 to 1 of levels", "near -1/2 to 1/2 of levels",
         "ImageNet of levels", "means of levels alone", "means and one factor", "levels", "levels by the std",
         "levels about the mean", "above 0"],
)  # fmt: skip
def test_a_normalisation_that_networks_are_trained_with_is_taken(scale, mean, std):
    assert with_to_network(scale=scale, mean=mean, std=std).to_network.mean == mean


@pytest.mark.parametrize(
    ("scale", "mean", "std", "complaint"),
    [
        (1 / 255, MEAN_LEVELS, (1.0, 1.0, 1.0), "mean: .*from 0 to 1; did you mean 0.485,0.456,0.406"),
        (1 / 255, MEAN_LEVELS, STD_LEVELS, "mean: .*from 0 to 1; did you mean 0.485,0.456,0.406"),
        (1 / 255, IMAGENET_MEAN, STD_LEVELS, "std: .*from 0 to 1; did you mean 0.229,0.224,0.225"),
        (1 / 127.5, (127.5, 127.5, 127.5), (1.0, 1.0, 1.0), "mean: .*from 0 to 2; did you mean 1,1,1"),
        (1 / 255, (-120.0, -110.0, -100.0), (1.0, 1.0, 1.0), "mean: .*from 0 to 1; write the values used in training"),
        (1 / 255, (0.5, 0.5, 9.0), (1.0, 1.0, 1.0), "mean: 0.5,0.5,9, where"),
        (1.0, IMAGENET_MEAN, IMAGENET_STD, r"values up to 1136, .* write scale 0.00392157 \(1/255\)"),
        (1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "values up to 509"),
        (1 / 255, IMAGENET_MEAN, (1e-6, 1.0, 1.0), "values up to 5.15e[+]05, .* or the std used in training"),
    ],
)
def test_a_normalisation_on_another_scale_than_its_colours_is_refused(scale, mean, std, complaint):
    with pytest.raises(BadInputError, match=complaint) as caught:
        with_to_network(scale=scale, mean=mean, std=std)
    assert "\n" not in str(caught.value)


def test_relative_depth_is_metric_only_after_scale_and_shift_were_fitted():
    assert SEED_A.from_network.is_metric
    relative = with_from_network(kind="relative_inverse_depth").from_network
    assert not relative.is_metric
    assert dataclasses.replace(relative, scale=0.02, shift=0.1).is_metric


@pytest.mark.parametrize(
    ("resize", "size", "placement"),
    [
        ("stretch", (224, 224), Placement(height_px=224, width_px=224, top_px=0, left_px=0)),
        ("letterbox", (224, 224), Placement(height_px=126, width_px=224, top_px=49, left_px=0)),
        ("crop", (224, 224), Placement(height_px=224, width_px=398, top_px=0, left_px=-87)),
        ("pad", (160, 256), Placement(height_px=144, width_px=256, top_px=8, left_px=0)),
    ],
)
def test_the_policy_places_the_frame_in_the_networks_input(resize, size, placement):
    to_network = dataclasses.replace(SEED_A.to_network, height_px=size[0], width_px=size[1], resize=resize)
    from_network = dataclasses.replace(SEED_A.from_network, covers=(0, 0, *size))
    assert dataclasses.replace(SEED_A, to_network=to_network, from_network=from_network).placement == placement


@given(
    st.sampled_from(["letterbox", "crop"]), *(st.integers(1, 60).map(lambda n: n * 8) for _ in range(2)),
    *(st.integers(1, 800) for _ in range(2)),
)  # fmt: skip
def test_letterbox_lies_inside_and_crop_covers(resize, height, width, source_height, source_width):
    contract = Contract(
        source=SourceFrame(height_px=source_height, width_px=source_width, colour="rgb", dtype="uint8", layout="NHWC"),
        to_network=dataclasses.replace(
            SEED_A.to_network, height_px=height, width_px=width, multiple_of_px=8, resize=resize
        ),
        from_network=dataclasses.replace(SEED_A.from_network, covers=(0, 0, height, width)),
        intrinsics=None,
    )
    placed = contract.placement
    bottom, right = placed.top_px + placed.height_px, placed.left_px + placed.width_px
    if resize == "letterbox":
        assert 0 <= placed.top_px <= bottom <= height
        assert 0 <= placed.left_px <= right <= width
    else:
        assert placed.top_px <= 0 <= height <= bottom
        assert placed.left_px <= 0 <= width <= right


@pytest.mark.parametrize("record", [Contract, SourceFrame, ToNetwork, FromNetwork, Intrinsics, Placement])
def test_a_contract_is_written_by_name_alone(record):
    with pytest.raises(TypeError, match="positional"):
        record(*[1] * len(dataclasses.fields(record)))
