import dataclasses
import os
import pickle
import resource
import struct
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mde_runtime.errors import BadInputError, MachineError
from mde_train.checkpoint import check_same_model, load_weights, read_checkpoint, read_training, write_checkpoint
from mde_train.models import MODELS, build_model
from mde_train.torch_files import check_sums, load


def test_what_was_written_is_read(checkpoint, written):
    path = written()
    read = read_checkpoint(path)
    assert (read.model, read.contract, read.recipe) == ("fast", checkpoint.contract, {"lr": 1.0})
    assert read.data_sha256 == "ab" * 32
    np.testing.assert_array_equal(read.heldout_frames, checkpoint.heldout_frames)
    np.testing.assert_array_equal(read.heldout_depth_m, checkpoint.heldout_depth_m)
    assert all(
        torch.equal(value, checkpoint.network.state_dict()[key]) for key, value in read.network.state_dict().items()
    )
    assert not read.network.training


class Evil:
    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize(
    "save", [torch.save, lambda evil, path: path.write_bytes(pickle.dumps(evil))], ids=["zip", "pickle"]
)
def test_a_malicious_pickle_is_refused_and_does_not_run(save, tmp_path):
    proof = tmp_path / "it-ran"
    save({"mde_checkpoint": 1, "network": Evil(proof)}, tmp_path / "evil.ckpt")
    with pytest.raises(BadInputError, match="none was run"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"easy text", b"PK\x03\x04 broken", bytes(range(256))])
def test_a_file_that_is_no_checkpoint_is_refused_in_our_words(content, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        read_checkpoint(path)
    assert str(caught.value) in {
        f"{path}: not a checkpoint, or cut short; copy it again",
        f"{path}: not a checkpoint, or one that would run code when loaded; none was run",
    }


def test_a_truncated_checkpoint_is_refused(written):
    path = written()
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadInputError, match="cut short"):
        read_checkpoint(path)


def members(path):
    """Where the content of each member lies in the file: name, first byte, size."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name_length, extra_length = struct.unpack_from("<HH", content, entry.header_offset + 26)
            yield entry.filename, entry.header_offset + 30 + name_length + extra_length, entry.file_size


def flip(path, byte, bit=6):
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def read_by_init(path):
    load_weights(build_model("fast"), path)


READERS = (read_checkpoint, read_training, read_by_init, lambda path: check_same_model(path, "fast", {}))


@pytest.mark.parametrize("read", READERS, ids=["read", "resume", "init", "compare"])
def test_a_flipped_bit_in_any_member_is_refused_by_every_reader(read, checkpoint, tmp_path):
    path = tmp_path / "last.ckpt"
    write_checkpoint(path, checkpoint, training={"step": 1})
    whole = path.read_bytes()
    for name, first, size in list(members(path)):
        flip(path, first + size // 2)
        with pytest.raises(BadInputError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: damaged: {name!r} does not match its checksum; copy it again")
        path.write_bytes(whole)
    read(path)


def test_a_flipped_bit_between_the_members_is_refused_or_changes_nothing(checkpoint, written):
    path = written()
    whole, inside = path.read_bytes(), set()
    for _, first, size in members(path):
        inside |= set(range(first, first + size))
    chance = np.random.default_rng(0)
    outside = sorted(set(range(len(whole))) - inside)
    refused = 0
    for byte in chance.choice(outside, 40, replace=False):
        flip(path, byte, int(chance.integers(8)))
        try:
            weights = read_checkpoint(path).network.state_dict()
        except BadInputError:
            refused += 1
        else:
            assert all(torch.equal(value, checkpoint.network.state_dict()[key]) for key, value in weights.items())
        path.write_bytes(whole)
    assert refused


def test_a_flipped_bit_in_a_plain_state_dict_is_refused(checkpoint, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(checkpoint.network.state_dict(), path)
    _, first, _ = max(members(path), key=lambda member: member[2])
    flip(path, first)
    with pytest.raises(BadInputError, match="does not match its checksum"):
        read_by_init(path)


def rewritten(path, **how):
    """The same members in a zip that `torch.save` would not write."""
    with zipfile.ZipFile(path) as archive:
        contents = [(name, archive.read(name)) for name in archive.namelist()]
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how.get("compression", zipfile.ZIP_STORED)) as archive:
        warnings.simplefilter("ignore")  # of doubled names
        for name, content in [*contents, *contents[: how.get("num_doubled", 0)]]:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("how", [{"compression": zipfile.ZIP_DEFLATED}, {"num_doubled": 1}], ids=str)
def test_members_that_are_compressed_or_doubled_are_refused(how, written):
    with pytest.raises(BadInputError, match=r"compressed, duplicated or overlapping, which torch\.save never writes"):
        read_checkpoint(rewritten(written(), **how))


def test_members_that_share_their_place_are_refused(written):
    path = written()
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")  # the listing: an entry gives the place of its member 42 bytes on
    after = content.index(b"PK\x01\x02", at + 4)
    content[at + 42 : at + 46] = content[after + 42 : after + 46]
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="compressed, duplicated or overlapping"):
        read_checkpoint(path)


def test_a_file_that_was_saved_without_checksums_is_refused_by_that_name(checkpoint, tmp_path):
    path = tmp_path / "weights.pth"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(checkpoint.network.state_dict(), path)
    finally:
        torch.serialization.set_crc32_options(True)
    with pytest.raises(BadInputError, match="was saved without checksums; save it again"):
        read_by_init(path)


def test_the_format_that_never_had_checksums_gives_weights_but_no_checkpoint(checkpoint, written, tmp_path):
    old, network = tmp_path / "old.pth", build_model("fast")
    torch.save(checkpoint.network.state_dict(), old, _use_new_zipfile_serialization=False)
    load_weights(network, old)
    expected = checkpoint.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    torch.save(torch.load(written(), weights_only=True), old, _use_new_zipfile_serialization=False)
    with pytest.raises(BadInputError, match="a checkpoint without checksums"):
        read_checkpoint(old)


@pytest.fixture
def old_format(tmp_path):
    """A state dict in the format before torch 1.6."""
    path = tmp_path / "old.pth"
    torch.save({"weight": torch.arange(6.0)}, path, _use_new_zipfile_serialization=False)
    return path


def test_weights_of_the_old_format_that_are_cut_short_are_refused_wherever_it_is(old_format):
    whole = old_format.read_bytes()
    for size in range(len(whole)):
        old_format.write_bytes(whole[:size])
        with pytest.raises(BadInputError, match=r"copy it again|not a checkpoint"):
            load(old_format)


def test_a_length_in_a_file_of_the_old_format_takes_no_memory_that_the_file_does_not_fill(old_format):
    text = b"X\x06\x00\x00\x00weight"  # pickle's opcode, length and bytes
    whole = old_format.read_bytes()
    assert whole.count(text) == 1
    old_format.write_bytes(whole.replace(text, b"X\xff\xff\xff\x7fweight"))
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError):
            load(old_format)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 1 << 24  # 2 GiB is what the length says; torch's own work takes under 1 MiB


def test_checking_the_sums_takes_no_second_copy_of_the_file(tmp_path):
    path, num_bytes = tmp_path / "large.pth", 64 << 20
    torch.save({"weight": torch.zeros(num_bytes // 4)}, path)
    tracemalloc.start()
    try:
        check_sums(path)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < num_bytes / 8  # it is read in pieces of 1 MiB


def test_another_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ckpt", "w") as archive:
        archive.writestr("hello", "there")
    with pytest.raises(BadInputError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_bundle_is_told_from_a_checkpoint_that_was_cut_short(tiny_bundle):
    with pytest.raises(BadInputError, match="a bundle, which holds graphs and no weights to train from"):
        load_weights(torch.nn.Linear(1, 1), tiny_bundle)


def test_a_full_disk_leaves_the_checkpoint_that_was_there(checkpoint, written):
    path = written()
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # no file may grow further: as good as a full disk
    try:
        with pytest.raises(MachineError, match="is the disk full") as caught:
            write_checkpoint(path, checkpoint)
        assert str(caught.value) == f"{path}: cannot be written; is the disk full? Free some space, then --resume"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"none\.ckpt: no such file"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_a_checkpoint_of_an_unknown_model_names_the_known_ones(written):
    with pytest.raises(BadInputError, match="'slow' is unknown; the models are"):
        read_checkpoint(written(model="slow"))


def test_heldout_frames_of_another_size_are_refused(written):
    with pytest.raises(BadInputError, match="held-out frames do not fit"):
        read_checkpoint(written(heldout_frames=np.zeros((64, 8, 8, 3), np.uint8)))


def forged(path, **changes):
    """The file with some of its content replaced, past what `write_checkpoint` would write."""
    torch.save({**torch.load(path, weights_only=True), **changes}, path)
    return path


def test_where_the_first_weights_came_from_is_not_stored(written):
    assert read_checkpoint(written(model_options={"weights": "imagenet"})).model_options == {}


@pytest.mark.parametrize("weights", ["imagenet", "/etc/hostname"])
def test_stored_options_neither_download_nor_open_a_file(weights, written):
    with pytest.raises(BadInputError, match="would download or open another file"):
        read_checkpoint(forged(written(), model="resnet34-seed", model_options=f'{{"weights": "{weights}"}}'))


def build_wide(width: int) -> torch.nn.Module:
    return torch.nn.Linear(width, width)


def build_deep(num_layers: int) -> torch.nn.Module:
    return torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(num_layers)))


def test_stored_options_that_would_build_for_hours_are_refused(written, monkeypatch):
    monkeypatch.setitem(MODELS, "deep", "models_for_tests.deep")
    monkeypatch.setitem(sys.modules, "models_for_tests.deep", SimpleNamespace(build=build_deep))
    path = forged(written(), model="deep", model_options='{"num_layers": 1000000000}')
    with pytest.raises(BadInputError, match="option num_layers: 1000000000 is more than 10000"):
        read_checkpoint(path)


@pytest.mark.parametrize("width", ['"16"', "true", "16.5", "null", "[16]", "-1"])
def test_stored_options_of_another_kind_are_refused_in_one_line(width, written):
    path = forged(written(), model="cnn-fc", model_options=f'{{"width": {width}}}')
    with pytest.raises(BadInputError, match="its options do not exist for model cnn-fc") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["model", "contract", "network", "heldout_frames"])
def test_a_checkpoint_without_a_part_names_it(key, written):
    path = written()
    content = torch.load(path, weights_only=True)
    del content[key]
    torch.save(content, path)
    with pytest.raises(BadInputError, match=rf"damaged checkpoint, without '{key}'; copy it again"):
        read_checkpoint(path)


@pytest.mark.parametrize("width", [5000, 10**12])
def test_stored_options_take_no_memory_before_the_weights_fit(width, written, monkeypatch):
    monkeypatch.setitem(MODELS, "wide", "models_for_tests.wide")
    monkeypatch.setitem(sys.modules, "models_for_tests.wide", SimpleNamespace(build=build_wide))
    weights = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}
    path = forged(written(), model="wide", model_options=f'{{"width": {width}}}', network=weights)
    with pytest.raises(BadInputError, match=r"the weight weight is \(2, 2\)|its options do not exist for model wide"):
        read_checkpoint(path)


def test_weights_that_claim_more_than_the_file_holds_are_refused(checkpoint, written):
    weights = {name: torch.zeros(()).expand(value.shape) for name, value in checkpoint.network.state_dict().items()}
    with pytest.raises(BadInputError, match="claims more numbers than the file holds"):
        read_checkpoint(forged(written(), network=weights))


def expanded(*shape, dtype):
    return torch.zeros(1, dtype=dtype).expand(shape)


@pytest.mark.parametrize(("num_frames", "stored"), [(65, torch.zeros), (64, expanded)])
def test_heldout_frames_are_64_at_most_and_all_in_the_file(num_frames, stored, written):
    frames = stored(num_frames, 24, 40, 3, dtype=torch.uint8)
    depth_m = stored(num_frames, 24, 40, dtype=torch.float32)
    with pytest.raises(BadInputError, match=r"held-out frames do not fit|more numbers than the file holds"):
        read_checkpoint(forged(written(), heldout_frames=frames, heldout_depth_m=depth_m))


def test_plain_state_dicts_are_weights_to_start_from_but_no_checkpoints(checkpoint, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(checkpoint.network.state_dict(), path)
    network = build_model("fast")
    load_weights(network, path)
    expected = checkpoint.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    with pytest.raises(BadInputError, match="--init"):
        read_checkpoint(path)


def test_weights_of_another_network_name_the_first_key_that_is_missing(written):
    with pytest.raises(BadInputError, match=r"the weight encoder_layers\.0\.weight is missing"):
        load_weights(build_model("resnet34-seed"), written())


def test_weights_that_fit_and_mean_other_metres_are_refused(checkpoint, written):
    check_same_model(written(), "fast", {})
    ranged = forged(written(), model="resnet34-skip", model_options="{}")
    with pytest.raises(
        BadInputError, match=r"its has_range is True, the recipe's is False; --set model_options\.has_range"
    ):
        check_same_model(ranged, "resnet34-skip", {"has_range": False})
    assert check_same_model(written(), "fast", {}) == ""
    note = check_same_model(written(), "fast", {"far_m": 4.0})
    assert note.endswith("is of 0 to 20 m, this run of 0 to 4 m")
    farther = dataclasses.replace(checkpoint.contract.from_network, far_m=80.0)
    with pytest.raises(BadInputError, match="a fast with a different contract"):
        check_same_model(written(contract=dataclasses.replace(checkpoint.contract, from_network=farther)), "fast", {})


def test_a_model_holds_no_state_to_resume_from(written):
    with pytest.raises(BadInputError, match=r"last\.ckpt"):
        read_training(written())


def test_weights_of_half_precision_are_real_numbers(checkpoint, written):
    state = checkpoint.network.state_dict()
    weights = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    load_weights(build_model("fast"), forged(written(), network=weights))


def test_a_fifo_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "model.ckpt")
    with pytest.raises(BadInputError, match=r"model\.ckpt: is a FIFO, which is not read"):
        read_checkpoint(tmp_path / "model.ckpt")
