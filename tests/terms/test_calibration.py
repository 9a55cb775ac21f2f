import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.calibration import fit_population, line_density, prepare, snr_ratio
from spectuner_ext.terms.conventions import PAPER, RIGHT, conventions_named
from spectuner_ext.terms.lines import LineList
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.simulate import simulate_ion

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=80, seed=3)


def logged(name):
    return tomllib.loads((DATA / f"{name}.toml").read_text("utf-8"))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["nd3", "co2"])
def test_published_sizes(shared, name):
    case, published = read_case(shared / "data" / "term_analysis" / name), logged(f"greedy_{name}")
    problem = prepare(case.system, case.settings, PAPER)
    assert len(case.system.levels) == published["nodes"]
    assert problem.line_row.size == published["lines"]
    assert problem.n_absent == published.get("dropped_known_lines", 0)
    if name == "nd3":
        assert 2 * problem.n_edges == published["directed_edges"]
    else:
        # The Co II log was made with another version of the line list; its signal to noise differs by per cents.
        assert abs(2 * problem.n_edges - published["directed_edges"]) < 0.01 * published["directed_edges"]


@pytest.mark.shared_data
def test_innocent_lines_are_lost_in_compat_only(shared):
    case = read_case(shared / "data" / "term_analysis" / "nd3")
    lines, (low, high) = case.system.lines, case.settings.spectral_range
    inside = np.flatnonzero((lines.wavenumber > low) & (lines.wavenumber < high))
    lost = np.setdiff1d(inside, prepare(case.system, case.settings, PAPER).line_row)
    assert case.system.classified.wavenumber.max() < low
    assert lost.size == len(case.system.classified)
    assert lines.wavenumber[lost].max() < 30114  # the lower edge of the range, where no known line is
    assert np.array_equal(prepare(case.system, case.settings, RIGHT).line_row, inside)


def test_each_known_line_is_taken_from_the_list(ion):
    system = ion.system
    problem = prepare(system, ion.settings)
    kept = system.lines.wavenumber[problem.line_row]
    low, high = ion.settings.spectral_range
    for wavenumber in system.classified.wavenumber:
        if low < wavenumber < high:
            assert np.abs(kept - wavenumber).min() > 0
    n_inside = np.count_nonzero((system.lines.wavenumber > low) & (system.lines.wavenumber < high))
    assert kept.size >= n_inside - len(system.classified)


def test_a_known_line_that_is_not_listed_removes_nothing(ion):
    system = ion.system
    classified = system.classified
    shifted = replace(
        classified, wavenumber=classified.wavenumber + 0.5, uncertainty=np.full(len(classified), 1e-4)
    )
    free = prepare(replace(system, classified=shifted), ion.settings).line_row
    n_near = sum(np.abs(system.lines.wavenumber - w).min() <= 0.02 for w in shifted.wavenumber)
    n_inside = np.count_nonzero(
        (system.lines.wavenumber > ion.settings.spectral_range[0])
        & (system.lines.wavenumber < ion.settings.spectral_range[1])
    )
    assert free.size >= n_inside - n_near


def test_density_counts_by_hand():
    #                 too far | fainter, near | brighter, near | too bright | brighter, at the window's end
    lines = LineList(
        np.array([1000.0, 1095.0, 1105.0, 1106.0, 1110.0]),
        np.full(5, 0.01),
        np.ones(5),
        np.array([20.0, 15.0, 30.0, 300.0, 25.0]),
    )
    at, snr = np.array([1100.0]), np.array([20.0])
    assert_allclose(line_density(lines, at, snr, 10.0, fainter=False), (1 + 1) / 0.02)
    assert_allclose(line_density(lines, at, snr, 10.0, fainter=True), (1 + 2) / 0.02)
    # Below 10 the dex is counted from 10, and every line is brighter.
    assert_allclose(line_density(lines, at, np.array([1.0]), 10.0, fainter=False), (1 + 2) / 0.02)


def test_signal_to_noise_follows_a_proportional_spectrum():
    rng = np.random.default_rng(0)
    wavenumber = np.sort(rng.uniform(1e4, 5e4, 400))
    intensity = 10 ** rng.uniform(0, 4, 400)
    lines = LineList(wavenumber, np.full(400, 0.01), intensity, intensity * wavenumber / 1e4)
    assert_allclose(snr_ratio(lines, 0.1), wavenumber / 1e4, rtol=1e-6)


def test_population_of_a_boltzmann_distribution():
    energy = np.linspace(1e4, 6e4, 30)
    line = fit_population(energy, 3.0 - 8e-5 * energy)
    assert_allclose([line.intercept, line.slope], [3.0, -8e-5], rtol=1e-9)


def test_intensity_unit_does_not_matter(ion):
    system = ion.system
    problem = prepare(system, ion.settings)
    lines, classified = system.lines, system.classified
    scaled = replace(
        system,
        lines=replace(lines, intensity=1e3 * lines.intensity),
        classified=replace(classified, intensity=1e3 * classified.intensity),
    )
    again = prepare(scaled, ion.settings)
    assert np.array_equal(again.upper, problem.upper)
    assert_allclose(again.snr, problem.snr, rtol=1e-6)


def test_adjacency_holds_every_transition_twice(ion):
    problem = prepare(ion.system, ion.settings)
    pairs = set()
    for level in range(len(ion.system.levels)):
        part = slice(problem.adjacency[level], problem.adjacency[level + 1])
        assert np.all(np.diff(problem.neighbour[part]) > 0)
        for other, edge in zip(problem.neighbour[part], problem.neighbour_edge[part], strict=True):
            assert {level, int(other)} == {int(problem.upper[edge]), int(problem.lower[edge])}
            pairs.add((level, int(edge)))
    assert len(pairs) == 2 * problem.n_edges


def test_without_known_lines_there_is_no_scale(ion):
    none = np.zeros(len(ion.system.classified), dtype=bool)
    system = replace(ion.system, classified=ion.system.classified.select(none))
    with pytest.raises(InputError, match="at least two known lines"):
        prepare(system, ion.settings)


def test_unknown_compat():
    with pytest.raises(InputError, match="'paper'"):
        conventions_named("papers")
