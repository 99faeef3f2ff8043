"""The revision of the code that judges depth and rewrites graphs at load, part of every key that its results are under.

Raise it whenever a figure, a limit or a rewritten graph comes out otherwise: what was judged or compiled before is then
made anew. A test fails where the code changes and the number does not.
"""

REVISION = 5
