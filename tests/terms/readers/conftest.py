"""A small system, made by hand, that every format can hold."""

import numpy as np
import pytest

from spectuner_ext.terms import ClassifiedLines, KnownLevels, Levels, LineList, TermSystem, Transitions


@pytest.fixture
def system():
    levels = Levels(
        np.array([0.0, 951.3, 25147.2, 27484.4, 45197.7]),
        np.array([4.0, 3.0, 5.0, 4.0, 4.0]),
        np.array([0, 0, 1, 1, 0]),
        np.array(["98 3d8 3F  4.0", "98 3d8 3F  3.0", "90 3d7.(4F).4p 5F*  5.0", "3d7,4p; é 5F° 4.0", ""]),
        source="theory.csv",
    )
    transitions = Transitions(
        np.array([2, 3, 3, 4, 4]),
        np.array([0, 0, 1, 2, 3]),
        np.array([4.1e6, 3.3e7, 1.2e8, 5.5e8, 0.0]),
        np.array([25147.2, 27484.4, 26533.1, 20050.5, 17713.3]),
        source="rates.csv",
    )
    lines = LineList(
        np.array([26533.22, 25148.01, 27485.37, 20050.123456789]),
        np.array([0.003, 0.01, 0.0021, 1.0 / 3.0]),
        np.array([1.5e5, 3.0, 217.25, 11.0]),
        np.array([900.0, 3.3, 55.0, 12.0]),
        source="list.csv",
    )
    known = KnownLevels(
        np.array([0, 1, 3]),
        np.array([0.0, 952.15, 27485.37]),
        np.array([0.0, 0.004, np.nan]),
        np.array(["definition", "Moore", "evidence"]),
        source="known.csv",
    )
    classified = ClassifiedLines(
        np.array([0, 1]),
        np.array([3, 3]),
        np.array([27485.37, 26533.22]),
        np.array([0.0021, 0.003]),
        np.array([217.25, 1.5e5]),
        np.array([55.0, 900.0]),
        np.array(["Moore", "evidence"]),
        source="known_lines.csv",
    )
    return TermSystem(levels, transitions, lines, known, classified, "Co II", ("checked by hand",))
