"""Output of Xgremlin's ``writelines``: lists composed here in its Fortran format."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms.readers.xgremlin import is_xgremlin, line_position_uncertainty, read_xgremlin

HEADINGS = (
    "  line    wavenumber      peak    width      dmp   eq width   itn   H tags     epstot     epsevn     epsodd"
    "     epsran  identification"
)
CORRECTIONS = [
    "  NO wavenumber correction applied. (wavcorr =   0.000000000000000 not used.)",
    "  NO air correction applied to wavelengths.",
    "  NO intensity calibration.",
]
APPLIED = ["  WAVENUMBER CORRECTION APPLIED: wavcorr =   1.2000000E-07", *CORRECTIONS[1:]]


def fortran(value, width, digits):
    """Ew.d: the mantissa lies below one, and its zero is left out where it does not fit."""
    exponent = 0 if value == 0 else int(np.floor(np.log10(abs(value)))) + 1
    text = f"{value / 10.0**exponent:.{digits}f}E{exponent:+03d}"
    return text.removeprefix("0").rjust(width) if len(text) > width else text.rjust(width)


def record(number, wavenumber, peak, width, ew, tags="F", name="Co II"):
    text = f" {number:5d} {wavenumber:13.6f} {fortran(peak, 9, 4)} {width:8.2f} {0.123:8.4f} {fortran(ew, 10, 4)}"
    text += f" {12:5d} {0:3d} {tags:4s}" + "".join(f" {fortran(0.01, 10, 5)}" for _ in range(4))
    return text + f" {name:30s}{1e7 / wavenumber:11.6f}"


LINES = [
    record(1, 25147.234567, 153.2, 120.5, 2.0e4),
    record(2, 27484.371234, 12.04, 131.0, 1.6e3),
    record(3, 26533.2, 9999.0, 118.25, 1.2e6),
]


@pytest.fixture
def write(tmp_path):
    def write_list(lines, head=(*CORRECTIONS, HEADINGS)):
        file = tmp_path / "co.wrt"
        file.write_text("\n".join([*head, *lines]) + "\n")
        return file

    return write_list


def test_columns_lie_where_the_format_puts_them():
    """Against the positions that the format adds up to: 1x,i5,1x,f13.6,1x,e9.4,1x,f8.2,1x,f8.4,1x,e10.4."""
    assert LINES[0][7:20] == " 25147.234567"
    assert LINES[0][21:30] == ".1532E+03"
    assert LINES[0][49:59] == "0.2000E+05"


def test_lines(write):
    lines = read_xgremlin(write(LINES))
    assert lines.wavenumber.tolist() == [25147.234567, 26533.2, 27484.371234]
    assert lines.snr.tolist() == [153.2, 9999.0, 12.04]
    assert lines.intensity.tolist() == [2.0e4, 1.2e6, 1.6e3]
    width = np.array([120.5, 118.25, 131.0]) * 1e-3
    assert_allclose(lines.uncertainty, width / (2 * lines.snr), rtol=1e-12)
    assert lines.source == "co.wrt"
    assert lines.row.tolist() == [4, 6, 5]


def test_noise_and_calibration(write):
    plain = read_xgremlin(write(LINES))
    lines = read_xgremlin(write(LINES), noise=2.0, calibration=1e-7, wavenumber_correction=1e-6)
    assert_allclose(lines.wavenumber, plain.wavenumber * (1 + 1e-6), rtol=1e-15)
    assert_allclose(lines.snr, plain.snr / 2)
    own = 2 * plain.uncertainty
    assert_allclose(lines.uncertainty, np.sqrt(own**2 + (1e-7 * lines.wavenumber) ** 2), rtol=1e-12)
    fixed = read_xgremlin(write(LINES), uncertainty=0.3 / u.m)
    assert_allclose(fixed.uncertainty, 0.003)


def test_position_uncertainty_of_a_sampled_line():
    """Cramer-Rao: a Gaussian of width W sampled at d has sigma = 0.69 sqrt(W d) / (S/N); W/2 for d about W/2."""
    rng = np.random.default_rng(5)
    width, step, snr = 1.0, 0.5, 40.0
    x = np.arange(-20, 21) * step
    s = width / np.sqrt(8 * np.log(2))
    slope = x / s**2 * np.exp(-(x**2) / 2 / s**2)  # derivative of the profile with respect to its centre
    noise = rng.standard_normal((4000, x.size)) / snr
    scatter = np.std(noise @ slope / (slope @ slope))
    assert 0.7 < scatter / line_position_uncertainty(width, snr) < 1.4


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [LINES[0].replace(".1532E+03", "*********")],
            r"co.wrt, row 5: peak is '\*{9}' \(columns 22 to 30\)",
        ),
        ([LINES[1], LINES[0][:25]], r"co.wrt, row 6: width is ''"),
        ([LINES[0].replace(".1532E+03", "-.153E+03")], r"co.wrt, row 5: peak is -153, must be positive"),
        ([LINES[0].replace("0.2000E+05", "0.0000E+00")], r"co.wrt, row 5: intensity is 0, must be positive"),
    ],
)
def test_damage_is_named_with_file_and_row(write, lines, message):
    with pytest.raises(InputError, match=message):
        read_xgremlin(write(lines))


def test_a_correction_is_not_applied_twice(write):
    file = write(LINES, head=(*APPLIED, HEADINGS))
    assert read_xgremlin(file).wavenumber[0] == 25147.234567
    with pytest.raises(InputError, match="says that a wavenumber correction was applied"):
        read_xgremlin(file, wavenumber_correction=1e-6)


def test_recognition(write, tmp_path):
    assert is_xgremlin(write(LINES))
    assert not is_xgremlin(write(LINES, head=()))
    with pytest.raises(InputError, match="no line that names the columns"):
        read_xgremlin(write(LINES, head=()))
    with pytest.raises(InputError, match="noise must be positive"):
        read_xgremlin(write(LINES), noise=0.0)
    with pytest.raises(InputError, match=r"no file none.wrt"):
        read_xgremlin(tmp_path / "none.wrt")
