"""`sdfit_lte` with files of XCLASS: what a molfit, an observation XML and an iso-ratio file mean for a fit."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.observation import Beam, Observation, Window
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_ext.pipeline.products import read_products
from spectuner_ext.xclass import molfit_components, read_iso_ratios, read_molfit, read_observation_xml
from spectuner_tasks import sdfit_lte
from spectuner_tasks.command_line import rerun

V_LSR = 60.0
NOISE = 0.02
SIZE, T_EX, N_TOT, FWHM, V_OFF = 0.8, 120.0, 3e16, 4.0, 1.0
RANGES = [(235_860.0, 236_020.0), (241_690.0, 241_810.0)]
TELESCOPES = [{"diameter": 600.0}, {"major": 0.6, "minor": 0.6}]
BACKGROUNDS = [(4.0, 0.5), (0.0, 0.0)]
RATIO = 20.0

OBSERVATION = """<?xml version="1.0" encoding="UTF-8"?>
<ExpFiles>
<NumberExpFiles> 2 </NumberExpFiles>
<!-- the first one was taken with a dish -->
<file>
  <FileNamesExpFiles>one.dat</FileNamesExpFiles><ImportFilter>xclassASCII</ImportFilter>
  <NumberExpRanges>1</NumberExpRanges>
  <FrequencyRange>
    <MinExpRange>{0[0]}</MinExpRange><MaxExpRange>{0[1]}</MaxExpRange><StepFrequency>0.5</StepFrequency>
    <t_back_flag>True</t_back_flag><BackgroundTemperature>4.0</BackgroundTemperature>
    <TemperatureSlope>0.5</TemperatureSlope>
  </FrequencyRange>
  <GlobalvLSR>60.0</GlobalvLSR><TelescopeSize>600.0</TelescopeSize><Inter_Flag>False</Inter_Flag>
  <ErrorY>yes</ErrorY><NumberHeaderLines>1</NumberHeaderLines><SeparatorColumns> </SeparatorColumns>
</file>
<file>
  <FileNamesExpFiles>two.dat</FileNamesExpFiles><ImportFilter>xclassASCII</ImportFilter>
  <NumberExpRanges>1</NumberExpRanges>
  <FrequencyRange>
    <MinExpRange>{1[0]}</MinExpRange><MaxExpRange>{1[1]}</MaxExpRange><StepFrequency>0.5</StepFrequency>
    <t_back_flag>True</t_back_flag><BackgroundTemperature>0.0</BackgroundTemperature>
    <TemperatureSlope>0.0</TemperatureSlope>
  </FrequencyRange>
  <GlobalvLSR>60.0</GlobalvLSR><TelescopeSize>0.6</TelescopeSize><Inter_Flag>True</Inter_Flag>
  <ErrorY>no</ErrorY><NumberHeaderLines>0</NumberHeaderLines><SeparatorColumns> </SeparatorColumns>
</file>
<iso_flag>{2}</iso_flag><IsoTableFileName>iso.txt</IsoTableFileName>
</ExpFiles>
"""
SKY_RANGES = [tuple(nu * (1 - V_LSR / 299_792.458) for nu in pair) for pair in RANGES]


def made_observation():
    """Empty windows in the rest frame, as the files below state them."""
    windows = []
    for (low, high), telescope, (level, slope) in zip(RANGES, TELESCOPES, BACKGROUNDS, strict=True):
        nu = np.arange(low + 2, high - 2, 0.5)
        continuum = level * (nu / low) ** slope
        windows.append(
            Window(
                nu,
                np.zeros(nu.size),
                np.full(nu.size, NOISE),
                np.ones(nu.size, bool),
                continuum,
                Beam(**telescope),
            )
        )
    return Observation(tuple(windows), V_LSR)


@pytest.fixture(scope="module")
def made(database):
    """Observation and spectra of 12C and 13C methanol, whose sizes mean another filling factor in each window."""
    observation = made_observation()
    scale = observation.beam_scale
    lines = [database.select(s, line_ranges(observation), hyperfine="merge") for s in ("CH3OH", "13CH3OH")]
    theta = np.array([[SIZE**2 / (SIZE**2 + scale**2), T_EX, n, FWHM, V_OFF] for n in (N_TOT, N_TOT / RATIO)])
    model = LTEModel.bind(observation, lines)
    both = model.split(model.spectrum(theta))
    alone = model.split(model.spectrum(theta[:1], [0]))
    return observation, both, alone


@pytest.fixture
def folder(tmp_path, made):
    """Files of XCLASS: two spectra with noise and continuum, of which one descends, and what belongs to them."""
    write(tmp_path, made[0], made[1])
    return tmp_path


def write(folder, observation, spectra):
    rng = np.random.default_rng(5)
    for k, (w, spectrum) in enumerate(zip(observation.windows, spectra, strict=True)):
        data = spectrum + w.t_continuum + rng.normal(0, NOISE, w.nu.size)
        columns = [observation.sky_frequency(w.nu), data, np.full(w.nu.size, NOISE)][: 3 - k]
        rows = np.column_stack(columns)[:: 1 - 2 * k]
        header = "frequency temperature error" if k == 0 else ""
        np.savetxt(folder / ("two.dat" if k else "one.dat"), rows, fmt="%.12g", header=header)
    (folder / "obs.xml").write_text(OBSERVATION.format(*SKY_RANGES, "False"))
    (folder / "iso.txt").write_text("% C-13\nC-13-H3OH;v=0;  CH3OH;v=0;  20.0\n")
    (folder / "fit.molfit").write_text(
        "% two parameters are held\nCH3OH;v=0;  1\n"
        " n 0.1 10 0.8  n 5 300 120  y 1e13 1e19 1e16  y 1 10 5.0  y -5 5 0  c\n"
    )
    (folder / "plain.molfit").write_text("CH3OH;v=0;  1\n 0.8 120 3e16 4.0 1.0 c\n")


def within(row, name, truth, error_times=5):
    return abs(row[name].value - truth) < error_times * row[f"{name}_err"].value


def test_molfit_and_observation_xml_are_a_whole_call(folder, made):
    write(folder, made[0], made[2])
    result = sdfit_lte(str(folder / "obs.xml"), str(folder / "fit.molfit"))
    (row,) = result["parameters"]
    assert_allclose(row["source_size"].to_value(u.arcsec), SIZE, rtol=1e-12)
    assert row["T_ex"] == T_EX * u.K
    assert np.isnan(row["T_ex_err"])
    assert within(row, "N_tot", N_TOT)
    assert within(row, "fwhm", FWHM)
    assert within(row, "v_off", V_OFF)
    for table, w in zip(result["spectra"], made[0].windows, strict=True):
        assert_allclose(table["frequency"].to_value(u.MHz), w.nu, rtol=1e-10)
        assert_allclose(table["continuum"].to_value(u.K), w.t_continuum, rtol=1e-9)
        assert abs(table["residual"].to_value(u.K).mean()) < 5 * NOISE / np.sqrt(w.nu.size)
    assert result["spectra"][0].meta["noise_source"] == "table"
    assert result["spectra"][1].meta["noise_source"] == "estimated"
    assert result["spectra"][0].meta["vlsr"] == V_LSR
    again = sdfit_lte(**result["call"])
    assert_array_equal(again["parameters"]["N_tot"], result["parameters"]["N_tot"])
    named = {item["file"].rsplit("/", 1)[1] for item in result["provenance"]["input"]}
    assert named == {"obs.xml", "one.dat", "two.dat", "fit.molfit"}


def test_what_the_call_says_wins(folder):
    result = sdfit_lte(
        folder / "obs.xml",
        folder / "fit.molfit",
        fixed={"T_ex": 80},
        bounds={"CH3OH": {"N_tot": (1e14, 2e14)}},
    )
    (row,) = result["parameters"]
    assert row["T_ex"] == 80 * u.K
    assert row["N_tot"] <= 2.0001e14 * u.cm**-2
    freed = sdfit_lte(folder / "obs.xml", folder / "fit.molfit", bounds={"T_ex": (50, 200)})
    assert freed["parameters"]["T_ex_err"][0] > 0


def test_molfits_of_starts_bounds_and_held_values_for_named_species(folder):
    given = str(folder / "plain.molfit")
    result = sdfit_lte(folder / "obs.xml", ["CH3OH"], fixed=given)
    (row,) = result["parameters"]
    held = [row[k].value for k in ("T_ex", "N_tot", "fwhm", "v_off")]
    assert_allclose(held, [T_EX, N_TOT, FWHM, V_OFF], rtol=1e-12)
    assert_allclose(row["source_size"].value, SIZE, rtol=1e-12)
    held = sdfit_lte(
        folder / "obs.xml",
        ["CH3OH"],
        bounds=str(folder / "fit.molfit"),
        fixed={"T_ex": 120, "source_size": 0.8},
    )
    assert held["parameters"]["N_tot"][0] < 1e19 * u.cm**-2
    narrow = (folder / "fit.molfit").read_text().replace("1e13 1e19 1e16", "1e13 1e15 1e14")
    (folder / "narrow.molfit").write_text(narrow)
    bounded = sdfit_lte(
        folder / "obs.xml",
        "CH3OH",
        initial=given,
        bounds=folder / "narrow.molfit",
        fixed=folder / "narrow.molfit",
    )
    assert bounded["parameters"]["N_tot"][0] <= 1.0001e15 * u.cm**-2
    assert bounded["parameters"]["T_ex"][0] == T_EX * u.K


@pytest.mark.parametrize("form", ["file", "mapping", "listed"])
def test_isotopologues_follow_their_master(folder, form):
    ratios = {"file": str(folder / "iso.txt")}.get(form, {"13CH3OH": ["CH3OH", RATIO]})
    species = [["13CH3OH", "CH3OH"]] if form == "listed" else str(folder / "fit.molfit")
    fixed = {"CH3OH": {"T_ex": T_EX, "source_size": SIZE}} if form == "listed" else None
    result = sdfit_lte(folder / "obs.xml", species, isoratio=ratios, fixed=fixed)
    table = result["parameters"]
    assert set(table["species"]) == {"CH3OH;v=0;", "C-13-H3OH;v=0;"}
    of = {row["species"]: row for row in table}
    main, rare = of["CH3OH;v=0;"], of["C-13-H3OH;v=0;"]
    assert_allclose(main["N_tot"] / rare["N_tot"], RATIO, rtol=1e-9)
    for name in ("source_size", "T_ex", "fwhm", "v_off"):
        assert_allclose(main[name].value, rare[name].value, rtol=1e-12, err_msg=name)
    assert table["n_free"][0] == 3
    assert within(main, "N_tot", N_TOT)


def test_the_table_of_an_observation_xml_is_used(folder):
    (folder / "obs.xml").write_text(OBSERVATION.format(*SKY_RANGES, "True"))
    used = sdfit_lte(folder / "obs.xml", folder / "fit.molfit")
    assert list(used["parameters"]["species"]) == ["CH3OH;v=0;", "C-13-H3OH;v=0;"]
    without = sdfit_lte(folder / "obs.xml", folder / "fit.molfit", isoratio="none")
    assert list(without["parameters"]["species"]) == ["CH3OH;v=0;"]


def test_a_ratio_with_bounds_is_fitted(folder):
    result = sdfit_lte(
        folder / "obs.xml", folder / "fit.molfit", isoratio={"13CH3OH": ["CH3OH", 60.0, 5.0, 100.0]}
    )
    main, rare = result["parameters"]
    assert result["parameters"]["n_free"][0] == 4
    assert_allclose(main["N_tot"] / rare["N_tot"], RATIO, rtol=0.1)
    assert_allclose(main["v_off"].value, rare["v_off"].value, rtol=1e-12)


def used_channels(result):
    """Columns of all windows, where a channel is used."""
    return {
        name: np.concatenate([table[name][table["used"]].value for table in result["spectra"]])
        for name in ("frequency", "model", "observed", "sigma", "continuum")
    }


def test_result_for_xclass_gives_the_same_model_again(folder):
    first = sdfit_lte(
        folder / "obs.xml", folder / "fit.molfit", str(folder / "out"), isoratio=folder / "iso.txt", xclassfiles=True,
        mask=f"{SKY_RANGES[0][0] + 20}~{SKY_RANGES[0][0] + 30}MHz", plots=False,
    )  # fmt: skip
    assert {"molfit", "obs_xml", "data_1", "data_2", "isoratio"} <= set(first["files"])
    (component,) = molfit_components(read_molfit(folder / "out.molfit"))
    assert component.column.fit
    assert not component.temperature.fit
    assert (component.column.lower, component.column.upper) == (1e13, 1e19)
    assert read_iso_ratios(folder / "out_iso.dat").ratios[0].ratio == RATIO
    one, two = read_observation_xml(folder / "out_obs.xml").files
    assert (one.telescope_size, one.interferometer) == (600.0, False)
    assert (two.telescope_size, two.interferometer) == (0.6, True)
    assert len(one.ranges) == 2
    again = sdfit_lte(folder / "out_obs.xml", folder / "out.molfit")
    ours, copy = used_channels(first), used_channels(again)
    peak = ours["model"].max()
    assert_allclose(copy["frequency"], ours["frequency"], rtol=1e-12)
    assert_allclose(copy["model"], ours["model"], rtol=0, atol=1e-5 * peak)
    assert_allclose(copy["observed"], ours["observed"], rtol=0, atol=1e-12)
    assert_allclose(copy["sigma"], ours["sigma"], rtol=1e-12)
    assert_allclose(copy["continuum"], ours["continuum"], rtol=1e-9)
    assert read_products(folder / "out")["call"]["species"] == str(folder / "fit.molfit")


def test_held_values_give_the_very_same_model(folder):
    first = sdfit_lte(
        folder / "obs.xml", folder / "fit.molfit", str(folder / "out"), xclassfiles=True, plots=False
    )
    held = sdfit_lte(folder / "out_obs.xml", "CH3OH", fixed={
        name: first["parameters"][name][0] for name in ("source_size", "T_ex", "N_tot", "fwhm", "v_off")
    })  # fmt: skip
    for ours, copy in zip(first["spectra"], held["spectra"], strict=True):
        peak = ours["model"].max().value
        assert_allclose(copy["model"].value, ours["model"].value, rtol=0, atol=1e-9 * peak)


def test_nothing_is_replaced_unasked(folder):
    call = (str(folder / "obs.xml"), str(folder / "fit.molfit"), str(folder / "out"))
    (folder / "out_obs.xml").write_text("<ExpFiles/>")
    with pytest.raises(OutputExistsError, match=r"outfile: out_obs\.xml .* exist already"):
        sdfit_lte(*call, xclassfiles=True)
    with pytest.raises(InputError, match=r"outfile: fit\.molfit is read by this call"):
        sdfit_lte(*call[:2], str(folder / "fit"), xclassfiles=True, overwrite=True)


MOLFIT = "CH3OH;v=0;  1\n 0.8 120 3e16 4.0 1.0 c\n"


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"m.molfit": MOLFIT.replace(" c\n", " f\n")}, {}, r"^species: .*is in the foreground \(f\)"),
        ({"m.molfit": "CH3OH;v=0;  2\n 0.8 120 3e16 4.0 1.0 c\n"}, {}, "^species: .*1 of 2 components"),
        ({"m.molfit": MOLFIT.replace("CH3OH", "XY5")}, {}, "^species: .*XY5"),
        ({}, {"components": 2}, "^components: the molfit file of species says how many"),
        ({}, {"species": ["m.molfit", "CO"]}, "^species: a molfit file stands alone"),
        ({}, {"species": "gone.molfit"}, "^species: there is no file at .*gone.molfit"),
        ({}, {"isoratio": "gone.txt"}, "^isoratio: there is no file"),
        ({}, {"isoratio": {"13CH3OH": ["CH3OH"]}}, r"^isoratio: 13CH3OH: must be \[master, ratio\]"),
        ({}, {"isoratio": {"CH3OH": ["13CH3OH", 60]}}, "^isoratio: .*CH3OH"),
        ({}, {"xclassfiles": True}, "^xclassfiles: needs outfile"),
        ({"obs.xml": "<ExpFiles><NumberExpFiles>"}, {}, "^infile: "),
        ({"one.dat": None}, {}, "^infile: .*there is no file .*one.dat"),
        ({"one.dat": "SIMPLE  = T"}, {}, "^infile: .*holds FITS data"),
        ({"one.dat": "# no\n1000 1 1\n1001 1 1\n"}, {}, "^infile: one.dat has 0 channels"),
    ],
)  # fmt: skip
def test_refused_before_any_work(folder, monkeypatch, change, options, message):
    monkeypatch.chdir(folder)
    (folder / "m.molfit").write_text(MOLFIT)
    for name, text in change.items():
        (folder / name).write_text(text) if text is not None else (folder / name).unlink()
    with pytest.raises(InputError, match=message):
        sdfit_lte("obs.xml", **{"species": "m.molfit", **options})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<GlobalvLSR>60.0</GlobalvLSR><TelescopeSize>0.6", "<GlobalvLSR>50.0</GlobalvLSR><TelescopeSize>0.6",
         "infile: the files of obs.xml have different GlobalvLSR"),
        ("<t_back_flag>True</t_back_flag><BackgroundTemperature>0.0",
         "<t_back_flag>False</t_back_flag><HydrogenColumnDensity>1e24</HydrogenColumnDensity>"
         "<Kappa>0.01</Kappa><BackgroundTemperature>0.0", "infile: the range .* has dust"),
        ("<BackgroundTemperature>4.0", "<BackgroundTemperature>-4.0", "infile: the BackgroundTemperature .* is -4 K"),
    ],
)  # fmt: skip
def test_observation_files_that_our_model_cannot_follow(folder, old, new, message):
    text = (folder / "obs.xml").read_text()
    assert old in text
    (folder / "obs.xml").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        sdfit_lte(folder / "obs.xml", folder / "fit.molfit")


def test_species_without_lines_and_unknown_tags_are_named_in_the_log(folder):
    text = (folder / "obs.xml").read_text().replace("<ErrorY>no", "<NoiseLevel>0.1</NoiseLevel><ErrorY>no")
    (folder / "obs.xml").write_text(text)
    with (folder / "plain.molfit").open("a") as file:
        file.write("%%MaxElowSQL = 500\nCO;v=0;  1\n 0.8 120 3e16 4.0 1.0 c\n")
    result = sdfit_lte(folder / "obs.xml", folder / "plain.molfit", str(folder / "out"), plots=False)
    assert list(result["parameters"]["species"]) == ["CH3OH;v=0;"]
    log = (folder / "out.log").read_text()
    assert "CO;v=0; has no line in the observed range and is left out" in log
    assert "not used: <NoiseLevel> 0.1" in log
    assert "limits of the molfit are not applied: max_lower_energy 500" in log


def test_a_recorded_call_is_repeated_on_the_command_line(folder, capsys):
    call = (folder / "obs.xml", folder / "fit.molfit", str(folder / "out"))
    sdfit_lte(*call, xclassfiles=True, plots=False)
    rerun(folder / "out.json")
    assert "CH3OH" in capsys.readouterr().out


def test_molfit_of_a_cube(database, tmp_path):
    methanol = {
        "species": "CH3OH",
        "T_ex": 150,
        "N_tot": np.full((3, 4), 1e18),
        "fwhm": 5,
        "source_size": 1.0,
        "v_off": 0,
    }
    cube = simulate_cube(
        tmp_path / "cube", [(218_400.0, 218_500.0, 0.5)], [methanol], database, shape=(3, 4), noise=0.05,
        beam="1.9arcsec", continuum=0.0, seed=3,
    )  # fmt: skip
    (tmp_path / "m.molfit").write_text(
        "CH3OH;v=0;  1\n n 1 1 1.0  n 5 300 150  y 1e13 1e19 1e16  y 1 10 4.0  y -5 5 0  c\n"
    )
    result = sdfit_lte(list(cube.files), tmp_path / "m.molfit", min_peaks=0)
    maps = result["maps"]
    assert np.all(maps.quantity("CH3OH", "T_ex").value == 150.0)
    assert_allclose(maps.quantity("CH3OH", "N_tot").value, 1e18, rtol=0.2)
    assert result["call"]["species"] == str(tmp_path / "m.molfit")
    with pytest.raises(InputError, match="isoratio: is for spectra"):
        sdfit_lte(list(cube.files), tmp_path / "m.molfit", isoratio={"13CH3OH": ["CH3OH", 60]})
