"""Made-up species and spectra, and small networks of our own with random weights."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from spectuner_ext.constants import C_KMS
from spectuner_ext.observation.observation import Observation, Window
from spectuner_ext.policy.case import Case
from spectuner_ext.policy.network import NetworkSettings, PolicyNetwork
from spectuner_ext.policy.tokens import TokenSettings
from spectuner_ext.spectroscopy.partition import PartitionFunction
from spectuner_ext.spectroscopy.transitions import Transitions

NOISE = 0.05
TEMPERATURE = np.geomspace(1.0, 2000.0, 40)


def toy_transitions(nu: ArrayLike, seed: int = 0, name: str = "toy") -> Transitions:
    """A species with lines at `nu` [MHz], and Q(T) as of an asymmetric top."""
    nu = np.sort(np.asarray(nu, dtype=np.float64))
    rng = np.random.default_rng(seed)
    return Transitions(
        species=name,
        frequency=nu,
        frequency_error=np.full(nu.size, np.nan),
        einstein_a=10.0 ** rng.uniform(-5.0, -3.0, nu.size),
        g_upper=2.0 * rng.integers(1, 30, nu.size) + 1.0,
        e_lower=rng.uniform(5.0, 400.0, nu.size),
        upper=np.full(nu.size, ""),
        lower=np.full(nu.size, ""),
        hyperfine=np.zeros(nu.size, dtype=bool),
        partition=PartitionFunction(TEMPERATURE, 0.7 * TEMPERATURE**1.5, 1.0, 2000.0),
    )


def toy_window(nu: ArrayLike, seed: int = 0, **more: Any) -> Window:
    """Noise, a continuum, and what is given."""
    nu = np.asarray(nu, dtype=np.float64)
    fields: dict[str, Any] = {
        "intensity": NOISE * np.random.default_rng(seed).standard_normal(nu.size),
        "sigma": np.full(nu.size, NOISE),
        "mask": np.ones(nu.size, dtype=bool),
        "t_continuum": np.full(nu.size, 3.0),
    }
    return Window(nu=nu, **(fields | more))


def toy_line(nu: ArrayLike, rest: float, velocity: float, fwhm: float, peak: float) -> np.ndarray:
    """A Gaussian line [K] at a velocity [km/s]."""
    v = C_KMS * (1.0 - np.asarray(nu) / rest)
    return np.asarray(peak * np.exp(-4.0 * np.log(2.0) * ((v - velocity) / fwhm) ** 2))


def toy_network(
    seed: int = 0, gain: float = 3.0, tokens: TokenSettings | None = None, **sizes: Any
) -> PolicyNetwork:
    """A small network whose densities are far from flat."""
    small: dict[str, Any] = {
        "n_patch": 4,
        "width": 12,
        "n_head": 2,
        "hidden": 8,
        "n_block": 2,
        "n_node": (9, 11, 19, 7),
    }
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = PolicyNetwork(
            NetworkSettings(tokens=tokens or TokenSettings(n_line=6, n_bin=32), **(small | sizes))
        )
    with torch.no_grad():
        decoder = network.decoder
        for last in (
            decoder.velocity_head[-1],
            decoder.fwhm_head.layers[-1],
            decoder.t_head.layers[-1],
            decoder.product_head.last,
            decoder.eta_head.layers[-1],
        ):
            last.weight.mul_(3.0 * gain)
    return network.eval()


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Small networks are slower with more, and far slower on a machine with other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def transitions_at() -> Callable[..., Transitions]:
    return toy_transitions


@pytest.fixture(scope="session")
def window_at() -> Callable[..., Window]:
    return toy_window


@pytest.fixture(scope="session")
def gaussian_line() -> Callable[..., np.ndarray]:
    return toy_line


@pytest.fixture(scope="session")
def small_network() -> Callable[..., PolicyNetwork]:
    return toy_network


@pytest.fixture(scope="session")
def toy_cases() -> list[Case]:
    """Cases with one to eleven lines, in one or two windows."""
    cases = []
    for i, n in enumerate((3, 1, 11, 2, 6)):
        rng = np.random.default_rng(i)
        rest = np.sort(rng.uniform(230_040.0, 230_200.0, n))
        nu = [230_000.0 + 0.4 * np.arange(600)]
        if i % 2:
            rest = np.append(rest, 231_010.0)
            nu.append(231_000.0 + 0.8 * np.arange(40))
        windows = []
        for k, axis in enumerate(nu):
            seen = sum(toy_line(axis, r, 3.0 - i, 3.0, rng.uniform(0.3, 5.0)) for r in rest)
            windows.append(
                toy_window(
                    axis, intensity=seen + NOISE * np.random.default_rng([i, k]).standard_normal(axis.size)
                )
            )
        cases.append(Case(Observation(tuple(windows)), toy_transitions(rest, seed=i)))
    return cases
