"""The tree search as an agent: a request in, an `Analysis` out."""

from typing import Any

import numpy as np

from ...errors import InputError
from ..episode import Played, Start, agreement, analysis_of, begin, check_options, play
from ..request import Request, Watch
from ..result import Analysis, Outcome
from ..settings import AnalysisSettings
from ..system import TermSystem
from .runs import run_searches
from .search import Found, Moves
from .settings import SearchSettings

__all__ = ["mcts"]

OPTIONS = ("compat", "reward", "nsimulations", "depth", "constant", "scale", "rollout", "result", "seeds")


def mcts(
    system: TermSystem, settings: AnalysisSettings, request: Request, watch: Watch | None = None
) -> Analysis:
    """Determine levels by Monte-Carlo tree search (Ding et al., TAG-DQN, section 2.8).

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    request : Request
        Options: ``nsimulations`` before each step (512), ``depth`` that they look ahead (4), exploration ``constant``
        (0.4) as a factor of the ``scale`` of returns (``"mean"`` or ``"range"``), ``rollout`` (``"random"``,
        ``"greedy"``, or a function of problem, state and random stream that returns an action), ``result``
        (``"trajectory"``, the largest one simulated, or ``"stepped"``, the episode of most visited actions),
        ``seeds`` (independent runs, ``n_trajectories`` when left out), and ``compat`` and ``reward`` as for `greedy`.
        With ``compat="paper"`` simulations also pass over actions that end the episode, and a trajectory may count
        the choice of a level whose energy has not been chosen.
        ``min_probability`` has no effect: the agent gives no probabilities.
    watch : callable, optional

    Returns
    -------
    Analysis
        Of the run with the largest reward; ``agreement`` is the share of the other runs that
        have the same energy.
        The summary tells the rewards of both results of every run, and levels and energies of the stepped one.

    Raises
    ------
    InputError
        For options it does not know or that have no meaning, decisions by hand that cannot be carried out, and a
        checkpoint of another search.
    """
    check_options("mcts", request, OPTIONS)
    how = _search_settings(request)
    n_runs = _count(request.options.get("seeds", request.n_trajectories), "seeds")
    start = begin(system, settings, request)
    found = run_searches(start, how, n_runs, watch)
    results = [found_run.best if how.result == "trajectory" else found_run.stepped for found_run in found]
    best = max(range(len(found)), key=lambda i: (results[i].score, -i))
    played = [play(start, moves.actions) for moves in results]
    energies = [_energies(p) for p in played]
    finished = [run.outcome is not Outcome.CANCELLED for run in found]
    others = [e for i, e in enumerate(energies) if finished[i] and i != best]
    return analysis_of(
        "mcts",
        start,
        played[best],
        found[best].outcome if all(finished) else Outcome.CANCELLED,
        agreement=agreement(energies[best], others, settings.tolerance),
        summary=_summary(start, how, found, found[best]),
    )


def _search_settings(request: Request) -> SearchSettings:
    options, published = request.options, SearchSettings()
    paper = options.get("compat") == "paper"
    return SearchSettings(
        n_simulations=_count(options.get("nsimulations", published.n_simulations), "nsimulations"),
        depth=_count(options.get("depth", published.depth), "depth"),
        constant=_number(options.get("constant", published.constant), "constant"),
        scale=options.get("scale", published.scale),
        policy=options.get("rollout", published.policy),
        result=options.get("result", published.result),
        skip_terminal=paper,
        count_unpaid=paper,
    )


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}: a whole number of at least 1 is needed, got {value!r}")
    return int(value)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{name}: a number is needed, got {value!r}")
    return float(value)


def _energies(played: Played) -> dict[int, float]:
    known = played.state.known
    return {int(level): float(known.energy[level]) for level in known.accepted}


def _summary(start: Start, how: SearchSettings, found: list[Found], best: Found) -> dict[str, Any]:
    return {
        "nsimulations": how.n_simulations,
        "depth": how.depth,
        "constant": how.constant,
        "scale": how.scale,
        "rollout": how.policy_name,
        "result": how.result,
        "run": best.run,
        "trajectory_scores": [run.best.score for run in found],
        "stepped_scores": [run.stepped.score for run in found],
        "stepped": _told(start, best.stepped),
        "trajectory": _told(start, best.best),
        "simulations": sum(run.n_simulations for run in found),
    }


def _told(start: Start, moves: Moves) -> dict[str, Any]:
    energies = _energies(play(start, moves.actions))
    return {"score": moves.score, "level": list(energies), "energy": list(energies.values())}
