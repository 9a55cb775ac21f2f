"""The way between parameters and the unit cube: there and back, inside the bounds, and its volume."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from spectuner_ext.lte.parameters import BOUNDS, PARAMETERS
from spectuner_ext.policy.case import LOWER, UPPER
from spectuner_ext.policy.coordinates import PRODUCT, log_jacobian, to_parameters, to_unit


def anywhere(n=4000, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).uniform(LOWER, UPPER, (n, 5)))


def corners():
    return torch.tensor(list(itertools.product(*zip(LOWER, UPPER, strict=True))), dtype=torch.float64)


def test_bounds_are_those_of_the_paper():
    for i, name in enumerate(PARAMETERS):
        expected = np.array(BOUNDS[name])
        if name in ("filling_factor", "N_tot", "fwhm"):
            expected = np.log10(expected)
        assert_allclose([LOWER[i], UPPER[i]], expected, rtol=1e-12)


def test_there_and_back_over_the_whole_box():
    x = anywhere()
    u = to_unit(x)
    assert ((u >= 0.0) & (u <= 1.0)).all()
    torch.testing.assert_close(to_parameters(u), x, rtol=1e-10, atol=1e-10)
    assert (u.amin(dim=0) < 0.05).all()
    assert (u.amax(dim=0) > 0.95).all()


def test_corners():
    x = corners()
    torch.testing.assert_close(to_parameters(to_unit(x)), x, rtol=1e-6, atol=2e-6)


def test_from_the_cube_and_back():
    u = torch.rand(4000, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(to_unit(to_parameters(u)), u, rtol=1e-8, atol=1e-8)


def test_single_precision():
    x = anywhere()
    back = to_parameters(to_unit(x.float())).double()
    scale = torch.from_numpy(UPPER - LOWER)
    assert ((back - x).abs() / scale).max() < 5e-6


def test_coordinates_are_what_they_are_called():
    x = torch.tensor([[-1.0, 100.0, 15.0, 0.5, -6.0]], dtype=torch.float64)
    v, fwhm, t, product, share = to_unit(x)[0].tolist()
    assert (v, fwhm, t) == pytest.approx((0.25, 0.5, 2.0 / 3.0))
    assert product == pytest.approx((14.0 - PRODUCT[0]) / (PRODUCT[1] - PRODUCT[0]))
    # with log eta N_tot = 14 filling factors from 1e-3 to the largest leave N_tot inside its bounds
    assert share == pytest.approx(2.0 / (3.0 + UPPER[0]))
    # with 20.5 they must be above 10^-1.5
    x = torch.tensor([[-0.5, 100.0, 21.0, 0.5, -6.0]], dtype=torch.float64)
    assert to_unit(x)[0, 4].item() == pytest.approx(1.0 / (1.5 + UPPER[0]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_are_inside_their_bounds(dtype):
    generator = torch.Generator().manual_seed(5)
    inside = torch.rand(20_000, 5, generator=generator, dtype=dtype)
    faces = torch.where(torch.rand(20_000, 5, generator=generator) < 0.5, inside.round(), inside)
    x = to_parameters(torch.cat([inside, faces])).double().numpy()
    slack = (UPPER - LOWER) * (1e-6 if dtype == torch.float32 else 1e-15)
    assert (x >= LOWER - slack).all()
    assert (x <= UPPER + slack).all()


def test_jacobian_is_that_of_automatic_differentiation():
    x = anywhere(60, seed=3)
    for row in x:
        jacobian = torch.autograd.functional.jacobian(to_unit, row)
        assert torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(log_jacobian(row).item(), abs=1e-9)


def test_jacobian_is_that_of_finite_differences():
    x = anywhere(30, seed=4)
    scale = torch.from_numpy(UPPER - LOWER)
    for row in x:
        step = torch.diag(1e-5 * scale)
        columns = (to_unit(row + step) - to_unit(row - step)) / (2e-5 * scale)[:, None]
        assert torch.linalg.slogdet(columns)[1].item() == pytest.approx(log_jacobian(row).item(), abs=1e-4)


def test_the_box_has_the_volume_of_the_cube():
    """The map is onto, so its Jacobian integrates to one over the box."""
    grid = [
        torch.from_numpy(a + (b - a) * (np.arange(n) + 0.5) / n)
        for a, b, n in zip(LOWER, UPPER, (150, 4000, 500, 1, 1), strict=True)
    ]

    # integrand factorises: T_ex alone, and eta with N_tot
    def mean(eta, t, n):
        rows = torch.stack(torch.broadcast_tensors(eta, t, n, grid[3], grid[4]), dim=-1)
        return torch.exp(log_jacobian(rows)).mean()

    middle = grid[1][2000:2001]
    over_t = mean(grid[0][:1], grid[1], grid[2][:1]) / mean(grid[0][:1], middle, grid[2][:1])
    over_rest = mean(grid[0][:, None], middle, grid[2])
    volume = float(np.prod(UPPER - LOWER))
    assert float(over_t * over_rest) * volume == pytest.approx(1.0, abs=2e-3)
