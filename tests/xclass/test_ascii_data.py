"""ASCII data: hand-written variants of headers, separators, orders and errors; one number changed at a time."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.xclass import new_ascii_data, parse_ascii_data, read_ascii_data, with_datum

TWO = b"230000.0  0.5\n230000.5  -0.25\n230001.0  1e-3\n"
THREE = b"230000.0  0.5  0.02\n230000.5  -0.25 0.03\n230001.0  1e-3 .01\n"
HEADED = b"spectrum of a star, 2 columns\n frequency [MHz]  T [K]\n" + TWO

VARIANTS = {
    "two columns": (TWO, {}),
    "three columns": (THREE, {}),
    "errors asked for": (THREE, {"error_column": True}),
    "errors not used": (THREE, {"error_column": False}),
    "header counted": (HEADED, {"header_lines": 2}),
    "header found": (HEADED, {}),
    "header of numbers": (b"1 2 3\n" + TWO, {"header_lines": 1}),
    "commas": (THREE.replace(b"  ", b" ").replace(b" ", b","), {"separator": ","}),
    "commas and blanks": (TWO.replace(b"  ", b" ,  "), {"separator": ","}),
    "semicolons": (TWO.replace(b"  ", b";"), {"separator": ";"}),
    "tabs": (TWO.replace(b"  ", b"\t"), {"separator": "\t"}),
    "blank as separator": (TWO, {"separator": " "}),
    "windows": (TWO.replace(b"\n", b"\r\n"), {}),
    "old macintosh": (TWO.replace(b"\n", b"\r"), {}),
    "no line end at the end": (TWO.rstrip(b"\n"), {}),
    "blank lines and comments": (b"\n% a\n" + TWO.replace(b"\n", b" \t\n\n# b\n"), {}),
    "comment behind numbers": (TWO.replace(b"0.5\n", b"0.5 # bad?\n"), {}),
    "latin-1 header": (b"gr\xfcn\n" + TWO, {"header_lines": 1}),
    "utf-8 header": ("grün\n".encode() + TWO, {"header_lines": 1}),
    "byte-order mark": (b"\xef\xbb\xbf" + TWO, {}),
    "one channel": (b"230000 1", {}),
    "exponents": (b"2.3d5 1D+00\n2.4E5 2\n", {}),
}


@pytest.mark.parametrize(("data", "options"), VARIANTS.values(), ids=VARIANTS)
def test_untouched_file_keeps_its_bytes(data, options):
    assert parse_ascii_data(data, **options).to_bytes() == data


NAMED = [name for name in VARIANTS if name not in ("one channel", "exponents")]


@pytest.mark.parametrize("name", NAMED)
def test_variants_hold_the_same_spectrum(name):
    data, options = VARIANTS[name]
    read = parse_ascii_data(data, **options)
    assert_array_equal(read.frequency, [230000.0, 230000.5, 230001.0])
    assert_array_equal(read.temperature, [0.5, -0.25, 1e-3])
    assert all(str(read.frequency[i]) in read.text.lines[line - 1].body for i, line in enumerate(read.lines))
    if "0.02" in data.decode("latin-1") and options.get("error_column", True):
        assert_array_equal(read.error, [0.02, 0.03, 0.01])
    else:
        assert read.error is None


def test_exponents_of_fortran():
    read = parse_ascii_data(VARIANTS["exponents"][0])
    assert_array_equal(read.frequency, [2.3e5, 2.4e5])
    assert_array_equal(read.temperature, [1.0, 2.0])


def test_descending_order_is_kept():
    data = b"3 1\n2 2\n1 3\n"
    assert_array_equal(parse_ascii_data(data).frequency, [3, 2, 1])


REFUSED = {
    "empty": (b"", {}, "no row of numbers"),
    "header only": (b"a\nb\n", {}, "no row of numbers"),
    "nan": (TWO.replace(b"-0.25", b"nan"), {}, "line 2: '230000.5  nan' is no row"),
    "infinite": (TWO.replace(b"-0.25", b"1e999"), {}, "line 2: a number too large"),
    "one column": (TWO.replace(b"  -0.25", b""), {}, "line 2: '230000.5' is no row"),
    "four columns": (THREE.replace(b"0.03", b"0.03 1"), {}, "line 2: .* is no row of two or three"),
    "text below": (TWO + b"end of file\n", {}, "line 4: 'end of file'"),
    "another number of columns": (TWO + b"230002 1 2\n", {}, "line 4: another number of columns"),
    "out of order": (TWO + b"230000.7 1\n", {}, "line 4: the frequency 230000.700000 MHz is out of order"),
    "twice": (TWO + b"230001 1\n", {}, "line 4: the frequency 230001"),
    "twice at once": (b"1 1\n1 1\n", {}, "line 2: the frequency 1"),
    "negative frequency": (b"-1 1\n", {}, "line 1: the frequency -1"),
    "negative error": (THREE.replace(b"0.03", b"-0.03"), {}, r"line 2: the error -0\.03"),
    "no error": (THREE.replace(b"0.03", b"0"), {}, "line 2: the error 0 K"),
    "errors asked for": (TWO, {"error_column": True}, "line 1: two columns"),
    "header not counted": (HEADED, {"header_lines": 1}, "line 2: ' frequency"),
    "other separator": (TWO, {"separator": ","}, "no row of numbers"),
    "other separator, counted": (TWO, {"separator": ",", "header_lines": 0}, "line 1: '230000.0  0.5' is no row"),
    "empty column": (TWO.replace(b"  ", b",,"), {"separator": ",", "header_lines": 0}, "line 1: "),
    "zero byte": (b"1 2\n2\0 3\n", {}, "line 2: a zero byte"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_spectrum_is_refused(data, options, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_ascii_data(data, "a.dat", **options)
    assert str(caught.value).startswith("ascii_data: a.dat")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"header_lines": 4}, "^header_lines: 4"),
        ({"header_lines": -1}, "^header_lines: -1"),
        ({"separator": "ab"}, "^separator: 'ab'"),
        ({"separator": "."}, r"^separator: '\.'"),
    ],
)
def test_options_must_make_sense(options, message):
    with pytest.raises(InputError, match=message):
        parse_ascii_data(TWO, **options)


@pytest.mark.parametrize(("data", "options"), VARIANTS.values(), ids=VARIANTS)
def test_one_number_changes(data, options):
    read = parse_ascii_data(data, **options)
    changed = with_datum(read, 0, "temperature", 77.25)
    assert changed.temperature[0] == 77.25
    assert_array_equal(changed.temperature[1:], read.temperature[1:])
    assert_array_equal(changed.frequency, read.frequency)
    old, new = read.to_bytes(), changed.to_bytes()
    at = new.index(b"77.25")
    assert old[:at] == new[:at]
    assert old.endswith(new[at + 5 :])
    assert with_datum(changed, 0, "temperature", read.temperature[0]).temperature[0] == read.temperature[0]


def test_changes_are_checked():
    read = parse_ascii_data(THREE)
    with pytest.raises(InputError, match=r"^channel: 3"):
        with_datum(read, 3, "temperature", 1.0)
    with pytest.raises(InputError, match=r"^column: 'colour'"):
        with_datum(read, 0, "colour", 1.0)
    with pytest.raises(InputError, match=r"^column: 'error'"):
        with_datum(parse_ascii_data(TWO), 0, "error", 1.0)
    with pytest.raises(InputError, match=r"out of order"):
        with_datum(read, 0, "frequency", 3e5)
    with pytest.raises(InputError, match=r"line 1: the error -1"):
        with_datum(read, 0, "error", -1.0)


def test_new_file_reads_back_exactly(tmp_path):
    rng = np.random.default_rng(5)
    frequency = 230e3 + np.arange(200) * 0.0488281
    temperature, error = rng.normal(size=200) * 1e-3, rng.uniform(1e-9, 1e9, 200)
    path = tmp_path / "a.dat"
    path.write_bytes(new_ascii_data(frequency, temperature, error, header=["MHz K K"]).to_bytes())
    read = read_ascii_data(path, header_lines=1, error_column=True)
    assert_array_equal(read.frequency, frequency)
    assert_array_equal(read.temperature, temperature)
    assert_array_equal(read.error, error)
    assert new_ascii_data(frequency[::-1], temperature).error is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1.0, 2.0], [1.0]), r"^frequency: the columns have the shapes \[\(2,\), \(1,\)\]"),
        (([1.0, 2.0], [1.0, np.nan]), "^value: nan"),
        (([1.0, 1.0], [1.0, 2.0]), "out of order"),
        (([], []), "no row of numbers"),
    ],
)
def test_new_file_refuses_what_it_could_not_read_back(columns, message):
    with pytest.raises(InputError, match=message):
        new_ascii_data(*[np.array(column) for column in columns])
