import json
import re
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.constants import C_KMS
from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.fitting.result import PARAMETERS, FitFlag, FitResult, Status
from spectuner_ext.observation import Beam, Observation, Window
from spectuner_ext.pipeline import html, plots, products, wording
from spectuner_ext.pipeline.peaks import peaks_table
from spectuner_ext.pipeline.products import read_products, spectra_to_specutils, write_products
from spectuner_ext.pipeline.ranges import interesting_ranges
from spectuner_ext.pipeline.tables import (
    SPECTRUM_COLUMNS,
    correlation_tables,
    observation_of,
    parameters_table,
    spectra_tables,
)

SIGMA = 0.05
LINES = {"CH3OH;v=0;": [(0, 100_020.0, 3.0), (1, 110_030.0, 1.0)], "C2H5CN;v=0;": [(0, 100_045.0, 0.6)]}
"""Window, frequency [MHz] and height [K] of made-up Gaussian lines, 0.5 MHz wide (sigma)."""


def shape(nu, lines, window):
    return sum(
        (h * np.exp(-0.5 * ((nu - x) / 0.5) ** 2) for k, x, h in lines if k == window), np.zeros(nu.size)
    )


@pytest.fixture(scope="module")
def observation():
    rng = np.random.default_rng(2)
    windows = []
    for k, start in enumerate((100_000.0, 110_000.0)):
        nu = start + 0.1 * np.arange(600)
        mask = np.ones(nu.size, dtype=bool)
        mask[5:8] = False
        line = sum(shape(nu, lines, k) for lines in LINES.values())
        windows.append(
            Window(
                nu=nu,
                intensity=np.where(mask, line + SIGMA * rng.standard_normal(nu.size), 0.0),
                sigma=np.full(nu.size, SIGMA),
                mask=mask,
                t_continuum=np.full(nu.size, 0.1 / 3),
                beam=Beam(major=1.9, minor=1.7) if k == 0 else Beam(diameter=12.0),
                name=f"spw {k}",
                notes={"n_nan": 3, "n_masked": 0, "noise_source": "given"},
            )
        )
    return Observation(tuple(windows), v_lsr=12.345678901234567)


def fit_of(observation, species, **changes):
    """A fit that found the made-up lines."""
    n = len(species)
    parts = tuple(tuple(shape(w.nu, LINES[s], k) for k, w in enumerate(observation.windows)) for s in species)
    names = tuple(f"{s} #1 {p}" for s in species for p in PARAMETERS)
    values = {
        "species": tuple(species),
        "component": (1,) * n,
        "components": np.tile([0.3, 100.0, 1e16, 3.0, 0.5], (n, 1)),
        "errors": np.tile([0.01, 2.0, 1e14, 0.1, np.nan], (n, 1)),
        "source_size": np.full(n, 1.2),
        "source_size_error": np.full(n, 0.1),
        "status": Status.CONVERGED,
        "flags": (FitFlag.NONE,) * n,
        "detected": (True,) * n,
        "n_tot_limit": np.full(n, np.nan),
        "tau_max": np.full(n, 0.2),
        "loss": 1190.0,
        "loss_name": "chi2",
        "optimizer": "levmar",
        "chi2": 1190.0,
        "n_data": 1194,
        "n_free": 5 * n,
        "n_peaks": (1,) * n,
        "n_evaluations": 321,
        "correlation": np.eye(5 * n) + 0.1,
        "free_names": names,
        "at_bound": (),
        "model": tuple(np.sum(p, axis=0) + 0.02 for p in zip(*parts, strict=True)),
        "component_models": parts,
        "offsets": np.array([0.02, 0.02]),
        "trace": np.zeros(1),
    }
    return FitResult(**{**values, **changes})


@pytest.fixture(scope="module")
def fits_made(observation):
    lost = fit_of(
        observation,
        ["C2H5CN;v=0;"],
        detected=(False,),
        flags=(FitFlag.NOT_DETECTED | FitFlag.T_EX_UNCONSTRAINED,),
        n_tot_limit=np.array([3e13]),
    )
    return [fit_of(observation, ["CH3OH;v=0;"]), lost]


@pytest.fixture(scope="module")
def result(observation, fits_made):
    call = {"infile": "x.fits", "species": ["CH3OH", "C2H5CN"], "long": "p" * 200}
    return {
        "parameters": parameters_table(fits_made, {"call": json.dumps(call)}),
        "spectra": spectra_tables(observation, fits_made),
        "correlations": correlation_tables(fits_made),
        "peaks": peaks_table(observation, fits_made),
        "call": call,
        "provenance": {"created": "2026-01-01T00:00:00"},
    }


# ------------------------------------------------------------------------------------------ tables


def test_spectra_sum_the_fits_and_keep_the_frames(observation, result):
    table = result["spectra"][0]
    assert_allclose(table["model"].value, table["CH3OH;v=0; #1"].value + table["C2H5CN;v=0; #1"].value + 0.04)
    ratio = (table["sky_frequency"] / table["frequency"]).value
    assert_allclose(ratio, 1 - observation.v_lsr / C_KMS, rtol=1e-14)
    assert_array_equal(np.isnan(table["observed"]), ~table["used"])


def test_observation_survives_to_the_last_bit(observation, result, tmp_path):
    write_products(tmp_path / "fit", result, plots=False)
    again = observation_of(read_products(tmp_path / "fit")["spectra"])
    assert again.v_lsr == observation.v_lsr
    for mine, theirs in zip(again.windows, observation.windows, strict=True):
        for name in ("nu", "intensity", "sigma", "mask", "t_continuum"):
            assert_array_equal(getattr(mine, name), getattr(theirs, name))
        assert repr(mine.beam) == repr(theirs.beam)
        assert (mine.name, mine.t_cmb, mine.notes) == (theirs.name, theirs.t_cmb, theirs.notes)


def test_peaks(result):
    peaks = result["peaks"]
    middle = 0.5 * (peaks["low"] + peaks["high"]).to_value(u.MHz)
    assert_allclose(np.sort(middle[peaks["kind"] == "matched"]), [100_020, 100_045, 110_030], atol=0.3)
    assert not np.any(peaks["kind"] == "absent")


def test_a_line_under_the_mask_is_not_absent(observation):
    fit = fit_of(observation, ["CH3OH;v=0;"])
    windows = [replace(w, mask=w.mask & (np.abs(w.nu - 100_020) > 0.6)) for w in observation.windows]
    peaks = peaks_table(replace(observation, windows=tuple(windows)), [fit])
    assert not np.any(peaks["kind"] == "absent")


def test_a_line_that_is_not_there_is_absent(observation):
    empty = tuple(
        replace(w, intensity=np.where(w.nu < 100_030, 0.0, w.intensity)) for w in observation.windows
    )
    peaks = peaks_table(replace(observation, windows=empty), [fit_of(observation, ["CH3OH;v=0;"])])
    (absent,) = peaks[peaks["kind"] == "absent"]
    assert absent["low"].to_value(u.MHz) < 100_020 < absent["high"].to_value(u.MHz)


def test_same_component_of_two_fits_has_two_columns(observation):
    twice = [fit_of(observation, ["CH3OH;v=0;"])] * 2
    names = [n for n in spectra_tables(observation, twice)[0].colnames if n not in SPECTRUM_COLUMNS]
    assert names == ["CH3OH;v=0; #1 (fit 1)", "CH3OH;v=0; #1 (fit 2)"]
    assert len(correlation_tables(twice)) == 2


# ------------------------------------------------------------------------------------------- files


def test_tables_come_back(result, tmp_path):
    files = write_products(tmp_path / "fit", result, plots=False, log=["one", "two"])
    assert list(files) == ["ecsv", "fits", "json", "log"]
    again = read_products(files["fits"])
    for name, column in result["parameters"].items():
        assert_array_equal(np.asarray(again["parameters"][name]), np.asarray(column), err_msg=name)
        assert getattr(again["parameters"][name], "unit", None) == getattr(column, "unit", None)
    assert again["parameters"].meta == result["parameters"].meta
    assert again["parameters"]["T_ex"].info.description == "excitation temperature"
    for mine, theirs in zip(again["spectra"], result["spectra"], strict=True):
        assert mine.colnames == theirs.colnames
        for name in mine.colnames:
            assert_array_equal(np.asarray(mine[name]), np.asarray(theirs[name]))
            assert getattr(mine[name], "unit", None) == getattr(theirs[name], "unit", None)
    assert list(again["peaks"]["kind"]) == list(result["peaks"]["kind"])
    label = "CH3OH;v=0;"
    assert_array_equal(again["correlations"][label][f"{label} #1 T_ex"], np.eye(5)[1] + 0.1)
    assert again["call"] == result["call"]
    assert (tmp_path / "fit.log").read_text() == "one\ntwo\n"


def test_fits_is_self_describing(result, tmp_path):
    write_products(tmp_path / "fit", result, plots=False)
    with fits.open(tmp_path / "fit.fits") as hdus:
        hdus.verify("exception")
        header = hdus["WINDOW", 1].header
        assert header["SPEC1"] == "CH3OH;v=0;"
        assert header["TEX1"] == 100.0
        assert header["DETECT2"] is False
        assert header["CREATOR"].startswith("spectuner-ext ")
        assert header["VLSR"] == pytest.approx(12.345678901234567)
        assert header["BMAJ"] == pytest.approx(1.9 / 3600)
        units = {c.name: c.unit for c in hdus["WINDOW", 2].columns}
        assert units["frequency"] == "MHz"
        assert units["observed"] == "K"
        history = "".join(str(line) for line in header["HISTORY"][1:])
        assert json.loads(history) == result["call"]
        assert any("NOT_DETECTED" in str(line) for line in hdus["PARAMETERS"].header["COMMENT"])


@pytest.mark.parametrize("failing", ["_hdus", "_write_json"])
def test_what_was_there_stays_when_writing_fails(result, tmp_path, monkeypatch, failing):
    write_products(tmp_path / "fit", result)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(products, failing, broken)
    with pytest.raises(OSError, match="disk full"):
        write_products(tmp_path / "fit", {**result, "parameters": result["parameters"][:1]})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_picture_that_fails_costs_only_the_picture(result, tmp_path, monkeypatch):
    write_products(tmp_path / "fit", result)

    def broken(*_):
        raise ValueError("no font")

    monkeypatch.setattr(plots, "write_png", broken)
    with pytest.warns(SpectunerWarning, match=r"fit.png was not drawn: no font"):
        files = write_products(tmp_path / "fit", result)
    assert list(files) == ["ecsv", "fits", "json", "log", "html"]
    assert not (tmp_path / "fit.png").exists()  # the old one would show another fit


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fit.fits", "x", "cannot be read as FITS"),
        ("fit.json", "{", "not a JSON file"),
        ("fit.json", "{}", "not the record of a call"),
        ("fit.ecsv", None, "no such file"),
    ],
)
def test_foreign_products(result, tmp_path, name, text, message):
    write_products(tmp_path / "fit", result, plots=False)
    (tmp_path / name).unlink()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_products(tmp_path / "fit")


def test_specutils(result):
    first = spectra_to_specutils(result["spectra"])[0]
    assert set(first) == {"observed", "model", "residual", "CH3OH;v=0; #1", "C2H5CN;v=0; #1"}
    assert_array_equal(first["observed"].mask, ~result["spectra"][0]["used"])
    assert_array_equal(first["observed"].uncertainty.array, SIGMA)
    assert first["model"].spectral_axis.unit == u.MHz
    assert first["model"].flux.unit == u.K


# ---------------------------------------------------------------------------------------- pictures


def test_ranges_show_every_component(result):
    ranges = interesting_ranges(result["spectra"], result["parameters"])
    assert any(r.window == 0 and r.low < 100_045 < r.high for r in ranges)
    assert any(r.window == 1 and r.low < 110_030 < r.high for r in ranges)
    for r in ranges:
        nu = result["spectra"][r.window]["frequency"].to_value(u.MHz)
        assert nu[0] <= r.low < r.high <= nu[-1]


def outcomes(*detected, fwhm=5.0):
    return QTable({"detected": detected, "fwhm": np.full(len(detected), fwhm) * u.km / u.s})


def test_ranges_are_few_and_take_turns():
    rng = np.random.default_rng(0)
    nu = 100_000 + 0.1 * np.arange(20_000)
    table = QTable({"frequency": nu * u.MHz, "sigma": np.full(nu.size, SIGMA) * u.K})
    strong, weak = rng.uniform(100_000, 101_900, 40), 101_960.0
    table["strong #1"] = shape(nu, [(0, x, 10.0) for x in strong], 0) * u.K
    table["weak #1"] = shape(nu, [(0, weak, 0.2)], 0) * u.K
    ranges = interesting_ranges([table], outcomes(True, True), most=6)
    assert len(ranges) == 6
    assert any(r.low < weak < r.high for r in ranges)
    lost = interesting_ranges([table], outcomes(True, False), most=6)
    assert sum(r.low < weak < r.high for r in lost) == 1
    lows = [r.low for r in ranges]
    assert np.all(np.diff(lows) > 0.05 * (ranges[0].high - ranges[0].low))  # none is drawn twice


def test_ranges_without_any_line_are_the_windows(observation):
    empty = fit_of(observation, ["CH3OH;v=0;"])
    nothing = tuple(np.zeros(w.nu.size) for w in observation.windows)
    spectra = spectra_tables(observation, [replace(empty, model=nothing, component_models=(nothing,))])
    assert [(r.window, r.low) for r in interesting_ranges(spectra, outcomes(False))] == [
        (0, 100_000.0),
        (1, 110_000.0),
    ]


def test_png(result, tmp_path):
    plots.write_png(tmp_path / "fit.png", result, dpi=60)
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    figure = plots.draw(result)
    text = [t.get_text() for t in figure.texts]
    assert "DETECTED" in text
    assert any(t.startswith("NOT DETECTED, N < 3.0$") for t in text)
    assert "-" in text  # no values of what was not detected
    assert "T_ex unconstrained" not in text
    assert "CH$_{3}$OH v=0 #1" in text
    assert len(figure.axes) == 2 * len(interesting_ranges(result["spectra"], result["parameters"]))


def test_html_is_self_contained(result):
    page = html.page(result)
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)
    assert "NOT DETECTED" in page
    assert "CH3OH;v=0; #1" in page
    assert "C2H5CN" in page


# ------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (152.34, 1.23, "152.3 +- 1.2"),
        (1.021e18, 3.2e16, "(1.021 +- 0.032)e+18"),
        (-0.5, 0.0123, "-0.500 +- 0.012"),
        (100.0, np.nan, "100"),
        (0.0, 0.1, "0.00 +- 0.10"),
        (np.nan, 1.0, "-"),
        (2e-7, np.nan, "2e-7"),
        (120.0, 35.0, "120 +- 35"),
        (0.012, 58.0, "0.012 +- 58.000"),
    ],
)
def test_value_words(value, error, text):
    assert wording.value_words(value, error) == text


@pytest.mark.parametrize(
    ("name", "markup"),
    [
        ("CH3OH;v=0; #1", "CH$_{3}$OH v=0 #1"),
        ("C-13-H3OH;v=0;", "$^{13}$CH$_{3}$OH v=0"),
        ("HC-13-O+;v=0;", "H$^{13}$CO+ v=0"),
        ("CH3CN;v8=1;", "CH$_{3}$CN v8=1"),
        ("(CH3)2CO;v=0;", "(CH$_{3}$)$_{2}$CO v=0"),
    ],
)
def test_species_markup(name, markup):
    assert wording.species_markup(name) == markup
