import signal

import pytest

from mde_export.steps import steps


class InterruptedWhileFreed:
    """Ctrl-C comes while it is freed, where Python drops what is raised."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("place", ["before", "within", "moving on", "after"])
def test_ctrl_c_that_python_drops_ends_the_export_all_the_same(place):
    told = []

    def lose_ctrl_c(at: str) -> None:
        if at == place:
            InterruptedWhileFreed()

    def work() -> None:
        with steps(told.append) as step:
            lose_ctrl_c("before")
            with step("first", 2) as advance:
                lose_ctrl_c("within")
                lose_ctrl_c("moving on")
                if place == "moving on":
                    advance()
                    told.append("went on")
            lose_ctrl_c("after")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert len(told) == (1 if place == "after" else 0)


def test_steps_are_told_where_nobody_interrupts():
    told = []
    with steps(told.append) as step, step("first"):
        pass
    assert [line.split()[0] for line in told] == ["first"]
