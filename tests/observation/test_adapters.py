"""The same spectrum by every way in gives the same observation."""

import gzip
import subprocess
import sys

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.constants import C_KMS, T_CMB
from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.observation import Beam, Observation, observe

N = 400
REST = 230538.0
FREQUENCY = REST + 0.25 * (np.arange(N) - 200)  # MHz
INTENSITY = np.random.default_rng(7).normal(scale=0.1, size=N) + 5 * np.exp(
    -0.5 * ((np.arange(N) - 150) / 4) ** 2
)
VLSR = 5.0


@pytest.fixture(scope="module")
def truth():
    return observe((FREQUENCY * u.MHz, INTENSITY * u.K), vlsr=VLSR)


def assert_same(found, expected, rtol=1e-9):
    assert len(found.windows) == len(expected.windows)
    assert found.v_lsr == expected.v_lsr
    for a, b in zip(found.windows, expected.windows, strict=True):
        for field in ("nu", "intensity", "sigma", "t_continuum"):
            assert_allclose(getattr(a, field), getattr(b, field), rtol=rtol, atol=1e-9, err_msg=field)
        assert_array_equal(a.mask, b.mask)
        assert a.t_cmb == b.t_cmb


def image_header(ctype="FREQ", unit="Hz", step=0.25e6, start=REST * 1e6, **more):
    header = fits.Header()
    header["CTYPE1"], header["CUNIT1"], header["CRPIX1"] = ctype, unit, 201.0
    header["CDELT1"], header["CRVAL1"], header["BUNIT"] = step, start, "K"
    header["RESTFRQ"], header["SPECSYS"] = REST * 1e6, "LSRK"
    header.update(more)
    return header


def table(kind=QTable, frequency=FREQUENCY * u.MHz, intensity=INTENSITY * u.K, **more):
    return kind({"frequency": frequency, "T": intensity, **more})


# --- one spectrum, many containers ---


def test_quantities(truth):
    (window,) = truth.windows
    assert_allclose(window.nu, FREQUENCY / (1 - VLSR / C_KMS), rtol=1e-14)
    assert_allclose(window.intensity, INTENSITY)
    assert_allclose(truth.sky_frequency(window.nu), FREQUENCY, rtol=1e-14)
    assert window.mask.all()
    assert window.t_cmb == T_CMB
    assert window.notes["noise_source"] == "estimated"
    assert (window.notes["unit_in"], window.notes["axis_in"]) == ("K", "MHz")


@pytest.mark.parametrize("separator", [" ", "\t", ",", " , "])
@pytest.mark.parametrize(
    "header", ["", "# freq T\n", "Frequency (MHz)  T (K)\n3 columns? no\n\n", "\ufeff! µ Å\n"]
)
def test_text(tmp_path, truth, separator, header):
    rows = "".join(
        f"{f!r}{separator}{t!r}\n" for f, t in zip(FREQUENCY.tolist(), INTENSITY.tolist(), strict=True)
    )
    path = tmp_path / "spectrum.dat"
    path.write_text(header + rows + "\n# the end\n", encoding="utf-8")
    found = observe(path, vlsr=VLSR)
    assert_same(found, truth)
    assert found.windows[0].name == "spectrum"
    assert found.windows[0].notes["file"] == str(path)
    packed = tmp_path / "spectrum.dat.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert_same(observe(str(packed), vlsr=VLSR), truth)


@pytest.mark.parametrize("kind", [QTable, Table])
@pytest.mark.parametrize("suffix", [None, "ecsv", "fits", "fits.gz"])
def test_tables(tmp_path, truth, kind, suffix):
    source = table(kind)
    if suffix is not None:
        path = tmp_path / f"spectrum.{suffix}"
        source.write(path)
        source = path
    assert_same(observe(source, vlsr=VLSR), truth)


def test_image_with_degenerate_axes(tmp_path, truth):
    path = tmp_path / "s.fits"
    header = image_header(CTYPE2="RA---TAN", CTYPE3="DEC--TAN", CRVAL2=10.0, CRVAL3=-20.0)
    fits.writeto(path, INTENSITY.reshape(1, 1, N), header)
    assert_same(observe(path, vlsr=VLSR), truth)


@pytest.mark.parametrize("ctype", ["VRAD", "VOPT", "WAVE"])
def test_image_on_other_axes(tmp_path, ctype):
    """Samples at known velocities or wavelengths, converted by hand."""
    n = np.arange(N) - 200.0
    step, start, unit = {
        "VRAD": (300.0, 1e4, "m/s"),
        "VOPT": (300.0, 1e4, "m/s"),
        "WAVE": (1e-9, 1.3e-3, "m"),
    }[ctype]
    axis = start + step * n
    c = C_KMS * 1e3
    sky = {"VRAD": REST * (1 - axis / c), "VOPT": REST / (1 + axis / c), "WAVE": c / axis / 1e6}[ctype]
    path = tmp_path / "s.fits"
    fits.writeto(path, INTENSITY, image_header(ctype, unit, step, start))
    (window,) = observe(path).windows
    assert_allclose(window.nu, sky[::-1], rtol=1e-13)
    assert_allclose(window.intensity, INTENSITY[::-1])


def test_big_endian_single_precision_image(tmp_path, truth):
    path = tmp_path / "s.fits"
    fits.writeto(path, INTENSITY.astype(">f4"), image_header())
    found = observe(path, vlsr=VLSR).windows[0].intensity
    assert found.dtype == np.dtype("=f8")
    assert_allclose(found, INTENSITY, atol=1e-6)


@pytest.mark.parametrize("form", ["frequency", "velocity", "descending"])
def test_specutils(truth, form):
    from specutils import Spectrum

    axis = FREQUENCY * u.MHz
    options = {}
    if form == "velocity":
        axis = C_KMS * (1 - FREQUENCY / REST) * u.km / u.s
        options = {"velocity_convention": "radio", "rest_value": REST * u.MHz}
    order = slice(None, None, -1) if form == "descending" else slice(None)
    assert_same(
        observe(Spectrum(flux=(INTENSITY * u.K)[order], spectral_axis=axis[order], **options), vlsr=VLSR),
        truth,
    )


@pytest.mark.parametrize("uncertainty", [StdDevUncertainty, InverseVariance])
def test_specutils_mask_and_uncertainty(uncertainty):
    from specutils import Spectrum

    error = np.full(N, 0.2) if uncertainty is StdDevUncertainty else np.full(N, 25.0)
    bad = np.arange(N) < 3
    spectrum = Spectrum(
        flux=INTENSITY * u.K, spectral_axis=FREQUENCY * u.MHz, mask=bad, uncertainty=uncertainty(error)
    )
    (window,) = observe(spectrum).windows
    assert_array_equal(window.mask, ~bad)
    assert_allclose(window.sigma, 0.2)
    assert window.notes["noise_source"] == "table"
    assert (window.notes["n_masked"], window.notes["n_nan"]) == (3, 0)


def test_specutils_header():
    from specutils import Spectrum

    meta = {"header": image_header(BMAJ=1 / 3600, BMIN=1 / 3600)}
    (window,) = observe(Spectrum(flux=INTENSITY * u.K, spectral_axis=FREQUENCY * u.MHz, meta=meta)).windows
    assert window.beam.major == pytest.approx(1.0)
    assert window.notes["frame"] == "LSRK"


def one_d_spectrum(header=None, values=INTENSITY * u.K, **more):
    from spectral_cube.lower_dimensional_structures import OneDSpectrum

    header = header or image_header()
    return OneDSpectrum(values, wcs=WCS(header), header=header, **more)


def test_one_d_spectrum(truth):
    from radio_beam import Beam as RadioBeam

    assert_same(observe(one_d_spectrum(), vlsr=VLSR), truth)
    velocity = image_header("VRAD", "m/s", -0.25 / REST * C_KMS * 1e3, 0.0)
    assert_same(observe(one_d_spectrum(velocity), vlsr=VLSR), truth)
    beam = RadioBeam(0.5 * u.arcsec, 0.4 * u.arcsec)
    assert observe(one_d_spectrum(beam=beam)).windows[0].beam.minor == pytest.approx(0.4)


def test_one_d_spectrum_of_a_cube():
    from radio_beam import Beam as RadioBeam
    from spectral_cube import SpectralCube

    header = image_header()
    for key in ("CTYPE", "CUNIT", "CRPIX", "CDELT", "CRVAL"):
        header[f"{key}3"] = header.pop(f"{key}1")
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-5, "CDELT2": 1e-5})
    header.update({"CUNIT1": "deg", "CUNIT2": "deg", "CRVAL1": 0.0, "CRVAL2": 0.0})
    data = np.zeros((N, 2, 2)) + INTENSITY[:, None, None]
    beam = RadioBeam(1 * u.arcsec, 0.5 * u.arcsec)
    cube = SpectralCube(data * u.Jy / u.beam, WCS(header), beam=beam)
    (window,) = observe(cube[:, 1, 0]).windows
    jansky = observe((FREQUENCY * u.MHz, INTENSITY * u.Jy / u.beam), beam=(1.0, 0.5)).windows[0]
    assert_allclose(window.nu, FREQUENCY, rtol=1e-12)
    assert_allclose(window.intensity, jansky.intensity, rtol=1e-9)
    with pytest.raises(InputError, match="a cube holds many spectra"):
        observe(cube)


def test_one_d_spectrum_with_a_beam_for_each_channel():
    from radio_beam import Beams
    from spectral_cube.lower_dimensional_structures import VaryingResolutionOneDSpectrum

    major = np.linspace(1.0, 0.5, N)
    spectrum = VaryingResolutionOneDSpectrum(
        INTENSITY * u.Jy / u.beam,
        wcs=WCS(image_header()),
        header=image_header(),
        beams=Beams(major=major * u.arcsec, minor=np.full(N, 0.5) * u.arcsec),
    )
    (window,) = observe(spectrum).windows
    one = observe((FREQUENCY * u.MHz, INTENSITY * u.Jy / u.beam), beam=(1.0, 0.5)).windows[0]
    assert_allclose(window.intensity, one.intensity / major, rtol=1e-9)
    assert window.beam.major == pytest.approx(0.75)


def test_lists_globs_and_reversed_axes(tmp_path, truth):
    for i in (2, 1):
        part = slice((i - 1) * 200, i * 200)
        table(frequency=FREQUENCY[part][::-1] * u.MHz, intensity=INTENSITY[part][::-1] * u.K).write(
            tmp_path / f"spw{i}.fits"
        )
    by_glob = observe(str(tmp_path / "spw*.fits"), vlsr=VLSR)
    by_list = observe([tmp_path / "spw1.fits", (FREQUENCY[200:] * u.MHz, INTENSITY[200:] * u.K)], vlsr=VLSR)
    assert_same(by_glob, by_list)
    assert [w.name for w in by_glob.windows] == ["spw1", "spw2"]
    assert by_list.windows[1].name == "window 2"
    assert_allclose(np.concatenate([w.nu for w in by_glob.windows]), truth.windows[0].nu)
    assert_same(observe((FREQUENCY[::-1] * u.MHz, INTENSITY[::-1] * u.K), vlsr=VLSR), truth)


def test_a_file_of_many_tables(tmp_path):
    hdus = [fits.PrimaryHDU(), *(fits.table_to_hdu(table()[part]) for part in (slice(0, 200), slice(200, N)))]
    fits.HDUList(hdus).writeto(tmp_path / "s.fits")
    observation = observe(tmp_path / "s.fits", names=["low", "high"])
    assert [(w.name, w.nu.size) for w in observation.windows] == [("low", 200), ("high", 200)]


# --- what goes with the spectrum ---


@pytest.mark.parametrize("vlsr", [5.0, 5 * u.km / u.s, "5km/s", 5000 * u.m / u.s])
def test_vlsr(truth, vlsr):
    assert_same(observe((FREQUENCY * u.MHz, INTENSITY * u.K), vlsr=vlsr), truth)


def test_no_vlsr_leaves_the_axis():
    assert_array_equal(observe((FREQUENCY * u.MHz, INTENSITY * u.K)).windows[0].nu, FREQUENCY)


def test_velocity_axis_with_a_given_rest_frequency(truth):
    axis = C_KMS * (1 - FREQUENCY / REST) * u.km / u.s
    assert_same(observe((axis, INTENSITY * u.K), vlsr=VLSR, rest_frequency="230.538 GHz"), truth)


def test_jansky_per_beam_with_its_noise_and_continuum():
    """All three at every channel's own sky frequency; T = c^2 S / (2 k nu^2 Omega)."""
    factor = 1.222e6 / (FREQUENCY / 1e3) ** 2 / 0.2  # K per Jy/beam, to the four digits of the constant
    (window,) = observe(
        (FREQUENCY * u.MHz, INTENSITY * u.Jy / u.beam),
        vlsr=VLSR,
        beam="0.5arcsec,0.4arcsec",
        noise=10 * u.mJy / u.beam,
        continuum=0.3 * u.Jy / u.beam,
    ).windows
    assert_allclose(window.intensity, INTENSITY * factor, rtol=5e-4)
    assert_allclose(window.sigma, 0.01 * factor, rtol=5e-4)
    assert_allclose(window.t_continuum, 0.3 * factor, rtol=5e-4)
    assert window.notes["noise_source"] == "given"


def test_beam_of_the_header_and_of_the_argument(tmp_path):
    source = table()
    source.meta.update({"BMAJ": 2 / 3600, "BMIN": 1 / 3600, "CFGTBG": 5.0, "CFGNOISE": 0.1})
    source.write(tmp_path / "s.fits")
    (window,) = observe(tmp_path / "s.fits").windows
    assert (window.beam.major, window.beam.minor) == (pytest.approx(2.0), pytest.approx(1.0))
    assert not window.t_continuum.any()
    assert window.notes["noise_source"] == "estimated"
    assert observe(tmp_path / "s.fits", beam={"diameter": 12}).windows[0].beam == Beam(diameter=12.0)


def two():
    return [
        (FREQUENCY[:200] * u.MHz, INTENSITY[:200] * u.K),
        (FREQUENCY[200:] * u.MHz, INTENSITY[200:] * u.K),
    ]


def test_one_argument_for_each_window():
    observation = observe(
        two(), beam=["12m", "30m"], continuum=[1.0, 2 * u.K], noise=[0.1, None], names=["a", "b"]
    )
    a, b = observation.windows
    assert (a.name, b.name) == ("a", "b")
    assert (a.beam.diameter, b.beam.diameter) == (12.0, 30.0)
    assert (a.t_continuum[0], b.t_continuum[0]) == (1.0, 2.0)
    assert_allclose(a.sigma, 0.1)
    assert (a.notes["noise_source"], b.notes["noise_source"]) == ("given", "estimated")


def test_one_argument_for_all_windows():
    for window in observe(two(), beam=(1.0, 1.0), noise="100 mK", continuum=3.0, t_cmb=0.0).windows:
        assert window.beam == Beam(1.0, 1.0)
        assert_allclose(window.sigma, 0.1)
        assert_allclose(window.t_continuum, 3.0)
        assert window.t_cmb == 0.0


def test_values_for_each_channel_follow_the_order_of_the_source():
    ramp = np.linspace(1.0, 2.0, N)
    source = (FREQUENCY[::-1] * u.MHz, INTENSITY * u.K)
    (window,) = observe(source, noise=ramp, continuum=ramp * u.K, mask=ramp > 1.5).windows
    assert_allclose(window.sigma, ramp[::-1])
    assert_allclose(window.t_continuum, ramp[::-1])
    assert_array_equal(window.mask, ramp[::-1] > 1.5)


def test_spectrum_like_continuum():
    from specutils import Spectrum

    ramp = np.linspace(1.0, 2.0, N)
    continuum = Spectrum(flux=ramp * u.K, spectral_axis=FREQUENCY * u.MHz)
    other = Spectrum(flux=ramp * u.K, spectral_axis=(FREQUENCY + 1) * u.MHz)
    with pytest.raises(InputError, match="continuum is sampled on another axis"):
        observe((FREQUENCY * u.MHz, INTENSITY * u.K), continuum=other)
    assert_allclose(
        observe((FREQUENCY * u.MHz, INTENSITY * u.K), continuum=continuum).windows[0].t_continuum, ramp
    )


def test_mask_ranges_are_sky_frequencies_and_empty_windows_go():
    observation = observe(two(), vlsr=VLSR, mask=[(0.9 * REST, FREQUENCY[199] + 0.1), "230540~230541MHz"])
    (window,) = observation.windows
    assert observation.meta["dropped"] == ("window 1",)
    sky = observation.sky_frequency(window.nu)
    assert_array_equal(window.mask, (sky < 230540 - 1e-6) | (sky > 230541 + 1e-6))
    assert not window.intensity[~window.mask].any()
    assert window.notes["n_masked"] == 5


def test_mask_can_leave_out_a_window_of_nan():
    first, second = two()
    bad = (first[0], np.full(200, np.nan) * u.K)
    assert len(observe([bad, second], mask=(FREQUENCY[0], FREQUENCY[199])).windows) == 1


@pytest.mark.parametrize("name", ["rms", "sigma", "T_err", "uncertainty", "noise"])
def test_noise_column_with_gaps_in_it(name):
    noise = np.full(N, 0.3)
    noise[:5] = np.nan
    (window,) = observe(table(**{name: noise * u.K})).windows
    assert window.notes["noise_source"] == "table"
    assert_allclose(window.sigma[5:], 0.3)
    assert_allclose(window.sigma[:5], window.notes["noise_estimate"])
    assert window.notes["noise_estimate"] == pytest.approx(0.1, rel=0.15)
    assert_allclose(observe(table(**{name: noise * u.K}), noise=0.2).windows[0].sigma, 0.2)


def test_a_frequency_error_is_no_noise():
    source = table(f_err=np.full(N, 0.1) * u.MHz, T_err=np.full(N, 0.3))
    assert_allclose(observe(source).windows[0].sigma, 0.3)


def test_masked_entries_of_a_table_are_missing():
    source = table(Table)
    source["T"] = MaskedColumn(INTENSITY, unit="K", mask=np.arange(N) < 4)
    for form in (source, QTable(source)):
        (window,) = observe(form).windows
        assert window.notes["n_nan"] == 4
        assert_array_equal(window.mask, np.arange(N) >= 4)


def test_nan_channels_are_masked_and_counted():
    holes = INTENSITY.copy()
    holes[[3, 77]] = np.nan, np.inf
    (window,) = observe((FREQUENCY * u.MHz, holes * u.K), mask=(FREQUENCY[5], FREQUENCY[6])).windows
    assert (window.notes["n_nan"], window.notes["n_masked"]) == (2, 2)
    assert_array_equal(np.flatnonzero(~window.mask), [3, 5, 6, 77])
    assert window.nu.size == N


def test_gaps_split_windows_and_lists_may_count_either():
    keep = np.ones(N, bool)
    keep[180:220] = False
    source = (FREQUENCY[keep] * u.MHz, INTENSITY[keep] * u.K)
    observation = observe(source, noise=[0.1, 0.2])
    assert [w.nu.size for w in observation.windows] == [180, 180]
    assert [w.sigma[0] for w in observation.windows] == [0.1, 0.2]
    assert [w.name for w in observation.windows] == ["window 1.1", "window 1.2"]
    assert observation.windows[0].edges[-1] < FREQUENCY[180]
    assert observe(source, names=["x"]).windows[1].name == "x.2"
    per_channel = observe(source, mask=np.arange(360) >= 10).windows
    assert [np.count_nonzero(w.mask) for w in per_channel] == [170, 180]


def test_a_few_missing_channels_come_back_masked():
    keep = np.ones(N, bool)
    keep[[20, 21, 300]] = False
    (window,) = observe((FREQUENCY[keep] * u.MHz, INTENSITY[keep] * u.K)).windows
    assert_allclose(window.nu, FREQUENCY, rtol=1e-12)
    assert_array_equal(window.mask, keep)
    assert (window.notes["n_nan"], window.notes["n_masked"]) == (0, 3)


def test_lone_channels_are_dropped_with_a_warning():
    keep = np.ones(N, bool)
    keep[180:220] = False
    keep[200] = True
    with pytest.warns(SpectunerWarning, match="1 single channels"):
        observation = observe((FREQUENCY[keep] * u.MHz, INTENSITY[keep] * u.K))
    assert observation.n_channel == 360


def test_topocentric_axis_warns(tmp_path):
    fits.writeto(tmp_path / "s.fits", INTENSITY, image_header(SPECSYS="TOPOCENT"))
    with pytest.warns(SpectunerWarning, match="topocentric"):
        observe(tmp_path / "s.fits")


def test_rest_frame_axis_refuses_vlsr(tmp_path):
    fits.writeto(tmp_path / "s.fits", INTENSITY, image_header(SPECSYS="SOURCE"))
    assert observe(tmp_path / "s.fits").v_lsr == 0
    with pytest.raises(InputError, match="rest frame of the source already"):
        observe(tmp_path / "s.fits", vlsr=5.0)


def test_an_observation_is_given_back(truth):
    assert observe(truth) is truth
    assert isinstance(truth, Observation)
    with pytest.raises(InputError, match="is an Observation already"):
        observe(truth, vlsr=1.0)


def test_import_is_light():
    heavy = ("specutils", "spectral_cube", "matplotlib", "radio_beam", "torch", "numba", "scipy")
    code = f"import sys, spectuner_ext.observation; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
