import numpy as np
import pytest

from mde_runtime.errors import BadInputError, UsageError
from mde_runtime.protocols import PROTOCOLS, open_protocol


def street(seed: int, height_px: int = 36, width_px: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 60, (height_px, width_px)).astype(np.float32)


def judged(protocol: str, pairs):
    accumulator = open_protocol(protocol)
    for depth_m, truth_m in pairs:
        accumulator.add(depth_m, truth_m)
    return accumulator.result()


SIZES = {
    "plain": (36, 64),
    "seed": (36, 64),
    "seed-raw": (36, 64),
    "nyu": (480, 640),
    "kitti": (60, 200),
    "kitti-eigen": (60, 200),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_truth_itself_is_perfect(protocol):
    truth_m = np.clip(street(1, *SIZES[protocol]), 0, 20)
    figures = judged(protocol, [(truth_m, truth_m)])
    perfect = {"ssim": 1.0, "delta1": 1.0, "delta2": 1.0, "delta3": 1.0}
    assert figures.values == {name: pytest.approx(perfect.get(name, 0.0), abs=1e-12) for name in figures.values}
    assert (figures.protocol, figures.num_frames) == (protocol, 1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_depth_is_not_perfect(protocol):
    truth_m = np.clip(street(1, *SIZES[protocol]), 0, 20)
    assert judged(protocol, [(truth_m * 0.5, truth_m)]).values["rmse_m"] > 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_frame_is_no_score(protocol):
    with pytest.raises(BadInputError, match=f"protocol {protocol}: no frame was judged"):
        open_protocol(protocol).result()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_depth_that_is_no_number_is_refused_with_its_frame(protocol, value):
    truth_m = np.clip(street(1, *SIZES[protocol]), 0, 20)
    spoilt = truth_m.copy()
    spoilt[7, 7] = value
    with pytest.raises(BadInputError, match=f"protocol {protocol}, frame 1: the depth contains NaN or Inf"):
        judged(protocol, [(truth_m, truth_m), (spoilt, truth_m)])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_value_is_the_plain_mean_of_the_parts(protocol):
    truths = [np.clip(street(seed, *SIZES[protocol]), 0, 20) for seed in range(3)]
    figures = judged(protocol, [(truth_m * 0.9, truth_m) for truth_m in truths])
    for name, parts in figures.parts.items():
        assert figures.values[name] == pytest.approx(np.mean(parts))


def test_an_unknown_protocol_lists_those_that_are_known():
    with pytest.raises(UsageError, match=r"protocol 'kiti': unknown; choose from plain, seed, seed-raw"):
        open_protocol("kiti")


def test_seed_clips_the_truth_at_20_m_before_it_is_resized():
    truth_m = np.full((36, 64), 5, np.float32)
    truth_m[:, ::2] = 100  # resized first, the columns would blend to more than 20 m
    assert judged("seed", [(np.full((36, 64), 20, np.float32), truth_m)]).values["rmse_m"] > 5


def test_seed_clips_the_depth_and_seed_raw_does_not():
    truth_m, beyond_m = np.full((36, 64), 20, np.float32), np.full((36, 64), 23, np.float32)
    assert judged("seed", [(beyond_m, truth_m)]).values["rmse_m"] == pytest.approx(0, abs=1e-5)
    assert judged("seed-raw", [(beyond_m, truth_m)]).values["rmse_m"] == pytest.approx(3, abs=1e-5)


def test_seed_raw_takes_a_prediction_at_network_size_as_it_is():
    truth_m = street(3)
    raw_m = np.random.default_rng(4).uniform(-5, 30, (224, 224)).astype(np.float32)
    resized_truth_m = _by_torch(np.clip(truth_m, 0, 20))
    expected_m = float(np.sqrt(np.mean((raw_m.astype(np.float64) - resized_truth_m) ** 2)))
    assert judged("seed-raw", [(raw_m, truth_m)]).values["rmse_m"] == pytest.approx(expected_m, abs=1e-5)


def test_seed_averages_batches_of_32_whatever_the_length_of_the_last():
    truth_m = np.full((36, 64), 10, np.float32)
    offsets_m = np.random.default_rng(5).uniform(0, 8, 40)
    figures = judged("seed", [(truth_m + np.float32(offset_m), truth_m) for offset_m in offsets_m])
    first, last = (np.sqrt(np.mean(part**2)) for part in (offsets_m[:32], offsets_m[32:]))
    assert figures.parts["rmse_m"] == (pytest.approx(first, abs=1e-5), pytest.approx(last, abs=1e-5))
    assert figures.values["rmse_m"] == pytest.approx((first + last) / 2, abs=1e-5)


def test_seeds_ssim_is_that_of_scikit_image_with_zeros_around_and_a_data_range_of_1():
    skimage = pytest.importorskip("skimage.metrics")
    depth_m, truth_m = (np.clip(street(seed, 224, 224), 0, 20).astype(np.float64) for seed in (1, 2))
    pad = 5  # the window's radius: scikit-image mirrors at the border, so the zeros are laid around by hand
    _, full = skimage.structural_similarity(
        np.pad(depth_m, 2 * pad),
        np.pad(truth_m, 2 * pad),
        gaussian_weights=True,
        use_sample_covariance=False,
        sigma=1.5,
        truncate=pad / 1.5,
        data_range=1.0,
        full=True,
    )
    expected = full[2 * pad : -2 * pad, 2 * pad : -2 * pad].mean()
    assert judged("seed", [(depth_m, truth_m)]).values["ssim"] == pytest.approx(expected, abs=1e-9)


def test_seed_refuses_a_truth_that_needs_a_mask():
    truth_m = street(1)
    truth_m[0, :4] = 0
    with pytest.raises(BadInputError, match="frame 0: 4 pixels of the ground truth were not measured"):
        judged("seed", [(street(2), truth_m)])


def test_nyu_counts_only_the_crop_and_the_measured_pixels_within_10_m():
    truth_m = np.full((480, 640), 4, np.float32)
    depth_m = truth_m.copy()
    depth_m[:45], depth_m[471:], depth_m[:, :41], depth_m[:, 601:] = 9, 9, 9, 9  # outside the crop: not counted
    truth_m[100:110], truth_m[200:210] = 0, 10  # no measurement, and at the cap: masked
    assert judged("nyu", [(depth_m, truth_m)]).values["rmse_m"] == 0
    depth_m[45, 41] = 5
    assert judged("nyu", [(depth_m, truth_m)]).values["rmse_m"] > 0


def test_nyu_is_for_480x640_px():
    with pytest.raises(BadInputError, match="truth of 36x64 px; its crop is made for 480x640 px"):
        judged("nyu", [(street(1), street(1))])


@pytest.mark.parametrize(
    ("protocol", "rows", "columns"), [("kitti", (153, 371), (44, 1197)), ("kitti-eigen", (124, 342), (44, 1197))]
)
def test_kitti_counts_only_its_crop(protocol, rows, columns):
    truth_m = np.full((375, 1242), 30, np.float32)
    (top, bottom), (left, right) = rows, columns
    for row, column, counts in [
        (top, left, True),
        (bottom - 1, right - 1, True),
        (top - 1, left, False),
        (top, left - 1, False),
        (bottom, left, False),
        (top, right, False),
    ]:
        depth_m = truth_m.copy()
        depth_m[row, column] = 60
        assert (judged(protocol, [(depth_m, truth_m)]).values["rmse_m"] > 0) == counts


def test_masked_figures_are_those_of_the_field():
    truth_m = np.full((375, 1242), 10, np.float32)
    values = judged("kitti", [(truth_m * np.float32(1.5), truth_m)]).values
    assert values == {
        "abs_rel": pytest.approx(0.5),
        "rmse_m": pytest.approx(5),
        "rmse_log": pytest.approx(np.log(1.5)),
        "log10": pytest.approx(np.log10(1.5)),
        "silog": pytest.approx(0, abs=1e-5),
        "delta1": 0.0,
        "delta2": 1.0,
        "delta3": 1.0,
    }


def test_a_frame_without_a_measurement_is_refused_with_its_number():
    truth_m = np.zeros((375, 1242), np.float32)
    with pytest.raises(BadInputError, match=r"protocol kitti, frame 0: no pixel of the ground truth is between"):
        judged("kitti", [(truth_m, truth_m)])


def _by_torch(truth_m: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch")
    maps = torch.from_numpy(truth_m)[None, None]
    resized = torch.nn.functional.interpolate(maps, (224, 224), mode="bilinear", align_corners=False, antialias=True)
    return resized[0, 0].numpy().astype(np.float64)
