"""What a user may write for species, components, bounds, fixed values and guesses; what is said if it is wrong."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table

from spectuner_ext.errors import InputError, SpeciesError
from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.pipeline.request import components_for, transitions_for

NAMES, FULL = ["CH3OH", "C2H5CN"], ["CH3OH;v=0;", "C2H5CN;v=0;"]


def observation(beam=None, low=241.7e3, n=400):
    nu = low + 0.5 * np.arange(n)
    return Observation((Window(nu, np.zeros(n), np.ones(n), np.ones(n, dtype=bool), np.zeros(n), beam),))


def ask(names=NAMES, full=FULL, beam=None, **arguments):
    return components_for(observation(beam), names, full, **arguments)


def test_one_component_per_species_by_default():
    asked = ask()
    assert [(c.species, c.number, c.label) for c in asked] == [
        (0, 1, "CH3OH;v=0; #1"),
        (1, 1, "C2H5CN;v=0; #1"),
    ]
    assert all(not c.bounds and not c.fixed and not c.initial for c in asked)


@pytest.mark.parametrize("components", [{"CH3OH": 2}, {"CH3OH;v=0;": 2}])
def test_components_per_species_by_either_name(components):
    assert [(c.species, c.number) for c in ask(components=components)] == [(0, 1), (0, 2), (1, 1)]


def test_the_same_number_of_components_for_all():
    assert [(c.species, c.number) for c in ask(components=2)] == [(0, 1), (0, 2), (1, 1), (1, 2)]


@pytest.mark.parametrize("components", [0, -1, {"CH3OH": 0}, {"CH3OOH": 2}])
def test_components_that_cannot_be(components):
    with pytest.raises(InputError, match="components"):
        ask(components=components)


def test_values_for_all_for_one_species_and_for_each_component():
    asked = ask(
        components={"CH3OH": 2},
        fixed={"T_ex": 50.0, "C2H5CN;v=0;": {"T_ex": 120.0}, "CH3OH": {"v_off": [-2.0, 3.0]}},
        initial={"*": {"fwhm": 5.0}, "CH3OH": {"fwhm": (2.0, 8.0)}},
        bounds={"N_tot": (1e13, 1e18), "CH3OH": {"N_tot": [(1e14, 1e15), (1e15, 1e16)]}},
    )
    assert [c.fixed["T_ex"] for c in asked] == [50.0, 50.0, 120.0]
    assert [c.fixed.get("v_off") for c in asked] == [-2.0, 3.0, None]
    assert [c.initial["fwhm"] for c in asked] == [2.0, 8.0, 5.0]
    assert [c.bounds["N_tot"] for c in asked] == [(1e14, 1e15), (1e15, 1e16), (1e13, 1e18)]


def test_quantities_are_converted():
    (asked,) = ask(
        NAMES[:1],
        FULL[:1],
        beam=Beam(1.0, 1.0),
        fixed={"v_off": 1500 * u.m / u.s, "N_tot": 1e20 / u.m**2},
        bounds={"fwhm": (500 * u.m / u.s, 5 * u.km / u.s), "source_size": (500 * u.mas, 2 * u.arcsec)},
    )
    assert asked.fixed["v_off"] == pytest.approx(1.5)
    assert asked.fixed["N_tot"] == pytest.approx(1e16)
    assert asked.bounds["fwhm"] == pytest.approx((0.5, 5.0))
    assert asked.bounds["filling_factor"] == pytest.approx((0.25 / 1.25, 4 / 5))


def test_source_sizes_become_filling_factors_of_the_beam():
    asked = ask(
        beam=Beam(2.0, 0.5), fixed={"CH3OH": {"source_size": 3.0}}, initial={"C2H5CN": {"source_size": 1.0}}
    )
    assert asked[0].fixed == pytest.approx({"filling_factor": 9 / 10})
    assert asked[1].initial == pytest.approx({"filling_factor": 0.5})


def test_a_table_of_an_earlier_result_is_a_guess():
    table = QTable()
    table["species"] = ["CH3OH;v=0;", "CH3OH;v=0;", "C2H5CN;v=0;"]
    table["T_ex"] = [50.0, 60.0, 70.0] * u.K
    table["N_tot"] = [1e19, 1e20, 1e21] / u.m**2
    table["v_off"] = [-1.0, 2.0, 0.0] * u.km / u.s
    for given in (table, Table(table)):
        asked = ask(components={"CH3OH": 2}, initial=given)
        assert [c.initial["T_ex"] for c in asked] == [50.0, 60.0, 70.0]
        assert [c.initial["v_off"] for c in asked] == [-1.0, 2.0, 0.0]
        assert [c.initial["N_tot"] for c in asked] == pytest.approx([1e15, 1e16, 1e17])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fixed": {"Tex": 3.0}}, ["fixed", "Tex", "T_ex"]),
        ({"fixed": {"CH3OH": {"Tex": 3.0}}}, ["fixed", "Tex", "T_ex"]),
        ({"initial": {"CO": {"T_ex": 3.0}}}, ["initial", "CO", "CH3OH"]),
        ({"fixed": {"T_ex": "warm"}}, ["fixed", "T_ex", "K", "warm"]),
        ({"fixed": {"T_ex": 3 * u.km}}, ["fixed", "T_ex", "K", "km"]),
        ({"fixed": {"v_off": [1.0, 2.0]}}, ["fixed", "v_off", "2 values", "1 component"]),
        ({"bounds": {"T_ex": 30.0}}, ["bounds", "T_ex", "(low, high)", "30"]),
        ({"bounds": {"T_ex": (1, 2, 3)}}, ["bounds", "T_ex", "(low, high)"]),
        ({"fixed": {"source_size": 1.0}}, ["fixed", "source_size", "beam"]),
        (
            {"beam": Beam(1.0, 1.0), "fixed": {"source_size": 1.0, "filling_factor": 0.5}},
            ["source_size", "filling_factor"],
        ),
        ({"beam": Beam(1.0, 1.0), "fixed": {"source_size": -1.0}}, ["fixed", "source_size", "positive"]),
        ({"initial": Table({"T_ex": [3.0]})}, ["initial", "species"]),
    ],
)
def test_what_is_wrong_is_named(arguments, words):
    with pytest.raises(InputError) as error:
        ask(**arguments)
    for word in words:
        assert word in str(error.value)


def test_transitions_of_names_in_any_form(database):
    found = transitions_for(observation(), ["CH3OH", "C2H5CN;v=0;"], database)
    assert [t.species for t in found] == FULL
    for t in found:
        assert len(t) > 0
        # within the margin of 130 km/s of the window, 105 MHz
        assert np.all((t.frequency > 241.7e3 - 110) & (t.frequency < 241.9e3 + 110))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["CH3OH", "CH3OH;v=0;"], ["CH3OH;v=0;", "more than once", "components"]),
        (["CO"], ["CO", "no line", "241"]),
        (["unobtainium"], ["unobtainium"]),
    ],
)
def test_species_that_cannot_be(names, words, database):
    with pytest.raises(SpeciesError) as error:
        transitions_for(observation(), names, database)
    for word in words:
        assert word in str(error.value)
