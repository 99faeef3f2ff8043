"""GPU resources of a session, given back in reverse order, each once, and all of them even after an error."""

import contextlib
from collections.abc import Callable
from types import TracebackType


class Owned(contextlib.ExitStack):
    """An ExitStack whose first error is the one that is raised: the later ones often follow from it."""

    def give_back(self, free: Callable[..., object], *things: object) -> None:
        """Call `free` with the things at the end."""

        def leave(_: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
            try:
                free(*things)
            except Exception:
                if error is None:
                    raise

        self.push(leave)
