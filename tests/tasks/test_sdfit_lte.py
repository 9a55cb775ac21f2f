import inspect
import json
import logging
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_array_equal

from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.pipeline.products import SUFFIXES, read_products
from spectuner_tasks import sdfit_lte
from spectuner_tasks.parameters import SDFIT_LTE

FIXED = {"T_ex": 150, "source_size": 1.0}
"""Two lines of one species leave T_ex and size open; held, the fit has one clear minimum."""


@pytest.fixture(scope="module")
def result(simulated):
    return sdfit_lte(simulated[0], "CH3OH", fixed=FIXED)


def same_numbers(a, b):
    assert a.colnames == b.colnames
    for name in a.colnames:
        assert_array_equal(np.asarray(a[name]), np.asarray(b[name]), err_msg=name)


def test_recovers_the_truth(result, simulated):
    row, truth = result["parameters"][0], simulated[1][0]
    for name in ("N_tot", "fwhm", "v_off"):
        assert abs(row[name] - truth[name]) < 5 * row[f"{name}_err"], name
    assert row["T_ex"] == 150 * u.K
    assert np.isnan(row["T_ex_err"])
    assert row["detected"]
    assert row["status"] == "CONVERGED"


def test_table_has_the_promised_columns_and_units(result):
    table = result["parameters"]
    values = {
        "source_size": "arcsec",
        "filling_factor": "",
        "T_ex": "K",
        "N_tot": "cm-2",
        "fwhm": "km/s",
        "v_off": "km/s",
    }
    expected = ["species", "component"]
    for name, unit in values.items():
        assert table[name].unit == u.Unit(unit)
        assert table[f"{name}_err"].unit == u.Unit(unit)
        expected += [name, f"{name}_err"]
    expected += ["status", "detected", "loss", "chi2", "n_peaks", "n_evaluations", "flags", "flag_names"]
    assert table.colnames[: len(expected)] == expected
    assert table["N_tot_limit"].unit == u.cm**-2
    assert set(table.meta["flag_bits"]) == {f.name for f in FitFlag if f}


def test_spectra(result, observation):
    assert len(result["spectra"]) == 2
    for table, window in zip(result["spectra"], observation.windows, strict=True):
        assert_array_equal(table["frequency"].to_value(u.MHz), window.nu)
        assert_array_equal(table["residual"], table["observed"] - table["model"])
        assert_array_equal(table["CH3OH;v=0; #1"], table["model"])
        assert table["residual"].std() < 1.2 * 0.05 * u.K


def test_correlations(result):
    (label,) = result["correlations"]
    table = result["correlations"][label]
    assert label == "CH3OH;v=0;"
    matrix = np.array([table[name] for name in table["parameter"]])
    np.testing.assert_allclose(np.diag(matrix), 1.0, atol=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)


def test_writes_nothing_and_prints_nothing_by_default(observation, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert sdfit_lte(observation, "CH3OH", fixed=FIXED)["files"] == {}
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("species", [[["CH3OH", "CH3OCHO"]], {"CH3OH", "CH3OCHO"}, ["CH3OH", "CH3OCHO"]])
def test_joint_sets(observation, species):
    alone = isinstance(species, list) and isinstance(species[0], str)
    result = sdfit_lte(observation, species, joint=alone, fixed={"T_ex": 150, "source_size": 1.0, "fwhm": 5})
    assert sorted(result["parameters"]["species"]) == ["CH3OCHO;v=0;", "CH3OH;v=0;"]
    assert set(result["parameters"]["fit"]) == {1}
    assert len(result["correlations"]) == 1


def test_a_flat_list_fits_each_alone(observation):
    fixed = {"T_ex": 150, "source_size": 1.0, "fwhm": 5}
    both = sdfit_lte(observation, ["CH3OH", "CH3OCHO"], fixed=fixed)
    alone = sdfit_lte(observation, "CH3OH", fixed=fixed)
    assert list(both["parameters"]["fit"]) == [1, 2]
    assert both["parameters"]["N_tot"][0] == alone["parameters"]["N_tot"][0]
    assert_array_equal(
        both["spectra"][0]["model"],
        both["spectra"][0]["CH3OH;v=0; #1"] + both["spectra"][0]["CH3OCHO;v=0; #1"],
    )


def test_components(observation):
    velocities = {"CH3OH": {"v_off": [0.5, 8.0], "fwhm": 5, "T_ex": 150, "source_size": 1}}
    table = sdfit_lte(observation, "CH3OH", components={"CH3OH": 2}, fixed=velocities)["parameters"]
    assert list(table["component"]) == [1, 2]
    assert list(table["v_off"].value) == [0.5, 8.0]
    assert list(table["detected"]) == [True, False]
    assert np.isfinite(table["N_tot_limit"][1])
    assert np.isnan(table["N_tot_limit"][0])


def test_nan_channels_are_masked_counted_and_logged(table, tmp_path):
    table["intensity"][[10, 11, 150]] = np.nan
    result = sdfit_lte(
        table, "CH3OH", str(tmp_path / "fit"), noise=0.05, beam="1.9arcsec", fixed=FIXED, plots=False
    )
    assert result["provenance"]["nan_channels"] == [3]
    spectrum = result["spectra"][0]
    assert_array_equal(np.flatnonzero(~spectrum["used"]), [10, 11, 150])
    assert np.isnan(spectrum["residual"][10])
    assert np.isfinite(spectrum["model"][10])
    assert result["parameters"]["n_data"][0] == len(table) - 3
    assert "205 channels, 3 of them NaN and left out" in Path(result["files"]["log"]).read_text()


def test_products_are_listed_and_read_back(observation, tmp_path):
    result = sdfit_lte(observation, "CH3OH", tmp_path / "name.v1", fixed=FIXED)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"name.v1.{s}" for s in SUFFIXES)
    assert set(result["files"].values()) == {str(p) for p in tmp_path.iterdir()}
    again = read_products(tmp_path / "name.v1")
    same_numbers(again["parameters"], result["parameters"])
    for mine, theirs in zip(again["spectra"], result["spectra"], strict=True):
        same_numbers(mine, theirs)
    assert again["call"] == result["call"]
    assert again["parameters"]["N_tot"].unit == u.cm**-2


def test_record_of_files_reproduces_the_numbers(files, tmp_path):
    first = sdfit_lte(
        files,
        ["CH3OH"],
        str(tmp_path / "a"),
        bounds={"T_ex": (50 * u.K, 300)},
        fixed={"*": {"source_size": 1 * u.arcsec}},
        beam=(1.9, 1.8),
        noise=50 * u.mK,
        continuum=[1.0, 1.1],
        mask=(218_490, 218_500),
        seed=7,
        plots=False,
    )
    call = json.loads((tmp_path / "a.json").read_text())["call"]
    second = sdfit_lte(**{**call, "outfile": str(tmp_path / "b")})
    same_numbers(first["parameters"], second["parameters"])
    assert second["call"] == {**call, "outfile": str(tmp_path / "b")}


def test_record_of_objects_reproduces_the_numbers(table, tmp_path):
    table["intensity"][20] = np.nan
    first = sdfit_lte(
        (table["frequency"].to(u.GHz), table["intensity"], np.full(len(table), 0.05) * u.K),
        "CH3OH",
        str(tmp_path / "a"),
        vlsr=3 * u.km / u.s,
        beam="1.9arcsec",
        fixed={"T_ex": 150},
        plots=False,
    )
    assert first["call"]["infile"] == {"observation": str(tmp_path / "a.fits")}
    second = sdfit_lte(**{**first["call"], "overwrite": True})
    same_numbers(first["parameters"], second["parameters"])


def test_initial_takes_an_earlier_table_and_its_file(observation, tmp_path):
    fit = {"fixed": {"T_ex": 150}, "plots": False}
    first = sdfit_lte(observation, "CH3OH", str(tmp_path / "a"), **fit)
    from_table = sdfit_lte(observation, "CH3OH", initial=first["parameters"], optimizer="levmar", **fit)
    from_file = sdfit_lte(observation, "CH3OH", initial=first["files"]["ecsv"], optimizer="levmar", **fit)
    from_rows = sdfit_lte(**{**from_table["call"], "infile": observation})
    same_numbers(from_table["parameters"], from_file["parameters"])
    same_numbers(from_table["parameters"], from_rows["parameters"])


def test_overwrite_replaces_all_products(observation, tmp_path):
    first = sdfit_lte(observation, "CH3OH", str(tmp_path / "fit"), fixed=FIXED)
    second = sdfit_lte(
        observation, "CH3OH", str(tmp_path / "fit"), fixed={"T_ex": 100}, plots=False, overwrite=True
    )
    assert set(first["files"]) - set(second["files"]) == {"png", "html"}
    assert {p.suffix for p in tmp_path.iterdir()} == {".ecsv", ".fits", ".json", ".log"}
    assert read_products(tmp_path / "fit")["parameters"]["T_ex"][0] == 100 * u.K


def test_log(observation, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="spectuner_tasks.sdfit_lte"):
        result = sdfit_lte(
            observation, "CH3OH", str(tmp_path / "fit"), fixed=FIXED, logfile=str(tmp_path / "all.txt")
        )
    text = Path(result["files"]["log"]).read_text()
    for part in (
        "Begin Task: sdfit_lte",
        "infile=",
        "CH3OH;v=0; #1: DETECTED, 2 peaks matched",
        "End Task: sdfit_lte",
    ):
        assert part in text
        assert part in caplog.text
    assert (tmp_path / "all.txt").read_text() == text
    with pytest.raises(ValueError, match="species"):
        sdfit_lte(observation, "none", logfile=str(tmp_path / "all.txt"))
    assert "SEVERE" in (tmp_path / "all.txt").read_text()


def test_progress_reports_and_cancels(observation):
    seen = []

    def stop(report):
        seen.append(report)
        return True

    result = sdfit_lte(observation, ["CH3OH", "CH3OCHO"], progress=stop)
    assert {"stage", "n_evaluations", "best_loss", "eta_s", "fit", "n_fits"} <= set(seen[0])
    assert list(result["parameters"]["status"]) == ["CANCELLED"]


def test_signature_and_docstring_come_from_the_list_of_parameters():
    signature = inspect.signature(sdfit_lte)
    assert {n: p.default for n, p in signature.parameters.items()} == {p.name: p.default for p in SDFIT_LTE}
    for p in SDFIT_LTE:
        assert f"\n{p.name} : " in sdfit_lte.__doc__
        assert p.description


def test_import_is_cheap_and_the_task_stays_callable():
    import subprocess
    import sys

    code = (
        "import sys, spectuner_tasks; assert 'numpy' not in sys.modules; "
        "from spectuner_tasks import sdfit_lte; from spectuner_tasks import sdfit_lte as again; "
        "assert callable(again) and 'matplotlib' not in sys.modules and 'bokeh' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_empty_means_default(observation):
    empty = {p.name: "" for p in SDFIT_LTE if p.name not in ("infile", "species", "fixed")}
    result = sdfit_lte(infile=observation, species="CH3OH", fixed=FIXED, **empty)
    assert result["call"]["loss"] == "chi2"
    same_numbers(result["parameters"], sdfit_lte(observation, "CH3OH", fixed=FIXED)["parameters"])


def test_takes_specutils(table):
    from specutils import Spectrum

    spectrum = Spectrum(flux=table["intensity"], spectral_axis=table["frequency"])
    result = sdfit_lte(spectrum, "CH3OH", noise=0.05, beam=1.9 * u.arcsec, fixed=FIXED)
    assert isinstance(result["parameters"], QTable)
    assert result["parameters"]["detected"][0]
