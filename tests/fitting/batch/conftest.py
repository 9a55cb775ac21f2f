"""Simulated pixels of known truth on the channels of a small three-window cube."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from spectuner_ext.fitting import Problem
from spectuner_ext.fitting.batch.problem import BatchProblem
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.lte.parameters import ParameterSpace
from spectuner_ext.observation.cubes.block import SpectrumBlock
from spectuner_ext.observation.observation import Beam, Observation, Window

NOISE = 0.05
CONTINUUM = 3.0


@dataclass
class Pixels:
    """A block with its truth, and the same pixels one by one."""

    frame: Observation
    problem: BatchProblem
    block: SpectrumBlock
    sigma: np.ndarray
    truth: np.ndarray

    @property
    def limits(self):
        shape = self.truth.shape
        return np.broadcast_to(self.problem.lower, shape), np.broadcast_to(self.problem.upper, shape)

    def observation(self, p):
        """Pixel p as the observation of a single spectrum."""
        windows = []
        for w, (a, b) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            windows.append(
                replace(
                    self.frame.windows[w],
                    intensity=self.block.value[p, a:b].astype(float),
                    sigma=np.full(b - a, self.sigma[p, w]),
                    mask=self.block.good[p, a:b],
                    t_continuum=np.full(b - a, self.block.continuum[p, w]),
                    smoothing=float(self.problem.smoothing[w]),
                )
            )
        return Observation(tuple(windows))

    def single(self, p, loss="chi2", offset=0.0):
        """Pixel p as the problem of a single spectrum."""
        observation = self.observation(p)
        model = LTEModel.bind(observation, self.problem.model.transitions)
        return Problem.build(
            observation, model, self.problem.space, self.problem.species, loss=loss, offset=offset
        )

    @property
    def starts(self):
        return self.problem.fit.grid.start


@pytest.fixture(scope="session")
def cube_frame():
    windows = []
    for k, (low, step, n) in enumerate(
        [(215_900.0, 0.488, 900), (218_350.0, 0.488, 700), (229_700.0, 0.977, 400)]
    ):
        windows.append(
            Window(
                nu=low + step * np.arange(n),
                intensity=np.zeros(n),
                sigma=np.ones(n),
                mask=np.ones(n, bool),
                t_continuum=np.zeros(n),
                beam=Beam(1.9, 1.9),
                name=f"w{k}",
            )
        )
    return Observation(tuple(windows))


@pytest.fixture(scope="session")
def pixels_of(cube_frame, database):
    """Make n pixels of some species: half of them incomplete, one in three with a continuum."""

    def make(species=("CH3OH",), n=12, seed=0, smoothing=0.0, fixed=None, offset=0.0):
        rng = np.random.default_rng(seed)
        lines = [
            database.select(database.resolve(s), line_ranges(cube_frame), hyperfine="merge") for s in species
        ]
        model = LTEModel.bind(cube_frame, lines)
        space = ParameterSpace.build(list(species), fixed=fixed)
        n_window = len(cube_frame.windows)
        problem = BatchProblem.build(
            cube_frame, model, space, smoothing=np.full(n_window, smoothing), offset=offset
        )
        theta = np.stack(
            [
                np.column_stack(
                    [
                        rng.uniform(0.1, 0.8, n),
                        rng.uniform(40.0, 250.0, n),
                        10.0 ** rng.uniform(16.0, 18.3, n),
                        rng.uniform(2.0, 8.0, n),
                        rng.uniform(-4.0, 4.0, n),
                    ]
                )
                for _ in species
            ],
            axis=1,
        )
        for c, held in enumerate(fixed or []):
            for k, name in enumerate(("filling_factor", "T_ex", "N_tot", "fwhm", "v_off")):
                theta[:, c, k] = held.get(name, theta[:, c, k])
        continuum = np.where(np.arange(n)[:, None] % 3 == 1, CONTINUUM, 0.0) * np.ones(n_window)
        truth = np.zeros((n, problem.n_free))
        value = np.zeros((n, model.n_channel), dtype=np.float32)
        for p in range(n):
            truth[p, : space.n_free] = space.vector(theta[p])
            behind = [replace(w, t_continuum=np.full(w.nu.size, continuum[p, 0])) for w in cube_frame.windows]
            bound = LTEModel.bind(Observation(tuple(behind)), lines)
            noise = rng.normal(size=model.n_channel)
            if smoothing:
                wide = rng.normal(size=model.n_channel + 2)
                noise = wide[1:-1] + smoothing * (wide[2:] + wide[:-2])
                noise /= np.sqrt(1.0 + 2.0 * smoothing**2)
            value[p] = bound.spectrum(theta[p]) + NOISE * noise
        good = np.ones(value.shape, bool)
        good[::2] = rng.random(value[::2].shape) > 0.02
        value[~good] = 0.0
        block = SpectrumBlock(
            np.column_stack([np.arange(n), np.arange(n)]),
            value,
            good,
            continuum,
            np.full((n, n_window), np.nan),
        )
        return Pixels(cube_frame, problem, block, np.full((n, n_window), NOISE), truth)

    return make
