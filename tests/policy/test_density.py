"""Piecewise linear densities against scipy's piecewise polynomials, also where they are extreme."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.interpolate import CubicHermiteSpline, PPoly
from scipy.stats import kstest

from spectuner_ext.policy.density import finer, inverse, log_density

KINDS = ("mild", "steep", "two bins", "flat", "spike", "underflow")


def logits_of(kind, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    values = {
        "mild": torch.randn(17, generator=generator),
        "steep": 6.0 * torch.randn(33, generator=generator),
        "two bins": torch.tensor([0.3, -1.0, 2.0]),
        "flat": torch.full((12,), 7.0),
        "spike": torch.where(torch.arange(65) == 40, 25.0, 0.0),
        "underflow": 300.0 * torch.randn(21, generator=generator),
    }[kind]
    return values.to(dtype)


def polynomial(logits):
    """Density and distribution function as scipy's piecewise polynomials, in double precision."""
    height = np.exp(logits.double().numpy() - logits.double().numpy().max())
    nodes = np.linspace(0.0, 1.0, height.size)
    density = PPoly(np.stack([np.diff(height) / np.diff(nodes), height[:-1]]), nodes)
    total = density.integrate(0.0, 1.0)
    density.c /= total
    return density, density.antiderivative()


@pytest.mark.parametrize("kind", KINDS)
def test_density_is_that_of_scipy(kind):
    logits = logits_of(kind)
    u = np.concatenate([np.linspace(0.0, 1.0, logits.numel()), np.random.default_rng(0).random(500)])
    density, _ = polynomial(logits)
    found = log_density(logits.expand(u.size, -1), torch.from_numpy(u)).exp().numpy()
    assert_allclose(found, density(u), rtol=1e-9, atol=1e-25)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-5)])
def test_integral_is_one(kind, dtype, tolerance):
    """Gauss-Legendre of two points is exact for each linear piece."""
    logits = logits_of(kind, dtype)
    n = logits.numel() - 1
    points = (np.arange(n)[:, None] + 0.5 + np.array([-0.5, 0.5]) / np.sqrt(3.0)).ravel() / n
    u = torch.from_numpy(points).to(dtype)
    assert log_density(logits.expand(u.numel(), -1), u).exp().mean().item() == pytest.approx(
        1.0, abs=tolerance
    )


@pytest.mark.parametrize("kind", KINDS)
def test_inverse_of_the_distribution_function(kind):
    logits = logits_of(kind)
    density, cumulative = polynomial(logits)
    u = np.random.default_rng(1).random(400)
    u = u[density(u) > 1e-6]
    z = torch.from_numpy(cumulative(u))
    found = inverse(logits.expand(u.size, -1), z).numpy()
    # a step in u changes z by the density, of which double precision keeps 1e-16
    assert_allclose(found, u, atol=1e-8)
    z = np.random.default_rng(2).random(400)
    assert_allclose(cumulative(inverse(logits.expand(400, -1), torch.from_numpy(z)).numpy()), z, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_follow_the_density(kind, dtype):
    logits = logits_of(kind, dtype)
    z = torch.from_numpy(np.random.default_rng(5).random(3000)).to(dtype)
    u = inverse(logits.expand(3000, -1), z).double().numpy()
    assert kstest(u, polynomial(logits)[1]).pvalue > 1e-3
    assert ((u >= 0.0) & (u <= 1.0)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_draw_where_the_density_is_nothing(dtype):
    """Rounding of the running sums must not send a number close to one to the empty end."""
    generator = torch.Generator().manual_seed(8)
    logits = torch.randn(200, 194, generator=generator, dtype=dtype)
    logits[:, :20] -= 200.0
    logits[:, -20:] -= 200.0
    eps = torch.finfo(dtype).eps
    ends = torch.tensor([eps, 0.5, 1.0 - 8.0 * eps, 1.0 - 0.5 * eps, 1.0], dtype=dtype)
    for z in ends:
        u = inverse(logits, z.expand(200))
        assert (log_density(logits, u) > -40.0).all(), z


def test_draws_rise_with_the_random_number():
    logits = logits_of("steep", torch.float32)
    z = torch.linspace(0.0, 1.0, 5001)
    u = inverse(logits.expand(5001, -1), z)
    assert (u.diff() >= -1e-6).all()
    assert u[-1] - u[0] > 0.9


@pytest.mark.parametrize("size", [1.0, 1e2, 1e4, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_stay_finite(size, dtype):
    generator = torch.Generator().manual_seed(1)
    logits = size * torch.randn(50, 33, generator=generator, dtype=dtype)
    logits.requires_grad_(True)
    u = torch.cat([torch.tensor([0.0, 1.0]), torch.rand(48, generator=generator)]).to(dtype)
    u.requires_grad_(True)
    value = log_density(logits, u)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(logits.grad).all()
    assert torch.isfinite(u.grad).all()
    with torch.no_grad():
        drawn = inverse(logits, u)
    assert torch.isfinite(drawn).all()
    assert ((drawn >= 0.0) & (drawn <= 1.0)).all()


def test_gradient():
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(6, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    u = torch.tensor([0.03, 0.21, 0.4, 0.55, 0.8, 0.97], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(log_density, (logits, u))


def test_slope_of_the_inverse_is_one_over_the_density():
    logits = logits_of("mild")
    z = torch.linspace(0.01, 0.99, 57, dtype=torch.float64, requires_grad=True)
    u = inverse(logits.expand(57, -1), z)
    (slope,) = torch.autograd.grad(u.sum(), z)
    assert_allclose(
        -torch.log(slope).numpy(), log_density(logits.expand(57, -1), u).detach().numpy(), rtol=1e-8
    )


@pytest.mark.parametrize("shift", [-50.0, 30.0])
def test_a_constant_on_the_logits_changes_nothing(shift):
    logits = logits_of("steep")
    u = torch.linspace(0.0, 1.0, 40, dtype=torch.float64)
    many = logits.expand(40, -1)
    torch.testing.assert_close(log_density(many + shift, u), log_density(many, u))
    torch.testing.assert_close(inverse(many + shift, u), inverse(many, u))


def test_batches():
    generator = torch.Generator().manual_seed(6)
    logits, u = torch.randn(3, 4, 9, generator=generator), torch.rand(3, 4, generator=generator)
    for i in range(3):
        for j in range(4):
            torch.testing.assert_close(log_density(logits, u)[i, j], log_density(logits[i, j], u[i, j]))
            torch.testing.assert_close(inverse(logits, u)[i, j], inverse(logits[i, j], u[i, j]))


def test_beyond_the_interval_is_its_end():
    logits = logits_of("mild")
    ends = log_density(logits.expand(2, -1), torch.tensor([0.0, 1.0], dtype=torch.float64))
    beyond = log_density(logits.expand(2, -1), torch.tensor([-0.1, 1.1], dtype=torch.float64))
    torch.testing.assert_close(beyond, ends)


@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(9,), (3, 2), (2, 4, 17)])
def test_finer_logits_lie_on_scipys_cubic(n, shape):
    """With slopes from the neighbours on both sides, and the outermost pieces' own at the ends."""
    logits = torch.randn(*shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    y = logits.numpy()
    nodes = np.arange(shape[-1], dtype=float)
    padded = np.concatenate([2 * y[..., :1] - y[..., 1:2], y, 2 * y[..., -1:] - y[..., -2:-1]], axis=-1)
    slope = 0.5 * (padded[..., 2:] - padded[..., :-2])
    at = np.linspace(0.0, nodes[-1], (shape[-1] - 1) * n + 1)
    assert_allclose(finer(logits, n).numpy(), CubicHermiteSpline(nodes, y, slope, axis=-1)(at), atol=1e-12)


def test_a_gaussian_far_narrower_than_the_logits_are_apart():
    """Log density -(x - 7.3)^2 / (2 0.05^2), x in spaces between logits: mean and spread of its draws."""
    x = torch.arange(17, dtype=torch.float64)
    logits = finer(-0.5 * ((x - 7.3) / 0.05) ** 2, 64)
    z = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    draws = 16.0 * inverse(logits.expand(z.numel(), -1), z).numpy()
    assert draws.mean() == pytest.approx(7.3, abs=1e-3)
    assert draws.std() == pytest.approx(0.05, rel=0.02)
