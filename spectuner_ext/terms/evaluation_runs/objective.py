"""The objective J of any run, whichever agent it comes from: what the evidence says of its levels and lines."""

import numpy as np

from ...blas_threads import on_one_thread
from ..evidence.model import model_for
from ..evidence.prior import groups_for
from ..evidence.search import final_odds, objective
from ..evidence.state import SearchState
from ..request import ByHand
from ..result import Analysis
from ..system import TermSystem

__all__ = ["objective_of"]


@on_one_thread
def objective_of(analysis: Analysis) -> float:
    """J, the sum of ln(1 + leave-one-out odds) over the determined levels, in nats.

    The levels and lines of the run are taken as they are, everything is fitted to them, and each level is scored
    without itself; so agents with objectives of their own can be compared. No key is needed.

    Parameters
    ----------
    analysis : Analysis
    """
    system, levels, lines = analysis.system, analysis.levels, analysis.lines
    if not len(levels):
        return 0.0
    settings = analysis.settings
    state = SearchState(system, settings, groups_for(system.levels), model_for(settings), ByHand())
    for i in np.argsort(levels.order, kind="stable"):
        state.accept(
            int(levels.level[i]), float(levels.energy[i]), float(levels.uncertainty[i]), 0.0, [], order=int(i)
        )
    row = _rows(system)
    pairs = []
    for line, lower, upper in zip(lines.line, lines.lower, lines.upper, strict=True):
        transition = row.get((int(min(lower, upper)), int(max(lower, upper))))
        if transition is not None:  # a line that a person gave to levels without a calculated transition
            pairs.append((transition, int(line)))
    state.claim(pairs)
    state.refit()
    odds, _, _ = final_odds(state)
    return objective(odds)


def _rows(system: TermSystem) -> dict[tuple[int, int], int]:
    """Row of the transition between two levels, the smaller id first."""
    t = system.transitions
    low, high = np.minimum(t.lower, t.upper), np.maximum(t.lower, t.upper)
    return {(int(a), int(b)): k for k, (a, b) in enumerate(zip(low, high, strict=True))}
