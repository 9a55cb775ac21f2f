"""Checkpoints in the published format with random weights, and spectra to read."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.policy.published.network import PublishedNetwork
from spectuner_ext.policy.published.policy import PublishedPolicy
from spectuner_ext.policy.published.settings import read_settings
from spectuner_ext.spectroscopy.partition import PartitionFunction
from spectuner_ext.spectroscopy.schema import PF_TEMPERATURES
from spectuner_ext.spectroscopy.transitions import Transitions

RECIPE = Path(__file__).parents[3] / "benchmarks" / "policy_recipe.py"


@pytest.fixture(scope="session")
def recipe() -> ModuleType:
    """The settings and random weights that the golden file was made with."""
    spec = importlib.util.spec_from_file_location("policy_recipe", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published_content(recipe: ModuleType) -> Callable[..., dict[str, Any]]:
    """Content of a small checkpoint; options of the config."""

    def content(seed: int = 0, gain: float = 0.5, **options: Any) -> dict[str, Any]:
        config = recipe.config("golden", **options)
        state = PublishedNetwork(read_settings(config)).state_dict()
        return {"model_state": recipe.fill(state, seed, gain), "config": config}

    return content


@pytest.fixture(scope="session")
def published_file(
    published_content: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("published") / "network.pt"
    torch.save(published_content(), path)
    return path


@pytest.fixture(scope="session")
def published_policy(published_file: Path) -> PublishedPolicy:
    """It knows no database: species are given as Transitions."""
    return PublishedPolicy.load(published_file)


@pytest.fixture(scope="session")
def methanol_like() -> Transitions:
    """Nine lines around 220 GHz."""
    n = 9
    return Transitions(
        species="CH3OH;v=0;",
        frequency=220_000.0 + 37.0 * np.arange(n) + np.linspace(0.0, 0.9, n),
        frequency_error=np.full(n, np.nan),
        einstein_a=10.0 ** np.linspace(-6, -3, n),
        g_upper=np.arange(9.0, 9.0 + 4 * n, 4.0),
        e_lower=np.linspace(0.0, 500.0, n),
        upper=np.full(n, "", dtype=np.str_),
        lower=np.full(n, "", dtype=np.str_),
        hyperfine=np.zeros(n, dtype=bool),
        partition=PartitionFunction(PF_TEMPERATURES, 1.0 + PF_TEMPERATURES**1.5, 1.072, 1000.0),
    )


@pytest.fixture(scope="session")
def two_windows() -> Observation:
    """Peaks, an absorption line, a masked stretch, two channel widths."""
    rng = np.random.default_rng(5)
    windows = []
    for first, n, step in ((219_970.0, 400, 0.488), (220_180.0, 250, 0.977)):
        nu = first + step * np.arange(n)
        data = 0.2 * rng.standard_normal(n)
        for centre, height in zip(
            rng.uniform(nu[0], nu[-1], 6), (8.0, 3.0, -2.0, 20.0, 1.5, 5.0), strict=True
        ):
            data += height * np.exp(-0.5 * ((nu - centre) / 2.0) ** 2)
        mask = np.ones(n, dtype=bool)
        mask[100:110] = False
        data[~mask] = 0.0
        windows.append(
            Window(nu, data, np.full(n, 0.2), mask, np.full(n, 3.0), Beam(0.5, 0.4), name=f"{first:.0f}")
        )
    return Observation(tuple(windows))


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
