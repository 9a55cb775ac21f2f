"""Templates over a pixel: their estimates against the loss in full, and whether they find what is there."""

from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.constants import C_KMS
from spectuner_ext.fitting import search_kernel
from spectuner_ext.fitting.batch.peak_bank import build_bank
from spectuner_ext.fitting.batch.peak_screen import look, screen, sight_for
from spectuner_ext.fitting.peak_matching import match_peaks


@pytest.fixture(scope="module")
def pixels(pixels_of):
    return pixels_of(n=9, seed=2)


@pytest.fixture(scope="module")
def bank(pixels):
    return build_bank(pixels.problem, 0)


def candidates_of(pixels, p, bank, n_kept=48, single=None):
    """Candidates of a pixel, their estimates, and their losses in full."""
    single = single or pixels.single(p, loss="pm")
    sight = sight_for(bank, single.peaks.span_left.size, n_kept, 4)
    look(bank, single.fit.grid.background, single.peaks, sight)
    found = np.zeros((n_kept, pixels.problem.n_free))
    n = screen(bank, single.peaks, sight, np.zeros(pixels.problem.n_free), found)
    found = np.clip(found[:n], pixels.problem.lower, pixels.problem.upper)
    return found, sight.best[:n, 0], single.losses(found), single


def test_the_right_place_is_among_the_first(pixels, bank):
    """Velocity within a third of a line, and a loss that is most of what the truth has."""
    for p in range(pixels.block.n_pixel):
        found, _, losses, single = candidates_of(pixels, p, bank)
        best = found[np.argmin(losses)]
        fwhm = 10.0 ** pixels.truth[p, 3]
        assert abs(best[4] - pixels.truth[p, 4]) < 0.5 * fwhm
        assert losses.min() < 0.6 * single.loss(pixels.truth[p]) < 0.0


def test_estimates_are_those_of_the_loss(pixels, bank):
    """Span by span the estimate leaves out how profiles differ within a span: a tenth, for the best placements."""
    errors = []
    for p in range(pixels.block.n_pixel):
        found, estimates, _, single = candidates_of(pixels, p, bank)
        full = np.array([match_peaks(single.spectrum(x), single.peaks).l_peak for x in found[:10]])
        errors.extend((estimates[:10] - full) / np.abs(full))
    assert np.median(np.abs(errors)) < 0.15
    assert np.all(np.diff(estimates) >= 0)  # the lowest first


def test_lines_of_something_else_do_not_distract(pixels, bank):
    """Forty lines as bright as the brightest, of which chi2 would see nothing else."""
    rng = np.random.default_rng(8)
    nu = pixels.problem.fit.grid.nu
    for p in range(pixels.block.n_pixel):
        value = pixels.block.value[p].astype(np.float64)
        peak = value.max()
        for centre in rng.choice(nu, 40):
            width = 5.0 / 2.355 * centre / C_KMS
            value += peak * rng.uniform(0.3, 1.0) * np.exp(-0.5 * ((nu - centre) / width) ** 2)
        values = pixels.block.value.copy()
        values[p] = np.where(pixels.block.good[p], value, 0.0)
        crowded = replace(pixels, block=replace(pixels.block, value=values))
        _, _, losses, single = candidates_of(crowded, p, bank)
        truth = single.loss(pixels.truth[p])
        assert losses.min() < truth + 0.5 * abs(truth)


def test_absorption_is_not_mistaken_for_emission(pixels, bank):
    """Templates colder than the continuum have no peaks to match."""
    p = 1
    continuum = pixels.block.continuum.copy()
    continuum[p] = 60.0
    behind = replace(pixels, block=replace(pixels.block, continuum=continuum))
    found, *_ = candidates_of(behind, p, bank)
    assert found.shape[0] > 0
    assert np.all(found[:, 1] > 60.0)


def test_an_empty_spectrum_has_no_candidates(pixels, bank):
    empty = replace(pixels, block=replace(pixels.block, value=np.zeros_like(pixels.block.value)))
    assert candidates_of(empty, 0, bank)[0].shape[0] == 0


def test_held_parameters_have_one_value(pixels_of):
    held = pixels_of(n=2, seed=5, fixed=[{"T_ex": 90.0, "fwhm": 4.0, "filling_factor": 0.4}])
    bank = build_bank(held.problem, 0)
    assert bank.t_ex.tolist() == [90.0]
    assert bank.step.size == 1
    assert (bank.scale_low, bank.scale_high) == pytest.approx((0.4, 0.4))
    assert bank.slot.tolist() == [-1, -1, 0, -1, 1]
    for p in range(2):
        found, _, losses, single = candidates_of(held, p, bank)
        assert found.shape[1] == 2
        # neighbouring templates differ by 1.8 in column density, and nothing else can make up for that
        assert losses.min() < 0.5 * single.loss(held.truth[p])
        assert abs(found[np.argmin(losses), 0] - held.truth[p, 0]) < np.log10(1.8)


def test_velocities_stay_within_their_bounds(pixels, bank):
    problem = replace(pixels.problem, lower=pixels.problem.lower.copy(), upper=pixels.problem.upper.copy())
    problem.lower[4], problem.upper[4] = 2.0, 6.0
    narrow = build_bank(problem, 0)
    speeds = -np.expm1(np.array([narrow.shift_low, narrow.shift_high]) * narrow.cell_width) * C_KMS
    assert np.all((speeds >= 2.0) & (speeds <= 6.0))
    assert np.ptp(speeds) > 2.5


def test_shifts_are_velocities(pixels, bank):
    """A template moved by cells stands where the model with that velocity has its peaks."""
    single = pixels.single(0, loss="pm")
    shift = 9
    v_off = -np.expm1(shift * bank.cell_width) * C_KMS
    t = int(bank.coarse[-1])  # a broad one: a cell is a small part of its lines
    theta = np.array([[1.0, bank.shape[t, 1], 10.0 ** bank.shape[t, 2], 10.0 ** bank.shape[t, 3], v_off]])
    model = single.model.spectrum(theta)
    rows = slice(int(bank.start[t]), int(bank.start[t + 1]))
    inside = 0
    for w, cell, height in zip(bank.window[rows], bank.cell[rows], bank.height[rows], strict=True):
        a, b = pixels.starts[w], pixels.starts[w + 1]
        if not bank.cell_start[w] <= cell + shift < bank.cell_start[w + 1]:
            continue
        channel = bank.channel[cell + shift]
        near = model[max(channel - 1, a) : min(channel + 2, b)]
        assert near.max() == pytest.approx(height, rel=0.2)
        inside += 1
    assert inside >= 3
    # and the loss in full is the one that the compiled search computes there
    x = pixels.problem.space.vector(theta)
    own = search_kernel.peak_loss(x, single.fit, single._buffers, single.peaks, single._peak_work)
    assert own == single.loss(x)
