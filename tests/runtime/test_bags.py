"""Recordings of ROS 2 in and out, read back by mcap and mcap-ros2-support, which this project did not write."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from mcap_ros2.reader import read_ros2_messages
from PIL import Image
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from mde_runtime import installation
from mde_runtime.cli.predict import main
from mde_runtime.ros.messages import CAMERA_INFO, COMPRESSED, IMAGE, header_at, intrinsics_of, types

FLOAT32_STEP_AT_20_M = 2e-6
START_NS, STEP_NS = 1_700_000_000_123_456_789, 33_333_333
LOGGED_LATER_NS = 5_000_000  # between the camera's stamp and the recorder's
FOCAL_PX = 40.0


def raw_image(frame, encoding="rgb8", step=None):
    """Data of an Image of RGB pixels: its bytes, and how many a row has."""
    height_px, width_px, _ = frame.shape
    row, column = np.mgrid[:height_px, :width_px]
    grey = frame[..., 0]
    planes = {
        "rgb8": frame,
        "bgr8": frame[..., ::-1],
        "rgba8": np.concatenate([frame, np.full_like(frame[..., :1], 9)], axis=-1),
        "mono8": grey,
        "yuv422": np.stack([np.full_like(grey, 128), luma_of(grey)], axis=-1),
        "yuv422_yuy2": np.stack([luma_of(grey), np.full_like(grey, 128)], axis=-1),
    }
    for pattern in ("rggb", "bggr", "gbrg", "grbg"):
        place = np.array(["rgb".index(colour) for colour in pattern])[row % 2 * 2 + column % 2]
        planes[f"bayer_{pattern}8"] = np.take_along_axis(frame, place[..., None], axis=-1)[..., 0]
    pixels = np.ascontiguousarray(planes.get(encoding, frame)).reshape(height_px, -1)
    padded = np.zeros((height_px, step or pixels.shape[1]), np.uint8)
    padded[:, : pixels.shape[1]] = pixels
    return padded.reshape(-1), padded.shape[1]


def luma_of(grey):
    return np.rint(16 + grey.astype(np.float64) * 219 / 255).astype(np.uint8)


def compressed(frame, kind):
    content = io.BytesIO()
    Image.fromarray(frame).save(content, kind)
    return np.frombuffer(content.getvalue(), np.uint8)


def info_message(header, height_px=24, width_px=32, focal_px=FOCAL_PX):
    k = np.array([focal_px, 0, (width_px - 1) / 2, 0, focal_px, (height_px - 1) / 2, 0, 0, 1], np.float64)
    p = np.array([*k[:3], 0, *k[3:6], 0, *k[6:], 0])
    region = types().types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    distortion = np.array([0.1, 0.2, 0, 0, 0.3])
    return types().types[CAMERA_INFO](
        header, height_px, width_px, "plumb_bob", distortion, k, np.eye(3).reshape(-1), p, 0, 0, region
    )


@pytest.fixture
def record(tmp_path):
    """A function that records frames as a bag: its folder. info: of the camera, or none; more: other topics."""

    def make(frames, name="drive", storage="mcap", encoding="rgb8", info=info_message, more=(), step=None, kind="png"):
        bag = tmp_path / name
        topic = "/camera/image_raw/compressed" if encoding == "compressed" else "/camera/image_raw"
        message_type = COMPRESSED if encoding == "compressed" else IMAGE
        with Writer(bag, version=9, storage_plugin=StoragePlugin[storage.upper()]) as recording:
            pictures = recording.add_connection(topic, message_type, typestore=types())
            infos = recording.add_connection("/camera/camera_info", CAMERA_INFO, typestore=types()) if info else None
            for other in more:
                recording.add_connection(other, IMAGE, typestore=types())
            for index, frame in enumerate(frames):
                stamp_ns = START_NS + index * STEP_NS
                header, log_ns = header_at(stamp_ns, "front_optical"), stamp_ns + LOGGED_LATER_NS
                if infos:
                    recording.write(infos, log_ns, types().serialize_cdr(info(header), CAMERA_INFO))
                if encoding == "compressed":
                    message = types().types[COMPRESSED](
                        header, f"rgb8; {kind} compressed bgr8", compressed(frame, kind)
                    )
                else:
                    data, row_bytes = raw_image(frame, encoding, step)
                    message = types().types[IMAGE](header, *frame.shape[:2], encoding, 0, row_bytes, data)
                recording.write(pictures, log_ns, types().serialize_cdr(message, message_type))
        return bag

    return make


@pytest.fixture
def predicted(command, tiny_bundle, tmp_path):
    """A function that predicts a source into `out` and gives how that ended."""

    def run(source, *asked, code=0, bundle=tiny_bundle):
        ended = command(main, bundle, source, "-o", tmp_path / "out", *(asked or ("--format", "bag")))
        assert code is None or ended.exit_code == code, ended.stderr
        return ended

    return run


def read_back(bag):
    """The messages of a bag by topic, as mcap and mcap-ros2-support read them."""
    (path,) = bag.glob("*.mcap")
    found = {}
    for message in read_ros2_messages(path):
        found.setdefault(message.channel.topic, []).append((message.log_time_ns, message.ros_msg))
    return found


def depth_of(message):
    kind = {"32FC1": np.float32, "16UC1": np.uint16}[message.encoding]
    return np.frombuffer(bytes(message.data), kind).reshape(message.height, message.width)


def test_depth_keeps_stamps_frame_ids_and_camera_info(predicted, record, tiny_frames, tiny_depth, tmp_path):
    source = f"{record(tiny_frames) / 'drive.mcap'}:/camera/image_raw"
    ended = predicted(source)
    assert ended.stdout == f"{tmp_path / 'out' / 'drive.depth'}\n"
    topics = read_back(tmp_path / "out" / "drive.depth")
    assert sorted(topics) == ["/camera/depth/camera_info", "/camera/depth/image_raw"]
    for index, ((log_ns, image), (info_ns, info)) in enumerate(
        zip(topics["/camera/depth/image_raw"], topics["/camera/depth/camera_info"], strict=True)
    ):
        stamp_ns = START_NS + index * STEP_NS
        assert log_ns == info_ns == stamp_ns + LOGGED_LATER_NS
        for header in (image.header, info.header):
            assert header.stamp.sec * 10**9 + header.stamp.nanosec == stamp_ns
            assert header.frame_id == "front_optical"
        np.testing.assert_allclose(depth_of(image), tiny_depth(tiny_frames[index]), atol=FLOAT32_STEP_AT_20_M)
        assert (list(info.d), info.k[0], info.distortion_model) == ([0.1, 0.2, 0, 0, 0.3], FOCAL_PX, "plumb_bob")


def test_depth_along_rays_becomes_z_depth(
    predicted, record, make_bundle, tiny_contract, tiny_frames, tiny_depth, tmp_path
):
    along_rays = replace(tiny_contract, from_network=replace(tiny_contract.from_network, distance="ray"))
    bundle = make_bundle(contract=along_rays)
    predicted(record(tiny_frames[:1]), bundle=bundle)
    ((_, image),) = read_back(tmp_path / "out" / "drive.depth")["/camera/depth/image_raw"]
    y, x = np.mgrid[:24, :32]
    rays = np.sqrt(1 + ((x - 15.5) / FOCAL_PX) ** 2 + ((y - 11.5) / FOCAL_PX) ** 2)
    np.testing.assert_allclose(depth_of(image), tiny_depth(tiny_frames[0]) / rays, atol=FLOAT32_STEP_AT_20_M)
    ended = predicted(record(tiny_frames[:1], name="unknown", info=None), bundle=bundle, code=2)
    assert "a bag holds z-depth, which needs the camera; pass --intrinsics" in ended.stderr


@pytest.mark.parametrize("named", ["drive", "drive/drive.db3"])
def test_a_bag_of_sqlite3_gives_one_of_sqlite3(predicted, record, tiny_frames, tiny_depth, tmp_path, named):
    record(tiny_frames, storage="sqlite3")
    predicted(f"{tmp_path / named}:/camera/image_raw")
    with Reader(tmp_path / "out" / "drive.depth") as reader:
        images = [one for one in reader.connections if one.msgtype == IMAGE]
        depths = [depth_of(types().deserialize_cdr(raw, IMAGE)) for *_, raw in reader.messages(images)]
    assert (tmp_path / "out" / "drive.depth" / "drive.depth.db3").is_file()
    np.testing.assert_allclose(depths, tiny_depth(tiny_frames), atol=FLOAT32_STEP_AT_20_M)


def test_bag16_holds_millimetres(predicted, record, tiny_frames, tiny_depth, tmp_path):
    predicted(record(tiny_frames[:2]), "--format", "bag16")
    images = read_back(tmp_path / "out" / "drive.depth")["/camera/depth/image_raw"]
    expected_mm = np.rint(tiny_depth(tiny_frames[:2]).astype(np.float64) * 1000)
    found_mm = np.stack([depth_of(image) for _, image in images]).astype(np.float64)
    assert np.abs(found_mm - expected_mm).max() <= 1  # a float32 step may lie across a half


def test_no_measurement_is_nan_in_metres_and_0_in_millimetres(predicted, record, tiny_frames, tmp_path):
    black = np.zeros_like(tiny_frames[:1])
    for kind, value in (("bag", np.nan), ("bag16", 0)):
        predicted(record(black, name=kind), "--format", kind)
        ((_, image),) = read_back(tmp_path / "out" / f"{kind}.depth")["/camera/depth/image_raw"]
        np.testing.assert_array_equal(depth_of(image), np.full((24, 32), value))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8"])
def test_colours_are_read_whichever_way_they_lie(record, tiny_frames, encoding):
    np.testing.assert_array_equal(first_picture(record(tiny_frames[:1], encoding=encoding)), tiny_frames[0])


def first_picture(bag):
    from mde_runtime.sources import open_sources

    (source,) = open_sources([str(bag)])
    return next(iter(source.frames())).read()


def test_rows_may_be_padded(record, tiny_frames):
    np.testing.assert_array_equal(first_picture(record(tiny_frames[:1], step=128)), tiny_frames[0])


@pytest.mark.parametrize("encoding", ["mono8", "yuv422", "yuv422_yuy2"])
def test_grey_is_the_same_in_all_colours(record, tiny_frames, encoding):
    found = first_picture(record(tiny_frames[:1], encoding=encoding)).astype(int)
    assert np.abs(found - tiny_frames[0][..., :1].astype(int)).max() <= 1  # 219 levels of YUV for 256


def test_yuv_has_the_colours_of_bt601(record):
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    with_red = np.array([[90, 81, 240, 81]] * 2, np.uint8)  # Cb, Y, Cr, Y of BT.601's pure red
    bag = record([red], encoding="rgb8", name="plain")
    np.testing.assert_array_equal(first_picture(bag), red)
    from mde_runtime.sources.ros_images import rgb_of_image

    message = types().types[IMAGE](header_at(0, ""), 2, 2, "yuv422", 0, 4, with_red.reshape(-1))
    assert np.abs(rgb_of_image(message).astype(int) - red).max() <= 2  # rounded to 8 bits


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_pattern_gives_a_plain_colour_back_exactly(record, pattern):
    plain = np.broadcast_to(np.array([200, 120, 40], np.uint8), (24, 32, 3))
    np.testing.assert_array_equal(first_picture(record([plain], encoding=f"bayer_{pattern}8")), plain)


def test_a_bayer_pattern_is_bilinear_between_its_samples(record):
    ramp = np.broadcast_to(np.arange(10, 42, dtype=np.uint8)[None, :, None] * 4, (24, 32, 3))
    found = first_picture(record([ramp], encoding="bayer_rggb8"))
    np.testing.assert_array_equal(found[1:-1, 1:-1], ramp[1:-1, 1:-1])  # at the border half the neighbours are missing


@pytest.mark.parametrize(("kind", "most"), [("png", 0), ("jpeg", 40)])
def test_compressed_images_are_read(predicted, record, tiny_frames, tmp_path, kind, most):
    bag = record(tiny_frames[:1], encoding="compressed", kind=kind)
    assert np.abs(first_picture(bag).astype(int) - tiny_frames[0]).max() <= most
    predicted(bag)
    assert "/camera/depth/image_raw" in read_back(tmp_path / "out" / "drive.depth")


@pytest.mark.parametrize(
    ("topic", "focal_px"),
    [
        ("/camera/image_raw", 40.0),
        ("/camera/image_raw/compressed", 40.0),
        ("/camera/image_rect", 30.0),
        ("/camera/image_rect/compressed", 30.0),
        ("/camera/image_rect_color/compressed", 30.0),
    ],
)
def test_a_rectified_picture_has_the_projections_camera_compressed_or_not(topic, focal_px):
    info = info_message(header_at(0, "front"))
    info.p[[0, 5]] = 30.0
    camera = intrinsics_of(info, topic, 24, 32)
    assert (camera.fx_px, camera.fy_px) == (focal_px, focal_px)


def test_the_topic_is_asked_for_where_there_are_several(predicted, record, tiny_frames):
    bag = record(tiny_frames[:1], more=("/rear/image_raw",))
    ended = predicted(bag, code=3)
    assert "choose one image topic" in ended.stderr
    assert "/rear/image_raw" in ended.stderr
    ended = predicted(f"{bag}:/side/image_raw", code=3)
    assert "no topic /side/image_raw" in ended.stderr


@pytest.mark.parametrize("encoding", ["16UC1", "rgb16", "32FC1"])
def test_an_encoding_that_is_not_read_is_named_with_those_that_are(predicted, record, tiny_frames, encoding):
    ended = predicted(record(tiny_frames[:1], encoding=encoding), code=1)
    assert f"frame 0: encoding '{encoding}' is not supported; record one of rgb8, bgr8" in ended.stderr


def test_an_image_that_is_cut_short_is_left_out_and_the_rest_is_done(predicted, record, tiny_frames, tmp_path):
    bag = record(tiny_frames[:3])
    with Reader(bag) as reader, Writer(tmp_path / "cut", version=9, storage_plugin=StoragePlugin.MCAP) as recording:
        connections = {
            one.id: recording.add_connection(one.topic, one.msgtype, typestore=types()) for one in reader.connections
        }
        for index, (one, log_ns, raw) in enumerate(reader.messages()):
            if one.msgtype == IMAGE and index < 3:
                message = types().deserialize_cdr(raw, IMAGE)
                short = type(message)(message.header, 24, 32, "rgb8", 0, 96, message.data[:100])
                raw = types().serialize_cdr(short, IMAGE)
            recording.write(connections[one.id], log_ns, raw)
    ended = predicted(tmp_path / "cut", code=1)
    assert "frame 0: an image of 32x24 px (rgb8) with 100 bytes, 96 a row, is cut short" in ended.stderr
    assert "2 frames written" in ended.stderr
    assert len(read_back(tmp_path / "out" / "cut.depth")["/camera/depth/image_raw"]) == 2


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_bag_that_is_cut_off_is_named(predicted, record, tiny_frames, tmp_path, storage, share):
    bag = record(tiny_frames, storage=storage)
    (path,) = (*bag.glob("*.mcap"), *bag.glob("*.db3"))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for source in (path, bag):
        ended = predicted(f"{source}:/camera/image_raw", code=3 if storage == "mcap" or share < 0.5 else None)
        assert str(source) in ended.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.depth"))


@pytest.mark.parametrize("name", ["a.mcap", "a.db3"])
def test_what_is_no_bag_and_what_is_not_there_are_named(predicted, tmp_path, name):
    assert "no such bag" in predicted(tmp_path / name, code=3).stderr
    (tmp_path / name).write_bytes(bytes(range(256)) * 20)
    assert "damaged, cut off, or not a bag" in predicted(tmp_path / name, code=3).stderr


def test_a_bag_whose_metadata_was_never_written_is_named(predicted, record, tiny_frames):
    bag = record(tiny_frames[:1])
    (bag / "metadata.yaml").unlink()
    assert "its recording was cut off" in predicted(bag, code=3).stderr


def test_an_interrupted_run_goes_on_where_it_was(predicted, record, tiny_frames, tiny_bundle, tmp_path):
    from mde_runtime import DepthEstimator
    from mde_runtime.predict import predict
    from mde_runtime.sources import open_sources

    bag, out = record(tiny_frames), tmp_path / "out"
    with DepthEstimator.open(tiny_bundle) as estimate:
        results = predict(estimate, open_sources([str(bag)]), out, ("bag",))
        for _ in range(3):
            next(results)
        results.close()
    assert not (out / "drive.depth").exists()
    ended = predicted(bag, "--format", "bag", "--resume")
    assert "5 frames written" in ended.stderr
    assert "3 had results already" in ended.stderr
    stamps = [log_ns for log_ns, _ in read_back(out / "drive.depth")["/camera/depth/image_raw"]]
    assert stamps == [START_NS + index * STEP_NS + LOGGED_LATER_NS for index in range(8)]
    assert [path.name for path in out.iterdir()] == ["drive.depth"]
    assert "8 had results already" in predicted(bag, "--format", "bag", "--resume").stderr
    assert len(read_back(out / "drive.depth")["/camera/depth/image_raw"]) == 8


def test_a_bag_that_grew_is_finished(predicted, record, tiny_frames, tmp_path):
    predicted(record(tiny_frames[:3], name="short").rename(tmp_path / "drive"))
    shutil.rmtree(tmp_path / "drive")
    ended = predicted(record(tiny_frames), "--format", "bag", "--resume")
    assert "5 frames written" in ended.stderr
    assert len(read_back(tmp_path / "out" / "drive.depth")["/camera/depth/image_raw"]) == 8


def test_each_frame_keeps_its_own_camera_where_others_have_none(predicted, tiny_frames, save_picture, tmp_path):
    pictures = tmp_path / "pictures"
    for index in range(2):
        save_picture(pictures / f"{index}.png", tiny_frames[index])
    exif = Image.Exif()
    exif[0x8769] = {0xA405: 26}  # FocalLengthIn35mmFilm
    Image.fromarray(tiny_frames[1]).save(pictures / "1.png", exif=exif)
    before = predicted_infos(predicted, pictures, tmp_path)
    assert before == [10**8]
    save_picture(pictures / "2.png", tiny_frames[2])
    assert predicted_infos(predicted, pictures, tmp_path, "--resume") == before


def predicted_infos(predicted, pictures, tmp_path, *asked):
    """When the cameras of a folder's bag were recorded, ns."""
    predicted(pictures, "--format", "bag", *asked)
    return [log_ns for log_ns, _ in read_back(tmp_path / "out" / "pictures.depth")["/camera/depth/camera_info"]]


def test_metres_and_millimetres_never_share_a_bag(predicted, record, tiny_frames, tmp_path):
    bag = record(tiny_frames[:2])
    ended = predicted(bag, "--format", "bag", "--format", "bag16", code=2)
    assert "--format bag and --format bag16 would both write the bag" in ended.stderr
    predicted(bag, "--format", "bag")
    ended = predicted(bag, "--format", "bag16", "--resume", code=3)
    assert "drive.depth: holds depth as 32FC1, and 16UC1 cannot be added to it" in ended.stderr
    topics = read_back(tmp_path / "out" / "drive.depth")
    assert [image.encoding for _, image in topics["/camera/depth/image_raw"]] == ["32FC1", "32FC1"]


def test_parts_in_metres_are_not_finished_in_millimetres(predicted, record, tiny_frames, tiny_bundle, tmp_path):
    from mde_runtime import DepthEstimator
    from mde_runtime.predict import predict
    from mde_runtime.sources import open_sources

    bag, out = record(tiny_frames[:3]), tmp_path / "out"
    with DepthEstimator.open(tiny_bundle) as estimate:
        results = predict(estimate, open_sources([str(bag)]), out, ("bag",))
        next(results)
        results.close()
    ended = predicted(bag, "--format", "bag16", "--resume", code=3)
    assert "holds depth as 32FC1, and 16UC1 cannot be added to it" in ended.stderr


def test_a_damaged_bag_of_ours_is_named_when_it_is_resumed(predicted, record, tiny_frames, tmp_path):
    predicted(record(tiny_frames[:2]))
    (damaged,) = (tmp_path / "out" / "drive.depth").glob("*.mcap")
    damaged.write_bytes(damaged.read_bytes()[:100])
    ended = predicted(tmp_path / "drive", "--format", "bag", "--resume", code=3)
    assert "drive.depth: a damaged bag" in ended.stderr


def test_without_resume_a_bag_is_made_anew(predicted, record, tiny_frames, tmp_path):
    bag = record(tiny_frames)
    predicted(bag)
    shutil.rmtree(bag)
    predicted(record(tiny_frames[:2]))
    assert len(read_back(tmp_path / "out" / "drive.depth")["/camera/depth/image_raw"]) == 2


def test_a_folder_that_is_no_bag_of_ours_is_never_replaced(predicted, record, tiny_frames, tmp_path):
    precious = tmp_path / "out" / "drive.depth" / "precious.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    assert "not a bag from mde-predict" in predicted(record(tiny_frames[:1]), code=1).stderr
    assert precious.read_text() == "mine"


def test_pictures_give_a_bag_too(predicted, tiny_frames, save_picture, tmp_path):
    for index in range(3):
        save_picture(tmp_path / "pictures" / f"{index}.png", tiny_frames[index])
    predicted(tmp_path / "pictures", "--format", "bag", "--focal-px", "40")
    topics = read_back(tmp_path / "out" / "pictures.depth")
    assert [log_ns for log_ns, _ in topics["/camera/depth/image_raw"]] == [0, 10**8, 2 * 10**8]
    assert topics["/camera/depth/camera_info"][0][1].k[0] == 40.0


def test_a_point_cloud_takes_the_camera_of_the_camera_info(predicted, record, tiny_frames, tmp_path):
    predicted(record(tiny_frames[:1]), "--format", "ply")
    _, _, body = (tmp_path / "out" / "drive" / "000000.ply").read_bytes().partition(b"end_header\n")
    xyz = np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))["xyz"]
    assert 31 / np.ptp(xyz[:, 0] / xyz[:, 2]) == pytest.approx(FOCAL_PX, rel=1e-5)


def test_depth_that_is_metric_for_one_focal_length_takes_it_from_the_camera_info(
    predicted, record, make_bundle, tiny_contract, tiny_frames, tiny_depth, tmp_path
):
    from dataclasses import replace

    from_network = replace(tiny_contract.from_network, canonical_focal_px=20.0)
    bundle = make_bundle("canonical.mde", contract=replace(tiny_contract, from_network=from_network))
    predicted(record(tiny_frames[:1]), "--format", "npy", bundle=bundle)
    depth_m = np.load(tmp_path / "out" / "drive" / "000000.npy")
    np.testing.assert_allclose(depth_m, 2 * tiny_depth(tiny_frames[0]), rtol=1e-5)
    ended = predicted(record(tiny_frames[:1], name="blind", info=None), "--format", "npy", bundle=bundle, code=2)
    assert "--focal-px" in ended.stderr


def test_progress_knows_how_many_frames_a_bag_has(record, tiny_frames):
    from mde_runtime.sources import open_sources

    (source,) = open_sources([str(record(tiny_frames))])
    assert (source.num_frames, source.is_live) == (8, False)


def test_without_rosbags_the_extra_is_named(predicted, record, tiny_frames, monkeypatch):
    bag = record(tiny_frames[:1])
    types.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "rosbags.typesys", None)
    try:
        assert installation.adding("bag") in predicted(bag, code=4).stderr
    finally:
        monkeypatch.undo()
        types.cache_clear()
