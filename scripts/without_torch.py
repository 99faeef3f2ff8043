"""A pytest plugin for environments without torch: a test that wants it, or what builds on it, is skipped and says so.

Loaded by `-p without_torch`. A test whose command would answer a missing module with an exit code names it:
`@pytest.mark.needs("torch")`. Any other missing module stays an error.
"""

import importlib.util
from collections.abc import Generator

import pytest

LEFT_OUT = ("torch", "torchvision", "lightning", "tensorboard", "h5py", "scipy", "transformers", "safetensors")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that names a module which is not here is skipped."""
    for item in items:
        named = [str(name) for marker in item.iter_markers("needs") for name in marker.args]
        if missing := [name for name in named if importlib.util.find_spec(name) is None]:
            item.add_marker(pytest.mark.skip(reason=f"without {', '.join(missing)}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,  # noqa: ARG001  pytest's own signature
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that cannot import one of these is skipped."""
    report = yield
    _skip_if_left_out(report, call.excinfo)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,  # noqa: ARG001  pytest's own signature
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So is a file."""
    report = yield
    call = getattr(report, "call", None)
    _skip_if_left_out(report, call.excinfo if call else None)
    return report


def _skip_if_left_out(
    report: pytest.TestReport | pytest.CollectReport, error: pytest.ExceptionInfo[BaseException] | None
) -> None:
    cause = error.value if error else None
    while cause is not None and not isinstance(cause, ModuleNotFoundError):
        cause = cause.__cause__ or cause.__context__
    if report.failed and cause is not None and (cause.name or "").partition(".")[0] in LEFT_OUT:
        report.outcome, report.longrepr = "skipped", ("", 0, f"without {cause.name}")
