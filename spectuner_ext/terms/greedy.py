"""The greedy agent: the level with the largest reward, then its candidate with the largest reward, to the horizon."""

from time import perf_counter
from typing import Any

import numpy as np

from .environment import actions, rewards
from .episode import Played, Start, advance, analysis_of, begin, check_options, ending
from .request import Request, Watch
from .result import Analysis, Outcome
from .settings import AnalysisSettings
from .system import TermSystem

__all__ = ["greedy"]

OPTIONS = ("compat", "reward")
REPORT_SECONDS = 0.2


def greedy(
    system: TermSystem, settings: AnalysisSettings, request: Request, watch: Watch | None = None
) -> Analysis:
    """Determine levels greedily (Ding et al., TAG-DQN, section 2.8).

    Deterministic. The agent has no probabilities: `probability` is NaN, ``log_odds`` is the logit of the preference
    score D, and ``min_probability`` has no effect.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    request : Request
        Options: ``compat`` (``"paper"`` repeats the published environment; None, the default, is the corrected one)
        and ``reward`` (name or path for `load_reward`; a path of the authors' ``reward.pth`` repeats published runs).
    watch : callable, optional

    Returns
    -------
    Analysis
        With the cumulated reward as score and, in the summary, size of the action space and reward of every step.

    Raises
    ------
    InputError
        For options it does not know and decisions by hand that cannot be carried out.
    """
    check_options("greedy", request, OPTIONS)
    start = begin(system, settings, request)
    played, outcome = _episode(start, watch)
    return analysis_of("greedy", start, played, outcome)


def _episode(start: Start, watch: Watch | None) -> tuple[Played, Outcome]:
    played = Played(start.state)
    horizon = start.settings.horizon
    started = reported = perf_counter()
    while True:
        outcome = ending(start, played.state)
        if outcome is not None:
            return played, outcome
        best = int(np.argmax(rewards(start.problem, played.state, start.reward)))
        played = advance(start, played, int(actions(start.problem, played.state, start.reward)[best]))
        now = perf_counter()
        if watch is not None and now - reported > REPORT_SECONDS:
            reported = now
            n_steps = played.state.n_steps
            report: dict[str, Any] = {
                "stage": "greedy search",
                "done": n_steps,
                "total": horizon,
                "n_levels": len(played.choices),
                "score": played.score,
                "eta_s": (now - started) / n_steps * (horizon - n_steps),
            }
            if watch(report):
                return played, Outcome.CANCELLED
