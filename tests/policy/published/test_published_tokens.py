"""Tokens against a loop over lines and points, and what they do at the ends of windows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import find_peaks

from spectuner_ext.errors import InputError
from spectuner_ext.observation.observation import Beam, Observation
from spectuner_ext.policy.published.tokens import (
    line_features,
    lines_to_read,
    observed_features,
    read_windows,
)
from spectuner_ext.spectroscopy.partition import PartitionFunction
from spectuner_ext.spectroscopy.schema import PF_TEMPERATURES

V_WIDTH, N_GRID = 100.0, 96


def slowly(window, nu_line):
    """The eleven features of one line, point by point."""
    peaks = set(find_peaks(window.intensity, prominence=4 * window.sigma[0])[0])
    nu, t = window.nu, window.intensity
    grid = np.linspace(nu_line * (1 - V_WIDTH / 3e5), nu_line * (1 + V_WIDTH / 3e5), N_GRID)
    rows = []
    for x in grid:
        below = np.flatnonzero(nu < x)
        i = below[-1] if below.size else 0
        j = min(i + 1, nu.size - 1)
        beam = np.sqrt(window.beam.squared_width(x)) / 3600.0
        rows.append(
            [
                (x / nu_line - 1) * 299_792.458 / V_WIDTH,
                0.0 if i == j else (x - nu[j]) / (nu[i] - nu[j]),
                np.arcsinh(t[i]),
                np.arcsinh(t[j]),
                i in peaks,
                j in peaks,
                nu[0] <= x <= nu[-1],
                (grid[1] - grid[0]) / np.mean(np.diff(nu)),
                np.arcsinh(window.t_continuum[0]),
                np.arcsinh(window.sigma[0]),
                (np.log10(beam) + 2) / 3,
            ]
        )
    return np.array(rows, dtype=float).T


def observed(observation, lines):
    line, window = lines_to_read(observation, lines, 100)
    return observed_features(
        read_windows(observation), lines.frequency[line], window, V_WIDTH, N_GRID
    ).numpy()


@pytest.mark.parametrize("beam", [Beam(0.5, 0.4), Beam(diameter=30.0)], ids=["interferometer", "dish"])
def test_like_a_loop_over_lines_and_points(two_windows, methanol_like, beam):
    observation = Observation(tuple(replace(w, beam=beam) for w in two_windows.windows))
    line, window = lines_to_read(observation, methanol_like, 100)
    assert set(window) == {0, 1}
    expected = [
        slowly(observation.windows[k], methanol_like.frequency[i]) for i, k in zip(line, window, strict=True)
    ]
    found = observed(observation, methanol_like)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert found[:, 4].any()
    assert (found[:, 6] == 0).any()  # some points lie beyond the windows


def test_both_neighbours_and_the_weight_give_the_interpolated_spectrum(two_windows, methanol_like):
    found = observed(two_windows, methanol_like).astype(float)
    line, window = lines_to_read(two_windows, methanol_like, 100)
    for features, i, k in zip(found, line, window, strict=True):
        w = two_windows.windows[k]
        inside = features[6] == 1
        x = methanol_like.frequency[i] * (1 + features[0] * V_WIDTH / 299_792.458)
        weight, left, right = features[1], np.sinh(features[2]), np.sinh(features[3])
        # velocities are single precision: a fraction 1e-3 of a channel
        np.testing.assert_allclose(
            (weight * left + (1 - weight) * right)[inside],
            np.interp(x[inside], w.nu, w.intensity),
            atol=2e-2,
        )


def test_lines_belong_to_the_window_that_holds_them(two_windows, methanol_like):
    line, window = lines_to_read(two_windows, methanol_like, 100)
    for i, k in zip(line, window, strict=True):
        assert two_windows.windows[k].nu[0] <= methanol_like.frequency[i] < two_windows.windows[k].nu[-1]
    swapped = Observation(two_windows.windows[::-1])
    line_2, window_2 = lines_to_read(swapped, methanol_like, 100)
    assert set(zip(line, window, strict=True)) == set(zip(line_2, 1 - window_2, strict=True))


def test_a_long_list_is_cut_at_random_but_the_same_way(two_windows, methanol_like):
    every, _ = lines_to_read(two_windows, methanol_like, 100)
    one, _ = lines_to_read(two_windows, methanol_like, 4, seed=1)
    again, _ = lines_to_read(two_windows, methanol_like, 4, seed=1)
    assert one.size == 4
    assert set(one) < set(every)
    np.testing.assert_array_equal(one, again)
    others = {tuple(lines_to_read(two_windows, methanol_like, 4, seed=k)[0]) for k in range(2, 12)}
    assert len(others | {tuple(one)}) > 3


def test_clipped_where_asked(two_windows):
    as_is, clipped = read_windows(two_windows)[0], read_windows(two_windows, clip_negative=True)[0]
    assert as_is.intensity.min() < 0
    np.testing.assert_array_equal(clipped.intensity, np.maximum(as_is.intensity, 0.0))


def test_line_features_by_hand(methanol_like):
    found = line_features(methanol_like, np.array([4]), PF_TEMPERATURES)[0]
    e_low = 250.0 * 1.438769 / 1.438776877
    expected = [
        (-4.5 + 4.1) / 2.1,
        (np.log10(25.0) - 2.0) / 0.4,
        (np.arcsinh(e_low) - 7.4) / 1.1,
        (np.arcsinh(e_low + 4.799243e-5 * methanol_like.frequency[4]) - 7.4) / 1.1,
    ]
    np.testing.assert_allclose(found[:4], expected, rtol=1e-5)
    np.testing.assert_allclose(found[4:], (np.arcsinh(1 + PF_TEMPERATURES**1.5) - 5.9) / 3.1, rtol=1e-5)


def test_columns_without_a_value_count_as_one(methanol_like):
    known = np.ones(110, dtype=bool)
    known[[3, 50]] = False
    table = PartitionFunction(PF_TEMPERATURES[known], np.full(108, 7.0), 1.0, 1000.0)
    found = line_features(replace(methanol_like, partition=table), np.array([0]), PF_TEMPERATURES)[0, 4:]
    expected = np.where(known, (np.arcsinh(7.0) - 5.9) / 3.1, (np.arcsinh(1.0) - 5.9) / 3.1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_short_table_is_interpolated(methanol_like):
    t = np.array([9.375, 18.75, 37.5, 75.0, 150.0, 225.0, 300.0])
    table = PartitionFunction(t, t**1.5, 9.375, 300.0)
    found = line_features(replace(methanol_like, partition=table), np.array([0]), PF_TEMPERATURES)[0, 4:]
    np.testing.assert_allclose(found, (np.arcsinh(PF_TEMPERATURES**1.5) - 5.9) / 3.1, rtol=1e-4, atol=1e-5)


def test_no_line_inside(two_windows, methanol_like):
    elsewhere = replace(methanol_like, frequency=methanol_like.frequency + 5e4)
    with pytest.raises(InputError, match=r"^species: CH3OH;v=0; has no line"):
        lines_to_read(two_windows, elsewhere, 100)


def test_a_window_without_a_beam_is_refused(two_windows):
    bare = Observation(tuple(replace(w, beam=None) for w in two_windows.windows))
    with pytest.raises(InputError, match=r"^observation: window '219970' has no beam"):
        read_windows(bare)
