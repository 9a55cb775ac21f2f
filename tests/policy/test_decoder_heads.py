"""How sure a density is: what the learned factors do, by the formula."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import log_softmax, logsumexp

from spectuner_ext.policy.decoder_heads import CoreAndTails, Sharpness

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture
def logits():
    return torch.randn(4, 3, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def context():
    return torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def randomised(module, seed=3):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.7 * torch.randn(p.shape, generator=generator))
    return module.double()


def known(logits, context):
    told = log_softmax(logits.numpy(), axis=-1)
    entropy = -(np.exp(told) * told).sum(axis=-1, keepdims=True)
    return np.concatenate([context.numpy(), entropy, np.exp(-entropy)], axis=-1)


def linear(layer, x):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def bent(x):
    return np.exp(3.0 * np.tanh(x / 3.0))


def test_sharpness_begins_as_nothing(logits, context):
    assert torch.equal(Sharpness(5).double()(logits, context), logits)


def test_sharpness_is_a_factor(logits, context):
    module = randomised(Sharpness(5))
    factor = bent(linear(module.factor, known(logits, context)))
    assert factor.std() > 0.1
    assert_allclose(module(logits, context).detach().numpy(), factor * logits.numpy(), rtol=1e-12)


def test_sharpness_stays_in_bounds(logits, context):
    module = Sharpness(5).double()
    for bias, factor in ((1e6, np.exp(3.0)), (-1e6, np.exp(-3.0))):
        torch.nn.init.constant_(module.factor.bias, bias)
        assert_allclose(module(logits, context).detach().numpy(), factor * logits.numpy(), rtol=1e-12)


def test_core_and_tails_are_a_mixture(logits, context):
    module = randomised(CoreAndTails(5))
    core, tails, share = np.moveaxis(linear(module.shape, known(logits, context)), -1, 0)[..., None]
    weight = 1.0 / (1.0 + np.exp(-share))
    parts = [log_softmax(bent(f) * logits.numpy(), axis=-1) for f in (core, tails)]
    expected = np.log(weight * np.exp(parts[0]) + (1.0 - weight) * np.exp(parts[1]))
    found = module(logits, context).detach().numpy()
    assert_allclose(found, expected, rtol=1e-12)
    assert_allclose(logsumexp(found, axis=-1), 0.0, atol=1e-12)


def test_a_mixture_has_wider_tails_than_its_core():
    """A Gaussian log density: at the beginning far places gain, and the middle is as high or higher."""
    x = torch.linspace(-6.0, 6.0, 121, dtype=torch.float64)
    told = torch.log_softmax(-0.5 * x**2, dim=0)
    mixed = CoreAndTails(1).double()(told[None], torch.zeros(1, 1, dtype=torch.float64))[0].detach()
    assert mixed[0] > told[0] + 1.0
    assert mixed[-1] > told[-1] + 1.0
