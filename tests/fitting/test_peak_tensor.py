"""The batched loss is that of the reference: exactly in float64, and but for rare ties in float32."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.fitting.peak_matching import build_peak_data
from spectuner_ext.fitting.peak_reference import reference_pm_loss
from spectuner_ext.fitting.peak_tensor import peak_batch, peak_losses
from spectuner_ext.observation.observation import Observation, Window

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def torch_device(request):
    return request.param


def draw_spectrum(n, rng):
    """Small integers (plateaus and ties), noise, a walk over integers, or a few smooth lines."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(-2, 6, n).astype(float)
    if kind == 1:
        return 3.0 * rng.standard_normal(n)
    if kind == 2:
        return np.round(np.cumsum(rng.standard_normal(n)))
    x, centre = np.arange(n)[:, None], rng.uniform(-2, n + 2, 5)
    return (rng.uniform(-3, 12, 5) * np.exp(-0.5 * ((x - centre) / rng.uniform(0.5, 6, 5)) ** 2)).sum(axis=1)


def draw_window(rng, *, n=None):
    n = int(rng.integers(3, 70)) if n is None else n
    nu = 100.0 + (np.arange(n) * 0.75 if rng.random() < 0.5 else np.cumsum(rng.uniform(0.5, 1.5, n)))
    mask = rng.random(n) < rng.choice([1.0, 0.8])
    mask[0] = True
    noise = rng.choice([0.1, 0.25, 0.5])
    return Window(nu, np.where(mask, draw_spectrum(n, rng), 0.0), np.full(n, noise), mask, np.zeros(n))


def draw_cases(rng, n_draw, n_case=None):
    """Observations with their peaks, and model spectra, padded, that float32 holds exactly."""
    n_case = int(rng.integers(1, 4)) if n_case is None else n_case
    seen = [Observation(tuple(draw_window(rng) for _ in range(rng.integers(1, 4)))) for _ in range(n_case)]
    peaks = [build_peak_data(o) for o in seen]
    model = np.full((n_case, n_draw, max(p.nu.size for p in peaks)), 7.0)
    for i, p in enumerate(peaks):
        for d in range(n_draw):
            like = p.data * rng.choice([0.5, 1.0, 2.0]) + rng.choice([0.0, 1.0]) * rng.integers(
                0, 2, p.nu.size
            )
            model[i, d, : p.nu.size] = like if rng.random() < 0.3 else draw_spectrum(p.nu.size, rng)
    return seen, peaks, model.astype(np.float32).astype(np.float64)


def by_reference(observation, peaks, model):
    split = np.split(model[: peaks.nu.size], peaks.window_start[1:-1])
    return reference_pm_loss(
        [w.nu for w in observation.windows],
        [w.intensity for w in observation.windows],
        split,
        list(peaks.threshold),
        use=[w.mask for w in observation.windows],
        weights=list(peaks.weight),
    )


@pytest.mark.parametrize("seed", range(25))
def test_in_float64_it_is_the_reference(seed, torch_device):
    rng = np.random.default_rng(seed)
    seen, peaks, model = draw_cases(rng, n_draw=6)
    batch = peak_batch(peaks, device=torch_device, dtype=torch.float64)
    l_pm, l_peak = peak_losses(batch, torch.as_tensor(model, device=torch_device))
    for i, (o, p) in enumerate(zip(seen, peaks, strict=True)):
        for d in range(model.shape[1]):
            expected = by_reference(o, p, model[i, d])
            assert_allclose(l_pm[i, d].item(), expected.loss, rtol=1e-10, atol=1e-10)
            assert_allclose(l_peak[i, d].item(), expected.l_peak, rtol=1e-10, atol=1e-10)


def test_windows_may_have_weights():
    rng = np.random.default_rng(50)
    seen, _, model = draw_cases(rng, n_draw=6, n_case=2)
    peaks = [build_peak_data(o, in_noise_units=True) for o in seen]
    l_pm, _ = peak_losses(peak_batch(peaks, dtype=torch.float64), torch.as_tensor(model))
    for i, (o, p) in enumerate(zip(seen, peaks, strict=True)):
        expected = [by_reference(o, p, m).loss for m in model[i]]
        assert_allclose(l_pm[i], expected, rtol=1e-10, atol=1e-10)


def test_in_float32_only_ties_differ(torch_device):
    """Contours and integrals are float64 in any case: losses differ by the rounding of data and sums."""
    rng = np.random.default_rng(100)
    differing, n = 0, 0
    for _ in range(10):
        _, peaks, model = draw_cases(rng, n_draw=12)
        results = []
        for dtype in (torch.float32, torch.float64):
            batch = peak_batch(peaks, device=torch_device, dtype=dtype)
            results.append(
                peak_losses(batch, torch.as_tensor(model, dtype=dtype, device=torch_device))[0].cpu()
            )
        differing += int((~torch.isclose(*results, rtol=1e-5, atol=1e-5)).sum())
        n += results[0].numel()
    # an overlap whose two means are equal counts or not by their last digit
    assert differing <= 0.01 * n


def test_chunks_change_nothing():
    _, peaks, model = draw_cases(np.random.default_rng(7), n_draw=9, n_case=3)
    batch = peak_batch(peaks)
    whole = peak_losses(batch, torch.as_tensor(model, dtype=torch.float32))
    for max_elements in (1, 700):
        parts = peak_losses(batch, torch.as_tensor(model, dtype=torch.float32), max_elements=max_elements)
        assert torch.equal(parts[0], whole[0])
        assert torch.equal(parts[1], whole[1])


def test_without_peaks_their_part_is_exactly_zero(torch_device):
    _, peaks, model = draw_cases(np.random.default_rng(8), n_draw=3)
    batch = peak_batch(peaks, device=torch_device)
    low = torch.as_tensor(np.minimum(model, 0.05), dtype=torch.float32, device=torch_device)
    l_pm, l_peak = peak_losses(batch, low)
    assert (l_peak == 0.0).all()
    assert (l_pm > 0.0).all()


def test_without_observed_peaks_every_model_peak_is_one_too_many():
    nu, quiet = 100.0 + np.arange(60.0), np.zeros(60)
    seen = Observation((Window(nu, quiet, np.full(60, 0.1), np.ones(60, bool), quiet),))
    peaks = build_peak_data(seen)
    assert peaks.span_left.size == 0
    model = 5.0 * np.exp(-0.5 * ((np.arange(60) - 44.3) / 2.0) ** 2)
    l_pm, l_peak = peak_losses(peak_batch([peaks], dtype=torch.float64), torch.as_tensor(model)[None, None])
    expected = by_reference(seen, peaks, model)
    assert expected.l_peak > 1.0
    assert_allclose([l_pm.item(), l_peak.item()], [expected.loss, expected.l_peak], rtol=1e-12)


def test_a_spectrum_that_is_not_finite_stays_alone():
    _, peaks, model = draw_cases(np.random.default_rng(9), n_draw=4, n_case=2)
    clean = torch.as_tensor(model, dtype=torch.float32)
    broken = clean.clone()
    broken[0, 1, 0] = torch.nan
    batch = peak_batch(peaks)
    l_pm, l_peak = peak_losses(batch, broken)
    whole = peak_losses(batch, clean)[0]
    assert l_pm[0, 1] == torch.inf
    assert l_peak[0, 1] == 0.0
    others = torch.ones(2, 4, dtype=torch.bool)
    others[0, 1] = False
    assert torch.equal(l_pm[others], whole[others])


def test_what_it_cannot_do_is_refused():
    seen = Observation((draw_window(np.random.default_rng(0), n=30),))
    peaks = build_peak_data(seen)
    with pytest.raises(InputError, match=r"^peaks: at least one"):
        peak_batch([])
    with pytest.raises(InputError, match=r"^peaks: case 1 has missed_penalty 1"):
        peak_batch([peaks, build_peak_data(seen, missed_penalty=1.0)])
    with pytest.raises(InputError, match=r"^peaks: case 1 has .* rel_height 0.5"):
        peak_batch([peaks, build_peak_data(seen, rel_height=0.5)])
    with pytest.raises(InputError, match=r"^model: spectra of shape"):
        peak_losses(peak_batch([peaks]), torch.zeros(1, 30))
