"""Results of older judging or compiling code are not believed: the number rises when that code changes."""

import hashlib
from pathlib import Path

import mde_runtime
from mde_runtime.revision import REVISION

# All that decides a verdict, and all that rewrites a graph when a backend opens it.
JUDGING = ("parity.py", "metrics.py", "verify.py", "onnx_graph/unsigned.py", "onnx_graph/content.py")
KNOWN = (5, "fbeb5982805f3305")


def test_the_revision_rises_with_the_code_that_judges_and_rewrites():
    package = Path(mde_runtime.__file__).parent
    digest = hashlib.sha256(b"".join((package / name).read_bytes() for name in JUDGING)).hexdigest()[:16]
    assert (REVISION, digest) == KNOWN, (
        f"the code changed: raise REVISION if a figure, a limit or a graph can come out otherwise, and write {digest}"
    )
