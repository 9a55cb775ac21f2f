"""The JSON form of a parameter means the same as what the user gave."""

import io
import json

import astropy.units as u
import numpy as np
import pytest

from spectuner_ext.observation import Beam, observe
from spectuner_ext.observation.beams import as_beam
from spectuner_ext.observation.exclusion import as_exclusion
from spectuner_tasks.parameters import SDFIT_LTE, validated
from spectuner_tasks.progress import Reporter, progress_line
from spectuner_tasks.record import NotJSONError, call_record, jsonlike

DEFAULTS = {p.name: p.default for p in SDFIT_LTE}


def recorded(name, value):
    """A parameter after a trip through a record's file."""
    given = {**DEFAULTS, "infile": "spectrum.fits", "species": "CH3OH", name: value}
    return json.loads(json.dumps(call_record(given, DEFAULTS, "")))[name]


def checked(name, value):
    return validated(SDFIT_LTE, {**DEFAULTS, "infile": "x", "species": "CH3OH", name: value})[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bounds", {"CH3OH": {"T_ex": (50 * u.K, 300), "N_tot": (1e19 / u.m**2, 1e18)}}),
        ("bounds", {"v_off": [(-1, 1), (5 * u.m / u.s, 7)]}),
        ("fixed", {"*": {"source_size": 500 * u.mas, "fwhm": np.float32(3.5)}}),
        ("fixed", {"v_off": (0.1, np.float64(0.3))}),
        ("initial", {"T_ex": "150 K"}),
        ("vlsr", 0.1 * 3 * u.km / u.s),
        ("rest_frequency", 230.538 * u.GHz),
        ("t_cmb", 2.725 * u.K),
        ("offset", 30 * u.mK),
        ("components", {"CH3OH": np.int64(2)}),
        ("species", {"CH3OH", "CH3OCHO"}),
        ("species", [{"B2", "A1"}, "C3"]),
        ("species", [("CH3OH", "CH3OCHO"), 32504]),
        ("seed", np.int64(5)),
    ],
)
def test_same_value(name, value):
    assert checked(name, recorded(name, value)) == checked(name, value)


@pytest.mark.parametrize(
    "beam",
    [
        (0.5, 0.4),
        (500 * u.mas, 0.4 * u.arcsec, 30 * u.deg),
        [0.5, 0.4] * u.arcsec,
        12 * u.m,
        {"major": 1 * u.arcsec},
        Beam(diameter=30.0),
        "0.5arcsec,0.4arcsec",
    ],
)
def test_same_beam(beam):
    assert repr(as_beam(recorded("beam", beam))) == repr(as_beam(beam))
    assert [repr(as_beam(b)) for b in recorded("beam", [beam, beam])] == [repr(as_beam(beam))] * 2


@pytest.mark.parametrize(
    "mask",
    [
        (100.0, 200.0),
        [(100.0, 200.0), (300, 400)],
        [100, 200] * u.GHz,
        "100~200MHz;300~400MHz",
        [np.array([True, False, True])],
    ],
)
def test_same_mask(mask):
    again, given = as_exclusion(recorded("mask", mask)), as_exclusion(mask)
    assert again.ranges == given.ranges
    assert [list(a) for a in again.arrays] == [list(a) for a in given.arrays]


@pytest.mark.parametrize("noise", [0.05, 50 * u.mK, [0.05, 50 * u.mK], "0.05 K"])
def test_same_noise(noise, observation):
    spectra = [(w.nu * u.MHz, w.intensity * u.K) for w in observation.windows]
    mine, theirs = observe(spectra, noise=recorded("noise", noise)), observe(spectra, noise=noise)
    assert [w.sigma[0] for w in mine.windows] == [w.sigma[0] for w in theirs.windows]


def test_long_arrays_are_kept_in_the_product():
    given = {
        **DEFAULTS,
        "infile": "spectrum.fits",
        "species": "CH3OH",
        "vlsr": 5,
        "noise": np.full(1000, 0.05),
    }
    call = call_record(given, DEFAULTS, "/folder/fit")
    assert call["infile"] == {"observation": "/folder/fit.fits"}
    assert call["noise"] is None
    assert call["vlsr"] is None  # it is in the observation


def test_what_has_no_form():
    with pytest.raises(NotJSONError, match="object"):
        jsonlike(object())


def test_reporter_counts_fits_and_estimates():
    seen = []
    reporter = Reporter(seen.append, [["A", "B"], ["C"]])
    reporter.start()
    for stage in ("alone: A", "alone: B", "together"):
        assert reporter({"stage": stage, "n_evaluations": 1, "best_loss": 2.0}) is False
    reporter.start()
    reporter({"stage": "C", "n_evaluations": 1, "best_loss": 2.0})
    assert [r["fit"] for r in seen] == [1, 1, 1, 2]
    assert [r["species"] for r in seen] == ["A + B"] * 3 + ["C"]
    assert seen[0]["eta_s"] is None
    assert all(r["eta_s"] >= 0 for r in seen[1:])


def test_line_goes_to_terminals_only():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    report = {"stage": "x", "n_evaluations": 5, "best_loss": 1.5, "eta_s": 12.3, "fit": 1, "n_fits": 2}
    terminal, file = Terminal(), io.StringIO()
    progress_line(terminal)(report)
    progress_line(file)(report)
    assert "about 12 s left" in terminal.getvalue()
    assert file.getvalue() == ""
