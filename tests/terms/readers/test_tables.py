"""Tables in any spectral unit to the data classes and back."""

from dataclasses import fields

import astropy.units as u
import numpy as np
import pytest
from astropy import constants
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.terms import ClassifiedLines, KnownLevels, Levels, LineList, Transitions
from spectuner_ext.terms.readers.tables import (
    GF_TO_GA,
    classified_from_table,
    g_a_from_log_gf,
    known_levels_from_table,
    levels_from_table,
    lines_from_table,
    to_table,
    transitions_from_table,
)

SIGMA = np.array([20000.0, 25000.0, 40000.0])


def same(first, second):
    for field in fields(first):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert_array_equal(a, b, err_msg=field.name)


@pytest.mark.parametrize(
    ("name", "unit"), [("wavenumber", "cm-1"), ("wavelength", "nm"), ("frequency", "THz"), ("energy", "eV")]
)
def test_lines_in_any_unit(name, unit):
    values = (SIGMA / u.cm).to(unit, equivalencies=u.spectral())
    table = QTable({name: values, "uncertainty": values * 1e-6, "Intensity": [1.0, 2, 3], "S/N": [4, 5, 6]})
    lines = lines_from_table(table, source="mine")
    order = np.argsort(lines.row)
    assert_allclose(lines.wavenumber[order], SIGMA, rtol=1e-14)
    assert_allclose(lines.uncertainty[order], SIGMA * 1e-6, rtol=1e-12)
    assert lines.snr[order].tolist() == [4, 5, 6]
    assert lines.source == "mine"


def test_air_wavelengths_only_when_asked():
    table = QTable({"wavelength": [500.0] * u.nm, "unc": [0.001] * u.nm, "intensity": [1.0], "snr": [5.0]})
    vacuum, air = lines_from_table(table), lines_from_table(table, air=True)
    assert_allclose(vacuum.wavenumber, 20000.0, rtol=1e-14)
    assert 1.00027 < vacuum.wavenumber[0] / air.wavenumber[0] < 1.00029  # the index of air


def test_defaults_fill_what_is_missing_and_nothing_else():
    table = Table(
        {
            "wavenumber": SIGMA,
            "uncertainty": MaskedColumn([0.1, 0.2, 0.3], mask=[False, True, False]),
            "snr": [np.nan, 7.0, 8.0],
        }
    )
    lines = lines_from_table(table, uncertainty=0.5, intensity=1.0, snr=3.0)
    assert lines.uncertainty.tolist() == [0.1, 0.5, 0.3]
    assert lines.snr.tolist() == [3.0, 7.0, 8.0]
    assert lines.intensity.tolist() == [1.0, 1.0, 1.0]
    in_nm = lines_from_table(table, uncertainty=0.001 * u.THz, intensity=1.0, snr=3.0)
    assert_allclose(in_nm.uncertainty[1], 1e9 / 2.99792458e10)


def test_masked_quantities_are_missing_values():
    masked = Masked([0.1, 0.2, 0.3] / u.cm, mask=[False, True, False])
    table = QTable({"wavenumber": SIGMA / u.cm, "uncertainty": masked, "intensity": SIGMA, "snr": SIGMA})
    assert lines_from_table(table, uncertainty=9.0).uncertainty.tolist() == [0.1, 9.0, 0.3]


@pytest.mark.parametrize("left_out", ["uncertainty", "intensity", "snr"])
def test_what_is_missing_without_a_default_is_named(left_out):
    table = Table({"wavenumber": SIGMA, "uncertainty": SIGMA, "intensity": SIGMA, "snr": SIGMA})
    table.remove_column(left_out)
    with pytest.raises(InputError, match=rf"list, row 1: no {left_out}.* \(3 such rows\).*{left_out}="):
        lines_from_table(table, source="list")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table({"x": SIGMA}), "no column of wavenumber; it is known by the names"),
        (Table({"wavelength": SIGMA}), "column wavelength has no unit"),
        (Table({"wavenumber": Column(SIGMA, unit="K")}), "K is no spectral unit"),
        (Table({"wavenumber": ["20000", "2x"]}), r"row 2: wavenumber is '2x'; a number is needed"),
        (Table({"wn": [20.0, 25.0]}), "too small for cm-1; are these kK"),
        (Table({"wn": MaskedColumn(SIGMA, mask=[0, 0, 1])}), "row 3: wn is empty"),
    ],
)
def test_tables_that_cannot_be_lines(table, message):
    with pytest.raises(InputError, match=message):
        lines_from_table(table, uncertainty=0.1, intensity=1.0, snr=1.0)


def test_an_option_gives_the_unit():
    table = Table({"wn": [20.0, 25.0], "wn_unc": [1e-6, 2e-6], "I_obs": [1.0, 1.0], "snr": [1.0, 1.0]})
    lines = lines_from_table(table, unit=1000 / u.cm)
    assert_allclose(lines.wavenumber, [20000.0, 25000.0])
    assert_allclose(lines.uncertainty, [1e-3, 2e-3])


def test_levels_of_words_and_fractions():
    table = Table(
        {
            "id": [0, 1, 2],
            "Energy": Column([0.0, 1.0, 2.0], unit="eV"),
            "J": ["9/2", "3.5", ""],
            "parity": ["even", "o", "?"],
            "Configuration": ["3d7.(4F).4s", "3d7.(4F).4p", ""],
            "Term": ["5F", "5F*", ""],
        }
    )
    levels = levels_from_table(table, source="theory")
    assert_allclose(levels.energy, [0.0, 8065.543937, 16131.087874], rtol=1e-9)
    assert_array_equal(levels.j, [4.5, 3.5, np.nan])
    assert levels.parity.tolist() == [0, 1, -1]
    assert levels.label.tolist() == ["3d7.(4F).4s 5F", "3d7.(4F).4p 5F*", ""]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [0, 2]}, "theory, row 2: id is 2, expected 1"),
        ({"J": ["9/2", "four"]}, "theory, row 2: J is 'four'"),
        ({"parity": ["even", "strange"]}, "theory, row 2: parity is 'strange'"),
        ({"E": [0.0, 10.0]}, "too small for cm-1"),
        ({"E": [0.0, np.nan]}, "theory, row 2: E_calc is nan"),
    ],
)
def test_levels_that_are_refused(columns, message):
    table = Table({"E": [0.0, 5000.0]} | columns)
    with pytest.raises(InputError, match=message):
        levels_from_table(table, source="theory")


LEVELS = Levels(
    np.array([0.0, 20000.0, 30000.0]),
    np.array([0.5, 1.5, 0.5]),
    np.array([0, 1, 1]),
    np.array(["a", "b", "c"]),
)


def test_constant_of_oscillator_strengths():
    """2 pi e^2 / (eps0 m_e c), with the constants of astropy."""
    c = constants
    expected = 2 * np.pi * c.e.si**2 / (c.eps0 * c.m_e * c.c)
    assert_allclose(GF_TO_GA, expected.to_value(u.cm**2 / u.s), rtol=1e-8)
    # Hydrogen Lyman alpha 1s-2p: f = 0.41641, A = 6.2649e8 s^-1 (Wiese & Fuhr 2009); g = 2 and 6.
    g_a = g_a_from_log_gf(np.log10(2 * 0.41641), np.array([82259.16]))
    assert_allclose(g_a / 6, 6.2649e8, rtol=1e-4)


def test_transitions_with_log_gf_and_without_wavenumber():
    table = Table({"upper": [1, 2], "lower": [0, 0], "log_gf": [0.0, -1.0]})
    transitions = transitions_from_table(table, LEVELS)
    assert transitions.wavenumber.tolist() == [20000.0, 30000.0]
    assert_allclose(transitions.g_a, [GF_TO_GA * 4e8, GF_TO_GA * 9e8 / 10])
    table = Table({"upper": [1, 9], "lower": [0, 0], "gA": [1e6, 1e6]})
    with pytest.raises(InputError, match="rates, row 2: upper level id is 9"):
        transitions_from_table(table, LEVELS, source="rates")
    with pytest.raises(InputError, match="gA must be in s-1"):
        transitions_from_table(QTable({"upper": [1], "lower": [0], "gA": [1.0] * u.m}), LEVELS)


PARTS = [
    LineList(SIGMA, SIGMA * 1e-7, SIGMA / 3, SIGMA / 7, "list.csv", np.array([5, 3, 9])),
    LEVELS,
    Transitions(np.array([1, 2]), np.array([0, 0]), np.array([1e6, 2e6]), np.array([20000.0, 30000.0]), "r"),
    KnownLevels(np.array([0, 2]), np.array([0.0, 3e4]), np.array([0.0, np.nan]), np.array(["a", "b"]), "k"),
    ClassifiedLines(
        np.array([0]),
        np.array([2]),
        np.array([3e4]),
        np.array([0.1]),
        np.array([2.0]),
        np.array([3.0]),
        np.array(["me"]),
        "c",
    ),
]
READ = {
    LineList: lines_from_table,
    Levels: levels_from_table,
    Transitions: lambda table, source: transitions_from_table(table, LEVELS, source=source),
    KnownLevels: known_levels_from_table,
    ClassifiedLines: classified_from_table,
}


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_tables_come_back(part):
    table = to_table(part)
    same(READ[type(part)](table, source=part.source), part)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_tables_have_units(part):
    table = to_table(part)
    for name in ("wavenumber", "energy"):
        if name in table.colnames:
            assert table[name].unit == u.cm**-1
    if isinstance(part, Transitions):
        assert table["g_a"].unit == u.s**-1


def test_known_levels_in_electronvolts():
    table = QTable({"level": [0, 1], "energy": [0.0, 1.0] * u.eV, "uncertainty": [0.0, 1e-6] * u.eV})
    known = known_levels_from_table(table, source="mine")
    assert_allclose(known.energy[1], 8065.543937, rtol=1e-9)
    assert_allclose(known.uncertainty[1], 8065.543937e-6, rtol=1e-9)
    assert known.provenance.tolist() == ["mine", "mine"]
