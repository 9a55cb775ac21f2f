"""Stage by stage against numbers of the peer's own modules; see data/published_network.toml."""

import tomllib
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.policy.case import Case
from spectuner_ext.policy.published.network import PublishedNetwork
from spectuner_ext.policy.published.settings import read_settings
from spectuner_ext.policy.published.tokens import (
    line_features,
    lines_to_read,
    observed_features,
    read_windows,
)
from spectuner_ext.spectroscopy.partition import PartitionFunction
from spectuner_ext.spectroscopy.schema import PF_TEMPERATURES
from spectuner_ext.spectroscopy.transitions import Transitions

DATA = Path(__file__).parent / "data"
STATED = tomllib.loads((DATA / "published_network.toml").read_text("utf-8"))
TOLERANCE = STATED["tolerance"]


@pytest.fixture(scope="module")
def golden():
    with np.load(DATA / "published_network.npz") as file:
        return dict(file)


def case_of(golden, i):
    beam = golden[f"{i}_beam"]
    windows = []
    for k in range(int(golden[f"{i}_n_window"])):
        nu = golden[f"{i}_nu_{k}"]
        windows.append(
            Window(
                nu=nu,
                intensity=golden[f"{i}_data_{k}"],
                sigma=np.full(nu.size, golden[f"{i}_noise"][k]),
                mask=np.ones(nu.size, dtype=bool),
                t_continuum=np.full(nu.size, golden[f"{i}_continuum"][k]),
                beam=Beam(diameter=float(beam[0])) if beam.size == 1 else Beam(*map(float, beam)),
            )
        )
    nu = golden[f"{i}_frequency"]
    temperature = golden[f"{i}_temperature"]
    text = np.full(nu.size, "", dtype=np.str_)
    transitions = Transitions(
        species=str(golden[f"{i}_species"]),
        frequency=nu,
        frequency_error=np.full(nu.size, np.nan),
        einstein_a=golden[f"{i}_einstein_a"],
        g_upper=golden[f"{i}_g_upper"],
        e_lower=golden[f"{i}_e_lower"],
        upper=text,
        lower=text,
        hyperfine=np.zeros(nu.size, dtype=bool),
        partition=PartitionFunction(temperature, golden[f"{i}_partition"], temperature[0], temperature[-1]),
    )
    return Case(Observation(tuple(windows)), transitions)


def widths(recipe):
    return np.ptp(recipe.BOUNDS, axis=1)


@pytest.mark.parametrize("i", range(STATED["pairs"]))
def test_tokens(golden, published_policy, i):
    case = case_of(golden, i)
    s = published_policy.network.settings
    line, window = lines_to_read(case.observation, case.transitions, s.max_length)
    lines = line_features(case.transitions, line, PF_TEMPERATURES)
    np.testing.assert_allclose(
        lines, golden[f"{i}_peer_embed_sl"], rtol=TOLERANCE["tokens"], atol=TOLERANCE["tokens"]
    )
    observed = observed_features(
        read_windows(case.observation), case.transitions.frequency[line], window, s.v_width, s.n_grid
    )
    assert observed.shape[-1] == s.n_grid
    np.testing.assert_allclose(
        observed.numpy()[:, :, ::7],
        golden[f"{i}_peer_embed_obs"],
        rtol=TOLERANCE["tokens"],
        atol=TOLERANCE["tokens"],
    )


@pytest.mark.parametrize("i", range(STATED["pairs"]))
def test_condition(golden, published_policy, i):
    condition = published_policy.conditions([case_of(golden, i)])[0].numpy()
    expected = golden[f"{i}_peer_condition"]
    np.testing.assert_allclose(condition, expected, rtol=TOLERANCE["condition"], atol=TOLERANCE["condition"])


def test_condition_of_all_in_batches(golden, published_policy):
    cases = [case_of(golden, i) for i in range(STATED["pairs"])]
    expected = np.stack([golden[f"{i}_peer_condition"] for i in range(STATED["pairs"])])
    np.testing.assert_allclose(
        published_policy.conditions(cases).numpy(),
        expected,
        rtol=TOLERANCE["condition"],
        atol=TOLERANCE["condition"],
    )
    assert ((expected < 0) | (expected > 1)).any()  # the decoder's clamp of the condition is at work


@pytest.mark.parametrize("i", range(STATED["pairs"]))
def test_density_and_inverse(golden, published_policy, recipe, i):
    case = case_of(golden, i)
    log_prob = published_policy.log_prob_case(case, golden[f"{i}_x"])
    expected = golden[f"{i}_peer_log_prob"]
    np.testing.assert_allclose(log_prob, expected, rtol=TOLERANCE["flow"], atol=TOLERANCE["flow"])
    z = torch.from_numpy(golden[f"{i}_z"])[None]
    with torch.no_grad():
        found = published_policy.network.sampler.inverse(z, published_policy.conditions([case]))[0].numpy()
    np.testing.assert_allclose(
        (found - golden[f"{i}_peer_inverse"]) / widths(recipe), 0.0, atol=TOLERANCE["flow"]
    )


@pytest.mark.parametrize("i", range(STATED["pairs"]))
def test_decoder_in_double_precision(golden, published_policy, recipe, i):
    """Under the peer's condition rounding is gone: the two are one function."""
    flow = deepcopy(published_policy.network.sampler).double()
    condition = torch.from_numpy(golden[f"{i}_peer_condition"]).double()[None]
    with torch.no_grad():
        log_prob = flow.log_prob(torch.from_numpy(golden[f"{i}_x"]).double()[None], condition)[0].numpy()
        found = flow.inverse(torch.from_numpy(golden[f"{i}_z"]).double()[None], condition)[0].numpy()
    np.testing.assert_allclose(
        log_prob, golden[f"{i}_peer_log_prob_64"], rtol=TOLERANCE["flow_64"], atol=TOLERANCE["flow_64"]
    )
    np.testing.assert_allclose(
        (found - golden[f"{i}_peer_inverse_64"]) / widths(recipe), 0.0, atol=TOLERANCE["flow_64"]
    )


def test_published_size(recipe):
    with torch.device("meta"):
        network = PublishedNetwork(read_settings(recipe.config("full")))
    assert sum(p.numel() for p in network.parameters()) == 89_226_370


@pytest.mark.shared_data
def test_names_and_shapes_of_the_published_file(recipe, shared):
    rows = (shared / "design" / "spectuner_state_dict.tsv").read_text("utf-8").splitlines()
    expected = {name: (shape, dtype) for name, shape, dtype in (row.split("\t") for row in rows)}
    with torch.device("meta"):
        network = PublishedNetwork(read_settings(recipe.config("full")))
    found = {
        name: (str(tuple(x.shape)), str(x.dtype).removeprefix("torch."))
        for name, x in network.state_dict().items()
    }
    assert found == expected
