"""The tests marked `gpu`: one line for all that passed, one for every other."""

import importlib.util
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from lab.gpu_check.clock import Clock
from lab.gpu_check.lines import Line, Verdict
from lab.gpu_check.request import Request
from mde_runtime.errors import MachineError, VerdictError

NEEDED = ("pytest", "pytest_timeout")
TESTS = Path("tests")
MARK = "pytest.mark.gpu"
NOTHING_COLLECTED = 5  # pytest's exit code
TEST_TIMEOUT_S = 120


def suite_lines(request: Request, clock: Clock) -> Iterator[Line]:
    """Run them. Raises MachineError without pytest, VerdictError where it broke off."""
    if missing := [name for name in NEEDED if not importlib.util.find_spec(name)]:
        raise MachineError(f"{' and '.join(missing)} not installed here: pip install pytest pytest-timeout")
    report = request.out.absolute() / "tests.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    # Not all of them: the others import at the top what this machine may not have.
    places = sorted(str(path) for path in TESTS.rglob("test_*.py") if MARK in path.read_text())
    options = ("-q", "-m", "gpu", f"--timeout={TEST_TIMEOUT_S}", "--continue-on-collection-errors")
    command = [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", *places]
    try:
        code = subprocess.run(command, check=False, stdout=sys.stderr, timeout=clock.left_s()).returncode
    except subprocess.TimeoutExpired as error:
        raise VerdictError("the tests did not end in the time that was left; what they printed stands above") from error
    if code == NOTHING_COLLECTED:
        raise MachineError("no test is marked gpu")
    if code not in (0, 1):
        raise VerdictError(f"pytest ended with {code}; its own words stand above")
    yield from lines_of_tests(report.read_text())


def lines_of_tests(junit_xml: str) -> Iterator[Line]:
    """What pytest's report says."""
    cases = list(ElementTree.fromstring(junit_xml).iter("testcase"))  # pytest's own file
    num_passed = 0
    verdict: Verdict
    for case in cases:
        problem = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        if problem is None:
            num_passed += 1
            continue
        what = f"{case.get('classname')}::{case.get('name')}"
        verdict = "absent" if problem.tag == "skipped" else "failed"
        reason = problem.get("message", "").partition("\n")[0]  # an error may have no message at all
        yield Line("tests", what, verdict, {}, reason)
    verdict = "passed" if num_passed else "absent"  # all were skipped
    yield Line("tests", f"{num_passed} of {len(cases)} tests", verdict, {}, "")
