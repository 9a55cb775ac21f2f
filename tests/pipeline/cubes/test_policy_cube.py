"""Cubes whose pixels start where a policy proposes: the same bits however the work is divided, and a full record."""

import hashlib
from importlib import import_module

import numpy as np
import pytest
from astropy import units as u

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes import fit_cube as module
from spectuner_ext.pipeline.cubes.fit_cube import fit_cube
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_ext.policy.policy import FittingPolicy

SHAPE = (6, 7)
WINDOWS = [(218_350.0, 218_650.0, 0.9), (229_700.0, 229_900.0, 0.9)]


def member(species, ratio=1.0):
    y, x = np.indices(SHAPE)
    return {
        "species": species,
        "T_ex": 80.0 + 10.0 * y,
        "N_tot": np.where((y == 0) | (x == 6), 0.0, ratio * 10.0 ** (16.8 + 0.05 * x)),
        "fwhm": 5.0,
        "filling_factor": 0.5,
        "v_off": 0.3 * (x - 3.0),
    }


@pytest.fixture(scope="module")
def two_species(tmp_path_factory, database):
    scene = simulate_cube(
        tmp_path_factory.mktemp("policy_scene") / "core",
        WINDOWS,
        [member("CH3OH"), member("CH3OCHO", 3.0)],
        database,
        shape=SHAPE,
        beam=1.0 * u.arcsec,
        noise=0.03,
    )
    return observe_cube(list(scene.files))


@pytest.fixture
def by_policy(two_species, database, policy_weights):
    def fit(species=("CH3OH",), **settings):
        given = {"initial": "policy", "policy": policy_weights, "loss": "pm", "workers": 1, "ninit": 20}
        return fit_cube(two_species, list(species), database, **(given | settings))

    return fit


def differing(a, b):
    return [name for name in a.outcome if a.outcome[name].tobytes() != b.outcome[name].tobytes()]


def lines():
    y, x = np.indices(SHAPE)
    return (y > 0) & (x < 6)


@pytest.mark.parametrize("loss", ["chi2", "pm"])
@pytest.mark.parametrize("every", [1, 3])
def test_even_an_untrained_network_costs_no_detection(by_policy, two_species, database, loss, every):
    maps = by_policy(loss=loss, policy_every=every)
    plain = fit_cube(two_species, ["CH3OH"], database, loss=loss, workers=1)
    np.testing.assert_array_equal(maps.good("CH3OH"), plain.good("CH3OH"))
    np.testing.assert_array_equal(maps.good("CH3OH"), lines())
    assert maps.meta["run"]["stages"][0]["name"] == ("fit" if every == 1 else "fit_0")


def test_species_are_fitted_together(by_policy, two_species, database):
    species = ["CH3OH", "CH3OCHO"]
    maps = by_policy(species, loss="chi2")
    plain = fit_cube(two_species, species, database, workers=1)
    for name in species:
        known = maps.good(name)
        assert np.count_nonzero(known != plain.good(name)) <= 1
        assert np.count_nonzero(known & lines()) >= 25
        wrong = maps.quantity(name, "v_off").value - 0.3 * (np.indices(SHAPE)[1] - 3.0)
        pull = wrong / maps.error(name, "v_off").value
        # 30 pixels, 4.5 sigma
        assert np.max(np.abs(pull[known])) < 4.5
    # another minimum here or there
    assert np.mean((maps.outcome["loss"] <= plain.outcome["loss"] + 0.5)[lines()]) > 0.9


@pytest.mark.parametrize("every", [1, 2])
def test_neither_workers_nor_layout_nor_store_change_a_bit(by_policy, monkeypatch, tmp_path, every):
    whole = by_policy(("CH3OH", "CH3OCHO"), policy_every=every)
    assert differing(by_policy(("CH3OH", "CH3OCHO"), policy_every=every, workers=3), whole) == []
    original = module.lay_out
    for block in ((2, 3), (1, 1)):
        monkeypatch.setattr(module, "lay_out", lambda shape, n, b=block: type(original(shape, n))(shape, b))
        store = {"store": tmp_path / f"{block[0]}{block[1]}"}
        again = by_policy(("CH3OH", "CH3OCHO"), policy_every=every, workers=2, **store)
        assert differing(again, whole) == []


def test_a_stopped_run_goes_on_to_the_same_maps(by_policy, monkeypatch, tmp_path):
    original = module.lay_out
    monkeypatch.setattr(module, "lay_out", lambda shape, n: type(original(shape, n))(shape, (2, 7)))
    whole = by_policy()
    seen = []
    stopped = by_policy(store=tmp_path / "s", progress=lambda r: seen.append(r) or True)
    assert stopped.meta["run"]["cancelled"]
    assert differing(stopped, whole)
    done = by_policy(store=tmp_path / "s", resume=True)
    assert done.meta["run"]["n_restored"] > 0
    assert differing(done, whole) == []


def test_a_store_of_another_policy_is_refused(by_policy, tmp_path, policy_weights):
    path = tmp_path / "s"
    by_policy(store=path)
    other = tmp_path / "other.safetensors"
    policy = FittingPolicy.load(policy_weights)
    from spectuner_ext.policy.weights import save_network

    network = policy.engine.network
    weight = next(network.parameters())
    weight.data += 0.01
    save_network(network, other, {})
    for changes in ({"policy": other}, {"ninit": 21}, {"policy_every": 2}):
        with pytest.raises(InputError, match="the starting values differ"):
            by_policy(store=path, resume=True, **changes)
    assert by_policy(store=path, resume=True).meta["run"]["n_restored"] == 42


def test_seeds_decide_and_maps_say_what_was_asked(by_policy, policy_weights):
    maps, other = by_policy(max_sweeps=0), by_policy(max_sweeps=0, seed=1)
    assert differing(maps, other)
    told = maps.meta["settings"]["policy"]
    assert told["sha256"] == hashlib.sha256(policy_weights.read_bytes()).hexdigest()
    assert told["notes"] == {"stage": "none"}
    assert (told["n_draws"], told["every"], maps.meta["settings"]["seed"]) == (20, 1, 0)
    assert maps.meta["settings"]["initial"] == "policy"


def test_the_policy_is_asked_where_it_is_due(by_policy, monkeypatch):
    asked = []
    from spectuner_ext.policy.pixel_draws import PixelDraws

    original = PixelDraws.draw
    monkeypatch.setattr(
        PixelDraws, "draw", lambda self, block, *a: asked.append(block.pixel) or original(self, block, *a)
    )
    by_policy(loss="chi2")
    everywhere = np.concatenate(asked)
    # pixels without peaks are not worth it
    assert {tuple(p) for p in everywhere} == {tuple(p) for p in np.argwhere(lines())}
    asked.clear()
    by_policy(loss="chi2", policy_every=3)
    first = {tuple(p) for p in np.concatenate(asked)}
    assert {(1, 1), (1, 4), (4, 1), (4, 4)} <= first
    assert len(first) < 0.5 * len(everywhere)


def test_held_maps_and_bounds_are_kept(by_policy):
    y, _ = np.indices(SHAPE)
    held = np.where(y < 3, 85.0, np.nan)
    maps = by_policy(fixed={"T_ex": held}, bounds={"fwhm": (4.0, 6.0)}, loss="chi2")
    theta = maps.outcome["theta"][..., 0, :]
    good = maps.good("CH3OH")
    assert np.all(theta[good & (y < 3), 1] == 85.0)
    assert np.all((theta[good, 3] >= 4.0) & (theta[good, 3] <= 6.0))
    assert len(np.unique(theta[good & (y >= 3), 1])) > 5


def test_pixels_can_be_fitted_again_by_a_policy(by_policy, two_species, database):
    plain = fit_cube(two_species, ["CH3OH"], database, loss="pm", workers=1)
    wanted = np.zeros(SHAPE, dtype=bool)
    wanted[2, 3] = True
    again = by_policy(redo=wanted, onto=plain)
    np.testing.assert_array_equal(again.flagged("REDONE"), wanted)
    assert again.outcome["loss"][2, 3] <= plain.outcome["loss"][2, 3]
    assert again.meta["redone"][0]["changes"]["initial"] == "policy"


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({"policy": "nowhere.safetensors"}, "policy: there is no file"),
        ({"initial": None, "policy": None, "policy_every": 2}, "policy_every: is for initial='policy'"),
        ({"initial": "neighbours"}, "policy: is for initial='policy'"),
        ({"policy_every": 0}, "policy_every: needs a whole number"),
        ({"bounds": {"v_off": (20, 30)}}, "bounds: v_off"),
        ({"device": "abacus"}, "device: "),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(by_policy, tmp_path, options, begins):
    with pytest.raises(InputError, match=f"^{begins}"):
        by_policy(store=tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_dask_workers_give_the_same_bits(by_policy):
    distributed = import_module("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
    ) as cluster:
        assert differing(by_policy(workers=None, client=cluster), by_policy()) == []
