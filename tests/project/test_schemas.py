"""The JSON Schemas of docs/schema/ and the records hold together: what one takes or refuses, the other does too."""

import copy
import json
import subprocess
import sys
import zipfile

import jsonschema
import pytest

from mde_runtime import records
from mde_runtime.bundle import Manifest
from mde_runtime.camera.calibration import Calibration, HeldOut
from mde_runtime.certificate import Certificate
from mde_runtime.contract import Contract, Intrinsics
from mde_runtime.errors import BadInputError

RECORDS = {"contract": Contract, "manifest": Manifest, "certificate": Certificate, "camera": Calibration}


@pytest.fixture
def examples(tiny_bundle):
    """A contract, a manifest and a certificate, as parsed JSON."""
    with zipfile.ZipFile(tiny_bundle) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        certificate = json.loads(archive.read("certificates/fp16.json"))
    return {"contract": manifest["contract"], "manifest": manifest, "certificate": certificate, "camera": camera()}


def camera():
    """A calibration with intrinsics, as parsed JSON."""
    errors = {"abs_log_before": 0.3, "abs_log": 0.1, "abs_before_m": 0.8, "abs_m": 0.3}
    heldout = HeldOut(num_points=9, num_pictures=4, **errors, rmse_before_m=1.0, rmse_m=0.4)
    found = Calibration(
        bundle_sha256="0" * 64,
        height_px=24,
        width_px=32,
        gain=1.25,
        intrinsics=Intrinsics(fx_px=30.0, fy_px=31.0, cx_px=15.5, cy_px=11.5),
        heldout=heldout,
    )
    return records.to_json(found)


@pytest.fixture(params=RECORDS)
def name(request):
    return request.param


def schema_takes(root, name, value):
    schema = json.loads((root / "docs" / "schema" / f"{name}.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def record_takes(name, value):
    try:
        records.from_json(RECORDS[name], value, name)
    except BadInputError:
        return False
    return True


def places(value, path=()):
    """Every place in a JSON value: the keys that lead there."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(value, path, change):
    """A copy of a JSON value with `change(container, key)` done at a place."""
    outer = copy.deepcopy({"root": value})
    container, key = outer, "root"
    for step in path:
        container, key = container[key], step
    change(container, key)
    return outer.get("root")


def test_the_schemas_are_those_of_the_records(root, tmp_path):
    subprocess.run([sys.executable, root / "scripts" / "schemas.py", tmp_path], check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in (root / "docs" / "schema").iterdir()}, (
        "write them anew: .venv/bin/python scripts/schemas.py docs/schema"
    )


def test_what_a_bundle_holds_is_valid(root, examples, name):
    assert schema_takes(root, name, examples[name])
    assert record_takes(name, examples[name])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda container, key: container.__setitem__(key, [[]]), id="a list of lists"),
        pytest.param(lambda container, key: container.__setitem__(key, {"a key": []}), id="an unknown object"),
        pytest.param(lambda container, key: container.__setitem__(key, "no such word"), id="text"),
        pytest.param(lambda container, key: container.__setitem__(key, True), id="true"),
        pytest.param(lambda container, key: container.__setitem__(key, None), id="null"),
        pytest.param(lambda container, key: container.__delitem__(key), id="nothing"),
    ],
)
def test_schema_and_record_refuse_the_same(root, examples, name, change):
    for path in places(examples[name]):
        if path:
            value = changed(examples[name], path, change)
            assert schema_takes(root, name, value) == record_takes(name, value), f"{name}: {path}"


def test_most_of_these_are_refused(root, examples, name):
    wrong = [
        changed(examples[name], path, lambda c, k: c.__setitem__(k, [[]])) for path in places(examples[name]) if path
    ]
    assert sum(not schema_takes(root, name, value) for value in wrong) > 0.7 * len(wrong)
