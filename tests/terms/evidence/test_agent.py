"""The agent as a whole: what it returns, what people decide by hand, and what must not change the result."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms import KnownLevels, LineList, TermSystem
from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.evidence.confidence import calibrated
from spectuner_ext.terms.request import ByHand, Request
from spectuner_ext.terms.result import Outcome
from spectuner_ext.terms.simulate import simulate_ion

TOLERANCE = 0.05
REPORT_KEYS = {"stage", "done", "total", "n_levels", "score", "eta_s"}


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=150, seed=3)


@pytest.fixture(scope="module")
def base(ion):
    return evidence(ion.system, ion.settings, Request())


def run(ion, system=None, settings=None, **request):
    return evidence(system or ion.system, settings or ion.settings, Request(**request))


def by_hand(ion, **decisions):
    return run(ion, by_hand=ByHand(**decisions))


def right(ion, analysis):
    return np.abs(analysis.levels.energy - ion.truth_energy[analysis.levels.level]) <= TOLERANCE


def row_of(analysis, level):
    return int(np.flatnonzero(analysis.levels.level == level)[0])


def test_result_is_complete_and_consistent(ion, base):
    levels, lines = base.levels, base.lines
    assert base.outcome is Outcome.COMPLETE
    assert base.agent == "evidence"
    assert right(ion, base).mean() >= 0.9
    assert len(levels) >= 30
    assert np.unique(levels.level).size == len(levels)
    assert not np.isin(levels.level, ion.system.known.level).any()
    assert np.array_equal(levels.order, np.arange(len(levels)))
    assert np.all((levels.probability >= 0.5) & (levels.probability <= 1))
    assert np.all(np.isnan(levels.agreement))
    assert np.unique(lines.line).size == len(lines)
    energy = base.energy
    assert_allclose(
        lines.residual, ion.system.lines.wavenumber[lines.line] - energy[lines.upper] + energy[lines.lower]
    )
    assert_allclose(lines.log_intensity, np.log10(ion.system.lines.intensity[lines.line]))
    assert np.std(lines.log_intensity - lines.log_intensity_calc) < 0.5
    ends = np.concatenate([lines.upper, lines.lower])
    assert_allclose(levels.n_lines, [np.count_nonzero(ends == k) for k in levels.level])
    assert not np.isin(base.undetermined.level, levels.level).any()
    assert not np.isin(base.undetermined.level, ion.system.known.level).any()
    assert all(base.undetermined.reason)
    assert np.all(~np.isfinite(levels.runner_up) | (np.abs(levels.runner_up - levels.energy) > TOLERANCE))


def test_assigned_lines_are_those_that_the_levels_made(ion, base):
    lines = base.lines
    true = (ion.truth_upper[lines.line] == lines.upper) & (ion.truth_lower[lines.line] == lines.lower)
    true |= (ion.truth_upper[lines.line] == lines.lower) & (ion.truth_lower[lines.line] == lines.upper)
    assert true.mean() > 0.9


def test_the_same_call_gives_the_same_bits(ion, base):
    again = run(ion)
    for name in ("level", "energy", "uncertainty", "probability", "log_odds", "runner_up"):
        assert getattr(again.levels, name).tobytes() == getattr(base.levels, name).tobytes()
    assert again.score == base.score
    assert again.lines.line.tobytes() == base.lines.line.tobytes()


@pytest.mark.parametrize("factor", [1e-6, 3.7, 1e9])
def test_the_unit_of_intensity_does_not_matter(ion, base, factor):
    system = ion.system
    scaled = replace(
        system,
        lines=replace(system.lines, intensity=factor * system.lines.intensity),
        classified=replace(system.classified, intensity=factor * system.classified.intensity),
    )
    other = run(ion, scaled)
    assert np.array_equal(other.levels.level, base.levels.level)
    assert_allclose(other.levels.energy, base.levels.energy, atol=1e-6)
    assert_allclose(other.levels.log_odds, base.levels.log_odds, atol=0.1)


def test_ids_and_rows_carry_no_meaning(ion, base):
    """Levels, transitions and lines in another order: the same levels at the same energies."""
    rng = np.random.default_rng(0)
    s = ion.system
    n = len(s.levels)
    old = np.append(0, 1 + rng.permutation(n - 1))
    new = np.argsort(old)
    t, q, r = s.transitions, rng.permutation(len(s.transitions)), rng.permutation(len(s.lines))
    shuffled = TermSystem(
        replace(s.levels, **{k: getattr(s.levels, k)[old] for k in ("energy", "j", "parity", "label")}),
        replace(t, upper=new[t.upper][q], lower=new[t.lower][q], g_a=t.g_a[q], wavenumber=t.wavenumber[q]),
        LineList(s.lines.wavenumber[r], s.lines.uncertainty[r], s.lines.intensity[r], s.lines.snr[r]),
        replace(s.known, level=new[s.known.level]),
        replace(s.classified, upper=new[s.classified.upper], lower=new[s.classified.lower]),
    )
    other = run(ion, shuffled)
    order = np.argsort(old[other.levels.level])
    plain = np.argsort(base.levels.level)
    assert np.array_equal(old[other.levels.level][order], base.levels.level[plain])
    assert_allclose(other.levels.energy[order], base.levels.energy[plain], atol=1e-5)
    assert_allclose(other.levels.log_odds[order], base.levels.log_odds[plain], atol=0.05)
    assert other.score == pytest.approx(base.score, rel=1e-4)


@pytest.mark.parametrize("n", [1, 5])
def test_number_of_levels_is_respected(ion, n):
    few = run(ion, n_levels=n)
    assert len(few.levels) == n
    assert few.outcome is Outcome.HORIZON
    assert right(ion, few).all()


@pytest.mark.parametrize("least", [0.6, 0.9])
def test_wanted_probability_is_respected(ion, base, least):
    sure = run(ion, min_probability=least)
    assert np.all(sure.levels.probability >= least)
    assert len(sure.levels) <= len(base.levels)
    dropped = np.setdiff1d(base.levels.level, sure.levels.level)
    assert np.isin(dropped, sure.undetermined.level).all()
    known = np.isfinite(sure.energy)
    assert known[sure.lines.upper].all()
    assert known[sure.lines.lower].all()


def test_rejected_levels_stay_unknown(ion, base):
    levels = [int(k) for k in base.levels.level[:2]]
    other = by_hand(ion, reject_levels=frozenset(levels))
    assert not np.isin(levels, other.levels.level).any()
    assert np.isin(levels, other.undetermined.level).all()


def test_rejected_energies_are_not_given(ion, base):
    barred = tuple(
        (int(k), float(e)) for k, e in zip(base.levels.level[:3], base.levels.energy[:3], strict=True)
    )
    other = by_hand(ion, reject_energies=barred)
    for level, energy in barred:
        at = other.levels.energy[other.levels.level == level]
        assert not np.any(np.abs(at - energy) <= TOLERANCE)


def test_rejected_lines_are_not_used(ion, base):
    lines = frozenset(int(i) for i in base.lines.line[::9])
    other = by_hand(ion, reject_lines=lines)
    assert not lines & set(other.lines.line.tolist())
    assert right(ion, other).mean() >= 0.9


def test_an_accepted_level_keeps_its_energy_and_helps(ion, base):
    level = int(base.levels.level[4])
    energy = float(ion.truth_energy[level])
    other = by_hand(ion, accept_levels=((level, energy),))
    row = row_of(other, level)
    assert other.levels.energy[row] == energy
    assert other.levels.probability[row] == 1.0
    assert len(other.levels) >= len(base.levels) - 2


@pytest.mark.parametrize("off", [25.0, -400.0])
def test_a_level_pinned_at_a_wrong_energy_stays_and_spoils_little(ion, base, off):
    level = int(base.levels.level[4])
    energy = float(ion.truth_energy[level]) + off
    other = by_hand(ion, accept_levels=((level, energy),))
    assert other.levels.energy[row_of(other, level)] == energy
    others = other.levels.level != level
    assert right(ion, other)[others].mean() > 0.9
    assert np.count_nonzero(others) > 0.7 * len(base.levels)


def test_without_labels_parity_and_j(ion, base):
    levels = ion.system.levels
    n = len(levels)
    blind = replace(
        ion.system,
        levels=replace(levels, label=np.full(n, ""), parity=np.full(n, -1), j=np.full(n, np.nan)),
    )
    other = run(ion, blind)
    assert right(ion, other).mean() > 0.9
    assert len(other.levels) > 0.8 * len(base.levels)


def test_without_classified_lines(ion, base):
    system = replace(ion.system, classified=ion.system.classified.select(np.arange(0)))
    other = run(ion, system)
    assert right(ion, other).mean() > 0.9
    assert len(other.levels) > 0.7 * len(base.levels)


def test_with_the_ground_level_only(ion):
    """One line proves no energy, so nothing can be determined, and no one is told otherwise."""
    known = ion.system.known
    ground = known.level == 0
    alone = KnownLevels(
        known.level[ground], known.energy[ground], known.uncertainty[ground], known.provenance[ground]
    )
    system = replace(ion.system, known=alone, classified=ion.system.classified.select(np.arange(0)))
    other = run(ion, system)
    assert len(other.levels) == 0
    assert other.outcome is Outcome.COMPLETE
    assert other.score == 0.0


def test_an_empty_spectral_range(ion):
    other = run(ion, settings=replace(ion.settings, spectral_range=(10.0, 20.0)))
    assert len(other.levels) == len(other.lines) == 0
    assert other.outcome is Outcome.COMPLETE


def test_lines_outside_the_range_are_not_assigned(ion):
    low, high = 20_000.0, 45_000.0
    other = run(ion, settings=replace(ion.settings, spectral_range=(low, high)))
    used = ion.system.lines.wavenumber[other.lines.line]
    assert used.size
    assert np.all((used >= low) & (used <= high))


@pytest.mark.parametrize("seed", [4, 5])
def test_a_spectrum_without_the_ion_yields_next_to_nothing(ion, base, seed):
    """Every wavenumber moved by some cm^-1: the same density and brightness, but no coincidence means anything."""
    rng = np.random.default_rng(seed)
    lines = ion.system.lines
    step = rng.uniform(2, 6, len(lines)) * rng.choice([-1, 1], len(lines))
    other = run(ion, replace(ion.system, lines=replace(lines, wavenumber=lines.wavenumber + step)))
    assert len(other.levels) <= 0.15 * len(base.levels)
    assert other.score < 0.1 * base.score
    assert other.summary["hidden_known_first"] <= 0.2 * other.summary["hidden_known_tested"]


@pytest.mark.parametrize(("n_levels", "seed"), [(150, 5), (200, 1)])
@pytest.mark.parametrize("least", [0.5, 0.9])
def test_no_level_hangs_on_one_line(n_levels, seed, least):
    other = simulate_ion(n_levels=n_levels, seed=seed)
    analysis = run(other, min_probability=least)
    assert len(analysis.levels) > 10
    assert np.all(analysis.levels.n_lines >= 2)
    assert right(other, analysis).mean() >= 0.95


def test_floating_start_levels_are_fitted_with_their_own_lines(ion, base):
    """All levels together: as accurate as with the start levels held, and no line is left without its levels."""
    other = run(ion, settings=replace(ion.settings, float_levels=True))
    assert len(other.levels) >= len(base.levels) - 2
    assert right(ion, other).mean() >= 0.9
    both = np.intersect1d(other.levels.level, base.levels.level)
    shift = other.energy[both] - base.energy[both]
    assert np.max(np.abs(shift)) < 0.03
    assert np.any(shift != 0)
    error = np.abs(other.energy[both] - ion.truth_energy[both])
    assert np.median(error) < 0.003
    assert np.all(other.levels.uncertainty > 0)


@pytest.mark.parametrize("known_ends", [1, 0])
def test_an_accepted_line_stays_where_a_person_put_it(ion, base, known_ends):
    """With a known level at one end it determines the other; with none it waits for both, and serves nothing else."""
    known = np.isfinite(ion.system.known_energy)
    ends = known[base.lines.lower].astype(int) + known[base.lines.upper]
    for i in np.flatnonzero(ends == known_ends)[:9:3]:
        line, lower, upper = (int(getattr(base.lines, name)[i]) for name in ("line", "lower", "upper"))
        other = by_hand(ion, accept_lines=((line, lower, upper),))
        row = np.flatnonzero(other.lines.line == line)
        determined = np.isfinite(other.energy[[lower, upper]])
        assert row.size == determined.all()
        assert determined.all() or known_ends == 0
        if row.size:
            assert (other.lines.lower[row[0]], other.lines.upper[row[0]]) == (lower, upper)
        assert right(ion, other).mean() > 0.9
        assert np.all(np.isfinite(other.lines.residual))
        pairs = set(zip(other.lines.lower.tolist(), other.lines.upper.tolist(), strict=True))
        assert len(pairs) == len(other.lines)


def test_an_accepted_level_gets_its_lines(ion, base):
    """All that it has when the search finds it by itself, or nearly."""
    for row in (0, 4, 9):
        level = int(base.levels.level[row])
        other = by_hand(ion, accept_levels=((level, float(base.levels.energy[row])),))
        assert other.levels.n_lines[row_of(other, level)] >= base.levels.n_lines[row] - 2


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_list_with_hardly_a_line_is_refused(ion, n):
    system = replace(ion.system, lines=ion.system.lines.select(np.arange(n)))
    with pytest.raises(InputError, match=rf"{n} lines.*at least"):
        run(ion, system)


@pytest.mark.parametrize("n", [3, 30])
def test_a_short_list_is_no_obstacle(ion, n):
    system = replace(ion.system, lines=ion.system.lines.select(np.arange(n)))
    assert len(run(ion, system).levels) <= 1


def test_the_range_ends_with_the_list(ion, base):
    """No range given: what lies beyond the first and last line is not missing."""
    open_range = run(ion, settings=replace(ion.settings, spectral_range=(0.0, np.inf)))
    assert np.array_equal(np.sort(open_range.levels.level), np.sort(base.levels.level))


def test_reports_and_cancelling(ion, base):
    reports = []

    def watch(report):
        reports.append(dict(report))
        return report["n_levels"] >= 8

    analysis = evidence(ion.system, ion.settings, Request(), watch)
    assert all(set(report) == REPORT_KEYS for report in reports)
    assert analysis.outcome is Outcome.CANCELLED
    assert 0 < len(analysis.levels) < len(base.levels)
    assert right(ion, analysis).mean() > 0.8
    followed = []
    complete = evidence(ion.system, ion.settings, Request(), lambda report: followed.append(dict(report)))
    assert complete.outcome is Outcome.COMPLETE
    assert complete.levels.energy.tobytes() == base.levels.energy.tobytes()
    assert len(followed) >= 3
    assert {r["stage"] for r in followed} >= {"searching", "revisiting"}
    assert all(r["eta_s"] is None or r["eta_s"] >= 0 for r in followed)
    assert all(isinstance(r["done"], int) and r["done"] >= 0 for r in followed)


def test_summary_is_plain_data(base):
    summary = json.loads(json.dumps(base.summary))
    assert summary["n_determined"] == len(base.levels)
    assert summary["hidden_known_first"] <= summary["hidden_known_tested"]
    assert summary["cpu_seconds"] >= 0


def test_line_given_to_two_unknown_levels_counts_for_both(ion, base):
    found = set(base.levels.level.tolist())
    between = [
        i for i in range(len(base.lines)) if {int(base.lines.lower[i]), int(base.lines.upper[i])} <= found
    ]
    assert between
    i = between[0]
    line, lower, upper = (int(getattr(base.lines, name)[i]) for name in ("line", "lower", "upper"))
    result = by_hand(ion, accept_lines=((line, lower, upper),))
    assert {lower, upper} <= set(result.levels.level.tolist())
    row = np.flatnonzero(result.lines.line == line)
    assert (result.lines.lower[row], result.lines.upper[row]) == (lower, upper)


def test_line_without_a_transition_is_refused(ion):
    transitions = ion.system.transitions
    pairs = set(zip(transitions.upper.tolist(), transitions.lower.tolist(), strict=True))
    lower, upper = next((a, b) for a in range(1, 50) for b in range(50, 100) if (b, a) not in pairs)
    with pytest.raises(
        InputError, match=f"accept: the line .* is given to levels {lower} and {upper}, between which"
    ):
        by_hand(ion, accept_lines=((0, lower, upper),))


def test_floating_start_levels_are_returned_with_the_energies_of_the_fit(ion):
    result = run(ion, settings=replace(ion.settings, float_levels=True))
    assert result.refitted is not None
    assert result.refitted.energy[result.refitted.level == 0] == 0.0
    moved = result.refitted.energy - ion.system.known.energy
    assert 0 < np.abs(moved).max() < 0.1
    lines, energy = result.lines, result.energy
    expected = ion.system.lines.wavenumber[lines.line] - energy[lines.upper] + energy[lines.lower]
    assert_allclose(lines.residual, expected, atol=1e-9)
    assert run(ion).refitted is None


def test_limit_that_nothing_was_lost_to_is_no_reason_to_stop(ion, base):
    assert run(ion, n_levels=len(base.levels)).outcome is Outcome.COMPLETE
    cut = run(ion, n_levels=len(base.levels) // 2, min_probability=0.8)
    assert cut.outcome is Outcome.HORIZON
    assert any("the search had stopped" in reason for reason in cut.undetermined.reason)


def test_scrambled_spectrum_gives_few_levels_and_a_warning(ion):
    """Every line moved by a few cm^-1: nothing of the ion is left, though densities and intensities are as before."""
    rng = np.random.default_rng(4)
    lines = ion.system.lines
    moved = lines.wavenumber + rng.uniform(2.0, 6.0, len(lines)) * rng.choice([-1, 1], len(lines))
    result = run(ion, system=replace(ion.system, lines=replace(lines, wavenumber=moved)))
    assert np.count_nonzero(result.levels.probability > 0.9) <= 3
    assert len(result.levels) < 15
    assert any("start levels that were hidden" in text for text in result.summary["warnings"])


def test_few_known_levels_are_warned_of():
    few = simulate_ion(n_levels=100, seed=6, n_known=10)
    assert any("only 10 levels are known" in w for w in run(few).summary["warnings"])
    assert any("are known" in w for w in run(few, n_trajectories=2).summary["warnings"])
    assert not any("are known" in w for w in run(few, n_trajectories=6).summary["warnings"])


def test_agreement_of_a_few_repetitions_is_shown_but_does_not_move_the_probability(ion):
    """The map that takes it was fitted with five others; one other run that agrees is no such witness."""
    few, many = run(ion, n_trajectories=3), run(ion, n_trajectories=6)
    for result, heeded in ((few, False), (many, True)):
        levels = result.levels
        assert np.isfinite(levels.agreement).all()
        by_agreement = calibrated(levels.log_odds, np.ones(len(levels)), 0.0, levels.agreement)
        assert np.allclose(levels.probability, by_agreement) is heeded
