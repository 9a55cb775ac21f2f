"""What is said of a species whose lines stand among brighter ones of others."""

import astropy.units as u
import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.fitting import FitFlag
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.pipeline.spectrum import fit_spectrum

WINDOWS = [(215.565 * u.GHz, 217.273 * u.GHz, 488 * u.kHz), (217.572 * u.GHz, 219.271 * u.GHz, 488 * u.kHz)]
COMPONENTS = [
    {"species": "CH3OH", "T_ex": 170, "N_tot": 2e18, "fwhm": 5.5, "source_size": 1.1, "v_off": 0.4},
    {"species": "CH3OCHO", "T_ex": 130, "N_tot": 3e17, "fwhm": 4.8, "source_size": 0.9, "v_off": -0.3},
    {"species": "C2H3CN", "T_ex": 160, "N_tot": 2e16, "fwhm": 7.0, "source_size": 0.7, "v_off": 0.8},
]


@pytest.fixture(scope="module")
def crowd(database):
    observation, _ = simulate_observation(
        WINDOWS, COMPONENTS, database, noise=48 * u.mK, beam=1.9 * u.arcsec, seed=0
    )
    return observation


def test_chi2_alone_claims_nothing_that_peak_matching_denies(crowd, database):
    """The minimum of chi2 for C2H3CN alone covers lines of methanol: neither a detection nor an upper limit."""
    result = fit_spectrum(crowd, ["C2H3CN"], database)
    if result.detected[0]:
        assert result.components[0, 2] == pytest.approx(2e16, rel=0.5)
    else:
        assert result.flags[0] & FitFlag.UNDECIDED
        assert result.flags[0] & FitFlag.POOR_FIT
        assert np.isnan(result.n_tot_limit[0])


@pytest.mark.parametrize(("species", "loss"), [(["C2H3CN"], "pm"), (["CH3OH", "CH3OCHO", "C2H3CN"], "chi2")])
def test_peak_matching_and_a_joint_fit_find_it(crowd, database, species, loss):
    result = fit_spectrum(crowd, species, database, loss=loss)
    assert all(result.detected)
    assert result.components[-1, 1] == pytest.approx(160, rel=0.1)
    # thin lines: filling factor times column density is what is measured
    eta = 0.7**2 / (0.7**2 + 1.9**2)
    assert result.components[-1, 0] * result.components[-1, 2] == pytest.approx(eta * 2e16, rel=0.1)


def test_a_species_that_is_not_there_keeps_its_limit(crowd, database):
    result = fit_spectrum(crowd, ["HC5N"], database, fixed={"fwhm": 6.0, "v_off": 0.0, "T_ex": 150.0})
    assert not result.detected[0]
    assert not result.flags[0] & FitFlag.UNDECIDED
    assert 1e11 < result.n_tot_limit[0] < 1e16


def test_products_of_a_joint_fit_that_lost_a_species(crowd, tmp_path):
    """The species taken out has no values, and every product is drawn all the same."""
    from spectuner_tasks import sdfit_lte

    result = sdfit_lte(crowd, [["CH3OH", "CH3OCHO", "C2H3CN", "HC5N"]], outfile=str(tmp_path / "joint"))
    table = result["parameters"]
    assert list(table["detected"]) == [True, True, True, False]
    assert np.isnan(table["N_tot"][3])
    assert np.isfinite(table["N_tot_limit"][3])
    assert table["limit_assumes"][3].startswith("filling_factor")
    assert (tmp_path / "joint.png").stat().st_size > 10_000
    assert (tmp_path / "joint.html").exists()


def test_everything_held_is_judged_and_not_fitted(crowd, database):
    held = {"filling_factor": 0.5, "T_ex": 100.0, "N_tot": 1e16, "fwhm": 3.0, "v_off": 0.0}
    result = fit_spectrum(crowd, ["HC5N"], database, fixed=held)
    assert result.n_free == 0
    assert not result.detected[0]
    assert result.components[0].tolist() == pytest.approx(list(held.values()))
    assert np.isnan(result.errors).all()


def test_what_is_not_detected_has_no_parameters(crowd, database):
    """What the fit tried is kept apart, so that no column of the table can be taken for a measurement."""
    result = fit_spectrum(crowd, ["HC5N"], database, fixed={"T_ex": 150.0})
    assert not result.detected[0]
    assert result.components[0, 1] == 150.0
    assert np.isnan(np.delete(result.components[0], 1)).all()
    assert np.isnan(result.errors[0]).all()
    assert np.isfinite(result.extra["attempted"]).all()


def test_a_baseline_needs_chi2(crowd, database):
    with pytest.raises(InputError, match="offset"):
        fit_spectrum(crowd, ["HC5N"], database, loss="pm", offset=0.5)
