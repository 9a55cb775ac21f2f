"""Losses of draws are those of a single fit, whatever the way they are computed; rewards follow equation 15."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.fitting import Problem
from spectuner_ext.fitting.peak_matching import build_peak_data
from spectuner_ext.fitting.peak_reference import reference_pm_loss
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.lte.parameters import ParameterSpace
from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.policy.case import LOWER, UPPER, Case
from spectuner_ext.policy.reward import pm_losses, prepare, refine, reward

TRUTH = np.array([np.log10(0.4), 130.0, np.log10(3e17), np.log10(4.0), 0.7])
METHANOL = "CH3OH;v=0;"


def physical(x):
    """Parameters of the kernel from a row of a policy."""
    theta = np.array(x)
    theta[[0, 2, 3]] = 10.0 ** theta[[0, 2, 3]]
    return theta


def make_window(low, step, n, rng, *, beam, noise=0.05, sigma=None, masked=0.0, bend=0.0, **more):
    nu = low + step * np.arange(n) * (1.0 + bend * np.linspace(0.0, 1.0, n))
    mask = rng.random(n) >= masked
    return Window(
        nu=nu,
        intensity=np.where(mask, noise * rng.standard_normal(n), 0.0),
        sigma=np.full(n, noise) if sigma is None else sigma,
        mask=mask,
        t_continuum=np.full(n, more.pop("continuum", 0.0)),
        beam=beam,
        **more,
    )


def make_case(database, windows, theta=TRUTH, species=METHANOL):
    """The windows with the lines of a species added; `theta` as a policy has it."""
    empty = Observation(tuple(windows))
    lines = database.select(species, line_ranges(empty))
    model = LTEModel.bind(empty, [lines])
    seen = [
        replace(w, intensity=np.where(w.mask, w.intensity + signal, 0.0))
        for w, signal in zip(windows, model.split(model.spectrum(physical(theta)[None])), strict=True)
    ]
    return Case(Observation(tuple(seen)), lines)


@pytest.fixture(scope="module")
def reward_cases(database):
    """Plain, masked, unevenly sampled and unevenly noisy windows; synthesised beams, a dish, no beam."""
    rng = np.random.default_rng(3)
    plain = make_window(241_650.0, 0.488, 700, rng, beam=Beam(1.0, 0.9))
    wide = make_window(218_300.0, 0.977, 300, rng, beam=Beam(1.4, 1.1), continuum=4.0, masked=0.1)
    bent = make_window(241_700.0, 0.5, 400, rng, beam=Beam(diameter=30.0), bend=0.02)
    noisy = make_window(
        338_300.0, 0.977, 500, rng, beam=Beam(diameter=12.0), sigma=rng.uniform(0.04, 0.2, 500), masked=0.2
    )
    bare = make_window(218_300.0, 0.977, 300, rng, beam=None, t_cmb=0.0)
    return [make_case(database, w) for w in ([plain, wide], [bent, noisy], [bare])]


@pytest.fixture(scope="module")
def reward_draws():
    rng = np.random.default_rng(4)
    anywhere = rng.uniform(LOWER, UPPER, (3, 40, 5))
    near = TRUTH + rng.normal(size=(3, 40, 5)) * [0.3, 30.0, 0.4, 0.1, 0.5]
    return np.clip(np.concatenate([anywhere, near], axis=1), LOWER, UPPER)


def single(case):
    model = LTEModel.bind(case.observation, [case.transitions])
    return Problem.build(case.observation, model, ParameterSpace.build(["x"]), loss="pm")


@pytest.mark.parametrize("i", range(3))
def test_prepared_arrays_are_those_of_a_fit(reward_cases, i):
    prepared, problem = prepare(reward_cases[i]), single(reward_cases[i])
    expected = {
        **problem.fit.grid._asdict(),
        **problem.fit.lines._asdict(),
        **problem.fit.data._asdict(),
        **{f"peak {k}": v for k, v in build_peak_data(reward_cases[i].observation)._asdict().items()},
    }
    got = {
        **prepared.fit.grid._asdict(),
        **prepared.fit.lines._asdict(),
        **prepared.fit.data._asdict(),
        **{f"peak {k}": v for k, v in prepared.peaks._asdict().items()},
    }
    for name, value in expected.items():
        assert_allclose(got[name], value, rtol=1e-11, atol=1e-12, err_msg=name)
    assert prepared.peaks.span_left.size > 0


def test_losses_are_those_of_a_fit(reward_cases, reward_draws):
    prepared = [prepare(c) for c in reward_cases]
    l_pm, l_peak = pm_losses(prepared, reward_draws)
    for i, case in enumerate(reward_cases):
        assert_allclose(l_pm[i], single(case).losses(reward_draws[i]), rtol=1e-9)
    assert (l_peak == 0.0).any()
    assert (l_peak < 0.0).any()
    assert (l_peak > 0.0).any()


def test_both_parts_of_the_loss_follow_the_reference(reward_cases, reward_draws):
    case, draws = reward_cases[0], reward_draws[0, ::8]
    l_pm, l_peak = pm_losses([prepare(case)], draws[None])
    model = LTEModel.bind(case.observation, [case.transitions])
    windows = case.observation.windows
    for k, x in enumerate(draws):
        expected = reference_pm_loss(
            [w.nu for w in windows],
            [w.intensity for w in windows],
            model.split(model.spectrum(physical(x)[None])),
            [4.0 * w.sigma[0] for w in windows],
            use=[w.mask for w in windows],
        )
        assert_allclose(l_pm[0, k], expected.loss, rtol=1e-9, atol=1e-12)
        assert_allclose(l_peak[0, k], expected.l_peak, rtol=1e-9, atol=1e-12)


def test_threads_and_order_of_cases_change_nothing(reward_cases, reward_draws):
    prepared = [prepare(c) for c in reward_cases]
    one = pm_losses(prepared, reward_draws)
    assert_array_equal(pm_losses(prepared, reward_draws, workers=3), one)
    assert_array_equal(pm_losses(prepared[::-1], reward_draws[::-1]), [a[::-1] for a in one])
    first, second = (refine(prepared, reward_draws, max_evaluations=200, workers=n) for n in (1, 3))
    assert_array_equal(first.x, second.x)
    assert_array_equal(first.n_evaluations, second.n_evaluations)


def test_a_draw_that_is_not_finite_has_the_worst_loss(reward_cases, reward_draws):
    draws = reward_draws[:1, :6].copy()
    draws[0, 2, 3] = np.nan
    l_pm, l_peak = pm_losses([prepare(reward_cases[0])], draws)
    assert l_pm[0, 2] == np.inf
    assert l_peak[0, 2] == 0.0
    assert np.isfinite(np.delete(l_pm, 2)).all()
    assert reward(l_pm, l_peak)[0, 2] == -0.5


def test_a_model_without_emission_has_the_empty_loss(reward_cases):
    prepared = prepare(reward_cases[0])
    faint = np.array([[[-3.0, 100.0, 12.0, 0.5, 0.0]]])
    l_pm, l_peak = pm_losses([prepared], faint)
    assert_allclose(l_pm[0, 0], prepared.empty_loss, rtol=1e-4)
    assert l_peak[0, 0] == 0.0


def test_a_species_without_lines_has_the_empty_loss(reward_cases):
    case = reward_cases[0]
    prepared = prepare(Case(case.observation, case.transitions.select(slice(0, 0))))
    l_pm, l_peak = pm_losses([prepared], np.array([[TRUTH]]))
    assert_allclose(l_pm[0, 0], prepared.empty_loss, rtol=1e-12)
    assert l_peak[0, 0] == 0.0


def test_rewards_of_equation_15():
    l_pm = np.array([[-3.0, -2.0, 1.0, 4.0], [0.5, 0.5, 0.5, 0.5]])
    l_peak = np.array([[-4.0, -2.5, 0.0, 2.0], [0.0, 0.0, -0.1, 0.1]])
    assert_array_equal(reward(l_pm, l_peak), [[1.0, 1.0, -0.5, 0.0], [-0.5, -0.5, 0.0, 0.0]])


def test_refinement_goes_downhill_and_keeps_to_its_budget(reward_cases, reward_draws):
    prepared = [prepare(c) for c in reward_cases]
    starts = reward_draws[:, 40:]
    l_pm, _ = pm_losses(prepared, starts)
    for budget in (1, 40, 55, 300):
        refined = refine(prepared, starts, max_evaluations=budget)
        assert (refined.n_evaluations <= budget).all()
        assert_allclose(pm_losses(prepared, refined.x[:, None])[0][:, 0], refined.loss, rtol=1e-12)
        assert (refined.loss <= l_pm[:, : min(budget, 40)].min(axis=1)).all()
    assert (refined.loss < l_pm.min(axis=1)).all()
    assert ((refined.x >= LOWER) & (refined.x <= UPPER)).all()


def test_refinement_recovers_a_clean_spectrum(reward_cases, reward_draws):
    case = reward_cases[0]
    refined = refine([prepare(case)], reward_draws[:1, 40:])
    at_truth = pm_losses([prepare(case)], TRUTH[None, None])[0][0, 0]
    assert refined.loss[0] <= at_truth
    assert abs(refined.x[0, 4] - TRUTH[4]) < 0.2
    assert abs(refined.x[0, 3] - TRUTH[3]) < 0.05


def test_without_a_finite_start_there_is_no_answer(reward_cases):
    refined = refine([prepare(reward_cases[0])], np.full((1, 4, 5), np.nan))
    assert np.isnan(refined.x).all()
    assert refined.loss[0] == np.inf
    assert refined.n_evaluations[0] == 0


@pytest.mark.parametrize("shape", [(2, 4, 5), (1, 4, 4), (4, 5)])
def test_parameters_of_a_wrong_shape_are_refused(reward_cases, shape):
    with pytest.raises(InputError, match=r"^x: 1 cases"):
        pm_losses([prepare(reward_cases[0])], np.zeros(shape))


@pytest.mark.parametrize("name", ["n_follow", "max_evaluations", "short", "workers"])
def test_numbers_that_are_not_positive_are_refused(reward_cases, name):
    with pytest.raises(InputError, match=f"^{name}: at least 1"):
        refine([prepare(reward_cases[0])], np.zeros((1, 2, 5)), **{name: 0})
