"""The invariants of Beam, Window and Observation."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.constants import C_KMS
from spectuner_ext.errors import InputError
from spectuner_ext.observation import Beam, Observation, Window


@pytest.fixture
def window():
    n = 5
    return Window(
        nu=100e3 + np.arange(n),
        intensity=np.zeros(n),
        sigma=np.ones(n),
        mask=np.ones(n, bool),
        t_continuum=np.zeros(n),
        name="w",
    )


def test_edges_are_midpoints_with_mirrored_ends(window):
    uneven = replace(window, nu=np.array([1.0, 2.0, 4.0, 5.0, 9.0]))
    assert_allclose(uneven.edges, [0.5, 1.5, 3.0, 4.5, 7.0, 11.0])


def test_arrays_become_native_float64(window):
    big_endian = replace(window, intensity=np.arange(5, dtype=">f4"))
    assert big_endian.intensity.dtype == np.dtype("=f8")
    assert_allclose(big_endian.intensity, np.arange(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nu": np.array([1.0, 2.0, 2.0, 3.0, 4.0])}, "must increase strictly, but channel 2"),
        ({"nu": np.arange(5.0)}, "finite and positive"),
        ({"sigma": np.array([1.0, 1.0, 0.0, 1.0, 1.0])}, "noise must be positive"),
        ({"sigma": np.ones(4)}, "sigma has shape"),
        ({"intensity": np.array([0.0, np.nan, 0.0, 0.0, 0.0])}, "intensities must be finite"),
        ({"mask": np.zeros(5, bool)}, "no usable channel"),
        ({"t_continuum": np.full(5, -1.0)}, "continuum must be finite and not negative"),
    ],
)
def test_broken_windows(window, change, message):
    with pytest.raises(InputError, match=message):
        replace(window, **change)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"major": 1.0},
        {"major": 1.0, "minor": 1.0, "diameter": 12.0},
        {"major": -1.0, "minor": 1.0},
        {"diameter": 0.0},
        {"major": float("inf"), "minor": 1.0},
    ],
)
def test_broken_beams(sizes):
    with pytest.raises(InputError, match="beam"):
        Beam(**sizes)


def test_diffraction_beam_falls_as_one_over_frequency():
    dish = Beam(diameter=12.0)
    # 1.22 * (c / 115.271 GHz) / 12 m = 264.41e-6 rad = 54.54 arcsec, by hand
    assert np.sqrt(dish.squared_width(115271.0)) == pytest.approx(54.54, abs=0.01)
    assert_allclose(dish.squared_width(230542.0), dish.squared_width(115271.0) / 4)


def test_synthesised_beam_is_the_same_at_every_frequency():
    assert_allclose(Beam(0.5, 0.4).squared_width(np.array([1e5, 2e5])), 0.2)


def test_beam_scale_is_a_mean_over_windows(window):
    pair = (replace(window, beam=Beam(4.0, 1.0)), replace(window, beam=Beam(9.0, 4.0)))
    assert Observation(pair).beam_scale == pytest.approx(4.0)
    assert np.isnan(Observation((window,)).beam_scale)


def test_a_beam_for_one_window_only(window):
    with pytest.raises(InputError, match="windows w have no beam"):
        Observation((window, replace(window, beam=Beam(1.0, 1.0))))


def test_observation_needs_a_window_and_a_sane_velocity(window):
    with pytest.raises(InputError, match="at least one"):
        Observation(())
    with pytest.raises(InputError, match="slower than light"):
        Observation((window,), v_lsr=C_KMS)


def test_sky_frequency_by_the_radio_convention(window):
    observation = Observation((window,), v_lsr=C_KMS / 4)
    assert_allclose(observation.sky_frequency(np.array([100.0])), 75.0)


def test_repr_is_short(window):
    text = repr(Observation((window,)))
    assert "100000.000 to 100004.000 MHz" in text
    assert len(text) < 250
