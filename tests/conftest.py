"""Fixtures and the conditions under which a marked test runs."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from spectuner_ext.spectroscopy import LineDatabase

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    # pytest-remotedata, if it is installed, brings the same option and the same meaning of the marker.
    if not pluginmanager.hasplugin("pytest_remotedata"):
        parser.addoption("--remote-data", action="store_true", help="run the tests that need the network")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("shared_data"):
        _need_shared_data()
    if item.get_closest_marker("catalogues"):
        missing = [name for name in ("astroquery", "casadata") if importlib.util.find_spec(name) is None]
        if missing:
            _unavailable(f'{" and ".join(missing)} not installed; run: pip install -e ".[catalogues]"')
    remote_data = item.config.getoption("--remote-data")
    if item.get_closest_marker("remote_data") and remote_data in (False, "none"):
        pytest.skip("needs the network; run: pytest --remote-data")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the development data beside the checkout."""
    _need_shared_data()
    return SHARED


@pytest.fixture(scope="session")
def database() -> Iterator["LineDatabase"]:
    """Line database that the package ships."""
    from spectuner_ext.spectroscopy import LineDatabase

    with LineDatabase.open() as opened:
        yield opened


@pytest.fixture(scope="session")
def policy_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a small policy network that has learnt nothing: its draws are all over the bounds."""
    import torch

    from spectuner_ext.policy.network import NetworkSettings, PolicyNetwork
    from spectuner_ext.policy.tokens import TokenSettings
    from spectuner_ext.policy.weights import save_network

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        tokens = TokenSettings(n_line=6, n_bin=64)
        network = PolicyNetwork(
            NetworkSettings(tokens=tokens, width=12, n_head=2, n_block=1, hidden=12, n_node=(17, 17, 33, 17))
        )
    return save_network(network, tmp_path_factory.mktemp("policy") / "random.safetensors", {"stage": "none"})


def _need_shared_data() -> None:
    if not SHARED.is_dir():
        _unavailable(f"the development data is not beside the checkout: {SHARED}")


def _unavailable(reason: str) -> None:
    """Skip, but not where everything is meant to be there: a skipped test proves nothing."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
