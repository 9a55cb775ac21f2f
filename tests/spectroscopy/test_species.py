import pytest

from spectuner_ext.errors import SpeciesError
from spectuner_ext.spectroscopy.species import closest, parse


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CH3OH;v=0;", "CH3OH"),
        ("CH3OH", "CH3OH v=0"),
        ("CH3OH", "CH3OH, vt=0"),
        ("C-13-H3OH;v=0;", "13CH3OH"),
        ("(13)CH3OH vt=0", "C-13-H3OH, vt=0,1"),
        ("H2C-13-O;v=0;", "H213CO"),
        ("CH3C-13-N;v=0;", "CH313CN"),
        ("CS-34;v=0;", "C34S"),
        ("HCO-18+;v=0;", "HC18O+"),
        ("CO-18-+", "C18O+"),
        ("HC3N;v=0;", "HCCCN v=0"),
        ("C4H;v7=2,l=0;", "C4H v7 = 2 l=0"),
        ("SO;v=0;", "SO 3Sigma v=0"),
        ("HC(O)NH2", "HCONH2"),
        ("CH3COCH3", "CH3(CO)CH3"),
        ("aGg\u2019-(CH2OH)2", "aGg'-(CH2OH)2;v=0;"),
        ("t-HCOOH", "trans-HCOOH"),
    ],
)
def test_forms_of_one_name_agree(one, other):
    assert parse(one) == parse(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HCN", "HNC"),
        ("c-C3H2", "l-C3H2"),
        ("C2H5OH", "CH3OCH3"),
        ("CH3OH vt=0", "CH3OH vt=1"),
        ("HC-13-CCN", "HCC-13-CN"),
        ("C3N", "C3N-"),
        ("HCN v2=1", "HCN v3=1"),
        ("CH3OD", "CH2DOH"),
    ],
)
def test_different_species_stay_apart(one, other):
    assert parse(one) != parse(other)


def test_digits_are_counts_unless_they_are_a_mass():
    assert parse("HC11N").atoms == ("H", *["C"] * 11, "N")
    assert parse("H218O").atoms == ("H", "H", "18O")
    assert parse("C13CCCH").atoms == ("C", "13C", "C", "C", "H")
    assert parse("Na37Cl").atoms == ("Na", "37Cl")


def test_groups_repeat_as_a_whole():
    assert parse("(CH3)2CO").composition == parse("CH3COCH3").composition
    assert parse("(CH2OH)2").composition == (("C", 2), ("H", 6), ("O", 2))


def test_parent_has_main_isotopes_and_the_ground_state():
    assert parse("C-13-H2DCN;v8=1;").parent == parse("CH3CN")


@pytest.mark.parametrize("text", ["", "methanol", "CH3OH)", "13", "Xx2", "(13)"])
def test_what_is_not_a_formula_is_refused(text):
    with pytest.raises(SpeciesError, match="not a species name"):
        parse(text)


def test_closest_puts_isomers_first():
    names = ["CH3OCH3;v=0;", "CH3OH;v=0;", "C2H5OH;v=0;", "SO2;v=0;"]
    assert set(closest("CH3CH2OH", names)[:2]) == {"CH3OCH3;v=0;", "C2H5OH;v=0;"}
