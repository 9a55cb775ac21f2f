"""What a molfit asks for, who wins when a call says something else, and backgrounds as power laws."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.lte.parameters import BOUNDS
from spectuner_ext.pipeline.xclass.background import nearest_power_law, temperature_of
from spectuner_ext.pipeline.xclass.isotopologues import Follower, followers, ratios_of, tied
from spectuner_ext.pipeline.xclass.requests import merged, request_of
from spectuner_ext.xclass import FrequencyRange, IsoRatio, parse_molfit

FIT = """CH3OH;v=0;  2
 n 0.1 10 0.8  y 5 300 120  y 0 1e19 1e16  y 1 10 5.0  y -5 5 0  c
 y 0.1 20 4.0  n 5 300 60   y 1e12 1e18 1e15  y 1 10 3.0  n -5 5 -3.5  c
"""
NAME = "CH3OH;v=0;"


def test_flags_and_bounds_of_every_component():
    asked = request_of(parse_molfit(FIT))
    assert asked.components == {NAME: 2}
    assert asked.initial[NAME]["T_ex"] == [120.0, 60.0]
    assert asked.fixed[NAME] == {"source_size": [0.8, None], "T_ex": [None, 60.0], "v_off": [None, -3.5]}
    bounds = asked.bounds[NAME]
    assert bounds["T_ex"][0] == (5.0, 300.0)
    assert bounds["source_size"][1] == (0.1, 20.0)
    assert bounds["N_tot"] == [(BOUNDS["N_tot"][0], 1e19), (1e12, 1e18)]
    for pairs in bounds.values():
        assert len(pairs) == 2
        assert all(low < high for low, high in pairs)


def test_the_plain_form_holds_nothing_and_stays_inside_its_bounds():
    asked = request_of(parse_molfit("CO;v=0; 1\n 2.0 3000 1e11 50.0 -200.0 c\n"))
    assert asked.fixed == {"CO;v=0;": {}}
    bounds = asked.bounds["CO;v=0;"]
    assert bounds["T_ex"] == [(1.0, 3000.0)]
    assert bounds["N_tot"] == [(1e11, BOUNDS["N_tot"][1])]
    assert bounds["v_off"] == [(-200.0, 12.0)]
    assert "source_size" not in bounds


def test_the_call_wins_parameter_by_parameter():
    asked = request_of(parse_molfit(FIT))
    said = {"initial": asked.initial, "bounds": asked.bounds, "fixed": asked.fixed}
    names = {NAME: NAME}
    given = {"bounds": {"*": {"T_ex": (10.0, 50.0)}}, "fixed": {NAME: {"filling_factor": 0.5}}}
    result = merged(said, given, names)
    assert result["bounds"][NAME]["T_ex"] == (10.0, 50.0)
    assert "T_ex" not in result["fixed"][NAME]
    assert result["fixed"][NAME] == {"v_off": [None, -3.5], "filling_factor": 0.5}
    assert result["bounds"][NAME]["fwhm"] == [(1.0, 10.0), (1.0, 10.0)]
    assert said["fixed"][NAME]["T_ex"] == [None, 60.0]  # what came in stays as it was


def test_isotopologues_get_what_their_masters_have():
    requests = {
        "components": 2,
        "bounds": {"*": {"v_off": (-3.0, 3.0)}},
        "fixed": {NAME: {"T_ex": 80.0}},
        "initial": None,
    }
    made = tied([NAME], requests, {NAME: NAME}, [Follower("C-13-H3OH;v=0;", NAME, 60.0)])
    assert made.species == (NAME, "C-13-H3OH;v=0;")
    assert made.requests["components"] == {NAME: 2, "C-13-H3OH;v=0;": 2}
    own = made.requests["bounds"]["C-13-H3OH;v=0;"]
    assert own["v_off"] == (-3.0, 3.0)
    assert made.requests["fixed"]["C-13-H3OH;v=0;"] == {}
    assert made.requests["fixed"][NAME] == {"T_ex": 80.0}
    assert [(t["parameter"], t.get("component", 1)) for t in made.ties] == [
        (name, number) for number in (1, 2) for name in ("filling_factor", "T_ex", "N_tot", "fwhm", "v_off")
    ]  # fmt: skip
    assert made.ties[2]["ratio"] == [1.0, 1.0 / 60.0]


def test_lines_of_an_isotopologue_are_found_where_its_master_is_held():
    requests = {
        "components": 1,
        "bounds": {},
        "fixed": {NAME: {"v_off": 40.0, "N_tot": 1e17}},
        "initial": None,
    }
    made = tied([NAME], requests, {NAME: NAME}, [Follower("C-13-H3OH;v=0;", NAME, 60.0, 30.0, 90.0)])
    own = made.requests["bounds"]["C-13-H3OH;v=0;"]
    assert own["v_off"] == [(-12.0, 40.0)]
    assert_allclose(own["N_tot"], [(1e17 / 90.0, 1e17 / 30.0)])
    assert "N_tot" not in [t["parameter"] for t in made.ties]


def test_chains_and_what_is_not_known(database):
    rows = ratios_of({"13CH3OH": ["CH3OH", 60.0], "C-13-H3OH;v=1;xyz": ["CH3OH", 2.0]})
    found, remarks = followers(rows, [NAME], [], database)
    assert found == [Follower("C-13-H3OH;v=0;", NAME, 60.0)]
    assert len(remarks) == 1
    assert "xyz" in remarks[0]
    chain = [IsoRatio("CH3OH;v=0;", "CO;v=0;", 5.0), IsoRatio("C-13-H3OH;v=0;", NAME, 60.0)]
    assert {f.name: f.ratio for f in followers(chain, ["CO;v=0;"], [], database)[0]} == {
        "C-13-H3OH;v=0;": 300.0,
        NAME: 5.0,
    }
    with pytest.raises(InputError, match=r"isoratio: .*has a column density of its own"):
        followers(rows[:1], [NAME, "C-13-H3OH;v=0;"], [], database)
    with pytest.raises(InputError, match="isoratio: C-13-H3OH;v=0; is fitted without its master"):
        followers(rows[:1], ["C-13-H3OH;v=0;"], ["C-13-H3OH;v=0;"], database)


@pytest.mark.parametrize(("level", "slope"), [(3.0, 0.0), (12.5, 1.7), (0.4, -2.0), (0.0, 0.0)])
def test_a_power_law_is_found_again(level, slope):
    nu = np.linspace(218_000.0, 220_000.0, 50)
    given = FrequencyRange(
        nu[0], nu[-1], t_back_flag=True, background_temperature=level, temperature_slope=slope
    )
    law = nearest_power_law(nu, temperature_of(given, nu), float(nu[0]))
    assert_allclose([law.temperature, law.slope], [level, slope], rtol=1e-9, atol=1e-9)
    assert law.deviation < 1e-9


def test_another_continuum_is_told():
    nu = np.linspace(218_000.0, 220_000.0, 50)
    bump = 2.0 + np.exp(-(((nu - 219_000.0) / 300.0) ** 2))
    law = nearest_power_law(nu, bump, float(nu[0]))
    assert 0.05 < law.deviation < 0.5
    with_zero = nearest_power_law(nu, np.where(nu < 219_000, 0.0, 2.0), float(nu[0]))
    assert with_zero.slope == 0.0
    assert with_zero.deviation > 0.5
