"""The cure ladder: other ways to build a certified graph whose engine gives wrong depth, the mildest first.

Marked outputs break fusion: every tensor that several layers read becomes an output of the engine, so that no fused
kernel goes across it. A lower builder level leaves kernels out that are generated for the graph. Neither changes the
graph, so its certificate stays; verification says what each is worth.
"""

from dataclasses import dataclass, replace

from mde_runtime.engines.build import BuildOptions


@dataclass(frozen=True)
class Rung:
    """One more way to build. `name` says it to a person."""

    name: str
    options: BuildOptions


def rungs(asked: BuildOptions) -> tuple[Rung, ...]:
    """What there is to try after the build that was asked for."""
    found = []
    if not asked.marked_outputs:
        found.append(Rung("marked outputs", replace(asked, marked_outputs=True)))
    if asked.optimization_level:
        lower = min(1, asked.optimization_level - 1)
        level = replace(asked, optimization_level=lower)
        found.append(Rung(f"builder level {lower}", level))
        if not asked.marked_outputs:
            found.append(Rung(f"marked outputs and builder level {lower}", replace(level, marked_outputs=True)))
    return tuple(found)
