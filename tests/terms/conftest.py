"""A small ion whose truth is known, and a finished run on it."""

import numpy as np
import pytest

from spectuner_ext.terms import (
    AnalysisSettings,
    ClassifiedLines,
    KnownLevels,
    Levels,
    LineList,
    TermSystem,
    Transitions,
)
from spectuner_ext.terms.result import Analysis, AssignedLines, DeterminedLevels, Outcome, Undetermined

TRUTH = np.array([0.0, 1000.5, 2100.25, 30_010.0, 30_940.0, 32_111.0, 33_350.0, 34_020.0])
"""Energies in cm^-1: three of 4f4, four of 4f3.5d and one of 4f3.6p."""
E_CALC = np.array([0.0, 1000.0, 2100.0, 30_000.0, 31_000.0, 32_000.0, 33_000.0, 34_000.0])
LABEL = ["4f4 5I", "4f4 5I", " 4f4 5I ", "4f35d~4I5L", "4f35d~4I5K", "4f35d~4I5H", "4f35d~4F5H", "4f36p~4I5K"]
KNOWN, FOUND, LEFT = [0, 1, 2, 3], [5, 4, 6], [7]
SCATTER = 0.1
"""Dex by which the three lines of level 5 depart from its population: +, 0, -."""


@pytest.fixture
def finished_run():
    """Levels 0 to 3 known with three lines; 5, 4 and 6 determined (6 wrongly, from two lines), 7 left."""
    upper, lower = np.array([(u, k) for u in range(3, 8) for k in range(3)]).T
    g_a = 1e7 * (1.0 + upper + 0.3 * lower)
    energy = TRUTH.copy()
    energy[6] += 7.0
    noise = 1e-3 * np.sin(1.0 + np.arange(upper.size))
    wavenumber = energy[upper] - energy[lower] + noise
    population = 10.0 ** -np.array([0, 0, 0, 4.0, 4.1, 5.0, 4.3, 4.4])
    intensity = g_a * population[upper]
    of_five = np.flatnonzero(upper == 5)
    intensity[of_five] *= 10.0 ** (SCATTER * np.array([1.0, 0.0, -1.0]))
    seen = ~((upper == 6) & (lower == 2)) & (upper != 7)
    order = np.argsort(wavenumber[seen])
    row = np.empty(order.size, dtype=np.int64)
    row[order] = np.arange(order.size)
    line_of = np.full(upper.size, -1)
    line_of[seen] = row
    lines = LineList(
        wavenumber[seen], np.full(row.size, 0.002), intensity[seen], np.full(row.size, 20.0), source="list"
    )
    start = upper == 3
    system = TermSystem(
        Levels(
            E_CALC,
            np.array([4.0, 5.0, 6.0, 5.0, 5.0, 5.0, 5.0, 5.0]),
            np.array([0, 0, 0, 1, 1, 1, 1, 1]),
            np.array(LABEL),
        ),
        Transitions(upper, lower, g_a, E_CALC[upper] - E_CALC[lower]),
        lines,
        KnownLevels(np.array(KNOWN), TRUTH[KNOWN], np.full(4, np.nan), np.full(4, "atlas"), source="known"),
        ClassifiedLines(
            lower[start],
            upper[start],
            wavenumber[start],
            np.full(3, 0.002),
            intensity[start],
            np.full(3, 20.0),
            np.full(3, "atlas"),
            source="known lines",
        ),
        name="small ion",
    )
    new = np.flatnonzero(seen & np.isin(upper, FOUND))
    nan = np.full(3, np.nan)
    return Analysis(
        system,
        AnalysisSettings(spectral_range=(0.0, 50_000.0)),
        "evidence",
        DeterminedLevels(
            np.array(FOUND),
            energy[FOUND],
            np.array([0.001, 0.001, 0.002]),
            np.array([0.99, 0.95, 0.6]),
            np.array([7.0, 4.0, 0.5]),
            nan,
            np.array([32_000.5, np.nan, 33_350.0]),
            np.array([-2.0, np.nan, 0.1]),
            np.array([3, 3, 2]),
            np.arange(3),
        ),
        AssignedLines(
            line_of[new],
            lower[new],
            upper[new],
            noise[new],
            np.full(new.size, 0.002),
            np.log10(intensity[new]),
            np.log10(g_a[new]) - 4.0,
            np.zeros(new.size, dtype=bool),
        ),
        Undetermined(
            np.array(LEFT),
            np.array([np.nan]),
            np.array([np.nan]),
            np.array([0]),
            ("no line within the range",),
            ("",),
        ),
        Outcome.COMPLETE,
        11.5,
        {"cpu_s": 0.25, "population": np.array([1.0, np.nan])},
    )
