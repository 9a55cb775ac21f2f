"""Kurucz files: lines composed here after the published column description."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms import LineList, TermSystem
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.readers.kurucz import is_kurucz, read_kurucz
from spectuner_ext.terms.readers.system_files import no_classified_lines
from spectuner_ext.terms.readers.tables import GF_TO_GA
from spectuner_ext.terms.readers.wavenumbers import refractive_index

EVEN = [
    (0.0, 4.0, "d8  a3F"),
    (950.324, 3.0, "d8  a3F"),
    (3350.494, 5.0, "(4F)4s a5F"),
    (-45000.5, 5.0, "(4F)5s 5F"),
]
ODD = [(-45197.708, 4.0, "(4F)4p z5F"), (46320.829, 5.0, "(4F)4p z5F")]


def record(even, odd, log_gf, code=27.01, **changes):
    """FORMAT(F11.4,F7.3,F6.2,F12.3,F5.2,1X,A10,F12.3,F5.2,1X,A10), then what the reader leaves alone."""
    wavenumber = abs(abs(even[0]) - abs(odd[0]))
    vacuum = 1e7 / wavenumber
    wavelength = vacuum if vacuum < 200 else vacuum / refractive_index(np.array(wavenumber))
    wavelength = changes.get("wavelength", wavelength)
    text = f"{wavelength:11.4f}{log_gf:7.3f}{code:6.2f}"
    for energy, j, label in (even, odd):
        text += f"{energy:12.3f}{j:5.1f} {label:10s}"
    assert len(text) == 80
    return text + "  8.19 -5.38 -7.59K88  0 0 59-2.584 59 0.000  104  -77F6 -5 0     1140 1165     0"


LINES = [
    record(EVEN[0], ODD[0], -1.234),
    record(EVEN[1], ODD[0], 0.5),
    record(EVEN[2], ODD[1], -0.1),
    record(EVEN[2], ODD[0], 0.25),
    record(EVEN[0], ODD[1], -2.0),
    record(EVEN[3], ODD[0], -3.0),  # the even level lies above the odd one
]


@pytest.fixture
def write(tmp_path):
    def write_lines(lines):
        file = tmp_path / "gf2701.lines"
        file.write_text("\n".join(lines) + "\n")
        return file

    return write_lines


def test_levels_are_merged_and_ordered(write):
    calculation = read_kurucz(write(LINES))
    levels = calculation.levels
    assert_allclose(levels.energy, [0.0, 950.324, 3350.494, 45000.5, 45197.708, 46320.829])
    assert levels.j.tolist() == [4, 3, 5, 5, 4, 5]
    assert levels.parity.tolist() == [0, 0, 0, 0, 1, 1]
    assert levels.label[2] == "(4F)4s a5F"
    known = calculation.known
    assert known.level.tolist() == [0, 1, 2, 5]  # a negative energy is predicted
    assert_allclose(known.energy, [0.0, 950.324, 3350.494, 46320.829])
    groups = label_groups(levels, valence="3d8")
    assert groups.names == ("3d8", "3d7.4s", "3d7.5s", "3d7.4p")


def test_transitions_have_the_strength_of_their_gf(write):
    calculation = read_kurucz(write(LINES))
    transitions = calculation.transitions
    assert list(zip(transitions.upper, transitions.lower, strict=True)) == [
        (4, 0),
        (4, 1),
        (5, 2),
        (4, 2),
        (5, 0),
        (4, 3),
    ]
    wavenumber = np.array([45197.708, 45197.708 - 950.324])
    assert_allclose(transitions.wavenumber[:2], wavenumber, rtol=1e-12)
    assert_allclose(transitions.g_a[:2], GF_TO_GA * wavenumber**2 * 10 ** np.array([-1.234, 0.5]), rtol=1e-12)


def test_a_calculation_makes_a_system(write):
    calculation = read_kurucz(write(LINES))
    one = np.ones(1)
    lines = LineList(one * 45197.0, one, one, one)
    system = TermSystem(
        calculation.levels, calculation.transitions, lines, calculation.known, no_classified_lines()
    )
    assert system.notes == ()


def test_lower_level_first_is_read_too(write):
    """Then a level stands in both columns, and the parities come from the lines themselves."""
    turned = [record(EVEN[0], ODD[0], -1.0), record(ODD[0], EVEN[3], -2.0), record(EVEN[2], ODD[1], 0.0)]
    turned[1] = record(EVEN[3], ODD[0], -2.0)
    swapped = record(ODD[0], EVEN[3], -2.0)
    levels = read_kurucz(write([turned[0], swapped, turned[2], record(EVEN[0], ODD[1], 0.0)])).levels
    assert levels.parity.tolist() == [0, 0, 0, 1, 1]


def test_the_ion_is_chosen_by_its_code(write):
    file = write([*LINES, record((0.0, 2.0, "d8"), (30000.0, 2.0, "x"), 0.0, code=28.02)])
    with pytest.raises(InputError, match=r"lines of 2 ions \(27.01, 28.02\); say which one"):
        read_kurucz(file)
    assert len(read_kurucz(file, ion="27.01").levels) == 6
    assert len(read_kurucz(file, ion=28.02).levels) == 2
    with pytest.raises(InputError, match=r"no lines of ion 26.00; it has 27.01, 28.02"):
        read_kurucz(file, ion=26)
    with pytest.raises(InputError, match="element code such as"):
        read_kurucz(file, ion="Co II")


def test_eighty_columns_suffice(write):
    assert len(read_kurucz(write([line[:80].rstrip() for line in LINES])).levels) == 6


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([LINES[0], LINES[1][4:]], r"gf2701.lines, row 2: .* is .*columns"),
        (
            [LINES[0], LINES[1].replace("950.324", "95x.324")],
            r"row 2: first energy is '.*95x.324' \(columns 25 to 36\)",
        ),
        (
            [LINES[0], record(EVEN[1], ODD[0], 0.5, wavelength=500.0)],
            r"row 2: the energies .* give 226.0\d* nm",
        ),
        ([LINES[0], LINES[1], LINES[0]], r"row 3: the same two levels as row 1; .*hyperfine"),
        ([LINES[0], "", LINES[0]], r"row 3: the same two levels as row 1"),
        ([LINES[1]], r"level 0 must be the ground level"),
        ([""], "no lines"),
    ],
)
def test_damage_is_named_with_file_and_row(write, lines, message):
    with pytest.raises(InputError, match=message):
        read_kurucz(write(lines))


def test_lines_that_are_no_dipole_transitions(write):
    triangle = [
        record(EVEN[0], ODD[0], 0.0),
        record(ODD[0], EVEN[3], 0.0),
        record(EVEN[0], EVEN[3], 0.0),
    ]
    with pytest.raises(InputError, match=r"have the same parity by the other lines"):
        read_kurucz(write(triangle))


def test_recognition(write, tmp_path):
    assert is_kurucz(write(LINES))
    other = tmp_path / "list.csv"
    other.write_text("wavenumber,snr\n1,2\n")
    assert not is_kurucz(other)
    assert not is_kurucz(tmp_path)
