"""What can go wrong, by what the caller can do about it: one class an exit code.

A message is one line: what is wrong, where, and what to do.
"""


class MdeError(Exception):
    """Anything that this project refuses or fails to do. Never raised itself: its children say whose turn it is."""

    exit_code = 3


class VerdictError(MdeError):
    """The work was done and the answer is no: a gate, a certificate or a verification failed."""

    exit_code = 1


class UsageError(MdeError):
    """The command line or the call asks for something that does not exist or contradicts itself."""

    exit_code = 2


class BadInputError(MdeError):
    """A file, frame or value that was handed in is not what it should be."""

    exit_code = 3


class MachineError(MdeError):
    """This machine cannot: no GPU, no library, no space left."""

    exit_code = 4


class MeasurementError(MdeError):
    """The measurement is not valid: the machine throttled, or the figures never settled."""

    exit_code = 5


REASON_LENGTH = 300  # of another library's words in a message of ours


def one_line(error: BaseException) -> str:
    """Another library's words for a failure, as part of a message of one line; its kind where it has no words."""
    return " ".join(str(error).split())[:REASON_LENGTH] or type(error).__name__


BUG = 70  # of an exception that nobody foresaw: EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C (128 + SIGINT)
TERMINATED = 143  # by SIGTERM (128 + SIGTERM)
