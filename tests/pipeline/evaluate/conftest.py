"""Blended spectra of known truth, small enough to be fitted in many ways within a test."""

from collections.abc import Callable

import numpy as np
import pytest

from spectuner_ext.pipeline.evaluate.pairs import Pair, contamination_of
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.policy.case import case_of

SPECIES = ("CH3OH", "CH3CN", "H2CO", "SO2")


@pytest.fixture(scope="session")
def evaluation_pairs(database) -> Callable[..., list[Pair]]:
    """Make pairs: four species in two narrow windows of band 6, one of them the target."""

    def make(n: int, *, simulated: bool = True, first: int = 0) -> list[Pair]:
        return [_pair(database, k, simulated=simulated) for k in range(first, first + n)]

    return make


def _pair(database, number: int, *, simulated: bool) -> Pair:
    rng = np.random.default_rng(number)
    components = [
        {
            "species": name,
            "filling_factor": float(10 ** rng.uniform(-1.0, -0.1)),
            "T_ex": float(rng.uniform(60, 250)),
            "N_tot": float(10 ** rng.uniform(15.5, 17.0)),
            "fwhm": float(rng.uniform(3, 7)),
            "v_off": float(rng.uniform(-3, 3)),
        }
        for name in SPECIES
    ]
    observation, truth = simulate_observation(
        [(218_150, 218_550, 0.977), (220_600, 220_800, 0.977)],
        components,
        database,
        noise=0.1,
        beam=(1.0, 1.0),
        seed=number,
    )
    row = truth[number % 2]
    vector = [
        np.log10(row["filling_factor"]),
        row["T_ex"].value,
        np.log10(row["N_tot"].value),
        np.log10(row["fwhm"].value),
        row["v_off"].value,
    ]
    return Pair(
        key=f"{'simulated' if simulated else 'real'} {number}",
        case=case_of(observation, SPECIES[number % 2], database),
        origin="simulated" if simulated else "real",
        dataset=f"set {number % 3}",
        spectrum=f"spectrum {number}",
        group=("Mol-1980", "Mol-2010")[number % 2],
        contamination=contamination_of(rng.random()),
        truth=np.array(vector, dtype=float) if simulated else None,
    )
