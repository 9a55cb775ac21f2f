"""The pieces of the reinforcement stage: gradients with known expectation, the buffer, and where cases come from."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.fitting import Problem
from spectuner_ext.learning.best import BestKeeper
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.lte.parameters import ParameterSpace
from spectuner_ext.observation.observation import Beam, Observation
from spectuner_ext.policy.case import LOWER, UPPER, Case, inside_windows
from spectuner_ext.policy.compact import as_tensors
from spectuner_ext.policy.coordinates import to_parameters
from spectuner_ext.policy.density import inverse, log_density
from spectuner_ext.policy.reward import pm_losses, prepare
from spectuner_ext.policy.scenes.library import SpeciesLibrary
from spectuner_ext.policy.scenes.settings import SceneSettings
from spectuner_ext.policy.tokens import TokenSettings, tokens_of
from spectuner_ext.policy.train import examples, reinforce
from spectuner_ext.policy.train.examples import ExampleSource
from spectuner_ext.policy.train.experience import CaseSource, Experience, ReplayBuffer, experiences
from spectuner_ext.policy.train.reinforce import _Learner, _Sums
from spectuner_ext.policy.train.settings import ReinforceSettings

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TOKENS = TokenSettings(n_line=6, n_bin=32)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def read_cases(toy_cases):
    """Cases ready for rewards."""
    return list(experiences(toy_cases, ExampleSource(SceneSettings(), TOKENS, 0, 1)))


# ------------------------------------------------------------------------- gradient against quadrature


class ToyPolicy:
    """A density of the velocity alone, without regard to what is observed; the rest is uniform."""

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.logits = torch.randn(6, generator=generator).requires_grad_(True)
        self.decoder = self

    def encoder(self, batch):
        return (batch["profile"].shape[0],)

    def prepare(self, batch, n):
        return n

    def log_prob(self, n, u):
        first = log_density(self.logits.expand(*u.shape[:2], -1), u[..., 0])
        return torch.cat([first[..., None], torch.zeros_like(u[..., 1:])], dim=-1)

    def sample(self, n, z):
        return torch.cat(
            [inverse(self.logits.expand(*z.shape[:2], -1), z[..., 0])[..., None], z[..., 1:]], dim=-1
        )


def benefit(u):
    return 2.0 * np.sin(5.0 * u) + 0.3


@dataclass
class Estimates:
    mean: np.ndarray
    error: np.ndarray


@pytest.mark.parametrize("entropy", [0.0, 0.4])
@pytest.mark.parametrize("n_draw", [2, 8])
def test_expected_gradient_is_that_of_reward_and_entropy(read_cases, monkeypatch, entropy, n_draw):
    """Quadrature gives the gradient of E[R] + c H; the mean of the same draws takes 1/n of it away."""
    toy = ToyPolicy()
    settings = ReinforceSettings(n_draw=n_draw, entropy=entropy)
    monkeypatch.setattr(
        reinforce,
        "pm_losses",
        lambda prepared, x, workers: (benefit((x[..., 4] + 12.0) / 24.0), np.ones(x.shape[:2])),
    )
    monkeypatch.setattr(reinforce, "reward", lambda l_pm, l_peak: l_pm)
    learner = _Learner(toy, settings, CPU, np.random.default_rng(3), 1)
    gradients = []
    for _ in range(400):
        loss = learner.reward_loss(read_cases[:2] * 20, _Sums())
        gradients.append(torch.autograd.grad(loss, toy.logits)[0].numpy())
    found = Estimates(np.mean(gradients, axis=0), np.std(gradients, axis=0) / np.sqrt(400))

    u = (torch.arange(20_000) + 0.5) / 20_000
    log_p = log_density(toy.logits.expand(20_000, -1), u)
    p = log_p.exp()
    objective = (p * torch.from_numpy(benefit(u.numpy()))).mean() - entropy * (p * log_p).mean()
    expected = -(1.0 - 1.0 / n_draw) * torch.autograd.grad(objective, toy.logits)[0].numpy()
    assert np.abs(expected).max() > 20 * found.error.max()
    assert (np.abs(found.mean - expected) < 4.5 * found.error).all()


def test_recorded_numbers(read_cases, monkeypatch):
    toy = ToyPolicy()
    kept = {}

    def losses(prepared, x, workers):
        kept["u"] = (x[..., 4] + 12.0) / 24.0
        kept["l_peak"] = np.where(kept["u"] < 0.3, 0.0, 1.0)
        return benefit(kept["u"]), kept["l_peak"]

    monkeypatch.setattr(reinforce, "pm_losses", losses)
    sums = _Sums()
    learner = _Learner(toy, ReinforceSettings(n_draw=50), CPU, np.random.default_rng(3), 1)
    learner.reward_loss(read_cases[:2], sums)
    log_p = log_density(toy.logits.detach().expand(2, 50, -1), torch.from_numpy(kept["u"]).float()).numpy()
    loss = benefit(kept["u"])
    better = loss < np.median(loss, axis=1, keepdims=True)
    gain = np.where(better, 1.0, np.where(kept["l_peak"] == 0.0, -0.5, 0.0))  # equation 15
    assert sums.reward_loss == pytest.approx(-(gain * log_p).mean(), rel=1e-4)
    assert sums.entropy == pytest.approx(log_p.mean(), rel=1e-4)
    assert sums.empty == pytest.approx((kept["u"] < 0.3).mean())
    best = loss.min(axis=1)
    empty = [e.prepared.empty_loss for e in read_cases[:2]]
    assert sums.gap == pytest.approx(np.mean((np.median(loss, axis=1) - best) / (np.abs(best) + empty)))


def test_rewarded_draws_become_more_likely(read_cases, small_network, monkeypatch):
    """With our own network: velocities above zero are rewarded, and come."""
    network = small_network(seed=3, gain=0.3).train()
    monkeypatch.setattr(
        reinforce, "pm_losses", lambda prepared, x, workers: (-x[..., 4], np.ones(x.shape[:2]))
    )
    settings = ReinforceSettings(n_draw=64, entropy=0.0)
    learner = _Learner(network, settings, CPU, np.random.default_rng(3), 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    z = torch.rand(1, 500, 5, generator=torch.Generator().manual_seed(1))
    batch = as_tensors([read_cases[0].tokens], CPU)
    before = network.sample(batch, z)[..., 4].mean()
    for _ in range(15):
        optimizer.zero_grad()
        learner.reward_loss(read_cases, _Sums()).backward()
        optimizer.step()
    assert network.sample(batch, z)[..., 4].mean() > before + 1.0


def test_entropy_spreads_the_draws(read_cases, small_network, monkeypatch):
    network = small_network(seed=3).train()
    monkeypatch.setattr(reinforce, "pm_losses", lambda prepared, x, workers: (np.zeros(x.shape[:2]),) * 2)
    learner = _Learner(network, ReinforceSettings(n_draw=64, entropy=1.0), CPU, np.random.default_rng(3), 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    densities = []
    for _ in range(15):
        optimizer.zero_grad()
        sums = _Sums()
        learner.reward_loss(read_cases, sums).backward()
        optimizer.step()
        densities.append(sums.entropy)
    assert densities[-1] < densities[0] - 0.2


def test_draws_are_rewarded_at_the_parameters_that_were_drawn(read_cases, small_network, monkeypatch):
    network = small_network(seed=3)
    seen = {}

    def losses(prepared, x, workers):
        seen["x"], seen["n"] = x, len(prepared)
        return pm_losses(prepared, x, workers=workers)

    monkeypatch.setattr(reinforce, "pm_losses", losses)
    _Learner(network, ReinforceSettings(n_draw=10), CPU, np.random.default_rng(8), 1).reward_loss(
        read_cases, _Sums()
    )
    z = np.random.default_rng(8).random((5, 10, 5), dtype=np.float32)
    batch = as_tensors([e.tokens for e in read_cases], CPU)
    read = network.decoder.prepare(batch, *network.encoder(batch))
    with torch.no_grad():
        expected = to_parameters(network.decoder.sample(read, torch.from_numpy(z)).double()).numpy()
    assert_allclose(seen["x"], expected, rtol=1e-5, atol=1e-5)
    assert seen["n"] == 5
    assert ((seen["x"] >= LOWER - 1e-12) & (seen["x"] <= UPPER + 1e-12)).all()


# ------------------------------------------------------------------------- buffer


@pytest.fixture(scope="module")
def bright(database, window_at):
    """A case with a known truth, and what is proposed for it."""
    truth = np.array([np.log10(0.5), 120.0, 17.5, np.log10(4.0), 1.0])
    empty = Observation((window_at(241_650.0 + 0.488 * np.arange(500), beam=Beam(1.0, 1.0)),))
    lines = database.select("CH3OH;v=0;", [(241_500.0, 242_000.0)])
    model = LTEModel.bind(empty, [lines])
    theta = truth.copy()
    theta[[0, 2, 3]] = 10.0 ** theta[[0, 2, 3]]
    window = empty.windows[0]
    seen = Observation((replace(window, intensity=window.intensity + model.spectrum(theta[None])),))
    return Case(seen, lines), truth


def test_the_buffer_keeps_the_best_and_nothing_worse_than_no_model(bright):
    case, truth = bright
    entry = Experience(tokens_of(case, TOKENS), prepare(case))
    away = truth.copy()
    away[4] = -12.0
    wrong = np.array([UPPER[0], 900.0, 20.0, 1.4, -11.0])
    near = truth + np.arange(1, 6)[:, None] * [0.0, 5.0, 0.02, 0.0, 0.05]
    offered = np.concatenate([[away, wrong, truth], near])
    problem = Problem.build(
        case.observation,
        LTEModel.bind(case.observation, [case.transitions]),
        ParameterSpace.build(["x"]),
        loss="pm",
    )
    loss = np.array([problem.loss(x) for x in offered])
    empty = float(np.mean(np.abs(case.observation.windows[0].intensity)))
    assert entry.prepared.empty_loss == pytest.approx(empty, rel=1e-9)
    assert loss[:2].min() > empty > loss[2]

    buffer = ReplayBuffer([entry, entry], BestKeeper(2, 4, 5))
    buffer.offer(np.array([1]), offered[None], 1)
    assert buffer.best.count.tolist() == [0, 4]
    order = np.argsort(loss)[:4]
    assert_allclose(buffer.best.losses[1], loss[order], rtol=1e-9)
    assert_array_equal(buffer.best.vectors[1], offered[order])
    buffer.offer(np.array([0]), offered[None, :2], 1)
    assert buffer.best.count.tolist() == [0, 4]  # neither of the two is an example


def test_loss_of_the_buffer(read_cases, small_network, monkeypatch):
    """Minus the mean log density over all that is kept, entries with few rows counting less."""
    network = small_network(seed=3)
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer(read_cases, BestKeeper(5, 3, 5))
    chosen = np.array([3, 0, 1])
    learner = _Learner(network, ReinforceSettings(n_draw=8), CPU, np.random.default_rng(3), 1)
    sums = _Sums()
    assert learner.replay_loss(buffer, chosen, sums) == 0.0  # nothing is kept yet
    vectors = rng.uniform(LOWER, UPPER, (5, 3, 5))
    losses = np.array([[1.0, 2.0, 3.0], [1.0, np.inf, np.inf], [1.0] * 3, [np.inf] * 3, [1.0] * 3])
    buffer.best.offer(np.arange(5), losses, vectors)
    found = learner.replay_loss(buffer, chosen, sums)
    rows = [(0, 0), (0, 1), (0, 2), (1, 0)]
    with torch.no_grad():
        expected = [
            network.terms(
                as_tensors([read_cases[i].tokens], CPU), torch.from_numpy(vectors[None, None, i, j]).float()
            ).sum()
            for i, j in rows
        ]
    assert found.item() == pytest.approx(-np.mean(expected), rel=1e-4)
    assert sums.replay_loss == pytest.approx(found.item())
    network.zero_grad()
    found.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert any((p.grad != 0).any() for p in network.parameters() if p.grad is not None)
    network.zero_grad()


def test_exploring_fills_the_entries_that_were_chosen(read_cases, small_network):
    buffer = ReplayBuffer(read_cases, BestKeeper(5, 4, 5))
    learner = _Learner(small_network(seed=3), ReinforceSettings(n_draw=400), CPU, np.random.default_rng(3), 1)
    learner.explore(buffer, np.array([2, 4]))
    assert (buffer.best.count[[2, 4]] > 0).any()
    assert not buffer.best.count[[0, 1, 3]].any()
    before = buffer.best.losses.copy()
    for _ in range(3):
        learner.explore(buffer, np.array([2, 4]))
    assert (buffer.best.losses <= before).all()
    assert (
        buffer.best.losses[[2, 4]].ravel()
        < np.array([[e.prepared.empty_loss] * 4 for e in read_cases])[[2, 4]].ravel()
    )[np.isfinite(buffer.best.losses[[2, 4]].ravel())].all()


# ------------------------------------------------------------------------- cases


@pytest.fixture(scope="module")
def simulated(database):
    source = ExampleSource(SceneSettings(kind="clean", bands=(6,), max_channels=480), TOKENS, 9, 10)
    library = SpeciesLibrary(database, species=("CH3OH;v=0;", "CH3CN;v=0;", "H2CO;v=0;"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "SpeciesLibrary", lambda opened: library)
        source.cases(0)
    return source


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_observed_cases(simulated, toy_cases, share):
    source = CaseSource(simulated, tuple(toy_cases[:3]), share)
    known = {id(case.transitions): i for i, case in enumerate(toy_cases[:3])}
    which = []
    for number in range(30):
        batch = source.batch(number)
        assert len(batch) == 10
        which += [known.get(id(case.transitions), -1) for case in batch]
    observed = np.array(which) >= 0
    assert abs(observed.mean() - share) <= 4.0 * np.sqrt(share * (1.0 - share) / 300)
    if share:
        assert set(which) >= {0, 1, 2}


@pytest.fixture(scope="module")
def crowded(database):
    """Scenes of four species in a library of which some lines always meet others."""
    source = ExampleSource(SceneSettings(kind="blended", bands=(6,), n_contaminant=(2, 2)), TOKENS, 9, 10)
    names = ("CH3OH;v=0;", "CH3CN;v=0;", "H2CO;v=0;", "CH3OCHO;v=0;", "C2H5CN;v=0;", "CH3OCH3;v=0;")
    library = SpeciesLibrary(database, species=names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "SpeciesLibrary", lambda opened: library)
        source.cases(0)
    return source


def _scenes(source, n):
    """All scenes of the first batches, by their first window."""
    stream, size = source._stream, 4 * source.size
    return {s.observation.windows[0].intensity.tobytes(): s for s in stream.scenes(0, n * size)}


def test_absent_species_are_not_in_their_spectra(crowded):
    scenes = _scenes(crowded, 6)
    n = 0
    for number in range(6):
        for case in crowded.absent_cases(number, 5):
            scene = scenes[case.observation.windows[0].intensity.tobytes()]
            assert case.transitions.species not in {m.species for m in scene.members}
            assert inside_windows(case.observation, case.transitions.frequency).any()
            n += 1
    assert n == 30


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_share_of_absent_species(crowded, share):
    source = CaseSource(crowded, (), 0.0, share)
    scenes = _scenes(crowded, 12)
    absent = []
    for number in range(12):
        batch = source.batch(number)
        assert len(batch) == 10
        for case in batch:
            scene = scenes[case.observation.windows[0].intensity.tobytes()]
            absent.append(case.transitions.species not in {m.species for m in scene.members})
    assert abs(np.mean(absent) - share) <= 4.0 * np.sqrt(share * (1.0 - share) / 120)


def test_without_observed_spectra_all_are_simulated(simulated):
    batch, expected = CaseSource(simulated, (), 0.9).batch(4), simulated.cases(4)
    assert len(batch) == 10
    for a, b in zip(batch, expected, strict=True):
        assert_array_equal(a.observation.windows[0].intensity, b.observation.windows[0].intensity)


def test_a_batch_of_cases_is_its_number(simulated, toy_cases):
    source = CaseSource(simulated, tuple(toy_cases), 0.5)
    a, b, c = source.batch(3), source.batch(3), source.batch(4)
    for first, second in zip(a, b, strict=True):
        assert_array_equal(first.observation.windows[0].nu, second.observation.windows[0].nu)
        assert_array_equal(first.observation.windows[0].intensity, second.observation.windows[0].intensity)
    assert any(
        x.observation.windows[0].nu[0] != y.observation.windows[0].nu[0] for x, y in zip(a, c, strict=True)
    )


def test_observed_spectra_are_varied(simulated, toy_cases):
    source = CaseSource(simulated, (toy_cases[0],), 1.0)
    starts = {case.observation.windows[0].nu[0] for case in source.batch(0)}
    assert len(starts) == 10
    assert toy_cases[0].observation.windows[0].nu[0] not in starts


def test_a_variation_that_loses_all_lines_is_not_made(simulated, window_at, transitions_at):
    """Coarse channels: a shift and a running mean may move the only line out of reach."""
    nu = 230_000.0 + 15.6 * np.arange(40)
    case = Case(Observation((window_at(nu),)), transitions_at([nu[0] - 7.0]))
    source = CaseSource(simulated, (case,), 1.0)
    for number in range(30):
        for experience in experiences(source.batch(number), simulated):
            assert experience.tokens.profile.shape[0] == 1
