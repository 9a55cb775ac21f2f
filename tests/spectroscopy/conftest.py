import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spectuner_ext.spectroscopy.schema import CREATE, PF_COLUMNS, PF_TEMPERATURES

LINES = [  # name, MHz, A, error, E_low cm^-1, g_u, hfs, upper, lower: CO and CH3CN, not in order of frequency
    ("CO;v=0;", 230538.0, 6.910e-7, 0.0005, 3.845033, 5, None, "J=2", "J=1"),
    ("CO;v=0;", 115271.2018, 7.203e-8, 0.0005, 0.0, 3, None, "J=1", "J=0"),
    ("CO;v=0;", 345795.9899, 2.497e-6, 0.0005, 11.534953, 7, None, "J=3", "J=2"),
    ("CO;v=1;", 114221.757, 7.0e-8, None, 2143.272, 3, None, "J=1", "J=0"),
    ("CH3CN;v=0;hyp1", 91987.0, 6.0e-5, None, 5.5, 14, "hyp1", "5(0), F=6", "4(0), F=5"),
    ("CH3CN;v=0;", 91987.0876, 6.1e-5, None, 5.5, 44, None, "5(0)", "4(0)"),
    ("RRL-H", 232000.0, 1.0, None, 0.0, 1, None, None, None),
]


def q_of(temperature: float) -> float:
    return 0.3631 * temperature + 0.33  # a linear rotor near CO


def write_old(path: Path) -> Path:
    """A file in the layout of the CDMS download: 121 and 12 columns."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in CREATE[:2]:
            connection.execute(statement)
        values = [q_of(t) for t in PF_TEMPERATURES]
        values[-1] = None  # the catalogue does not tabulate 1000 K
        for name, comment in (
            ("CO;v=0;", " 28503- v2*:CO; $v=0$"),
            ("CO;v=1;", " 28512- v1:CO; $v=1$"),
            ("CH3CN;v=0;", " 41505- v2*:CH3CN; $v=0$"),
            ("CH3CN;v=0;hyp1", None),
            ("RRL-H", None),
        ):
            row = (name, None, "XCDMS-1", None, None, *values, None, None, comment, None, None, None)
            connection.execute(f"INSERT INTO Partitionfunctions VALUES ({', '.join('?' * 121)})", row)
        for name, nu, a, error, energy, g, hfs, upper, lower in LINES:
            row = (name, nu, None, a, error, energy, g, None, hfs, None, upper, lower)
            connection.execute(f"INSERT INTO Transitions VALUES ({', '.join('?' * 12)})", row)
        connection.commit()
    return path


def write_new(path: Path) -> Path:
    """A file in the newer layout: further columns before and after, lower-case names."""
    before = "pf_id INTEGER, pf_name TEXT, pf_stoichiometricformula TEXT, pf_vibstate TEXT"
    q = ", ".join(f"{c.lower()} REAL" for c in reversed(PF_COLUMNS))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE partitionfunctions ({before}, {q}, pf_comment TEXT, pf_doi TEXT)")
        connection.execute(
            "CREATE TABLE transitions (t_id INTEGER, t_pf_id INTEGER, t_name TEXT, t_energylower REAL, "
            "t_oscillatorstrength REAL, t_frequency REAL, t_upperstatedegeneracy INTEGER, t_einsteina REAL, "
            "t_uncertainty REAL, t_hfs TEXT, t_upperstatequantumnumbers TEXT, "
            "t_lowerstatequantumnumbers TEXT)"
        )
        values = [None, *(q_of(t) for t in PF_TEMPERATURES[-2::-1])]
        for i, (name, comment) in enumerate(
            (
                ("CO;v=0;", " 28503- v2*:CO; $v=0$"),
                ("CO;v=1;", " 28512- v1:CO; $v=1$"),
                ("CH3CN;v=0;", " 41505- v2*:CH3CN; $v=0$"),
                ("CH3CN;v=0;hyp1", None),
                ("RRL-H", None),
            )
        ):
            row = (i, name, None, None, *values, comment, None)
            connection.execute(f"INSERT INTO partitionfunctions VALUES ({', '.join('?' * len(row))})", row)
        for i, (name, nu, a, error, energy, g, hfs, upper, lower) in enumerate(LINES):
            row = (i, i, name, energy, None, nu, g, a, error, hfs, upper, lower)
            connection.execute(f"INSERT INTO transitions VALUES ({', '.join('?' * 12)})", row)
        connection.commit()
    return path


@pytest.fixture(params=[write_old, write_new], ids=["old", "new"])
def foreign(request, tmp_path):
    """A database that we did not build, in both layouts."""
    return request.param(tmp_path / "cdms.db")
