"""A database file of XCLASS, in both layouts, gives the spectra that XCLASS has published."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.constants import KELVIN_PER_WAVENUMBER
from spectuner_ext.pipeline.xclass.case import Band, Case, ModelComponent, SpeciesLines
from spectuner_ext.pipeline.xclass.conventions import DOCUMENTED
from spectuner_ext.pipeline.xclass.synthesis import spectra_of
from spectuner_ext.spectroscopy import LineDatabase

pytestmark = pytest.mark.shared_data

# As in the design of the file that XCLASS ships: 121 and 12 columns.
OLD_BEFORE = ["PF_Name", "PF_VamdcSpeciesID", "PF_SpeciesID", "PF_NuclearSpinIsomer", "PF_HFS"]
OLD_AFTER = ["PF_ResourceID", "PF_URL", "PF_Comment", "PF_Timestamp", "PF_Unknown1", "PF_Unknown2"]
OLD_LINES = [
    "T_Name", "T_Frequency", "T_Intensity", "T_EinsteinA", "T_Uncertainty", "T_EnergyLower", "T_UpperStateDegeneracy",
    "T_NuclearSpinIsomer", "T_HFS", "T_Case", "T_UpperStateQuantumNumbers", "T_LowerStateQuantumNumbers",
]  # fmt: skip
# The newer form has further columns before and after.
NEW_BEFORE = ["PF_ID", *OLD_BEFORE[:3], "PF_Recommendation", "PF_NuclearSpinIsomer", "PF_StoichiometricFormula",
              "PF_OrdinaryStructuralFormula", "PF_ChemicalName", "PF_VibState", "PF_HFS"]  # fmt: skip
NEW_AFTER = [*OLD_AFTER[:4], "PF_UUID", "PF_DOI", "PF_Status", "PF_Createdate", "PF_Checkdate"]
NEW_LINES = ["T_ID", "T_PF_ID", *OLD_LINES[:4], "T_OscillatorStrength", *OLD_LINES[4:]]
LAYOUTS = {"old": (OLD_BEFORE, OLD_AFTER, OLD_LINES), "new": (NEW_BEFORE, NEW_AFTER, NEW_LINES)}


@pytest.fixture(scope="module")
def published(shared):
    return json.loads((shared / "data/lte_reference/xclass_published.json").read_text())


@pytest.fixture(params=LAYOUTS)
def carbon_monoxide(request, published, shared, tmp_path):
    """Database file with the twelve lines of the benchmark, made column by column."""
    before, after, columns = LAYOUTS[request.param]
    temperatures = json.loads((shared / "data/lte_reference/inputs.json").read_text())["Q"]["ch3cn"]["T"]
    q_columns = ["PF_" + f"{t:.3f}".replace(".", "_") for t in temperatures]
    q = dict(
        zip(q_columns, np.interp(temperatures, published["Q_co"]["T"], published["Q_co"]["Q"]), strict=True)
    )
    of_species = {"PF_Name": "CO;v=0;", "PF_Comment": " 28503- v2*:CO; $v=0$", "PF_ID": 7, **q}
    path = tmp_path / "cdms.db"
    with closing(sqlite3.connect(path)) as connection:
        names = [*before, *q_columns, *after]
        if request.param == "old":
            assert (len(names), len(columns)) == (121, 12)
        insert(connection, "Partitionfunctions", names, [of_species])
        lines = published["lines_co"]
        rows = [
            {
                "T_Name": "CO;v=0;", "T_Frequency": f, "T_EinsteinA": a, "T_EnergyLower": e / KELVIN_PER_WAVENUMBER,
                "T_UpperStateDegeneracy": g, "T_PF_ID": 7,
            }
            for f, a, e, g in zip(lines["freq"], lines["A"], lines["E_low"], lines["gu"], strict=True)
        ]  # fmt: skip
        insert(connection, "Transitions", columns, rows)
        connection.commit()
    return path


def insert(connection, table, columns, rows):
    connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
    for row in rows:
        values = [row.get(name) for name in columns]
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", values)


def test_twelve_sums_from_a_database_file(carbon_monoxide, published):
    given = published["inputs"]
    with LineDatabase.open(carbon_monoxide) as database:
        assert database.entry("CO").origin.tag == 28503
        lines = database.select("CO")
    assert len(lines.frequency) == 12
    bands = tuple(
        Band(f"{nu:.0f}", np.arange(nu * (1 - 16 / 3e5), nu * (1 + 14 / 3e5), 0.1), 1000.0, False, 0.0, ())
        for nu in lines.frequency
    )
    values = [
        given[k] for k in ("source_size_arcsec", "T_ex_K", "N_tot_cm-2", "V_width_fwhm_kms", "V_off_kms")
    ]
    component = ModelComponent("CO;v=0;", *values)
    species = {"CO;v=0;": SpeciesLines(lines, lines, None)}
    case = Case(bands, (component,), species, {"CO;v=0;": "CO;v=0;"}, ())
    sums = [spectrum.sum() for spectrum in spectra_of(case, DOCUMENTED)]
    # measured: 3.1e-5, 6.4e-5 with the 2.73 K of the other codes of that benchmark
    assert_allclose(sums, published["window_sum_K"]["xclass"], rtol=5e-5)
