"""Table 3 of the paper, and the lines of its molecules in memory."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError, SpeciesError
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.observation import Beam, Observation, Window
from spectuner_ext.policy.scenes.library import FAINT, TYPICAL_T, SpeciesLibrary
from spectuner_ext.policy.scenes.species import MOL_1980, MOL_2010, group_of, missing, molecule_of, n_rare
from spectuner_ext.spectroscopy.matches import PAPER_SPECIES

SOME = ["CH3OH;v=0;", "CH3CN;v=0;", "CH3OCHO;v=0;", "SO2;v=0;", "CO;v=0;", "C-13-H3OH;v=0;", "CCH;v=0;"]


@pytest.fixture(scope="module")
def some_species(database):
    return SpeciesLibrary(database, species=SOME)


def test_table_is_complete():
    assert (len(MOL_1980), len(MOL_2010), len(set(MOL_1980) & set(MOL_2010))) == (50, 130, 28)
    assert set(MOL_1980) | set(MOL_2010) == set(PAPER_SPECIES)


@pytest.mark.parametrize(
    ("entry", "molecule", "group"),
    [
        ("CH3OH;v=0;", "CH3OH", "Mol-1980"),  # in both printed sets: trained on, so not new
        ("C-13-H3OH;vt=1;", "CH3OH", "Mol-1980"),
        ("t-DCOOH;v=0;", "HCOOH", "Mol-1980"),
        ("CH2CHC-13-N;v=0;", "C2H3CN", "Mol-1980"),
        ("CCD;v=0;", "C2H", "Mol-1980"),
        ("CH3COCH3;v=0;", "CH3COCH3", "Mol-2010"),
        ("c-HCC-13-CH;v=0;", "c-C3H2", "Mol-2010"),
        ("HNCCC;v=0;", "HNCCC", "Mol-2010"),  # an isomer of HC3N
        ("HCCC-13-N;v7=1;", "HC3N", "Mol-1980"),
        ("CH3NC;v=0;", "CH3NC", "Mol-2010"),
        ("H2NCH2COOH;v=0;", None, "other"),
    ],
)
def test_entries_belong_to_the_molecule_of_their_atoms(entry, molecule, group):
    assert (molecule_of(entry), group_of(entry)) == (molecule, group)


def test_sets_are_disjoint_and_agree_with_the_database(database):
    library = SpeciesLibrary(database)
    sets = [set(library.names_of(g)) for g in ("Mol-1980", "Mol-2010", "other")]
    assert sum(map(len, sets)) == len(library) == len(set.union(*sets))
    molecules = [{molecule_of(n) for n in s} for s in sets]
    assert not molecules[0] & molecules[1]
    for name in database.species:
        assert (group_of(name) != "other") == database.entry(name).in_training_set, name


def test_what_is_missing_is_what_the_documentation_says(database):
    text = (Path(__file__).parents[2] / "docs" / "catalogue.md").read_text("utf-8")
    stated = re.search(r"several have no rotational spectrum at all\): (.*?)\. A CDMS", text, re.DOTALL)[1]
    absent = set(missing("Mol-1980", database.species)) | set(missing("Mol-2010", database.species))
    assert absent == {name.strip() for name in stated.replace("\n", " ").split(",")}
    assert missing("Mol-1980", database.species) == ("C2H2", "CH+", "CH3NH2")
    with pytest.raises(InputError, match="group"):
        missing("Mol-1900", database.species)


def test_molecules_with_many_rare_atoms_are_left_out(database):
    class Renamed:
        species = ("C-13-D3OH;v=0;", "CO;v=0;")

        def select(self, name, ranges=None, *, hyperfine="keep"):
            return database.select("CO;v=0;", ranges, hyperfine=hyperfine)

    assert n_rare("C-13-D3OH;v=0;") == 4
    assert len(SpeciesLibrary(Renamed())) == 1


def test_lines_are_those_of_the_database(database, some_species):
    ranges = [(217_000.0, 219_000.0), (218_500.0, 220_000.0), (331_000.0, 332_000.0)]
    for name in SOME:
        ours, theirs = some_species.lines(name, ranges), database.select(name, ranges, hyperfine="merge")
        # a blend is cut by the end of a range there, and not here
        inside = (theirs.frequency > 217_001) & (theirs.frequency < 331_999)
        assert_array_equal(
            ours.frequency[(ours.frequency > 217_001) & (ours.frequency < 331_999)], theirs.frequency[inside]
        )
        assert_array_equal(np.sort(ours.einstein_a)[-3:], np.sort(theirs.einstein_a)[-3:])


def test_bound_lines_are_those_of_the_model(some_species):
    windows = tuple(
        Window(
            nu=low + 0.5 * np.arange(1000),
            intensity=np.zeros(1000),
            sigma=np.ones(1000),
            mask=np.ones(1000, bool),
            t_continuum=np.zeros(1000),
            beam=Beam(major=1, minor=1),
        )
        for low in (217_000.0, 217_600.0, 241_500.0)  # two whose reaches overlap
    )
    observation = Observation(windows)
    ranges = np.array(line_ranges(observation))
    numbers = np.array([3, 0, 2])
    lines, index = some_species.bind(numbers, ranges[:, 0], ranges[:, 1])
    model = LTEModel.bind(observation, [some_species.transitions[i] for i in numbers])
    for field in lines._fields:
        assert_allclose(getattr(lines, field), getattr(model.lines, field), rtol=1e-14, err_msg=field)
    assert_array_equal(some_species.nu[index], lines.nu)


def test_counts_against_a_plain_loop(some_species):
    low, high = np.array([96_000.0, 241_000.0]), np.array([97_800.0, 242_800.0])
    n_line, n_strong = some_species.count(low, high)
    for s, t in enumerate(some_species.transitions):
        inside = [any(a <= f < b for a, b in zip(low, high, strict=True)) for f in t.frequency]
        depth = (t.einstein_a * t.g_upper / t.frequency**3 * np.exp(-t.e_lower / TYPICAL_T))[inside]
        assert n_line[s] == depth.size
        assert n_strong[s] == sum(d * FAINT >= depth.max() for d in depth)


def test_library_travels_between_processes(some_species):
    again = pickle.loads(pickle.dumps(some_species))
    assert again.fingerprint == some_species.fingerprint
    assert again.names == some_species.names


def test_unknown_names_are_refused(database, some_species):
    with pytest.raises(SpeciesError, match="C2H5OH"):
        some_species.lines("C2H5OH;v=0;", [(1e5, 2e5)])
    with pytest.raises(SpeciesError):
        SpeciesLibrary(database, species=["unobtainium"])
    with pytest.raises(InputError, match="none of 1 entries"):
        SpeciesLibrary(database, species=["CO;v=0;"], frequency_range=(90_000.0, 91_000.0))
    with pytest.raises(InputError, match="group"):
        some_species.in_group("Mol-1900")
