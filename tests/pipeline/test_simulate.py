import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.spectroscopy import LineDatabase

METHANOL = {"species": "CH3OH", "T_ex": 150, "N_tot": 1e17, "fwhm": 5, "source_size": 1.0, "v_off": 0.5}


@pytest.fixture(scope="module")
def database():
    with LineDatabase.open() as opened:
        yield opened


def simulate(database, components=(METHANOL,), **options):
    return simulate_observation(
        [(218_400, 218_480, 0.5), (218.48, 218.5, 0.001) * u.GHz],
        components,
        database,
        **{"noise": [0.05, 0.1], "beam": "2arcsec", "seed": 1, **options},
    )


def test_axes_noise_and_continuum(database):
    observation, _ = simulate(database, continuum=[1 * u.K, 2 * u.K])
    first, second = observation.windows
    assert_allclose(first.nu, 218_400 + 0.5 * np.arange(161))
    assert second.nu.size == 21
    assert second.nu[-1] == pytest.approx(218_500)
    assert {float(x) for x in second.sigma} == {0.1}
    assert {float(x) for x in second.t_continuum} == {2.0}
    assert first.beam.major == 2.0


def test_truth_is_the_model_without_noise(database):
    observation, truth = simulate(database)
    model = LTEModel.bind(observation, [database.select("CH3OH", line_ranges(observation))])
    eta = 1.0 / (1.0 + 4.0)
    expected = model.split(model.spectrum(np.array([[eta, 150.0, 1e17, 5.0, 0.5]])))
    for clean, line in zip(truth.meta["lines"], expected, strict=True):
        assert_allclose(clean, line)
    assert float(truth["filling_factor"][0]) == pytest.approx(eta)
    assert truth["source_size"][0].to_value(u.arcsec) == pytest.approx(1.0)
    noise = observation.windows[0].intensity - truth.meta["lines"][0]
    assert noise.std() == pytest.approx(0.05, rel=0.25)  # 161 channels: 5.6 %


def test_seed(database):
    first, again, other = (simulate(database, seed=s)[0].windows[0].intensity for s in (1, 1, 2))
    assert_array_equal(first, again)
    assert np.any(first != other)


def test_components_of_one_species_add_and_are_counted(database):
    shifted = {**METHANOL, "v_off": 20}
    _, both = simulate(database, (METHANOL, shifted))
    _, one = simulate(database, (METHANOL,))
    _, two = simulate(database, (shifted,))
    assert_allclose(both.meta["lines"][0], one.meta["lines"][0] + two.meta["lines"][0])
    assert list(both["component"]) == [1, 2]


@pytest.mark.parametrize(
    ("components", "options", "message"),
    [
        (
            ({"species": "CH3OH", "T_ex": 10, "N_tot": 1e15, "fwhm": 3},),
            {},
            "either source_size or filling_factor",
        ),
        (({**METHANOL, "filling_factor": 0.5},), {}, "either source_size"),
        (({**METHANOL, "Tex": 10},), {}, "needs species"),
        ((METHANOL,), {"beam": None}, "needs a beam"),
        ((METHANOL,), {"noise": 0.0}, "noise must be positive"),
        ((METHANOL,), {"noise": [0.1, 0.1, 0.1]}, "3 values for 2 windows"),
        (({**METHANOL, "species": "nonsense"},), {}, "nonsense"),
    ],
)
def test_bad_input(database, components, options, message):
    with pytest.raises(InputError, match=message):
        simulate(database, components, **options)
