"""mde_export.export: the command as a function, with the same arguments and the same bundle."""

import inspect

import pytest

import mde_export
from mde_export.cli import main
from mde_runtime.bundle import read_bundle
from mde_runtime.errors import BadInputError, UsageError

SPELT = {"fp16", "int8", "model", "out"}
OF_THE_COMMAND_ALONE = {"explain", "dry_run", "debug", "version", "help"}  # its talk to a terminal


def test_every_option_of_the_command_is_an_argument():
    options = {str(param.name) for param in main.params} - OF_THE_COMMAND_ALONE
    assert options == set(inspect.signature(mde_export.export).parameters) - {"tell"}
    assert options >= SPELT


def test_the_function_is_found_by_its_name_after_the_command_was_imported():
    assert callable(mde_export.export)
    assert "export" in mde_export.__all__
    assert "mde-export" in mde_export.export.__doc__


def test_a_checkpoint_becomes_a_bundle_with_certificates(make_checkpoint, tmp_path):
    told = []
    exported = mde_export.export(
        str(make_checkpoint(tmp_path / "tiny.ckpt")), tmp_path / "a.mde", fp16=True, tell=told.append
    )
    assert exported.bundle == tmp_path / "a.mde"
    assert [certificate.precision for certificate in exported.certificates] == ["fp32", "fp16"]
    assert read_bundle(exported.bundle).precisions == ("fp32", "fp16")
    assert any("read the model" in line for line in told)


def test_what_cannot_be_exported_raises_and_leaves_nothing(make_checkpoint, tmp_path):
    with pytest.raises(BadInputError, match="no such file"):
        mde_export.export(tmp_path / "nowhere.ckpt", tmp_path / "a.mde")
    with pytest.raises(UsageError, match="--mean does not apply to this kind of model"):
        mde_export.export(make_checkpoint(tmp_path / "tiny.ckpt"), tmp_path / "a.mde", mean="imagenet")
    assert not (tmp_path / "a.mde").exists()
