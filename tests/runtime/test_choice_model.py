"""Whatever happened before on a machine, what is chosen passes the golden frames of the bundle that is opened.

A random sequence of all that touches the cache: opening and verifying, engines that come out right or wrong, other
devices and library versions, rankings, pruning, damage, and other processes at the same time.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from mde_runtime import MachineError, MdeError, VerdictError, verify
from mde_runtime.backends import BACKENDS, open_session
from mde_runtime.bundle import read_bundle
from mde_runtime.cache import RankedCandidate, kept, put_ranking
from mde_runtime.choice import choose
from mde_runtime.cli.cache import prune
from mde_runtime.engines import store

FAR_M = 0.5  # off: beyond every limit
CLEARLY_RIGHT_M = 0.005  # half of what the limits allow
BUNDLES = ("right", "same graph, other golden frames", "other graph", "other graph, golden frames made by it")
PRECISIONS = ("fp32", "fp16")
PAIRS = [(backend, precision) for backend in ("tensorrt", "openvino", "onnxruntime-cpu") for precision in PRECISIONS]
FAULTS_M = {("first", "Orin", 2): FAR_M, ("second", "H200", 2): FAR_M, ("first", "H200", 3): -FAR_M}


@pytest.fixture
def stand_ins(monkeypatch):
    """The module of the backends that stand in here."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import stand_ins

    return stand_ins


@pytest.fixture
def bundles(make_bundle, tiny_graph, tiny_frames, tiny_depth):
    """A bundle for each way in which graph and golden frames may belong together, and how far off each graph is."""
    graphs = {
        off_m: {"fp32": tiny_graph(offset_m=off_m), "fp16": tiny_graph("FLOAT16", offset_m=off_m)}
        for off_m in (0.0, FAR_M)
    }
    made = {}
    for number, (graph_m, golden_m) in enumerate(((0.0, 0.0), (0.0, FAR_M), (FAR_M, 0.0), (FAR_M, FAR_M))):
        depth_m = tiny_depth(tiny_frames) + np.float32(golden_m)
        made[BUNDLES[number]] = make_bundle(f"{number}.mde", graphs[graph_m], depth_m), graph_m
    return made


def machine_of(stand_ins, bundles):
    """The state machine over these backends and bundles."""

    class Machine(RuleBasedStateMachine):
        """A machine, its cache and its bundles."""

        def __init__(self):
            super().__init__()
            self.left = contextlib.ExitStack()
            self.folder = Path(self.left.enter_context(tempfile.TemporaryDirectory()))
            (self.folder / "cache").mkdir(mode=0o700)
            self.left.enter_context(mock.patch.dict(os.environ, {"MDE_CACHE": str(self.folder / "cache")}))
            self.left.enter_context(mock.patch.dict(BACKENDS, stand_ins.ROWS, clear=True))
            self.left.enter_context(mock.patch.dict(sys.modules, {"tensorrt": types.ModuleType("tensorrt")}))
            self.now = stand_ins.NOW = stand_ins.World(faults_m=FAULTS_M)
            self.paths = {name: Path(shutil.copy(path, self.folder)) for name, (path, _) in bundles.items()}
            for path, off_m in bundles.values():
                bundle = read_bundle(path)
                self.now.graphs_m |= {bundle.graph_sha256(precision): off_m for precision in PRECISIONS}
            self.upgrade(1)

        def teardown(self):
            self.left.close()

        @rule(
            names=st.permutations(BUNDLES),
            backend=st.sampled_from(("auto", *stand_ins.ROWS)),
            precision=st.sampled_from(("auto", *PRECISIONS)),
        )
        def open(self, names, backend, precision):
            for name in names:
                self.check_opening(read_bundle(self.paths[name]), backend, precision)

        @rule(names=st.lists(st.sampled_from(BUNDLES), min_size=2, max_size=3))
        def open_in_several_processes(self, names):
            failures = [
                in_another_process(lambda name=name: self.check_opening(read_bundle(self.paths[name]), "auto", "auto"))
                for name in names
            ]
            assert [failure() for failure in failures] == [""] * len(names)

        @rule(name=st.sampled_from(BUNDLES))
        def verify_everything(self, name):
            bundle = read_bundle(self.paths[name])
            for backend, precision in PAIRS:
                with contextlib.suppress(MachineError):  # there is no engine
                    session = open_session(backend, bundle.graph(precision))
                    assert verify.verify(bundle, backend, precision, session).passed == is_right(bundle, session)

        @rule(name=st.sampled_from(BUNDLES), precision=st.sampled_from(PRECISIONS), is_wrong=st.booleans())
        def build_engine(self, name, precision, is_wrong):
            graph_sha256 = read_bundle(self.paths[name]).graph_sha256(precision)
            off_m = self.now.graphs_m[graph_sha256] + (FAR_M if is_wrong else 0.0)
            store.put(self.now.engine_key(graph_sha256), json.dumps({"off_m": off_m}).encode(), 0.1)

        @rule(name=st.sampled_from(BUNDLES), order=st.permutations(PAIRS))
        def rank(self, name, order):
            rows = (RankedCandidate(*pair, place / 100) for place, pair in enumerate(order, 1))
            put_ranking(read_bundle(self.paths[name]).graph_sha256("fp32"), tuple(rows))

        @rule(version=st.integers(1, 3))
        def upgrade(self, version):
            self.now.version = version
            sys.modules["tensorrt"].__version__ = f"{version}.0"

        @rule(device=st.sampled_from(("Orin", "H200")))
        def move_to(self, device):
            self.now.device = device

        @rule(everything=st.booleans())
        def prune(self, everything):
            prune.callback(everything, 0.0)

        @rule(one=st.sampled_from(BUNDLES), other=st.sampled_from(BUNDLES))
        def replace_a_bundle_by_another(self, one, other):
            if one != other:
                shutil.copy(bundles[other][0], self.paths[one])

        @precondition(lambda _: kept())
        @rule(data=st.data())
        def damage(self, data):
            path = data.draw(st.sampled_from(kept()))
            if not path.is_file() or path.is_symlink():
                return
            how = data.draw(st.sampled_from(("bit", "cut", "empty", "gone", "open", "link", "folder", "other's")))
            content = bytearray(path.read_bytes())
            if how == "bit" and content:
                place = data.draw(st.integers(0, len(content) * 8 - 1))
                content[place // 8] ^= 1 << place % 8
                path.write_bytes(content)
            elif how == "cut":
                path.write_bytes(content[: len(content) // 2])
            elif how == "empty":
                path.write_bytes(b"")
            elif how == "open":
                path.chmod(0o666)
            elif how == "other's":  # under another entry's name
                data.draw(st.sampled_from([p for p in kept() if p.is_file()])).write_bytes(content)
            else:
                path.unlink()
                if how == "link":
                    path.symlink_to(path.name)
                elif how == "folder":
                    path.mkdir()

        @rule(kind=st.sampled_from(("verifications", "engines")))
        def be_interrupted_while_writing(self, kind):
            (self.folder / "cache" / kind).mkdir(mode=0o700, exist_ok=True)
            draft = self.folder / "cache" / kind / f".{'a' * 64}-half.json"
            draft.write_text("{")
            os.utime(draft, (0, 0))

        def check_opening(self, bundle, backend, precision):
            """What is chosen is right. Nothing is chosen only where nothing sound is right."""
            try:
                session, choice = choose(bundle, backend, precision, None)
            except (VerdictError, MachineError):
                assert not any(self.could_run(bundle, backend, precision)), "something right was refused"
                return
            with contextlib.closing(session):
                assert is_right(bundle, session), f"{choice}: verified, and wrong"
                assert choice.verification.passed

        def could_run(self, bundle, backend, precision):
            for name in stand_ins.ROWS if backend == "auto" else (backend,):
                for candidate in PRECISIONS if precision == "auto" else (precision,):
                    try:
                        session = open_session(name, bundle.graph(candidate))
                    except MdeError:
                        continue
                    yield is_right(bundle, session)

    return Machine


def is_right(bundle, session):
    """Whether a session's depth is that of the bundle's golden frames, by another reckoning than verification's."""
    golden = bundle.golden()
    return bool(np.abs(session.run({"frame": golden.frames})["depth_m"] - golden.depth_m).max() < CLEARLY_RIGHT_M)


def in_another_process(work):
    """Begin some work in a forked process; gives a function that waits for its end, and says what was wrong."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  it is told to the parent
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.close(writing)

    def ended():
        with os.fdopen(reading) as said:
            text = said.read()
        os.waitpid(child, 0)
        return text

    return ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_whatever_happened_before_the_choice_passes_the_bundles_own_golden_frames(stand_ins, bundles):
    run_state_machine_as_test(
        lambda: machine_of(stand_ins, bundles)(),
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            phases=[Phase.generate],  # shrinking takes minutes; the steps that are printed are few enough
            suppress_health_check=list(HealthCheck),
        ),
    )
