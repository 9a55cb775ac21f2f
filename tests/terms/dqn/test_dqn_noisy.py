import numpy as np
import torch
from numpy.testing import assert_allclose

from spectuner_ext.terms.dqn.noisy import NoisyLinear

SIGMA = 0.5


def layer(n_in=400, n_out=300, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NoisyLinear(n_in, n_out, SIGMA)


def test_starts_as_the_authors_start_it():
    made = layer()
    bound = 400**-0.5
    for part in (made.weight, made.bias):
        assert part.abs().max() <= bound
        # Variance of a uniform distribution; the relative error of the estimate from n draws is about sqrt(0.8 / n).
        assert_allclose(part.var().item(), bound**2 / 3, rtol=5 * np.sqrt(0.8 / part.numel()))
    assert_allclose(made.weight_noise.detach().numpy(), SIGMA * bound, rtol=1e-6)
    assert_allclose(made.bias_noise.detach().numpy(), SIGMA * bound, rtol=1e-6)


def test_no_noise_before_it_is_drawn():
    made, x = layer(), torch.ones(2, 400)
    assert torch.equal(made(x), x @ made.weight.T + made.bias)


def test_noise_has_the_mean_and_variance_of_products_of_normal_numbers():
    made = layer(6, 5)
    generator = torch.Generator().manual_seed(1)
    one, zero = torch.eye(6), torch.zeros(1, 6)
    n, weights, biases = 4000, [], []
    with torch.no_grad():
        for _ in range(n):
            made.redraw(generator)
            bias = made(zero)[0]
            weights.append((made(one) - bias).T)
            biases.append(bias)
    weight, bias = torch.stack(weights).numpy(), torch.stack(biases).numpy()
    sigma = SIGMA * 6**-0.5
    # Products of two normal numbers have mean 0, variance 1 and fourth moment 9: five standard errors of each.
    assert_allclose(weight.mean(0), made.weight.detach().numpy(), atol=5 * sigma / np.sqrt(n))
    assert_allclose(weight.var(0), sigma**2, rtol=5 * np.sqrt(8 / n))
    assert_allclose(bias.mean(0), made.bias.detach().numpy(), atol=5 * sigma / np.sqrt(n))
    assert_allclose(bias.var(0), sigma**2, rtol=5 * np.sqrt(2 / n))


def test_noise_of_the_weights_is_an_outer_product():
    made = layer(6, 5)
    made.redraw(torch.Generator().manual_seed(1))
    with torch.no_grad():
        noise = (made(torch.eye(6)) - made(torch.zeros(1, 6))).T - made.weight
    assert_allclose(np.linalg.svd(noise.numpy())[1][1:], 0.0, atol=1e-6)


def test_noise_lasts_until_drawn_again_and_is_silent_when_asked():
    made, x = layer(), torch.ones(1, 400)
    made.redraw(torch.Generator().manual_seed(1))
    first = made(x)
    assert torch.equal(made(x), first)
    made.is_quiet = True
    assert torch.equal(made(x), x @ made.weight.T + made.bias)
    made.is_quiet = False
    made.redraw(torch.Generator().manual_seed(2))
    assert not torch.equal(made(x), first)
    made.redraw(torch.Generator().manual_seed(1))
    assert torch.equal(made(x), first)


def test_noise_is_kept_with_the_weights():
    made, other, x = layer(), layer(seed=5), torch.ones(1, 400)
    made.redraw(torch.Generator().manual_seed(1))
    other.load_state_dict(made.state_dict())
    assert torch.equal(made(x), other(x))


def test_noise_is_learnt():
    made = layer(6, 1)
    made.redraw(torch.Generator().manual_seed(1))
    x = torch.randn(1, 6, generator=torch.Generator().manual_seed(3))
    made(x).sum().backward()
    assert_allclose(
        made.weight_noise.grad[0].numpy(), (made.noise_out * made.noise_in * x[0]).numpy(), rtol=1e-6
    )
    assert_allclose(made.bias_noise.grad.numpy(), made.noise_out.numpy())
