"""Decisions of a person become ids and rows, or a message that says what to do."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms import ClassifiedLines, KnownLevels, Levels, LineList, TermSystem, Transitions
from spectuner_ext.terms.by_hand import decide, without_levels

ENERGY = {3: 20000.5, 4: 21000.25, 5: 30000.125}
"""True energies of the unknown levels of the small ion below."""


@pytest.fixture
def system():
    """Levels 0 to 2 known (even), 3 and 4 (odd) and 5 (even) not; every transition is a line of the list."""
    levels = Levels(
        np.array([0.0, 1000.0, 2000.0, 19990.0, 21010.0, 30020.0]),
        np.array([2.0, 1.0, 0.0, 1.0, 1.0, 1.0]),
        np.array([0, 0, 0, 1, 1, 0]),
        np.array(["a5D", "a5D", "a3P", "z5F", "y5F", "e5D"]),
    )
    upper, lower = np.array([3, 3, 3, 4, 4, 5, 5]), np.array([0, 1, 2, 0, 1, 3, 4])
    transitions = Transitions(upper, lower, np.full(7, 1e7), levels.energy[upper] - levels.energy[lower])
    true = np.array([0.0, 1001.0, 2002.0, *ENERGY.values()])
    lines = LineList(true[upper] - true[lower], np.full(7, 0.002), np.ones(7), np.full(7, 50.0))
    known = KnownLevels(np.arange(3), true[:3], np.full(3, 0.001), np.array(["laboratory"] * 3))
    none, ids = np.empty(0), np.empty(0, dtype=int)
    return TermSystem(
        levels, transitions, lines, known,
        ClassifiedLines(ids, ids, none, none, none, none, np.empty(0, dtype=str)),
    )  # fmt: skip


def row_of(system, wavenumber):
    (row,) = np.flatnonzero(np.isclose(system.lines.wavenumber, wavenumber, rtol=0, atol=1e-6))
    return int(row)


def refused(system, message, **lists):
    with pytest.raises(InputError, match=message):
        decide(system, **lists)


def test_nothing_decided(system):
    decisions = decide(system, None, None)
    assert decisions.system is system
    assert decisions.notes == ()
    assert decisions.by_hand == type(decisions.by_hand)()


def test_every_form(system):
    decisions = decide(
        system,
        accept=[
            {"level": 3, "energy": 20000.5},
            {"line": 21000.26, "lower": 0, "upper": "y5F"},
        ],
        reject=["e5D", {"level": 4, "energy": 20999.0}, {"line": 18999.5}],
    )
    hand = decisions.by_hand
    assert hand.accept_levels == ((3, 20000.5),)
    assert hand.accept_lines == ((row_of(system, 21000.25), 0, 4),)
    assert hand.reject_levels == {5}
    assert hand.reject_energies == ((4, 20999.0),)
    assert hand.reject_lines == {row_of(system, 18999.5)}


def test_units_and_text(system):
    accept = [{"level": 3, "energy": 20000.5 * u.cm**-1}, {"level": 4, "energy": "21000.25 1 / cm"}]
    assert decide(system, accept).by_hand.accept_levels == ((3, 20000.5), (4, 21000.25))
    wavelength = {"line": (1e7 / 20000.5) * u.nm}
    (row,) = decide(system, reject=[wavelength]).by_hand.reject_lines
    assert row == row_of(system, 20000.5)


def test_blanks_around_a_label_do_not_count(system):
    levels = replace(system.levels, label=np.array(["a5D", "a5D", "a3P", "z5F", " y5F ", "e5D"]))
    padded = replace(system, levels=levels)
    assert decide(padded, reject=["y5F", "e5D  "]).by_hand.reject_levels == {4, 5}


def test_one_item_needs_no_list(system):
    assert decide(system, reject=5).by_hand.reject_levels == {5}
    assert decide(system, {"level": 3, "energy": 20000.5}).by_hand.accept_levels == ((3, 20000.5),)


def test_repeated_wavenumber_is_rejected_as_a_whole(system):
    lines = system.lines
    twice = LineList(*(np.append(getattr(lines, n), getattr(lines, n)[2]) for n in
                       ("wavenumber", "uncertainty", "intensity", "snr")))  # fmt: skip
    hand = decide(replace(system, lines=twice), reject=[{"line": lines.wavenumber[2]}]).by_hand
    assert len(hand.reject_lines) == 2


def grown(system):
    """The system after levels 3 and 5 were found, with their lines."""
    lower, upper = np.array([0, 1, 3]), np.array([3, 3, 5])
    energy = np.array([0.0, 1001.0, 2002.0, 20000.5, 30000.125])
    known = KnownLevels(
        np.array([0, 1, 2, 3, 5]), energy, np.full(5, 0.001), np.array(["laboratory"] * 3 + ["evidence"] * 2)
    )
    at = np.array([20000.5, 18999.5, 9999.625])
    classified = ClassifiedLines(
        lower, upper, at, np.full(3, 0.002), np.ones(3), np.ones(3), np.array(["evidence"] * 3)
    )
    return replace(system, known=known, classified=classified)


def test_rejected_known_level_leaves_the_start(system):
    decisions = decide(grown(system), reject=[3])
    assert set(decisions.system.known.level) == {0, 1, 2, 5}
    assert len(decisions.system.classified) == 0
    assert decisions.by_hand.reject_levels == {3}
    assert decisions.notes == (
        "level 3 leaves the start with 3 lines: rejected; it was known at 20000.5000 cm-1 (evidence)",
    )


def test_rejected_energy_of_a_known_level(system):
    decisions = decide(grown(system), reject=[{"level": 5, "energy": 30000.1}])
    assert set(decisions.system.known.level) == {0, 1, 2, 3}
    assert len(decisions.system.classified) == 2
    other = decide(grown(system), reject=[{"level": 5, "energy": 31000.0}])
    assert 5 in other.system.known.level


def test_known_level_accepted_elsewhere(system):
    decisions = decide(grown(system), [{"level": 5, "energy": 30100.0}])
    assert set(decisions.system.known.level) == {0, 1, 2, 3}
    assert decisions.by_hand.accept_levels == ((5, 30100.0),)
    assert "accepted at 30100.0000 instead of 30000.1250 cm-1 (evidence)" in decisions.notes[0]
    same = decide(grown(system), [{"level": 5, "energy": 30000.12}])
    assert 5 in same.system.known.level


def test_without_levels_keeps_the_rest(system):
    assert without_levels(system, ()) is system
    left = without_levels(grown(system), [5])
    assert list(left.known.level) == [0, 1, 2, 3]
    assert list(left.classified.upper) == [3, 3]


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        (3.5, r"^accept: must be a list with items such as \{'level': 545"),
        ([7], r"^accept: item 1: cannot read 7; give \{'level': 545, 'energy'"),
        ([{"level": 3}], r"^accept: item 1: cannot read \{'level': 3\}"),
        ([{"level": 3, "energi": 2.0}], r"^accept: item 1: cannot read"),
        ([{"level": 3, "energy": 20000.5}, {"level": 6, "energy": 1.0}],
         r"^accept: item 2: there is no level 6; ids go from 0 to 5"),
        ([{"level": -1, "energy": 1.0}], r"there is no level -1"),
        ([{"level": True, "energy": 1.0}], r"given by its id or its label, got True"),
        ([{"level": 3.0, "energy": 1.0}], r"given by its id or its label, got 3.0"),
        ([{"level": 0, "energy": 5.0}], r"level 0 is the ground level"),
        ([{"level": "z5f", "energy": 5.0}], r"no level has the label 'z5f'; similar: 'z5F'"),
        ([{"level": "a5D", "energy": 5.0}], r"2 levels have the label 'a5D'.*one of 0 \(J = 2\), 1 \(J = 1\)"),
        ([{"level": 3, "energy": "high"}], r"^accept: item 1: energy: cannot read 'high'"),
        ([{"level": 3, "energy": np.nan}], r"item 1: energy: one positive number in cm-1 is needed, got nan"),
        ([{"level": 3, "energy": -5.0}], r"item 1: energy: one positive number"),
        ([{"level": 3, "energy": 5 * u.kg}], r"item 1: energy must be convertible to 1 / cm"),
        ([{"level": 3, "energy": 20000.0}, {"level": 3, "energy": 20001.0}],
         r"item 2: level 3 is accepted at 20001.0000 and at 20000.0000 cm-1; give one"),
        ([{"line": 20003.0, "lower": 0, "upper": 3}],
         r"^accept: item 1: no line within 0.05 cm-1 of 20003.0000; the nearest is at 20000.5000 cm-1 \(-2.5000\)"),
        ([{"line": 20000.5, "lower": 3, "upper": 0}], r"upper: level 0 is the ground level"),
        ([{"line": 9999.625, "lower": 5, "upper": 3}],
         r"level 3 lies below level 5 in the calculation; exchange lower and upper"),
        ([{"line": 20000.5, "lower": 2, "upper": 5}], r"no transition between levels 2 and 5"),
        ([{"line": 20000.5, "lower": 0, "upper": 3}, {"line": 18999.5, "lower": 0, "upper": 3}],
         r"item 2: the transition 0-3 gets two lines, 20000.5000 and 18999.5000 cm-1; give one"),
        ([{"line": 20000.5, "lower": 0, "upper": 3}, {"line": 19999.25, "lower": 1, "upper": 3}],
         r"19999.2500 cm-1 of levels 1 and 3 puts level 3 at 21000.2500 cm-1, but the line at 20000.5000"),
        ([{"level": 3, "energy": 20050.0}, {"line": 20000.5, "lower": 0, "upper": 3}],
         r"the line at 20000.5000 cm-1 of levels 0 and 3 is -49.5000 cm-1 from the difference of their energies"),
    ],
)  # fmt: skip
def test_accept_refused(system, accept, message):
    refused(system, message, accept=accept)


@pytest.mark.parametrize(
    ("reject", "message"),
    [
        (12.5, r"^reject: must be a list with items such as 12, "),
        ([9], r"^reject: item 1: there is no level 9"),
        ([0], r"^reject: item 1: level 0 is the ground level"),
        ([{"energy": 5.0}], r"^reject: item 1: cannot read \{'energy': 5.0\}; give 12, "),
        ([{"line": 20000.5, "lower": 0, "upper": 3}], r"^reject: item 1: cannot read"),
        (
            [4, {"line": 5.0}],
            r"^reject: item 2: no line within 0.05 cm-1 of 5.0000; the nearest is at 8999.8750",
        ),
    ],
)
def test_reject_refused(system, reject, message):
    refused(system, message, reject=reject)


@pytest.mark.parametrize(
    ("accept", "reject", "message"),
    [
        ([{"level": 3, "energy": 20000.5}], [3], r"level 3 is accepted and rejected"),
        ([{"level": 3, "energy": 20000.5}], [{"level": 3, "energy": 20000.52}],
         r"accepted at 20000.5000 cm-1, but reject forbids 20000.5200 cm-1"),
        ([{"line": 20000.5, "lower": 0, "upper": 3}], ["z5F"], r"level 3 is rejected"),
        ([{"line": 20000.5, "lower": 0, "upper": 3}], [{"line": 20000.5}],
         r"the line at 20000.5000 cm-1 is accepted and rejected"),
    ],
)  # fmt: skip
def test_contradictions(system, accept, reject, message):
    refused(system, message, accept=accept, reject=reject)


def test_two_lines_that_could_be_meant(system):
    lines = system.lines
    near = {
        n: np.append(getattr(lines, n), getattr(lines, n)[-1]) for n in ("uncertainty", "intensity", "snr")
    }
    close = LineList(np.append(lines.wavenumber, 20000.53), **near)
    crowded = replace(system, lines=close)
    refused(
        crowded,
        r"lines at 20000.5\d00 and 20000.5\d00 cm-1 are both near .*more digits",
        reject=[{"line": 20000.515}],
    )
    assert decide(crowded, reject=[{"line": 20000.503}]).by_hand.reject_lines == {row_of(crowded, 20000.5)}


def test_tolerance_decides_what_is_the_same(system):
    refused(system, "no line within 0.001 cm-1", reject=[{"line": 20000.51}], tolerance=0.001)
    assert decide(system, reject=[{"line": 20000.51}], tolerance=0.02).by_hand.reject_lines
