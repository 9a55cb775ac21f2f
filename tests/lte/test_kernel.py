"""The kernel against the slow truth: which lines and channels take part, and the memory it keeps between calls."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.lte import kernel
from spectuner_ext.lte.kernel import Accuracy
from spectuner_ext.lte.model import MARGIN_KMS, LTEModel, line_ranges
from spectuner_ext.observation import observe
from spectuner_ext.observation.observation import Beam

TIGHT = Accuracy(opacity_floor=1e-13, refine=4.0)
# the kernel takes Planck function and beam at channel centres: some 1e-7 for channels of half a MHz
RTOL = 2e-6


def theta_of(*, eta=0.5, t_ex=80.0, n_tot=1e16, fwhm=4.0, v_off=0.0):
    return np.array([[eta, t_ex, n_tot, fwhm, v_off]])


def check(seen, lists, theta, converged, species=None, accuracy=TIGHT, rtol=RTOL):
    truth = converged(seen, lists, theta, species)
    fast = LTEModel.bind(seen, lists, accuracy=accuracy).spectrum(theta, species)
    assert_allclose(fast, truth, rtol=0, atol=rtol * np.max(np.abs(truth)))
    return truth


@pytest.mark.parametrize("side", [-1, 1])
def test_line_outside_reaches_in(side, lines, window, observation, converged):
    seen = observation(window(230e3 + np.arange(0, 20, 0.5)))
    rest = 229_998.5 if side < 0 else 230_021.2  # beyond the last channel edge
    toy = lines(rest)
    assert check(seen, [toy], theta_of(fwhm=6.0), converged).max() > 0.01
    # a shift of 8 km/s carries its centre into the window
    moved = check(seen, [toy], theta_of(fwhm=2.0, v_off=8.0 * side), converged)
    assert 0 < np.argmax(moved) < seen.n_channel - 1


@pytest.mark.parametrize("rest", [229_999.75, 230_000.0, 230_000.3, 230_019.75, 230_019.5])
def test_line_cut_by_the_window_edge(rest, lines, window, observation, converged):
    seen = observation(window(230e3 + np.arange(0, 20, 0.5)))
    for fwhm in (0.32, 1.0, 5.0, 31.0):
        check(seen, [lines(rest)], theta_of(fwhm=fwhm), converged)


def test_lines_are_bound_as_far_as_any_parameters_of_table_1_carry_them(lines, window, observation):
    seen = observation(window(230e3 + np.arange(0, 20, 0.5)))
    (low, high) = line_ranges(seen)[0]
    assert low == pytest.approx((230e3 - 0.25) * (1 - MARGIN_KMS / 299792.458), rel=1e-12)
    assert high == pytest.approx((230e3 + 19.75) * (1 + MARGIN_KMS / 299792.458), rel=1e-12)
    toy = lines([low - 0.01, low + 0.01, high - 0.01, high + 0.01])
    assert LTEModel.bind(seen, [toy]).n_lines(0) == 2
    # the furthest reach: widest, fastest and most opaque allowed, from just beyond the margin
    beyond = lines(high + 0.01, 1.0, 100.0, 0.0)
    theta = theta_of(n_tot=1e22, fwhm=10.0**1.5, v_off=12.0, t_ex=30.0)
    unlimited = LTEModel.bind(seen, [beyond], margin=400.0).spectrum(theta)
    assert (
        np.max(np.abs(unlimited)) < 1e-3 * 30.0
    )  # A = 1 /s: a thousand times stronger than the strongest lines


def test_irregular_channels(lines, window, observation, converged):
    rng = np.random.default_rng(2)
    seen = observation(window(230e3 + np.cumsum(10.0 ** rng.uniform(-1.5, 0.3, 60))))
    model = LTEModel.bind(seen, [lines(230e3)])
    assert model.grid.inverse_step[0] == 0.0
    toy = lines(seen.windows[0].nu[[5, 30, 31, 59]] + 0.05)
    for fwhm in (0.32, 2.0, 12.0):
        # channel centres lie up to 0.5 MHz off the middle of their channel: 4e-6 of the frequency, times the slope
        # of the beam and the Planck function
        check(seen, [toy], theta_of(fwhm=fwhm), converged, rtol=5e-6)


def test_nearly_regular_channels_are_found_by_walking(lines, window, observation, converged):
    rng = np.random.default_rng(3)
    nu = 230e3 + 0.5 * np.arange(4000) * (1 + 4e-4)
    nu = nu + np.cumsum(rng.choice([-1, 1]) * rng.uniform(0, 2e-4, 4000))
    seen = observation(window(nu))
    toy = lines(nu[[10, 2000, 3990]] + 0.1)
    assert LTEModel.bind(seen, [toy]).grid.inverse_step[0] > 0
    check(seen, [toy], theta_of(fwhm=1.0), converged)


def test_gap_in_the_channels(lines, window, observation, converged):
    """Channels on both sides of a gap reach to its middle, as edges are midpoints."""
    nu = 230e3 + np.concatenate([np.arange(0, 10, 0.5), np.arange(30, 40, 0.5)])
    seen = observation(window(nu))
    toy = lines([230_012.0, 230_024.0, 230_033.0])
    # centres 5 MHz off the middle of the two channels at the gap: 2e-5 of the frequency
    truth = check(seen, [toy], theta_of(fwhm=2.0), converged, rtol=4e-5)
    assert truth[19] > 0
    assert truth[20] > 0


@pytest.mark.parametrize("channel", [20.0, 300.0])
def test_channels_much_wider_than_the_lines_keep_the_flux(channel, lines, window, observation, converged):
    seen = observation(window(230e3 + channel * np.arange(5)))
    toy = lines(230e3 + channel * np.array([0.2, 1.1, 1.11, 2.5, 4.49]))
    for fwhm in (0.32, 1.0, 6.0):
        for n_tot in (1e13, 1e17, 1e21):
            # at a distance of half a channel the Planck function differs by 150 MHz / 230 GHz
            check(seen, [toy], theta_of(fwhm=fwhm, n_tot=n_tot), converged, rtol=1e-6 + 2 * channel / 230e3)


def test_two_windows_that_share_a_line(lines, window, observation, converged):
    first, second = 230e3 + np.arange(0, 20, 0.5), 230e3 + np.arange(15, 30, 0.3)
    seen = observation(window(second), window(first))
    toy = lines([230_016.0, 230_019.0])
    check(seen, [toy], theta_of(), converged)
    model = LTEModel.bind(seen, [toy])
    both = model.split(model.spectrum(theta_of()))
    for w, part in zip((second, first), both, strict=True):
        alone = LTEModel.bind(observation(window(w)), [toy]).spectrum(theta_of())
        assert_allclose(part, alone, rtol=1e-13, atol=0)


def test_descending_axis_gives_the_same_spectrum(lines):
    nu = 230e3 + np.arange(0, 20, 0.5)
    both = [
        observe((axis * u.MHz, np.zeros(nu.size) * u.K), noise=0.1 * u.K, vlsr=0.0) for axis in (nu, nu[::-1])
    ]
    toy = lines(230_003.0)
    up, down = (LTEModel.bind(o, [toy]).spectrum(theta_of()) for o in both)
    assert_array_equal(up, down)
    assert abs(nu[np.argmax(up)] - 230_003.0) <= 0.25


def test_no_line_at_all(lines, window, observation):
    seen = observation(window(230e3 + np.arange(0, 20, 0.5)), window(250e3 + np.arange(0, 20, 0.5)))
    model = LTEModel.bind(seen, [lines(100e3), lines(230_010.0)])
    assert model.n_lines(0) == 0
    spectrum, jacobian = model.spectrum_and_jacobian(theta_of(), [0])
    assert not spectrum.any()
    assert not jacobian.any()
    assert model.tau_max(theta_of(), [0])[0] == 0.0
    assert model.spectrum(np.vstack([theta_of(), theta_of()])).max() > 0


def test_components_add(lines, window, observation, converged):
    rng = np.random.default_rng(6)
    lists = [lines(230e3 + rng.uniform(-5, 25, 6)), lines(230e3 + rng.uniform(-5, 25, 3), power=1.0)]
    seen = observation(
        window(230e3 + np.arange(0, 20, 0.5), beam=Beam(0.4, 0.3)),
        window(230.018e3 + np.arange(0, 9, 0.1), beam=Beam(0.8, 0.3)),
    )
    theta = np.array(
        [[0.3, 40.0, 1e16, 3.0, 1.0], [0.9, 200.0, 1e17, 8.0, -4.0], [0.1, 90.0, 1e15, 1.0, 6.0]]
    )
    species = [0, 1, 0]
    check(seen, lists, theta, converged, species)
    model = LTEModel.bind(seen, lists)
    parts = sum(model.spectrum(t, [s]) for t, s in zip(theta, species, strict=True))
    assert_allclose(model.spectrum(theta, species), parts, rtol=1e-13, atol=1e-14)
    assert_allclose(
        model.spectrum(theta[::-1], species[::-1]), model.spectrum(theta, species), rtol=1e-13, atol=1e-14
    )


def test_filling_factor_refers_to_the_mean_beam_and_each_window_has_its_own(lines, window, observation):
    """The same source: eta follows from its size and the beam of each window (equation 2)."""
    beams, size = (Beam(2.0, 1.0), Beam(0.5, 0.4)), 0.9
    windows = [
        window(nu + np.arange(0, 20, 0.5), beam=b) for nu, b in zip((230e3, 250e3), beams, strict=True)
    ]
    toy = lines([230_010.0, 250_010.0])
    seen = observation(*windows)
    assert seen.beam_scale == pytest.approx((np.sqrt(2.0) + np.sqrt(0.2)) / 2)
    model = LTEModel.bind(seen, [toy])
    eta = size**2 / (size**2 + seen.beam_scale**2)
    assert model.source_size(np.array([eta]))[0] == pytest.approx(size)
    parts = model.split(model.spectrum(theta_of(eta=eta)))
    filled = LTEModel.bind(observation(*(window(w.nu) for w in windows)), [toy]).spectrum(theta_of(eta=1.0))
    for part, full, b in zip(parts, np.split(filled, 2), beams, strict=True):
        own = size**2 / (size**2 + b.major * b.minor)
        assert_allclose(part, own * full, rtol=1e-12)


def test_beam_of_a_dish_shrinks_with_frequency(lines, window, observation):
    beam, size = Beam(diameter=12.0), 20.0
    nu = 230e3 + np.arange(0, 40e3, 1000.0)
    toy = lines(nu)
    seen, bare = observation(window(nu, beam=beam)), observation(window(nu))
    eta = size**2 / (size**2 + seen.beam_scale**2)
    ratio = LTEModel.bind(seen, [toy]).spectrum(theta_of(eta=eta)) / LTEModel.bind(bare, [toy]).spectrum(
        theta_of(eta=1.0)
    )
    width = 1.22 * 299.792458 / nu / 12.0 * 206264.806  # 1.22 lambda / D in arcsec; m MHz over MHz
    assert_allclose(ratio, size**2 / (size**2 + width**2), rtol=1e-7)


def test_continuum_of_each_channel_lies_behind_the_lines(lines, window, observation, converged):
    nu = 230e3 + np.arange(0, 20, 0.25)
    seen = observation(window(nu, t_continuum=np.linspace(0, 160, nu.size), t_cmb=0.0))
    truth = check(seen, [lines(nu[[20, 60]])], theta_of(n_tot=1e18), converged, rtol=1e-5)
    assert truth[20] > 0 > truth[60]


def random_components(rng, n):
    theta = np.stack(
        [
            10.0 ** rng.uniform(-3, -0.01, n),
            rng.uniform(1, 1000, n),
            10.0 ** rng.uniform(12, 22, n),
            10.0 ** rng.uniform(-0.5, 1.5, n),
            rng.uniform(-12, 12, n),
        ],
        axis=1,
    )
    return np.ascontiguousarray(theta)


@pytest.fixture(scope="module")
def crowd(window, observation):
    """Three windows, two touching, one of irregular channels."""
    rng = np.random.default_rng(13)
    return observation(
        window(230e3 + np.arange(0, 40, 0.5)),
        window(230e3 + np.arange(40, 60, 0.25)),
        window(229.9e3 + np.cumsum(rng.uniform(0.1, 0.9, 60))),
    )


@pytest.fixture(scope="module")
def crowded(crowd, lines):
    """A forest of two species in these windows."""
    rng = np.random.default_rng(12)
    lists = [
        lines(229.88e3 + rng.uniform(0, 200, n), 10 ** rng.uniform(-6, -3, n), 9.0, rng.uniform(0, 600, n))
        for n in (25, 9)
    ]
    return LTEModel.bind(crowd, lists)


def run(model, theta, species, work, spectrum, jacobian, derivatives):
    kernel.evaluate(
        theta, species, model.grid, model.lines, model.accuracy, derivatives, work, spectrum, jacobian
    )


def test_a_used_workspace_gives_the_same_as_a_fresh_one(crowded):
    """Nothing of earlier calls is left in spectrum, Jacobian or intervals."""
    rng = np.random.default_rng(4)
    model, n = crowded, 3
    work = kernel.workspace(model.grid, model.lines, n)
    spectrum, jacobian = np.zeros(model.n_channel), np.full((n, 5, model.n_channel), 1e300)
    for _ in range(150):
        theta = random_components(rng, n)
        species = rng.integers(0, 2, n)
        derivatives = bool(rng.integers(2))
        run(model, theta, species, work, spectrum, jacobian, derivatives)
        fresh = kernel.workspace(model.grid, model.lines, n)
        clean, clean_jacobian = np.zeros(model.n_channel), np.zeros((n, 5, model.n_channel))
        run(model, theta, species, fresh, clean, clean_jacobian, derivatives)
        assert_array_equal(spectrum, clean)
        assert_array_equal(work.union[: work.union_count[0]], fresh.union[: fresh.union_count[0]])
        assert_array_equal(work.count, fresh.count)
        for c in range(n):
            spans = work.intervals[c, : work.count[c]]
            assert_array_equal(spans, fresh.intervals[c, : fresh.count[c]])
            for a, b in spans:
                if derivatives:
                    assert_array_equal(jacobian[c, :, a:b], clean_jacobian[c, :, a:b])


def test_with_or_without_derivatives_the_spectrum_is_the_same(crowded):
    rng = np.random.default_rng(9)
    for _ in range(40):
        theta = random_components(rng, 2)
        plain, (full, _) = crowded.spectrum(theta), crowded.spectrum_and_jacobian(theta)
        assert_allclose(plain, full, rtol=1e-12, atol=1e-300)


def test_intervals(crowded):
    """Sorted, disjoint, inside one window each; the union covers them; outside it the spectrum is exactly zero."""
    rng = np.random.default_rng(5)
    model, n = crowded, 3
    start = model.grid.start
    border = set(start.tolist())
    work = kernel.workspace(model.grid, model.lines, n)
    spectrum, jacobian = np.zeros(model.n_channel), np.zeros((n, 5, model.n_channel))
    n_spans = 0
    for _ in range(150):
        run(model, random_components(rng, n), rng.integers(0, 2, n), work, spectrum, jacobian, False)
        union = work.union[: work.union_count[0]]
        covered = np.zeros(model.n_channel, dtype=bool)
        for a, b in union:
            covered[a:b] = True
        own = np.zeros_like(covered)
        for c in range(n):
            spans = work.intervals[c, : work.count[c]]
            assert np.all(spans[:, 1] > spans[:, 0])
            assert np.all(spans[1:, 0] >= spans[:-1, 1])
            for a, b in spans:
                own[a:b] = True
        assert_array_equal(covered, own)
        assert not spectrum[~covered].any()
        window_of = np.searchsorted(start, union, side="right") - 1
        last = np.searchsorted(start, union[:, 1] - 1, side="right") - 1
        assert_array_equal(window_of[:, 0], last)
        # touching spans are merged except at a border
        touching = union[1:, 0] == union[:-1, 1]
        assert all(int(a) in border for a in union[1:, 0][touching])
        n_spans += len(union)
    assert n_spans > 150


def test_default_accuracy_over_all_of_table_1(crowd, crowded, converged):
    """Error over the peak of the spectrum, with blends, lines cut by edges, and any parameters."""
    rng = np.random.default_rng(15)
    worst, n_seen = 0.0, 0
    for theta in random_components(rng, 100):
        truth = converged(crowd, crowded.transitions, theta[None], [0])
        # in thinner spectra the lines of these windows may lie below 1e-5 of the strongest one outside
        if np.max(np.abs(truth)) > 1e-3 * theta[0]:
            n_seen += 1
            error = np.max(np.abs(crowded.spectrum(theta[None], [0]) - truth)) / np.max(np.abs(truth))
            worst = max(worst, error)
    assert n_seen > 80
    assert worst < 1e-3, worst


def test_sampling_at_channel_centres(lines, window, observation):
    from spectuner_ext.lte import reference

    nu = 230e3 + np.arange(0, 20, 0.5)
    toy = lines(230_010.2)
    depth = reference.line_depth(230_010.2, 1e-4, 9.0, 50.0, 80.0, 1e16, toy.partition(80.0))
    tau = reference.optical_depth(
        nu, np.array([depth]), np.array([230_010.2]), reference.line_width(np.array([230_010.2]), 4.0)
    )
    expected = 0.5 * reference.slab_intensity(tau, 80.0, reference.planck_temperature(2.725, nu), nu)
    model = LTEModel.bind(
        observation(window(nu)), [toy], accuracy=Accuracy(opacity_floor=1e-13, average=False)
    )
    assert_allclose(model.spectrum(theta_of()), expected, rtol=0, atol=1e-9 * expected.max())


def test_tau_max_counts_lines_inside_the_windows_only(lines, window, observation, column):
    seen = observation(window(230e3 + np.arange(0, 20, 0.5)))
    toy = lines([230_010.0, 230_025.0], einstein_a=[1e-5, 1e-3])
    model = LTEModel.bind(seen, [toy])
    n_tot = column(toy, 0.7, 80.0, 4.0, line=0)
    # at v, sigma is 1 - v/c of that at rest
    assert model.tau_max(theta_of(n_tot=n_tot), [0])[0] == pytest.approx(0.7, rel=1e-12)
    inside = model.tau_max(theta_of(n_tot=n_tot, v_off=11.0), [0])[0]
    assert inside > 50.0
