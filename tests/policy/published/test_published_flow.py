"""Laws of the flow, and the decoder against one written with torch's own layers."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn import functional

from spectuner_ext.policy.published.network import PublishedNetwork
from spectuner_ext.policy.published.settings import read_settings
from spectuner_ext.policy.published.spline import Density


@pytest.fixture(scope="module")
def flow(published_content):
    content = published_content(seed=3)
    network = PublishedNetwork(read_settings(content["config"]))
    network.load_state_dict(content["model_state"])
    return network.requires_grad_(False).sampler.double()


@pytest.fixture(scope="module")
def condition():
    return torch.as_tensor(np.random.default_rng(4).normal(0.4, 0.6, (3, 16)))


def cube(n, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).random((3, n, 5)))


def test_density_is_the_jacobian_of_the_map(flow, condition):
    """The map is onto the box, so that this makes the integral of the density 1."""
    z = cube(4)
    for b in range(3):
        for point in z[b]:
            jacobian = torch.autograd.functional.jacobian(
                lambda u, b=b: flow.inverse(u[None, None], condition[b : b + 1])[0, 0], point
            )
            x = flow.inverse(point[None, None], condition[b : b + 1])
            log_prob = flow.log_prob(x, condition[b : b + 1])[0, 0] - flow.log_volume
            torch.testing.assert_close(log_prob, -torch.linalg.slogdet(jacobian)[1], rtol=1e-6, atol=1e-6)


def test_density_integrates_to_one(flow, condition):
    u = torch.quasirandom.SobolEngine(5, scramble=True, seed=1).draw(1 << 13).double()
    x = u * flow.scaler_rand.scale + flow.scaler_rand.x_min
    density = flow.log_prob(x.expand(3, -1, 5), condition).exp()
    assert density.std() > 1.0  # it is far from flat
    torch.testing.assert_close(density.mean(dim=1), torch.ones(3, dtype=torch.float64), rtol=0.05, atol=0.0)


def test_the_ends_of_the_cube_are_the_bounds(flow, condition, recipe):
    bounds = torch.tensor(recipe.BOUNDS, dtype=torch.float64)
    for value, expected in ((0.0, bounds[:, 0]), (1.0, bounds[:, 1])):
        found = flow.inverse(torch.full((3, 1, 5), value, dtype=torch.float64), condition)
        torch.testing.assert_close(found, expected.expand(3, 1, 5), rtol=1e-6, atol=1e-6)


def test_forward_undoes_inverse(flow, condition):
    z = cube(200)
    x = (flow.inverse(z, condition) - flow.scaler_rand.x_min) / flow.scaler_rand.scale
    for layer in flow.transform:
        x, _ = layer(x, condition)
    torch.testing.assert_close(x, z, rtol=0.0, atol=1e-9)


def test_samples_follow_the_density(flow, condition):
    """Mean of 1/p over samples is the volume where p > 0: the whole cube."""
    x = flow.sample(3000, condition, torch.Generator().manual_seed(2))
    assert x.shape == (3, 3000, 5)
    inverse = (-flow.log_prob(x, condition)).exp()
    error = inverse.std(dim=1) / np.sqrt(x.shape[1])
    assert ((inverse.mean(dim=1) - 1.0).abs() < 5.0 * error).all()
    again = flow.sample(3000, condition, torch.Generator().manual_seed(2))
    assert torch.equal(x, again)


def dense_raw(conditioner, x, condition):
    """Raw densities of all dimensions at once by torch's attention and the stored mask; nothing is kept."""
    net, d = conditioner.transformer, condition.shape[-1]
    tokens = torch.cat([conditioner.marker.expand(len(x), 1, d), conditioner.lin_1(x[:, :-1, None])], dim=1)
    tokens = tokens + condition.clamp(1e-10, 1.0 - 1e-10).expand(len(x), d)[:, None]
    attention = torch.nn.MultiheadAttention(d, conditioner.n_head, batch_first=True, dtype=torch.float64)
    attention.load_state_dict(net.atten.state_dict())
    mixed, _ = attention(tokens, tokens, tokens, attn_mask=conditioner.attn_mask)
    y = functional.rms_norm(tokens + mixed, (d,), net.rms_norm_1.weight)
    a, b = net.ff_net[0].fc(y).chunk(2, dim=-1)
    y = functional.rms_norm(y + net.ff_net[1](functional.silu(a) * b), (d,), net.rms_norm_2.weight)
    return conditioner.lin_2(y)


def test_kept_keys_and_values_change_nothing(flow, condition):
    """Each dimension inverted with the whole net run anew on all tokens, as without a cache."""
    z = cube(30, seed=7)
    for coupling in (flow.transform[1].coupler, flow.transform[3].coupler):
        fast = coupling.inverse(z, condition)
        for b in range(3):
            x = torch.zeros_like(z[b])
            for i in range(5):
                raw = dense_raw(coupling.coupler, x, condition[b])[:, i]
                x[:, i] = Density.of(raw, coupling.beta, coupling.width_min).quantile(z[b, :, i])
            torch.testing.assert_close(fast[b], x, rtol=1e-9, atol=1e-9)


def test_only_the_clamped_condition_counts(flow, condition):
    x = flow.inverse(cube(5), condition)
    beyond = torch.where(condition > 1, condition + 3.0, condition)
    assert not torch.equal(beyond, condition)
    torch.testing.assert_close(flow.log_prob(x, beyond), flow.log_prob(x, condition))
    assert not torch.allclose(flow.log_prob(x, condition * 0.9), flow.log_prob(x, condition))


def test_single_precision_is_good_enough(flow, condition):
    x, z = flow.inverse(cube(100), condition), cube(100, seed=1)
    single = deepcopy(flow).float()
    torch.testing.assert_close(
        single.log_prob(x, condition.float()), flow.log_prob(x, condition), rtol=1e-4, atol=1e-4
    )
    error = (single.inverse(z, condition.float()) - flow.inverse(z, condition)) / flow.scaler_rand.scale
    assert error.abs().max() < 1e-5


@pytest.fixture(params=[0.0, 1e-3], ids=["any width", "least width"])
def spline(request):
    """Five densities, of each spread."""

    def make(spread):
        raw = torch.as_tensor(spread * np.random.default_rng(8).standard_normal((5, 1, 65)))
        density = Density.of(raw, 1.0, request.param)
        assert (density.width >= 0.5 * request.param).all()
        return density

    return make


@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_spline_integrates_to_one(spline, spread):
    density = spline(spread)
    ends = density.x[:, 0]
    middle = 0.5 * (ends[:, 1:] + ends[:, :-1])  # the density is linear within a bin
    total = (density.cumulative(middle)[1].exp() * ends.diff(dim=1)).sum(dim=1)
    torch.testing.assert_close(total, torch.ones(5).double(), rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_spline_and_its_inverse(spline, spread):
    density = spline(spread)
    y = torch.linspace(0.0, 1.0, 401, dtype=torch.float64).expand(5, -1)
    torch.testing.assert_close(density.cumulative(density.quantile(y))[0], y, rtol=0.0, atol=1e-6)


def test_spline_whose_bins_vanish(spline):
    density = spline(200.0)
    grid = torch.linspace(0.0, 1.0, 401, dtype=torch.float64).expand(5, -1)
    for found in (density.quantile(grid), density.cumulative(grid)[0]):
        assert torch.isfinite(found).all()
        assert (found.diff(dim=1) >= -1e-12).all()
        assert ((found >= 0.0) & (found <= 1.0 + 1e-9)).all()
