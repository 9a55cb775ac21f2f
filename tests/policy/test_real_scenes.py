"""The real windows: two halves that share no channel, and the species that may be fitted to them."""

from itertools import pairwise

import numpy as np
import pytest
from astropy.io import fits

from spectuner_ext.errors import InputError
from spectuner_ext.policy.scenes.library import SpeciesLibrary
from spectuner_ext.policy.scenes.real import HALVES, RealSpectra, candidates

SPECIES = ["CH3OH;v=0;", "CH3OCHO;v=0;", "CH3CN;v=0;", "SO2;v=0;", "CO;v=0;", "HC9N;v=0;", "C2H5OH;v=0;"]


@pytest.fixture(scope="module")
def real_halves(shared):
    folder = shared / "data" / "iras16293b"
    return {half: RealSpectra(folder, half) for half in HALVES}


@pytest.mark.shared_data
def test_halves_never_mix(real_halves, shared):
    train, evaluation = real_halves["train"], real_halves["evaluation"]
    assert len(train.files) == len(evaluation.files) == 5
    assert not set(train.files) & set(evaluation.files)
    ends = [(w.edges[0], w.edges[-1], h) for h in HALVES for w in real_halves[h].windows]
    ends.sort()
    assert [e[2] for e in ends] == ["train", "evaluation"] * 5
    assert all(a[1] < b[0] for a, b in pairwise(ends))
    rng = np.random.default_rng(0)
    for half in HALVES:
        mine = {w.nu[0] for w in real_halves[half].windows}
        for _ in range(100):
            drawn = real_halves[half].draw(rng)
            assert {w.nu[0] for w in drawn.windows} <= mine
            assert 1 <= len(drawn.windows) == len({w.nu[0] for w in drawn.windows}) <= 4
            assert drawn.meta["half"] == half


@pytest.mark.shared_data
def test_data_are_those_of_the_files_without_their_baseline(real_halves, shared):
    spectra = real_halves["evaluation"]
    for w, name in zip(spectra.windows, spectra.files, strict=True):
        with fits.open(shared / "data" / "iras16293b" / name) as hdus:
            table, header = hdus[1].data, hdus[1].header
            np.testing.assert_allclose(w.nu, table["frequency"], rtol=1e-12)
            np.testing.assert_allclose(w.intensity, table["T_B"] - header["MODE"], atol=1e-5)
        assert w.beam.major == pytest.approx(0.486)
        assert np.all(w.t_continuum == 20.0)
        assert 0.2 < w.sigma[0] < 0.7


@pytest.mark.shared_data
def test_combinations_are_all_sets_of_one_to_four(real_halves):
    choices = real_halves["train"].combinations()
    assert len(choices) == len(set(choices)) == 5 + 10 + 10 + 5
    assert [w.nu[0] for w in real_halves["train"].observation((0, 3)).windows] == [
        real_halves["train"].windows[k].nu[0] for k in (0, 3)
    ]


@pytest.mark.shared_data
def test_candidates_have_a_peak_within_twelve_kilometres(real_halves, database):
    library = SpeciesLibrary(database, species=SPECIES)
    observation = real_halves["evaluation"].observation((0, 1, 2, 3, 4)[:4])
    found = {c.species: c for c in candidates(observation, library)}
    assert {"CH3OH;v=0;", "CH3OCHO;v=0;"} <= set(found)
    assert "CO;v=0;" not in found  # no line in these windows
    assert found["CH3OCHO;v=0;"].n_met > 5
    strict = {c.species for c in candidates(observation, library, min_share=0.99)}
    assert strict <= set(found)
    assert not candidates(observation, library, "Mol-2010")
    quiet = type(observation)(
        tuple(
            type(w)(w.nu, np.zeros(w.nu.size), w.sigma, w.mask, w.t_continuum, w.beam)
            for w in observation.windows
        )
    )
    assert candidates(quiet, library) == ()


@pytest.mark.shared_data
def test_wrong_halves_and_folders_are_named(shared, tmp_path):
    with pytest.raises(InputError, match="half"):
        RealSpectra(shared / "data" / "iras16293b", "third")
    with pytest.raises(InputError, match="folder"):
        RealSpectra(tmp_path, "train")
