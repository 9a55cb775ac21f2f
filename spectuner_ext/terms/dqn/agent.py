"""The agent ``tagdqn``: trains on the ion at hand, with one seed or several, and hands in the best episode."""

import numpy as np

from ...config import to_plain
from ...errors import InputError
from ..episode import Played, Start, agreement, analysis_of, begin, check_options, ending, play
from ..evaluation_runs.objective import objective_of
from ..request import Request, Watch
from ..result import Analysis, Outcome
from ..settings import AnalysisSettings
from ..system import TermSystem
from .options import OPTIONS, settings_of
from .seeds import seeds_of, train_seeds
from .training import Trained

__all__ = ["tagdqn"]


def tagdqn(
    system: TermSystem, settings: AnalysisSettings, request: Request, watch: Watch | None = None
) -> Analysis:
    """Determine levels by deep Q-learning on term analysis graphs (Ding et al., TAG-DQN).

    Each seed hands in its episode with the largest reward, and the best of these is the result; no key is involved.
    With several seeds ``agreement`` is the share of the others whose best episode has a level at the same energy.
    `probability` is NaN and ``log_odds`` the logit of the preference score, as with every agent of the decision
    process.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    request : Request
        Options: ``compat`` and ``reward`` (see `episode.begin`); ``seeds`` (how many, or which; default
        ``n_trajectories``), which ``n_workers`` processes share; ``choose`` (what the best seed is judged by:
        ``"reward"``, or ``"objective"`` for J, see `objective_of`); ``folder``, in which trainings can be followed
        and continued (default the ``checkpoint`` of the request); and of the training, where a later one overrules:
        ``config`` (a published ``config.yaml``), ``settings`` (`DQNSettings`, or a mapping of names with dots to
        values), and every field of `DQNSettings` by its name, where ``network`` may be the name of a head.
    watch : Watch, optional
        A true answer ends the training, and the best episode so far is handed in.

    Returns
    -------
    Analysis
        With, in the summary, seeds, their best rewards and numbers of levels, learning curves and settings.

    Raises
    ------
    InputError
        For options that are unknown or do not fit, and a folder of another training.
    """
    check_options("tagdqn", request, OPTIONS)
    options = request.options
    dqn = settings_of(options)
    seeds = seeds_of(request, options.get("seeds", request.n_trajectories))
    folder = options.get("folder", request.checkpoint)
    choose = options.get("choose", "reward")
    if choose not in ("reward", "objective"):
        raise InputError(f"choose: must be reward or objective, got {choose!r}")
    start = begin(system, settings, request)
    trained = train_seeds(system, settings, request, dqn, seeds, folder=folder, watch=watch)
    if not trained:
        trained = [Trained(seeds[0], np.empty(0, dtype=np.int64), 0.0, -1, {}, "cancelled")]
    played = [play(start, one.actions) for one in trained]
    scores = [_objective(start, one) if choose == "objective" else one.score for one in played]
    best = int(np.argmax(scores))
    levels = [_levels(one) for one in played]
    cancelled = any(one.outcome == "cancelled" for one in trained)
    return analysis_of(
        "tagdqn",
        start,
        played[best],
        Outcome.CANCELLED if cancelled else ending(start, played[best].state) or Outcome.HORIZON,
        agreement=agreement(levels[best], levels[:best] + levels[best + 1 :], settings.tolerance),
        summary={
            "seed_objectives": scores if choose == "objective" else None,
            "best_seed": trained[best].seed,
            "best_episode": trained[best].episode,
            "seeds": [one.seed for one in trained],
            "seed_rewards": [one.score for one in played],
            "seed_n_levels": [len(one.choices) for one in played],
            "seed_outcomes": [one.outcome for one in trained],
            "learning_curves": {str(one.seed): _curve(one) for one in trained},
            "training": to_plain(dqn),
            "folder": None if folder is None else str(folder),
        },
    )


def _objective(start: Start, played: Played) -> float:
    """J of an episode."""
    return objective_of(analysis_of("tagdqn", start, played, Outcome.HORIZON))


def _levels(played: Played) -> dict[int, float]:
    known = played.state.known
    return {int(level): float(known.energy[level]) for level in known.accepted}


def _curve(trained: Trained) -> dict[str, list[float]]:
    """What a plot of the learning needs, in types that JSON knows."""
    names = ("reward", "best", "n_levels", "loss", "seconds")
    return {
        name: [None if np.isnan(v) else float(v) for v in trained.curves[name]]  # type: ignore[misc]
        for name in names
        if name in trained.curves
    }
