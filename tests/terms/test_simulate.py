"""Simulated ions against the laws that made them: truth, populations, errors, detection, and nothing given away."""

import re
import time
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.terms import TermSystem
from spectuner_ext.terms.simulate import Conditions, SimulatedIon, simulate_ion

BOLTZMANN = 8065.543937
"""cm^-1 per eV."""

IDEAL = Conditions(
    g_a_error=(0.0, 0.0),
    temperature=(0.5, 0.5),
    departure=0.0,
    population_scatter=0.0,
    stated_uncertainty=1.0,
    tail=(0.0, 1.0, 1.0),
)


def residual(ion: SimulatedIon) -> np.ndarray:
    """Observed minus true wavenumber of the ion's own lines."""
    own = ion.truth_upper >= 0
    true = ion.truth_energy[ion.truth_upper[own]] - ion.truth_energy[ion.truth_lower[own]]
    return ion.system.lines.wavenumber[own] - true


def clean_pulls(ion: SimulatedIon) -> np.ndarray:
    own = ion.truth_upper >= 0
    return (residual(ion) / ion.system.lines.uncertainty[own])[~ion.blended[own]]


def strengths(system: TermSystem) -> dict[tuple[int, int], float]:
    t = system.transitions
    return {(u, w): g for u, w, g in zip(t.upper.tolist(), t.lower.tolist(), t.g_a.tolist(), strict=True)}


def arrays_of(system: TermSystem) -> dict[str, np.ndarray]:
    return {
        f"{part}.{field.name}": getattr(getattr(system, part), field.name)
        for part in ("levels", "transitions", "lines", "known", "classified")
        for field in fields(getattr(system, part))
        if isinstance(getattr(getattr(system, part), field.name), np.ndarray)
    }


@pytest.fixture(scope="module")
def ion() -> SimulatedIon:
    return simulate_ion(n_levels=300, seed=11)


@pytest.mark.parametrize("seed", range(4))
def test_every_own_line_lies_between_its_levels(seed):
    made = simulate_ion(n_levels=200, seed=seed)
    off = np.abs(residual(made))
    # The line width grows to 0.28 cm-1 at the end of the range; a blend is at most 1.5 widths across.
    assert off.max() < 0.5
    assert np.quantile(off, 0.95) < 0.1
    assert_array_equal(made.truth_upper >= 0, made.truth_lower >= 0)
    pairs = {
        (int(u), int(w))
        for u, w in zip(made.system.transitions.upper, made.system.transitions.lower, strict=True)
    }
    own = made.truth_upper >= 0
    assert {(int(u), int(w)) for u, w in made.truth_line[own]} <= pairs


def test_same_seed_same_ion():
    one, two, other = (simulate_ion(n_levels=80, seed=s) for s in (5, np.random.default_rng(5), 6))
    for name, values in arrays_of(one.system).items():
        assert_array_equal(values, arrays_of(two.system)[name])
    assert_array_equal(one.truth_energy, two.truth_energy)
    assert_array_equal(one.truth_line, two.truth_line)
    assert one.settings == two.settings
    assert not np.array_equal(one.system.lines.wavenumber, other.system.lines.wavenumber)


@pytest.mark.parametrize(("n_levels", "limit"), [(50, 2.0), (300, 2.0), (3000, 20.0)])
def test_sizes(n_levels, limit):
    start = time.process_time()
    made = simulate_ion(n_levels=n_levels, seed=2)
    assert time.process_time() - start < limit
    assert len(made.system.levels) == made.truth_energy.size == n_levels
    assert len(made.system.lines) == made.truth_upper.size == made.blended.size == 2000 + 16 * n_levels


def test_sizes_given():
    made = simulate_ion(n_levels=100, n_known=12, n_lines=1500, core="3d2", seed=2)
    assert len(made.system.known) == 12
    assert len(made.system.lines) == 1500
    assert made.system.levels.label[0].startswith("3d3 ")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_levels": 20}, "50 to 3000"),
        ({"n_levels": 5000}, "50 to 3000"),
        ({"n_known": 300}, "fewer than the 300 levels"),
        ({"n_lines": 0}, "at least one line"),
        ({"core": "2p3"}, "choose from"),
        ({"core": "3d1"}, "take a larger core"),
    ],
)
def test_what_cannot_be_made_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        simulate_ion(**wrong)


def test_boltzmann_slope_is_recovered():
    # Large errors of the energies, so that the cube of the wavenumber matters.
    conditions = replace(IDEAL, level_error=2000.0)
    made = simulate_ion(n_levels=300, seed=3, core="3d5", conditions=conditions)
    g_a = strengths(made.system)
    lines = made.system.lines
    take = (made.truth_upper >= 0) & ~made.blended & (lines.snr > 20)
    upper, lower = made.truth_upper[take], made.truth_lower[take]
    energy = made.truth_energy
    calculated = made.system.levels.energy
    # The strength is calculated; gA follows the cube of the true wavenumber.
    log_g_a = np.log10([g_a[u, w] for u, w in zip(upper, lower, strict=True)])
    log_g_a += 3 * np.log10((energy[upper] - energy[lower]) / (calculated[upper] - calculated[lower]))
    slope, offset = np.polyfit(energy[upper], np.log10(lines.intensity[take]) - log_g_a, 1)
    assert_allclose(-np.log10(np.e) / slope / BOLTZMANN, 0.5, rtol=0.02)
    scatter = np.log10(lines.intensity[take]) - log_g_a - offset - slope * energy[upper]
    # 5 % of the response and at most 5 % of noise, 0.03 dex; unresolved weak neighbours below a tenth add a little.
    assert scatter.std() < 0.05


def test_scatter_of_strengths_shows_in_intensities():
    ideal = simulate_ion(n_levels=300, seed=3, core="3d5", conditions=replace(IDEAL, g_a_error=(0.3, 0.3)))
    g_a = strengths(ideal.system)
    c = ideal.system.classified
    y = np.log10(c.intensity) - np.log10([g_a[u, w] for u, w in zip(c.upper, c.lower, strict=True)])
    x = ideal.truth_energy[c.upper]
    scatter = np.std(y - np.polyval(np.polyfit(x, y, 1), x))
    assert 0.2 < scatter < 0.4


def test_stated_uncertainties_of_clean_lines_are_right():
    pulls = clean_pulls(simulate_ion(n_levels=1000, seed=4, conditions=IDEAL))
    assert pulls.size > 1000
    # Standard error of the width of a thousand pulls: 2 %.
    assert_allclose(pulls.std(), 1.0, atol=0.07)
    assert abs(pulls.mean()) < 0.1


def test_stated_uncertainties_can_be_cautious_and_have_tails():
    cautious = clean_pulls(
        simulate_ion(n_levels=1000, seed=4, conditions=replace(IDEAL, stated_uncertainty=2.0))
    )
    assert_allclose(cautious.std(), 0.5, atol=0.04)
    tailed = clean_pulls(simulate_ion(n_levels=1000, seed=4, conditions=replace(IDEAL, tail=(0.1, 8.0, 8.0))))
    assert 0.04 < np.mean(np.abs(tailed) > 4) < 0.1


def test_detection_limit(ion):
    snr = ion.system.lines.snr
    # Half are seen at 2.7, none three times the softness of 0.1 dex below.
    assert snr.min() > 2.7 * 10**-0.45
    assert np.mean(snr < 2.7 * 10**-0.3) < 0.002
    assert 0.02 < np.mean(snr < 4) < 0.3
    assert 1e3 < snr.max() < 1e5


def test_lines_closer_than_the_resolution_are_merged():
    made = simulate_ion(n_levels=300, n_lines=60_000, core="4f3", seed=1)
    wavenumber = made.system.lines.wavenumber
    width = np.hypot(0.05, 3.3e-6 * wavenumber[1:])
    close = np.mean(np.diff(wavenumber) < 0.5 * width)
    random = 1 - np.exp(-np.mean(0.5 * width * wavenumber.size / np.ptp(wavenumber)))
    assert close < 0.25 * random
    sparse = simulate_ion(n_levels=300, core="4f3", seed=1)
    share = [x.blended[x.truth_upper >= 0].mean() for x in (made, sparse)]
    assert share[0] > 3 * share[1]


@pytest.mark.parametrize("shared_by", ["configuration", "term"])
def test_errors_of_energies_are_shared_as_asked(shared_by):
    none = {"configuration_error": 0.0, "parent_error": 0.0, "term_error": 0.0, "level_error": 0.0}
    conditions = Conditions(**(none | {f"{shared_by}_error": 200.0}))
    groups: dict[str, list[float]] = {}
    for seed in range(3):
        made = simulate_ion(n_levels=300, seed=seed, core="3d3", conditions=conditions)
        error = made.truth_energy - made.system.levels.energy
        # Low levels are held back from falling below the ground level.
        for i in np.flatnonzero(made.system.levels.energy > 3000):
            term = str(made.system.levels.label[i]).rsplit(maxsplit=1)[0]
            configuration = re.sub(r"\(.*?\)", "", term.split()[0])
            groups.setdefault(f"{seed} {term if shared_by == 'term' else configuration}", []).append(error[i])
    # Calculated energies are printed to 1 mK.
    assert max(np.ptp(values) for values in groups.values()) < 0.002
    between = np.std([np.mean(values) for values in groups.values()])
    assert 100 < between < 350


def test_an_ion_without_errors_is_calculated_exactly():
    exact = Conditions(configuration_error=0.0, parent_error=0.0, term_error=0.0, level_error=0.0)
    made = simulate_ion(n_levels=60, seed=8, conditions=exact)
    assert_allclose(made.truth_energy, made.system.levels.energy, atol=1e-3)


def test_truth_of_the_ground_level(ion):
    assert ion.truth_energy[0] == 0.0
    assert np.all(ion.truth_energy[1:] > 0.0)


def test_known_levels_are_right_and_in_the_lower_half(ion):
    known = ion.system.known
    error = known.energy - ion.truth_energy[known.level]
    assert known.level[0] == 0
    assert np.abs(error).max() < 0.05
    assert np.median(np.abs(error)) < 0.005
    pulls = error[1:] / known.uncertainty[1:]
    assert 0.3 < np.sqrt(np.median(pulls**2)) / 0.6745 < 1.5
    assert set(ion.system.levels.parity[known.level]) == {0, 1}
    assert np.median(ion.system.levels.energy[known.level]) < np.median(ion.system.levels.energy)


def test_classified_lines_are_rows_of_the_list_with_their_true_levels(ion):
    lines, c = ion.system.lines, ion.system.classified
    row = np.searchsorted(lines.wavenumber, c.wavenumber)
    for name in ("wavenumber", "uncertainty", "intensity", "snr"):
        assert_array_equal(getattr(lines, name)[row], getattr(c, name))
    assert_array_equal(ion.truth_line[row], np.column_stack((c.upper, c.lower)))
    assert ion.system.notes == ()


def test_nothing_tells_the_truth_of_unknown_levels(ion):
    unknown = ~np.isfinite(ion.system.known_energy)
    truth = np.sort(ion.truth_energy[unknown])
    for name, values in arrays_of(ion.system).items():
        if values.dtype.kind != "f" or name.startswith("lines."):
            continue
        at = np.clip(np.searchsorted(truth, values), 1, truth.size - 1)
        gap = np.minimum(np.abs(values - truth[at - 1]), np.abs(values - truth[at]))
        # A few calculated energies come near some true energy by chance: 0.02 cm-1 in a spacing of some hundred.
        assert np.mean(gap < 0.01) < 0.01, name


def test_adjusted_calculation_repeats_the_known_energies():
    made = simulate_ion(n_levels=100, seed=3, adjusted=True)
    known = made.system.known
    assert_allclose(made.system.levels.energy[known.level], known.energy, atol=1e-3)
    unknown = np.setdiff1d(np.arange(100), known.level)
    assert np.abs(made.truth_energy - made.system.levels.energy)[unknown].max() > 50


def test_suggested_settings_can_find_levels(ion):
    low, high = ion.settings.spectral_range
    wavenumber = ion.system.lines.wavenumber
    assert np.mean((wavenumber > low) & (wavenumber < high)) > 0.2
    error = np.abs(ion.truth_energy - ion.system.levels.energy)
    assert np.mean(error < ion.settings.energy_window) > 0.95


def test_levels_wait_to_be_found(ion):
    known = np.isfinite(ion.system.known_energy)
    own = ion.truth_upper >= 0
    upper, lower = ion.truth_upper[own], ion.truth_lower[own]
    links = np.bincount(upper[known[lower]], minlength=300) + np.bincount(lower[known[upper]], minlength=300)
    assert np.count_nonzero(~known & (links >= 2)) >= 20


@pytest.mark.shared_data
@pytest.mark.parametrize(("case", "core", "n_levels"), [("nd3", "4f3", 571), ("co2", "3d7", 470)])
def test_as_hard_as_the_real_cases(shared, case, core, n_levels):
    """Scatter of intensities, shape of signal to noise, and line density within a factor of the real lists."""
    from spectuner_ext.terms.readers.case_folder import read_case

    real = read_case(shared / "data" / "term_analysis" / case).system
    made = simulate_ion(n_levels=n_levels, core=core, seed=1).system
    for q in (0.05, 0.5, 0.95):
        ratio = np.quantile(made.lines.snr, q) / np.quantile(real.lines.snr, q)
        assert 1 / 3.5 < ratio < 3.5
    density = [len(x.lines) / np.ptp(x.lines.wavenumber) for x in (made, real)]
    assert 1 / 3 < density[0] / density[1] < 3
