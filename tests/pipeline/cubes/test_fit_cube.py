"""The whole fit of a small cube: against the truth, as a single spectrum, resumed, on a cluster, redone."""

import dataclasses
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from spectuner_ext.errors import InputError, SpeciesError
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes import fit_cube as module
from spectuner_ext.pipeline.cubes.fit_cube import fit_cube
from spectuner_ext.pipeline.cubes.map_files import write_maps
from spectuner_ext.pipeline.cubes.outcome import NOT_FITTED, PixelFlag
from spectuner_ext.pipeline.cubes.pixel_spectrum import spectrum_of
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_ext.pipeline.spectrum import fit_spectrum

SHAPE = (9, 8)
WINDOWS = [(218_350.0, 218_650.0, 0.9), (229_700.0, 229_900.0, 0.9)]
SPECIES = "CH3OH;v=0;"


def truth():
    y, x = np.indices(SHAPE)
    return {
        "species": "CH3OH",
        "T_ex": 80.0 + 10.0 * y,
        "N_tot": np.where((y == 0) | (x == 7), 0.0, 10.0 ** (16.8 + 0.05 * x)),
        "fwhm": 5.0,
        "filling_factor": 0.5,
        "v_off": 0.3 * (x - 3.5),
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory, database):
    """Files of a cube whose first row and last column hold no lines, and a corner no data."""
    blank = np.zeros(SHAPE, dtype=bool)
    blank[7:, :2] = True
    return simulate_cube(
        tmp_path_factory.mktemp("scene") / "core",
        WINDOWS,
        [truth()],
        database,
        shape=SHAPE,
        beam=1.0 * u.arcsec,
        noise=0.03,
        blank=blank,
    )


@pytest.fixture(scope="module")
def cube(scene):
    return observe_cube(list(scene.files))


def fitted(cube, database, **settings):
    return fit_cube(cube, ["CH3OH"], database, **{"ninit": 200, "workers": 1, **settings})


@pytest.fixture(scope="module")
def maps(cube, database):
    return fitted(cube, database)


def same(a, b):
    assert [name for name in a.outcome if a.outcome[name].tobytes() != b.outcome[name].tobytes()] == []


def test_the_truth_is_found(maps):
    y, x = np.indices(SHAPE)
    blank = (y >= 7) & (x < 2)
    lines = (y > 0) & (x < 7) & ~blank
    np.testing.assert_array_equal(maps.good("CH3OH"), lines)
    np.testing.assert_array_equal(maps.flagged(PixelFlag.NO_DATA), blank)
    assert (maps.outcome["status"][blank] == NOT_FITTED).all()
    for name in ("T_ex", "v_off", "fwhm"):
        pull = (maps.quantity("CH3OH", name).value - truth()[name]) / maps.error("CH3OH", name).value
        assert abs(np.nanmean(pull[lines])) < 5 / np.sqrt(lines.sum())
        assert 0.6 < np.nanstd(pull[lines]) < 1.5
    assert not maps.meta["run"]["cancelled"]
    assert maps.meta["noise"]["sigma_K"] == pytest.approx([0.03, 0.03], rel=0.1)
    assert maps.meta["settings"]["loss"] == "chi2"


def test_a_pixel_has_the_minimum_that_a_fit_of_its_spectrum_finds(maps, cube, database):
    alone = fit_spectrum(cube.spectrum(4, 3), ["CH3OH"], database)
    assert maps.outcome["chi2"][4, 3] < alone.chi2 + 0.1
    np.testing.assert_allclose(maps.outcome["theta"][4, 3], alone.components, rtol=0.02)
    np.testing.assert_allclose(maps.outcome["error"][4, 3], alone.errors, rtol=0.1)


def test_neither_store_nor_workers_nor_layout_change_a_bit(maps, cube, database, tmp_path, monkeypatch):
    same(fitted(cube, database, workers=3), maps)
    kept = fitted(cube, database, store=tmp_path / "s")
    same(kept, maps)
    again = fitted(cube, database, store=tmp_path / "s", resume=True)
    same(again, maps)
    assert again.meta["run"]["n_restored"] == cube.region.sum()
    assert kept.meta["run"]["n_restored"] == 0
    original = module.lay_out
    monkeypatch.setattr(module, "lay_out", lambda shape, n: type(original(shape, n))(shape, (2, 3)))
    same(fitted(cube, database, workers=2), maps)


def test_a_cube_can_be_given_by_its_files(maps, scene, database):
    same(fitted(list(scene.files), database), maps)


@pytest.mark.slow
def test_dask_workers_give_the_same_bits(maps, cube, scene, database):
    distributed = import_module("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50, memory_limit=0
    ) as cluster:
        same(fit_cube(cube, ["CH3OH"], database, ninit=200, client=cluster), maps)
        proposed = fit_cube(cube, ["CH3OH"], database, ninit=200, client=cluster, initial=Propose())
        same(proposed, fitted(cube, database, initial=Propose()))


class Propose:
    """Starts that a policy would give."""

    def __call__(self, block):
        starts = np.full((block.n_pixel, 1, 5), np.nan)
        starts[:, 0] = [np.log10(0.5), 120.0, 16.9, np.log10(5.0), 0.0]
        return starts

    def fingerprint(self):
        return "constant"


KILLED = """
import os, signal, sys
from spectuner_ext.pipeline.cubes.fit_cube import fit_cube
from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.spectroscopy import LineDatabase
seen = []
def progress(report):
    seen.append(report["block"])
    if len(seen) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
with LineDatabase.open() as database:
    fit_cube(observe_cube(sys.argv[3:]), ["CH3OH"], database, ninit=200, workers=1, store=sys.argv[1], resume=True,
             progress=progress)
"""


def files_of(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_killed_and_resumed_the_store_has_the_same_bytes(maps, cube, scene, database, tmp_path):
    fitted(cube, database, store=tmp_path / "whole")
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "s"), "1", *scene.files], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert 0 < len(files_of(tmp_path / "s")) < len(files_of(tmp_path / "whole"))
    done = fitted(cube, database, store=tmp_path / "s", resume=True)
    assert 0 < done.meta["run"]["n_restored"] < cube.region.sum()
    same(done, maps)
    assert files_of(tmp_path / "s") == files_of(tmp_path / "whole")


def test_a_cancelled_fit_says_so(cube, database):
    stopped = fitted(cube, database, progress=lambda report: True)
    assert stopped.meta["run"]["cancelled"]
    assert stopped.flagged(PixelFlag.NOT_REACHED).any()
    assert "cancelled" in stopped.meta["run"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 7}, "species, parameters or settings"),
        ({"bounds": {"T_ex": (5.0, 500.0)}}, "species, parameters or settings"),
        ({"min_peaks": 2.0}, "pixels worth fitting"),
        ({"initial": {"T_ex": 100.0}}, "starting values"),
        ({"region": True}, "the cube or what is selected"),
    ],
)
def test_the_store_of_another_run_is_refused(cube, scene, database, tmp_path, change, words):
    fitted(cube, database, store=tmp_path / "s", progress=lambda report: True)
    settings = dict(change)
    if settings.pop("region", False):
        region = np.ones(SHAPE, dtype=bool)
        region[3] = False
        cube = observe_cube(list(scene.files), region=region)
    with pytest.raises(InputError, match=rf"^store: .*another run.*{words}"):
        fitted(cube, database, store=tmp_path / "s", resume=True, **settings)


def start_maps():
    own = truth()
    return {name: np.broadcast_to(own[name], SHAPE).astype(float) for name in ("T_ex", "fwhm", "v_off")}


@pytest.mark.parametrize(
    "kind", ["numbers", "maps", "quantities", "species", "result", "file", "table", "spectrum", "neighbours"]
)
def test_every_kind_of_start_ends_in_the_same_minimum(maps, cube, database, tmp_path, kind):
    own = start_maps()
    initial = {
        "numbers": {"T_ex": 100.0, "v_off": 0.0},
        "maps": own,
        "quantities": {"fwhm": 5000.0 * np.ones(SHAPE) * u.m / u.s, "T_ex": own["T_ex"] * u.K},
        "species": {"CH3OH": {"T_ex": [own["T_ex"]], "fwhm": 5.0}},
        "result": maps,
        "table": maps.to_table(),
        "spectrum": QTable({"species": [SPECIES], "T_ex": [110.0] * u.K, "fwhm": [5.0] * u.km / u.s}),
        "neighbours": "neighbours",
    }.get(kind)
    if kind == "file":
        write_maps(tmp_path / "m", maps, plots=False)
        initial = str(tmp_path / "m")
    done = fitted(cube, database, initial=initial)
    np.testing.assert_array_equal(done.good("CH3OH"), maps.good("CH3OH"))
    good = maps.good("CH3OH")
    assert (done.outcome["loss"][good] < maps.outcome["loss"][good] + 0.01).all()


def test_components_of_a_species_have_maps_of_their_own(database, tmp_path):
    """Which of two velocities is that of the first component changes from column to column, as the maps say."""
    parts = [
        {"species": "CH3OH", "T_ex": 100.0, "N_tot": n, "fwhm": 4.0, "filling_factor": 0.5, "v_off": v}
        for v, n in ((-4.0, 1e17), (4.0, 3e17))
    ]
    scene = simulate_cube(
        tmp_path / "two", WINDOWS, parts, database, shape=(4, 4), beam=1.0 * u.arcsec, noise=0.03
    )
    first = np.where(np.arange(4) % 2, -4.0, 4.0) * np.ones((4, 1))
    done = fit_cube(
        list(scene.files),
        ["CH3OH"],
        database,
        components=2,
        initial={"CH3OH": {"T_ex": 100.0, "fwhm": 4.0, "N_tot": np.full((2, 4, 4), 1e17)}},
        fixed={"filling_factor": 0.5, "v_off": [first, -first]},
        workers=1,
        ninit=200,
    )
    for number, expected in ((1, first), (2, -first)):
        np.testing.assert_allclose(done.quantity("CH3OH", "v_off", number).value, expected, rtol=1e-6)
        column = np.log10(done.quantity("CH3OH", "N_tot", number).value)
        np.testing.assert_allclose(column, np.where(expected < 0, 17.0, np.log10(3e17)), atol=0.1)


def test_a_parameter_can_be_held_at_a_map(cube, database):
    t_ex = np.where(np.arange(SHAPE[1]) < 4, truth()["T_ex"], np.nan)
    done = fitted(cube, database, fixed={"CH3OH": {"T_ex": t_ex}, "fwhm": 5.0})
    good = done.good("CH3OH")
    held = good & np.isfinite(t_ex)
    np.testing.assert_allclose(done.quantity("CH3OH", "T_ex").value[held], t_ex[held], rtol=1e-12)
    assert np.isnan(done.error("CH3OH", "T_ex").value[held]).all()
    assert np.isfinite(done.error("CH3OH", "T_ex").value[good & ~held]).all()
    assert done.held("CH3OH", "T_ex") is None
    np.testing.assert_array_equal(done.held_where("CH3OH", "T_ex"), np.isfinite(t_ex))
    assert done.held_where("CH3OH", "fwhm").all()
    assert not done.held_where("CH3OH", "N_tot").any()
    one = spectrum_of(done, cube, *np.argwhere(held)[0], database=database)
    assert np.isnan(one["parameters"]["T_ex_err"][0].value)


def test_redone_pixels_lie_on_top_of_the_result(maps, cube, database, tmp_path):
    wanted = np.zeros(SHAPE, dtype=bool)
    wanted[0, :3] = wanted[3, 4] = True  # some were not worth a fit
    fitted(cube, database, store=tmp_path / "s")
    stored = fitted(cube, database, store=tmp_path / "s", redo=wanted, initial={"T_ex": 110.0})
    loose = fitted(cube, database, redo=wanted, onto=maps, initial={"T_ex": 110.0})
    same(stored, loose)
    np.testing.assert_array_equal(stored.flagged(PixelFlag.REDONE), wanted)
    for name, array in maps.outcome.items():
        np.testing.assert_array_equal(stored.outcome[name][~wanted], array[~wanted])
    assert stored.fitted[wanted].all()
    assert stored.outcome["loss"][3, 4] <= maps.outcome["loss"][3, 4]
    resumed = fitted(cube, database, store=tmp_path / "s", resume=True)
    same(resumed, stored)


@pytest.mark.parametrize("stored", [True, False])
def test_bounds_and_settings_stay_those_of_the_first_fit(maps, cube, database, tmp_path, stored):
    """What was different for the pixels that were fitted again is told beside them, also after a resume."""
    where = {"store": tmp_path / "s"} if stored else {"onto": maps}
    if stored:
        fitted(cube, database, **where)
    wanted = np.zeros(SHAPE, dtype=bool)
    wanted[4, 3] = True
    other = {"bounds": {"T_ex": (10.0, 30.0)}, "noise_from": "cube", "replace": True, "note": {"why": "cold"}}
    again = fitted(cube, database, redo=wanted, **where, **other)
    where = {"store": tmp_path / "s"} if stored else {"onto": again}
    twice = fitted(cube, database, redo=wanted, **where, ninit=100)
    assert again.outcome["theta"][4, 3, 0, 1] <= 30.0 + 1e-9
    for done in (again, twice):
        np.testing.assert_array_equal(done.lower, maps.lower)
        np.testing.assert_array_equal(done.space.upper, maps.space.upper)
        assert done.meta["settings"] == maps.meta["settings"]
    first, second = twice.meta["redone"]
    assert again.meta["redone"] == [first]
    assert first["note"] == {"why": "cold"}
    assert (first["n_pixel"], first["replace"], second["replace"]) == (1, True, False)
    assert set(first["changes"]) == {"bounds", "lower", "upper", "selection"}
    assert first["changes"]["upper"][1] == 30.0
    assert second["changes"] == {"ninit": 100}
    if stored:
        resumed = fitted(cube, database, store=tmp_path / "s", resume=True)
        assert resumed.meta["redone"] == twice.meta["redone"]
        assert resumed.meta["settings"] == maps.meta["settings"]
    assert "redone" not in maps.meta


def test_a_pixel_outside_the_region_that_is_redone_counts_as_asked_for(maps, cube, scene, database, tmp_path):
    region = np.zeros(SHAPE, dtype=bool)
    region[2:5, 2:5] = True
    part = observe_cube(list(scene.files), region=region)
    wanted = np.zeros(SHAPE, dtype=bool)
    wanted[5, 5] = True
    fitted(part, database, store=tmp_path / "s")
    done = fitted(part, database, store=tmp_path / "s", redo=wanted)
    resumed = fitted(part, database, store=tmp_path / "s", resume=True)
    for one in (done, resumed):
        np.testing.assert_array_equal(one.region, region | wanted)
        np.testing.assert_array_equal(one.region, ~one.flagged(PixelFlag.OUTSIDE_REGION))
        assert one.fitted[5, 5]


def test_other_held_values_are_refused_in_a_redo(cube, database):
    held = {"fixed": {"T_ex": 100.0}}
    before = fitted(cube, database, **held)
    wanted = np.zeros(SHAPE, dtype=bool)
    wanted[4, 3] = True
    with pytest.raises(
        InputError, match=r"^onto: the maps has other held values|^onto: .* other held values"
    ):
        fitted(cube, database, redo=wanted, onto=before, fixed={"T_ex": 50.0})
    map_of = np.full(SHAPE, 100.0)
    with pytest.raises(
        InputError, match=r"^onto: .* other maps of held values|^onto: .* other free parameters"
    ):
        fitted(cube, database, redo=wanted, onto=before, fixed={"T_ex": map_of})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_sweeps": -1}, "^max_sweeps: needs a whole number from 0 up, got -1"),
        ({"max_sweeps": 1.5}, "^max_sweeps: needs a whole number"),
        ({"max_sweeps": "a"}, "^max_sweeps: needs a whole number"),
        ({"workers": 0}, "^workers: needs a whole number from 1 up"),
        ({"workers": 1.5}, "^workers: needs a whole number"),
        ({"ninit": 2.5}, "^ninit: needs a whole number from 1 up"),
        ({"ninit": 0}, "^ninit: needs a whole number from 1 up"),
        ({"ninit": True}, "^ninit: needs a whole number from 1 up, got True"),
        ({"seed": "a"}, "^seed: needs a whole number from 0 up"),
        ({"seed": -1}, "^seed: needs a whole number from 0 up"),
        ({"noise_factor": -1}, "^noise_factor: needs a number above 0, got -1"),
        ({"noise_factor": "a"}, "^noise_factor: needs a number, got 'a'"),
        ({"noise_factor": np.inf}, "^noise_factor: needs a number, got inf"),
        ({"rel_height": 2}, "^rel_height: needs a number above 0 to 1, got 2"),
        ({"rel_height": 0}, "^rel_height: needs a number above 0 to 1, got 0"),
        ({"offset": -1}, "^offset: needs a number from 0 up"),
        ({"offset": "a"}, "^offset: needs a number, got 'a'"),
        ({"min_peaks": "a"}, "^min_peaks: needs a number, got 'a'"),
        ({"min_peaks": np.nan}, "^min_peaks: needs a number, got nan"),
        ({"progress": 5}, "^progress: needs a function of a report, got 5"),
        ({"store": 5}, "^store: needs the path of a folder, got 5"),
        ({"redo": np.ones(SHAPE, dtype=bool), "onto": 5}, "^onto: needs the maps of an earlier fit"),
        ({"client": 5, "workers": None}, "^client: needs a distributed.Client"),
        ({"note": {}}, "^note: goes with redo"),
        ({"client": "tcp://x:1"}, "^workers: .* a client has workers of its own"),
        ({"resume": True}, "^resume: needs store"),
        ({"overwrite": True}, "^overwrite: needs store"),
        ({"store": "s", "resume": True, "overwrite": True}, "^resume: cannot go on"),
        ({"replace": True}, "^replace: goes with redo"),
        ({"redo": np.ones(SHAPE, dtype=bool)}, "^redo: needs either store or onto"),
        ({"redo": np.ones((2, 2), dtype=bool), "store": "none"}, "^redo: needs a boolean array of the shape"),
        ({"redo": np.zeros(SHAPE, dtype=bool), "store": "none"}, "^redo: no pixel is chosen"),
        ({"redo": np.ones(SHAPE, dtype=bool), "store": "none"}, "^store: there is nothing at none"),
        ({"initial": 3}, "^initial: needs 'draws', 'neighbours'"),
        ({"initial": "no/such"}, "^initial: 'no/such' is neither"),
        ({"initial": {"T_ex": np.ones((3, 3))}}, r"^initial: the map of T_ex has the shape \(3, 3\)"),
        ({"initial": {"T_ex": -np.ones(SHAPE)}}, "^initial: T_ex must be positive"),
        ({"initial": {"T_ex": np.ones(SHAPE) * u.m}}, "^initial: the map of T_ex needs numbers in K"),
        ({"initial": {"heat": np.ones(SHAPE)}}, "^initial: unknown parameter 'heat'"),
        ({"initial": {"H2O": {"T_ex": np.ones(SHAPE)}}}, "^initial: 'H2O' is not among"),
        ({"initial": {"T_ex": np.ones((3, *SHAPE))}}, "^initial: T_ex has 3 maps"),
        (
            {"initial": QTable({"x": [0], "y": [99], "species": [SPECIES], "T_ex": [9.0]})},
            "^initial: .* outside",
        ),
        (
            {"initial": QTable({"x": [0], "y": [1], "species": ["H2O"], "T_ex": [9.0]})},
            "^initial: the table has no row",
        ),
        ({"fixed": {"T_ex": np.ones((3, 3))}}, "^fixed: the map of T_ex"),
        ({"fixed": {"source_size": np.zeros(SHAPE)}}, "^fixed: source_size must be positive"),
        ({"noise_from": "sky"}, "^noise"),
        ({"min_peaks": -1.0}, "^min_peaks"),
        ({"loss": "l1"}, "^loss"),
    ],
)
def test_bad_requests_are_refused(cube, database, tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        fitted(cube, database, **settings)
    assert not os.listdir(tmp_path)


def test_maps_that_do_not_fit_are_refused(maps, cube, scene, database, tmp_path):
    region = np.zeros(SHAPE, dtype=bool)
    region[2, 2] = True
    fitted(observe_cube(list(scene.files), region=region), database, store=tmp_path / "s")
    with pytest.raises(InputError, match=r"^store: .* another cube"):
        fitted(cube, database, store=tmp_path / "s", redo=region)
    with pytest.raises(InputError, match=r"^onto: .* other free parameters"):
        fitted(cube, database, onto=maps, redo=region, fixed={"T_ex": 100.0})
    with pytest.raises(InputError, match=r"^initial: .* of which nothing is fitted"):
        fitted(cube, database, initial=dataclasses.replace(maps, components=(("H2O", 1),)))


@pytest.mark.parametrize(
    ("species", "message"),
    [
        ("CH3OH", r"^species: needs a list of names, such as \['CH3OH'\], got 'CH3OH'"),
        (5, "^species: needs a list of names"),
        ([5], "^species: needs names"),
        ([""], "^species: needs names"),
        ([], "^species: give at least one name"),
        (["unobtainium"], "^species: the database has no entry 'unobtainium'"),
        (["CH3OH", "CH3OH"], "^species: CH3OH;v=0; is given more than once"),
    ],
)
def test_species_that_are_none_are_refused(cube, database, species, message):
    with pytest.raises(InputError, match=message):
        fit_cube(cube, species, database)


def test_an_unknown_species_is_refused_before_anything_is_stored(cube, database, tmp_path):
    with pytest.raises(SpeciesError):
        fit_cube(cube, ["unobtainium"], database, store=tmp_path / "s")
    assert not Path(tmp_path / "s").exists()
