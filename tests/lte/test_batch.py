"""Batched spectra follow the reference equations under a converged quadrature, whatever the batch and the device."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.lte.arrays import Accuracy
from spectuner_ext.lte.batch import lte_spectra, spectrum_batch
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.observation.observation import Beam

TOLERANCE = 5e-5
"""Of the peak: the quadrature is chosen for 3e-5, the wings are cut at 1e-5; float32 adds 1e-6."""

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device on this machine")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=GPU)])
def torch_device(request):
    return request.param


def bound(*models):
    return [(m.grid, m.lines) for m in models]


def peak(spectrum):
    return np.abs(spectrum).max()


@pytest.fixture(scope="module")
def ladder_models(lines, window, observation):
    """Three cases: two windows with a blend and a line just outside; a dish's uneven window; a bare narrow one."""
    toy = lines(
        230e3 + np.array([-3.0, 6.0, 16.0, 16.9, 25.0, 52.0]), e_lower=[5.0, 12.0, 40.0, 45.0, 75.0, 130.0]
    )
    first = observation(
        window(230e3 + 0.5 * np.arange(90), beam=Beam(1.0, 0.8), t_continuum=4.0),
        window(230e3 + 40.0 + 1.7 * np.arange(20), beam=Beam(0.4, 0.4)),
    )
    uneven = np.cumsum(np.random.default_rng(5).uniform(0.2, 2.0, 40))
    second = observation(window(230e3 + uneven, beam=Beam(diameter=30.0)))
    third = observation(window(230e3 + 0.2 * np.arange(120), t_cmb=0.0))
    return [(LTEModel.bind(o, [toy]), o, toy) for o in (first, second, third)]


@pytest.fixture(scope="module")
def table_1_draws():
    """Draws over the whole of Table 1, physical."""
    rng = np.random.default_rng(6)
    low, high = np.array([-3.0, 3.0, 12.0, -0.5, -12.0]), np.array([-0.00043, 1000.0, 22.0, 1.5, 12.0])
    x = rng.uniform(low, high, (3, 24, 5))
    x[..., [0, 2, 3]] = 10.0 ** x[..., [0, 2, 3]]
    return x


def test_spectra_follow_the_reference(torch_device, ladder_models, table_1_draws, converged):
    batch = spectrum_batch(bound(*(m for m, _, _ in ladder_models)), device=torch_device)
    spectra = lte_spectra(batch, table_1_draws).cpu().numpy()
    assert spectra.dtype == np.float32
    for i, (model, seen, toy) in enumerate(ladder_models):
        for k, theta in enumerate(table_1_draws[i]):
            expected = converged(seen, [toy], theta)
            error = np.abs(spectra[i, k, : model.n_channel] - expected).max()
            assert error <= TOLERANCE * peak(expected) + 1e-30, (i, k, theta)
        assert (spectra[i, :, model.n_channel :] == 0.0).all()


@pytest.mark.parametrize("fwhm", [0.3, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("channel", [0.1, 1.0, 8.0])
def test_flux_is_kept_by_lines_narrower_and_wider_than_a_channel(
    fwhm, channel, lines, window, observation, column, converged
):
    toy = lines(230e3)
    half = int(0.03 * 30.0 * 230.0 / channel) + 3
    for phase in (0.0, 0.37, 0.5):
        seen = observation(window(230e3 + channel * (np.arange(-half, half + 1) + phase)))
        batch = spectrum_batch(bound(LTEModel.bind(seen, [toy])))
        depths = 10.0 ** np.arange(-6.0, 7.0)
        theta = np.array([[[0.6, 100.0, column(toy, d, 100.0, fwhm), fwhm, 0.0] for d in depths]])
        for own, physical in zip(lte_spectra(batch, theta)[0].double().numpy(), theta[0], strict=True):
            expected = converged(seen, [toy], physical)
            assert_allclose(own, expected, atol=TOLERANCE * peak(expected))
            assert_allclose(own.sum(), expected.sum(), rtol=TOLERANCE)


def test_in_float64_finer_settings_converge(ladder_models, table_1_draws, converged):
    fine = Accuracy(opacity_floor=1e-9, refine=3.0)
    batch = spectrum_batch(bound(*(m for m, _, _ in ladder_models)), accuracy=fine)
    spectra = lte_spectra(batch, table_1_draws[:, ::3], dtype=torch.float64).numpy()
    for i, (model, seen, toy) in enumerate(ladder_models):
        for own, theta in zip(spectra[i], table_1_draws[i, ::3], strict=True):
            expected = converged(seen, [toy], theta)
            # what is left is the change of brightness and beam inside a channel: 1 MHz of 230 GHz is 4e-6
            assert_allclose(own[: model.n_channel], expected, atol=5e-6 * peak(expected) + 1e-30)


def test_channel_centres_without_the_average(ladder_models, table_1_draws):
    sampled = Accuracy(average=False)
    model = LTEModel.bind(ladder_models[0][1], [ladder_models[0][2]], accuracy=sampled)
    own = lte_spectra(spectrum_batch(bound(model), accuracy=sampled), table_1_draws[:1])[0].numpy()
    for spectrum, theta in zip(own, table_1_draws[0], strict=True):
        expected = model.spectrum(theta[None])
        assert_allclose(spectrum, expected, atol=TOLERANCE * max(peak(expected), 1e-30))


def test_neither_chunks_nor_neighbours_in_the_batch_matter(torch_device, ladder_models, table_1_draws):
    models = [m for m, _, _ in ladder_models]
    together = spectrum_batch(bound(*models), device=torch_device)
    spectra = lte_spectra(together, table_1_draws)
    for max_elements in (100, 3000):
        assert torch.allclose(
            spectra, lte_spectra(together, table_1_draws, max_elements=max_elements), rtol=1e-5, atol=1e-5
        )
    for i, model in enumerate(models):
        alone = lte_spectra(spectrum_batch(bound(model), device=torch_device), table_1_draws[i : i + 1])[0]
        assert torch.allclose(spectra[i, :, : model.n_channel], alone, rtol=1e-5, atol=1e-5)
    assert torch.equal(spectra, lte_spectra(together, table_1_draws))


def test_the_memory_is_bounded(ladder_models, table_1_draws, monkeypatch):
    """No array that is made on the way exceeds the limit, except for a single row of one."""
    largest = []
    exp = torch.exp
    monkeypatch.setattr(torch, "exp", lambda x: largest.append(x.numel()) or exp(x))
    lte_spectra(spectrum_batch(bound(ladder_models[0][0])), table_1_draws[:1], max_elements=500)
    assert max(largest) <= 500


def test_a_draw_that_is_not_finite_stays_alone(ladder_models, table_1_draws):
    batch = spectrum_batch(bound(ladder_models[0][0]))
    theta = table_1_draws[:1].copy()
    theta[0, 3, 1] = np.nan
    own, clean = lte_spectra(batch, theta), lte_spectra(batch, table_1_draws[:1])
    assert own[0, 3].isnan().all()
    assert torch.equal(own[0, :3], clean[0, :3])


def test_a_species_without_lines_does_not_emit(ladder_models, table_1_draws):
    _, seen, toy = ladder_models[0]
    empty = LTEModel.bind(seen, [toy.select(slice(0, 0))])
    assert (lte_spectra(spectrum_batch(bound(empty)), table_1_draws[:1]) == 0.0).all()
    both = spectrum_batch(bound(ladder_models[0][0], empty))
    spectra = lte_spectra(both, table_1_draws[:2])
    assert (spectra[1] == 0.0).all()
    assert (spectra[0] != 0.0).any()


def test_several_species_in_a_case_are_refused(ladder_models):
    _, seen, toy = ladder_models[0]
    with pytest.raises(InputError, match=r"^cases: case 1 has 2 species"):
        spectrum_batch(bound(ladder_models[0][0], LTEModel.bind(seen, [toy, toy])))
    with pytest.raises(InputError, match=r"^cases: at least one"):
        spectrum_batch([])


def test_parameters_of_a_wrong_shape_are_refused(ladder_models):
    batch = spectrum_batch(bound(ladder_models[0][0]))
    for shape in ((1, 5), (2, 3, 5), (1, 3, 4)):
        with pytest.raises(InputError, match=r"^theta: 1 cases"):
            lte_spectra(batch, np.ones(shape))
