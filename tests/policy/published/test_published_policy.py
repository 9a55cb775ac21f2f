"""The public face: draws and densities for a spectrum and a species, alone and in batches."""

import sqlite3
from dataclasses import replace

import numpy as np
import pytest
import torch

from spectuner_ext.errors import InputError
from spectuner_ext.observation.observation import Observation
from spectuner_ext.policy.case import Case
from spectuner_ext.policy.published.network import PublishedNetwork
from spectuner_ext.policy.published.policy import PublishedPolicy
from spectuner_ext.policy.published.settings import read_settings
from spectuner_ext.spectroscopy import LineDatabase


@pytest.fixture(scope="module")
def cases(two_windows, methanol_like):
    """Nine lists of different lengths, and two spectra."""
    other = Observation(tuple(replace(w, intensity=0.5 * w.intensity) for w in two_windows.windows))
    return [
        Case(other if n % 2 else two_windows, methanol_like.select(slice(0, n)))
        for n in (9, 1, 4, 8, 2, 9, 7, 3, 5)
    ]


def test_draws(published_policy, two_windows, methanol_like, recipe):
    bounds = np.array(recipe.BOUNDS)
    draws = published_policy.sample(two_windows, methanol_like, 200, seed=3)
    assert draws.shape == (200, 5)
    assert draws.dtype == np.float64
    assert ((draws >= bounds[:, 0]) & (draws <= bounds[:, 1])).all()
    assert (draws.std(axis=0) > 1e-3 * np.ptp(bounds, axis=1)).all()
    np.testing.assert_array_equal(draws, published_policy.sample(two_windows, methanol_like, 200, seed=3))
    assert not np.isclose(draws, published_policy.sample(two_windows, methanol_like, 200, seed=4)).any()
    np.testing.assert_allclose(
        draws[:20], published_policy.sample(two_windows, methanol_like, 20, seed=3), rtol=1e-4, atol=1e-4
    )
    assert np.isfinite(published_policy.log_prob(two_windows, methanol_like, draws)).all()


def test_draws_are_those_of_the_uniform_numbers_of_the_seed(published_policy, two_windows, methanol_like):
    draws = published_policy.sample(two_windows, methanol_like, 40, seed=3)
    z = torch.as_tensor(np.random.default_rng(3).random((40, 5)))
    condition = published_policy.conditions([Case(two_windows, methanol_like)])
    with torch.no_grad():
        x = torch.as_tensor(draws)[None]
        u = (
            x - published_policy.network.sampler.scaler_rand.x_min
        ) / published_policy.network.sampler.scaler_rand.scale
        for layer in published_policy.network.sampler.transform:
            u, _ = layer(u, condition)
    torch.testing.assert_close(u[0], z, rtol=0.0, atol=1e-4)


def test_batches_change_nothing(published_policy, cases):
    """Padding and neighbours in a batch: only rounding."""
    together = published_policy.conditions(cases)
    alone = torch.cat([published_policy.conditions([case]) for case in cases])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert (together[0] - together[3]).abs().max() > 1e-3
    seeds = list(range(len(cases)))
    draws = published_policy.sample_cases(cases, 8, seeds)
    assert draws.shape == (len(cases), 8, 5)
    width = published_policy.upper - published_policy.lower
    for case, seed, drawn in zip(cases, seeds, draws, strict=True):
        expected = published_policy.sample(case.observation, case.transitions, 8, seed)
        np.testing.assert_allclose((drawn - expected) / width, 0.0, atol=1e-5)


def test_what_padding_holds_does_not_matter(published_policy):
    rng = np.random.default_rng(0)
    backbone, s = published_policy.network.backbone, published_policy.network.settings
    lines = torch.as_tensor(rng.standard_normal((2, 6, s.d_sl)), dtype=torch.float32)
    patches = torch.as_tensor(rng.standard_normal((2, 6, s.n_patch, s.d_model)), dtype=torch.float32)
    ignore = torch.zeros(2, 6, dtype=torch.bool)
    ignore[:, 4:] = True
    short = backbone(patches[:, :4], lines[:, :4])
    padded = backbone(patches, lines, ignore)
    torch.testing.assert_close(padded, short, rtol=1e-5, atol=1e-5)
    assert (backbone(patches, lines) - short).abs().max() > 1e-3
    order = torch.as_tensor(rng.permutation(4))
    torch.testing.assert_close(backbone(patches[:, order], lines[:, order]), short, rtol=1e-5, atol=1e-5)


def test_windows_in_another_order(published_policy, two_windows, methanol_like):
    swapped = Observation(two_windows.windows[::-1])
    torch.testing.assert_close(
        published_policy.conditions([Case(swapped, methanol_like)]),
        published_policy.conditions([Case(two_windows, methanol_like)]),
        rtol=1e-5,
        atol=1e-5,
    )


def test_long_lists_are_read_in_pieces(published_policy, two_windows, methanol_like):
    """More lines than are held at once, and than a batch takes."""
    n = 1500
    first, last = two_windows.windows[0].nu[[0, -1]]
    many = replace(
        methanol_like,
        **{
            name: np.repeat(getattr(methanol_like, name), n)[:n]
            for name in ("einstein_a", "g_upper", "e_lower", "frequency_error", "upper", "lower", "hyperfine")
        },
        frequency=np.linspace(first, last, n),
    )
    few = Case(two_windows, methanol_like)
    together = published_policy.conditions([few, Case(two_windows, many), few])
    torch.testing.assert_close(together[0], together[2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together[:1], published_policy.conditions([few]), rtol=1e-5, atol=1e-5)
    assert torch.isfinite(together).all()


def test_density_in_parameter_units_differs_by_the_volume(
    published_policy, two_windows, methanol_like, recipe
):
    x = published_policy.sample(two_windows, methanol_like, 5, seed=0)
    cube = published_policy.log_prob(two_windows, methanol_like, x)
    unit = published_policy.log_prob(two_windows, methanol_like, x, per_unit=True)
    np.testing.assert_allclose(cube - unit, np.log(np.prod(np.ptp(recipe.BOUNDS, axis=1))), rtol=1e-6)


def test_no_density_outside_the_bounds(published_policy, two_windows, methanol_like, recipe):
    low, high = np.array(recipe.BOUNDS).T
    rows = np.array([low, high, 0.5 * (low + high), low - 0.1, high + 0.1])
    found = published_policy.log_prob(two_windows, methanol_like, rows)
    np.testing.assert_array_equal(np.isfinite(found), [True, True, True, False, False])
    assert (found[3:] == -np.inf).all()


def test_by_name_and_by_lines(published_file, two_windows, database):
    policy = PublishedPolicy.load(published_file, database)
    observation = two_windows
    species = next(
        s
        for s in database.species
        if len(database.select(s, [(w.nu[0], w.nu[-1]) for w in observation.windows])) > 2
    )
    by_name = policy.sample(observation, species, 6, seed=1)
    by_lines = policy.sample(observation, database.select(species), 6, seed=1)
    np.testing.assert_allclose(by_name, by_lines, rtol=1e-5, atol=1e-5)


def test_clipping_changes_the_draws(published_file, two_windows, methanol_like):
    as_is = PublishedPolicy.load(published_file)
    clipped = PublishedPolicy.load(published_file, clip_negative=True)
    positive = Observation(
        tuple(replace(w, intensity=np.maximum(w.intensity, 0.0)) for w in two_windows.windows)
    )
    case, flat = Case(two_windows, methanol_like), Case(positive, methanol_like)
    torch.testing.assert_close(clipped.conditions([case]), as_is.conditions([flat]))
    assert not torch.allclose(clipped.conditions([case]), as_is.conditions([case]))


def test_another_database_is_refused(published_file, published_content, database, tmp_path):
    """The width of the network's input is the number of temperatures of the partition function."""
    path = tmp_path / "short.db"
    with sqlite3.connect(path) as file:
        columns = ", ".join(f"PF_{t}_000 REAL" for t in (100, 200, 300))
        file.execute(f"CREATE TABLE Partitionfunctions (PF_Name TEXT, {columns})")
        file.execute(
            "CREATE TABLE Transitions (T_Name TEXT, T_Frequency REAL, T_EinsteinA REAL, T_EnergyLower REAL, "
            "T_UpperStateDegeneracy REAL)"
        )
    with (
        LineDatabase(path) as short,
        pytest.raises(InputError, match=r"^weights: .* at 110 temperatures, .* has 3"),
    ):
        PublishedPolicy.load(published_file, short)
    content = published_content()
    content["config"]["nn"]["backbone"]["d_sl"] = 90
    content["model_state"] = PublishedNetwork(read_settings(content["config"])).state_dict()
    torch.save(content, tmp_path / "narrow.pt")
    for given in (None, database):
        with pytest.raises(InputError, match=r"^weights: .* at 86 temperatures, .* has 110"):
            PublishedPolicy.load(tmp_path / "narrow.pt", given)


@pytest.mark.parametrize(
    "rows",
    [np.zeros(5), np.zeros((3, 4)), np.full((2, 5), np.nan), np.zeros((1, 2, 5))],
    ids=["one row", "four columns", "NaN", "three dimensions"],
)
def test_bad_parameters(published_policy, two_windows, methanol_like, rows):
    with pytest.raises(InputError, match=r"^parameters: "):
        published_policy.log_prob(two_windows, methanol_like, rows)


def test_bad_calls(published_policy, published_file, two_windows, methanol_like):
    with pytest.raises(InputError, match=r"^n: 0 draws"):
        published_policy.sample(two_windows, methanol_like, 0, seed=1)
    with pytest.raises(InputError, match=r"^n: 3 draws with 1 seeds for 2 cases"):
        published_policy.sample_cases([Case(two_windows, methanol_like)] * 2, 3, [1])
    with pytest.raises(InputError, match=r"^species: 'CH3OH' can only be looked up"):
        published_policy.sample(two_windows, "CH3OH", 3, seed=1)
    elsewhere = replace(methanol_like, frequency=methanol_like.frequency + 5e4)
    with pytest.raises(InputError, match=r"^species: CH3OH;v=0; has no line"):
        published_policy.sample(two_windows, elsewhere, 3, seed=1)
    for device in ("warp", "meta"):
        with pytest.raises(InputError, match=rf"^device: '{device}'"):
            PublishedPolicy.load(published_file, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpu_where_there_is_none(published_file):
    with pytest.raises(InputError, match=r"^device: 'cuda' was asked for, but"):
        PublishedPolicy.load(published_file, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_gpu_gives_the_same(published_policy, published_file, cases):
    policy = PublishedPolicy.load(published_file, device="cuda")
    seeds = list(range(len(cases)))
    width = policy.upper - policy.lower
    difference = policy.sample_cases(cases, 8, seeds) - published_policy.sample_cases(cases, 8, seeds)
    np.testing.assert_allclose(difference / width, 0.0, atol=1e-4)


def test_threads_change_no_bit(published_policy, two_windows, methanol_like):
    expected = published_policy.sample(two_windows, methanol_like, 50, seed=1)
    torch.set_num_threads(3)  # a fixture puts it back
    np.testing.assert_array_equal(published_policy.sample(two_windows, methanol_like, 50, seed=1), expected)
    assert torch.get_num_threads() == 3


def test_no_cases(published_policy):
    assert published_policy.sample_cases([], 3, []).shape == (0, 3, 5)
