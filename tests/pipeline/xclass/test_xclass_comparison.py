"""Comparison of a made-up job with our model: by formulas that are not ours, under conventions that are known."""

import json
import os
import re
import shutil
import sys
import types
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
import typer
from astropy.io import fits
from astropy.table import QTable
from numpy.testing import assert_allclose
from typer.testing import CliRunner

from spectuner_ext.cli import _typed
from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.observation import Observation, Window
from spectuner_ext.pipeline.xclass.background import temperature_of
from spectuner_ext.pipeline.xclass.comparison import OtherCodes, compare
from spectuner_ext.pipeline.xclass.comparison_report import report_lines, write_comparison
from spectuner_ext.pipeline.xclass.comparison_tables import parameter_table
from spectuner_ext.pipeline.xclass.conventions import DOCUMENTED, OURS
from spectuner_ext.pipeline.xclass.explanation import difference, explain
from spectuner_ext.pipeline.xclass.job import Stated, read_job
from spectuner_ext.pipeline.xclass.map_comparison import map_table
from spectuner_ext.pipeline.xclass.synthesis import spectra_of
from spectuner_ext.pipeline.xclass.workers import OtherCodeError, ask, interpreter
from spectuner_tasks.comparison import compare_xclass

C = 299_792.458


@pytest.fixture(scope="module")
def job(job_folder):
    return read_job(job_folder)


@pytest.fixture(scope="module")
def comparison(job, database):
    return compare(job, database)


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(_typed(compare_xclass))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_the_whole_job_is_read(job):
    assert job.molfit.text.name.endswith("molecules__LM__call_1.out.molfit")
    assert job.molfit_before.text.name.endswith("molecules.molfit")
    assert [s.band.telescope_size for s in job.spectra] == [12.0, 2.0, 30.0]
    assert [s.band.interferometer for s in job.spectra] == [False, True, False]
    assert all(s.data is not None for s in job.spectra)
    assert job.ratios[0].ratio == 30.0
    assert len(job.transitions) > 50
    assert job.chi2.parameters.shape == (2, 14)
    assert {what for what, _ in job.files} == {
        "fitted molfit", "molfit before the fit", "observation file", "model spectrum", "iso-ratio file",
        "table of transitions", "log of chi2",
    }  # fmt: skip


def test_documented_conventions_are_those_of_the_formulas(comparison):
    # 1e-8: digits of the spectra and constants in the files
    (job,) = comparison.compared
    assert job.from_documented.start.relative < 1e-7
    assert job.best.left.relative < 1e-7
    assert not job.best.factors


def test_our_conventions_are_those_of_the_model(comparison, database):
    case = comparison.case
    windows = []
    for band in case.bands:
        nu = band.sky / (1 - band.v_lsr / C)
        n = nu.size
        continuum = temperature_of(band.ranges[0], band.sky)
        windows.append(Window(nu, np.zeros(n), np.ones(n), np.ones(n, bool), continuum, band.beam))
    observation = Observation(tuple(windows), case.bands[0].v_lsr)
    species = list(case.lines)
    model = LTEModel.bind(observation, [case.lines[s].merged for s in species])
    area = observation.beam_scale**2
    theta = np.array(
        [
            [c.source_size**2 / (c.source_size**2 + area), c.t_ex, c.n_tot, c.fwhm, c.v_off]
            for c in case.components
        ]
    )
    fast = model.split(model.spectrum(theta, [species.index(c.species) for c in case.components]))
    # 1e-4 of the peak: the channel average of both has its own rule
    assert difference(spectra_of(case, OURS), fast).relative < 1e-4


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"t_cmb": 2.73}, ("t_cmb", "2.73")),
        ({"average": True}, ("sampling", "average")),
        ({"planck": False}, ("temperature", "rayleigh-jeans")),
        ({"beam_as_arcsec": True}, ("telescope", "arcsec")),
        ({"no_velocity": True}, ("velocity", "without vLSR")),
    ],
)
def test_the_convention_that_was_changed_is_found(made, expected, made_up, job, comparison, database):
    theirs = [made_up.model(band, database, made_up.Made(**made)) for band in made_up.BANDS]
    found = explain(comparison.case, theirs, DOCUMENTED)
    assert [(step.name, step.setting) for step in found.path] == [expected]
    assert found.path[0].removed > 0.95
    assert found.left.relative < 1e-4
    from_ours = explain(comparison.case, theirs, OURS)
    settings = {step.name: step.setting for step in from_ours.path}
    assert settings["continuum"] == "with"
    assert from_ours.left.relative < 1e-3


def test_a_factor_in_column_density_is_told_apart_from_conventions(made_up, comparison, database):
    theirs = [made_up.model(band, database, made_up.Made(factor=4.0)) for band in made_up.BANDS]
    found = explain(comparison.case, theirs, DOCUMENTED)
    assert found.left.relative > 0.01
    assert found.left_with_factors.relative < 1e-6
    assert found.conventions == DOCUMENTED
    assert_allclose([factor for _, factor in found.factors], 4.0, rtol=1e-4)


def test_flat_spectra():
    zero, one = np.zeros(5), np.ones(5)
    assert difference([zero], [zero]).relative == 0.0
    assert difference([one], [zero]).relative == np.inf


def test_report_says_where_numbers_come_from(comparison, tmp_path):
    files = write_comparison(tmp_path / "report", comparison)
    text = (tmp_path / "report" / "report.md").read_text()
    assert "XCLASS was not run for this report." in text
    assert "read from files of the job: band_a.LM__call_1.out.dat" in text
    assert "the continuum of tBack and tslope is part of the spectrum" in text
    facts = json.loads((tmp_path / "report" / "facts.json").read_text())
    assert facts["xclass_was_run"] is False
    assert facts["codes"][0]["explained_by"][0] == ["continuum", "with"]
    assert (tmp_path / "report" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    spectra = QTable.read(files["spectrum_1"], format="ascii.ecsv")
    assert_allclose(spectra["ours_documented"].value, spectra["job"].value, atol=1e-6)
    lines = QTable.read(files["lines"], format="ascii.ecsv")
    assert_allclose(lines["a_ratio"], 1.0, rtol=1e-7)
    conventions = QTable.read(files["conventions"], format="ascii.ecsv")
    assert {"alone", "path", "from the end"} == set(conventions["kind"])
    with pytest.raises(OutputExistsError, match=r"outdir: .* holds report.md"):
        write_comparison(tmp_path / "report", comparison)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report"]


def test_an_installed_package_is_run_on_the_same_files(stand_in, job, database):
    found = compare(job, database, OtherCodes(xclass_python=sys.executable, timeout=60))
    assert [c.name for c in found.compared] == ["job", "xclass"]
    answer = found.compared[1]
    assert answer.origin.startswith(
        "run now: package xclass stand-in (Stand-in for XCLASS made by a test; it is not XCLASS.), "
    )
    assert str(stand_in) in answer.origin
    for k, (band, spectrum) in enumerate(zip(found.case.bands, answer.spectra, strict=True)):
        assert_allclose(spectrum, temperature_of(band.ranges[0], band.sky) + 1.25, rtol=1e-9)
        call = json.loads((stand_in / "calls.jsonl").read_text().splitlines()[k])
        assert call["TelescopeSize"] == band.telescope_size
        assert call["Inter_Flag"] is band.interferometer
        assert (call["vLSR"], call["iso_flag"]) == (45.0, True)
        assert_allclose([call["FreqMin"], call["FreqMax"]], band.sky[[0, -1]])
    assert "XCLASS was not run" not in "\n".join(report_lines(found))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import time; time.sleep(30)", "no answer after 1 s"),
        ("raise RuntimeError('no database')", "ended with code 1: RuntimeError: no database"),
        ("return np.array([[FreqMin, np.nan], [FreqMax, 1.0]])", "numbers that are not finite"),
        ("return np.array([[1.0, 1.0], [2.0, 1.0]])", "another range than was asked for"),
        ("return np.zeros(4)", r"gave an array of the shape \(4,\)"),
    ],
)
def test_an_installed_package_that_fails_gives_no_numbers(stand_in, job, database, body, message):
    task = stand_in / "task_myXCLASS.py"
    head = "import numpy as np\ndef myXCLASSCore(FreqMin=1, FreqMax=2, **given):\n    "
    task.write_text(f"{head}{body}\n")
    found = compare(
        job, database, OtherCodes(xclass_python=sys.executable, timeout=1 if "sleep" in body else 60)
    )
    assert [c.name for c in found.compared] == ["job"]
    (remark,) = [text for text in found.remarks if text.startswith("XCLASS gave no result")]
    assert re.search(message, remark), remark


def test_a_version_that_cannot_be_told_everything_is_not_believed(stand_in, job, database):
    (stand_in / "task_myXCLASS.py").write_text(
        "def myXCLASSCore(FreqMin, FreqMax, FreqStep, MolfitsFileName):\n    return None\n"
    )
    found = compare(job, database, OtherCodes(xclass_python=sys.executable, timeout=60))
    (remark,) = [text for text in found.remarks if text.startswith("XCLASS gave no result")]
    assert "has no TelescopeSize, Inter_Flag" in remark


def test_without_a_package_nothing_is_claimed(job, database):
    found = compare(
        job, database, OtherCodes(xclass_python=sys.executable, peers={"spectuner": sys.executable})
    )
    assert [c.name for c in found.compared] == ["job"]
    assert any("has no package xclass" in text for text in found.remarks)
    assert any(
        text.startswith("spectuner gave no result") and "cannot import it" in text for text in found.remarks
    )


def test_single_model_without_observation_file(job_folder, tmp_path, database):
    single = tmp_path / "single"
    single.mkdir()
    shutil.copy(job_folder / "molecules__LM__call_1.out.molfit", single / "model.molfit")
    shutil.copy(job_folder / "band_a.LM__call_1.out.dat", single / "xclass_spectrum_output.dat")
    shutil.copy(job_folder / "isoratios.txt", single / "my-isoratios.out.input")
    stated = Stated(telescope_size=12.0, v_lsr=45.0, t_back=3.0, t_slope=1.5)
    found = compare(read_job(single, stated), database)
    assert found.compared[0].from_documented.start.relative < 1e-7
    wrong = compare(read_job(single, Stated(telescope_size=12.0, v_lsr=45.0)), database)
    assert wrong.compared[0].from_documented.start.relative > 0.1


def test_a_job_that_was_moved_and_one_without_its_data(job_folder, tmp_path, database):
    moved = shutil.copytree(job_folder, tmp_path / "moved")
    text = (moved / "obs.xml").read_text().replace(str(job_folder), "/no/such/folder")
    (moved / "obs.xml").write_text(text)
    found = read_job(moved)
    assert found.source.spectra[0].path == moved / "band_a.dat"
    (moved / "band_b.dat").unlink()
    lost = read_job(moved)
    assert lost.source is None
    assert any("the data are not used: " in text and "band_b.dat" in text for text in lost.remarks)
    assert [b.telescope_size for b in lost.bands] == [12.0, 2.0, 30.0]
    assert compare(lost, database).compared[0].from_documented.start.relative < 1e-7


def test_our_components_are_told_apart_by_what_they_are(comparison):
    rows = [
        ("CH3OH;v=0;", 1, 60.0, 2.1e16, -3.4),
        ("CH3OH;v=0;", 2, 149.0, 4.1e17, 0.7),
        ("CH3CN;v=0;", 1, 119.0, 2e15, 0.1),
    ]
    table = QTable()
    table["species"], table["component"] = [r[0] for r in rows], [r[1] for r in rows]
    for name, k in (("T_ex", 2), ("N_tot", 3), ("v_off", 4), ("fwhm", 2), ("source_size", 2)):
        table[name] = np.array([r[k] for r in rows]) * u.K  # units are not looked at
        table[f"{name}_err"] = np.full(3, 0.1) * u.K
    fitted = replace(comparison, fit={"parameters": table})
    of = {(r["species"], r["component"], r["parameter"]): r for r in parameter_table(fitted)}
    assert of["CH3OH;v=0;", 1, "v_off"]["our_component"] == 2
    assert of["CH3OH;v=0;", 1, "v_off"]["ours"] == 0.7
    assert_allclose(of["CH3OH;v=0;", 2, "T_ex"]["sigmas"], 0.0, atol=1e-9)


def test_maps_are_compared_pixel_by_pixel(job):
    class Ours:
        def quantity(self, species, parameter, component):
            assert (species, parameter, component) == ("CH3OH;v=0;", "T_ex", 1)
            values = np.full((3, 4), 153.0)
            values[0, 0] = np.nan
            return types.SimpleNamespace(value=values)

    names = {"CH3OH;v=0;": "CH3OH;v=0;"}
    table = map_table(job.directory.maps, job.molfit.molecules, names, Ours())
    assert (table["n_both"][0], table["median_difference"][0], table["parameter"][0]) == (11, 3.0, "T_ex")
    Ours.quantity = lambda *_: types.SimpleNamespace(value=np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"maps: .* has 4 columns and 3 rows, ours 2 and 2"):
        map_table(job.directory.maps, job.molfit.molecules, names, Ours())


def test_command(command, job_folder, tmp_path):
    result = command(job_folder, tmp_path / "out", "--no-plots")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("job: the same to ")
    assert f"wrote {tmp_path / 'out' / 'report.md'}" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--peer", "weeds", "--peer-python", sys.executable], "peer: unknown code 'weeds'"),
        (["--peer", "pyspeckit"], "peer_python: 0 interpreters for 1 codes"),
        (["--xclass-python", "no_such_python"], "xclass_python: 'no_such_python' cannot be run"),
        (["--telescope", "3 parsec per week"], "telescope"),
        (["--maps", "none.fits"], "none.fits"),
        (["--molfit", "none.molfit"], "there is no file"),
    ],
)
def test_command_refuses(command, job_folder, tmp_path, options, message):
    result = command(job_folder, tmp_path / "out", *options)
    assert isinstance(result.exception, InputError), result.output
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_folders_that_are_no_jobs(tmp_path, job_folder):
    with pytest.raises(InputError, match=r"job: .* has no molfit file"):
        read_job(tmp_path)
    shutil.copy(job_folder / "molecules.molfit", tmp_path)
    with pytest.raises(InputError, match=r"job: .* has neither a model spectrum nor an observation file"):
        read_job(tmp_path)
    shutil.copy(job_folder / "molecules.molfit", tmp_path / "other.molfit")
    with pytest.raises(InputError, match=r"molfit: the job has several: molecules.molfit, other.molfit"):
        read_job(tmp_path)


def test_programs_that_leave_no_answer(tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 0\n")
    os.chmod(fake, 0o755)
    with pytest.raises(OtherCodeError, match="its answer cannot be read"):
        ask("xclass", interpreter(str(fake), "xclass_python"), {}, {}, 10.0)


def test_map_files_that_are_none(tmp_path, job):
    path = tmp_path / "BestResult___parameter__T_rot___molecule__CH3OH_v=0____component__1.fits"
    fits.PrimaryHDU(np.zeros(5)).writeto(path)
    one = types.SimpleNamespace(path=path, molecule="CH3OH_v=0_", parameter="T_rot", component=1)
    with pytest.raises(InputError, match=r"has the shape \(5,\)"):
        map_table([one], job.molfit.molecules, {}, None)
