"""The public face: draws and densities for a spectrum and a species, and what it says to bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError, SpeciesError
from spectuner_ext.observation.observation import Observation
from spectuner_ext.policy.case import LOWER, UPPER, Case, case_of, inside_windows
from spectuner_ext.policy.compact import CompactEngine
from spectuner_ext.policy.policy import FittingPolicy
from spectuner_ext.policy.tokens import TokenSettings
from spectuner_ext.policy.weights import SHIPPED, save_network

pytestmark = pytest.mark.usefixtures("one_torch_thread")

METHANOL = "CH3OH;v=0;"


@pytest.fixture(scope="module")
def network_file(small_network, tmp_path_factory):
    network = small_network(seed=2, tokens=TokenSettings(n_line=24, n_bin=32))
    return save_network(network, tmp_path_factory.mktemp("weights") / "net.safetensors", {"stage": "none"})


@pytest.fixture(scope="module")
def policy(network_file, database):
    return FittingPolicy.load(network_file, database=database)


@pytest.fixture(scope="module")
def spectrum(window_at):
    return Observation(
        (window_at(241_650.0 + 0.488 * np.arange(500)), window_at(218_300.0 + 0.977 * np.arange(300)))
    )


def test_draws(policy, spectrum):
    x = policy.sample(spectrum, METHANOL, 300, seed=3)
    assert x.shape == (300, 5)
    assert x.dtype == np.float64
    assert ((x >= LOWER) & (x <= UPPER)).all()
    assert (x.std(axis=0) > 1e-2 * (UPPER - LOWER)).all()
    assert_array_equal(policy.sample(spectrum, METHANOL, 300, seed=3), x)
    assert not np.isclose(policy.sample(spectrum, METHANOL, 300, seed=4), x).all(axis=1).any()
    assert policy.notes == {"stage": "none"}
    assert policy.sample(spectrum, METHANOL).shape == (50, 5)


def test_density(policy, spectrum):
    x = policy.sample(spectrum, METHANOL, 30, seed=3)
    found = policy.log_prob(spectrum, METHANOL, x)
    assert found.shape == (30,)
    assert np.isfinite(found).all()
    assert_allclose(policy.log_prob(spectrum, METHANOL, x[4:7]), found[4:7], rtol=1e-4, atol=1e-4)
    assert policy.log_prob(spectrum, METHANOL, x[:0]).shape == (0,)
    assert policy.log_prob(spectrum, METHANOL, [list(row) for row in x[:2]]).shape == (2,)
    # draws lie where the density is higher than in most of the box
    elsewhere = np.random.default_rng(0).uniform(LOWER, UPPER, (300, 5))
    assert found.mean() > policy.log_prob(spectrum, METHANOL, elsewhere).mean()


def test_bounds_belong_to_the_box(policy, spectrum):
    corners = np.stack([LOWER, UPPER])
    assert np.isfinite(policy.log_prob(spectrum, METHANOL, corners)).all()


def test_all_draws_have_a_density(policy, spectrum):
    x = policy.sample(spectrum, METHANOL, 5000, seed=8)
    assert np.isfinite(policy.log_prob(spectrum, METHANOL, x)).all()


def test_many_cases(policy, spectrum):
    other = Observation((replace(spectrum.windows[0], intensity=2.0 * spectrum.windows[0].intensity),))
    cases = [
        policy.case(spectrum, METHANOL),
        policy.case(other, METHANOL),
        policy.case(spectrum, "CH3OCHO;v=0;"),
    ]
    x = policy.sample_cases(cases, 10, [5, 6, 7])
    assert x.shape == (3, 10, 5)
    assert_array_equal(x[0], policy.sample(spectrum, METHANOL, 10, 5))
    assert_array_equal(x[1], policy.sample(other, METHANOL, 10, 6))
    found = policy.log_prob_cases(cases, x)
    for i, (o, s) in enumerate(((spectrum, METHANOL), (other, METHANOL), (spectrum, "CH3OCHO;v=0;"))):
        assert_allclose(policy.log_prob(o, s, x[i]), found[i], rtol=1e-4, atol=1e-3)
    assert policy.sample_cases([], 10, []).shape == (0, 10, 5)
    assert policy.log_prob_cases([], np.empty((0, 10, 5))).shape == (0, 10)


def test_lines_instead_of_a_name_need_no_database(network_file, spectrum, transitions_at, monkeypatch):
    def refuse():
        raise AssertionError("the database was opened")

    monkeypatch.setattr("spectuner_ext.policy.policy.LineDatabase.open", refuse)
    policy = FittingPolicy.load(network_file)
    assert policy.sample(spectrum, transitions_at([241_700.0, 241_720.0]), 4, 1).shape == (4, 5)


def test_the_embedded_database_is_the_default(network_file, policy, spectrum):
    found = FittingPolicy.load(str(network_file)).sample(spectrum, METHANOL, 4, 1)
    assert_array_equal(found, policy.sample(spectrum, METHANOL, 4, 1))


def test_hyperfine_lines_are_merged_as_in_fits(policy, database, window_at):
    observation = Observation((window_at(98_900.0 + 0.1 * np.arange(600)),))
    merged = policy.case(observation, "AlF;v=0;").transitions
    apart = case_of(observation, "AlF;v=0;", database, merge=False).transitions
    assert apart.hyperfine.all()
    assert 0 < len(merged) < len(apart)


def test_four_thousand_lines(policy, spectrum, transitions_at):
    x = policy.sample(spectrum, transitions_at(np.linspace(241_651.0, 241_890.0, 4000)), 5, 1)
    assert x.shape == (5, 5)


@pytest.mark.parametrize("rest", [[], [240_000.0], [241_649.0]])
def test_no_line_inside_the_windows(policy, spectrum, transitions_at, rest):
    with pytest.raises(InputError, match=r"^species: toy has no line inside the windows \(241650\.0 to"):
        policy.sample(spectrum, transitions_at(rest), 5, 1)


def test_species_without_a_line_here(policy, window_at):
    empty = Observation((window_at(85_000.0 + 0.2 * np.arange(20)),))
    with pytest.raises(InputError, match="CO;v=0;"):
        policy.sample(empty, "CO;v=0;", 5, 1)


def test_unknown_species(policy, spectrum):
    with pytest.raises(SpeciesError, match="CH3OHH"):
        policy.sample(spectrum, "CH3OHH", 5, 1)


def test_a_name_without_a_database(spectrum):
    with pytest.raises(InputError, match=r"^species: 'CH3OH' can only be looked up"):
        case_of(spectrum, "CH3OH", None)


@pytest.mark.parametrize(
    "parameters",
    [np.zeros(5), np.zeros((2, 4)), np.zeros((1, 2, 5)), np.empty((5, 0))],
)
def test_shape_of_parameters(policy, spectrum, parameters):
    with pytest.raises(InputError, match=r"^parameters: needs shape \(n, 5\)"):
        policy.log_prob(spectrum, METHANOL, parameters)


@pytest.mark.parametrize("column", range(5))
@pytest.mark.parametrize("kind", ["below", "above", "nan"])
def test_parameters_outside_the_bounds(policy, spectrum, column, kind):
    x = np.tile(0.5 * (LOWER + UPPER), (3, 1))
    step = 1e-3 * (UPPER - LOWER)[column]
    x[1, column] = {"below": LOWER[column] - step, "above": UPPER[column] + step, "nan": np.nan}[kind]
    with pytest.raises(InputError, match=r"^parameters: row 1, "):
        policy.log_prob(spectrum, METHANOL, x)


def test_bad_numbers(policy, spectrum):
    case = policy.case(spectrum, METHANOL)
    with pytest.raises(InputError, match=r"^n: "):
        policy.sample(spectrum, METHANOL, 0, 1)
    with pytest.raises(InputError, match=r"^seeds: 2 cases"):
        policy.sample_cases([case, case], 3, [1])
    with pytest.raises(InputError, match=r"^seed: "):
        policy.sample(spectrum, METHANOL, 3, -1)
    with pytest.raises(InputError, match=r"^x: 1 cases"):
        policy.log_prob_cases([case], np.zeros((2, 3, 5)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_asked_for_where_there_is_none(network_file):
    with pytest.raises(InputError, match=r"^device: cuda"):
        FittingPolicy.load(network_file, device="cuda")
    assert FittingPolicy.load(network_file, device="auto").engine.device.type == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_gives_the_same_policy(network_file, policy, spectrum):
    other = FittingPolicy.load(network_file, database=policy.database, device="cuda")
    x = policy.sample(spectrum, METHANOL, 50, seed=3)
    assert_allclose(other.sample(spectrum, METHANOL, 50, seed=3), x, rtol=5e-3, atol=5e-3)
    assert_allclose(
        other.log_prob(spectrum, METHANOL, x), policy.log_prob(spectrum, METHANOL, x), rtol=1e-3, atol=1e-2
    )


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"^weights: there is no file .*nothing\.safetensors"):
        FittingPolicy.load(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match=r"^weights: "):
        FittingPolicy.load(tmp_path)
    path = tmp_path / "text.safetensors"
    path.write_text("weights")
    with pytest.raises(InputError, match=r"^weights: "):
        FittingPolicy.load(path)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_names_of_shipped_weights(name, network_file, monkeypatch):
    monkeypatch.setitem(SHIPPED, name, network_file)
    assert isinstance(FittingPolicy.load(name).engine, CompactEngine)
    if name == "proposal":
        assert isinstance(FittingPolicy.load().engine, CompactEngine)


def test_inside_windows(window_at):
    nu = 230_000.0 + 0.5 * np.arange(20)
    observation = Observation((window_at(nu), window_at(nu + 100.0)))
    rest = np.array([229_999.7, 229_999.8, 230_005.0, 230_009.7, 230_009.8, 230_099.8, 230_200.0])
    assert_array_equal(inside_windows(observation, rest), [False, True, True, True, False, True, False])


def test_a_case_is_kept_as_it_is(spectrum, transitions_at):
    lines = transitions_at([241_700.0])
    case = case_of(spectrum, lines, None)
    assert isinstance(case, Case)
    assert case.observation is spectrum
    assert case.transitions is lines
