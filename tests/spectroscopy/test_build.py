import hashlib

import numpy as np
import pytest

from spectuner_ext.errors import InputError, OutputExistsError, SpeciesError
from spectuner_ext.spectroscopy import LineDatabase, embedded
from spectuner_ext.spectroscopy.build import INTENSITY_CUT, build
from spectuner_ext.spectroscopy.matches import PAPER_SPECIES, in_paper, read_matches
from spectuner_ext.spectroscopy.species import parse


def test_matches_are_well_formed():
    matches = read_matches()
    assert len({m.name for m in matches}) == 301
    for match in matches:
        assert parse(match.name).extra == ""
        assert match.name.endswith(";")
        assert match.quality in ("A", "B")
        assert match.q_source in ("CDMS", "JPL")
        assert (match.q_tag % 1000 >= 500) == (match.q_source == "CDMS")


def test_one_state_has_one_partition_function():
    tables = {}
    for match in read_matches():
        tables.setdefault(match.name, set()).add((match.q_source, match.q_tag))
    assert {k: v for k, v in tables.items() if len(v) > 1} == {}


def test_species_of_the_paper(database):
    assert len(PAPER_SPECIES) == len(set(PAPER_SPECIES)) == 152
    assert in_paper("C-13-H3OH;vt=1;")
    assert not in_paper("H2NCH2COOH;v=0;")
    flagged = [n for n in database.species if database.entry(n).in_training_set]
    assert 270 < len(flagged) < len(database.species)


@pytest.mark.catalogues
class TestBuild:
    def test_is_repeatable(self, tmp_path):
        names = ["CH3OH", "CO", "C2H5OH"]
        first = build(tmp_path / "a.db", species=names, f_min=80e3, f_max=120e3)
        second = build(tmp_path / "b.db", species=reversed(names), f_min=80e3, f_max=120e3)
        assert first.checksum == second.checksum
        assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.checksum
        assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.db", "b.db"]

    @pytest.mark.slow
    def test_makes_the_shipped_database(self, tmp_path, database):
        report = build(tmp_path / "core.db", index=False)
        stated = embedded.manifest()
        assert (report.n_entries, report.n_lines) == (stated.n_entries, stated.n_lines)
        with LineDatabase(report.path) as built:
            for table in ("Transitions", "Partitionfunctions", "SpectunerEntries", "SpectunerAliases"):
                query = f"SELECT * FROM {table}"
                assert built._file.rows(query) == database._file.rows(query), table

    def test_reports_and_writes_indices(self, tmp_path):
        seen = []
        report = build(tmp_path / "a.db", species=["CO", "13CO"], progress=seen.append)
        assert seen == ["C-13-O;v=0;", "CO;v=0;"]
        assert (report.n_entries, report.n_lines) == (2, 17)
        with LineDatabase(report.path) as built:
            found = built._file.rows(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'IDX%' ORDER BY 1"
            )
            assert [r[0] for r in found] == ["IDX_PF_Name", "IDX_T_Frequency", "IDX_T_Name"]
            assert built.entry("13CO").origin.q_factor == 0.5
            stored = built._file.rows("SELECT T_Frequency FROM Transitions WHERE T_Name = 'CO;v=0;'")
            assert np.all(np.diff([row[0] for row in stored]) > 0)

    def test_cut_keeps_the_strongest(self, tmp_path):
        wide = build(tmp_path / "a.db", species=["CH3OH"], intensity_cut=INTENSITY_CUT)
        narrow = build(tmp_path / "b.db", species=["CH3OH"], intensity_cut=2.0)
        assert 0 < narrow.n_lines < wide.n_lines <= wide.n_source == narrow.n_source

    def test_refuses(self, tmp_path):
        path = tmp_path / "a.db"
        path.write_text("mine")
        with pytest.raises(OutputExistsError, match="overwrite"):
            build(path, species=["CO"])
        assert path.read_text() == "mine"
        build(path, species=["CO"], overwrite=True)
        with pytest.raises(InputError, match="below f_max"):
            build(tmp_path / "b.db", f_min=2.0, f_max=1.0)
        with pytest.raises(SpeciesError, match="closest"):
            build(tmp_path / "b.db", species=["CH3OHH"])
        assert [p.name for p in tmp_path.iterdir()] == ["a.db"]
