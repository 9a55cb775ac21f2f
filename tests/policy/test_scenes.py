"""Simulated scenes: physics against the model, statistics against what was asked for."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import find_peaks, peak_widths
from scipy.stats import kstest

from spectuner_ext.errors import InputError
from spectuner_ext.lte.model import LTEModel
from spectuner_ext.lte.parameters import BOUNDS, PARAMETERS
from spectuner_ext.lte.reference import line_depth, line_width, planck_temperature
from spectuner_ext.policy.scenes.imperfections import components_of, draw_dirt, observed
from spectuner_ext.policy.scenes.layouts import BANDS, draw_setup
from spectuner_ext.policy.scenes.library import SpeciesLibrary
from spectuner_ext.policy.scenes.scene import OVERLAP
from spectuner_ext.policy.scenes.settings import Imperfections, SceneSettings
from spectuner_ext.policy.scenes.stream import SceneStream, scene_of
from spectuner_ext.policy.scenes.targets import Condition, find_targets, targets_of


@pytest.fixture(scope="module")
def line_library(database):
    return SpeciesLibrary(database)


@pytest.fixture(scope="module")
def exact_scenes(line_library):
    stream = SceneStream(line_library, SceneSettings().exact(), 11)
    return [stream[i] for i in range(40)]


@pytest.fixture(scope="module")
def dirty_scenes(line_library):
    stream = SceneStream(line_library, SceneSettings(), 12)
    return [stream[i] for i in range(60)]


def spectrum_of(scene, member):
    model = LTEModel.bind(scene.observation, [member.transitions])
    return model.spectrum(member.theta[None])


def test_exact_scenes_are_the_sum_of_their_members(exact_scenes):
    for scene in exact_scenes:
        total = sum(spectrum_of(scene, m) for m in scene.members)
        assert_allclose(scene.model, total, rtol=1e-9, atol=1e-12 * np.abs(total).max())


def test_grid_is_that_of_the_model(dirty_scenes, line_library):
    rng = np.random.default_rng(3)
    kinds = set()
    for scene in dirty_scenes:
        w = scene.observation.windows[0]
        kinds.add("none" if w.beam is None else "dish" if np.isfinite(w.beam.diameter) else "synthesised")
    assert kinds == {"none", "dish", "synthesised"}  # so the comparison of spectra has seen all of them
    for band in BANDS:
        setup = draw_setup(SceneSettings(), band, None, rng)
        sky = BANDS[band].sky
        assert setup.low.min() >= sky[0] - 1
        assert setup.high.max() <= sky[1] + 1
        assert np.all(setup.low[1:] >= setup.high[:-1] - 1e-6)
        assert np.all((setup.step > 0.0609) & (setup.step < 0.98))


def test_noise_is_white_and_of_the_stated_strength(exact_scenes):
    residual, variance = [], []
    for scene in exact_scenes:
        first = 0
        for w in scene.observation.windows:
            r = (w.intensity - scene.model[first : first + w.nu.size]) / w.sigma
            residual.append(r)
            variance.append(np.mean(r[1:] * r[:-1]))
            first += w.nu.size
    values = np.concatenate(residual)
    n = values.size
    assert abs(values.mean()) < 5 / np.sqrt(n)
    assert abs(values.std() - 1) < 5 / np.sqrt(2 * n)
    assert kstest(values[:5000], "norm").pvalue > 1e-4
    assert abs(np.mean(variance)) < 0.01


def slow_peaks(scene, own, others):
    """Number of peaks and of overlapped ones, by scipy and plain loops."""
    n, overlapped, first = 0, 0, 0
    for w in scene.observation.windows:
        part = slice(first, first + w.nu.size)
        x, rest, sigma = own[part], others[part], w.sigma[0]
        peaks, found = find_peaks(x, height=4 * sigma, prominence=4 * sigma)
        widths = peak_widths(
            x, peaks, 0.25, (found["prominences"], found["left_bases"], found["right_bases"])
        )
        spans = []
        for left, right in sorted(zip(widths[2], widths[3], strict=True)):
            if spans and left <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], right)
            else:
                spans.append([left, right])
        for left, right in spans:
            # channels from the one below the span to the one above it
            channels = slice(max(int(np.ceil(left)) - 1, 0), int(np.ceil(right)) + 1)
            n += 1
            more = np.abs(rest[channels]).max()
            overlapped += more > sigma and more > OVERLAP * x[channels].max()
        first += w.nu.size
    return n, overlapped


def test_what_is_detectable_against_a_slow_reference(exact_scenes):
    seen, blended = 0, 0
    for scene in exact_scenes:
        spectra = [spectrum_of(scene, m) for m in scene.members]
        sigma = np.concatenate([w.sigma for w in scene.observation.windows])
        for member, own in zip(scene.members, spectra, strict=True):
            n, overlapped = slow_peaks(scene, own, sum(spectra) - own)
            assert member.n_detectable == n
            assert member.blend == pytest.approx(overlapped / max(n, 1))
            assert member.peak_snr == pytest.approx(np.max(np.abs(own) / sigma))
            assert member.is_visible == (n > 0)
            seen, blended = seen + n, blended + overlapped
    assert seen > 500
    assert blended > 50


def test_brightness_and_opacity_are_drawn_as_stated(database):
    """Of a molecule with one line in reach: N and eta against the equations, draws against uniform logarithms."""
    library = SpeciesLibrary(database, species=["CO;v=0;"])
    settings = SceneSettings(
        kind="clean", scene_snr=(300.0, 300.0), free_share=0.0, absorption=0.0, bands=(6,), column=(22.0, 1.0)
    ).exact()
    stream = SceneStream(library, settings, 1)
    place_snr, place_tau = [], []
    for scene in stream.scenes(0, 400):
        (member,) = scene.members
        eta, t_ex, n_tot, fwhm, v = member.theta
        t, centre = member.transitions, member.transitions.frequency * (1 - v / 299_792.458)
        (w,) = [w for w in scene.observation.windows if w.edges[0] < centre[0] < w.edges[-1]]
        a = line_depth(t.frequency, t.einstein_a, t.g_upper, t.e_lower, t_ex, n_tot, t.partition(t_ex))
        tau = float(a[0] / (np.sqrt(2 * np.pi) * line_width(centre[0], fwhm)))
        behind = w.t_continuum[0] + planck_temperature(w.t_cmb, 0.5 * (w.nu[0] + w.nu[-1]))
        contrast = float(planck_temperature(t_ex, centre[0]) - behind)
        dilution = np.hypot(1.0, np.mean(np.diff(w.nu)) / np.mean(w.nu[[0, -1]]) * 299_792.458 / fwhm)
        noise = float(w.sigma[0] * dilution)
        snr = contrast * eta * -np.expm1(-tau) / noise
        top = min(300.0, 0.98 * contrast * BOUNDS["filling_factor"][1] / noise)
        assert 3.0 * 0.999 < snr < top * 1.001
        assert 1e-3 * 0.999 < tau < 100 * 1.001
        place_snr.append(np.log(snr / 3) / np.log(top / 3))
        # limits of tau from those of eta and N
        full = snr * noise / (contrast * BOUNDS["filling_factor"][1])
        low = max(1e-3, -np.log1p(-full), tau / n_tot * 1e12)
        high = min(100.0, tau / n_tot * 1e22)
        if (least := snr * noise / (contrast * 1e-3)) < 1:
            high = min(high, -np.log1p(-least))
        place_tau.append(np.log(tau / low) / np.log(high / low))
    assert kstest(place_snr, "uniform").pvalue > 1e-3
    assert kstest(place_tau, "uniform").pvalue > 1e-3


def test_large_column_densities_are_rare_as_stated(database):
    """Over the same seeds, draws beyond the limit are kept with probability 10^-(excess / 0.5)."""
    library = SpeciesLibrary(database, species=["CO;v=0;"])

    def columns(limit):
        settings = SceneSettings(kind="clean", free_share=0.0, absorption=0.0, column=(limit, 0.5)).exact()
        return np.log10([s.members[0].theta[2] for s in SceneStream(library, settings, 1).scenes(0, 1500)])

    bins = np.arange(17.0, 19.6, 0.5)
    every, rarer = (np.histogram(columns(limit), bins)[0] for limit in (22.0, 18.0))
    kept = rarer / every / np.mean(rarer[:2] / every[:2])
    # mean of 10^-(x / 0.5) over a bin of 0.5 dex is 0.39, and a tenth of it in the next
    assert_allclose(kept[2:4], [0.39, 0.039], atol=0.12)
    assert kept[3] < 0.12


def test_truth_lies_inside_the_bounds(dirty_scenes):
    n = 0
    for scene in dirty_scenes:
        for target in targets_of(scene):
            for value, name in zip(target.member.theta, PARAMETERS, strict=True):
                low, high = BOUNDS[name]
                assert low * (1 - 1e-9 * np.sign(low)) <= value <= high * (1 + 1e-9), name
            assert_allclose(10 ** target.truth[[0, 2, 3]], target.member.theta[[0, 2, 3]])
            assert_array_equal(target.truth[[1, 4]], target.member.theta[[1, 4]])
            n += 1
    assert n > 200


def test_kinds(line_library):
    for kind, least, most in (("clean", 1, 3), ("blended", 2, 16)):
        stream = SceneStream(line_library, SceneSettings(kind=kind), 4)
        scenes = [stream[i] for i in range(60)]
        assert all(s.kind == kind for s in scenes)
        assert all(least <= len(s.members) <= most for s in scenes)
        assert all(s.members[0].group == "Mol-1980" for s in scenes)
        assert all(len({m.species for m in s.members}) == len(s.members) for s in scenes)
        if kind == "blended":
            assert np.mean([len(s.members) >= 6 for s in scenes]) > 0.8
            assert np.mean([s.members[0].n_detectable >= 4 for s in scenes]) > 0.7
            others = {m.group for s in scenes for m in s.members[1:]}
            assert others == {"Mol-1980", "Mol-2010", "other"}


def test_relatives_share_all_but_their_column_density(database):
    names = ["CH3OH;v=0;", "CH3OH;vt=1;", "C-13-H3OH;v=0;"]
    library = SpeciesLibrary(database, species=names)
    settings = SceneSettings(kind="blended", family=1.0, n_wanted=1, n_contaminant=(2, 2))
    ratios = {1: [], 2: []}
    for scene in SceneStream(library, settings, 1).scenes(0, 120):
        found = {m.species: m.theta for m in scene.members}
        for k in (1, 2):
            if names[0] in found and names[k] in found:
                a, b = found[names[0]], found[names[k]]
                assert_array_equal(a[[0, 1, 3, 4]], b[[0, 1, 3, 4]])
                ratios[k].append(np.log10(b[2] / a[2]))
    assert len(ratios[1]) > 30
    assert np.max(np.abs(ratios[1])) <= 2 * 0.3 + 2.0 + 1e-9  # by way of the isotopologue, two steps
    assert np.median(np.abs(ratios[1])) < 0.5
    assert min(ratios[2]) >= -3.1
    assert max(ratios[2]) <= 0.1
    assert -2.0 < np.median(ratios[2]) < -1.0


def test_truth_beyond_the_bounds_is_no_target(exact_scenes):
    member = next(m for m in exact_scenes[0].members if m.is_visible)
    assert Condition().holds(member)
    for k, (low, high) in enumerate(BOUNDS[name] for name in PARAMETERS):
        for value in (low - 0.1 * abs(low), high + 0.1 * abs(high)):
            theta = member.theta.copy()
            theta[k] = value
            assert not Condition().holds(replace(member, theta=theta))


def test_test_species_are_asked_for_by_group(line_library):
    stream = SceneStream(line_library, SceneSettings(target_group="Mol-2010"), 4, split="test")
    for scene in stream.scenes(0, 20):
        assert scene.members[0].group == "Mol-2010"
        assert all(t.member.group == "Mol-2010" for t in targets_of(scene, Condition(group="Mol-2010")))


def same(a, b):
    return all(
        np.array_equal(x.intensity, y.intensity) and np.array_equal(x.nu, y.nu)
        for x, y in zip(a.observation.windows, b.observation.windows, strict=True)
    ) and all(np.array_equal(x.theta, y.theta) for x, y in zip(a.members, b.members, strict=True))


def test_a_scene_depends_on_seed_split_and_number_alone(line_library):
    stream = SceneStream(line_library, SceneSettings(), 7)
    backwards = {i: stream[i] for i in (5, 4, 3, 2, 1, 0)}
    again = SceneStream(line_library, SceneSettings(), 7)
    shared = {
        i: s for rank in (0, 1) for i, s in zip(range(rank, 6, 2), again.scenes(rank, 6, 2), strict=True)
    }
    assert all(same(backwards[i], shared[i]) for i in range(6))
    first = backwards[0].observation.windows[0]
    for other in (
        stream[1],
        SceneStream(line_library, SceneSettings(), 8)[0],
        SceneStream(line_library, SceneSettings(), 7, split="test")[0],
        SceneStream(line_library, SceneSettings(), 7, split="validation")[0],
    ):
        assert not np.array_equal(other.observation.windows[0].intensity[:400], first.intensity[:400])


def test_recipe_makes_the_scene_again(line_library, database):
    settings = SceneSettings(kind="blended", imperfections=Imperfections(gradient=1.0))
    scene = SceneStream(line_library, settings, 9, split="validation")[31]
    recipe = json.loads(json.dumps(scene.recipe))
    assert same(scene, scene_of(line_library, recipe))
    with pytest.raises(InputError, match="library"):
        scene_of(SpeciesLibrary(database, species=["CO;v=0;"]), recipe)
    with pytest.raises(InputError, match="index"):
        scene_of(line_library, {k: v for k, v in recipe.items() if k != "index"})
    with pytest.raises(InputError, match="unknown names"):
        SceneSettings.from_json(recipe["settings"] | {"colour": "blue"})


def test_targets_meet_their_condition(line_library):
    stream = SceneStream(line_library, SceneSettings(kind="blended"), 2, split="test")
    wanted = Condition(min_detectable=4, blend=(0.3, 1.0), group="Mol-1980", peak_snr=(10.0, 1000.0))
    found = find_targets(stream, 12, wanted)
    assert len({t.recipe["index"] for t in found}) == len(found) == 12
    for t in found:
        m = t.member
        assert m.n_detectable >= 4
        assert 0.3 <= m.blend <= 1
        assert m.group == "Mol-1980"
        assert 10 <= m.peak_snr <= 1000
        assert t.case.transitions is m.transitions
        assert t.recipe["member"] == t.index
    later = find_targets(stream, 3, wanted, start=found[4].recipe["index"])
    assert [t.recipe for t in later] == [t.recipe for t in found[4:7]]
    with pytest.raises(InputError, match="condition"):
        find_targets(stream, 1, Condition(min_detectable=100_000))


def test_gradient_keeps_source_velocity_and_dispersion():
    theta = np.array([0.3, 100.0, 1e16, 4.0, 2.0])
    rng = np.random.default_rng(0)
    for _ in range(50):
        parts = components_of(theta, replace(Imperfections.none(), gradient=1.0), rng)
        assert parts.shape == (3, 5)
        share = parts[:, 0] / theta[0]
        assert share.sum() == pytest.approx(1)
        assert np.sum(share * parts[:, 4]) == pytest.approx(theta[4])
        sigma = parts[:, 3] * 0.42466
        variance = np.sum(share * (sigma**2 + (parts[:, 4] - theta[4]) ** 2))
        assert variance == pytest.approx((theta[3] * 0.42466) ** 2, rel=1e-4)
        assert np.ptp(parts[:, 4]) > 0.25 * theta[3]
    wings = components_of(theta, replace(Imperfections.none(), wings=1.0), rng)
    assert_array_equal(wings[0], theta)
    assert 2 * theta[3] <= wings[1, 3] <= 4 * theta[3]
    assert wings[1, 0] <= 0.2 * theta[0]
    assert_array_equal(components_of(theta, Imperfections.none(), rng), theta[None])


def test_smoothed_noise_has_the_stated_strength_and_correlation(line_library):
    settings = SceneSettings(imperfections=replace(Imperfections.none(), correlated=1.0))
    rng = np.random.default_rng(5)
    tested = set()
    for _ in range(200):
        setup = draw_setup(settings, 6, None, rng)
        dirt = draw_dirt(setup, settings.imperfections, 5.0, rng)
        n = sum(nu.size for nu in setup.nu)
        values = observed(np.zeros(n), setup, dirt, rng)[: setup.nu[0].size] / setup.sigma[0]
        b, m = dirt.smoothing, values.size
        r = [np.mean(values[k:] * values[: m - k]) for k in (0, 1, 2, 3)]
        expected = [1.0, 2 * b / (1 + 2 * b * b), b * b / (1 + 2 * b * b), 0.0]
        assert_allclose(r, expected, atol=8 / np.sqrt(m))
        tested.add(b == 0.5)
    assert tested == {True, False}


def test_imperfections_do_what_they_say(line_library):
    rng = np.random.default_rng(6)
    none = Imperfections.none()
    setup = draw_setup(SceneSettings(max_channels=20_000, n_window=(4, 4)), 6, None, rng)
    sigma = np.repeat(setup.sigma, [nu.size for nu in setup.nu])

    def many(settings):
        return [draw_dirt(setup, settings, 5.0, rng) for _ in range(150)]

    clean = many(none)
    for d in clean:
        assert not d.extra.any()
        assert d.mask.all()
        assert np.all(d.rise == 1)
        assert (d.smoothing, d.stated) == (0.0, 1.0)
    spiky = many(replace(none, spikes=5.0))
    count = np.array([np.count_nonzero(d.extra) for d in spiky])
    assert 0.2 < np.mean(count > 0) < 0.47
    assert np.mean(count[count > 0]) == pytest.approx(5e-3 * sigma.size, rel=0.2)
    assert all(np.all(np.abs(d.extra / sigma)[d.extra != 0] > 3.9) for d in spiky)
    wavy = many(replace(none, baseline=1.0))
    assert max(np.max(np.abs(d.extra) / sigma) for d in wavy) < 1.6
    assert np.median([np.max(np.abs(d.extra) / sigma) for d in wavy]) > 0.3
    stated = np.array([d.stated for d in many(replace(none, misstated=1.0))])
    assert kstest(stated, "uniform", args=(0.85, 0.4)).pvalue > 1e-3
    assert all(0 < np.count_nonzero(~d.mask) <= 60 * len(setup.nu) for d in many(replace(none, masked=1.0)))
    edges = many(replace(none, edges=1.0))[0].rise
    first = setup.nu[0].size
    assert edges[0] > 1.29
    assert edges[first - 1] == edges[0]
    assert edges[first // 2] == 1
    forest = many(replace(none, unidentified=30.0))
    assert max(np.max(d.extra / sigma) for d in forest) > 20
    assert 0.3 < np.mean([d.extra.any() for d in forest]) < 0.7


def test_masked_channels_are_zero_and_noise_may_be_misstated(dirty_scenes):
    masked = [w for s in dirty_scenes for w in s.observation.windows if not w.mask.all()]
    assert masked
    for w in masked:
        assert not w.intensity[~w.mask].any()
    assert any(not m.is_exact for s in dirty_scenes for m in s.members)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"kind": "busy"}, "kind"),
        ({"target_group": "Mol-1900"}, "target_group"),
        ({"bands": (5,)}, "bands"),
        ({"noise": (0.0, 1.0)}, "noise"),
        ({"n_window": (3, 2)}, "n_window"),
        ({"family": 1.5}, "family"),
        ({"max_channels": 10}, "max_channels"),
        ({"velocity": (-20.0, 0.0)}, "velocity"),
    ],
)
def test_wrong_settings_are_named(wrong, name):
    with pytest.raises(InputError, match=name):
        SceneSettings(**wrong)


def test_wrong_streams_are_named(line_library, database):
    with pytest.raises(InputError, match="split"):
        SceneStream(line_library, SceneSettings(), 1, split="exam")
    with pytest.raises(InputError, match="seed"):
        SceneStream(line_library, SceneSettings(), -1)
    with pytest.raises(IndexError):
        SceneStream(line_library, SceneSettings(), 1)[-1]
    with pytest.raises(InputError, match="wings"):
        Imperfections(wings=2.0)
    only_new = SpeciesLibrary(database, species=["CH3COCH3;v=0;"])
    with pytest.raises(InputError, match="target_group"):
        SceneStream(only_new, SceneSettings(), 1)[0]
