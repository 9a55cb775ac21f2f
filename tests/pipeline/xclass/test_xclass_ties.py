"""Molfits with several components: flags that differ between them, and isotopologues that follow each of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.observation import Observation, Window
from spectuner_ext.pipeline.request import components_for, ties_between
from spectuner_tasks import sdfit_lte


@pytest.fixture(scope="module")
def fitted(job_folder):
    """The made-up job with T_ex of the first component held and that of the second fitted."""
    text = (job_folder / "molecules.molfit").read_text().splitlines()
    at = next(k for k, line in enumerate(text) if line.startswith("CH3OH")) + 1
    text[at] = text[at].replace("y 10.0 400.0 100.0", "n 10.0 400.0 150.0")
    (job_folder.parent / "mixed.molfit").write_text("\n".join(text) + "\n")
    return sdfit_lte(job_folder / "obs.xml", job_folder.parent / "mixed.molfit")


def test_one_component_is_held_and_the_other_fitted(fitted):
    rows = [row for row in fitted["parameters"] if row["species"] == "CH3OH;v=0;"]
    assert rows[0]["T_ex"].value == 150.0
    assert np.isnan(rows[0]["T_ex_err"])
    assert rows[1]["T_ex_err"] > 0
    assert_allclose(rows[1]["T_ex"].value, 60.0, rtol=0.1)


def test_every_component_of_an_isotopologue_follows_its_master(fitted):
    of = {(row["species"], row["component"]): row for row in fitted["parameters"]}
    for number in (1, 2):
        main, rare = of["CH3OH;v=0;", number], of["C-13-H3OH;v=0;", number]
        if not rare["detected"]:
            continue
        assert_allclose(main["N_tot"] / rare["N_tot"], 30.0, rtol=1e-9)
        for name in ("T_ex", "fwhm", "v_off", "source_size"):
            assert_allclose(main[name].value, rare[name].value, rtol=1e-12)
    assert of["C-13-H3OH;v=0;", 1]["detected"]


def test_a_tie_names_a_component_that_is_there(observation_of_nothing):
    names = ["CH3OH;v=0;", "C-13-H3OH;v=0;"]
    asked = components_for(observation_of_nothing, names, names, components={names[0]: 2, names[1]: 1})
    tie = {"parameter": "T_ex", "species": names, "component": 2}
    with pytest.raises(InputError, match=r"ties: C-13-H3OH;v=0; has no component 2"):
        ties_between(asked, names, names, [tie])
    (found,) = ties_between(asked, names, names, [{**tie, "component": 1}])
    assert found.components == (0, 2)


@pytest.fixture
def observation_of_nothing():
    nu = np.arange(10.0) + 1e5
    return Observation((Window(nu, nu * 0, nu, nu > 0, nu * 0),))
