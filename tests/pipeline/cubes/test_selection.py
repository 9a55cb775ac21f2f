"""Which pixels are fitted, on a cube in which every pixel's fate is known."""

import json
import pickle
from dataclasses import dataclass, replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.fitting.peak_finder import make_work
from spectuner_ext.observation import estimate_noise
from spectuner_ext.observation.cubes import SpectrumBlock, observe_cube
from spectuner_ext.pipeline.cubes.flatness import flatness
from spectuner_ext.pipeline.cubes.outcome import PixelFlag
from spectuner_ext.pipeline.cubes.selection import SelectionSettings, cube_noise, examine, flag_counts
from spectuner_ext.pipeline.cubes.selection_kernel import count_peaks

SIGMA = 0.05
NY, NX = 16, 20
START = np.array([0, 600, 1000])
N = int(START[-1])


def block_of(value, sigma=np.nan, n_window=2):
    """Block of spectra, (n, n_channel), NaN where there are no data."""
    value = np.atleast_2d(value)
    good = np.isfinite(value)
    return SpectrumBlock(
        pixel=np.stack([np.arange(len(value)), np.zeros(len(value), int)], axis=1),
        value=np.where(good, value, 0.0).astype(np.float32),
        good=good,
        continuum=np.zeros((len(value), n_window)),
        sigma=np.broadcast_to(sigma, (len(value), n_window)).astype(float),
    )


@dataclass(frozen=True)
class Sampled:
    """As much of a cube as the noise needs."""

    block: SpectrumBlock
    start: tuple[int, ...] = tuple(START)

    @property
    def frame(self):
        windows = [
            SimpleNamespace(nu=np.zeros(n), name=f"spw {i}") for i, n in enumerate(np.diff(self.start))
        ]
        return SimpleNamespace(windows=windows)

    def sample(self, n, seed):
        some = np.flatnonzero(self.block.good.any(axis=1))
        return self.block.take(np.sort(np.random.default_rng(seed).permutation(some)[:n]))


def line(centre, height, width=3.0, n=N):
    return height * np.exp(-0.5 * ((np.arange(n) - centre) / width) ** 2)


def pure_noise(n, seed, scale=SIGMA, n_channel=N):
    return np.random.default_rng(seed).normal(scale=scale, size=(n, n_channel))


LINES = (line(100, 12 * SIGMA) + line(300, 20 * SIGMA) + line(500, 15 * SIGMA) + line(700, 30 * SIGMA)
         + line(800, 14 * SIGMA) + line(900, 25 * SIGMA))  # fmt: skip
LINES.setflags(write=False)


@pytest.fixture(scope="module")
def mosaic():
    """Cube (ny, nx, n_channel): a source in the middle, and around it what files hold."""
    cube = pure_noise(NY * NX, 1).reshape(NY, NX, N)
    cube[6:10, 6:14] += LINES
    cube[:, 0] = np.nan  # border without data
    cube[0, :] = np.nan
    cube[:, -2:] *= 8.0  # edge after the correction for the primary beam
    cube[3, 5, :600] = np.nan  # observed in one window only
    cube[3, 5] += LINES
    cube[4, 5] = 0.3  # constant
    cube[4, 6] = np.interp(np.arange(N), [0, 299, 650, N - 1], [0.0, 0.8, -0.1, 0.2])  # interpolated
    cube[4, 7, 600:] = 0.0  # one window padded
    cube[4, 7, :600] += LINES[:600]
    cube[5, 8] -= line(400, 20 * SIGMA)  # absorption
    cube[..., 640] = np.nan  # plane without data
    return cube


@pytest.fixture(scope="module")
def mosaic_block(mosaic):
    return block_of(mosaic.reshape(-1, N))


def at(y, x):
    return y * NX + x


def test_noise_of_the_cube(mosaic_block):
    noise = cube_noise(Sampled(mosaic_block))
    assert_allclose(noise.sigma, SIGMA, rtol=0.05)
    assert noise.origin == ("measured", "measured")
    assert noise.n_spectra == (NY - 1) * (NX - 1)
    assert_array_equal(noise.smoothing, 0.0)
    again = cube_noise(Sampled(mosaic_block), n_pixel=40, seed=3)
    assert again.n_spectra == 40
    assert_allclose(again.sigma, SIGMA, rtol=0.2)
    assert_array_equal(again.sigma, cube_noise(Sampled(mosaic_block), n_pixel=40, seed=3).sigma)


def test_fate_of_every_pixel(mosaic_block):
    found = examine(mosaic_block, SelectionSettings((SIGMA, SIGMA)), START)
    flags = found.flags.reshape(NY, NX)
    assert np.all(flags[0] == PixelFlag.NO_DATA)
    assert np.all(flags[:, 0] == PixelFlag.NO_DATA)
    assert np.all(flags[6:10, 6:14] == 0)
    assert np.all(flags[1:, -2:] == PixelFlag.FEW_LOCAL_PEAKS)
    assert flags[3, 5] == flags[4, 7] == PixelFlag.WINDOW_MISSING
    assert flags[4, 5] == flags[4, 6] == PixelFlag.NOT_NOISE
    assert flags[5, 8] == 0
    worth = np.zeros((NY, NX), bool)
    worth[6:10, 6:14] = worth[3, 5] = worth[4, 7] = worth[5, 8] = True
    assert_array_equal(found.worth.reshape(NY, NX), worth)
    # What is left is noise: too few peaks of one kind or the other.
    few = PixelFlag.FEW_PEAKS | PixelFlag.FEW_LOCAL_PEAKS
    rest = ~worth & (flags != PixelFlag.NO_DATA) & (flags != PixelFlag.NOT_NOISE)
    assert np.all((flags[rest] & int(few)) > 0)
    assert np.all(((flags & int(PixelFlag.FEW_PEAKS)) > 0).sum() > 0.5 * rest.sum())

    sigma = found.sigma.reshape(NY, NX, 2)
    assert_allclose(sigma[6:10, 6:14].mean(axis=(0, 1)), SIGMA, rtol=0.1)
    assert_allclose(sigma[1:, -2:].mean(axis=(0, 1)), 8 * SIGMA, rtol=0.1)
    assert_array_equal(np.isnan(sigma[3, 5]), [True, False])
    assert_array_equal(np.isnan(sigma[4, 7]), [False, True])
    assert np.isnan(sigma[0]).all()
    assert np.isfinite(found.sigma[found.worth]).any(axis=1).all()

    n_peaks = found.n_peaks.reshape(NY, NX, 2)
    # Lines of 12 sigma and more; noise splits the top of one now and then, and adds a peak in 10^4 channels.
    assert_allclose(n_peaks[6:10, 6:14].mean(axis=(0, 1)), 3, atol=0.2)
    assert_array_equal(n_peaks[5, 8], [1, 0])
    assert_array_equal(n_peaks[4, 5], 0)


def test_pixels_are_judged_one_by_one(mosaic_block):
    settings = SelectionSettings((SIGMA, SIGMA))
    whole = examine(mosaic_block, settings, START)
    for rows in (slice(0, 7), slice(at(4, 5), at(4, 6)), slice(at(4, 5), at(9, 3))):
        part = examine(mosaic_block.take(np.arange(mosaic_block.n_pixel)[rows]), settings, START)
        for name in ("sigma", "n_peaks", "flags", "worth"):
            assert_array_equal(getattr(part, name), getattr(whole, name)[rows])
    none = examine(mosaic_block.take(np.zeros(0, int)), settings, START)
    assert none.worth.shape == (0,)
    assert none.sigma.shape == (0, 2)


@pytest.mark.parametrize(
    ("min_peaks", "expected"),
    [
        (None, [0, 1, 1, 1]),
        (0, [1, 1, 1, 1]),
        (1, [0, 0, 1, 1]),
        (1.5, [0, 0, 0, 1]),
        (3, [0, 0, 0, 1]),
        (4, [0] * 4),
    ],
)
def test_least_number_of_peaks(min_peaks, expected):
    # Peaks in both windows together: none, one, two, six.
    one, two = line(300, 20 * SIGMA), line(300, 20 * SIGMA) + line(700, 30 * SIGMA)
    block = block_of(np.array([np.zeros(N), one, two, LINES]) + pure_noise(4, 5, SIGMA / 4))
    found = examine(block, SelectionSettings((SIGMA, SIGMA), min_peaks=min_peaks), START)
    assert_array_equal(found.n_peaks.sum(axis=1), [0, 1, 2, 6])
    assert_array_equal(found.worth, np.array(expected, bool))


def test_mean_number_of_peaks_is_over_windows_with_data():
    value = LINES + pure_noise(1, 6, SIGMA / 4)
    value[0, 600:] = np.nan
    found = examine(block_of(value), SelectionSettings((SIGMA, SIGMA), min_peaks=3), START)
    assert found.worth[0]
    assert found.flags[0] == PixelFlag.WINDOW_MISSING


def test_emission_and_absorption_count_alike():
    value = LINES + pure_noise(20, 7)
    settings = SelectionSettings((SIGMA, SIGMA))
    up, down = (examine(block_of(v), settings, START) for v in (value, -value))
    assert_array_equal(up.n_peaks, down.n_peaks)
    assert_allclose(up.sigma, down.sigma, rtol=1e-6)
    both = examine(block_of(np.where(np.arange(N) < 600, value, -value)), settings, START)
    assert_array_equal(both.n_peaks, up.n_peaks)


@pytest.mark.parametrize("kind", ["noise", "walk", "plateaus", "floor"])
def test_peaks_are_those_of_scipy(kind):
    rng = np.random.default_rng([3, len(kind)])
    total = 0
    for _ in range(150):
        start = np.concatenate([[0], np.cumsum(rng.integers(1, 200, 3))])
        value = rng.standard_normal((2, start[-1]))
        if kind in ("walk", "floor"):
            value = np.cumsum(value, axis=1)
        if kind == "floor":
            value = np.maximum(value, 0.0)
        if kind == "plateaus":
            value = np.round(np.cumsum(value, axis=1)) if rng.random() < 0.5 else np.round(2 * value)
        value = value.astype(np.float32)
        good = rng.random(value.shape) > 0.05
        first, second = rng.uniform(0.3, 3.0, (2, 2, 3))
        second[0, 0] = np.inf
        found = np.zeros((2, 2, 3), dtype=np.int32)
        count_peaks(value, good, start, first, second, make_work(int(np.diff(start).max())), *found)
        series = np.where(good, value, 0.0).astype(float)
        for p, w in np.ndindex(2, 3):
            window = series[p, start[w] : start[w + 1]]
            for level, count in ((first[p, w], found[0, p, w]), (second[p, w], found[1, p, w])):
                peaks = [
                    scipy.signal.find_peaks(s, height=level, prominence=level)[0] for s in (window, -window)
                ]
                assert count == sum(map(len, peaks)) if np.isfinite(level) else count == 0
                total += count
    assert total > 1000


def test_given_noise_wins():
    value = LINES + pure_noise(2, 8)
    settings = SelectionSettings((SIGMA, SIGMA))
    block = block_of(value, sigma=[[0.2, np.nan], [np.nan, np.nan]])
    found = examine(block, settings, START)
    free = examine(block_of(value), settings, START)
    assert found.sigma[0, 0] == 0.2
    assert_array_equal(found.sigma[0, 1], free.sigma[0, 1])
    assert_array_equal(found.sigma[1], free.sigma[1])
    assert_array_equal(
        examine(block, replace(settings, noise="cube"), START).sigma, [[0.2, SIGMA], [SIGMA, SIGMA]]
    )


def test_noise_is_that_of_the_single_spectrum_estimator():
    value = (LINES + pure_noise(5, 9)).astype(np.float32)
    found = examine(block_of(value), SelectionSettings((SIGMA, SIGMA)), START)
    expected = [[estimate_noise(v[a:b]) for a, b in pairwise(START)] for v in value]
    assert_allclose(found.sigma, expected, rtol=1e-9)


def test_unmeasurable_noise_falls_back_to_that_of_the_cube():
    value = LINES + pure_noise(2, 10)
    value[0, 10:590] = np.nan  # twenty channels are left,
    value[0, 3:8] = np.nan  # then fifteen
    value[1, 600:] = np.where(
        np.random.default_rng(0).random(400) < 0.6, 0.0, value[1, 600:]
    )  # half are equal
    found = examine(block_of(value), SelectionSettings((0.07, 0.08), min_peaks=0), START)
    assert found.sigma[0, 0] == 0.07
    assert found.sigma[1, 1] == 0.08
    assert found.worth.all()


def test_unknown_noise_of_the_cube():
    value = LINES + pure_noise(2, 11)
    value[1, 15:600] = np.nan
    found = examine(block_of(value), SelectionSettings((np.nan, SIGMA)), START)
    assert_array_equal(np.isnan(found.sigma), [[False, False], [True, False]])
    assert_array_equal(found.flags, [0, PixelFlag.WINDOW_MISSING])
    value[1, 15:] = np.nan
    found = examine(block_of(value), SelectionSettings((np.nan, SIGMA)), START)
    assert found.flags[1] == PixelFlag.NOT_NOISE


def pixel_kinds():
    """Spectra of one window of 1000 channels that are worth a fit, and that are not."""
    rng = np.random.default_rng(12)
    noise, x = rng.normal(scale=SIGMA, size=1000), np.arange(1000)
    signal = line(300, 20 * SIGMA) + line(700, 30 * SIGMA)
    fine = np.interp(x / 8, np.arange(140), rng.normal(scale=SIGMA, size=140))
    gap = np.where((x > 350) & (x < 500), np.interp(x, [350, 500], [0.1, -0.1]), noise)
    smooth = scipy.signal.resample(rng.normal(scale=SIGMA, size=125), 1000)
    return {
        "noise": (noise + signal, True),
        "in steps of the noise": (np.round((noise + signal) / SIGMA) * SIGMA, True),
        "in steps of twice the noise": (np.round((noise + signal) / (2 * SIGMA)) * 2 * SIGMA, True),
        "interpolated smoothly from channels eight times as wide": (smooth + signal, True),
        "interpolated linearly from them": (fine + signal, True),
        "with a stretch that was filled in": (gap + signal, True),
        "with a strong line, rounded": ((noise + 1e4 * signal).astype(np.float16).astype(float), True),
        "padded": (np.where(x < 600, 0.0, noise + signal), False),
        "constant": (np.full(1000, 0.1), False),
        "zero but for a spike": (np.where(x == 500, 50 * SIGMA, 0.0), False),
        "straight lines": (np.interp(x, [0, 200, 600, 999], [0, 1, -1, 3]), False),
        "straight lines after a baseline": (
            np.interp(x, [0, 400, 999], [0, 1, -1]).astype(np.float32) + 7.7,
            False,
        ),
        "a model": (signal, False),
    }


@pytest.mark.parametrize("kind", pixel_kinds())
def test_what_counts_as_noise(kind):
    value, fine = pixel_kinds()[kind]
    settings = SelectionSettings((SIGMA,), min_peaks=0)
    found = examine(block_of(value, n_window=1), settings, [0, 1000])
    assert found.worth[0] == fine
    assert found.flags[0] == (0 if fine else PixelFlag.NOT_NOISE)
    # Without noise, but its noise was given: all is well.
    assert examine(block_of(value, sigma=SIGMA, n_window=1), settings, [0, 1000]).worth[0]
    assert examine(block_of(value, n_window=1), replace(settings, flat_fraction=1.0), [0, 1000]).worth[0]


def test_stretches_that_were_filled_in_do_not_lower_the_noise():
    value = pure_noise(40, 13)
    value[:, 100:300] = 0.0
    value[:, 650:800] = np.linspace(0, 0.01, 150)
    found = examine(block_of(value), SelectionSettings((SIGMA, SIGMA), min_peaks=0), START)
    assert_allclose(found.sigma.mean(axis=0), SIGMA, rtol=0.03)
    flat = flatness(block_of(value), START, np.array([SIGMA, np.nan]))
    # A neighbour may lie on the line by chance.
    assert_allclose(flat.n_flat, np.tile([200, 150], (40, 1)), atol=2)
    assert_array_equal(flat.n_good, np.tile([600, 400], (40, 1)))
    assert_array_equal((~flat.usable[:, :600]).sum(axis=1), flat.n_flat[:, 0])
    assert block_of(value).good.all()


@pytest.mark.parametrize("n_noise", [0, 6])
def test_short_window_without_noise(n_noise):
    value = np.concatenate([LINES[:600], np.full(20, 0.3)])
    value[: 600 + n_noise] += pure_noise(1, 14)[0, : 600 + n_noise]
    found = examine(block_of(value), SelectionSettings((SIGMA, SIGMA)), [0, 600, 620])
    assert found.flags[0] == PixelFlag.WINDOW_MISSING


@pytest.mark.parametrize("smooth", [False, True])
def test_noise_of_a_cube_full_of_lines(smooth):
    rng = np.random.default_rng(15)
    value = np.zeros((80, 2000))
    for _ in range(130):
        value += np.exp(rng.normal(2.5, 1.0)) * line(rng.uniform(0, 2000), 1.0, rng.uniform(2, 8), 2000)
    assert np.mean(value[0] > 1) > 0.6
    added = rng.standard_normal((80, 2002))
    if smooth:
        added = (0.25 * added[:, :-2] + 0.5 * added[:, 1:-1] + 0.25 * added[:, 2:]) / np.sqrt(0.375)
    found = cube_noise(Sampled(block_of(SIGMA * (value + added[:, :2000]), n_window=1), (0, 2000)))
    # By clipping alone it would be twice as much; by differences it is known to 15 % at this crowding.
    assert_allclose(found.sigma, SIGMA, rtol=0.15)
    assert_allclose(found.smoothing, 0.5 if smooth else 0.0, atol=0.1)


def test_noise_of_a_cube_that_varies_from_place_to_place():
    scale = np.exp(np.random.default_rng(16).uniform(0, np.log(6), 300))
    value = pure_noise(300, 17, n_channel=500) * scale[:, None]
    found = cube_noise(Sampled(block_of(value, n_window=1), (0, 500)))
    assert_allclose(found.sigma, SIGMA * np.median(scale), rtol=0.15)


def test_border_of_zeros_is_not_the_noise_of_a_cube():
    value = pure_noise(100, 18)
    value[:70] = 0.0
    value[70:, 50:300] = 0.0
    assert_allclose(cube_noise(Sampled(block_of(value))).sigma, SIGMA, rtol=0.03)


@pytest.mark.parametrize("step", [1.0, 1.5, 2.0])
def test_noise_of_a_cube_in_coarse_steps(step):
    value = np.round(pure_noise(100, 19) / (step * SIGMA)) * step * SIGMA
    # Rounding adds step / sqrt(12) in quadrature. From 1.4 sigma on more than half of the values are equal.
    truth = SIGMA * np.hypot(1.0, step / np.sqrt(12))
    assert_allclose(cube_noise(Sampled(block_of(value))).sigma, truth, rtol=0.15)


def test_noise_of_few_channels_is_taken_from_all_pixels():
    found = cube_noise(Sampled(block_of(pure_noise(500, 20, n_channel=12), n_window=1), (0, 12)))
    assert_allclose(found.sigma, SIGMA, rtol=0.05)
    assert_array_equal(found.smoothing, 0.0)


def test_noise_that_was_given_for_the_cube():
    block = block_of(np.zeros((5, N)), sigma=[0.3, np.nan])
    block.value[:, 600:] = pure_noise(5, 21)[:, 600:]
    block.sigma[2:, 0] = 0.5
    found = cube_noise(Sampled(block))
    assert found.sigma[0] == 0.5
    assert found.origin == ("given", "measured")


def test_window_that_no_pixel_has():
    value = pure_noise(30, 22)
    value[:, 600:] = np.nan
    found = cube_noise(Sampled(block_of(value)))
    assert_array_equal(np.isnan(found.sigma), [False, True])
    assert found.origin == ("measured", "unknown")


def test_cube_is_sampled_up_to_a_number_of_values():
    asked = []

    class Asked(Sampled):
        def sample(self, n, seed):
            asked.append(n)
            return super().sample(min(n, 20), seed)

    for n_channel in (50, 8740, 70_000):
        block = block_of(pure_noise(20, 23, n_channel=n_channel), n_window=1)
        cube_noise(Asked(block, (0, n_channel)))
        cube_noise(Asked(block, (0, n_channel)), n_pixel=30)
    assert asked == [10_000, 30, 916, 30, 500, 30]


def test_cube_without_noise_or_data():
    with pytest.raises(
        InputError, match=r"noise: there is none to measure in window 'spw 1'.*give the noise"
    ):
        cube_noise(Sampled(block_of(np.where(np.arange(N) < 600, pure_noise(9, 24), 0.0))))
    with pytest.raises(InputError, match="noise: there is none"):
        cube_noise(Sampled(block_of(np.tile(LINES, (9, 1)))))
    with pytest.raises(InputError, match="noise: there is none"):
        cube_noise(Sampled(block_of(np.round(pure_noise(9, 24) / (3 * SIGMA)))))
    with pytest.raises(InputError, match="cube: none of its pixels"):
        cube_noise(Sampled(block_of(np.full((3, N), np.nan))))
    with pytest.raises(InputError, match="n_pixel: at least one"):
        cube_noise(Sampled(block_of(np.zeros((3, N)))), n_pixel=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sigma": (0.1, 0.0)}, "sigma: the noise of the cube must be positive"),
        ({"sigma": (np.inf,)}, "sigma: the noise"),
        ({"sigma": ()}, "sigma: the noise"),
        ({"min_peaks": -1}, "min_peaks: a mean number"),
        ({"min_peaks": np.nan}, "min_peaks: a mean number"),
        ({"global_factor": 0.0}, "global_factor: a peak"),
        ({"local_factor": -1.0}, "local_factor: a peak"),
        ({"noise": "global"}, "noise: choose 'local' or 'cube'; got 'global'"),
        ({"flat_fraction": 0.0}, "flat_fraction: a part"),
    ],
)
def test_wrong_settings(wrong, message):
    with pytest.raises(InputError, match=message):
        SelectionSettings(**{"sigma": (0.1,), **wrong})


def test_wrong_number_of_windows():
    with pytest.raises(
        InputError, match="sigma: the noise of the cube is needed for each of 2 windows; got 3"
    ):
        examine(block_of(LINES), SelectionSettings((0.1, 0.1, 0.1)), START)


def test_settings_travel():
    settings = SelectionSettings(np.array([0.1, np.nan]), min_peaks=3, noise="cube")
    copies = [pickle.loads(pickle.dumps(settings)), SelectionSettings.from_dict(settings.as_dict())]
    text = json.dumps(settings.as_dict(), allow_nan=False)
    copies.append(SelectionSettings.from_dict(json.loads(text)))
    for copy in copies:
        assert repr(copy) == repr(settings)
    with pytest.raises(AttributeError):
        settings.min_peaks = 1


def test_counts_in_words():
    flags = np.array(
        [[PixelFlag.OUTSIDE_REGION] * 3, [PixelFlag.FEW_PEAKS, PixelFlag.FEW_LOCAL_PEAKS | 1, 4 | 256]]
    )
    assert flag_counts(flags) == {
        "outside the region": 3,
        "too few peaks above the noise of the cube": 1,
        "too few peaks above the noise of the spectrum": 1,
    }
    assert list(flag_counts(flags, SelectionSettings((0.1,), min_peaks=2.5, global_factor=5)))[1:] == [
        "fewer than 2.5 peaks per window above 5 times the noise of the cube",
        "fewer than 2.5 peaks per window above 6 times the noise of the spectrum",
    ]
    assert "no peak above 4 times the noise of the cube" in flag_counts(flags, SelectionSettings((0.1,)))
    every = flag_counts([int(f) for f in PixelFlag])
    assert len(every) == len(PixelFlag)
    assert set(every.values()) == {1}


@pytest.mark.shared_data
def test_l1448(shared):
    cube = observe_cube(shared / "data" / "cubes" / "l1448_13co10.fits.gz")
    noise = cube_noise(cube)
    block = cube.block(0, cube.shape[0], 0, cube.shape[1])
    # The line reaches the ends of the band in many places, so the noise is the scatter about the mean of the last
    # channels, pixel by pixel. That of all pixels together, about 0.22 K, contains what the line varies by.
    ends = np.concatenate([block.value[:, :8], block.value[:, -8:]], axis=1).astype(float).reshape(-1, 2, 8)
    scatter = np.median(ends.std(axis=2, ddof=1))
    together = 1.4826 * np.median(np.abs(ends - np.median(ends)))
    assert together == pytest.approx(0.22, abs=0.01)
    assert scatter * 0.9 < noise.sigma[0] < together
    found = examine(block, SelectionSettings(noise.sigma), [0, cube.frame.n_channel])
    # Every pixel has data, and half of them a line of more than 6 sigma in a channel.
    bright = block.value.max(axis=1) > 8 * noise.sigma[0]
    assert np.mean(found.worth[bright]) > 0.9
    faint = np.abs(block.value).max(axis=1) < 4 * noise.sigma[0]
    assert not found.worth[faint].any()
    assert 0.45 < np.mean(found.worth) < 0.6
    assert set(np.unique(found.flags)) == {0, PixelFlag.FEW_PEAKS, PixelFlag.FEW_LOCAL_PEAKS}
