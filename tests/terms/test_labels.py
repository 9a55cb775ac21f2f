"""Level labels: the grammar against labels read by hand, and against J and parity of two real calculations."""

import re
from pathlib import Path

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms import Levels
from spectuner_ext.terms.labels import label_groups, parse_label
from spectuner_ext.terms.readers.case_folder import read_case

NO = ""

BY_HAND = [
    # Cowan, Ryabtsev's habit
    ("    0.000  0.605 4f4  _5I5I  4.0", "4f4", NO, "5I", 5, 6, False, 4.0),
    ("15332.000  0.725 4f35d~4I5L  6.0", "4f3.5d", "4I", "5L", 5, 8, True, 6.0),
    ("48012.300 -0.725 4f35d~2H3K2 6.0", "4f3.5d", "2H", "3K2", 3, 7, True, 6.0),
    ("4f36p_4I5K", "4f3.6p", "4I", "5K", 5, 7, False, None),
    ("4f35d~2D1S2 0.0", "4f3.5d", "2D", "1S2", 1, 0, True, 0.0),
    ("4f35d~2D13F2 4.0", "4f3.5d", "2D1", "3F2", 3, 3, True, 4.0),
    ("4f146s2 1S", "4f14.6s2", NO, "1S", 1, 0, False, None),
    # Cowan, percentage first
    ("100 3d7.(4F).4s 5F  5.0", "3d7.4s", "4F", "5F", 5, 3, False, 5.0),
    ("96 3d8 3P  1.0", "3d8", NO, "3P", 3, 1, False, 1.0),
    ("45 3d6.(3D).4s.(2S).(4D).4p 5G* 4.0", "3d6.4s.4p", "3D.4D", "5G", 5, 4, True, 4.0),
    ("54 3d6.(3F1).4s.(2S).(2F).4p 1G* 4.0", "3d6.4s.4p", "3F1.2F", "1G", 1, 4, True, 4.0),
    ("29 3d7.(2D2).5p 3D*  2.0", "3d7.5p", "2D2", "3D", 3, 2, True, 2.0),
    # NIST
    ("3d7.(4F).4s a 5F 9/2", "3d7.4s", "4F", "5F", 5, 3, False, 4.5),
    ("3d7.(4F).4s", "3d7.4s", "4F", NO, None, None, False, None),
    ("3d6.(5D).4s.4p.(3P*) z 7D*", "3d6.4s.4p", "5D.3P", "7D", 7, 2, True, None),
    ("4f7.(8S*).5d.6s.6p 11F", "4f7.5d.6s.6p", "8S", "11F", 11, 3, False, None),
    ("3s2.3p5.(2P*<3/2>).4s 2[3/2]* 2", "3s2.3p5.4s", "2P<3/2>", "2[3/2]", 2, None, True, 2.0),
    ("5p5.(2P*<1/2>).6s (1/2,1/2)*", "5p5.6s", "2P<1/2>", "(1/2,1/2)", None, None, True, None),
    ("4f.10d 3F*", "4f.10d", NO, "3F", 3, 3, True, None),
    # Kurucz: principal quantum numbers, inner shells and parentheses may be missing
    ("d8 a3F", "d8", NO, "3F", 3, 3, False, None),
    ("d5s2 a6S", "d5.s2", NO, "6S", 6, 0, False, None),
    ("d54s2 a6S", "d5.4s2", NO, "6S", 6, 0, False, None),
    ("d7(4F)4s 5F", "d7.4s", "4F", "5F", 5, 3, False, None),
    ("(4F)4s a5F", "?.4s", "4F", "5F", 5, 3, False, None),
    ("(3F)4p y2G", "?.4p", "3F", "2G", 2, 4, True, None),
    ("s4F)4p z5D", "?.s.4p", "4F", "5D", 5, 2, True, None),
    ("3P2)4s b4P", "?.4s", "3P2", "4P", 4, 1, False, None),
    ("3Gsp3P x3H", "?.s.p", "3G.3P", "3H", 3, 5, True, None),
    ("4s4p 2P*", "?.4s.4p", NO, "2P", 2, 1, True, None),  # two electrons make no doublet
    ("4s5s e6F", "?.4s.5s", NO, "6F", 6, 3, False, None),
    # GRASP jj2lsj
    ("4f(3)4I3_4I.5d_5L", "4f3.5d", "4I3", "5L", 5, 8, True, None),
    # typeset
    ("4f3(4I°)5d 5L°", "4f3.5d", "4I", "5L", 5, 8, True, None),
    ("4f³ ⁴I°", "4f3", NO, "4I", 4, 6, True, None),
    # order of the shells does not matter
    ("5d.4f3 5L", "4f3.5d", NO, "5L", 5, 8, True, None),
    # only a part is told, or nothing
    ("z5D", NO, NO, "5D", 5, 2, True, None),
    ("autoionizing 5F", NO, NO, "5F", 5, 3, None, None),
    ("", NO, NO, NO, None, None, None, None),
    ("3f2 3H", NO, NO, "3H", 3, 5, None, None),  # no such shell
    ("Limit", NO, NO, NO, None, None, None, None),
]


@pytest.mark.parametrize(
    ("label", "configuration", "parent", "term", "multiplicity", "l", "odd", "j"),
    BY_HAND,
    ids=[row[0] or "empty" for row in BY_HAND],
)
def test_labels_of_every_habit(label, configuration, parent, term, multiplicity, l, odd, j):  # noqa: E741
    parsed = parse_label(label)
    assert (parsed.configuration, parsed.parent, parsed.term) == (configuration, parent, term)
    assert (parsed.multiplicity, parsed.l, parsed.odd, parsed.j) == (multiplicity, l, odd, j)


@pytest.mark.parametrize(
    ("label", "configuration"),
    [
        ("(4F)4s a5F", "3d7.4s"),
        ("d7(4F)4s 5F", "3d7.4s"),
        ("s4F)4p z5D", "3d6.4s.4p"),
        ("5Dsp3P z7D", "3d6.4s.4p"),
        ("d8 a3F", "3d8"),
        ("s2 a3P", "3d6.4s2"),
        ("3d8 3F", "3d8"),
        ("a 5F", ""),
    ],
)
def test_valence_fills_in_the_inner_shell_of_cobalt(label, configuration):
    assert parse_label(label, valence="3d8").configuration == configuration


def test_valence_of_an_f_element():
    assert parse_label("(4I)5d 5L", valence="4f4").configuration == "4f3.5d"
    assert parse_label("f3(4I)s 5I", valence="4f4").configuration == "4f3.6s"


@pytest.mark.parametrize("valence", ["3d7.4s", "d8", "8", "x"])
def test_valence_must_be_one_shell(valence):
    with pytest.raises(InputError, match="one subshell"):
        parse_label("d8 3F", valence=valence)


@pytest.mark.parametrize("text", ["3d" * 200, "3d3" * 100 + "!", "2D1" * 300, "((((", "4F" * 100, "\n;\t"])
def test_hostile_text_is_read_quickly_as_something(text):
    assert isinstance(parse_label(text).configuration, str)


def levels_of(*labels):
    n = len(labels)
    return Levels(np.arange(n) * 1000.0, np.full(n, np.nan), np.full(n, -1), np.array(labels))


def test_groups_are_nested():
    groups = label_groups(
        levels_of("4f4 5I", "4f35d~4I5L", "4f35d~4I5K", "4f35d~2H3K", "4f36s~4I5I", "", "x")
    )
    assert groups.names == ("4f4", "4f3.5d", "4f3.6s")
    assert groups.configuration.tolist() == [0, 1, 1, 1, 2, -1, -1]
    parent = groups.parent
    assert parent[0] == -1  # one open shell has no parent
    assert parent[1] == parent[2] != parent[3]
    assert parent[4] not in parent[:4]  # the same 4I of another configuration
    assert len(set(groups.term[:5])) == 5
    assert groups.term[5:].tolist() == [-1, -1]
    assert groups.recognised == pytest.approx(5 / 7)


def test_everything_works_without_labels():
    groups = label_groups(levels_of("", "", ""))
    assert groups.names == ()
    assert groups.recognised == 0
    for codes in (groups.configuration, groups.parent, groups.term):
        assert codes.tolist() == [-1, -1, -1]


def test_what_the_user_knows_goes_before_the_label():
    levels = levels_of("A1", "B2", "3d8 3F")
    by_label = label_groups(levels, configuration={" A1 ": "3d7.(4F).4s", "B2": "mixed"})
    assert by_label.names == ("3d7.4s", "mixed", "3d8")
    assert by_label.parsed[0].parent == "4F"
    by_column = label_groups(levels, configuration=["3d7.4s", "", "3d7.4p"])
    assert [p.configuration for p in by_column.parsed] == ["3d7.4s", "", "3d7.4p"]
    assert by_column.parsed[2].term == "3F"


@pytest.mark.parametrize("column", [["3d8"], "3d8"])
def test_a_column_has_one_entry_for_each_level(column):
    with pytest.raises(InputError, match="each of the 2 levels"):
        label_groups(levels_of("a", "b"), configuration=column)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("case", "configurations"),
    [
        ("nd3", {"4f4": 105, "4f3.5d": 355, "4f3.6s": 78, "4f3.6p": 33}),
        (
            "co2",
            {"3d8": 9, "3d7.4s": 38, "3d7.5s": 38, "3d7.6s": 38, "3d7.4p": 111, "3d7.5p": 119, "3d7.4d": 168}
            | {"3d6.4s.4p": 350},
        ),
    ],
)
def test_all_labels_of_the_published_calculations_are_recognised(shared, case, configurations):
    """Counts by text search in the files; J and parity of the calculation check terms and configurations."""
    levels = read_case(shared / "data" / "term_analysis" / case).system.levels
    groups = label_groups(levels)
    assert groups.recognised == 1.0
    counts = np.bincount(groups.configuration, minlength=len(groups.names))
    assert dict(zip(groups.names, counts.tolist(), strict=True)) == configurations
    assert np.all(groups.term >= 0)
    # All but the levels of the one open shell have a parent.
    single = np.isin([p.configuration for p in groups.parsed], ["4f4", "3d8"])
    assert np.array_equal(groups.parent < 0, single)

    j = np.array([p.j for p in groups.parsed])
    assert np.array_equal(j, levels.j)
    spin = np.array([(p.multiplicity - 1) / 2 for p in groups.parsed])
    orbital = np.array([p.l for p in groups.parsed])
    assert np.all((np.abs(orbital - spin) <= j) & (j <= orbital + spin))
    odd = np.array([p.odd for p in groups.parsed])
    assert np.unique(odd ^ levels.parity.astype(bool)).size == 1


@pytest.mark.shared_data
def test_parents_are_the_terms_of_the_core(shared):
    """Of d7 there are 8 terms and of d6 16, counted with their seniority (Condon & Shortley 1935, table 1 of 7)."""
    groups = label_groups(read_case(shared / "data" / "term_analysis" / "co2").system.levels)
    d7 = {"4F", "4P", "2H", "2G", "2F", "2D1", "2D2", "2P"}
    assert {p.parent for p in groups.parsed if p.configuration.startswith("3d7.")} == d7
    d6 = {p.parent.split(".")[0] for p in groups.parsed if p.configuration.startswith("3d6.")}
    assert d6 == {
        "5D",
        "3H",
        "3G",
        "3F1",
        "3F2",
        "3D",
        "3P1",
        "3P2",
        "1I",
        "1G1",
        "1G2",
        "1F",
        "1D1",
        "1D2",
        "1S1",
        "1S2",
    }


def test_the_table_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "term_formats.md").read_text("utf-8")
    rows = re.findall(r"^\| `(.+?)` \| [^|]+ \|([^|]*)\|([^|]*)\|([^|]*)\|$", text, flags=re.MULTILINE)
    assert len(rows) == 10
    for label, *told in rows:
        parsed = parse_label(label)
        assert [parsed.configuration, parsed.parent, parsed.term] == [cell.strip() for cell in told]
