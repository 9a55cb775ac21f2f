import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms import level_fit
from spectuner_ext.terms.level_fit import fit_levels


def random_system(rng, n_levels=30, n_lines=120, noise=1.0):
    energy = np.sort(rng.uniform(0, 1e5, n_levels))
    energy[0] = 0.0
    chain = np.stack([np.arange(n_levels - 1), np.arange(1, n_levels)])
    extra = rng.choice(n_levels, (2, n_lines - n_levels + 1))
    extra = extra[:, extra[0] != extra[1]]
    pair = np.concatenate([chain, np.sort(extra, axis=0)], axis=1)
    unc = 10 ** rng.uniform(-4, -1, pair.shape[1])
    wn = energy[pair[1]] - energy[pair[0]] + noise * unc * rng.standard_normal(pair.shape[1])
    return energy, pair[0], pair[1], wn, unc


def dense_reference(lower, upper, wn, unc, fixed):
    """Weighted least squares over the free levels by SVD; returns energies and covariance."""
    free = np.flatnonzero(np.isnan(fixed))
    design = np.zeros((wn.size, fixed.size))
    rows = np.arange(wn.size)
    design[rows, upper] += 1
    design[rows, lower] -= 1
    right = (wn - design @ np.nan_to_num(fixed)) / unc
    design = design[:, free] / unc[:, None]
    solution = np.linalg.lstsq(design, right, rcond=None)[0]
    energy = fixed.copy()
    energy[free] = solution
    pseudo = np.linalg.pinv(design)
    return energy, pseudo @ pseudo.T


@pytest.fixture(params=["dense", "sparse"])
def solver(request, monkeypatch):
    if request.param == "sparse":
        monkeypatch.setattr(level_fit, "DENSE_LIMIT", 0)
        monkeypatch.setattr(level_fit, "BLOCK", 7)


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize("n_fixed", [1, 12])
def test_agrees_with_a_dense_solution(n_fixed):
    rng = np.random.default_rng(n_fixed)
    energy, lower, upper, wn, unc = random_system(rng)
    fixed = np.full(energy.size, np.nan)
    fixed[:n_fixed] = energy[:n_fixed]
    expected, covariance = dense_reference(lower, upper, wn, unc, fixed)
    fit = fit_levels(lower, upper, wn, unc, n_levels=energy.size, fixed_energy=fixed, with_covariance=True)
    # 1e-9 cm^-1 is 1e-14 of the energies: the digits of float64.
    assert_allclose(fit.energy, expected, rtol=0, atol=1e-9)
    assert_allclose(fit.covariance, covariance, rtol=1e-6, atol=1e-6 * np.diagonal(covariance).min())
    assert_allclose(fit.uncertainty[n_fixed:], np.sqrt(np.diagonal(covariance)), rtol=1e-6)
    assert np.all(fit.uncertainty[:n_fixed] == 0)
    without = fit_levels(lower, upper, wn, unc, n_levels=energy.size, fixed_energy=fixed)
    assert without.covariance is None
    assert_allclose(without.uncertainty, fit.uncertainty, rtol=1e-12)


@pytest.mark.usefixtures("solver")
def test_lines_without_noise_give_the_energies_exactly():
    energy, lower, upper, wn, unc = random_system(np.random.default_rng(3), noise=0.0)
    fixed = np.where(np.arange(energy.size) == 0, 0.0, np.nan)
    fit = fit_levels(lower, upper, wn, unc, n_levels=energy.size, fixed_energy=fixed)
    assert_allclose(fit.energy, energy, rtol=0, atol=1e-9)
    assert fit.chi2 < 1e-6


def test_scale_and_shift():
    energy, lower, upper, wn, unc = random_system(np.random.default_rng(5))
    fixed = np.where(np.arange(energy.size) < 2, energy, np.nan)
    base = fit_levels(lower, upper, wn, unc, n_levels=energy.size, fixed_energy=fixed)
    vague = fit_levels(lower, upper, wn, 10 * unc, n_levels=energy.size, fixed_energy=fixed)
    assert_allclose(vague.energy, base.energy, rtol=1e-13)
    assert_allclose(vague.uncertainty, 10 * base.uncertainty, rtol=1e-9)
    assert_allclose(vague.chi2, base.chi2 / 100, rtol=1e-6)
    unit = fit_levels(lower, upper, 1e-3 * wn, 1e-3 * unc, n_levels=energy.size, fixed_energy=1e-3 * fixed)
    assert_allclose(unit.energy, 1e-3 * base.energy, rtol=1e-12)
    assert_allclose(unit.chi2, base.chi2, rtol=1e-6)
    shifted = fit_levels(lower, upper, wn, unc, n_levels=energy.size, fixed_energy=fixed + 7.0)
    assert_allclose(shifted.energy, base.energy + 7.0, rtol=1e-13)
    order = np.random.default_rng(1).permutation(wn.size)
    mixed = fit_levels(lower[order], upper[order], wn[order], unc[order], n_levels=30, fixed_energy=fixed)
    assert_allclose(mixed.energy, base.energy, rtol=1e-13)


def test_errors_are_those_of_repeated_measurement():
    rng = np.random.default_rng(8)
    energy, lower, upper, _, unc = random_system(rng, n_levels=8, n_lines=20)
    fixed = np.where(np.arange(8) == 0, 0.0, np.nan)
    fits = [
        fit_levels(
            lower,
            upper,
            energy[upper] - energy[lower] + unc * rng.standard_normal(unc.size),
            unc,
            n_levels=8,
            fixed_energy=fixed,
        )
        for _ in range(2000)
    ]
    spread = np.std([fit.energy for fit in fits], axis=0)[1:]
    # 2000 repetitions know a standard deviation to 1.6 %, chi2 to sqrt(2 dof / 2000).
    assert_allclose(spread, fits[0].uncertainty[1:], rtol=0.07)
    freedom = fits[0].n_used - fits[0].n_free
    assert_allclose(np.mean([fit.chi2 for fit in fits]), freedom, atol=4 * np.sqrt(2 * freedom / 2000))


def test_parts_without_a_fixed_level_are_reported():
    #  0 (fixed) - 1,   2 - 3 in the air,   4 without lines,   5 fixed - 6
    lower, upper = np.array([0, 2, 5]), np.array([1, 3, 6])
    fixed = np.array([0.0, np.nan, np.nan, np.nan, np.nan, 50.0, np.nan])
    fit = fit_levels(lower, upper, np.array([10.0, 20.0, 5.0]), np.ones(3), n_levels=7, fixed_energy=fixed)
    assert_allclose(fit.energy, [0, 10, np.nan, np.nan, np.nan, 50, 55])
    assert fit.unreached.tolist() == [2, 3]
    assert fit.free.tolist() == [1, 6]
    assert "2, 3" in fit.note()
    assert np.isnan(fit.residual[1])
    assert fit.n_used == 2
    assert fit.chi2 == 0


def test_lines_between_fixed_levels_do_not_count():
    fixed = np.array([0.0, 10.0])
    fit = fit_levels(
        np.array([0]), np.array([1]), np.array([11.0]), np.ones(1), n_levels=2, fixed_energy=fixed
    )
    assert fit.n_free == 0
    assert fit.n_used == 0
    assert_allclose(fit.residual, [1.0])
    assert np.isnan(fit.reduced_chi2)
    assert fit.note() == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uncertainty": np.array([1.0, 0.0])}, "row 2: uncertainty is 0"),
        ({"wavenumber": np.array([1.0, np.nan])}, "wavenumber is nan"),
        ({"upper": np.array([1, 5])}, "0 to 2"),
        ({"upper": np.array([1, 0])}, "both ends"),
        ({"lower": np.array([0])}, "equally long"),
        ({"fixed_energy": np.full(3, np.nan)}, "fix the ground level"),
        ({"fixed_energy": np.array([0.0, np.inf, np.nan])}, "infinite"),
        ({"fixed_energy": np.zeros(2)}, "one value for each of 3"),
    ],
)
def test_input_that_cannot_be_used(change, message):
    good = {
        "lower": np.array([0, 0]),
        "upper": np.array([1, 2]),
        "wavenumber": np.array([10.0, 20.0]),
        "uncertainty": np.ones(2),
        "fixed_energy": np.array([0.0, np.nan, np.nan]),
    }
    with pytest.raises(InputError, match=message):
        fit_levels(**{**good, **change}, n_levels=3)


def test_thousands_of_levels():
    energy, lower, upper, wn, unc = random_system(np.random.default_rng(2), n_levels=1000, n_lines=17000)
    fixed = np.where(np.arange(energy.size) == 0, 0.0, np.nan)
    fit = fit_levels(lower, upper, wn, unc, n_levels=1000, fixed_energy=fixed, with_covariance=True)
    assert abs(fit.reduced_chi2 - 1) < 5 * np.sqrt(2 / (fit.n_used - fit.n_free))
    # Errors of the levels are correlated; weighted with their covariance they follow chi2 of 999 degrees.
    error = (fit.energy - energy)[1:]
    assert abs(error @ np.linalg.solve(fit.covariance, error) - 999) < 5 * np.sqrt(2 * 999)
