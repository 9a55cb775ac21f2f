"""What the data classes refuse at the door, each with a message that names the file and the row."""

import re
from dataclasses import fields, replace

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms import (
    AnalysisSettings,
    ClassifiedLines,
    KnownLevels,
    Levels,
    LineList,
    TermSystem,
    Transitions,
)


def lines(**changes):
    values = {
        "wavenumber": np.array([30000.0, 20000.0, 25000.0]),
        "uncertainty": np.array([0.01, 0.02, 0.03]),
        "intensity": np.array([1.0, 2.0, 3.0]),
        "snr": np.array([10.0, 20.0, 30.0]),
    }
    return LineList(**{**values, **changes}, source="lines.csv")


def levels(**changes):
    values = {
        "energy": np.array([0.0, 20000.0, 30000.0, 100.0]),
        "j": np.array([0.5, 1.5, 0.5, 1.5]),
        "parity": np.array([0, 1, 1, 0]),
        "label": np.array(["a", "b", "c", "d"]),
    }
    return Levels(**{**values, **changes}, source="levels.csv")


def transitions(**changes):
    values = {
        "upper": np.array([1, 2, 1]),
        "lower": np.array([0, 0, 3]),
        "g_a": np.array([1e6, 2e7, 0.0]),
        "wavenumber": np.array([20000.0, 30000.0, 19900.0]),
    }
    return Transitions(**{**values, **changes}, source="rates.csv")


def known(**changes):
    values = {
        "level": np.array([0, 1]),
        "energy": np.array([0.0, 20000.0]),
        "uncertainty": np.array([0.0, np.nan]),
        "provenance": np.array(["definition", "me"]),
    }
    return KnownLevels(**{**values, **changes}, source="known.csv")


def classified(**changes):
    values = {
        "lower": np.array([0]),
        "upper": np.array([1]),
        "wavenumber": np.array([20000.0]),
        "uncertainty": np.array([0.01]),
        "intensity": np.array([2.0]),
        "snr": np.array([20.0]),
        "provenance": np.array(["me"]),
    }
    return ClassifiedLines(**{**values, **changes}, source="known_lines.csv")


def system(**changes):
    values = {
        "levels": levels(),
        "transitions": transitions(),
        "lines": lines(),
        "known": known(),
        "classified": classified(),
    }
    return TermSystem(**{**values, **changes})


def at_row(array, row, value):
    changed = np.array(array, dtype=float)
    changed[row] = value
    return changed


NUMBERS = [(np.nan, "finite"), (np.inf, "finite"), (-1.0, "positive")]


def test_lines_are_sorted_and_know_their_rows():
    listed = lines()
    assert listed.wavenumber.tolist() == [20000.0, 25000.0, 30000.0]
    assert listed.snr.tolist() == [20.0, 30.0, 10.0]
    assert listed.row.tolist() == [1, 2, 0]
    chosen = listed.select(listed.snr > 15)
    assert chosen.row.tolist() == [1, 2]
    assert len(chosen) == 2
    assert chosen.source == "lines.csv"


def test_repeated_wavenumbers_are_found_with_their_rows():
    listed = lines(wavenumber=np.array([20000.0, 25000.0, 20000.0]))
    assert listed.duplicates().tolist() == [2]


@pytest.mark.parametrize("column", ["wavenumber", "uncertainty", "intensity", "snr"])
@pytest.mark.parametrize(("value", "message"), [*NUMBERS, (0.0, "positive")])
def test_a_line_list_has_positive_numbers(column, value, message):
    wrong = at_row(getattr(lines(row=np.array([0, 1, 2])), column), 1, value)
    with pytest.raises(InputError, match=rf"lines.csv, row 2: {column} is .*{message}"):
        lines(**{column: wrong})


def test_messages_name_the_row_of_the_file_when_rows_were_left_out():
    with pytest.raises(InputError, match=r"lines.csv, row 18: snr is 0"):
        lines(snr=np.array([1.0, 0.0, 1.0]), row=np.array([3, 17, 20]))


@pytest.mark.parametrize(
    ("make", "column"),
    [(lines, "snr"), (levels, "j"), (transitions, "g_a"), (known, "energy"), (classified, "snr")],
)
def test_columns_are_equally_long(make, column):
    with pytest.raises(InputError, match="equally long"):
        make(**{column: np.ones(9)})
    with pytest.raises(InputError, match="one-dimensional"):
        make(**{column: np.ones((2, 2))})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy": [0.0, np.nan, 3e4, 100.0]}, r"row 2: E_calc is nan"),
        ({"energy": [0.0, -5.0, 3e4, 100.0]}, r"row 2: E_calc is -5, must be zero or positive"),
        ({"energy": [100.0, 2e4, 3e4, 0.0]}, r"row 1: level 0 must be the ground level.*row 4"),
        ({"j": [0.5, 1.3, 0.5, 1.5]}, r"row 2: J is 1.3"),
        ({"j": [0.5, -0.5, 0.5, 1.5]}, r"row 2: J is -0.5"),
        ({"j": [0.5, 1.5, 2.0, 1.5]}, r"row 3: J is 2, but row 1 has 0.5"),
        ({"j": [np.nan, 1.5, np.nan, 1.0]}, r"row 4: J is 1, but row 2 has 1.5"),
        ({"j": [0.5, np.inf, 0.5, 1.5]}, r"row 2: J is inf"),
        ({"parity": [0, 1, 2, 0]}, r"row 3: parity is 2"),
    ],
)
def test_levels_are_refused(changes, message):
    with pytest.raises(InputError, match=f"levels.csv, {message}"):
        levels(**{name: np.array(values) for name, values in changes.items()})


def test_no_levels_are_refused():
    none = np.empty(0)
    with pytest.raises(InputError, match="no levels"):
        Levels(none, none, none, none.astype(str), source="levels.csv")


def test_unknown_j_and_parity_are_allowed():
    allowed = levels(j=np.full(4, np.nan), parity=np.full(4, -1))
    transitions().check_against(allowed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"g_a": [1e6, np.nan, 0.0]}, r"row 2: gA is nan"),
        ({"g_a": [1e6, -1.0, 0.0]}, r"row 2: gA is -1"),
        ({"wavenumber": [2e4, -3e4, 1e4]}, r"row 2: wavenumber is -30000"),
        ({"upper": [1, 2, 2], "lower": [0, 0, 0]}, r"row 3: the transition 2-0 is given twice \(row 2\)"),
        ({"upper": [1, 2, 0], "lower": [0, 0, 2]}, r"row 3: the transition 0-2 is given twice \(row 2\)"),
    ],
)
def test_transitions_are_refused(changes, message):
    with pytest.raises(InputError, match=f"rates.csv, {message}"):
        transitions(**{name: np.array(values) for name, values in changes.items()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upper": [1, 4, 1]}, r"row 2: upper level id is 4, but levels.csv has ids 0 to 3"),
        ({"lower": [0, -1, 3]}, r"row 2: lower level id is -1"),
        ({"upper": [1, 0, 1], "lower": [0, 2, 3]}, r"row 2: upper level 0 lies below lower level 2"),
        ({"upper": [1, 2, 2], "lower": [0, 0, 1]}, r"row 3: levels 2 and 1 have the same parity \(1\)"),
        ({"upper": [1, 2, 3], "lower": [0, 0, 3]}, r"row 3: level 3 is both upper and lower"),
    ],
)
def test_transitions_between_levels_are_refused(changes, message):
    wrong = transitions(**{name: np.array(values) for name, values in changes.items()})
    with pytest.raises(InputError, match=f"rates.csv, {message}"):
        wrong.check_against(levels())
    with pytest.raises(InputError, match=f"rates.csv, {message}"):
        system(transitions=wrong)


@pytest.mark.parametrize("j", [[0.5, 1.5, 2.5, 1.5], [0.0, 1.0, 0.0, 1.0]])
def test_j_changes_by_one_at_most_and_not_from_zero_to_zero(j):
    with pytest.raises(
        InputError, match=r"rates.csv, row 2: J = .* between levels 2 and 0 is no electric dipole"
    ):
        transitions().check_against(levels(j=np.array(j)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": [1, 1]}, r"row 2: level 1 is given twice"),
        ({"energy": [0.0, np.nan]}, r"row 2: energy is nan"),
        ({"energy": [0.0, -3.0]}, r"row 2: energy is -3"),
        ({"uncertainty": [0.0, -0.1]}, r"row 2: uncertainty is -0.1"),
    ],
)
def test_known_levels_are_refused(changes, message):
    with pytest.raises(InputError, match=f"known.csv, {message}"):
        known(**{name: np.array(values) for name, values in changes.items()})


@pytest.mark.parametrize("column", ["wavenumber", "uncertainty", "intensity", "snr"])
@pytest.mark.parametrize("value", [np.nan, 0.0, -1.0])
def test_classified_lines_have_positive_numbers(column, value):
    with pytest.raises(InputError, match=f"known_lines.csv, row 1: {column} is"):
        classified(**{column: np.array([value])})


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        (known, {"level": [0, 7]}, r"known.csv, row 2: level id is 7, but levels.csv has ids 0 to 3"),
        (known, {"level": [0, -2]}, r"known.csv, row 2: level id is -2"),
        (known, {"level": [3, 1]}, r"known.csv: the ground level .* got no row for it"),
        (known, {"energy": [3.0, 20000.0]}, r"known.csv: the ground level .* got 3 cm-1"),
        (classified, {"upper": [2]}, r"known_lines.csv, row 1: upper level 2 of a known line is not among"),
        (classified, {"lower": [-1]}, r"known_lines.csv, row 1: lower level -1"),
        (classified, {"upper": [99]}, r"known_lines.csv, row 1: upper level 99"),
    ],
)
def test_parts_that_do_not_fit_are_refused(part, changes, message):
    wrong = part(**{name: np.array(values) for name, values in changes.items()})
    with pytest.raises(InputError, match=message):
        system(**{part.__name__: wrong})


def test_a_sound_system_has_no_notes():
    sound = system()
    assert sound.notes == ()
    assert np.array_equal(sound.known_energy, [0.0, 20000.0, np.nan, np.nan], equal_nan=True)


def test_known_lines_that_do_not_fit_are_reported():
    off = system(classified=classified(wavenumber=np.array([20000.2])))
    assert off.outliers().tolist() == [0]
    assert len(off.notes) == 1
    assert re.search(
        r"known_lines.csv: 1 of 1 lines do not fit .* row 1 is off by \+0.2000 cm-1", off.notes[0]
    )
    # Within five sigma, or within 0.05 cm-1, it is none.
    wide = classified(wavenumber=np.array([20000.2]), uncertainty=np.array([0.1]))
    assert system(classified=wide).notes == ()
    assert (
        system(classified=classified(wavenumber=np.array([20000.04]), uncertainty=np.array([1e-3]))).notes
        == ()
    )


def test_repeated_rows_are_reported():
    twice = system(lines=lines(wavenumber=np.array([25000.0, 20000.0, 25000.0])))
    assert "1 rows repeat the wavenumber" in twice.notes[0]
    assert "row 3" in twice.notes[0]
    columns = {f.name: np.repeat(getattr(classified(), f.name), 2) for f in fields(ClassifiedLines)[:-1]}
    pair = system(classified=ClassifiedLines(**columns, source="known_lines.csv"))
    assert "known_lines.csv: 1 rows repeat a transition of another row (first: row 2, 0-1)" in pair.notes


def test_known_lines_that_break_the_selection_rules_are_reported():
    energies = {"level": np.array([0, 3]), "energy": np.array([0.0, 100.0])}
    line = {"upper": np.array([3]), "wavenumber": np.array([100.0])}
    odd = system(known=known(**energies), classified=classified(**line))
    assert "no electric dipole transitions" in odd.notes[0]
    assert "row 1, 0-3" in odd.notes[0]


def test_notes_are_not_doubled():
    twice = system(lines=lines(wavenumber=np.array([25000.0, 20000.0, 25000.0])))
    assert replace(twice, name="x").notes == twice.notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spectral_range": (3e4, 2e4)}, "spectralrange"),
        ({"spectral_range": (-1.0, 2e4)}, "spectralrange"),
        ({"energy_window": 0.0}, "energyrange"),
        ({"energy_window": np.inf}, "energyrange"),
        ({"tolerance": np.nan}, "tolerance"),
        ({"tolerance": 2000.0}, "smaller than energyrange"),
        ({"intensity_window": -1.0}, "intensityrange"),
        ({"min_snr": -1.0}, "min_snr"),
        ({"min_snr": np.nan}, "min_snr"),
        ({"max_candidates": 0}, "max_candidates"),
        ({"horizon": 1}, "horizon"),
    ],
)
def test_settings_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        AnalysisSettings(**changes)
