import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mde_runtime.errors import BadInputError, MachineError
from mde_train.checkpoint import load_weights, read_checkpoint, read_training, write_checkpoint
from mde_train.models import build_model


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
    with pytest.raises(BadInputError, match="nothing of it was run"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(BadInputError, match=r"x\.ckpt: not a checkpoint") as caught:
        read_checkpoint(tmp_path / "x.ckpt")
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_refused(written):
    path = written()
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadInputError, match="cut short"):
        read_checkpoint(path)


def test_another_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ckpt", "w") as archive:
        archive.writestr("hello", "there")
    with pytest.raises(BadInputError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_full_disk_leaves_the_checkpoint_that_was_there(checkpoint, written):
    path = written()
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # no file may grow further: as good as a full disk
    try:
        with pytest.raises(MachineError, match="is the disk full"):
            write_checkpoint(path, checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(BadInputError, match=r"none\.ckpt: no such file"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_a_checkpoint_of_an_unknown_model_names_the_known_ones(written):
    with pytest.raises(BadInputError, match="'slow' is unknown here; the models are"):
        read_checkpoint(written(model="slow"))


def test_heldout_frames_of_another_size_are_refused(written):
    with pytest.raises(BadInputError, match="held-out frames do not fit"):
        read_checkpoint(written(heldout_frames=np.zeros((64, 8, 8, 3), np.uint8)))


def test_plain_state_dicts_are_weights_to_start_from_but_no_checkpoints(checkpoint, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(checkpoint.network.state_dict(), path)
    network = build_model("fast")
    load_weights(network, path)
    assert torch.equal(network.head.weight, checkpoint.network.head.weight)
    with pytest.raises(BadInputError, match="--init"):
        read_checkpoint(path)


def test_weights_of_another_network_name_the_first_key_that_is_missing(written):
    with pytest.raises(BadInputError, match=r"the weight encoder_layers\.0\.weight is missing"):
        load_weights(build_model("resnet34-seed"), written())


def test_a_model_holds_no_state_to_resume_from(written):
    with pytest.raises(BadInputError, match=r"last\.ckpt"):
        read_training(written())
