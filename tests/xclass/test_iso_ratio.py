"""Iso-ratio files, and what they do to column densities: chains, several isotopologues, circles."""

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.xclass import (
    IsoRatio,
    MolfitComponent,
    MolfitParameter,
    isotopologue_columns,
    new_iso_ratios,
    parse_iso_ratios,
    read_iso_ratios,
    resolve_isotopologues,
    with_isotopologues,
    with_ratio,
)

THREE = b"C-13-H3OH;v=0;   CH3OH;v=0;   60.0\n"
FIVE = b"C-13-H3OH;v=0;   CH3OH;v=0;   60.0  30  120\n"
MANY = b"""\
% isotopologue    master      ratio   % local gas
C-13-O;v=0;       CO;v=0;     60
CO-18;v=0;        CO;v=0;     5.0e2   % heavy

C-13-O-18;v=0;    CO-18;v=0;  60      % a chain
HN-15-CO;v=0;\tHNCO;v=0;\t300
"""

VARIANTS = {
    "three columns": THREE,
    "five columns": FIVE,
    "both": THREE + b"CO-18;v=0; CO;v=0; 500 100 900\n",
    "many": MANY,
    "windows": MANY.replace(b"\n", b"\r\n"),
    "old macintosh": MANY.replace(b"\n", b"\r"),
    "no line end at the end": MANY.rstrip(b"\n"),
    "blank lines": b"\n\n" + MANY.replace(b"\n", b"\n \t\n"),
    "empty": b"",
    "comments only": b"% none here\n",
    "latin-1": b"% \xe4\n" + THREE,
    "utf-8": "% ä\n".encode() + THREE,
    "byte-order mark": b"\xef\xbb\xbf" + THREE,
    "exponents": THREE.replace(b"60.0", b"6.0D+01"),
    "below one": THREE.replace(b"60.0", b"0.5"),
    "vibrational states": THREE.replace(b"CH3OH;v=0;", b"CH3OH;v12=1;"),
}


@pytest.mark.parametrize("data", VARIANTS.values(), ids=VARIANTS)
def test_untouched_file_keeps_its_bytes(data):
    assert parse_iso_ratios(data).to_bytes() == data


def test_file_says_what_a_person_reads():
    assert parse_iso_ratios(THREE).ratios == (IsoRatio("C-13-H3OH;v=0;", "CH3OH;v=0;", 60.0),)
    assert parse_iso_ratios(FIVE).ratios == (IsoRatio("C-13-H3OH;v=0;", "CH3OH;v=0;", 60.0, 30.0, 120.0),)
    table = parse_iso_ratios(MANY)
    assert [item.ratio for item in table.ratios] == [60.0, 500.0, 60.0, 300.0]
    assert table.lines == (2, 3, 5, 6)


REFUSED = {
    "two words": (b"CO-18;v=0; 500\n", "line 1: 2 words"),
    "four words": (b"CO-18;v=0; CO;v=0; 500 100\n", "line 1: 4 words"),
    "six words": (FIVE.replace(b"120", b"120 7"), "line 1: 6 words"),
    "no name": (b"CO-18 CO;v=0; 500\n", "line 1: 'CO-18' is no name"),
    "global ratio": (b"GLOBAL__C-13 CO;v=0; 60\n", "line 1: 'GLOBAL__C-13' is no name"),
    "own master": (b"\nCO;v=0; CO;v=0; 1\n", "line 2: CO;v=0; is its own master"),
    "no number": (THREE.replace(b"60.0", b"sixty"), "line 1: 'sixty' for a ratio"),
    "nan": (THREE.replace(b"60.0", b"nan"), "'nan' for a ratio"),
    "zero": (THREE.replace(b"60.0", b"0"), "'0' for a ratio"),
    "negative": (FIVE.replace(b"30 ", b"-3 "), "'-3' for a ratio"),
    "bounds first": (
        FIVE.replace(b"60.0  30  120", b"30 120 60.0"),
        "the ratio 30 with the bounds 120 and 60",
    ),
    "outside": (FIVE.replace(b"60.0", b"10.0"), "the ratio 10 with the bounds 30 and 120"),
    "twice": (THREE + b"%\n" + THREE, "line 3: C-13-H3OH;v=0; is in line 1, too"),
    "zero byte": (THREE + b"\0", "line 2: a zero byte"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(data, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_iso_ratios(data, "iso.dat")
    assert str(caught.value).startswith("iso_ratios: iso.dat, line ")


def test_ratio_changes_in_its_place():
    assert with_ratio(parse_iso_ratios(MANY), "CO-18;v=0;", 250.0).to_bytes() == MANY.replace(
        b"5.0e2", b"250.0"
    )
    assert with_ratio(parse_iso_ratios(MANY), "CO-18;v=0;", 500.0).to_bytes() == MANY
    changed = with_ratio(parse_iso_ratios(FIVE), "C-13-H3OH;v=0;", 45.0, lower=40.0, upper=50.0)
    assert changed.to_bytes() == FIVE.replace(b"60.0  30  120", b"45.0  40.0  50.0")
    with pytest.raises(InputError, match=r"^isotopologue: 'SO;v=0;'"):
        with_ratio(parse_iso_ratios(MANY), "SO;v=0;", 2.0)
    with pytest.raises(InputError, match=r"^lower: line 2 "):
        with_ratio(parse_iso_ratios(MANY), "C-13-O;v=0;", lower=2.0)
    with pytest.raises(InputError, match=r"ratio 500 with the bounds"):
        with_ratio(parse_iso_ratios(FIVE), "C-13-H3OH;v=0;", 500.0)


def test_column_density_is_divided():
    columns = isotopologue_columns(parse_iso_ratios(MANY), {"CO;v=0;": 6e18})
    assert columns == pytest.approx(
        {"C-13-O;v=0;": 1e17, "CO-18;v=0;": 1.2e16, "C-13-O-18;v=0;": 2e14}, rel=1e-14
    )


def test_chain_does_not_depend_on_the_order_of_lines():
    backwards = b"\n".join(MANY.splitlines()[::-1])
    given = {"CO;v=0;": 6e18, "HNCO;v=0;": 3e15}
    first = isotopologue_columns(parse_iso_ratios(MANY), given)
    second = isotopologue_columns(parse_iso_ratios(backwards), given)
    assert first == second
    assert len(first) == 4


def test_ties_show_chain_bounds_and_what_is_not_used():
    data = b"A;1; B;1; 2 1 4\nB;1; C;1; 10\nX;1; Y;1; 3\n"
    ties = resolve_isotopologues(parse_iso_ratios(data), ["C;1;"])
    first, second = ties.ties
    assert (first.isotopologue, first.source, first.ratio) == ("A;1;", "C;1;", 20.0)
    assert (first.lower, first.upper) == (10.0, 40.0)
    assert [item.isotopologue for item in first.chain] == ["A;1;", "B;1;"]
    assert (second.ratio, second.lower, second.upper) == (10.0, None, None)
    assert ties.unused == ("X;1;",)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_circles_are_refused_even_where_nothing_uses_them(n):
    lines = [f"M{i};; M{(i + 1) % n};; 2" for i in range(n)]
    table = parse_iso_ratios("\n".join(["CO-18;v=0; CO;v=0; 500", "T;; M0;; 3", *lines]), "iso.dat")
    with pytest.raises(InputError, match=r"^iso_ratios: iso\.dat, line 3: masters in a circle: M0;; -> M1;;"):
        resolve_isotopologues(table, ["CO;v=0;"])


def test_species_with_a_column_density_of_its_own_follows_none():
    with pytest.raises(InputError, match=r"line 3: CO-18;v=0; follows CO;v=0;, but has a column density"):
        isotopologue_columns(parse_iso_ratios(MANY), {"CO;v=0;": 1e18, "CO-18;v=0;": 1e16})


def test_endless_chains_are_refused():
    data = "\n".join(f"M{i};; M{i + 1};; 2" for i in range(40))
    with pytest.raises(InputError, match=r"more than 30 masters"):
        resolve_isotopologues(parse_iso_ratios(data), ["M40;;"])
    data = "\n".join(f"M{i};; M{i + 1};; 1e200" for i in range(3))
    with pytest.raises(InputError, match=r"multiply to inf"):
        resolve_isotopologues(parse_iso_ratios(data), ["M3;;"])


def test_components_of_isotopologues_follow_their_source():
    parameter = MolfitParameter
    main = MolfitComponent(
        "CO;v=0;",
        parameter(2.0),
        parameter(100.0, True, 5.0, 300.0),
        parameter(6e18, True, 1e15, 1e20),
        parameter(5.0),
        parameter(-1.0),
        foreground=True,
    )
    other = MolfitComponent("SO;v=0;", None, *[parameter(1.0)] * 4)
    found = with_isotopologues([main, other, main], parse_iso_ratios(b"CO-18;v=0; CO;v=0; 500 100 900"))
    assert found[:3] == (main, other, main)
    assert len(found) == 5
    for rare in found[3:]:
        assert rare.molecule == "CO-18;v=0;"
        assert rare.column == parameter(1.2e16)
        assert (rare.source_size, rare.temperature) == (parameter(2.0), parameter(100.0))
        assert (rare.width, rare.offset, rare.foreground) == (parameter(5.0), parameter(-1.0), True)
        assert not rare.has_fit_columns


def test_new_file_holds_what_was_given(tmp_path):
    ratios = (
        IsoRatio("C-13-O;v=0;", "CO;v=0;", 60.0),
        IsoRatio("CO-18;v=0;", "CO;v=0;", 512.3, 100.0, 1000.0),
    )
    table = new_iso_ratios(ratios, comments=["by hand"])
    path = tmp_path / "iso.dat"
    path.write_bytes(table.to_bytes())
    assert read_iso_ratios(path).ratios == ratios
    assert table.to_bytes().startswith(b"% by hand\n% isotopologue")
    assert new_iso_ratios([]).ratios == ()


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        (IsoRatio("CO 18;", "CO;v=0;", 2.0), "^ratios: 'CO 18;'"),
        (IsoRatio("CO-18;v=0;", "CO;v=0;", 2.0, lower=1.0), "^ratios: CO-18;v=0; has one bound"),
        (IsoRatio("CO-18;v=0;", "CO;v=0;", -2.0), "'-2.0' for a ratio"),
        (IsoRatio("CO-18;v=0;", "CO;v=0;", float("nan")), "^value: nan"),
    ],
)
def test_new_file_refuses_what_it_could_not_read_back(ratio, message):
    with pytest.raises(InputError, match=message):
        new_iso_ratios([ratio])
