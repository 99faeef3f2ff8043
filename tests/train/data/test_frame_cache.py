import os

import numpy as np
import pytest
from click.testing import CliRunner

from mde_runtime.cli.bundle import main
from mde_runtime.errors import MachineError
from mde_train.data.frame_cache import SAVED_EVERY, stored

FORM = np.dtype([("number", np.int64)])
NUM_RECORDS = 2 * SAVED_EVERY + 7


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frames"


class Reader:
    """Fills records with their squares; Ctrl-C comes at one of them."""

    def __init__(self, interrupted_at: int | None = None):
        self.read: list[int] = []
        self._interrupted_at = interrupted_at

    def __call__(self, kept, index):
        if index == self._interrupted_at:
            raise KeyboardInterrupt
        self.read.append(index)
        kept["number"][index] = index**2


def test_an_interrupted_writer_goes_on_where_it_was(folder):
    with pytest.raises(KeyboardInterrupt):
        stored("squares", NUM_RECORDS, FORM, Reader(interrupted_at=SAVED_EVERY + 3))
    assert not (folder / "squares.npy").exists()
    reader = Reader()
    kept = stored("squares", NUM_RECORDS, FORM, reader)
    assert reader.read == list(range(SAVED_EVERY, NUM_RECORDS))
    np.testing.assert_array_equal(kept["number"], np.arange(NUM_RECORDS) ** 2)


def test_what_is_kept_is_not_made_again(folder):
    stored("squares", NUM_RECORDS, FORM, Reader())
    reader = Reader()
    np.testing.assert_array_equal(stored("squares", NUM_RECORDS, FORM, reader)["number"], np.arange(NUM_RECORDS) ** 2)
    assert not reader.read
    assert sorted(path.name for path in folder.iterdir()) == ["frames.lock", "squares.npy"]


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o666), lambda path: (path.unlink(), path.mkdir())])
def test_frames_that_somebody_else_can_have_put_there_are_made_again_and_named(folder, spoil, capsys):
    stored("squares", NUM_RECORDS, FORM, Reader())
    spoil(folder / "squares.npy")
    reader = Reader()
    stored("squares", NUM_RECORDS, FORM, reader)
    assert len(reader.read) == NUM_RECORDS
    assert f"{folder / 'squares.npy'}: " in capsys.readouterr().err
    assert (folder / "squares.npy").stat().st_mode & 0o777 == 0o600


def test_what_an_interrupted_writer_left_goes_when_others_are_kept(folder):
    with pytest.raises(KeyboardInterrupt):
        stored("squares", NUM_RECORDS, FORM, Reader(interrupted_at=5))
    stored("others", NUM_RECORDS, FORM, Reader())
    assert sorted(path.name for path in folder.iterdir()) == ["frames.lock", "others.npy"]


def test_records_that_went_with_their_draft_are_made_again():
    for name, interrupted_at in (("squares", SAVED_EVERY + 3), ("others", 5), ("squares", 5)):
        with pytest.raises(KeyboardInterrupt):
            stored(name, NUM_RECORDS, FORM, Reader(interrupted_at))
    np.testing.assert_array_equal(stored("squares", NUM_RECORDS, FORM, Reader())["number"], np.arange(NUM_RECORDS) ** 2)


def test_a_draft_that_somebody_removed_is_begun_anew(folder):
    for interrupted_at in (SAVED_EVERY + 3, 5):
        (folder / ".squares.npy").unlink(missing_ok=True)
        with pytest.raises(KeyboardInterrupt):
            stored("squares", NUM_RECORDS, FORM, Reader(interrupted_at))
    np.testing.assert_array_equal(stored("squares", NUM_RECORDS, FORM, Reader())["number"], np.arange(NUM_RECORDS) ** 2)


def test_the_lock_is_left_alone_by_whoever_empties_the_cache(folder):
    stored("squares", NUM_RECORDS, FORM, Reader())
    os.utime(folder / "frames.lock", (0, 0))  # as old as the longest writer's
    result = CliRunner().invoke(main, ["cache", "prune", "--all"])
    assert result.exit_code == 0, result.output
    assert [path.name for path in folder.iterdir()] == ["frames.lock"]


def test_how_much_is_kept_and_where_is_said_before(folder, capsys):
    stored("squares", 2000, np.dtype([("number", np.int64, 1000)]), Reader())
    assert f"keeping 16 MB of decoded frames in {folder}" in capsys.readouterr().err


def test_what_does_not_fit_on_the_disk_is_refused_before_anything_is_written(folder):
    with pytest.raises(MachineError, match="set MDE_CACHE to a folder with more room"):
        stored("squares", 2**60, FORM, Reader())
    assert [path.name for path in folder.iterdir()] == ["frames.lock"]


def test_what_is_written_to_the_records_stays_in_memory():
    stored("squares", 10, FORM, Reader())["number"][:] = 0
    np.testing.assert_array_equal(stored("squares", 10, FORM, Reader())["number"], np.arange(10) ** 2)
