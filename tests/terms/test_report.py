from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.terms.advance import advanced, continued
from spectuner_ext.terms.report import (
    branching,
    levels_table,
    lines_table,
    summary_lines,
    undetermined_table,
)
from spectuner_ext.terms.result import Outcome

WAVENUMBER = u.cm**-1


def rows_of(block, keep):
    """The rows `keep` of a block of columns."""
    columns = {n: getattr(block, n) for n in type(block).__dataclass_fields__}
    return type(block)(
        **{
            n: tuple(np.array(v, object)[keep]) if isinstance(v, tuple) else v[keep]
            for n, v in columns.items()
        }
    )


def nothing_found(run):
    none = np.empty(0, dtype=np.int64)
    return replace(
        run,
        levels=rows_of(run.levels, none),
        lines=rows_of(run.lines, none),
        undetermined=rows_of(run.undetermined, none),
    )


def test_levels_have_the_promised_columns_first(finished_run):
    table = levels_table(finished_run)
    assert table.colnames[:11] == (
        [
            "level",
            "label",
            "J",
            "parity",
            "energy",
            "energy_err",
            "probability",
            "n_lines",
            "E_calc",
            "runner_up",
            "order",
        ]
    )
    for name in ("energy", "energy_err", "E_calc", "runner_up", "shift"):
        assert table[name].unit == WAVENUMBER
    assert_array_equal(table["level"], [5, 4, 6])
    assert_array_equal(table["label"], ["4f35d~4I5H", "4f35d~4I5K", "4f35d~4F5H"])
    assert_allclose(table["shift"].value, [111.0, -60.0, 357.0])
    assert all(table[name].info.description for name in table.colnames)


def test_lines_of_a_level_are_told_in_sigma(finished_run):
    table, new = levels_table(finished_run), finished_run.lines
    ratio = new.residual[new.upper == 5] / 0.002
    assert_allclose(table["rms_sigma"][0], np.sqrt(np.mean(ratio**2)))
    words = str(table["lines_used"][0]).split()
    assert len(words) == 3
    assert words[-1] == f"{32_111 + new.residual[new.upper == 5][0]:.4f}({ratio[0]:+.1f})"
    assert [w.split(".")[0] for w in words] == ["30010", "31110", "32111"]


def test_branching_is_the_scatter_about_the_common_population(finished_run):
    rms, n = branching(finished_run)
    # Level 5 has +0.1, 0, -0.1 dex: rms 0.1 with two degrees of freedom; the others have none.
    assert_allclose(rms, [0.1, 0.0, 0.0], atol=1e-12)
    assert_array_equal(n, [3, 3, 2])


def test_branching_does_not_depend_on_populations(finished_run):
    lines = finished_run.lines
    brighter = replace(lines, log_intensity=lines.log_intensity + np.where(lines.upper == 5, 2.5, -1.0))
    assert_allclose(
        branching(replace(finished_run, lines=brighter))[0], branching(finished_run)[0], atol=1e-12
    )


def test_branching_leaves_out_blends_and_needs_two_lines(finished_run):
    lines = finished_run.lines
    first = np.flatnonzero(lines.upper == 5)[0]
    blended = lines.blended.copy()
    blended[first] = True
    blended[lines.upper == 6] = True
    rms, n = branching(replace(finished_run, lines=replace(lines, blended=blended)))
    # 0 and -0.1 dex are left of level 5.
    assert_allclose(rms[0], 0.1 / np.sqrt(2))
    assert_array_equal(n, [2, 3, 0])
    assert np.isnan(rms[2])


def test_branching_leaves_out_lines_that_the_calculation_lacks(finished_run):
    theory = finished_run.system.transitions
    keep = ~((theory.upper == 5) & (theory.lower == 2))
    fewer = replace(
        theory,
        upper=theory.upper[keep],
        lower=theory.lower[keep],
        g_a=theory.g_a[keep],
        wavenumber=theory.wavenumber[keep],
    )
    rms, n = branching(replace(finished_run, system=replace(finished_run.system, transitions=fewer)))
    assert n[0] == 2
    assert_allclose(rms[0], 0.1 / np.sqrt(2))


def test_every_classified_line_is_listed_once(finished_run):
    table = lines_table(finished_run)
    assert len(table) == 3 + 8
    assert np.all(np.diff(table["wavenumber"].value) > 0)
    assert_array_equal(table["provenance"] == "initial", np.asarray(table["upper"]) == 3)
    assert_array_equal(table["origin"][table["upper"] == 3], "atlas")
    assert set(table["provenance"][table["upper"] != 3]) == {"evidence"}
    observed = finished_run.system.lines
    assert_array_equal(np.sort(observed.wavenumber), table["wavenumber"].value)


def test_residuals_belong_to_the_energies_in_the_table(finished_run):
    table = lines_table(finished_run)
    expected = table["wavenumber"] - (table["upper_energy"] - table["lower_energy"])
    # The digits that a difference of energies of 3e4 cm^-1 leaves.
    assert_allclose(table["obs_minus_calc"].value, expected.value, rtol=0, atol=1e-10)
    assert_allclose(table["sigma"], expected.value / 0.002, rtol=0, atol=1e-7)
    assert table["intensity_ratio"].unit == u.dex
    ratio = table["intensity_ratio"].value
    assert np.isnan(ratio[table["upper"] == 3]).all()
    assert_allclose(np.sort(ratio[table["upper"] == 5]), [-1.1, -1.0, -0.9])


def test_a_line_with_two_transitions_is_blended_in_both_rows(finished_run):
    lines, old = finished_run.lines, finished_run.system.classified
    line = lines.line.copy()
    line[0] = int(np.flatnonzero(finished_run.system.lines.wavenumber == old.wavenumber[1])[0])
    table = lines_table(replace(finished_run, lines=replace(lines, line=line)))
    both = table["wavenumber"].value == old.wavenumber[1]
    assert both.sum() == 2
    assert_array_equal(table["blended"], both)


def test_undetermined_levels_say_why(finished_run):
    table = undetermined_table(finished_run)
    assert table.colnames == [
        "level",
        "label",
        "J",
        "parity",
        "E_calc",
        "energy",
        "probability",
        "n_lines",
        "reason",
        "suggestion",
    ]
    assert table["reason"][0] == "no line within the range"
    assert table["E_calc"][0] == 34_000 * WAVENUMBER


def test_summary_tells_counts_and_reasons(finished_run):
    text = "\n".join(summary_lines(finished_run))
    assert (
        "determined 3 of 4 unknown levels with 8 line identifications; 4 levels and 3 lines were known"
        in text
    )
    assert "1 at 0.99 or more, 2 at 0.9 or more, 3 at 0.5 or more; 2.5 of 3 expected" in text
    assert "1 x no line within the range" in text
    many = replace(
        finished_run.undetermined,
        **{
            n: np.repeat(getattr(finished_run.undetermined, n), 12)
            for n in ("level", "energy", "probability", "n_lines")
        },
        reason=(
            *(f"only one of its {k} lines (at {k}.5) is seen; odds {k}" for k in range(3)),
            *(f"reason {letter}" for letter in "abcdefghh"),
        ),
        suggestion=("wider range",) * 12,
    )
    text = "\n".join(summary_lines(replace(finished_run, undetermined=many)))
    assert (
        "reasons: 12 levels\n  3 x only one of its n lines is seen\n  2 x reason h\n  1 x reason a\n" in text
    )
    assert "for 12 of them" in text
    assert "cancelled" in "\n".join(summary_lines(replace(finished_run, outcome=Outcome.CANCELLED)))


def test_an_empty_run_has_empty_tables(finished_run):
    empty = nothing_found(finished_run)
    assert len(levels_table(empty)) == len(undetermined_table(empty)) == 0
    assert len(lines_table(empty)) == 3
    assert "determined 0 of 4" in summary_lines(empty)[0]


# ------------------------------------------------------------------------------- the next start


def test_a_finished_run_is_a_starting_state(finished_run):
    system = advanced(finished_run)
    assert_array_equal(system.known_energy, finished_run.energy)
    assert len(system.classified) == 11
    assert_array_equal(system.known.provenance, ["atlas"] * 4 + ["evidence"] * 3)
    assert system.outliers().size == 0
    again = lines_table(nothing_found(replace(finished_run, system=system)))
    once = lines_table(finished_run)
    for name in ("wavenumber", "lower", "upper", "snr", "origin"):
        assert_array_equal(again[name], once[name])
    assert_allclose(again["obs_minus_calc"].value, once["obs_minus_calc"].value, rtol=0, atol=1e-10)


def classified_pairs(system):
    c = system.classified
    return sorted(zip(c.lower, c.upper, c.wavenumber, c.uncertainty, c.intensity, c.provenance, strict=True))


def test_tables_bring_back_the_same_starting_state(finished_run):
    direct = advanced(finished_run)
    system = continued(
        finished_run.system, levels_table(finished_run), lines_table(finished_run), provenance="evidence"
    )
    assert_array_equal(system.known_energy, direct.known_energy)
    assert_array_equal(system.known.provenance, direct.known.provenance)
    assert classified_pairs(system) == classified_pairs(direct)


def test_a_level_that_is_known_gets_the_energy_of_the_table(finished_run):
    levels, lines = levels_table(finished_run), lines_table(finished_run)
    levels["energy"][0] += 0.5 / u.cm
    system = continued(advanced(finished_run), levels, lines)
    assert len(system.known) == 7
    assert system.known_energy[5] == 32_111.5


def test_edited_tables_are_taken_as_they_are(finished_run):
    levels, lines = levels_table(finished_run), lines_table(finished_run)
    levels["energy"] = levels["energy"].value * u.eV
    with pytest.raises(InputError, match="eV, which is no wavenumber"):
        continued(finished_run.system, levels, lines)
    levels["energy"] = (finished_run.levels.energy / 1e7) * u.nm**-1
    levels["energy"][1] += 1e-7 / u.nm
    system = continued(finished_run.system, levels[:2], lines)
    assert_allclose(system.known_energy[[5, 4]], [32_111.0, 30_941.0])
    assert np.isnan(system.known_energy[6])
    assert len(system.classified) == 9
    assert "2 lines left out" in system.notes[-2]
    assert "3 of 9 lines do not fit" in system.notes[-1]
    del lines["snr"]
    with pytest.raises(InputError, match="no column 'snr'"):
        continued(finished_run.system, levels, lines)
