"""Files of a source that become frames, and those that are left out by name."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mde_runtime import BadInputError, UsageError
from mde_runtime.cli.predict import main
from mde_runtime.sources import open_sources

FRAME = np.zeros((24, 32, 3), np.uint8)


def save(path: Path, frame: np.ndarray = FRAME) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path)
    return path


def read(*sources: object) -> tuple[list[str], list[str]]:
    """The names of the frames that can be read, and why the others cannot."""
    names, problems = [], []
    for source in open_sources([str(source) for source in sources]):
        for frame in source.frames():
            try:
                frame.read()
                names.append(frame.name)
            except BadInputError as error:  # noqa: PERF203  each frame may fail
                problems.append(str(error))
    return names, problems


# Folders and patterns


@pytest.mark.parametrize("ending", [".depth.png", ".colour.png", ".side.png"])
@pytest.mark.parametrize("pattern", ["", "/**/*"])
def test_results_of_earlier_runs_are_no_pictures_and_that_is_said(tmp_path, ending, pattern):
    save(tmp_path / "in" / "a.png")
    for folder in ("in", "in/depth"):
        save(tmp_path / folder / f"a{ending}")
    (source,) = open_sources([f"{tmp_path / 'in'}{pattern}"])
    assert [frame.name for frame in source.frames()] == ["a"]
    assert "results of earlier runs are not taken as pictures (2 of .depth.png, .colour.png, .side.png)" in source.note


def test_a_named_result_beside_its_picture_is_none_as_a_shell_lists_both(tmp_path):
    paths = [save(tmp_path / name) for name in ("a.png", "a.colour.png")]
    assert read(*paths) == (["a"], [])
    assert "(1 of " in open_sources([str(path) for path in paths])[1].note


def test_a_result_that_is_named_alone_is_a_picture(tmp_path):
    path = save(tmp_path / "a.colour.png")
    assert read(path) == read(tmp_path / "*.colour.png") == (["a.colour"], [])


@pytest.mark.parametrize("format_", ["colour", "side", "png16"])
@pytest.mark.parametrize("below", ["", "depth"])
def test_a_run_into_its_own_input_gives_the_same_results_again(command, tiny_bundle, tmp_path, format_, below):
    save(tmp_path / "in" / "a.png")
    ran = [
        command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "in" / below, "--format", format_)
        for _ in range(3)
    ]
    assert [ended.exit_code for ended in ran] == [0, 0, 0]
    assert len([path for path in (tmp_path / "in").rglob("*") if path.is_file()]) == 2
    assert "results of earlier runs are not taken as pictures (1 of " in ran[-1].stderr


@pytest.mark.parametrize("suffix", [".heic", ".AVIF", ".gif", ".dng"])
def test_a_picture_of_a_kind_that_is_not_read_is_named_and_left_out(command, tiny_bundle, tmp_path, suffix):
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / f"a{suffix}").write_bytes(b"x")
    (tmp_path / "in" / "notes.txt").write_bytes(b"x")
    for _ in range(2):  # also where the result of its namesake is there already
        ended = command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out", "--resume")
        assert ended.exit_code == 1
        assert f"skipped: {tmp_path / 'in' / f'a{suffix}'}: a picture in an unsupported format" in ended.stderr
        assert "notes.txt" not in ended.stderr


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")], ids=["FIFO", "link to nowhere"])
@pytest.mark.parametrize("pattern", ["", "/*"])
def test_what_is_called_a_picture_and_is_no_file_is_named_and_left_out(tmp_path, make, pattern):
    save(tmp_path / "in" / "a.png")
    make(tmp_path / "in" / "b.png")
    names, (problem,) = read(f"{tmp_path / 'in'}{pattern}")
    assert names == ["a"]
    assert str(tmp_path / "in" / "b.png") in problem


def test_a_folder_behind_a_link_is_entered_once(tmp_path):
    save(tmp_path / "elsewhere" / "b.png")
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert read(tmp_path / "in") == (["a", "link/b"], [])


def test_a_folder_that_cannot_be_entered_is_named(tmp_path, monkeypatch):
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "closed" / "b.png")

    def scan(path: str, scandir: Callable[[str], Any] = os.scandir) -> Any:  # root may enter all
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    names, (problem,) = read(tmp_path / "in")
    assert names == ["a"]
    assert f"{tmp_path / 'in' / 'closed'}: a folder that cannot be read (Permission denied)" in problem


# Two results of one name


@pytest.mark.parametrize("sources", [("in",), ("in/*",), ("in/a.jpg", "in/a.png")])
def test_two_pictures_that_would_give_one_result_are_both_named(tmp_path, monkeypatch, sources):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "a.png"):
        save(Path("in") / name)
    with pytest.raises(UsageError, match=r"in/a\.jpg and in/a\.png would both write a; rename one"):
        open_sources(sources)


@pytest.fixture
def film(tmp_path):
    """A film of so many grey frames, 10 a second."""
    av = pytest.importorskip("av", reason="the `video` extra")

    def make(name: str = "film.mp4", num_frames: int = 20, codec: str = "mpeg4", **options: str) -> Path:
        path = tmp_path / name
        chance = np.random.default_rng(3)
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 256, 144, "yuv420p"
            for _ in range(num_frames):
                noise = chance.integers(0, 64, (144, 256, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
            container.mux(stream.encode())
        return path

    return make


def test_a_film_and_a_folder_that_would_give_one_result_are_refused_in_either_order(film, tmp_path):
    made, meeting = film(), save(tmp_path / "in" / "film" / "000000.png")
    for sources in ([made, tmp_path / "in"], [tmp_path / "in", made]):
        with pytest.raises(UsageError, match="would both write film/000000; rename one") as problem:
            open_sources([str(source) for source in sources])
        assert str(made) in str(problem.value)
        assert str(meeting) in str(problem.value)


def test_a_film_beside_a_picture_of_its_name_gives_other_results(film, tmp_path):
    names, _ = read(film(), save(tmp_path / "film.png"))
    assert names[0::20] == ["film/000000", "film"]


# Films


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


CONTAINERS = {"mov": {"movflags": "faststart"}, "mkv": {}, "avi": {}}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_film_that_ends_early_says_so_after_its_frames(command, tiny_bundle, film, tmp_path, container):
    path = cut(film(f"film.{container}", **CONTAINERS[container]), 0.6)
    ended = command(main, tiny_bundle, path, "-o", tmp_path / "out")
    num_done = len(list((tmp_path / "out").rglob("*.npy")))
    assert 0 < num_done < 20
    assert ended.exit_code == 1
    assert re.search(rf"skipped: {path}: ends early, at frame \d+ of 20", ended.stderr)


@pytest.mark.parametrize("container", [*CONTAINERS, "mp4", "ts"])
@pytest.mark.parametrize("num_frames", [1, 20])
def test_a_whole_film_ends_without_a_word(film, container, num_frames):
    names, problems = read(film(f"film.{container}", num_frames))
    assert (len(names), problems) == (num_frames, [])


def test_a_film_without_a_frame_says_so(film):
    path = film("film.avi")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"movi") + 4])
    names, (problem,) = read(path)
    assert names == []
    assert f"{path}: no frame of 20 in it can be read" in problem


def test_a_frame_that_the_decoder_patched_together_is_left_out_by_its_number(film):
    path = film("film.avi")
    content, chance = bytearray(path.read_bytes()), np.random.default_rng(1)
    half = len(content) // 2
    content[half : half + 200] = chance.integers(0, 256, 200, dtype=np.uint8).tobytes()
    path.write_bytes(content)
    names, problems = read(path)
    assert names
    assert problems
    assert all("film.avi: frame " in problem or "film.avi: broken at frame" in problem for problem in problems)


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile real.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.mp4\n#EXT-X-ENDLIST\n",
    ],
    ids=["ffconcat", "playlist"],
)
def test_a_script_that_names_a_film_is_no_film(film, tmp_path, script):
    film("real.mp4")
    (tmp_path / "script.mp4").write_text(script)
    with pytest.raises(BadInputError, match=r"script\.mp4: not a readable video"):
        open_sources([str(tmp_path / "script.mp4")])


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/film.mp4", "concat:film.mp4", "nowhere.mp4"])
def test_what_is_no_file_here_is_not_looked_for_elsewhere(film, source, tmp_path, monkeypatch):
    film()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match="no such file"):
        open_sources([source])


def test_a_film_is_known_by_its_path_whatever_is_in_the_name(film, tmp_path):
    (tmp_path / "a:b%20").mkdir()
    names, problems = read(film("a:b%20/c:d.mp4"))
    assert (len(names), problems) == (20, [])


def test_a_fifo_is_no_film(tmp_path):
    pytest.importorskip("av", reason="the `video` extra")
    os.mkfifo(tmp_path / "f.mp4")
    with pytest.raises(BadInputError, match=r"f\.mp4: is a FIFO, which is not read"):
        open_sources([str(tmp_path / "f.mp4")])


# Writing


@pytest.mark.parametrize(("length", "num_results"), [(237, 3), (246, 3), (251, 2)])
def test_a_long_name_costs_its_own_result_at_most(command, tiny_bundle, tmp_path, length, num_results):
    for name in ("0", "a" * length, "z"):
        save(tmp_path / "in" / f"{name}.bmp")
    options = ("--format", "npy") if num_results == 3 else ("--format", "colour")
    ended = command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out", *options)
    assert len(list((tmp_path / "out").iterdir())) == num_results
    assert ended.exit_code == (0 if num_results == 3 else 1)
    if num_results == 2:
        assert f"{'a' * length}.colour.png: cannot be written (File name too long)" in ended.stderr


def test_a_name_of_letters_of_several_bytes_is_cut_for_its_draft_at_a_letter(command, tiny_bundle, tmp_path):
    save(tmp_path / "in" / f"x{'深' * 80}.png")
    assert command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out").exit_code == 0


def test_resume_takes_a_folder_in_a_results_place_for_no_result(command, tiny_bundle, tmp_path):
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "out" / "a.npy").mkdir(parents=True)
    ended = command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out", "--resume")
    assert ended.exit_code == 1
    assert "a.npy: is a folder" in ended.stderr
    assert (tmp_path / "out" / "b.npy").is_file()


def test_a_name_that_would_command_the_terminal_is_shown_as_an_escape(command, tiny_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\x1b[2J\n.png").write_bytes(b"no picture")
    ended = command(main, tiny_bundle, tmp_path / "in", "-o", tmp_path / "out")
    assert ended.exit_code == 1
    assert "\x1b" not in ended.stderr
    assert r"a\x1b[2J .png: not a readable picture" in ended.stderr


def test_what_libraries_write_to_stderr_stays_with_them(tiny_bundle, tmp_path):
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    chance = np.random.default_rng(0)
    Image.fromarray(chance.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    content[200:-400:37] = bytes(byte ^ 0x5A for byte in content[200:-400:37])
    path.write_bytes(content)
    save(tmp_path / "in" / "b.png")
    code = "import sys; from mde_runtime.cli.predict import main; main(sys.argv[1:])"
    call = [sys.executable, "-c", code, str(tiny_bundle), str(path.parent), "-o", str(tmp_path / "out")]
    ended = subprocess.run(call, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("not here: ")]
    starts = ("onnxruntime-cpu", "openvino", "skipped: ", "1 frame written to ", "pictures are resized")
    assert all(line.startswith(starts) for line in lines), ended.stderr
