"""A countdown of the time that a check has."""

import time


class Clock:
    """Counts down from when it was made."""

    def __init__(self, minutes: float):
        self._begin = time.monotonic()
        self._end = self._begin + 60 * minutes

    def spent_s(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._begin

    def left_s(self) -> float:
        """Seconds that are left, 0 when the time is up."""
        return max(0.0, self._end - time.monotonic())
