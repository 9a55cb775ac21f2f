"""Exports of NIST ASD: small ones composed here in its three ways of quoting."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.terms import Levels
from spectuner_ext.terms.readers.nist import (
    is_nist,
    match_levels,
    read_nist_levels,
    read_nist_lines,
    read_nist_transitions,
)

LEVEL_ROWS = [
    ["Configuration", "Term", "J", "Prefix", "Level (cm-1)", "Suffix", "Uncertainty (cm-1)", "Reference"],
    ["3d8", "a 3F", "4", "", "0.000", "", "0.000", "L1"],
    ["3d8", "a 3F", "3", "", "950.324", "", "0.002", ""],
    ["3d7.(4F).4s", "a 5F", "5", "", "3350.494", "", "0.002", ""],
    ["3d7.(4F).4p", "z 5F*", "4", "[", "45197.71", "]", "", ""],
    ["3d7.(4F).4p", "z (9/2,1/2)*", "5", "", "46320.83", "?", "", ""],
    ["3d7.(4P).4p", "", "3/2,5/2", "", "60000.1", "", "", ""],
    ["3d6.4s.4p", "", "4", "", "70000.0", "+x", "", ""],
    ["3d6.4s.4p", "", "4", "", "", "", "", ""],
    ["Co III (3d7 4F<9/2>)", "Limit", "---", "", "137795", "", "", ""],
]
TRANSITION = ["Ei(cm-1)", "Ek(cm-1)", "conf_i", "term_i", "J_i", "conf_k", "term_k", "J_k", "Type"]
LINES = """
Co,2,238.8918,0.0003,238.89,1000bl,2.8e+08,3350.494,[45197.71],3d7.(4F).4s,a 5F,5,3d7.(4F).4p,z 5F*,4,
Co,2,,,225.93,,1.0e+07,950.324,45197.71,3d8,a 3F,3,3d7.(4F).4p,z 5F*,4,
Co,2,195.0000,,,50*,,0.000,51282.1,3d8,a 3F,4,,,4,
Co,2,10522.7,0.5,,(3),5.1e-02,0.000,950.324,3d8,a 3F,4,3d8,a 3F,3,M1
"""
LINE_ROWS = [
    [
        "element",
        "sp_num",
        "obs_wl_air(nm)",
        "unc_obs_wl",
        "ritz_wl_air(nm)",
        "intens",
        "Aki(s^-1)",
        *TRANSITION,
    ],
    *(line.split(",") for line in LINES.strip().split("\n")),
]


def tab(rows):
    return "\n".join("\t".join(f'"{field}"' if k else field for field in row) for k, row in enumerate(rows))


def csv(rows):
    """As downloaded: every field is a formula whose value is a text."""
    return "\n".join(
        ",".join(f'"=""{field}"""' if k else field for field in row) for k, row in enumerate(rows)
    )


def csv_seen_in_an_editor(rows):
    return "\n".join(",".join(f'="{field}"' if k else field for field in row) for k, row in enumerate(rows))


@pytest.fixture(params=[tab, csv, csv_seen_in_an_editor], ids=lambda form: form.__name__)
def export(tmp_path, request):
    def write(rows):
        file = tmp_path / "asd.txt"
        file.write_text(request.param(rows) + "\n", encoding="utf-8")
        return file

    return write


def test_levels(export):
    found = read_nist_levels(export(LEVEL_ROWS))
    levels = found.levels
    assert levels.energy.tolist() == [0.0, 950.324, 3350.494, 45197.71, 46320.83, 60000.1]
    assert levels.j[:5].tolist() == [4, 3, 5, 4, 5]
    assert np.isnan(levels.j[5])
    assert levels.parity.tolist() == [0, 0, 0, 1, 1, 1]
    assert levels.label[4] == "3d7.(4F).4p z (9/2,1/2)*"
    assert_allclose(found.uncertainty, [0.0, 0.002, 0.002, np.nan, np.nan, np.nan])


def test_levels_in_electronvolts(export):
    rows = [[cell.replace("cm-1", "eV") for cell in LEVEL_ROWS[0]], *LEVEL_ROWS[1:2]]
    rows.append(["3d7.(4F).4p", "z 5F*", "4", "", "1.0", "", "0.1", ""])
    found = read_nist_levels(export(rows))
    assert_allclose(found.levels.energy[1], 8065.543937, rtol=1e-9)
    assert_allclose(found.uncertainty[1], 806.5543937, rtol=1e-9)


def test_lines_in_air_and_vacuum(export):
    lines = read_nist_lines(export(LINE_ROWS), snr=10.0, uncertainty=0.05)
    # Of 238.8918 nm in air: Ritz difference of its levels; 195 and 10522.7 nm are vacuum by ASD's convention.
    assert_allclose(lines.wavenumber, [1e7 / 10522.7, 45197.71 - 3350.494, 1e7 / 195], rtol=2e-6)
    assert_allclose(lines.wavenumber[[0, 2]], [1e7 / 10522.7, 1e7 / 195], rtol=1e-12)
    assert_allclose(lines.uncertainty, [1e7 / 10522.7**2 * 0.5, 1e7 / 238.96**2 * 0.0003, 0.05], rtol=1e-3)
    assert lines.intensity.tolist() == [3.0, 1000.0, 50.0]
    assert lines.row.tolist() == [3, 0, 2]
    assert np.all(lines.snr == 10.0)


def test_lines_need_what_the_database_does_not_have(export):
    file = export(LINE_ROWS)
    with pytest.raises(InputError, match=r"asd.txt: ASD has no signal to noise; pass one"):
        read_nist_lines(file)
    with pytest.raises(InputError, match=r"asd.txt, row 3: no uncertainty \(1 such lines\)"):
        read_nist_lines(file, snr=10.0)
    rows = [list(row) for row in LINE_ROWS]
    rows[1][5] = ""
    with pytest.raises(InputError, match=r"asd.txt, row 1: no intensity"):
        read_nist_lines(export(rows), snr=10.0, uncertainty=0.05)
    assert read_nist_lines(export(rows), snr=10.0, uncertainty=0.05, intensity=7.0).intensity[1] == 7.0


def test_transition_probabilities(tmp_path):
    (tmp_path / "levels.txt").write_text(tab(LEVEL_ROWS))
    (tmp_path / "lines.csv").write_text(csv(LINE_ROWS))
    levels = read_nist_levels(tmp_path / "levels.txt").levels
    transitions = read_nist_transitions(tmp_path / "lines.csv", levels)
    assert list(zip(transitions.upper, transitions.lower, strict=True)) == [
        (3, 2),
        (3, 1),
    ]  # no M1, none without A
    assert_allclose(transitions.g_a, [9 * 2.8e8, 9 * 1.0e7])
    transitions.check_against(levels)
    rows = [list(row) for row in LINE_ROWS]
    rows[2][8] = "45297.71"
    (tmp_path / "lines.csv").write_text(csv(rows))
    with pytest.raises(InputError, match=r"lines.csv, row 2: no level at 45297.7 cm-1 with J = 4"):
        read_nist_transitions(tmp_path / "lines.csv", levels)


def test_levels_are_found_in_a_calculation_of_another_habit(export):
    labels = [
        "98 3d8 3F  4.0",
        "98 3d8 3F  3.0",
        "100 3d7.(4F).4s 5F  5.0",
        "90 3d7.(4F).4p 5F* 4.0",
        "x",
        "x",
    ]
    labels += ["90 3d7.(4F).4p 5F* 3.0"]
    theory = Levels(
        np.array([0.0, 944.4, 3424.6, 45100.0, 46300.0, 60000.0, 46786.0]),
        np.array([4.0, 3, 5, 4, 5, 2, 3]),
        np.array([1, 1, 1, 0, 0, 0, 0]),
        np.array(labels),
    )
    known = match_levels(read_nist_levels(export(LEVEL_ROWS)), theory)
    assert known.level.tolist() == [0, 1, 2, 3]
    assert known.energy.tolist() == [0.0, 950.324, 3350.494, 45197.71]
    assert known.provenance[1] == "asd.txt"


def test_ambiguous_levels_stay_unknown(export):
    labels = np.array(["3d8 3F", "3d8 3F", "3d8 3F"])
    theory = Levels(np.array([0.0, 944.4, 1000.0]), np.array([4.0, 3, 3]), np.array([1, 1, 1]), labels)
    assert match_levels(read_nist_levels(export(LEVEL_ROWS)), theory).level.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Level (cm-1)", "Energy"), "no column Level with a unit"),
        (("Level (cm-1)", "Level (furlongs)"), r"the unit of Level \(furlongs\) is not known"),
        (("950.324", "unknown"), r"asd.txt, row 2: Level \(cm-1\) is 'unknown'"),
    ],
)
def test_damage_is_named(export, change, message):
    rows = [[cell.replace(*change) for cell in row] for row in LEVEL_ROWS]
    with pytest.raises(InputError, match=message):
        read_nist_levels(export(rows))


def test_recognition(export, tmp_path):
    assert is_nist(export(LEVEL_ROWS), kind="levels")
    assert not is_nist(export(LEVEL_ROWS), kind="lines")
    assert is_nist(export(LINE_ROWS), kind="lines")
    assert not is_nist(tmp_path, kind="lines")
    with pytest.raises(InputError, match="no rows"):
        read_nist_levels(export(LEVEL_ROWS[:1]))
    with pytest.raises(InputError, match=r"no file none.txt"):
        read_nist_levels(tmp_path / "none.txt")
