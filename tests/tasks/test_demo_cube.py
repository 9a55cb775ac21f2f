"""The cube of the demonstration: what is there is found, where it is, with errors that are what they say."""

import numpy as np
import pytest
from astropy.io import fits

from spectuner_ext.fitting.result import FitFlag
from spectuner_tasks import demo_cube


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return demo_cube.run(tmp_path_factory.mktemp("demo_cube"), seed=1)


def test_bright_pixels_are_found_and_empty_ones_are_not(cube):
    maps, truth = cube["maps"], cube["truth"]
    assert maps.shape == (24, 24)
    for c, (species, number) in enumerate(maps.components):
        signal = truth.peak_to_noise[..., c]
        assert maps.good(species, number)[signal > 8].all()
    faint = truth.peak_to_noise.max(axis=2) < 2
    assert faint.sum() > 50
    assert maps.fitted[faint].mean() < 0.02
    # above the brightest continuum the lines are in absorption
    absorbed = truth.continuum[..., 0] > truth.theta[..., 0, 1]
    assert 0 < absorbed.sum() < 10
    assert maps.good("CH3OH")[absorbed].all()


def test_maps_are_the_truth_within_their_errors(cube):
    recovery = cube["recovery"]
    assert len(recovery) == 10
    for row in recovery:
        n = row["n_determined"] - row["n_unreliable"]
        assert n >= 30
        # Means of n pulls scatter by 1/sqrt(n), widths by 1/sqrt(2n); faint pixels have errors that are not
        # symmetric, which costs half a width at most.
        assert abs(row["pull_mean"]) < 0.5 + 3.0 / np.sqrt(n), row
        assert 0.7 < row["pull_width"] < 1.3 + 3.0 / np.sqrt(2 * n), row
        assert row["n_outlier"] <= 0.02 * n + 1, row
        assert row["median_error"] < 1.5 * row["median_sigma"], row


def test_rotation_and_temperature_are_seen(cube):
    maps, truth = cube["maps"], cube["truth"]
    good = truth.peak_to_noise[..., 0] > 20
    for k, name, correlation in ((1, "T_ex", 0.98), (4, "v_off", 0.98)):
        fit = maps.quantity("CH3OH", name).value[good]
        assert np.corrcoef(fit, truth.theta[..., 0, k][good])[0, 1] > correlation


def test_what_is_degenerate_is_flagged(cube):
    """Where a line is thin, filling factor and column cannot be told apart, however bright it is."""
    maps, truth = cube["maps"], cube["truth"]
    thin = maps.fitted & (truth.theta[..., 0, 2] < 1e16)
    assert thin.sum() > 50
    assert maps.flagged(FitFlag.SIZE_N_DEGENERATE | FitFlag.NOT_DETECTED, "CH3OH")[thin].mean() > 0.95
    assert demo_cube.flag_counts(maps)["SIZE_N_DEGENERATE"] >= thin.sum() * 0.9


def test_products(cube):
    files = cube["files"]
    with fits.open(files["maps"]) as hdus:
        names = {hdu.name for hdu in hdus}
    assert {"CH3OH_T_EX", "CH3OCHO_N_TOT_ERR", "FLAGS"} <= names
    with open(files["truth.png"], "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_words(cube):
    text = "\n".join(demo_cube.words(cube))
    assert text.startswith("simulated cube: 24 x 24 pixels, 8740 channels")
    assert "CH3OCHO;v=0;  v_off" in text
    assert "CH3OH;v=0;: detected in " in text
    assert "SIZE_N_DEGENERATE" in text
    assert "hot_core_cube.truth.png" in text
