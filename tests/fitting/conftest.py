"""Toy problems: a ladder of lines of one species, and what makes a `Problem` of it."""

import numpy as np
import pytest

from spectuner_ext.fitting import Problem
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.lte.parameters import PARAMETERS, ParameterSpace
from spectuner_ext.observation.observation import Observation, Window
from spectuner_ext.spectroscopy.partition import PartitionFunction
from spectuner_ext.spectroscopy.transitions import Transitions

NOISE = 0.05  # K
CHANNEL = 0.5  # MHz
TRUTH = np.array([[0.4, 90.0, 1.5e16, 4.0, 0.8]])  # tau of 0.2 to 4, peaks of 5 to 28 K


def make_lines(nu, e_lower, *, einstein_a=1e-4, g_upper=9.0, species="toy;v=0;"):
    nu = np.atleast_1d(np.asarray(nu, dtype=float))
    column = lambda value: np.broadcast_to(np.asarray(value, dtype=float), nu.shape).copy()  # noqa: E731
    t = np.array([1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])
    return Transitions(
        species=species,
        frequency=nu,
        frequency_error=column(np.nan),
        einstein_a=column(einstein_a),
        g_upper=column(g_upper),
        e_lower=column(e_lower),
        upper=np.full(nu.size, ""),
        lower=np.full(nu.size, ""),
        hyperfine=np.zeros(nu.size, dtype=bool),
        partition=PartitionFunction(t, 0.4 * t**1.5, 1.0, 1000.0),
    )


def make_ladder():
    """Seven lines over 400 K of lower energy, two of them blended."""
    return make_lines(
        230e3 + np.array([6.0, 16.0, 25.0, 36.0, 39.0, 52.0, 63.0]),
        [12.0, 40.0, 75.0, 130.0, 190.0, 280.0, 400.0],
    )


def make_observation(
    lists, theta, rng, *, species=None, noise=NOISE, n=140, continuum=0.0, mask=None, offset=0.0
):
    """One window from 230 GHz up, with the lines of `theta` and noise; without noise for ``rng=None``."""
    nu = 230e3 + CHANNEL * np.arange(n)
    empty = Window(
        nu, np.zeros(n), np.full(n, noise), np.ones(n, dtype=bool), np.full(n, continuum), name="toy"
    )
    signal = np.full(n, offset)
    if theta is not None:
        signal += LTEModel.bind(Observation((empty,)), lists).spectrum(theta, species)
    if rng is not None:
        signal += noise * rng.standard_normal(n)
    used = np.ones(n, dtype=bool) if mask is None else mask
    return Observation(
        (Window(nu, np.where(used, signal, 0.0), empty.sigma, used, empty.t_continuum, name="toy"),)
    )


def make_problem(seen, lists, *, species=None, fixed=None, bounds=None, ties=(), **options):
    n = len(lists) if species is None else len(species)
    space = ParameterSpace.build([f"toy #{i + 1}" for i in range(n)], fixed=fixed, bounds=bounds, ties=ties)
    return Problem.build(seen, LTEModel.bind(seen, lists), space, species, **options)


def hold(theta, *names):
    """Entries of a component's parameters, as `fixed` takes them."""
    return {name: float(theta[PARAMETERS.index(name)]) for name in names}


def _give(function, name):
    return pytest.fixture(scope="session", name=name)(lambda: function)


lines = _give(make_lines, "lines")
observation = _give(make_observation, "observation")
problem_of = _give(make_problem, "problem_of")
held = _give(hold, "held")
ladder = pytest.fixture(scope="session", name="ladder")(make_ladder)
truth = pytest.fixture(name="truth")(lambda: TRUTH.copy())


@pytest.fixture
def problem(ladder, truth):
    """One component of the ladder, all five parameters free."""
    return make_problem(make_observation([ladder], truth, np.random.default_rng(1)), [ladder])
