import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from mde_runtime import BadInputError, MachineError
from mde_runtime.cli.bundle import main
from mde_runtime.engines import store
from mde_runtime.engines.build import BuildOptions
from mde_runtime.engines.inspector import arithmetic_of, share_of
from mde_runtime.engines.key import EngineKey
from mde_runtime.files import sha256_of
from mde_runtime.lock import only_one

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX has no package for this platform")

KEY = EngineKey("a" * 64, "tensorrt-rtx", "1.7.1", "", "", 0, BuildOptions())


@pytest.mark.parametrize(
    "change",
    [
        {"graph_sha256": "b" * 64},
        {"flavour": "tensorrt"},
        {"version": "1.7.2"},
        {"device": "Orin"},
        {"compute_capability": "8.7"},
        {"num_multiprocessors": 16},
        {"options": BuildOptions(tf32=True)},
        {"options": BuildOptions(version_compatible=True)},
        {"options": BuildOptions(batch=(1, 1, 4))},
        {"options": BuildOptions(compute_capabilities=("8.9",))},
    ],
)
def test_whatever_differs_makes_another_engine(change):
    assert dataclasses.replace(KEY, **change).name != KEY.name


def test_an_engine_is_given_back_with_its_record():
    record = store.put(KEY, b"an engine", 1.5)
    assert store.find(KEY) == (b"an engine", record)


def test_options_of_the_build_need_not_be_known_to_find_it():
    asked = dataclasses.replace(KEY, options=BuildOptions(optimization_level=5))
    store.put(asked, b"an engine", 1.5)
    assert store.find(KEY)[1].key == asked


def test_no_engine_is_an_error_with_the_command_that_builds_it():
    with pytest.raises(MachineError, match="was built by tensorrt-rtx yet; build it here: mde-bundle engine"):
        store.find(KEY)


def test_an_engine_of_another_version_is_named_and_not_used():
    store.put(dataclasses.replace(KEY, version="1.6.0"), b"an engine", 1.5)
    with pytest.raises(
        MachineError, match=r"needs tensorrt-rtx 1\.7\.1 .*, the engines .* are by tensorrt-rtx 1\.6\.0"
    ):
        store.find(KEY)


LASTING = dataclasses.replace(KEY, flavour="tensorrt", version="10.3.0", options=BuildOptions(version_compatible=True))


@pytest.mark.parametrize(
    ("expected", "serves"),
    [
        (LASTING, True),
        (dataclasses.replace(LASTING, version="10.13.2"), True),
        (dataclasses.replace(LASTING, version="10.2.9"), False),
        (dataclasses.replace(LASTING, version="10.13.2", graph_sha256="b" * 64), False),
    ],
)
def test_an_engine_for_later_versions_serves_later_versions_alone(expected, serves):
    assert LASTING.serves(dataclasses.replace(expected, options=BuildOptions())) == serves


@pytest.mark.parametrize("altered", [b"", b"an engin", b"an engine and more", b"AN ENGINE"])
def test_an_altered_engine_is_never_given_out(altered):
    store.put(KEY, b"an engine", 1.5)
    (entry,) = store.entries()
    entry.path.write_bytes(altered)
    with pytest.raises(MachineError, match="this engine was altered"):
        store.find(KEY)


@pytest.mark.parametrize("damage", [b"", b"{}", None])
def test_an_engine_without_a_sound_record_is_never_given_out(damage):
    store.put(KEY, b"an engine", 1.5)
    (entry,) = store.entries()
    record = entry.path.with_suffix(".json")
    if damage is None:
        record.unlink()
    else:
        record.write_bytes(damage)
    with pytest.raises(MachineError, match="no engine for this graph"):
        store.find(KEY)


def test_an_engine_with_the_record_of_another_key_is_built_again_and_not_sent_in_a_circle(command, tiny_bundle):
    assert command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx").exit_code == 0
    (entry,) = store.entries()
    record = entry.path.with_suffix(".json")
    record.write_text(record.read_text().replace(entry.record.key.graph_sha256, "0" * 64))
    again = command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx")
    assert again.exit_code == 0
    assert f"{record}: is the record of another engine; ignored, and will be rebuilt" in again.stderr
    (entry,) = store.entries()
    assert entry.record.key.name == entry.path.stem


@pytest.mark.parametrize("suffix", [".engine", ".json", ".lock"])
def test_a_folder_in_the_place_of_an_engines_file_is_made_again(suffix):
    store.put(KEY, b"an engine", 1.5)
    path = (store.folder() / KEY.name).with_suffix(suffix)
    path.unlink(missing_ok=True)
    (path / "inner").mkdir(parents=True)
    with only_one(store.folder() / "other.lock"):
        store.put(KEY, b"an engine", 1.5)
    assert store.read(store.entries()[0])[0] == b"an engine"


def test_a_foreign_engine_is_installed_only_with_its_digest(tmp_path):
    plain = tmp_path / "fast.engine"
    plain.write_bytes(b"an engine")
    with pytest.raises(BadInputError, match="do not install it"):
        store.install(KEY, plain, "0" * 64)
    assert store.entries() == []
    store.install(KEY, plain, sha256_of(b"an engine").upper())
    assert store.find(KEY)[0] == b"an engine"


def test_a_bundles_engine_is_built_kept_and_said_to_be_unverified(command, tiny_bundle):
    ended = command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx")
    assert ended.exit_code == 0, ended.stderr
    assert "not verified here: " in ended.stderr
    assert ended.stdout.startswith("tensorrt-rtx ")
    listed = command(main, "cache", "list").stdout
    assert "tensorrt-rtx" in listed
    assert "yes" in command(main, "cache", "why", tiny_bundle).stdout


def test_an_engine_is_built_once(command, tiny_bundle):
    command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx")
    (entry,) = store.entries()
    written = entry.path.stat().st_ino
    command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx")
    assert entry.path.stat().st_ino == written


def test_the_engine_that_was_asked_for_last_is_the_one_that_is_found():
    other = dataclasses.replace(KEY, options=BuildOptions(tf32=True))
    for seconds, key in enumerate((KEY, other), start=1):
        store.put(key, key.name.encode(), 1.5)
        os.utime(store.folder() / f"{key.name}.engine", (seconds, seconds))
    assert store.find(KEY)[1].key == other
    store.build(KEY, b"never read, since the engine is there")
    assert store.find(KEY)[1].key == KEY


def test_a_full_disk_leaves_the_engine_that_was_there_and_names_the_way_out(monkeypatch):
    record = store.put(KEY, b"an engine", 1.5)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match=r"the cache cannot be written to .* set MDE_CACHE"):
        store.put(KEY, b"another engine", 1.5)
    assert store.find(KEY) == (b"an engine", record)


def test_an_engine_that_is_being_replaced_is_always_found_whole():
    store.put(KEY, b"0", 1.5)

    def rebuild() -> None:
        for number in range(200):
            with only_one(store.folder() / f"{KEY.name}.lock"):
                store.put(KEY, str(number).encode() * 1000, 1.5)

    rebuilding = threading.Thread(target=rebuild)
    rebuilding.start()
    while rebuilding.is_alive():
        engine, record = store.find(KEY)
        assert sha256_of(engine) == record.engine_sha256
    rebuilding.join()


def test_an_altered_engine_is_built_again_when_it_is_asked_for(command, tiny_bundle):
    command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx")
    (entry,) = store.entries()
    entry.path.write_bytes(b"altered")
    assert command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx").exit_code == 0
    assert store.is_usable(*store.entries())


def test_an_engine_is_installed_when_nobody_builds_it(tmp_path):
    plain = tmp_path / "fast.engine"
    plain.write_bytes(b"an engine")
    installing = threading.Thread(target=store.install, args=(KEY, plain, sha256_of(b"an engine")))
    with only_one(store.folder() / f"{KEY.name}.lock"):
        installing.start()
        installing.join(0.1)
        assert store.entries() == []
    installing.join(10)
    assert store.find(KEY)[0] == b"an engine"


@pytest.mark.parametrize("options", [(), ("--all",)])
def test_prune_leaves_locks_and_drafts_of_whoever_writes_now(command, options):
    lock, draft = (store.folder() / name for name in (f"{KEY.name}.lock", f".{KEY.name}-x.engine"))
    draft.write_bytes(b"half")
    with only_one(lock):
        assert command(main, "cache", "prune", *options).exit_code == 0
        assert lock.exists()
        assert draft.exists()


def test_prune_leaves_an_engine_that_is_being_built():
    store.put(KEY, b"an engine", 1.5)
    (entry,) = store.entries()
    entry.path.with_suffix(".json").unlink()
    with only_one(entry.path.with_suffix(".lock")):
        assert store.remove_unusable() == []
    assert store.remove_unusable() == [entry.path]
    assert entry.path.with_suffix(".lock").exists()


def test_graphs_that_differ_in_weights_alone_get_their_own_engines(command, make_bundle, tiny_graph):
    for name, offset_m in (("a.mde", 0.0), ("b.mde", 1.0)):
        bundle = make_bundle(name, {"fp32": tiny_graph(offset_m=offset_m)})
        command(main, "engine", bundle, "--flavour", "tensorrt-rtx")
    assert len(store.entries()) == 2


def test_a_saved_engine_installs_on_a_twin(command, tiny_bundle, tmp_path, monkeypatch):
    saved = command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx", "--save", tmp_path / "x.engine")
    digest = saved.stdout.split("sha256 ")[1].split()[0]
    monkeypatch.setenv("MDE_CACHE", str(tmp_path / "twin"))
    wrong = command(
        main,
        "engine",
        tiny_bundle,
        "--flavour",
        "tensorrt-rtx",
        "--install",
        tmp_path / "x.engine",
        "--sha256",
        "0" * 64,
    )
    assert wrong.exit_code == 3
    right = command(
        main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx", "--install", tmp_path / "x.engine", "--sha256", digest
    )
    assert right.exit_code == 0, right.stderr
    assert len(store.entries()) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        (("--install", "x.engine"), 2, "belong together"),
        (("--builds", "0"), 2, "x>=1"),
        (("--level", "9"), 2, "0<=x<=5"),
        (("--flavour", "tensorrt"), 4, "tensorrt cannot be loaded"),
        (("--flavour", "tensorrt-rtx", "--precision", "int8"), 3, "has no int8 graph"),
    ],
)
def test_a_wrong_call_is_one_line_with_its_exit_code(command, tiny_bundle, arguments, exit_code, complaint):
    ended = command(main, "engine", tiny_bundle, *arguments)
    assert (ended.exit_code, complaint in ended.stderr) == (exit_code, True)


def test_prune_removes_what_can_never_be_used_and_nothing_else(command, tiny_bundle):
    command(main, "engine", tiny_bundle, "--flavour", "tensorrt-rtx")
    (good,) = store.entries()
    store.put(dataclasses.replace(KEY, version="1.0.0"), b"of another version", 1.0)
    store.put(KEY, b"altered", 1.0)
    (store.folder() / f"{KEY.name}.engine").write_bytes(b"x")
    draft = store.folder() / ".half-written.engine"
    draft.write_bytes(b"x")
    os.utime(draft, (0, 0))
    assert len(command(main, "cache", "prune").stdout.split()) == 3
    assert [entry.path for entry in store.entries()] == [good.path]
    command(main, "cache", "prune", "--all")
    assert store.entries() == []


BUILD_SLOWLY = """
    import sys, time
    from pathlib import Path
    from mde_runtime.bundle import read_bundle
    from mde_runtime.engines import store
    from mde_runtime.engines.build import BuildOptions
    from mde_runtime.engines.key import key_for
    bundle = read_bundle(Path(sys.argv[1]))
    steps = []
    def advance():
        if not steps:
            print("building", flush=True)
            time.sleep(float(sys.argv[2]))
        steps.append(1)
    key = key_for(bundle.graph_sha256("fp32"), "tensorrt-rtx", BuildOptions())
    store.build(key, bundle.graph("fp32"), advance=advance)
    print("built" if steps else "found", flush=True)
"""


def builder_of(bundle, sleep_s):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BUILD_SLOWLY), str(bundle), str(sleep_s)],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def test_two_processes_build_one_key_once(tiny_bundle):
    first = builder_of(tiny_bundle, 1)
    assert first.stdout.readline() == "building\n"
    second = builder_of(tiny_bundle, 0)
    said = [process.communicate(timeout=60)[0].split()[-1] for process in (first, second)]
    assert said == ["built", "found"]


def test_a_builder_that_is_killed_leaves_nothing_half_done_and_no_lock(tiny_bundle):
    killed = builder_of(tiny_bundle, 60)
    assert killed.stdout.readline() == "building\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=60)
    assert store.entries() == []
    start = time.monotonic()
    assert builder_of(tiny_bundle, 0).communicate(timeout=60)[0].split()[-1] == "built"
    assert time.monotonic() - start < 30  # it did not wait for the dead one
    assert len(store.entries()) == 1


def layer(precision, count, height=10, width=10):
    return {"Weights": {"Type": precision, "Count": count}, "Outputs": [{"Dimensions": [1, 8, height, width]}]}


def inspected(*layers):
    return json.dumps({"Layers": [*layers, {"Name": "a shuffle"}, "a layer of another verbosity"], "Bindings": []})


def test_a_precision_is_real_from_95_percent_of_the_multiply_adds():
    assert arithmetic_of(inspected(layer("Half", 96), layer("Float", 4))) == "fp16"
    assert arithmetic_of(inspected(layer("Half", 90), layer("Float", 10))) == "90% fp16, 10% fp32"


@pytest.mark.parametrize(
    "told", [{"Metadata": "[ONNX Layer: first]\x1e[ONNX Layer: relu]"}, {"Name": "first + relu"}, {"Name": "first"}]
)
def test_nodes_that_are_kept_in_single_precision_do_not_count(told):
    text = inspected(layer("Half", 90), {**layer("Float", 10), **told})
    assert share_of(text, "fp16", ()) == 0.9
    assert share_of(text, "fp16", ("first",)) == 1.0
    assert share_of("{}", "fp16", ()) is None


def test_a_layer_counts_by_its_work_and_not_by_its_weights():
    assert arithmetic_of(inspected(layer("Half", 1, 100, 100), layer("Float", 1, 1, 1))) == "fp16"


@pytest.mark.parametrize("text", ["", "[]", "{}", inspected()])
def test_an_engine_that_does_not_tell_is_unstated(text):
    assert arithmetic_of(text) == "unstated"
