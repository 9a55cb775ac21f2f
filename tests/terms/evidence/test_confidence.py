"""Probabilities from odds, and the hiding of known levels."""

from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.terms.evidence.confidence import (
    calibrated,
    chain_support,
    doubt_of,
    hide_known,
)
from spectuner_ext.terms.evidence.model import model_for
from spectuner_ext.terms.evidence.state import SearchState
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.request import ByHand
from spectuner_ext.terms.simulate import simulate_ion
from spectuner_ext.terms.simulated_spectrum import Conditions

CLEAN = Conditions(
    configuration_error=100.0, parent_error=30.0, term_error=30.0, level_error=20.0, g_a_error=(0.03, 0.1),
    departure=0.0, population_scatter=0.0, tail=(0.0, 5.0, 10.0),
)  # fmt: skip


def start(ion):
    return SearchState(
        ion.system, ion.settings, label_groups(ion.system.levels), model_for(ion.settings), ByHand()
    )


ODDS = np.array([-np.inf, -30.0, -5.0, -1.0, 0.0, 1.0, 2.0, 4.0, 7.0, 12.0, 27.6, np.inf])


@pytest.mark.parametrize("support", [1.0, 0.7, 0.01, 0.0])
@pytest.mark.parametrize("agreement", [None, 0.0, 1.0])
def test_probability_rises_with_the_odds(support, agreement):
    share = None if agreement is None else np.full(ODDS.size, agreement)
    probability = calibrated(ODDS, np.full(ODDS.size, support), 0.02, share)
    assert np.all(np.diff(probability) >= 0)
    assert np.all(np.diff(probability[3:9]) > 0)
    assert np.all((probability > 0) & (probability < 1))


def test_probability_rises_with_support_and_agreement_and_falls_with_doubt():
    odds, shares = np.full(5, 4.0), np.linspace(0.0, 1.0, 5)
    assert np.all(np.diff(calibrated(odds, shares + 0.01, 0.02)) > 0)
    assert np.all(np.diff(calibrated(odds, np.ones(5), 0.02, shares)) > 0)
    by_doubt = [calibrated(odds, np.ones(5), doubt)[0] for doubt in (0.0, 0.05, 0.2)]
    assert by_doubt == sorted(by_doubt, reverse=True)
    assert by_doubt[0] > by_doubt[-1]


def test_sure_and_well_supported_is_nearly_certain_and_the_contrary_is_not():
    assert calibrated(np.array([20.0]), np.array([1.0]), 0.0)[0] > 0.95
    assert calibrated(np.array([20.0]), np.array([1.0]), 0.0, np.array([1.0]))[0] > 0.95
    # sure by its own odds, but found by none of the others: hardly better than even
    assert calibrated(np.array([20.0]), np.array([1.0]), 0.0, np.array([0.0]))[0] < 0.6
    assert calibrated(np.array([0.0]), np.array([0.1]), 0.1)[0] < 0.1


def test_doubt_is_the_expected_share_of_wrong_levels():
    assert doubt_of(np.array([0.0, 0.0])) == 0.5
    assert doubt_of(np.array([-np.inf, np.inf])) == pytest.approx(0.5)
    assert doubt_of(np.empty(0)) == 0.0


def test_probability_of_nothing():
    assert calibrated(np.empty(0), np.empty(0), 0.0).shape == (0,)


@pytest.fixture(scope="module")
def clean():
    return simulate_ion(n_levels=120, seed=5, conditions=CLEAN)


def test_hidden_levels_of_a_clean_ion_are_found_again(clean):
    hidden = hide_known(start(clean))
    assert hidden.level.size >= 10
    assert np.all(np.isin(hidden.level, clean.system.known.level))
    assert 0 not in hidden.level
    assert hidden.right.mean() > 0.95
    assert np.median(hidden.log_odds[hidden.right]) > 5
    assert np.all(hidden.n_lines[hidden.right & (hidden.log_odds > 0)] >= 2)


def test_hiding_leaves_the_state_as_it_was(clean):
    state = start(clean)
    names = ("energy", "energy_sd", "claimed", "transition_of", "log_density", "bottom", "top", "fixed")
    before = {name: getattr(state, name).tobytes() for name in names}
    numbers, order = state.numbers, dict(state.order)
    hide_known(state)
    assert {name: getattr(state, name).tobytes() for name in names} == before
    assert state.numbers == numbers
    assert state.order == order


def test_wrong_known_levels_are_not_found_where_they_are_said_to_be(clean):
    """The check has teeth: known energies that are off by 7 cm^-1 have no lines there."""
    known = clean.system.known
    wrong = known.level[[3, 5]]
    energy = known.energy.copy()
    energy[[3, 5]] += 7.0
    classified = clean.system.classified
    keep = ~(np.isin(classified.lower, wrong) | np.isin(classified.upper, wrong))
    system = replace(clean.system, known=replace(known, energy=energy), classified=classified.select(keep))
    hidden = hide_known(
        SearchState(system, clean.settings, label_groups(system.levels), model_for(clean.settings), ByHand())
    )
    tested = np.isin(hidden.level, wrong)
    assert tested.any()
    assert not hidden.right[tested].any()
    assert hidden.right[~tested].mean() > 0.9


def test_support_falls_along_a_chain_and_is_that_of_the_second_best_partner(clean):
    state = start(clean)
    transitions = clean.system.transitions
    known = set(clean.system.known.level.tolist())
    neighbours = {
        k: np.unique(
            np.concatenate(
                [transitions.lower[transitions.upper == k], transitions.upper[transitions.lower == k]]
            )
        )
        for k in range(len(clean.system.levels))
    }
    first = next(k for k in neighbours if k not in known and len(known & set(neighbours[k].tolist())) >= 2)
    state.accept(first, 1.0, 0.01, 0.0, pairs_of(state, first, known))
    assert chain_support(state)[first] == pytest.approx(0.5)
    second = next(k for k in neighbours if k not in known | {first} and first in neighbours[k])
    one = next(iter(known & set(neighbours[second].tolist())), None)
    partners = {first} if one is None else {first, one}
    state.accept(second, 2.0, 0.01, 0.0, pairs_of(state, second, partners, offset=500))
    lowest = 0.25 * (0.5 if one is None else 1.0)
    assert chain_support(state)[second] == pytest.approx(lowest)
    assert chain_support(state)[0] == 1.0


def pairs_of(state, level, partners, offset=0):
    """Arbitrary lines of the list for the transitions of a level to some others."""
    t = state.system.transitions
    rows = np.flatnonzero(
        ((t.upper == level) & np.isin(t.lower, list(partners)))
        | ((t.lower == level) & np.isin(t.upper, list(partners)))
    )
    return [(int(row), offset + i) for i, row in enumerate(rows)]
