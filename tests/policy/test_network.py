"""Laws that hold for any weights: a density, its draws, and what must not matter to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.interpolate import PPoly
from scipy.stats import kstest

from spectuner_ext.errors import InputError
from spectuner_ext.observation.observation import Observation
from spectuner_ext.policy.case import LOWER, UPPER, Case
from spectuner_ext.policy.compact import CompactEngine, as_tensors
from spectuner_ext.policy.coordinates import to_parameters
from spectuner_ext.policy.network import NetworkSettings, PolicyNetwork
from spectuner_ext.policy.tokens import TokenSettings, tokens_of

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CPU = torch.device("cpu")
T = 1  # column of T_ex


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"thorough": True, "half_width": 30.0, "n_patch": 10, "n_block": 1},
        {"sampling_temperature": 1.6},
    ],
    ids=["plain", "thorough and wide", "tempered"],
)
def network(request, small_network):
    options = dict(request.param)
    half_width = options.pop("half_width", 24.0)
    tokens = TokenSettings(n_line=6, n_bin=40 if half_width == 30.0 else 32, half_width=half_width)
    return small_network(tokens=tokens, **options)


@pytest.fixture(scope="module")
def precise(network):
    """In double precision, where laws hold to many digits."""
    twin = PolicyNetwork(network.settings)
    twin.load_state_dict(network.state_dict())
    return twin.double().eval()


@pytest.fixture(scope="module")
def read_tokens(network, toy_cases):
    return [tokens_of(case, network.settings.tokens) for case in toy_cases]


def batch_of(tokens, dtype=torch.float32):
    batch = as_tensors(tokens, CPU)
    return {name: value if value.dtype == torch.bool else value.to(dtype) for name, value in batch.items()}


def anywhere(n_case, n, seed=0):
    """Parameters uniform over the box but in T_ex, of which the logarithm is; and the logarithm of their density."""
    x = np.random.default_rng(seed).uniform(LOWER, UPPER, (n_case, n, 5))
    x[..., T] = 10.0 ** (3.0 * (x[..., T] - LOWER[T]) / (UPPER[T] - LOWER[T]))
    volume = np.prod(np.delete(UPPER - LOWER, T)) * 3.0 * np.log(10.0)
    return torch.from_numpy(x), torch.from_numpy(-np.log(volume * x[..., T]))


def uniform(n_case, n, seed=0, dtype=torch.float64):
    return torch.rand(n_case, n, 5, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_densities_are_far_from_flat(precise, read_tokens):
    """Without this the tests below would show little."""
    with torch.no_grad():
        terms = precise.terms(batch_of(read_tokens, torch.float64), anywhere(5, 500)[0])
    assert (terms.std(dim=1) > 0.1).all()
    assert terms.sum(dim=-1).std(dim=1).max() > 1.0


def test_temperature_flattens_every_density(small_network, toy_cases):
    """Raised to the power of the inverse temperature, at the nodes; and as it was when set back."""
    network = small_network().double()
    batch = batch_of([tokens_of(case, network.settings.tokens) for case in toy_cases], torch.float64)
    with torch.no_grad():
        n = network.decoder.velocity_logits(network.decoder.prepare(batch, *network.encoder(batch))).shape[-1]
        x = to_parameters(torch.full((len(toy_cases), n, 5), 0.5, dtype=torch.float64))
        x[..., 4] = torch.linspace(LOWER[4], UPPER[4], n, dtype=torch.float64)
        trained = network.terms(batch, x)[..., 0]
        network.temper(3.0)
        tempered = network.terms(batch, x)[..., 0]
        away = 3.0 * tempered - trained
        torch.testing.assert_close(away, away[:, :1].expand_as(away), rtol=0, atol=1e-9)
        assert (tempered.std(dim=1) > 0.01).all()
        assert network.settings.sampling_temperature == 3.0
        network.temper(1.0)
        torch.testing.assert_close(network.terms(batch, x)[..., 0], trained, rtol=0, atol=0)


def test_density_integrates_to_one(precise, read_tokens):
    """Importance sampling over the box."""
    x, log_q = anywhere(5, 4000, seed=3)
    with torch.no_grad():
        ratio = torch.exp(precise.log_prob(batch_of(read_tokens, torch.float64), x) - log_q)
    error = ratio.std(dim=1) / np.sqrt(4000)
    assert error.max() < 0.25
    assert ((ratio.mean(dim=1) - 1.0).abs() < 4.5 * error).all()


def test_draws_are_those_of_the_density(precise, read_tokens):
    """The logarithm of the density is minus that of the Jacobian of the map from uniform numbers, point by point."""
    z = uniform(5, 3)
    batch = batch_of(read_tokens, torch.float64)
    with torch.no_grad():
        x = precise.sample(batch, z)
        log_prob = precise.log_prob(batch, x)
    for i in range(5):
        one = batch_of(read_tokens[i : i + 1], torch.float64)
        read = precise.decoder.prepare(one, *precise.encoder(one))
        for j in range(3):
            jacobian = torch.autograd.functional.jacobian(
                lambda point, read=read: to_parameters(precise.decoder.sample(read, point[None, None]))[0, 0],
                z[i, j],
            )
            assert -torch.linalg.slogdet(jacobian)[1].item() == pytest.approx(log_prob[i, j].item(), abs=1e-5)


def test_moments_of_draws_are_those_of_the_density(precise, read_tokens):
    """Means and products over draws, and over points of the box weighted with the density."""
    batch = batch_of(read_tokens[:1], torch.float64)
    x, log_q = anywhere(1, 3000, seed=5)
    scale = torch.from_numpy(UPPER - LOWER)
    with torch.no_grad():
        drawn = precise.sample(batch, uniform(1, 3000, seed=6))
        weight = torch.exp(precise.log_prob(batch, x) - log_q)[0]

    def features(x):
        y = (x[0] - torch.from_numpy(LOWER)) / scale
        return torch.cat([y, (y[:, :, None] * y[:, None, :]).flatten(1)], dim=1)

    here = features(drawn)
    there = features(x) * weight[:, None]
    error = torch.sqrt((here.var(dim=0) + there.var(dim=0)) / 3000)
    assert ((here.mean(dim=0) - there.mean(dim=0)).abs() < 5.0 * error).all()


def test_velocities_follow_their_density(network, read_tokens):
    batch = batch_of(read_tokens[:1])
    with torch.no_grad():
        x = network.sample(batch, uniform(1, 4000, seed=2, dtype=torch.float32))[0].double().numpy()
        read = network.decoder.prepare(batch, *network.encoder(batch))
        logits = network.decoder.velocity_logits(read)[0].double().numpy()
    height = np.exp(logits / network.settings.sampling_temperature)
    assert height.size >= 150  # nodes every 0.15 km/s or closer
    nodes = np.linspace(-12.0, 12.0, height.size)
    density = PPoly(np.stack([np.diff(height) / np.diff(nodes), height[:-1]]), nodes)
    cumulative = density.antiderivative()
    assert kstest(x[:, 4], lambda v: cumulative(v) / cumulative(12.0)).pvalue > 1e-3


def test_padding_and_neighbours_do_not_matter(network, read_tokens):
    x, _ = anywhere(5, 40)
    z = uniform(5, 40, dtype=torch.float32)
    with torch.no_grad():
        batch = batch_of(read_tokens)
        together = network.log_prob(batch, x.float()), network.sample(batch, z)
        for i, tokens in enumerate(read_tokens):
            one = batch_of([tokens])
            alone = network.log_prob(one, x[i : i + 1].float()), network.sample(one, z[i : i + 1])
            torch.testing.assert_close(together[0][i : i + 1], alone[0], rtol=1e-4, atol=1e-3)
            torch.testing.assert_close(together[1][i : i + 1], alone[1], rtol=1e-3, atol=1e-3)


def test_order_of_lines_does_not_matter(network, read_tokens):
    x, _ = anywhere(1, 40)
    z = uniform(1, 40, dtype=torch.float32)
    for tokens in read_tokens:
        n = tokens.profile.shape[0]
        shuffled = replace(
            tokens,
            **{
                name: getattr(tokens, name)[np.random.default_rng(1).permutation(n)]
                for name in ("profile", "covered", "depth", "contrast", "scalars")
            },
        )
        with torch.no_grad():
            a, b = (network.log_prob(batch_of([t]), x.float()) for t in (tokens, shuffled))
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)
            a, b = (network.sample(batch_of([t]), z) for t in (tokens, shuffled))
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_the_spectrum_and_every_line_matter(network, read_tokens):
    x, _ = anywhere(1, 10)
    tokens = read_tokens[0]

    def log_prob(**changes):
        with torch.no_grad():
            return network.log_prob(batch_of([replace(tokens, **changes)]), x.float())

    before = log_prob()
    for name in ("profile", "covered", "depth", "contrast", "scalars"):
        for i in range(tokens.profile.shape[0]):
            value = getattr(tokens, name).copy()
            value[i] = 0.5 * value[i] + 0.1
            assert (log_prob(**{name: value}) - before).abs().max() > 1e-4, (name, i)


def test_gradients_reach_every_weight_and_are_finite(network, read_tokens):
    batch = batch_of(read_tokens)
    network.zero_grad()
    x, _ = anywhere(5, 20)
    x[:, :2] = torch.from_numpy(np.array([LOWER, UPPER]))  # corners too
    network.terms(batch, x.float()).sum().backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        # a constant before a softmax over lines changes nothing; its gradient is rounding, or zero
        before_softmax = name.endswith(("score.bias", "stack.weight.bias", "product_head.weight.bias"))
        assert before_softmax or (p.grad != 0).any(), name
    network.zero_grad()


@pytest.mark.parametrize("value", [0.0, 1.0, 1e3, 1e6, -1e6])
def test_any_spectrum_gives_a_density(network, toy_cases, value):
    window = toy_cases[0].observation.windows[0]
    seen = Observation((replace(window, intensity=np.full(window.nu.size, value)),))
    batch = batch_of([tokens_of(Case(seen, toy_cases[0].transitions), network.settings.tokens)])
    with torch.no_grad():
        drawn = network.sample(batch, uniform(1, 200, dtype=torch.float32))
        assert torch.isfinite(drawn).all()
        assert torch.isfinite(network.log_prob(batch, drawn)).all()


def test_lines_without_data_can_be_read(network, toy_cases):
    """Every channel near the line is masked."""
    window = toy_cases[0].observation.windows[0]
    far = Observation((replace(window, mask=window.nu > window.nu[-3]),))
    tokens = tokens_of(Case(far, toy_cases[0].transitions), network.settings.tokens)
    assert not tokens.covered.any()
    batch = batch_of([tokens])
    with torch.no_grad():
        drawn = network.sample(batch, uniform(1, 50, dtype=torch.float32))
        assert torch.isfinite(drawn).all()
        assert torch.isfinite(network.log_prob(batch, drawn)).all()


@pytest.fixture(scope="module")
def engine(network):
    return CompactEngine(network, CPU)


def test_draws_of_a_case_depend_on_its_seed_alone(engine, read_tokens):
    together = engine.sample(read_tokens, 20, [1, 2, 3, 4, 2])
    assert together.shape == (5, 20, 5)
    assert together.dtype == np.float64
    for i, seed in enumerate([1, 2, 3, 4, 2]):
        np.testing.assert_array_equal(engine.sample([read_tokens[i]], 20, [seed])[0], together[i])
        np.testing.assert_allclose(
            engine.sample([read_tokens[i]], 7, [seed])[0], together[i, :7], rtol=1e-3, atol=1e-3
        )
    assert not np.isclose(engine.sample(read_tokens[:1], 20, [5]), together[0]).any()


def test_more_threads_change_nothing(engine, read_tokens):
    before = torch.get_num_threads()
    found = []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            x = engine.sample(read_tokens, 50, range(5))
            found.append((x, engine.log_prob(read_tokens, x)))
            assert torch.get_num_threads() == n
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_log_prob_of_many_cases(engine, read_tokens):
    """More than fit into one batch."""
    tokens = [read_tokens[i % 5] for i in range(70)]
    x = engine.sample(tokens, 3, range(70))
    found = engine.log_prob(tokens, x)
    assert found.shape == (70, 3)
    assert found.dtype == np.float64
    for i in (0, 63, 64, 69):
        np.testing.assert_allclose(
            found[i], engine.log_prob([tokens[i]], x[i : i + 1])[0], rtol=1e-4, atol=1e-3
        )


def test_draws_are_inside_the_bounds_at_both_ends(network, read_tokens, monkeypatch):
    """Uniform numbers at zero and one: rounding must not lead outside."""

    class Ends:
        def __init__(self, seed):
            self.rng = np.random.Generator(np.random.PCG64(seed))

        def random(self, shape):
            return np.where(self.rng.random(shape) < 0.5, 0.0, 1.0 - 1e-12)

    engine = CompactEngine(network, CPU)
    monkeypatch.setattr("spectuner_ext.policy.compact.np.random.default_rng", Ends)
    x = engine.sample(read_tokens, 400, range(5))
    assert (x >= LOWER).all()
    assert (x <= UPPER).all()
    assert (x == LOWER).any(axis=(0, 1)).sum() >= 3


def test_default_size():
    settings = NetworkSettings()
    assert PolicyNetwork(settings).n_weight < 1_000_000
    network = PolicyNetwork(replace(settings, width=24, hidden=24))
    assert network.n_weight == sum(v.numel() for v in network.state_dict().values())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"n_patch": 7}, "n_patch"),
        ({"n_patch": 2}, "n_patch"),
        ({"n_patch": 0}, "n_patch"),
        ({"n_patch": -8}, "n_patch"),
        ({"tokens": TokenSettings(half_width=18.0), "n_patch": 12}, "n_patch|half_width"),
        ({"tokens": TokenSettings(half_width=12.0)}, "half_width"),
        ({"tokens": TokenSettings(half_width=0.0)}, "half_width"),
        ({"tokens": TokenSettings(n_bin=0)}, "n_bin"),
        ({"tokens": TokenSettings(n_line=0)}, "n_line"),
        ({"width": 50}, "width"),
        ({"width": 0}, "width"),
        ({"hidden": 50}, "hidden"),
        ({"n_head": 0}, "n_head"),
        ({"n_block": 0}, "n_block"),
        ({"n_node": (9, 9, 1, 9)}, "n_node"),
        ({"n_node": (9, 9, 9)}, "n_node"),
        ({"finer": (1, 1, 0, 1, 1)}, "finer"),
        ({"finer": (1, 1, 1, 1)}, "finer"),
        ({"sampling_temperature": 0.0}, "sampling_temperature"),
        ({"sampling_temperature": float("nan")}, "sampling_temperature"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(options, name):
    with pytest.raises(InputError, match=rf"^({name})"):
        NetworkSettings(**options)
