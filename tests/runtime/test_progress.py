import os
import pty
import subprocess
import sys

SPEAKING = """
from mde_runtime.command import say
from mde_runtime.progress import progress
with progress("working", 3) as advance:
    advance()
    say("said meanwhile")
"""


def shown_on_a_terminal(code: str) -> str:
    """What a program writes to stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux's end of a terminal
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def test_what_is_said_during_progress_has_a_line_of_its_own():
    shown = shown_on_a_terminal(SPEAKING)
    assert "working" in shown
    before, _, after = shown.partition("said meanwhile")
    assert before.endswith("\r\x1b[2K"), "the bar's line is cleared"
    assert after.startswith("\r\n")


def test_without_a_terminal_only_what_is_said_is_shown():
    process = subprocess.run([sys.executable, "-c", SPEAKING], check=True, capture_output=True, text=True)
    assert (process.stdout, process.stderr) == ("", "said meanwhile\n")
