"""Laws of the documents: what is written is read, one change is one word, chains are products, trees are trees."""

import re
from xml.etree import ElementTree

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spectuner_ext.xclass import (
    Algorithm,
    FrequencyRange,
    IsoRatio,
    MolfitComponent,
    MolfitParameter,
    ObservationFile,
    isotopologue_columns,
    molfit_components,
    new_algorithm_xml,
    new_ascii_data,
    new_iso_ratios,
    new_molfit,
    new_observation_xml,
    parse_algorithm_xml,
    parse_ascii_data,
    parse_iso_ratios,
    parse_molfit,
    parse_observation_xml,
    with_datum,
    with_file_value,
    with_parameter,
    with_range_value,
    with_ratio,
)
from spectuner_ext.xclass.number_text import parse_number, plain_text, scientific_text
from spectuner_ext.xclass.xml_document import parse_xml
from spectuner_ext.xclass.xml_edit import with_child, with_text, without_element

few = settings(max_examples=60, deadline=None)

positive = st.floats(1e-6, 1e22)
any_number = st.floats(-1e6, 1e6)
names = st.from_regex(r"[A-Z][A-Za-z0-9-]{0,7};(v[0-9]?=[0-9];)?", fullmatch=True)
blanks = st.text(" \t", min_size=1, max_size=4)
line_ends = st.sampled_from(["\n", "\r\n", "\r"])
comments = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12).map(
    lambda t: "%" + t
)
words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=8)


@st.composite
def parameters(draw, values, lowest):
    lower, value, upper = sorted(draw(st.lists(values, min_size=3, max_size=3, unique=True)))
    return MolfitParameter(value, draw(st.booleans()), max(lower, lowest), upper)


@st.composite
def components(draw):
    return MolfitComponent(
        draw(names),
        *[draw(parameters(positive, 0.0)) for _ in range(4)],
        draw(parameters(any_number, -1e6)),
        foreground=draw(st.booleans()),
        keyword=draw(st.none() | st.sampled_from(["key", "x=1", "ä"])),
    )


def plain(component):
    """Same component without flags and bounds."""
    fields = {name: MolfitParameter(item.value) for name, item in component.parameters.items()}
    return MolfitComponent(
        component.molecule, **fields, foreground=component.foreground, keyword=component.keyword
    )


def row_of(component, form):
    """Words of a line, written by hand with Python's own digits."""
    line = []
    for item in component.parameters.values():
        line += ["y" if item.fit else "n", repr(item.lower), repr(item.upper)] if form == "fit" else []
        line.append(repr(item.value))
    line.append("f" if component.foreground else "c")
    return line if component.keyword is None else [*line, component.keyword]


@st.composite
def molfit_texts(draw):
    """A file in any spacing, and what it holds."""
    form = draw(st.sampled_from(["plain", "fit"]))
    blocks = draw(st.lists(st.lists(components(), min_size=1, max_size=3), min_size=1, max_size=3))
    held, text = [], ""

    def line(items):
        gaps = [draw(st.sampled_from(["", " ", "\t"])), *[draw(blanks) for _ in items[1:]]]
        body = "".join(gap + word for gap, word in zip(gaps, items, strict=True))
        tail = draw(st.sampled_from(["", "  ", "\t"])) + draw(st.just("") | comments)
        return body + tail + draw(line_ends)

    for block in blocks:
        name = block[0].molecule
        block = [MolfitComponent(name, **item.parameters, foreground=item.foreground, keyword=item.keyword)
                 for item in block]  # fmt: skip
        held += [plain(item) if form == "plain" else item for item in block]
        text += draw(st.sampled_from(["", "\n", " \t\r\n"])) + draw(
            st.just("") | comments.map(lambda c: c + "\n")
        )
        text += line([name, str(len(block))])
        text += "".join(line(row_of(item, form)) for item in block)
    return (text if draw(st.booleans()) else text.rstrip("\r\n")), held


def pieces(data):
    """Words, gaps and line ends of a file."""
    return re.split(r"(\s+)", data.decode())


@few
@given(molfit_texts())
def test_molfit_is_read_as_it_was_written(case):
    text, held = case
    molfit = parse_molfit(text.encode())
    assert molfit_components(molfit) == held
    assert molfit.to_bytes() == text.encode()


@few
@given(molfit_texts(), st.data())
def test_one_change_of_a_molfit_is_one_word(case, data):
    text, held = case
    molfit = parse_molfit(text.encode())
    name = data.draw(st.sampled_from(list(molfit.molecules)))
    number = data.draw(st.integers(1, len(molfit.rows(name))))
    parameter = data.draw(st.sampled_from(["source_size", "temperature", "column", "width", "offset"]))
    old = molfit.rows(name)[number - 1].component.parameters[parameter]
    value = old.value if old.lower is None else (old.lower + old.upper) / 2
    value = value * 1.5 + 1e-3 if old.lower is None else value
    changed = with_parameter(molfit, name, number, parameter, value=value)
    differing = [
        (a, b) for a, b in zip(pieces(text.encode()), pieces(changed.to_bytes()), strict=True) if a != b
    ]
    assert len(differing) == (value != old.value)
    assert all(float(a) == old.value and float(b) == value for a, b in differing)
    back = with_parameter(changed, name, number, parameter, value=old.value)
    assert molfit_components(back) == held


@few
@given(st.lists(components(), min_size=1, max_size=5), st.booleans())
def test_new_molfit_holds_its_components(given_components, with_fit):
    held = given_components if with_fit else [plain(item) for item in given_components]
    molfit = new_molfit(held, form="fit" if with_fit else None)
    order = list(dict.fromkeys(item.molecule for item in held))
    assert molfit_components(molfit) == sorted(held, key=lambda item: order.index(item.molecule))


@settings(max_examples=200, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back_exactly(value):
    assert parse_number(plain_text(value)) == value
    assert parse_number(scientific_text(value)) == value
    assert parse_number(repr(value)) == value


@few
@given(
    st.lists(st.tuples(st.floats(0.01, 1e5), st.integers(0, 99)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_chains_of_isotopologues_are_products(links, random):
    # Species i + 1 follows one of the species 0 ... i, so that there is no circle; 0 has a column density.
    parent = {i + 1: (at % (i + 1), ratio) for i, (ratio, at) in enumerate(links)}
    ratios = [IsoRatio(f"S{i};", f"S{up};", ratio) for i, (up, ratio) in parent.items()]
    random.shuffle(ratios)
    found = isotopologue_columns(new_iso_ratios(ratios), {"S0;": 1e18})

    def column(i):
        return 1e18 if i == 0 else column(parent[i][0]) / parent[i][1]

    assert found.keys() == {f"S{i};" for i in parent}
    for i in parent:
        np.testing.assert_allclose(found[f"S{i};"], column(i), rtol=1e-13)


@few
@given(
    st.lists(st.tuples(names, names, st.floats(0.01, 1e5)), max_size=6, unique_by=lambda r: r[0]), st.data()
)
def test_one_change_of_an_iso_ratio_is_one_word(rows, data):
    rows = [row for row in rows if row[0] != row[1]]
    text = "".join(
        data.draw(st.sampled_from(["", "\n", "% note\r\n"]))
        + data.draw(blanks).join([a, b, repr(ratio)])
        + data.draw(st.just("") | comments)
        + data.draw(line_ends)
        for a, b, ratio in rows
    )
    table = parse_iso_ratios(text.encode())
    assert [(r.isotopologue, r.master, r.ratio) for r in table.ratios] == rows
    assert table.to_bytes() == text.encode()
    if rows:
        name, _, old = data.draw(st.sampled_from(rows))
        before, after = pieces(text.encode()), pieces(with_ratio(table, name, old * 3).to_bytes())
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


xml_texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=8)


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


xml_trees = st.recursive(
    st.tuples(st.sampled_from("abc"), xml_texts).map(lambda t: f"<{t[0]}>{escaped(t[1])}</{t[0]}>")
    | st.sampled_from(["<d/>", "<d />", "<!-- <a> -->", "<?p q?>", "<![CDATA[<a>]]>", "\n  ", "\r\n"]),
    lambda inner: st.tuples(st.sampled_from("abc"), st.lists(inner, max_size=4)).map(
        lambda t: f"<{t[0]}>{''.join(t[1])}</{t[0]}>"
    ),
    max_leaves=10,
).map(lambda body: f"<?xml version='1.0' encoding='utf-8'?>\n<root>{body}</root>\n<!-- end -->")


def shape(element):
    """Tags and texts as nested tuples, with all texts of an element joined."""
    text = (element.text or "") + "".join(child.tail or "" for child in element)
    return element.tag, text, tuple(shape(child) for child in element)


def our_shape(element):
    return element.tag, element.text, tuple(our_shape(child) for child in element.children)


@few
@given(xml_trees)
def test_xml_is_read_as_the_standard_library_reads_it(text):
    document = parse_xml(text.encode(), "infile", "a.xml")
    assert document.to_bytes() == text.encode()
    assert our_shape(document.root) == shape(ElementTree.fromstring(text.encode()))


@few
@given(xml_trees, xml_texts, st.data())
def test_one_change_of_an_xml_is_one_text(text, new, data):
    document = parse_xml(text.encode(), "infile", "a.xml")
    leaves = [e for e in document.root.walk() if not e.children and len(e.texts) < 2]
    leaves = [e for e in leaves if not any(piece.verbatim for piece in e.texts)]
    if not leaves:
        return
    at = data.draw(st.integers(0, len(leaves) - 1))
    changed = with_text(document, leaves[at], new.strip())
    before, after = list(document.root.walk()), list(changed.root.walk())
    assert [e.tag for e in before] == [e.tag for e in after]
    touched = before.index(leaves[at])
    assert after[touched].text.strip() == new.strip()
    assert [e.text for e in before[:touched]] == [e.text for e in after[:touched]]
    assert [e.text for e in before[touched + 1 :]] == [e.text for e in after[touched + 1 :]]
    pattern = rb"<!--.*?-->|<\?.*?\?>"
    assert re.findall(pattern, document.source) == re.findall(pattern, changed.source)


@few
@given(xml_trees, st.data())
def test_added_element_is_taken_away_without_a_trace(text, data):
    document = parse_xml(text.encode(), "infile", "a.xml")
    parents = [e for e in document.root.walk() if e.children]
    if not parents:
        return
    at = data.draw(st.integers(0, len(parents) - 1))
    more = with_child(document, parents[at], ["<new>1</new>"])
    (added,) = [e for e in more.root.walk() if e.tag == "new"]
    assert without_element(more, added).to_bytes() == document.to_bytes()


ranges = st.builds(
    lambda low, width, **rest: FrequencyRange(low, low + width, **rest),
    st.floats(1e3, 1e6),
    st.floats(1.0, 1e5),
    step=st.none() | st.floats(1e-3, 10),
    t_back_flag=st.none() | st.booleans(),
    background_temperature=st.none() | any_number,
    hydrogen_column=st.none() | positive,
    others=st.lists(st.tuples(st.just("Other"), words), max_size=2).map(tuple),
)
observation_files = st.builds(
    ObservationFile,
    words,
    st.lists(ranges, min_size=1, max_size=2).map(tuple),
    import_filter=st.none() | words,
    v_lsr=st.none() | any_number,
    telescope_size=st.none() | positive,
    interferometer=st.none() | st.booleans(),
    error_column=st.none() | st.booleans(),
    header_lines=st.none() | st.integers(0, 1000),
    separator=st.none() | st.sampled_from([" ", ",", "\t", ";"]),
)


@few
@given(st.lists(observation_files, min_size=1, max_size=3), st.none() | words)
def test_new_observation_file_holds_what_was_given(files, table):
    read = parse_observation_xml(new_observation_xml(files, iso_table=table).to_bytes())
    assert read.files == tuple(files)
    assert (read.iso_table, read.iso_flag) == (table, table is not None)


@few
@given(st.lists(observation_files, min_size=1, max_size=3), st.data())
def test_one_change_of_an_observation_file_is_one_line(files, data):
    observation = new_observation_xml(files)
    file = data.draw(st.integers(0, len(files) - 1))
    if data.draw(st.booleans()):
        changed = with_file_value(observation, file, "path", "changed.dat")
    else:
        changed = with_range_value(observation, file, 0, "minimum", files[file].ranges[0].minimum / 2)
    before, after = observation.to_bytes().splitlines(), changed.to_bytes().splitlines()
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


@few
@given(
    st.lists(
        st.builds(
            Algorithm,
            words,
            n_iteration=st.none() | st.integers(1, 10**6),
            chi2_limit=st.none() | positive,
            save_chi2=st.none() | st.booleans(),
            plot_axis_x=st.none() | words,
            options=st.lists(st.tuples(st.sampled_from(["UseNewRange", "Own"]), words), max_size=2).map(
                tuple
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_new_algorithm_file_holds_what_was_given(chain):
    assert parse_algorithm_xml(new_algorithm_xml(chain).to_bytes()).algorithms == tuple(chain)


@few
@given(
    st.lists(st.floats(1e3, 1e6), min_size=1, max_size=20, unique=True),
    st.booleans(),
    st.sampled_from([" ", "\t", ",", ";"]),
    st.integers(0, 3),
    st.data(),
)
def test_data_are_read_as_they_were_written(frequency, descending, separator, n_header, data):
    frequency = np.array(sorted(frequency, reverse=descending))
    temperature = np.array(data.draw(st.lists(any_number, min_size=len(frequency), max_size=len(frequency))))
    rows = [f"{f!r}{separator}{t!r}" for f, t in zip(frequency.tolist(), temperature.tolist(), strict=True)]
    text = "\n".join(["header", "of", "the file"][:n_header] + rows).encode()
    read = parse_ascii_data(text, header_lines=n_header, separator=separator)
    assert read.to_bytes() == text
    assert_array_equal(read.frequency, frequency)
    assert_array_equal(read.temperature, temperature)
    again = parse_ascii_data(new_ascii_data(frequency, temperature).to_bytes())
    assert_array_equal(again.frequency, frequency)
    assert_array_equal(again.temperature, temperature)
    channel = data.draw(st.integers(0, len(frequency) - 1))
    changed = with_datum(read, channel, "temperature", 2e6).to_bytes()
    differing = [
        i for i, (a, b) in enumerate(zip(text.splitlines(), changed.splitlines(), strict=True)) if a != b
    ]
    assert differing == [n_header + channel]
