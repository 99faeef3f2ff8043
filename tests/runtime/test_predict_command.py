import dataclasses
import os
import re
import resource
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mde_runtime import DepthEstimator
from mde_runtime.cli.bundle import main as bundle_main
from mde_runtime.cli.predict import main
from mde_runtime.predict import predict
from mde_runtime.sources import open_sources

FLOAT32_STEP_AT_20_M = 2e-6
HALF_A_MILLIMETRE_M = 0.0005 + FLOAT32_STEP_AT_20_M


def test_a_picture_becomes_depth_in_metres(command, tiny_bundle, tiny_frames, tiny_depth, save_picture, tmp_path):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    ended = command(main, tiny_bundle, picture, "-o", tmp_path / "out")
    assert (ended.exit_code, ended.stdout) == (0, f"{tmp_path / 'out' / 'frame.npy'}\n")
    depth_m = np.load(tmp_path / "out" / "frame.npy")
    assert depth_m.dtype == np.float32
    np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[0]), atol=FLOAT32_STEP_AT_20_M)


def test_the_sample_needs_no_file_of_ones_own_and_shows_its_depth(command, tmp_path):
    ended = command(main, "--sample", "-o", tmp_path / "out")
    assert (ended.exit_code, ended.stdout) == (0, f"{tmp_path / 'out' / 'street.side.png'}\n")
    assert re.search(r"^the sample: .*fast\.mde$", ended.stderr, re.MULTILINE)


def test_the_sample_takes_pictures_and_formats_of_ones_own(command, tiny_frames, save_picture, tmp_path):
    pictures = [save_picture(tmp_path / name, tiny_frames[0]) for name in ("a.png", "b.png")]
    ended = command(main, "--sample", *pictures, "-o", tmp_path / "out", "--format", "npy")
    assert ended.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.npy", "b.npy"]


@pytest.mark.parametrize("given", [(), ("model.mde",)], ids=["nothing", "a bundle alone"])
def test_without_the_sample_a_bundle_and_a_source_are_asked_for(command, given, tmp_path):
    ended = command(main, *given, "-o", tmp_path / "out")
    assert ended.exit_code == 2
    assert "pass BUNDLE and SOURCE, or --sample" in ended.stderr


def test_png16_holds_millimetres(command, tiny_bundle, tiny_frames, tiny_depth, save_picture, tmp_path):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    assert command(main, tiny_bundle, picture, "-o", tmp_path / "out", "--format", "png16").exit_code == 0
    with Image.open(tmp_path / "out" / "frame.depth.png") as image:
        depth_m = np.asarray(image).astype(np.float64) / 1000
    np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[0]), atol=HALF_A_MILLIMETRE_M)


@pytest.mark.parametrize(("asked", "is_near_bright"), [((), True), (("--colours", "far-bright"), False)])
def test_the_colour_picture_has_a_scale_below_it(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path, asked, is_near_bright
):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    assert command(main, tiny_bundle, picture, "-o", tmp_path / "out", "--format", "colour", *asked).exit_code == 0
    with Image.open(tmp_path / "out" / "frame.colour.png") as image:
        colours = np.asarray(image).astype(int)
    assert colours.shape[0] > 24
    assert (colours[0].sum() > colours[23].sum()) == is_near_bright  # the depth goes from near to far
    assert (colours[28, 0].sum() > colours[28, -1].sum()) == is_near_bright  # and so does the scale


def test_a_folder_keeps_its_shape(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    for index, name in enumerate(("a/0.png", "a/1.png", "b/0.png")):
        save_picture(tmp_path / "in" / name, tiny_frames[index])
    ended = command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out")
    assert ended.exit_code == 0
    assert ended.stdout.split() == [str(tmp_path / "out" / name) for name in ("a/0.npy", "a/1.npy", "b/0.npy")]


def test_a_pattern_is_expanded(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    for index in range(2):
        save_picture(tmp_path / f"{index}.png", tiny_frames[index])
    ended = command(main, tiny_bundle, tmp_path / "*.png", "-o", tmp_path / "out")
    assert len(ended.stdout.split()) == 2


def test_another_size_is_resized_said_once_and_given_back(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    large = np.repeat(np.repeat(tiny_frames[:2], 3, axis=1), 2, axis=2)
    for index in range(2):
        save_picture(tmp_path / "in" / f"{index}.png", large[index])
    ended = command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out")
    assert ended.exit_code == 0
    assert ended.stderr.count("resized to 24x32 px for the network, stretched") == 1
    assert np.load(tmp_path / "out" / "1.npy").shape == (72, 64)


def test_exif_rotation_is_honoured(command, tiny_bundle, tiny_frames, tiny_depth, save_picture, tmp_path):
    upside_down = save_picture(tmp_path / "frame.png", tiny_frames[0][::-1, ::-1], orientation=3)
    command(main, tiny_bundle, upside_down, "-o", tmp_path / "out")
    depth_m = np.load(tmp_path / "out" / "frame.npy")
    np.testing.assert_allclose(depth_m, tiny_depth(tiny_frames[0]), atol=FLOAT32_STEP_AT_20_M)


def test_an_unreadable_frame_is_named_skipped_and_counted(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    save_picture(tmp_path / "in" / "good.png", tiny_frames[0])
    cut = save_picture(tmp_path / "in" / "cut.png", tiny_frames[0])
    cut.write_bytes(cut.read_bytes()[:200])
    ended = command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out")
    assert ended.exit_code == 1
    assert f"skipped: {cut}: not a readable picture" in ended.stderr
    assert f"1 frame written to {tmp_path / 'out'}, 1 skipped" in ended.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.npy"]


def test_depth_beyond_16_bits_of_millimetres_is_an_error_and_no_wrap(
    command, make_bundle, tiny_contract, tiny_graph, tiny_frames, tiny_depth, save_picture, tmp_path
):
    far = dataclasses.replace(tiny_contract, from_network=dataclasses.replace(tiny_contract.from_network, far_m=100.0))
    graph = tiny_graph(offset_m=60.0, far_m=100.0)
    bundle = make_bundle("far.mde", {"fp32": graph}, tiny_depth(tiny_frames) + 60, far)
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    ended = command(main, bundle, picture, "-o", tmp_path / "out", "--format", "png16")
    assert ended.exit_code == 1
    assert "does not fit 16 bits of millimetres" in ended.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_side_by_side_holds_the_picture_and_its_depth(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    assert command(main, tiny_bundle, picture, "-o", tmp_path / "out", "--format", "side").exit_code == 0
    with Image.open(tmp_path / "out" / "frame.side.png") as image:
        side = np.asarray(image)
    assert side.shape[1] == 64
    np.testing.assert_array_equal(side[:24, :32], tiny_frames[0])


def read_ply(path):
    header, _, body = path.read_bytes().partition(b"end_header\n")
    vertices = np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))
    assert f"element vertex {len(vertices)}\n".encode() in header
    return vertices["xyz"], vertices["rgb"]


def test_a_point_cloud_projects_back_onto_the_picture(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    ended = command(main, tiny_bundle, picture, "-o", tmp_path / "out", "--format", "ply", "--focal-px", "40")
    assert ended.exit_code == 0, ended.stderr
    xyz, rgb = read_ply(tmp_path / "out" / "frame.ply")
    columns, rows = (np.rint(xyz[:, axis] / xyz[:, 2] * 40 + centre) for axis, centre in ((0, 15.5), (1, 11.5)))
    assert len(xyz) == 24 * 32
    np.testing.assert_array_equal(rgb, tiny_frames[0][rows.astype(int), columns.astype(int)])


def test_a_larger_picture_has_the_same_points_at_a_finer_step(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path
):
    large = np.repeat(np.repeat(tiny_frames[0], 4, axis=0), 4, axis=1)
    for name, frame in (("small", tiny_frames[0]), ("large", large)):
        picture = save_picture(tmp_path / f"{name}.png", frame)
        command(main, tiny_bundle, picture, "-o", tmp_path / "out", "--format", "ply", "--focal-px", "40")
    small, large_xyz = (read_ply(tmp_path / "out" / f"{name}.ply")[0] for name in ("small", "large"))
    half_a_pixel = 0.5 / 40  # as a share of the depth: the outermost centres lie that much farther out
    for side in (np.min, np.max):
        directions = [side(xyz[:, :2] / xyz[:, 2:], axis=0) for xyz in (small, large_xyz)]
        np.testing.assert_allclose(*directions, atol=half_a_pixel)


def test_a_point_cloud_without_a_camera_is_refused_with_the_remedy(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path
):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    ended = command(main, tiny_bundle, picture, "-o", tmp_path / "out", "--format", "ply")
    assert (ended.exit_code, "pass --focal-px" in ended.stderr) == (2, True)


def film_of(path, frames):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_video_becomes_depth_for_each_frame(command, tiny_bundle, tiny_frames, tiny_depth, tmp_path):
    pytest.importorskip("av", reason="an extra")
    film = film_of(tmp_path / "film.mp4", tiny_frames)
    ended = command(main, tiny_bundle, film, "-o", tmp_path / "out")
    assert ended.exit_code == 0, ended.stderr
    found = np.stack([np.load(path) for path in sorted((tmp_path / "out" / "film").iterdir())])
    # The codec loses colour, most of it noise: the mean of a frame keeps.
    np.testing.assert_allclose(found.mean(axis=(1, 2)), tiny_depth(tiny_frames).mean(axis=(1, 2)), atol=0.3)


def test_a_video_becomes_a_coloured_video_of_its_speed(command, tiny_bundle, tiny_frames, tmp_path):
    av = pytest.importorskip("av", reason="an extra")
    film = film_of(tmp_path / "film.mp4", tiny_frames)
    ended = command(main, tiny_bundle, film, "-o", tmp_path / "out", "--format", "video")
    assert ended.stdout.splitlines() == [str(tmp_path / "out" / "film.depth.mp4")]
    with av.open(str(tmp_path / "out" / "film.depth.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(tiny_frames)
        assert container.streams.video[0].average_rate == 5
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film.depth.mp4"]


def test_a_video_is_not_replaced_by_the_film_made_of_it(command, tiny_bundle, tiny_frames, tmp_path):
    film = film_of(tmp_path / "film.mp4", tiny_frames)
    content = film.read_bytes()
    assert command(main, tiny_bundle, film, "-o", tmp_path, "--format", "video").exit_code == 0
    assert film.read_bytes() == content


def films_in(folder):
    """How many frames each film below a folder has."""
    av = pytest.importorskip("av", reason="an extra")
    counts = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with av.open(str(path)) as container:
                counts[path.relative_to(folder).as_posix()] = sum(1 for _ in container.decode(video=0))
    return counts


def test_each_folder_of_pictures_becomes_a_film_of_its_own(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    for index, name in enumerate(("a/0.png", "a/1.png", "b.png", "c/0.png", "c/a/0.png", "d.png", "e.png")):
        save_picture(tmp_path / "drive" / name, tiny_frames[index])
    ended = command(main, tiny_bundle, tmp_path / "drive", "-o", tmp_path / "out", "--format", "video")
    assert ended.exit_code == 0, ended.stderr
    assert films_in(tmp_path / "out") == {
        "drive.depth.mp4": 3,
        "drive/a.depth.mp4": 2,
        "drive/c.depth.mp4": 1,
        "drive/c/a.depth.mp4": 1,
    }


def test_each_source_becomes_a_film_of_its_own(command, tiny_bundle, tiny_frames, save_picture, tmp_path, monkeypatch):
    pytest.importorskip("av", reason="an extra")
    monkeypatch.chdir(tmp_path)
    film_of(tmp_path / "film.mp4", tiny_frames[:4])
    for index, name in enumerate(("one/0.png", "one/1.png", "two/2.png", "3.png", "4.png", "5.png")):
        save_picture(tmp_path / name, tiny_frames[index])
    sources = ("one", "film.mp4", "two", "3.png", "[45].png")
    ended = command(main, tiny_bundle, *sources, "-o", "out", "--format", "video")
    assert ended.exit_code == 0, ended.stderr
    assert films_in(tmp_path / "out") == {
        "one.depth.mp4": 2,
        "film.depth.mp4": 4,
        "two.depth.mp4": 1,
        "pictures.depth.mp4": 3,
    }


@pytest.mark.parametrize(
    ("sources", "film"),
    [
        (("x/one", "y/one"), "one"),
        (("x/one", "y/film.mp4", "y/one"), "one"),
        (("y/film.mp4", "x/film"), "film"),
        (("x/one/0.png", "y/film.mp4", "y/one/1.png"), "pictures"),
        (("x/one/0.png", "x/pictures"), "pictures"),
    ],
)
def test_sources_whose_films_would_replace_each_other_are_refused_before_anything_is_written(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path, monkeypatch, sources, film
):
    pytest.importorskip("av", reason="an extra")
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("x/one/0.png", "y/one/1.png", "x/film/2.png", "x/pictures/3.png")):
        save_picture(tmp_path / name, tiny_frames[index])
    film_of(tmp_path / "y" / "film.mp4", tiny_frames)
    ended = command(main, tiny_bundle, *sources, "-o", "out", "--format", "npy", "--format", "video")
    assert ended.exit_code == 2
    assert f"would both write the video {film}; use different output folders" in ended.stderr
    assert not (tmp_path / "out").exists()
    assert command(main, tiny_bundle, *sources, "-o", "out").exit_code == 0


def test_a_file_that_only_calls_itself_a_video_is_refused(command, tiny_bundle, tmp_path):
    pytest.importorskip("av", reason="an extra")
    (tmp_path / "film.mp4").write_bytes(b"no film")
    ended = command(main, tiny_bundle, tmp_path / "film.mp4", "-o", tmp_path / "out")
    assert (ended.exit_code, "not a readable video" in ended.stderr) == (3, True)


def test_resume_leaves_out_what_is_there(command, tiny_bundle, tiny_frames, save_picture, tmp_path):
    for index in range(3):
        save_picture(tmp_path / "in" / f"{index}.png", tiny_frames[index])
    arguments = (tiny_bundle, tmp_path / "in", "-o", tmp_path / "out", "--format", "npy", "--format", "png16")
    command(main, *arguments)
    (tmp_path / "out" / "1.npy").unlink()
    ended = command(main, *arguments, "--resume")
    assert ended.stdout.split() == [str(tmp_path / "out" / name) for name in ("1.npy", "1.depth.png")]
    assert "2 had results already" in ended.stderr


def test_a_film_cannot_be_resumed_and_that_is_said_first(command, tiny_bundle, tmp_path):
    ended = command(main, tiny_bundle, "nowhere.mp4", "-o", tmp_path / "out", "--format", "video", "--resume")
    assert (ended.exit_code, "cannot be resumed" in ended.stderr) == (2, True)


def test_two_frames_of_one_name_are_refused_before_anything_is_written(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path
):
    one, other = (save_picture(tmp_path / folder / "frame.png", tiny_frames[0]) for folder in "ab")
    ended = command(main, tiny_bundle, one, other, "-o", tmp_path / "out")
    assert ended.exit_code == 2
    assert "would both write frame" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        (("nowhere.png",), 3, "no such file or folder"),
        ((".",), 3, "no picture in this folder"),
        (("frame.txt",), 3, "not a picture or video, nor a folder"),
        ((), 2, "pass BUNDLE and SOURCE"),
        (("frame.png", "--format", "tiff"), 2, "'tiff' is not one of 'npy'"),
        (("frame.png", "--backend", "warp"), 2, "'warp' is not one of 'auto', "),
    ],
)
def test_a_wrong_call_is_one_line_with_its_exit_code(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path, monkeypatch, arguments, exit_code, complaint
):
    inside = tmp_path / "in"
    inside.mkdir()
    monkeypatch.chdir(inside)
    if "frame.png" in arguments:
        save_picture(inside / "frame.png", tiny_frames[0])
    if "frame.txt" in arguments:
        (inside / "frame.txt").write_text("no picture")
    ended = command(main, tiny_bundle, *arguments, "-o", tmp_path / "out")
    assert ended.exit_code == exit_code
    assert complaint in ended.stderr


def test_a_full_disk_is_told_from_a_bad_file_and_leaves_nothing(tiny_bundle, tiny_frames, save_picture, tmp_path):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    with DepthEstimator.open(tiny_bundle, backend="onnxruntime-cpu") as estimate:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))  # no file may grow further
        try:
            with pytest.raises(OSError, match=r"frame\.npy") as caught:
                list(predict(estimate, open_sources([str(picture)]), tmp_path / "out", ["npy"]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno  # by which a command tells a full disk from a bad file
    assert list((tmp_path / "out").iterdir()) == []


def test_memory_stays_flat_however_many_frames_there_are(tiny_bundle, tiny_frames, save_picture, tmp_path):
    for index in range(300):
        save_picture(tmp_path / "in" / f"{index}.bmp", tiny_frames[0])
    sources = open_sources([str(tmp_path / "in")])
    with DepthEstimator.open(tiny_bundle, backend="onnxruntime-cpu") as estimate:
        tracemalloc.start()
        held = [tracemalloc.get_traced_memory()[0] for _ in predict(estimate, sources, tmp_path / "out", ["npy"])]
        tracemalloc.stop()
    one_depth_map = 24 * 32 * 4
    assert held[299] - held[99] < 20 * one_depth_map  # 200 frames later


def test_ctrl_c_leaves_whole_files_and_exits_130(tiny_bundle, tiny_frames, save_picture, tmp_path):
    for index in range(3000):
        save_picture(tmp_path / "in" / f"{index}.bmp", tiny_frames[0])
    program = "from mde_runtime.cli.predict import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", program, str(tiny_bundle), str(tmp_path / "in"), "-o", str(tmp_path / "out")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob("[0-9]*.npy")) and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.rstrip().endswith("interrupted")
    written = list((tmp_path / "out").iterdir())
    assert 0 < len(written) < 3000
    assert {np.load(path).shape for path in written} == {(24, 32)}


def test_the_status_is_one_line_and_its_reasons_come_with_verbose(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path
):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    short = command(main, tiny_bundle, picture, "-o", tmp_path / "a")
    assert short.stderr.count("\n") == 2  # what runs, and how many frames were written
    long = command(main, tiny_bundle, picture, "-o", tmp_path / "b", "-v")
    assert "not here: " in long.stderr
    assert "not here: " not in short.stderr


def test_an_unknown_backend_is_refused_with_those_that_there_are(command, tiny_bundle, tmp_path):
    ended = command(main, tiny_bundle, "frame.png", "-o", tmp_path, "--backend", "opencv")
    assert ended.exit_code == 2
    assert "openvino" in ended.stderr


def test_a_network_that_has_seen_rendered_scenes_alone_says_so(
    command, tiny_bundle, tiny_frames, save_picture, tmp_path, with_provenance
):
    picture = save_picture(tmp_path / "frame.png", tiny_frames[0])
    assert "rendered" not in command(main, tiny_bundle, picture, "-o", tmp_path / "a").stderr
    with_provenance(tiny_bundle, rendered=True)
    assert "trained on rendered scenes only" in command(main, tiny_bundle, picture, "-o", tmp_path / "b").stderr
    assert "seen    rendered scenes only" in command(bundle_main, "inspect", tiny_bundle).stdout
