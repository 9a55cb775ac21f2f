"""The weights that the package ships, on simulated spectra that no training has seen."""

import numpy as np
import pytest
import torch

from spectuner_ext.policy.case import LOWER, UPPER, Case
from spectuner_ext.policy.coordinates import log_jacobian
from spectuner_ext.policy.policy import FittingPolicy
from spectuner_ext.policy.reward import pm_losses, prepare
from spectuner_ext.policy.scenes.library import SpeciesLibrary
from spectuner_ext.policy.scenes.settings import SceneSettings
from spectuner_ext.policy.scenes.stream import SceneStream
from spectuner_ext.policy.train.examples import targets
from spectuner_ext.policy.weights import SHIPPED, load_network

pytestmark = pytest.mark.usefixtures("one_torch_thread")

N_CASE, N_DRAW = 120, 100


@pytest.fixture(scope="module")
def unseen(database):
    """Cases and the parameters that made them; Mol-1980 as in the training, Mol-2010 as it never was."""
    stream = SceneStream(SpeciesLibrary(database), SceneSettings(target_group=None), 5, split="test")
    cases, truth = [], []
    scenes = stream.scenes()
    while len(cases) < N_CASE:
        scene = next(scenes)
        for member in targets(scene, None, 1):
            cases.append(Case(scene.observation, member.transitions))
            truth.append(member.x)
    return cases, np.array(truth)


@pytest.fixture(scope="module", params=sorted(SHIPPED))
def shipped(request, unseen):
    policy = FittingPolicy.load(request.param)
    return request.param, policy, policy.sample_cases(unseen[0], N_DRAW, range(N_CASE))


def test_size_and_notes(shipped):
    name, policy, _ = shipped
    network, notes = load_network(SHIPPED[name])
    assert network.n_weight < 1_000_000
    assert notes["stage"] == {"posterior": "supervised", "proposal": "reinforcement"}[name]
    assert policy.notes == notes


def test_draws_are_inside_the_bounds_and_have_a_density(shipped, unseen):
    _, policy, draws = shipped
    assert ((draws >= LOWER) & (draws <= UPPER)).all()
    assert np.isfinite(policy.log_prob_cases(unseen[0], draws)).all()


def test_draws_fit_better_than_any_number(shipped, unseen):
    """Half of the draws match more than the best of as many random ones, in most spectra."""
    _, _, draws = shipped
    anywhere = np.random.default_rng(0).uniform(LOWER, UPPER, draws.shape)
    prepared = [prepare(case) for case in unseen[0]]
    here, _ = pm_losses(prepared, draws)
    there, _ = pm_losses(prepared, anywhere)
    assert (np.median(here, axis=1) < np.median(there, axis=1)).mean() > 0.95
    assert (np.median(here, axis=1) < there.min(axis=1)).mean() > 0.5


def test_posterior_covers_the_truth(unseen):
    """Calibrated on average over the prior; the bands are 4 standard deviations of a binomial share wide."""
    cases, truth = unseen
    draws = FittingPolicy.load("posterior").sample_cases(cases, N_DRAW, range(N_CASE))
    rank = (draws < truth[:, None]).mean(axis=1)
    for share in (0.5, 0.9):
        inside = (np.abs(rank - 0.5) <= share / 2.0).mean(axis=0)
        assert (np.abs(inside - share) < 4.0 * np.sqrt(share * (1.0 - share) / N_CASE)).all()


def test_posterior_knows_more_than_the_prior(unseen):
    """Over the unit cube a flat density has the logarithm 0."""
    cases, truth = unseen
    log_prob = FittingPolicy.load("posterior").log_prob_cases(cases, truth[:, None])[:, 0]
    gained = log_prob - log_jacobian(torch.from_numpy(truth)).numpy()
    assert gained.mean() > 5.0
    assert (gained > 0.0).mean() > 0.9
