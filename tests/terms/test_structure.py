"""An invented ion obeys the laws that hold whatever its radial quantities: sum rules, intervals, selection rules."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms import structure
from spectuner_ext.terms.angular import G_A_PER_STRENGTH
from spectuner_ext.terms.configurations import CORES, FAMILIES, configurations_of, count_levels, terms_of
from spectuner_ext.terms.structure import Ion, calculate_ion


def full(core: str, seed: int = 3) -> Ion:
    return calculate_ion(core, count_levels(core), np.random.default_rng(seed))


def strength(ion: Ion) -> np.ndarray:
    return ion.g_a / (G_A_PER_STRENGTH * (ion.energy[ion.upper] - ion.energy[ion.lower]) ** 3)


# Levels of d2 and f2: 9 and 13; of two electrons in different shells, sd 4, pd 12, dd 18, fd 20, fs 4, fp 12.
@pytest.mark.parametrize(("core", "expected"), [("3d1", 9 + 4 + 12 + 4 + 18 + 12), ("4f1", 13 + 20 + 4 + 12)])
def test_number_of_levels(core, expected):
    assert count_levels(core) == expected


@pytest.mark.parametrize("core", CORES)
def test_states_are_all_there(core):
    l_core = "spdf".index(core[1])
    n = int(core[2:])
    configurations = configurations_of(core, None)
    basis = terms_of(configurations, np.random.default_rng(1))
    states = np.bincount(basis.configuration, (basis.two_s + 1) * (2 * basis.big_l + 1))
    shell = 4 * l_core + 2
    expected = [comb(shell, n + 1)] + [comb(shell, n) * (4 * c.orbital + 2) for c in configurations[1:]]
    assert states.tolist() == expected


@pytest.mark.parametrize("core_jumps", [True, False])
@pytest.mark.parametrize("core", ["3d3", "4f2"])
def test_sum_rule_of_j_files_survives_mixing(core, core_jumps, monkeypatch):
    """The lines from all levels of a J add up to (2J + 1) times one constant for each configuration.

    The J-file sum rule, Condon and Shortley (1935), chapter 9. With several configurations in a J block only the sum
    over the block is fixed. Coefficients of fractional parentage are drawn with unit norm, but not orthogonal to each
    other, so with jumps into the core's shell the rule holds for the levels on that side only.
    """
    monkeypatch.setattr(structure, "MIN_G_A", 1e-20)
    if not core_jumps:
        family = FAMILIES[core[:2]]
        radial = {pair: value for pair, value in family.radial.items() if pair[0] != core[:2]}
        monkeypatch.setitem(structure.FAMILIES, core[:2], replace(family, radial=radial))
    ion = full(core)
    s = strength(ion)
    for parity in (ion.configurations[0].parity,) if core_jumps else (0, 1):
        here = np.where(ion.parity[ion.upper] == parity, ion.upper, ion.lower)
        j_values = np.unique(ion.two_j[ion.parity == parity])
        total = np.array([s[ion.two_j[here] == j].sum() for j in j_values])
        present = [i for i, c in enumerate(ion.configurations) if c.parity == parity]
        weight = np.array(
            [
                [(j + 1) * np.count_nonzero((ion.configuration == i) & (ion.two_j == j)) for i in present]
                for j in j_values
            ],
            dtype=float,
        )
        constant, *_ = np.linalg.lstsq(weight, total, rcond=None)
        assert len(j_values) > len(present)
        assert_allclose(weight @ constant, total, rtol=1e-8, atol=1e-9 * total.max())


def test_selection_rules():
    ion = full("4f2")
    two_j, parity = ion.two_j, ion.parity
    assert np.all(parity[ion.upper] != parity[ion.lower])
    assert np.all(np.abs(two_j[ion.upper] - two_j[ion.lower]) <= 2)
    assert np.all(two_j[ion.upper] + two_j[ion.lower] > 0)
    assert np.all(ion.energy[ion.upper] > ion.energy[ion.lower])


def test_dipole_elements_are_those_of_one_operator():
    """``<a||D||b> = (-1)^(J - J') <b||D||a>``, or paths through different configurations would not interfere."""
    rng = np.random.default_rng(5)
    configurations = configurations_of("3d2", rng)
    basis = terms_of(configurations, rng)
    parity = np.array([c.parity for c in configurations])[basis.configuration]
    blocks = structure._diagonalise(basis, configurations, parity, rng)
    elements = structure._multiplets(basis, configurations, rng)
    pairs = [(a, b) for a in blocks for b in blocks if a[0] != b[0] and abs(a[1] - b[1]) == 2]
    assert len(pairs) > 10
    for a, b in pairs:
        there = structure._amplitudes(basis, elements, a, b)
        assert np.any(there)
        assert_allclose(there, -structure._amplitudes(basis, elements, b, a).T)


def test_terms_split_by_the_interval_rule_without_mixing(monkeypatch):
    def none(basis, rows, family, rng):
        return np.zeros((rows.size, rows.size)), np.zeros((rows.size, rows.size))

    monkeypatch.setattr(structure, "_couplings", none)
    ion = full("3d3")
    assert_allclose(ion.purity, 1.0)
    checked = 0
    for term in np.unique(ion.term):
        rows = np.flatnonzero(ion.term == term)
        rows = rows[np.argsort(ion.two_j[rows])]
        if rows.size >= 3:
            ratio = np.diff(ion.energy[rows]) / (ion.two_j[rows[1:]] / 2)
            assert_allclose(ratio, ratio[0], rtol=1e-6, atol=1e-6)
            checked += 1
    assert checked > 30


def test_spin_orbit_constants_of_coupled_terms():
    """Stretched terms are single products: ``A (L1 + l)(S1 + 1/2) = A1 L1 S1 + zeta l / 2``; s electrons show A1."""
    configurations = configurations_of("4f3", None)
    basis = terms_of(configurations, np.random.default_rng(2))
    at = {
        (configurations[c].outer, p, two_s, big_l): a
        for c, p, two_s, big_l, a in zip(
            basis.configuration, basis.parent, basis.two_s, basis.big_l, basis.splitting, strict=True
        )
    }
    checked = 0
    for parent, (two_s1, l1) in enumerate(basis.parents):
        s1 = two_s1 / 2
        product = at["6s", parent, two_s1 + 1, l1] * (s1 + 0.5)
        if two_s1 > 1:
            assert_allclose(at["6s", parent, two_s1 - 1, l1] * s1 * (s1 + 0.5), product * (s1 + 1), atol=1e-9)
        for c in configurations[1:]:
            stretched = at[c.outer, parent, two_s1 + 1, l1 + c.orbital] * (l1 + c.orbital) * (s1 + 0.5)
            assert_allclose(stretched, l1 * product + c.spin_orbit * c.orbital / 2, atol=1e-9)
            checked += c.orbital > 0
    assert checked == 34


def test_hunds_term_is_lowest():
    # Ground terms of 3d3 and 4f3 (Hund's rules).
    assert full("3d2").label[0].startswith("3d3 4F 1.5")
    assert full("4f2").label[0].startswith("4f3 4I* 4.5")


def test_lines_between_multiplicities_are_weaker():
    ion = full("3d7")
    s = strength(ion)
    multiplicity = np.array([int(label.split()[1][0]) for label in ion.label])
    same = multiplicity[ion.upper] == multiplicity[ion.lower]
    assert 0.1 < same.mean() < 0.9
    assert np.median(s[same]) > 10 * np.median(s[~same])


def test_labels_are_parseable_and_distinct():
    ion = full("3d7")
    assert len(set(ion.label)) == ion.label.size
    assert "3d7.(4F).4p 5G* 4.0" in set(ion.label)


def test_core_must_be_known_and_large_enough():
    with pytest.raises(InputError, match="choose from 3d1"):
        calculate_ion("5g3", 60, np.random.default_rng(1))
    with pytest.raises(InputError, match="take a larger core"):
        calculate_ion("3d1", 60, np.random.default_rng(1))


@pytest.mark.shared_data
def test_like_the_calculation_of_nd_iii(shared):
    """Same core and size as a published calculation: as many transitions, as strong, within what seeds differ by."""
    from spectuner_ext.terms.readers.case_folder import read_case

    real = read_case(shared / "data" / "term_analysis" / "nd3").system
    ions = [calculate_ion("4f3", len(real.levels), np.random.default_rng(seed)) for seed in range(4)]
    number = np.mean([ion.g_a.size for ion in ions])
    assert 0.6 < number / len(real.transitions) < 1.7
    for q in (0.25, 0.5, 0.75):
        ours = np.mean([np.quantile(np.log10(ion.g_a), q) for ion in ions])
        assert abs(ours - np.quantile(np.log10(real.transitions.g_a), q)) < 0.6
