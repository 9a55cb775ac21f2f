"""Rewards of the batched code are those of the compiled one, within float32 and but for peaks on the edge."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.policy.case import LOWER, UPPER, Case
from spectuner_ext.policy.reward import pm_losses, prepare, reward
from spectuner_ext.policy.reward_tensor import tensor_cases, tensor_pm_losses, tensor_reward

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine")
MIXTURE = {
    "CH3OH;v=0;": (0.5, 150.0, 3e17, 4.0, 0.4),
    "CH3OCHO;v=0;": (0.5, 130.0, 2e17, 5.0, -0.3),
    "C2H5CN;v=0;": (0.4, 140.0, 3e16, 6.0, 1.0),
}


@pytest.fixture(scope="module")
def blended_cases(database):
    """Two observations of a mixture, of two windows and one, each with two of its species."""
    rng = np.random.default_rng(11)
    cases = []
    for bands in (((216_500.0, 0.488, 900), (218_200.0, 0.977, 500)), ((241_600.0, 0.488, 700),)):
        empty = Observation(
            tuple(
                Window(
                    low + step * np.arange(n),
                    np.zeros(n),
                    np.full(n, 0.1),
                    rng.random(n) > 0.02,
                    np.full(n, 2.0),
                    Beam(1.0, 0.8),
                )
                for low, step, n in bands
            )
        )
        lists = [database.select(name, line_ranges(empty)) for name in MIXTURE]
        model = LTEModel.bind(empty, lists)
        signal = model.split(model.spectrum(np.array(list(MIXTURE.values()))))
        seen = Observation(
            tuple(
                Window(
                    w.nu,
                    np.where(w.mask, s + 0.1 * rng.standard_normal(s.size), 0.0),
                    w.sigma,
                    w.mask,
                    w.t_continuum,
                    w.beam,
                )
                for w, s in zip(empty.windows, signal, strict=True)
            )
        )
        cases += [Case(seen, lists[0]), Case(seen, lists[1])]
    return [prepare(c) for c in cases]


@pytest.fixture(scope="module")
def blended_draws():
    rng = np.random.default_rng(12)
    anywhere = rng.uniform(LOWER, UPPER, (4, 150, 5))
    near = np.array([-0.3, 150.0, 17.5, 0.6, 0.3]) + rng.normal(size=(4, 150, 5)) * [0.3, 30.0, 0.4, 0.1, 0.5]
    return np.clip(np.concatenate([anywhere, near], axis=1), LOWER, UPPER)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_losses_are_those_of_the_compiled_code(device, blended_cases, blended_draws):
    expected, expected_peak = pm_losses(blended_cases, blended_draws)
    cases = tensor_cases(blended_cases, device=device)
    l_pm, l_peak = (t.cpu().numpy() for t in tensor_pm_losses(cases, blended_draws))
    scale = np.abs(expected) + np.array([[c.empty_loss] for c in blended_cases])
    off = np.abs(l_pm - expected) / scale
    # both models are cut at 1e-5 of the peak; a peak or a node of an integral at its threshold tips a few
    assert np.quantile(off, 0.9) < 1e-4
    assert np.mean(off > 1e-3) < 0.02
    assert np.mean((l_peak == 0.0) != (expected_peak == 0.0)) < 0.01
    assert (expected_peak < 0.0).any()
    assert (expected_peak > 0.0).any()


def test_neither_chunks_nor_the_batch_matter(blended_cases, blended_draws):
    together = tensor_pm_losses(tensor_cases(blended_cases), blended_draws[:, ::10])[0]
    for i, case in enumerate(blended_cases):
        alone = tensor_pm_losses(tensor_cases([case]), blended_draws[i : i + 1, ::10], max_elements=20_000)[
            0
        ][0]
        assert_allclose(together[i], alone, rtol=1e-4, atol=1e-4)


def test_a_draw_that_is_not_finite_has_the_worst_loss(blended_cases, blended_draws):
    x = blended_draws[:1, :5].copy()
    x[0, 2, 0] = np.nan
    l_pm, l_peak = tensor_pm_losses(tensor_cases(blended_cases[:1]), x)
    assert l_pm[0, 2] == np.inf
    assert l_peak[0, 2] == 0.0
    assert torch.isfinite(l_pm[0, [0, 1, 3, 4]]).all()


@pytest.mark.parametrize("n", [4, 5, 64])
def test_rewards_are_those_of_numpy(n):
    rng = np.random.default_rng(n)
    l_pm = rng.integers(-3, 4, (20, n)).astype(float)
    l_peak = np.where(rng.random((20, n)) < 0.3, 0.0, l_pm - 1.0)
    own = tensor_reward(torch.as_tensor(l_pm), torch.as_tensor(l_peak))
    assert_array_equal(own, reward(l_pm, l_peak))


def test_parameters_of_a_wrong_shape_are_refused(blended_cases):
    cases = tensor_cases(blended_cases)
    for shape in ((4, 5), (3, 2, 5), (4, 2, 6)):
        with pytest.raises(InputError, match=r"^x: 4 cases"):
            tensor_pm_losses(cases, np.zeros(shape))
