"""The energy prior against a dense Gaussian process, against really leaving levels out, and against its limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.terms import Levels
from spectuner_ext.terms.evidence.prior import (
    FLOOR_CM,
    OWN_CM,
    OWN_SCALES,
    SCALE_SD,
    SCALES,
    SHARED_CM,
    UNINFORMATIVE_CM,
    energy_prior,
)
from spectuner_ext.terms.labels import label_groups

WIDE = np.sqrt(sum(v**2 for v in SHARED_CM.values()) + OWN_CM**2)
TERMS = [
    "3d7.(4F).4s 5F",
    "3d7.(4F).4s 3F",
    "3d7.(4P).4s 5P",
    "3d7.(4F).4d 3F",
    "3d7.(4F).4p 5G",
    "3d7.(4F).4p 3D",
]


def ion(n=60, seed=0, labels=True, terms=TERMS):
    """Levels with errors drawn from a process like the one assumed: 300 a configuration, 60 of its own."""
    rng = np.random.default_rng(seed)
    term = rng.integers(0, len(terms), n)
    term[0] = 0
    energy = np.append(0.0, np.sort(rng.uniform(500, 60_000, n - 1)))
    label = np.array([terms[t] for t in term] if labels else [""] * n)
    levels = Levels(energy, rng.integers(0, 6, n).astype(float), np.full(n, -1), label)
    groups = label_groups(levels)
    code = np.maximum(groups.configuration, 0)
    error = 300 * rng.standard_normal(code.max() + 1)[code] + 60 * rng.standard_normal(n)
    error[0] = 0.0
    return levels, groups, energy + error


def covariance_of(levels, groups, scale):
    """Of all levels with each other, one pair after the other."""
    n = len(levels)
    k = np.zeros((n, n))
    for a in range(n):
        for b in range(n):
            if groups.configuration[a] < 0:
                continue
            if groups.configuration[a] == groups.configuration[b]:
                d = (levels.energy[a] - levels.energy[b]) / 4000.0
                k[a, b] += SHARED_CM["configuration"] ** 2 + SHARED_CM["smooth"] ** 2 * np.exp(-d * d / 2)
            if groups.parent[a] >= 0 and groups.parent[a] == groups.parent[b]:
                k[a, b] += SHARED_CM["parent"] ** 2
            if groups.term[a] >= 0 and groups.term[a] == groups.term[b]:
                k[a, b] += SHARED_CM["term"] ** 2 * np.exp(-abs(levels.j[a] - levels.j[b]) / 4)
    return scale**2 * k


def dense(levels, groups, known, energy, scales, noise=None):
    """Mean and sd at every level from the given known ones, by a linear solve.

    What a label does not tell varies as much as what it does, but is shared with no other level.
    """
    own = (OWN_CM * scales[1]) ** 2
    noise = np.full(known.size, own + FLOOR_CM**2) if noise is None else noise
    total = scales[0] ** 2 * sum(v**2 for v in SHARED_CM.values())
    k = covariance_of(levels, groups, scales[0])[:, known]
    matrix = k[known].copy()
    np.fill_diagonal(matrix, total)
    left = np.linalg.solve(matrix + np.diag(noise), k.T)
    return left.T @ (energy - levels.energy[known]), np.sqrt(total + own - np.sum(left * k.T, axis=0))


def left_out(levels, groups, known, energy, scales, noise=None):
    """Mean and sd of each known level from the others alone."""
    mean, sd = np.empty(known.size), np.empty(known.size)
    for i, level in enumerate(known):
        others = np.arange(known.size) != i
        given = noise if noise is None else noise[others]
        m, s = dense(levels, groups, known[others], energy[others], scales, given)
        mean[i], sd[i] = m[level], np.hypot(s[level], FLOOR_CM)
    return mean, sd


def down_weighted(levels, groups, known, energy, scales):
    """Noise of the known levels: larger for those that the others predict badly, as under Student's distribution."""
    mean, sd = left_out(levels, groups, known, energy, scales)
    z = (energy - levels.energy[known] - mean) / sd
    return ((OWN_CM * scales[1]) ** 2 + FLOOR_CM**2) * np.maximum((4 + z**2) / 5, 1.0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_predictions_are_those_of_a_dense_process(seed):
    """Known levels are really left out, one after the other; labels do not tell everything."""
    levels, groups, energy = ion(seed=seed, terms=[*TERMS[:4], "3d8 3F", ""])
    known = np.arange(1, 60, 3)
    prior = energy_prior(levels, groups, known, energy[known])
    noise = down_weighted(levels, groups, known, energy[known], prior.scales)
    process = ~np.append(prior.flat, False)[groups.configuration]
    mean, sd = dense(levels, groups, known, energy[known], prior.scales, noise)
    unknown = np.setdiff1d(np.flatnonzero(process), known)
    assert unknown.size > 10
    assert_allclose(prior.mean[unknown], mean[unknown], rtol=1e-7, atol=1e-6)
    assert_allclose(prior.sd[unknown], sd[unknown], rtol=1e-7)
    mean, sd = left_out(levels, groups, known, energy[known], prior.scales, noise)
    use = process[known]
    assert_allclose(prior.mean[known][use], mean[use], rtol=1e-7, atol=1e-6)
    assert_allclose(prior.sd[known][use], sd[use], rtol=1e-7)


def test_an_unlabelled_level_is_as_uncertain_known_as_unknown():
    levels, groups, energy = ion(terms=[*TERMS[:3], ""])
    blank = np.flatnonzero(groups.configuration < 0)
    known = np.setdiff1d(np.arange(1, 60, 2), blank[:1])
    without = energy_prior(levels, groups, known, energy[known])
    known = np.append(known, blank[0])
    with_it = energy_prior(levels, groups, known, energy[known])
    assert with_it.sd[blank[0]] == pytest.approx(without.sd[blank[0]], rel=0.5)
    assert without.sd[blank[0]] > 100


def test_scales_have_the_largest_leave_one_out_probability():
    """Student of four degrees of freedom, with the prior of the scales, over the whole grid, really left out."""
    levels, groups, energy = ion(n=30, seed=2)
    known = np.arange(1, 30, 2)
    chosen = energy_prior(levels, groups, known, energy[known]).scales
    value = {}
    for s in SCALES:
        for o in OWN_SCALES:
            mean, sd = left_out(levels, groups, known, energy[known], (s, o))
            z = (energy[known] - levels.energy[known] - mean) / sd
            value[s, o] = np.sum(-2.5 * np.log1p(z * z / 4) - np.log(sd))
            value[s, o] -= 0.5 * (np.log(s) ** 2 + np.log(o) ** 2) / SCALE_SD**2
    assert value[chosen] == pytest.approx(max(value.values()), abs=1e-9)


def test_nothing_known_leaves_the_widest_expectation():
    levels, groups, _ = ion()
    prior = energy_prior(levels, groups, np.array([0]), np.array([0.0]))
    assert np.all(prior.mean == 0)
    assert_allclose(prior.sd, WIDE)
    assert_allclose(energy_prior(levels, groups, np.array([0]), np.array([0.0]), scale=0.5).sd, WIDE / 2)


def test_levels_that_repeat_the_observed_energy_tell_nothing():
    """A calculation that was adjusted to the known levels does not look perfect."""
    levels, groups, _ = ion()
    known = np.arange(0, 60, 2)
    copied = levels.energy[known] + 0.9 * UNINFORMATIVE_CM * np.sin(known)
    prior = energy_prior(levels, groups, known, copied)
    assert_allclose(prior.sd, WIDE)
    told = np.append(copied, levels.energy[1] + 200.0)
    one = energy_prior(levels, groups, np.append(known, 1), told)
    alone = energy_prior(levels, groups, np.array([1]), told[-1:])
    unknown = np.setdiff1d(np.arange(60), np.append(known, 1))
    assert_allclose(one.mean[unknown], alone.mean[unknown])
    same = groups.configuration[unknown] == groups.configuration[1]
    assert np.all(one.mean[unknown][same] > 50)
    assert np.all(one.mean[unknown][~same] == 0)


def test_one_wild_level_does_not_widen_the_rest():
    levels, groups, energy = ion(seed=3)
    known = np.arange(1, 60, 2)
    before = energy_prior(levels, groups, known, energy[known])
    wild = energy[known].copy()
    wild[7] += 1200.0
    after = energy_prior(levels, groups, known, wild)
    unknown = np.setdiff1d(np.arange(60), known)
    assert np.median(after.sd[unknown] / before.sd[unknown]) < 1.5
    elsewhere = groups.configuration[unknown] != groups.configuration[known[7]]
    assert np.max(np.abs(after.mean - before.mean)[unknown][elsewhere]) < 150


def test_a_process_is_better_than_no_prior_and_honest():
    """Standardised errors of unknown levels over some ions: about one; and errors smaller than a wide guess."""
    z, gain = [], []
    for seed in range(12):
        levels, groups, energy = ion(seed=seed)
        known = np.arange(1, 60, 2)
        prior = energy_prior(levels, groups, known, energy[known])
        unknown = np.arange(2, 60, 2)
        error = (energy - levels.energy)[unknown]
        z.append((error - prior.mean[unknown]) / prior.sd[unknown])
        gain.append(np.mean(np.abs(error)) / np.mean(np.abs(error - prior.mean[unknown])))
    assert 0.3 < np.std(np.concatenate(z)) < 1.3
    assert np.mean(gain) > 2


def test_a_configuration_that_cannot_be_predicted_is_flat():
    """Errors of 1500 cm^-1 without any system in one, small ones in the other."""
    levels, groups, _ = ion(n=60, seed=4)
    rng = np.random.default_rng(0)
    bad = groups.configuration == groups.configuration[np.flatnonzero(groups.configuration != 0)[0]]
    error = np.where(bad, 1500 * rng.standard_normal(60), 200.0 + 30 * rng.standard_normal(60))
    known = np.arange(1, 60, 2)
    prior = energy_prior(levels, groups, known, (levels.energy + error)[known])
    code = groups.configuration[np.flatnonzero(bad)[0]]
    assert prior.flat[code]
    assert prior.flat.sum() == 1
    assert np.all(prior.mean[bad] == 0)
    assert_allclose(prior.sd[bad], WIDE)
    assert np.all(prior.sd[~bad] < WIDE)


def test_levels_without_a_label_share_nothing():
    levels, groups, energy = ion(labels=False)
    known = np.arange(1, 60, 2)
    prior = energy_prior(levels, groups, known, energy[known])
    assert prior.flat.size == 0
    assert np.all(prior.mean[np.arange(2, 60, 2)] == 0)
    assert np.all(np.isfinite(prior.sd))
    assert np.all(prior.sd > OWN_CM)


def test_unknown_j_is_no_obstacle():
    levels, _, energy = ion()
    blind = Levels(levels.energy, np.full(60, np.nan), levels.parity, levels.label)
    known = np.arange(1, 60, 2)
    prior = energy_prior(blind, label_groups(blind), known, energy[known])
    assert np.all(np.isfinite(prior.mean))
    assert np.all(prior.sd > 0)


def test_order_of_the_known_levels_does_not_matter():
    levels, groups, energy = ion(seed=6)
    known = np.arange(1, 60, 2)
    prior = energy_prior(levels, groups, known, energy[known])
    turned = energy_prior(levels, groups, known[::-1], energy[known[::-1]])
    assert turned.scales == prior.scales
    assert_allclose(turned.mean, prior.mean, atol=1e-7)
    assert_allclose(turned.sd, prior.sd, atol=1e-7)


@pytest.mark.parametrize("last", [(SCALES[0], OWN_SCALES[0]), (SCALES[-1], OWN_SCALES[-1])])
def test_with_many_levels_scales_move_to_neighbours_only(last, monkeypatch):
    monkeypatch.setattr("spectuner_ext.terms.evidence.prior.MANY", 10)
    levels, groups, energy = ion(seed=7)
    known = np.arange(1, 60, 2)
    prior = energy_prior(levels, groups, known, energy[known], last=last)
    assert abs(SCALES.index(prior.scales[0]) - SCALES.index(last[0])) <= 1
    steps = 0
    while prior.scales != last:
        last = prior.scales
        prior = energy_prior(levels, groups, known, energy[known], last=last)
        steps += 1
    assert steps < 8
    assert prior.scales == energy_prior(levels, groups, known, energy[known]).scales
