"""Real spectra: IRAS 16293-2422 B (ALMA) and TMC-1 (GBT)."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_allclose

from spectuner_ext.observation import observe

pytestmark = pytest.mark.shared_data


def test_line_forest_of_iras16293b(shared):
    observation = observe(str(shared / "data" / "iras16293b" / "*.fits.gz"), vlsr=2.7)
    assert [w.nu.size for w in observation.windows][:3] == [3582, 3581, 3581]
    for window in observation.windows:
        with fits.open(window.notes["file"]) as hdus:
            header, data = hdus[1].header, hdus[1].data
            assert_allclose(observation.sky_frequency(window.nu), data["frequency"], rtol=1e-12)
            assert_allclose(window.intensity, data["T_B"], rtol=1e-7)
        assert window.beam.major == pytest.approx(header["BMAJ"] * 3600)
        assert not window.t_continuum.any()
        # Channels are Hanning smoothed: first differences see 1/sqrt(3) of the noise, and lines besides.
        assert window.notes["noise_estimate"] < header["RMSDIFF"] * np.sqrt(3)
        assert window.notes["noise_estimate"] > header["CFGNOISE"]


def test_noise_of_iras16293b_fits_its_calmest_stretches(shared):
    """The least scatter within 24 channels is that of Hanning-smoothed noise of the estimated strength."""

    def calm(values):
        return np.quantile(np.lib.stride_tricks.sliding_window_view(values, 24).std(axis=1), 0.005)

    rng = np.random.default_rng(0)
    kernel = np.array([0.25, 0.5, 0.25]) / np.sqrt(0.375)
    expected = np.mean([calm(np.convolve(rng.standard_normal(3584), kernel, "valid")) for _ in range(20)])
    for window in observe(str(shared / "data" / "iras16293b" / "*.fits.gz")).windows:
        assert 0.8 < calm(window.intensity) / window.sigma[0] / expected < 1.6


@pytest.mark.parametrize(
    ("name", "n_window", "n_channel"), [("tmc1_gotham_hc9n_chunks", 22, 1133), ("cha_mms1_dsn_hc5n", 3, 561)]
)
def test_chunks_become_windows(shared, name, n_window, n_channel):
    observation = observe(shared / "data" / "spectra_single" / f"{name}.fits", beam="100m")
    assert (len(observation.windows), observation.n_channel) == (n_window, n_channel)
    for window in observation.windows:
        assert np.ptp(np.diff(window.nu)) < 1e-3 * np.diff(window.nu).mean()
        assert window.notes["noise_source"] == ("table" if "gotham" in name else "estimated")
