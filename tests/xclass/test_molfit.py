"""Molfit files: hand-written variants read as a person reads them, changed in one word, refused where unknown."""

from dataclasses import replace

import pytest

from spectuner_ext.errors import InputError, OutputExistsError
from spectuner_ext.xclass import (
    DatabaseLimits,
    MolfitComponent,
    MolfitParameter,
    molfit_components,
    new_molfit,
    parse_molfit,
    read_molfit,
    with_component,
    with_components,
    with_database_limit,
    with_foreground,
    with_parameter,
    without_component,
    write_bytes,
)

P = MolfitParameter

PLAIN = b"CH3OH;v=0;   1\n 1.0   100.0   1.0e+15   5.0   -2.5   c\n"
FIT = b"CH3OH;v=0;  1\ny 0.1 1.0 0.4  y 5 300 100  y 1e10 1e21 1e15  y 0.5 20 5  n -6 6 0  c\n"
TWO = b"""\
% two gases in front of each other
CH3OH;v=0;  2
  0.8  150  3.2e16   6.5   0.1  c   % hot
  5.0   20  1.0E+14  2.0  -1.5  f   % cold, in front

CO-18;v=0;  1
  2.5   45. 2.5d15  +3.1   .5   c
"""
LIMITED = b"""\
%%MinNumTransitionsSQL = 1                    % smallest number
%%MaxNumTransitionsSQL =
%%TransOrderSQL = 2
%%MaxElowSQL = 3.000e+03
%%MingASQL=0.0
%
CN;v=0; 1
1 30 1e14 2 0 c
"""

VARIANTS = {
    "plain": PLAIN,
    "fit": FIT,
    "two molecules, foreground, comments": TWO,
    "database limits": LIMITED,
    "windows": TWO.replace(b"\n", b"\r\n"),
    "old macintosh": TWO.replace(b"\n", b"\r"),
    "mixed line ends": PLAIN.replace(b"\n", b"\r\n", 1),
    "no line end at the end": PLAIN.rstrip(b"\n"),
    "tabs": PLAIN.replace(b"   ", b"\t"),
    "blanks at both ends, blank lines": b"\n \t \n" + PLAIN.replace(b"\n", b"   \t\n") + b"\n\n",
    "keyword": PLAIN.replace(b"   c", b"   c   mykey"),
    "keyword of a fit": FIT.replace(b"  c\n", b"  c  mykey % it is kept\n"),
    "capital letters": FIT.upper().replace(b"CH3OH;V=0;", b"CH3OH;v=0;"),
    "latin-1 comment": b"% gr\xfcn\n" + PLAIN,
    "utf-8 comment": "% grün, T in K, 2µm\n".encode() + PLAIN,
    "byte-order mark": b"\xef\xbb\xbf" + PLAIN,
    "comment right behind a word": PLAIN.replace(b"c\n", b"c% core\n"),
    "molecule in two blocks": PLAIN + b"% again\n" + PLAIN,
    "hash in the name": PLAIN.replace(b"v=0;", b"v=0;#1"),
    "layer distance": PLAIN.replace(b"   c\n", b"   1.5\n"),
    "molecule taken out by comments": b"% SO;v=0; 1\n% 1 1 1 1 1 c\n" + PLAIN,
}


@pytest.mark.parametrize("data", VARIANTS.values(), ids=VARIANTS)
def test_untouched_file_keeps_its_bytes(data):
    assert parse_molfit(data).to_bytes() == data


def test_plain_form_says_what_a_person_reads():
    molfit = parse_molfit(PLAIN)
    assert molfit.form == "plain"
    assert molfit_components(molfit) == [
        MolfitComponent("CH3OH;v=0;", P(1.0), P(100.0), P(1e15), P(5.0), P(-2.5), foreground=False)
    ]


def test_fit_form_says_what_a_person_reads():
    molfit = parse_molfit(FIT)
    assert molfit.form == "fit"
    assert molfit_components(molfit) == [
        MolfitComponent(
            "CH3OH;v=0;",
            source_size=P(0.4, True, 0.1, 1.0),
            temperature=P(100.0, True, 5.0, 300.0),
            column=P(1e15, True, 1e10, 1e21),
            width=P(5.0, True, 0.5, 20.0),
            offset=P(0.0, False, -6.0, 6.0),
        )
    ]


def test_components_molecules_and_layers():
    molfit = parse_molfit(TWO)
    hot, cold, other = molfit_components(molfit)
    assert molfit.molecules == ("CH3OH;v=0;", "CO-18;v=0;")
    assert [block.line for block in molfit.blocks] == [2, 6]
    assert [row.line for row in molfit.rows("CH3OH;v=0;")] == [3, 4]
    assert (hot.temperature.value, hot.column.value, hot.foreground) == (150.0, 3.2e16, False)
    assert (cold.temperature.value, cold.offset.value, cold.foreground) == (20.0, -1.5, True)
    assert (other.temperature.value, other.column.value) == (45.0, 2.5e15)
    assert (other.width.value, other.offset.value) == (3.1, 0.5)


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_line_ends_change_nothing_of_the_content(end):
    assert molfit_components(parse_molfit(TWO.replace(b"\n", end))) == molfit_components(parse_molfit(TWO))


def test_keyword_is_kept_and_shown():
    assert molfit_components(parse_molfit(VARIANTS["keyword"]))[0].keyword == "mykey"
    assert molfit_components(parse_molfit(VARIANTS["keyword of a fit"]))[0].keyword == "mykey"


def test_blocks_of_one_molecule_are_counted_through():
    molfit = parse_molfit(VARIANTS["molecule in two blocks"])
    assert len(molfit.rows("CH3OH;v=0;")) == 2
    changed = with_parameter(molfit, "CH3OH;v=0;", 2, "temperature", value=7.0)
    assert [item.temperature.value for item in molfit_components(changed)] == [100.0, 7.0]


def test_database_limits():
    assert parse_molfit(LIMITED).limits == DatabaseLimits(1, None, 2, 3000.0, 0.0)
    assert parse_molfit(PLAIN).limits == DatabaseLimits()
    other = LIMITED.replace(b"TransOrderSQL", b"OrderTransSQL")  # both are in use
    assert parse_molfit(other).limits.order == 2


def test_layer_distance_is_shown_but_not_taken_for_a_core():
    molfit = parse_molfit(VARIANTS["layer distance"])
    assert molfit.blocks[0].rows[0].component.distance == 1.5
    with pytest.raises(InputError, match=r"^molfit: molfit, line 2: .*layer at a distance of 1\.5"):
        molfit_components(molfit)


REFUSED = {
    "empty": (b"", "no molecule"),
    "comments only": (b"% nothing\n\n", "no molecule"),
    "eleven words": (b"CO;v=0; 1\ny 0.4 y 100 y 1e15 y 5 y 0 c\n", "line 2: 11 words"),
    "five words": (b"CO;v=0; 1\n100 1e15 5 0 c\n", "line 2: 5 words"),
    "nine words": (b"CO;v=0; 1\n1 100 1e15 5 0 c a b c\n", "line 2: 9 words"),
    "numbers behind the flag": (b"CO;v=0; 1\n1 100 1e15 5 0 c 3\n", "line 2: 'c' and '3'"),
    "seven numbers": (b"CO;v=0; 1\n1 100 1e15 5 0 1 3\n", "line 2: '1' and '3'"),
    "too few components": (PLAIN.replace(b"  1\n", b"  2\n"), "line 1: CH3OH;v=0; has 1 of 2"),
    "too many components": (PLAIN + b" 1 1 1 1 1 c\n", "line 3: 6 words, the first '1'"),
    "no component": (b"CO;v=0; 0\n", "line 1: '0' components"),
    "half a component": (b"CO;v=0; 1.5\n", r"line 1: '1\.5' components"),
    "a huge number of components": (b"CO;v=0; 999999999999\n1 1 1 1 1 c\n", "has 1 of 999999999999"),
    "number too long": (b"CO;v=0; " + b"9" * 5000 + b"\n1 1 1 1 1 c\n", "components"),
    "no number": (b"CO;v=0;\n1 100 1e15 5 0 c\n", "line 1: 1 words"),
    "no semicolon": (b"CO 1\n1 100 1e15 5 0 c\n", "line 1: 'CO' is no name"),
    "continuum block": (b"cont-dust 1\n1 2 3 4 5 c\n", "line 1: 'cont-dust' is no name"),
    "not a number": (b"CO;v=0; 1\n1 nan 1e15 5 0 c\n", "line 2: 'nan' for the temperature"),
    "infinite": (b"CO;v=0; 1\n1 100 1e999 5 0 c\n", "line 2: '1e999' for the column"),
    "underscores": (b"CO;v=0; 1\n1 1_00 1e15 5 0 c\n", "line 2: '1_00'"),
    "negative width": (b"CO;v=0; 1\n1 100 1e15 -5 0 c\n", "line 2: the width is -5"),
    "no temperature": (b"CO;v=0; 1\n1 0 1e15 5 0 c\n", "line 2: the temperature is 0"),
    "strange flag": (b"CO;v=0; 1\n1 100 1e15 5 0 x\n", "line 2: 'x' for the layer"),
    "strange fit flag": (FIT.replace(b"y 5 ", b"maybe 5 "), "line 2: 'maybe' for the fit flag"),
    "bounds the wrong way": (FIT.replace(b"y 5 300", b"y 300 5"), "bounds of the temperature are 300 and 5"),
    "value outside": (FIT.replace(b"300 100", b"300 400"), "the temperature is 400, outside"),
    "negative bound": (FIT.replace(b"y 0.5 20", b"y -1 20"), "lower bound of the width is -1"),
    "no bound": (FIT.replace(b"y 0.5 20", b"y a 20"), "'a' for the lower bound of the width"),
    "both forms": (PLAIN + FIT, "line 4: a component in the fit form, but line 2"),
    "zero byte": (b"CO;v=0; 1\n1 100\x00 1e15 5 0 c\n", "line 2: a zero byte"),
    "utf-16": (PLAIN.decode().encode("utf-16"), "a zero byte"),
    "no-break blank": ("CO;v=0; 1\n1\u00a0100 1e15 5 0 c\n".encode(), "line 2: 5 words"),
    "limit twice": (LIMITED + b"%%MingASQL = 1\n", "line 9: MingASQL is set a second time"),
    "limit without meaning": (LIMITED.replace(b"= 2", b"= many"), "line 3: 'many' for TransOrderSQL"),
    "two values of a limit": (LIMITED.replace(b"= 2", b"= 2 3"), "line 3: TransOrderSQL has more than one"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(data, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_molfit(data, "some.molfit")
    assert str(caught.value).startswith("molfit: some.molfit")


def test_fixed_parameters_may_have_any_bounds():
    data = FIT.replace(b"n -6 6 0", b"n 0 0 3.5")
    assert molfit_components(parse_molfit(data))[0].offset == P(3.5, False, 0.0, 0.0)


def test_value_at_its_rounded_bound_is_not_outside():
    data = FIT.replace(b"y 0.1 1.0 0.4", b"y 0.1 1.0 1.0001")
    assert molfit_components(parse_molfit(data))[0].source_size.value == 1.0001
    data = FIT.replace(b"n -6 6 0", b"y -6 0 1e-5")
    assert molfit_components(parse_molfit(data))[0].offset.value == 1e-5
    with pytest.raises(InputError, match=r"the offset is 0\.1, outside"):
        parse_molfit(FIT.replace(b"n -6 6 0", b"y -6 0 0.1"))
    with pytest.raises(InputError, match=r"the column is 1e\+09, outside"):
        parse_molfit(FIT.replace(b"1e21 1e15", b"1e21 1e9"))


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        ({"parameter": "temperature", "value": 55.0}, b"300 100 ", b"300 55.0 "),
        ({"parameter": "column", "value": 2.5e17}, b"1e21 1e15 ", b"1e21 2.5e+17 "),
        ({"parameter": "width", "fit": False}, b"y 0.5 20", b"n 0.5 20"),
        ({"parameter": "offset", "fit": True}, b"n -6 6", b"y -6 6"),
        ({"parameter": "source_size", "lower": 0.02}, b"y 0.1 ", b"y 0.02 "),
        ({"parameter": "source_size", "upper": 3}, b"0.1 1.0 ", b"0.1 3.0 "),
        ({"parameter": "source_size", "value": 0.4}, b"", b""),
    ],
)
def test_one_word_changes(change, old, new):
    changed = with_parameter(parse_molfit(FIT), "CH3OH;v=0;", 1, **change)
    assert changed.to_bytes() == FIT.replace(old, new, 1)


def test_foreground_is_one_word():
    changed = with_foreground(parse_molfit(TWO), "CH3OH;v=0;", 1, True)
    assert changed.to_bytes() == TWO.replace(b"0.1  c ", b"0.1  f ")
    assert with_foreground(changed, "CH3OH;v=0;", 1, False).to_bytes() == TWO


def test_fitted_values_go_into_their_places():
    molfit = parse_molfit(TWO)
    fitted = [
        replace(item, temperature=P(item.temperature.value * 2), offset=P(item.offset.value))
        for item in molfit_components(molfit)
    ]
    changed = with_components(molfit, fitted)
    assert molfit_components(changed) == fitted
    wanted = TWO.replace(b"150 ", b"300.0 ").replace(b" 20 ", b" 40.0 ").replace(b"45.", b"90.0")
    assert changed.to_bytes() == wanted


def test_fitted_values_must_belong_to_the_file():
    molfit = parse_molfit(TWO)
    with pytest.raises(InputError, match=r"^components: 1 "):
        with_components(molfit, molfit_components(molfit)[:1])
    with pytest.raises(InputError, match=r"^components: "):
        with_components(molfit, molfit_components(molfit)[::-1])
    fitted = [replace(item, width=P(5.0, True, 1.0, 9.0)) for item in molfit_components(molfit)]
    with pytest.raises(InputError, match=r"^components: .*the plain form has no place"):
        with_components(molfit, fitted)


@pytest.mark.parametrize(
    ("molecule", "component", "parameter", "message"),
    [
        ("SO;v=0;", 1, "width", "^molecule: "),
        ("CH3OH;v=0;", 2, "width", "^component: 2"),
        ("CH3OH;v=0;", 0, "width", "^component: 0"),
        ("CH3OH;v=0;", 1, "colour", "^parameter: "),
    ],
)
def test_there_must_be_something_to_change(molecule, component, parameter, message):
    with pytest.raises(InputError, match=message):
        with_parameter(parse_molfit(PLAIN), molecule, component, parameter, value=1.0)


def test_changes_are_checked():
    molfit = parse_molfit(FIT)
    with pytest.raises(InputError, match=r"line 2: the temperature is -1"):
        with_parameter(molfit, "CH3OH;v=0;", 1, "temperature", value=-1.0)
    with pytest.raises(InputError, match=r"outside of its bounds"):
        with_parameter(molfit, "CH3OH;v=0;", 1, "temperature", value=1e6)
    with pytest.raises(InputError, match=r"^value: nan"):
        with_parameter(molfit, "CH3OH;v=0;", 1, "temperature", value=float("nan"))
    with pytest.raises(InputError, match=r"plain form has no place"):
        with_parameter(parse_molfit(PLAIN), "CH3OH;v=0;", 1, "width", fit=True)


def test_component_is_added_below_its_molecule_and_taken_away_again():
    molfit = parse_molfit(TWO)
    new = MolfitComponent("CH3OH;v=0;", P(1.0), P(77.0), P(1e13), P(1.0), P(0.0), foreground=True)
    more = with_component(molfit, new)
    assert [item.temperature.value for item in molfit_components(more)] == [150.0, 20.0, 77.0, 45.0]
    assert len(more.text.lines) == len(molfit.text.lines) + 1
    assert without_component(more, "CH3OH;v=0;", 3).to_bytes() == TWO


def test_new_molecule_is_added_at_the_end_and_taken_away_again():
    data = TWO.rstrip(b"\n")
    new = MolfitComponent("SO;v=0;", P(1.0), P(77.0), P(1e13), P(1.0), P(0.0))
    more = with_component(parse_molfit(data), new)
    assert more.molecules[-1] == "SO;v=0;"
    assert not more.to_bytes().endswith(b"\n")
    assert without_component(more, "SO;v=0;", 1).to_bytes() == data + b"\n"


def test_last_component_of_all_stays():
    with pytest.raises(InputError, match=r"no molecule"):
        without_component(parse_molfit(PLAIN), "CH3OH;v=0;", 1)


def test_limits_are_set_in_place_or_at_the_top():
    molfit = parse_molfit(LIMITED)
    assert with_database_limit(molfit, "max_lower_energy", 500.0).to_bytes() == LIMITED.replace(
        b"3.000e+03", b"500.0"
    )
    filled = with_database_limit(molfit, "max_transitions", 40)
    assert filled.to_bytes() == LIMITED.replace(b"Max" + b"NumTransitionsSQL =", b"MaxNumTransitionsSQL = 40")
    assert filled.limits.max_transitions == 40
    assert (
        with_database_limit(parse_molfit(PLAIN), "min_g_a", 0.1).to_bytes() == b"%%MingASQL = 0.1\n" + PLAIN
    )
    assert with_database_limit(molfit, "order", None).limits.order is None
    with pytest.raises(InputError, match=r"^field: 'colour'"):
        with_database_limit(molfit, "colour", 1)
    with pytest.raises(InputError, match=r"^value: 1\.5 for order"):
        with_database_limit(molfit, "order", 1.5)


def test_new_file_holds_what_was_given():
    components = [
        MolfitComponent(
            "CH3OH;v=0;", P(0.4, True, 0.1, 1.0), P(100.0), P(1e15, True, 1e10, 1e21), P(5.0), P(0.0)
        ),
        MolfitComponent("CO-18;v=0;", P(2.0), P(45.0), P(3e16), P(5.0), P(0.1), foreground=True),
        MolfitComponent("CH3OH;v=0;", P(3.0), P(10.0), P(2e13), P(1.5), P(-0.25), keyword="mine"),
    ]
    limits = DatabaseLimits(min_transitions=1, max_lower_energy=3000.0)
    molfit = new_molfit(components, limits=limits, comments=["made by hand", "two\nlines"])
    assert molfit.form == "fit"
    assert molfit.limits == limits
    assert molfit.molecules == ("CH3OH;v=0;", "CO-18;v=0;")
    read = molfit_components(parse_molfit(molfit.to_bytes()))
    wanted = [components[0], components[2], components[1]]
    assert [(c.molecule, c.foreground, c.keyword) for c in read] == [
        (c.molecule, c.foreground, c.keyword) for c in wanted
    ]
    for name in ("source_size", "temperature", "column", "width", "offset"):
        for got, given in zip(read, wanted, strict=True):
            new, old = got.parameters[name], given.parameters[name]
            assert (new.value, new.fit) == (old.value, old.fit)
            if old.fit:
                assert (new.lower, new.upper) == (old.lower, old.upper)
    assert b"% made by hand\n% two\n% lines\n" in molfit.to_bytes()


def test_new_file_writes_column_densities_with_an_exponent():
    component = MolfitComponent("CO;v=0;", P(1.0), P(100.0), P(1e15), P(5.0), P(-0.5))
    lines = new_molfit([component]).to_bytes().decode().splitlines()
    assert lines[-2] == "CO;v=0;  1"
    assert lines[-1].split() == ["1.0", "100.0", "1.0e+15", "5.0", "-0.5", "c"]


def test_new_file_needs_a_size_where_the_source_fills_the_beam():
    component = MolfitComponent("CO;v=0;", None, P(100.0), P(1e15), P(5.0), P(0.0))
    with pytest.raises(InputError, match=r"^extended_size: .*CO;v=0;"):
        new_molfit([component])
    written = molfit_components(new_molfit([component], extended_size=500.0))
    assert written[0].source_size == P(500.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"molecule": "CO;v=0;\nSO;v=0;"}, "^components: .*no name"),
        ({"molecule": "CO"}, "^components: 'CO' is no name"),
        ({"keyword": "two words"}, "^components: the keyword"),
        ({"keyword": "7"}, "^components: the keyword"),
        ({"width": P(5.0, fit=True)}, "^components: the width of .* no bounds"),
        ({"width": P(-5.0)}, "the width is -5"),
        ({"column": P(float("inf"))}, "^value: inf"),
    ],
)
def test_new_file_refuses_what_it_could_not_read_back(change, message):
    component = MolfitComponent("CO;v=0;", P(1.0), P(100.0), P(1e15), P(5.0), P(0.0))
    with pytest.raises(InputError, match=message):
        new_molfit([replace(component, **change)])


def test_new_file_needs_a_component():
    with pytest.raises(InputError, match=r"^components: none"):
        new_molfit([])


def test_files_are_read_and_never_overwritten_by_accident(tmp_path):
    path = tmp_path / "a.molfit"
    molfit = parse_molfit(VARIANTS["windows"])
    write_bytes(molfit.to_bytes(), path)
    assert read_molfit(path).to_bytes() == VARIANTS["windows"]
    with pytest.raises(OutputExistsError, match=r"^overwrite: "):
        write_bytes(b"", path)
    write_bytes(PLAIN, path, overwrite=True)
    assert path.read_bytes() == PLAIN
    with pytest.raises(InputError, match=r"^molfit: there is no file at .*b\.molfit"):
        read_molfit(tmp_path / "b.molfit")
    with pytest.raises(InputError, match=r"^molfit: there is no file"):
        read_molfit(tmp_path)


def test_letters_that_the_file_cannot_hold_are_refused():
    molfit = parse_molfit(VARIANTS["latin-1 comment"])
    assert molfit.text.encoding == "latin-1"
    component = MolfitComponent("CO;v=0;", P(1.0), P(9.0), P(1e15), P(5.0), P(0.0), keyword="\u03bc")
    with pytest.raises(InputError, match=r"^molfit: molfit: '\\u03bc' cannot be written in latin-1"):
        with_component(molfit, component).to_bytes()
