"""What the evidence of a candidate is made of, against the formula of each part."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.terms.evidence.inputs import N_SUMMED, TERMS
from spectuner_ext.terms.evidence.model import model_for
from spectuner_ext.terms.evidence.state import SearchState
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.request import ByHand
from spectuner_ext.terms.simulate import simulate_ion

LEVELS = 40
"""That are looked at one by one."""


@pytest.fixture(scope="module")
def scored_ion():
    ion = simulate_ion(n_levels=120, seed=4)
    state = SearchState(
        ion.system, ion.settings, label_groups(ion.system.levels), model_for(ion.settings), ByHand()
    )
    return state, state.score(state.unknown, with_terms=True)


def of(scores, name, row, place=0):
    return float(scores.terms[row, place, TERMS.index(name)])


def best_rows(state, scores):
    """Levels with two lines or more, scored alone, so that the lines at hand are theirs."""
    for row in np.flatnonzero(scores.n_lines[:, 0] >= 2)[:LEVELS]:
        level = int(state.unknown[row])
        yield row, level, state.score([level], with_terms=True)


def test_asking_for_terms_changes_nothing(scored_ion):
    state, with_terms = scored_ion
    without = state.score(state.unknown)
    assert without.terms.size == 0
    for name in ("energy", "log_evidence", "energy_sd", "n_lines", "log_total", "n_expected"):
        assert getattr(without, name).tobytes() == getattr(with_terms, name).tobytes()


def test_first_terms_add_up_to_the_evidence(scored_ion):
    _, scores = scored_ion
    there = np.isfinite(scores.energy)
    assert np.count_nonzero(there) > 100
    assert_allclose(
        scores.terms[there][:, :N_SUMMED].sum(axis=1), scores.log_evidence[there], rtol=1e-9, atol=1e-9
    )
    assert np.all(scores.terms[~there] == 0.0)


def test_parts_are_those_of_the_formula(scored_ion):
    """Prior, width, chance and listing of the best candidate from its energy and its lines."""
    state, every = scored_ion
    model, prior = state.model, state.prior
    seen = 0
    for row, level, scores in best_rows(state, every):
        energy, sd = scores.energy[0, 0], scores.energy_sd[0, 0]
        lines = [line for _, line in state.matched(level)]
        s, away = prior.sd[level], energy - state.system.levels.energy[level] - prior.mean[level]
        core = model.core_share * math.exp(-0.5 * (away / (1.2 * s)) ** 2) / (1.2 * s)
        tail = model.tail_share * math.exp(-0.5 * (away / (3.0 * s)) ** 2) / (3.0 * s)
        flat = (1 - model.core_share - model.tail_share) / (2 * state.settings.energy_window)
        assert of(scores, "prior", 0) == pytest.approx(
            math.log((core + tail) / math.sqrt(2 * math.pi) + flat)
        )
        assert of(scores, "width", 0) == pytest.approx(math.log(math.sqrt(2 * math.pi) * sd))
        assert of(scores, "chance", 0) == pytest.approx(-state.log_density[lines].sum())
        assert of(scores, "listed", 0) == pytest.approx(len(lines) * math.log(model.listed))
        assert of(scores, "lines", 0) == len(lines) == every.n_lines[row, 0]
        assert of(scores, "away", 0) == pytest.approx(abs(away) / s)
        seen += 1
    assert seen >= 10


def test_place_is_the_mixture_of_narrow_and_wide(scored_ion):
    state, every = scored_ion
    model, t = state.model, state.system.transitions
    for _, level, scores in best_rows(state, every):
        place = off = strength = 0.0
        pairs = state.matched(level)
        for transition, line in pairs:
            up = t.upper[transition] == level
            other = t.lower[transition] if up else t.upper[transition]
            wavenumber = state.wavenumber[line]
            implied = state.energy[other] + (wavenumber if up else -wavenumber)
            d = implied - scores.energy[0, 0]
            narrow = math.hypot(state.line_sd[line], state.energy_sd[other])
            wide = math.hypot(narrow, model.wide_sd)
            f = (1 - model.wide_share) * math.exp(-0.5 * (d / narrow) ** 2) / narrow
            f += model.wide_share * math.exp(-0.5 * (d / wide) ** 2) / wide
            place += math.log(f / math.sqrt(2 * math.pi))
            off += math.log1p((d / narrow) ** 2) / len(pairs)
            strength += state.log_intensity[line]
            strength -= float(state.limit.at(np.array([abs(scores.energy[0, 0] - state.energy[other])]))[0])
        # lines were chosen one step before the energy settled: residuals of some 0.1 mK
        assert of(scores, "place", 0) == pytest.approx(place, abs=0.05)
        assert of(scores, "off_place", 0) == pytest.approx(off, abs=0.05)
        assert of(scores, "strength", 0) == pytest.approx(strength, abs=1e-3)


def test_missing_lines_cost_and_are_bounded(scored_ion):
    _, scores = scored_ion
    there = np.isfinite(scores.energy)
    terms = {name: scores.terms[there][:, i] for i, name in enumerate(TERMS)}
    assert np.all(terms["missing"] <= terms["worst_missing"] + 1e-12)
    assert np.all(terms["worst_missing"] <= 0)
    assert np.all((terms["foreseen_matched"] >= 0) & (terms["foreseen_matched"] <= terms["foreseen"] + 1e-9))
    complete = terms["lines"] == np.broadcast_to(scores.n_expected[:, None], there.shape)[there]
    assert complete.any()
    assert np.all(terms["missing"][complete] == 0)


def test_a_branch_leaves_the_state_as_it_is(scored_ion):
    state, scores = scored_ion
    names = ("energy", "energy_sd", "claimed", "transition_of", "log_density", "bottom", "top")
    before = {name: getattr(state, name).tobytes() for name in names}
    other = state.branch()
    row = int(np.argmax(scores.log_evidence[:, 0] - scores.log_total))
    level = int(state.unknown[row])
    other.score([level])
    other.accept(level, float(scores.energy[row, 0]), 0.001, 5.0, other.matched(level))
    other.refit()
    assert np.isfinite(other.energy[level])
    assert other.claimed.sum() > state.claimed.sum()
    assert not state.order
    assert {name: getattr(state, name).tobytes() for name in names} == before
    again = state.score(state.unknown)
    assert again.log_evidence.tobytes() == scores.log_evidence.tobytes()
