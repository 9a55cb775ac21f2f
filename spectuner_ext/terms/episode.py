"""Episodes of the decision process: how one begins, how chosen actions are played, and the `Analysis` it becomes.

What every agent that acts on `environment` shares: decisions by hand come before the first step, the episode ends by
the same rules, and levels, lines and what stays undetermined are read off the final state.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter, process_time
from typing import Any

import numpy as np

from ..errors import InputError
from .arrays import FloatArray
from .calibration import Problem, prepare
from .conventions import conventions_named
from .environment import State, actions, candidates, reset, step
from .episode_result import Choice, choice_of, determined, lines_of, undetermined
from .hand_start import sorted_pins, with_levels, with_lines
from .request import Request
from .result import Analysis, Outcome
from .reward import Reward, load_reward
from .settings import AnalysisSettings
from .system import TermSystem

__all__ = [
    "Choice",
    "Played",
    "Start",
    "advance",
    "agreement",
    "analysis_of",
    "begin",
    "check_options",
    "ending",
    "play",
]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """An episode before its first step, with what it was made from.

    Parameters
    ----------
    system : TermSystem
        As it came in.
    settings : AnalysisSettings
    request : Request
    problem : Problem
    state : State
        With the decisions by hand carried out; steps count from here.
    by_hand : tuple of Choice
        One for each level that is accepted in `state`.
    reward : Reward
    """

    system: TermSystem
    settings: AnalysisSettings
    request: Request
    problem: Problem
    state: State
    by_hand: tuple[Choice, ...]
    reward: Reward
    _began: tuple[float, float] = field(default=(0.0, 0.0), repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What came of the actions taken so far.

    Parameters
    ----------
    state : State
    choices : tuple of Choice
        One for each level accepted since the start.
    history : tuple of (int, float)
        Actions on offer and reward of every step.
    """

    state: State
    choices: tuple[Choice, ...] = ()
    history: tuple[tuple[int, float], ...] = ()

    @property
    def score(self) -> float:
        """Undiscounted sum of the rewards."""
        return float(sum(gain for _, gain in self.history))


def check_options(agent: str, request: Request, names: Sequence[str]) -> None:
    """Refuse options that an agent does not know.

    Raises
    ------
    InputError
        With the option and those there are.
    """
    unknown = sorted(set(request.options) - set(names))
    if unknown:
        raise InputError(f"the {agent} agent has no option {unknown[0]!r}; it has {', '.join(names)}")


def begin(system: TermSystem, settings: AnalysisSettings, request: Request) -> Start:
    """Prepare the problem, load the reward, and carry out the decisions by hand.

    Of the options, ``compat`` names the conventions (`conventions_named`) and ``reward`` is a `Reward` or what
    `load_reward` takes; without it the published weights serve the published conventions, and those trained here
    the corrected ones.

    Raises
    ------
    InputError
        For conventions or weights that do not exist, and decisions by hand that cannot be carried out.
    """
    began = perf_counter(), process_time()
    conventions = conventions_named(request.options.get("compat"))
    given = request.options.get("reward")
    reward = given if isinstance(given, Reward) else load_reward(given or _usual_reward(request))
    hand = request.by_hand
    between_known, pinned = sorted_pins(system, hand)
    problem = prepare(
        with_lines(system, between_known),
        settings,
        conventions,
        excluded_lines=hand.reject_lines | {row for row, _, _ in between_known},
        forbidden=hand.reject_energies,
        pinned=pinned,
    )
    state = with_levels(problem, reset(problem, declined=hand.reject_levels), hand, pinned)
    by_hand = tuple(Choice(int(level), np.nan, np.nan, np.nan) for level in state.known.accepted)
    return Start(system, settings, request, problem, state, by_hand, reward, began)


def ending(start: Start, state: State) -> Outcome | None:
    """Why an episode is over, None while it is not.

    Only between two decisions on levels: a level that is selected is always decided on.
    """
    if state.selected >= 0:
        return None
    wanted = start.request.n_levels
    found = state.known.accepted.size - len(start.by_hand)
    if state.n_steps >= start.settings.horizon or (wanted is not None and found >= wanted):
        return Outcome.HORIZON
    return None if actions(start.problem, state).size else Outcome.COMPLETE


def advance(start: Start, played: Played, action: int) -> Played:
    """Take one more action, named as in `environment.actions`."""
    problem, state, reward = start.problem, played.state, start.reward
    possible = actions(problem, state, reward)
    choices = played.choices
    if state.selected >= 0:
        found = candidates(problem, state, reward)
        if 0 <= action < len(found):
            choices = (*choices, choice_of(found, action))
    after, gain, _ = step(problem, state, action, reward)
    return Played(after, choices, (*played.history, (int(possible.size), gain)))


def play(start: Start, sequence: Iterable[int]) -> Played:
    """Play actions from the start.

    Raises
    ------
    InputError
        For an action that its state does not have.
    """
    played = Played(start.state)
    for action in sequence:
        played = advance(start, played, int(action))
    return played


def analysis_of(
    agent: str,
    start: Start,
    played: Played,
    outcome: Outcome,
    *,
    agreement: FloatArray | None = None,
    summary: dict[str, Any] | None = None,
) -> Analysis:
    """Analysis from the end of an episode.

    Parameters
    ----------
    agent : str
    start : Start
    played : Played
        A level that is still selected is left undetermined.
    outcome : Outcome
    agreement : array, (n_accepted,), optional
        Share of other episodes that have each accepted level, those by hand included, at the same energy.
    summary : dict, optional
        Added to what every agent tells: steps, rewards and sizes of action spaces, problem, seconds.

    Returns
    -------
    Analysis
        `probability` is NaN, `log_odds` the logit of the preference.
    """
    problem, state = start.problem, replace(played.state, selected=-1)
    return Analysis(
        start.system,
        start.settings,
        agent,
        determined(state.known, start.by_hand + played.choices, agreement),
        lines_of(problem, state.known),
        undetermined(problem, state, start.reward, outcome),
        outcome,
        played.score,
        {
            "steps": len(played.history),
            "action_space": [n for n, _ in played.history],
            "rewards": [gain for _, gain in played.history],
            "reward_weights": start.reward.source,
            "compat": start.request.options.get("compat"),
            "n_edges": problem.n_edges,
            "n_free_lines": int(problem.line_row.size),
            "wall_s": perf_counter() - start._began[0],
            "cpu_s": process_time() - start._began[1],
            **(summary or {}),
        },
    )


def agreement(best: dict[int, float], others: Sequence[dict[int, float]], tolerance: float) -> FloatArray:
    """Share of other episodes that have each level of the best one at the same energy.

    Parameters
    ----------
    best : dict of level to energy in cm^-1
    others : sequence of such dicts
    tolerance : float, in cm^-1

    Returns
    -------
    array, (len(best),)
        NaN when there is no other episode.
    """
    if not others:
        return np.full(len(best), np.nan)
    return np.array(
        [
            np.mean([abs(other.get(level, np.inf) - energy) <= tolerance for other in others])
            for level, energy in best.items()
        ],
        dtype=np.float64,
    )


def _usual_reward(request: Request) -> str:
    return "recovered" if request.options.get("compat") == "paper" else "trained"
