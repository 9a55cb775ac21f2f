"""One block from its spectra to its outcome, against fits of single spectra and against truth."""

from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.fitting import FitFlag, Status
from spectuner_ext.observation.cubes.block import SpectrumBlock
from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.pipeline.cubes import blocks
from spectuner_ext.pipeline.cubes.blocks import BlockTask, fit_block, reexamine_block
from spectuner_ext.pipeline.cubes.outcome import FIELDS, NOT_FITTED, PixelFlag
from spectuner_ext.pipeline.cubes.pixel_fit import fit_pixels
from spectuner_ext.pipeline.cubes.selection import SelectionSettings
from spectuner_ext.pipeline.cubes.work import CubeWork, HeldMap
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.pipeline.spectrum import fit_spectrum

WINDOWS = [(215_900.0, 216_350.0, 0.488), (218_350.0, 218_700.0, 0.488), (229_700.0, 230_000.0, 0.977)]
NOISE = 0.03
METHANOL = {
    "species": "CH3OH",
    "T_ex": 120.0,
    "N_tot": 1e18,
    "fwhm": 4.0,
    "filling_factor": 0.4,
    "v_off": 0.5,
}
FORMATE = {
    "species": "CH3OCHO",
    "T_ex": 90.0,
    "N_tot": 3e17,
    "fwhm": 3.5,
    "filling_factor": 0.4,
    "v_off": 1.0,
}


def frame_of(observation):
    windows = [
        Window(
            nu=w.nu,
            intensity=np.zeros(w.nu.size),
            sigma=np.ones(w.nu.size),
            mask=np.ones(w.nu.size, bool),
            t_continuum=np.zeros(w.nu.size),
            beam=w.beam,
            name=w.name,
        )
        for w in observation.windows
    ]
    return Observation(tuple(windows))


@pytest.fixture(scope="module")
def scene(database):
    """Observations of several pixels, and the block of the same spectra."""

    def make(pixels):
        observations = [
            simulate_observation(WINDOWS, components, database, noise=NOISE, beam="1.9arcsec", seed=s)[0]
            for s, components in enumerate(pixels)
        ]
        value = np.stack([np.concatenate([w.intensity for w in o.windows]) for o in observations])
        n = len(pixels)
        block = SpectrumBlock(
            np.column_stack([np.arange(n), np.zeros(n, int)]),
            value.astype(np.float32),
            np.ones(value.shape, bool),
            np.zeros((n, len(WINDOWS))),
            np.full((n, len(WINDOWS)), NOISE),
        )
        return observations, frame_of(observations[0]), block

    return make


def task_of(frame, species, database, **options):
    selection = SelectionSettings(sigma=(NOISE,) * len(WINDOWS))
    return BlockTask(CubeWork.build(frame, species, database, **options), selection)


def varied(k):
    return {**METHANOL, "T_ex": 80.0 + 20.0 * k, "v_off": -1.0 + 0.4 * k, "N_tot": 10.0 ** (17.5 + 0.15 * k)}


def test_a_block_is_fitted_as_its_spectra_are(scene, database):
    observations, frame, block = scene([[varied(k)] for k in range(5)])
    outcome = fit_block(task_of(frame, ["CH3OH"], database), block)
    for p, observation in enumerate(observations):
        single = fit_spectrum(observation, ["CH3OH"], database)
        assert outcome["chi2"][p] == pytest.approx(single.chi2, abs=0.1)
        np.testing.assert_allclose(outcome["theta"][p], single.components, rtol=2e-2)
        np.testing.assert_allclose(outcome["error"][p], single.errors, rtol=5e-2)
        assert outcome["significance"][p, 0] == pytest.approx(
            single.extra["evidence"][0]["significance"], rel=1e-3
        )
        assert outcome["tau_max"][p, 0] == pytest.approx(single.tau_max[0], rel=2e-2)
        assert outcome["n_data"][p] == single.n_data
        assert outcome["status"][p] == Status.CONVERGED
        assert FitFlag(int(outcome["component_flags"][p, 0])) == single.flags[0]


def test_peak_matching_ends_below_the_truth(scene, database):
    observations, frame, block = scene([[varied(k), FORMATE] for k in range(4)])
    task = task_of(frame, ["CH3OH"], database, loss="pm")
    outcome = fit_block(task, block)
    for p in range(4):
        single = fit_spectrum(observations[p], ["CH3OH"], database, loss="pm")
        assert outcome["loss"][p] <= single.loss + 0.01 * abs(single.loss)
        assert outcome["theta"][p, 0, 4] == pytest.approx(varied(p)["v_off"], abs=0.2)


def test_what_is_not_worth_fitting_says_why(scene, database):
    _, frame, block = scene([[METHANOL], [{**METHANOL, "N_tot": 1e12}], [METHANOL], [METHANOL]])
    good = block.good.copy()
    good[2] = False
    good[3, : frame.windows[0].nu.size] = False
    outcome = fit_block(task_of(frame, ["CH3OH"], database), replace(block, good=good))
    assert outcome["flags"][1] & PixelFlag.FEW_PEAKS
    assert outcome["flags"][2] & PixelFlag.NO_DATA
    assert outcome["flags"][3] & PixelFlag.WINDOW_MISSING
    np.testing.assert_array_equal(outcome["status"] == NOT_FITTED, [False, True, True, False])
    for name in ("x", "theta", "error", "chi2", "loss"):
        assert np.isnan(outcome[name][[1, 2]]).all()
        assert np.isfinite(outcome[name][0]).all()
    assert {name: a.dtype.type for name, a in outcome.items()} == {n: f[0] for n, f in FIELDS.items()}


def test_blended_species_are_separated_and_an_absent_one_has_a_limit(scene, database):
    _, frame, block = scene([[METHANOL, FORMATE], [METHANOL], [METHANOL, FORMATE]])
    outcome = fit_block(task_of(frame, ["CH3OH", "CH3OCHO"], database), block)
    assert np.isfinite(outcome["theta"][[0, 2]]).all()
    for c, truth in enumerate((METHANOL, FORMATE)):
        values = [truth[k] for k in ("T_ex", "fwhm", "v_off")]
        pull = (outcome["theta"][[0, 2], c][:, [1, 3, 4]] - values) / outcome["error"][[0, 2], c][
            :, [1, 3, 4]
        ]
        assert np.abs(pull).max() < 4
    assert outcome["component_flags"][1, 1] & FitFlag.NOT_DETECTED
    assert np.isnan(outcome["theta"][1, 1]).all()
    assert np.isnan(outcome["error"][1, 1]).all()
    assert 1e12 < outcome["n_tot_limit"][1, 1] < 3e17
    assert np.isnan(outcome["n_tot_limit"][0]).all()


CROWD = [
    {"species": s, "T_ex": 130.0, "N_tot": n, "fwhm": 6.0, "filling_factor": 0.6, "v_off": v}
    for s, n, v in (
        ("C2H5CN", 2e17, 3.0),
        ("C2H3CN", 1e17, -2.0),
        ("CH3OCH3", 2e18, 1.0),
        ("CH3OCHO", 1e18, -4.0),
    )
]


@pytest.mark.parametrize("loss", ["chi2", "pm"])
def test_lines_of_others_are_not_taken_for_a_species(scene, database, loss):
    faint = {**METHANOL, "N_tot": 1e12}
    observations, frame, block = scene([[*CROWD, faint], [*CROWD[:2], faint], [*CROWD, METHANOL]])
    outcome = fit_block(task_of(frame, ["CH3OH"], database, loss=loss), block)
    for p in range(2):
        assert outcome["component_flags"][p, 0] & FitFlag.NOT_DETECTED
        assert np.isnan(outcome["theta"][p]).all()
    # bright methanol among other lines: detected, or, by chi2, at least not denied
    flags = FitFlag(int(outcome["component_flags"][2, 0]))
    assert not flags & FitFlag.NOT_DETECTED or flags & FitFlag.UNDECIDED
    if flags & FitFlag.UNDECIDED:
        assert np.isnan(outcome["n_tot_limit"][2, 0])
    single = fit_spectrum(observations[2], ["CH3OH"], database, loss=loss)
    assert bool(flags & FitFlag.NOT_DETECTED) == (not single.detected[0])


def test_two_velocity_components(scene, database):
    second = {**METHANOL, "v_off": 8.0, "T_ex": 60.0, "N_tot": 5e17}
    _, frame, block = scene([[METHANOL, second]] * 2)
    outcome = fit_block(task_of(frame, ["CH3OH"], database, components=2), block)
    np.testing.assert_allclose(np.sort(outcome["theta"][:, :, 4], axis=1), [[0.5, 8.0]] * 2, atol=0.1)


def test_the_solution_of_a_neighbour_is_taken_where_it_is_better(scene, database):
    _, frame, block = scene([[varied(1)], [varied(2)]])
    task = task_of(frame, ["CH3OH"], database)
    good = fit_block(task, block)
    before = {name: a.copy() for name, a in good.items()}
    before["x"][0] += [0.0, 300.0, -1.0, 0.5, 6.0]
    before["chi2"][0] = before["loss"][0] = 1e6
    starts = np.stack([good["x"][[1]], good["x"][[0]]])
    after = reexamine_block(task, block, before, starts)
    assert after["chi2"][0] == pytest.approx(good["chi2"][0], abs=0.1)
    assert after["flags"][0] & PixelFlag.FROM_NEIGHBOUR
    assert after["n_evaluations"][0] > before["n_evaluations"][0]
    for name, values in before.items():
        if name != "n_evaluations":  # those spent in vain are counted too
            np.testing.assert_array_equal(after[name][1], values[1], err_msg=name)


def test_pixels_of_a_block_do_not_know_each_other(scene, database):
    _, frame, block = scene([[varied(k), FORMATE] for k in range(4)])
    for options in ({"species": ["CH3OH", "CH3OCHO"]}, {"species": ["CH3OH"], "loss": "pm"}):
        task = task_of(frame, database=database, **options)
        whole = fit_block(task, block)
        order = np.array([2, 0])
        part = fit_block(task, block.take(order))
        for name, values in whole.items():
            np.testing.assert_array_equal(part[name], values[order], err_msg=name)


@pytest.mark.parametrize("loss", ["chi2", "pm"])
def test_a_parameter_can_be_held_at_a_map(scene, database, loss):
    _, frame, block = scene([[varied(1)], [varied(1)], [varied(1)]])
    held = HeldMap(0, 1, np.array([[97.0], [104.0], [np.nan]]))
    outcome = fit_block(task_of(frame, ["CH3OH"], database, held=[held], loss=loss), block)
    np.testing.assert_allclose(outcome["theta"][:2, 0, 1], [97.0, 104.0])
    assert np.isnan(outcome["error"][:2, 0, 1]).all()
    assert np.isfinite(outcome["error"][2, 0, 1])
    assert not np.any(outcome["component_flags"][:2] & FitFlag.T_EX_UNCONSTRAINED)


def test_guesses_take_part(scene, database):
    _, frame, block = scene([[varied(1)], [varied(2)]])
    task = task_of(frame, ["CH3OH"], database)
    without = fit_block(task, block)
    starts = np.full((2, 2, 5), np.nan)
    starts[0, 0, 1] = 500.0  # a temperature alone; the rest is found
    given = fit_block(task, block, starts)
    np.testing.assert_allclose(given["chi2"], without["chi2"], atol=0.1)
    assert given["n_evaluations"][0] > without["n_evaluations"][0]
    assert given["n_evaluations"][1] == without["n_evaluations"][1]


def test_trusted_starts_spare_the_search_where_they_lead_to_a_detection(scene, database, monkeypatch):
    _, frame, block = scene([[varied(1)], [varied(2)], [varied(2)]])
    task = task_of(frame, ["CH3OH"], database)
    alone = fit_block(task, block)
    starts = np.full((3, 1, 5), np.nan)
    starts[0, 0] = alone["x"][1]
    starts[1, 0] = [-2.0, 5.0, 12.5, 0.0, -11.0]  # leads nowhere
    searched = []

    def noting(work, part, *arguments):
        searched.extend(part.pixel[:, 0])
        return fit_pixels(work, part, *arguments)

    monkeypatch.setattr(blocks, "fit_pixels", noting)
    trusting = fit_block(replace(task, trust=True), block, starts)
    np.testing.assert_allclose(trusting["chi2"], alone["chi2"], atol=0.1)
    assert searched == [1, 2]


def test_the_fingerprint_knows_what_decides(scene, database):
    _, frame, _ = scene([[METHANOL]])
    build = CubeWork.build
    first = build(frame, ["CH3OH"], database).fingerprint()
    assert build(frame, ["CH3OH"], database).fingerprint() == first
    others = [
        build(frame, ["CH3OCHO"], database),
        build(frame, ["CH3OH"], database, seed=1),
        build(frame, ["CH3OH"], database, loss="pm"),
        build(frame, ["CH3OH"], database, bounds={"T_ex": (10.0, 300.0)}),
        build(frame, ["CH3OH"], database, held=[HeldMap(0, 1, np.ones((2, 2)))]),
    ]
    assert len({w.fingerprint() for w in others} | {first}) == 6


def test_requests_that_cannot_be_met(scene, database):
    _, frame, _ = scene([[METHANOL]])
    everything = {"T_ex": 100.0, "N_tot": 1e17, "fwhm": 3.0, "v_off": 0.0, "filling_factor": 0.5}
    for options, message in [
        ({"fixed": everything}, "fixed: every parameter is held"),
        ({"loss": "mae"}, "loss: unknown loss"),
        ({"offset": -1.0}, "offset: needs a limit"),
        ({"offset": 1.0, "loss": "pm"}, "offset: a baseline"),
        ({"ninit": 0}, "ninit: needs at least 1"),
        ({"effort": 0}, "effort: needs at least 1"),
    ]:
        with pytest.raises(InputError, match=message):
            CubeWork.build(frame, ["CH3OH"], database, **options)
    with pytest.raises(InputError, match="species: give at least one"):
        CubeWork.build(frame, [], database)


def test_beams_may_differ_between_windows(scene, database):
    _, frame, block = scene([[METHANOL]])
    windows = [replace(w, beam=Beam(b, b)) for w, b in zip(frame.windows, (1.5, 1.9, 2.3), strict=True)]
    outcome = fit_block(task_of(Observation(tuple(windows)), ["CH3OH"], database), block)
    assert outcome["status"][0] == Status.CONVERGED
