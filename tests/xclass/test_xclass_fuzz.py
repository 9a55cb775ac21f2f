"""Broken files: an error that names file and line, or a document that writes the same bytes and makes sense."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectuner_ext.errors import InputError
from spectuner_ext.xclass import (
    isotopologue_columns,
    molfit_components,
    parse_algorithm_xml,
    parse_ascii_data,
    parse_chi2_log,
    parse_iso_ratios,
    parse_molfit,
    parse_observation_xml,
    parse_transitions,
)

MOLFIT = b"""\
%%MaxElowSQL = 3e3 % K
CH3OH;v=0;  2  % two
 0.8  150  3.2e16   6.5   0.1  c
 5.0   20  1.0E+14  2.0  -1.5  f key

CO-18;v=0;  1
 2.5   45. 2.5d15  +3.1   .5   c"""
MOLFIT_FIT = b"C;v=0; 1\r\ny 0.1 1 0.4\ty 5 300 100  y 1e10 1e21 1e15 y .5 20 5  n -6 6 0  c\r\n"
ISO = b"% ratios\nC-13-O;v=0; CO;v=0; 60\nC-13-O-18;v=0; CO-18;v=0; 60 30 90\nCO-18;v=0; CO;v=0; 500\n"
DATA = b"MHz K K\n230000.0  0.5 .02\n230000.5 -0.25\t.03 # ?\n230001.0  1e-3  4\n"
OBSERVATION = b"""\
<?xml version="1.0" encoding="UTF-8"?>
<ExpFiles><!-- one -->
 <NumberExpFiles>1</NumberExpFiles>
 <file>
  <FileNamesExpFiles>a.dat</FileNamesExpFiles>
  <FrequencyRange><MinExpRange>219.5e3</MinExpRange><MaxExpRange>219600.0</MaxExpRange></FrequencyRange>
  <TelescopeSize>0.33</TelescopeSize><ErrorY>no</ErrorY><SeparatorColumns> </SeparatorColumns>
 </file>
</ExpFiles>
"""
ALGORITHM = (
    b"<FitControl>\n<algorithm><FitAlgorithm>LM</FitAlgorithm><number_iterations>50</number_iterations>"
    b"</algorithm></FitControl>\n"
)
TRANSITIONS = b"% table\n115271.2 115270.1 12.5 60.1 0.0 3 7.2e-08 J=1; J=0; CO;v=0;\n"
LOG = b"n chi2 T\n1 250.5 100\n2 101.5 90\n"


def text_of(data):
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def lines_of(data):
    """Words of the lines with any, before ``%``, by another way than that of the package."""
    bodies = (re.sub("%.*", "", body, flags=re.DOTALL) for body in re.split("\r\n|\r|\n", text_of(data)))
    return [found for found in (re.findall(r"[^ \t\v\f]+", body) for body in bodies) if found]


def check_molfit(data):
    molfit = parse_molfit(data)
    components = [row.component for block in molfit.blocks for row in block.rows]
    lines = lines_of(data)
    heads = [words for words in lines if len(words) == 2]
    assert [block.name for block in molfit.blocks] == [words[0] for words in heads]
    assert len(components) == sum(int(words[1]) for words in heads) == len(lines) - len(heads)
    for component in components:
        for name, item in component.parameters.items():
            assert math.isfinite(item.value)
            assert item.value > 0 or name == "offset"
            if item.fit:
                assert math.isfinite(item.lower)
                assert math.isfinite(item.upper)
                assert item.lower < item.upper
    if all(component.distance is None for component in components):
        assert molfit_components(molfit) == components
    return molfit


def check_iso(data):
    table = parse_iso_ratios(data)
    assert len(table.ratios) == len(lines_of(data))
    assert all(0 < item.ratio < math.inf for item in table.ratios)
    assert all(item.lower is None or 0 < item.lower <= item.upper < math.inf for item in table.ratios)
    try:
        columns = isotopologue_columns(table, {"CO;v=0;": 1e18})
    except InputError as error:
        message = str(error)
    else:
        assert all(0 <= column < math.inf for column in columns.values())
        return table
    assert message.startswith("iso_ratios: ")
    return table


def check_data(data):
    read = parse_ascii_data(data)
    steps = [b - a for a, b in zip(read.frequency[:-1], read.frequency[1:], strict=True)]
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)
    assert all(0 < value < math.inf for value in read.frequency)
    assert all(math.isfinite(value) for value in read.temperature)
    assert read.error is None or all(0 < value < math.inf for value in read.error)
    return read


def check_observation(data):
    read = parse_observation_xml(data)
    theirs = ElementTree.fromstring(text_of(data)).findall("file")
    assert [file.path for file in read.files] == [
        "".join(item.find("FileNamesExpFiles").itertext()).strip() for item in theirs
    ]
    assert read.files
    for file in read.files:
        assert file.path.strip()
        assert file.ranges
        assert file.telescope_size is None or 0 < file.telescope_size < math.inf
        assert all(0 < item.minimum < item.maximum < math.inf for item in file.ranges)
    return read


def check_algorithm(data):
    read = parse_algorithm_xml(data)
    assert all(item.name.strip() for item in read.algorithms)
    assert all(item.n_iteration is None or item.n_iteration > 0 for item in read.algorithms)
    return read


def check_transitions(data):
    for item in parse_transitions(data):
        assert 0 < item.frequency < math.inf
        assert 0 < item.shifted_frequency < math.inf
        assert 0 < item.upper_degeneracy < math.inf
        assert 0 <= item.einstein_a < math.inf
        assert math.isfinite(item.intensity + item.integrated_intensity + item.lower_energy)
        assert ";" in item.molecule


def check_log(data):
    log = parse_chi2_log(data, 1)
    assert len(log.chi2) == len(log.parameters) > 0
    assert all(0 <= value < math.inf for value in log.chi2)


FORMATS = {
    "molfit": (MOLFIT, check_molfit, "molfit: "),
    "molfit of a fit": (MOLFIT_FIT, check_molfit, "molfit: "),
    "iso ratios": (ISO, check_iso, "iso_ratios: "),
    "data": (DATA, check_data, "ascii_data: "),
    "observation": (OBSERVATION, check_observation, "observation_xml: "),
    "algorithm": (ALGORITHM, check_algorithm, "algorithm_xml: "),
    "transitions": (TRANSITIONS, check_transitions, "transitions: "),
    "chi2 log": (LOG, check_log, "chi2_log: "),
}
WHOLE_FILE = ("no molecule in it", "no row of numbers", "rows with", "more than")  # errors of no single line


def refused_or_kept(name, data):
    """Whether the file is read; an error must say where, and a document must give the bytes back."""
    _, check, kind = FORMATS[name]
    try:
        document = check(data)
    except InputError as error:
        message = str(error)
        assert message.startswith(kind)
        assert "\n" not in message
        place = re.search(r", line ([0-9]+): ", message)
        if place:
            assert 1 <= int(place[1]) <= len(re.findall(rb"\r\n|\r|\n", data)) + 1
        else:
            assert any(part in message for part in WHOLE_FILE), message
        return False
    if document is not None:
        assert document.to_bytes() == data
    return True


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_that_are_broken_here_are_whole(name):
    assert refused_or_kept(name, FORMATS[name][0])


@pytest.mark.parametrize("name", FORMATS)
def test_every_beginning_of_a_file(name):
    data = FORMATS[name][0]
    results = [refused_or_kept(name, data[:n]) for n in range(len(data))]
    assert not all(results) or name == "transitions"  # a table may end after any row


@pytest.mark.parametrize("name", FORMATS)
def test_every_byte_missing(name):
    data = FORMATS[name][0]
    for n in range(len(data)):
        refused_or_kept(name, data[:n] + data[n + 1 :])


@pytest.mark.parametrize("name", FORMATS)
def test_every_byte_replaced(name):
    data = FORMATS[name][0]
    for n in range(len(data)):
        for new in (b"-", b"\n", b"%"):
            refused_or_kept(name, data[:n] + new + data[n + 1 :])


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes(name, data):
    refused_or_kept(name, data)


WORDS = [b"nan", b"-inf", b"1e999", b"0", b"-1", b"9" * 400, b"y", b"c", b"%", b"\x00", b"\xff", b"\r", b"\n", b" ",
         b"CO;v=0;", b"<a>", b"</file>", b"<!--", b"<![CDATA[", b"&lt;", b"&x;", b"<!DOCTYPE a>", b"]]>",
         "µ\u2028".encode(), b"1_0", "٣".encode(), b"1d400", b"99999999999999999999"]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_mutated_files(name, data):
    broken = FORMATS[name][0]
    for _ in range(data.draw(st.integers(1, 4))):
        a, b = sorted((data.draw(st.integers(0, len(broken))), data.draw(st.integers(0, len(broken)))))
        match data.draw(st.sampled_from(["insert", "word", "cut", "double", "swap"])):
            case "insert":
                broken = broken[:a] + data.draw(st.sampled_from(WORDS)) + broken[a:]
            case "word":  # in the place of a whole one
                places = [m.span() for m in re.finditer(rb"[^\s<>]+", broken)] or [(0, 0)]
                start, stop = data.draw(st.sampled_from(places))
                broken = broken[:start] + data.draw(st.sampled_from(WORDS)) + broken[stop:]
            case "cut":
                broken = broken[:a] + broken[b:]
            case "double":
                broken = broken[:b] + broken[a:]
            case "swap":
                broken = broken[b:] + broken[:a]
    refused_or_kept(name, broken)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("molfit", b"CO;v=0; 1\n" + b"1 " * 200_000),
        ("molfit", b"CO;v=0; 1\n" + b"1" * 1_000_000 + b" 1 1 1 1 c"),
        ("molfit", b"%%" + b"SQL" * 300_000 + b"\n"),
        ("molfit", b"\t" * 1_000_000),
        ("iso ratios", b"".join(b"A%d; A%d; 2\n" % (i, i + 1) for i in range(20_000))),
        ("iso ratios", b"".join(b"A%d; A%d; 2\n" % (i, (i + 1) % 20_000) for i in range(20_000))),
        ("data", b"1" * 1_000_000),
        ("data", b"1 1\n" + b" " * 1_000_000 + b"x"),
        ("data", b"1 1\n1" + b" 1" * 300_000),
        ("data", b"1 1\n" + b"1" * 1_000_000),
        ("observation", b"<a>" * 300_000),
        ("observation", b"<?xml " + b"encoding " * 100_000),
        ("observation", b"<a" + b"".join(b" b%d=''" % i for i in range(50_000)) + b"/>"),
        ("observation", b"<ExpFiles>" + b"&amp;" * 300_000),
        ("algorithm", b"<FitControl>" + b"<!--" * 300_000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_long_nonsense_is_refused_without_thinking_long(name, data):
    # Each of these takes minutes where an expression or a loop goes over the file once per character.
    assert not refused_or_kept(name, data) or name == "iso ratios"
