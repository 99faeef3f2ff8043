"""The errors, by what the caller can do about them: one class for each exit code.

A message is one line: what is wrong, where, and what to do.
"""

import re

LINE_ENDS = re.compile(r"\s*[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]\s*")


class MdeError(Exception):
    """Anything that this project refuses or fails to do. Never raised itself: its children say whose turn it is."""

    exit_code = 3

    def __str__(self) -> str:
        return one_line(super().__str__())  # names and texts of hostile files are in many messages


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


BUG = 70  # of an exception that nobody foresaw: EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C (128 + SIGINT)
TERMINATED = 143  # by SIGTERM (128 + SIGTERM)


def one_line(text: str) -> str:
    """Text from anywhere as one line that no terminal takes for a command: what cannot be printed is escaped."""
    joined = LINE_ENDS.sub(" ", text)
    return joined if joined.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)


REASON_LENGTH = 300  # of another library's words in a message of ours


def reason_of(error: BaseException) -> str:
    """An exception's own words on one line, as part of a message of ours, cut short; its type where it has none."""
    text = " ".join(one_line(str(error)).split()) or type(error).__name__
    return text if len(text) <= REASON_LENGTH else f"{text[: REASON_LENGTH - 3]}..."
