from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms import environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.episode import (
    Played,
    advance,
    agreement,
    analysis_of,
    begin,
    check_options,
    ending,
    play,
)
from spectuner_ext.terms.level_fit import fit_levels
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.result import Outcome
from spectuner_ext.terms.reward import load_reward
from spectuner_ext.terms.simulate import simulate_ion


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=120, seed=2)


def started(ion, **changes):
    settings = replace(ion.settings, **changes.pop("settings", {}))
    return begin(ion.system, settings, Request(**changes))


def random_actions(start, n, seed=0):
    """Actions of a random episode, taken in the environment itself, with what they gained."""
    rng, state, taken, gained = np.random.default_rng(seed), start.state, [], []
    for _ in range(n):
        offered = environment.actions(start.problem, state, start.reward)
        if not offered.size:
            break
        action = int(rng.choice(offered))
        state, gain, _ = environment.step(start.problem, state, action, start.reward)
        taken.append(action)
        gained.append(gain)
    return taken, gained, state


def test_an_episode_is_what_the_environment_makes_of_its_actions(ion):
    start = started(ion, options={"compat": "paper"})
    taken, gained, state = random_actions(start, 30)
    played = play(start, taken)
    assert [gain for _, gain in played.history] == gained
    assert played.score == sum(gained)
    assert np.array_equal(played.state.known.accepted, state.known.accepted)
    assert np.array_equal(played.state.known.energy, state.known.energy, equal_nan=True)
    assert [choice.level for choice in played.choices] == state.known.accepted.tolist()
    assert len(played.choices) > 3
    problem = prepare(ion.system, ion.settings, start.problem.conventions)
    first = environment.actions(problem, environment.reset(problem), start.reward)
    assert played.history[0][0] == first.size


def test_choices_tell_the_rival(ion):
    start = started(ion, options={"compat": "paper"})
    for level in environment.actions(start.problem, start.state, start.reward):
        selected = play(start, [level])
        found = environment.candidates(start.problem, selected.state, start.reward)
        if len(found) > 1:
            break
    order = np.argsort(-found.preference)
    worst = advance(start, selected, int(order[-1])).choices[-1]
    best = advance(start, selected, int(order[0])).choices[-1]
    assert_allclose(1.0 / (1.0 + np.exp(-best.log_odds)), found.preference[order[0]], rtol=1e-9)
    assert worst.runner_up == found.energy[order[0]]
    assert best.runner_up == found.energy[order[1]]
    assert worst.runner_up_log_odds == best.log_odds
    assert not advance(start, selected, len(found)).choices


def test_how_it_ends(ion):
    start = started(ion)
    assert ending(start, start.state) is None
    # A level that is selected is decided on even when the horizon is odd.
    odd = started(ion, settings={"horizon": 3})
    taken, _, _ = random_actions(odd, 2)
    selected = advance(
        odd, play(odd, taken), int(environment.actions(odd.problem, play(odd, taken).state)[0])
    )
    assert selected.state.n_steps == 3
    assert ending(odd, selected.state) is None
    assert ending(odd, advance(odd, selected, 0).state) is Outcome.HORIZON
    assert ending(started(ion, n_levels=0), start.state) is Outcome.HORIZON
    every = frozenset(range(len(ion.system.levels)))
    assert ending(start, replace(start.state, declined=every)) is Outcome.COMPLETE


def test_levels_by_hand_are_there_at_the_start_and_are_not_counted(ion):
    free = started(ion)
    taken, _, _ = random_actions(free, 40, seed=1)
    levels = analysis_of("test", free, play(free, taken), Outcome.HORIZON).levels
    hand = ByHand(
        accept_levels=((int(levels.level[0]), float(levels.energy[0])),), reject_levels=frozenset({7})
    )
    start = started(ion, by_hand=hand, n_levels=1)
    assert start.state.known.accepted.tolist() == [levels.level[0]] == [c.level for c in start.by_hand]
    assert np.isnan(start.by_hand[0].log_odds)
    assert start.state.n_steps == 0
    assert ending(start, start.state) is None
    assert 7 not in environment.actions(start.problem, start.state)
    analysis = analysis_of("test", start, Played(start.state), Outcome.CANCELLED)
    assert analysis.levels.level.tolist() == [levels.level[0]]


def test_analysis_of_a_random_episode(ion):
    start = started(ion, options={"compat": "paper"})
    taken, gained, state = random_actions(start, 31)
    share = np.linspace(0.0, 1.0, state.known.accepted.size)
    analysis = analysis_of(
        "test", start, play(start, taken), Outcome.CANCELLED, agreement=share, summary={"seeds": 3}
    )
    assert analysis.agent == "test"
    assert analysis.score == sum(gained)
    assert analysis.summary["steps"] == len(gained)
    assert analysis.summary["rewards"] == gained
    assert analysis.summary["seeds"] == 3
    assert np.array_equal(analysis.levels.agreement, share)
    lines, energy = analysis.lines, analysis.energy
    listed = ion.system.lines.wavenumber[lines.line]
    assert_allclose(lines.residual, listed - energy[lines.upper] + energy[lines.lower], atol=1e-9)
    new = np.isin(np.arange(energy.size), analysis.levels.level)
    fit = fit_levels(
        lines.lower,
        lines.upper,
        listed,
        lines.sigma,
        n_levels=energy.size,
        fixed_energy=np.where(new, np.nan, energy),
    )
    assert_allclose(analysis.levels.energy, fit.energy[analysis.levels.level], rtol=0, atol=1e-8)
    # The level that was selected last is undetermined like others.
    assert play(start, taken).state.selected in analysis.undetermined.level


def test_reward_and_conventions_by_option(ion):
    assert started(ion).reward.source == "trained"
    assert started(ion, options={"compat": "paper"}).reward.source == "recovered"
    given = load_reward("recovered")
    assert started(ion, options={"reward": given}).reward is given
    assert not started(ion, options={"compat": "paper"}).problem.conventions.decline_for_good
    with pytest.raises(InputError, match="'paper'"):
        started(ion, options={"compat": "article"})


def test_agreement_counted_by_hand():
    best = {3: 100.0, 8: 250.0, 9: 1.0}
    others = [{3: 100.04, 8: 251.0}, {8: 249.97}, {3: 99.0, 9: 1.0}, {3: 99.96, 4: 100.0}]
    assert_allclose(agreement(best, others, 0.05), [2 / 4, 1 / 4, 1 / 4])
    assert np.isnan(agreement(best, [], 0.05)).all()
    assert agreement({}, others, 0.05).shape == (0,)


def test_what_is_not_possible(ion):
    start = started(ion)
    with pytest.raises(InputError, match="cannot be chosen"):
        play(start, [0])
    level = int(environment.actions(start.problem, start.state)[0])
    with pytest.raises(InputError, match="candidate -1 does not exist"):
        play(start, [level, -1])
    with pytest.raises(InputError, match="the swarm agent has no option 'wings'; it has legs, eyes"):
        check_options("swarm", Request(options={"wings": 2, "legs": 6}), ("legs", "eyes"))
