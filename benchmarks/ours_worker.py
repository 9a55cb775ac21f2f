"""Our side, run by the interpreter of its own environment; see `worker` for how it is asked."""

import time

import numpy as np
from numba import njit
from setups import read_case
from worker import cpu_per_call, serve

from spectuner_ext.fitting import objective, peak_kernel, search_kernel
from spectuner_ext.fitting.local import solve_levmar
from spectuner_ext.fitting.peak_matching import build_peak_data
from spectuner_ext.fitting.problem import Problem
from spectuner_ext.fitting.search import polish, solve_auto
from spectuner_ext.fitting.solution import Solution, Status
from spectuner_ext.lte.model import LTEModel, line_ranges
from spectuner_ext.lte.parameters import PARAMETERS, ParameterSpace
from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.spectroscopy import LineDatabase

T_CMB = 2.726  # K, as the peer has it

state = {}


@njit
def many_spectra(n, x, fit, buffers):
    for _ in range(n):
        objective.render(x, fit, buffers, False)


@njit
def many_pm(n, fit, buffers, peaks, work):
    total = 0.0
    for _ in range(n):
        union = buffers.work.union
        total += peak_kernel.pm_loss(buffers.model, union, buffers.work.union_count[0], peaks, work)[0]
    return total


@njit(fastmath={"contract", "reassoc"})
def change_of_chi2(model, value, weight):
    """Sum of w m (m - 2 d): what a model adds to the chi2 of no model, over channels where it is not zero."""
    total = 0.0
    for i in range(model.size):
        total += weight[i] * model[i] * (model[i] - 2.0 * value[i])
    return total


@njit
def many_chi2_sums(n, fit, buffers):
    total = 0.0
    for _ in range(n):
        for i in range(buffers.work.union_count[0]):
            a, b = buffers.work.union[i, 0], buffers.work.union[i, 1]
            total += change_of_chi2(buffers.model[a:b], fit.data.value[a:b], fit.data.weight[a:b])
    return total


@njit
def many_spectrum_pm(n, x, fit, buffers, peaks, work):
    total = 0.0
    for _ in range(n):
        total += search_kernel.peak_loss(x, fit, buffers, peaks, work)
    return total


@njit
def many_spectrum_chi2(n, x, fit, buffers):
    total = 0.0
    for _ in range(n):
        total += objective.chi2(x, fit, buffers)
    return total


@njit
def many_gradients(n, x, fit, buffers, gradient, normal):
    total = 0.0
    for _ in range(n):
        total += objective.chi2_normal(x, fit, buffers, gradient, normal)
    return total


def load(path):
    """Build our model and losses for a case."""
    case = read_case(path)
    windows = tuple(
        Window(
            nu=nu,
            intensity=data,
            sigma=np.full(nu.size, case.sigma),
            mask=np.ones(nu.size, dtype=bool),
            t_continuum=np.zeros(nu.size),
            beam=Beam(case.beam, case.beam),
            t_cmb=T_CMB,
        )
        for nu, data in zip(case.nu, case.data, strict=True)
    )
    observation = Observation(windows)
    with LineDatabase.open(case.catalogue) as database:
        transitions = database.select(case.species, line_ranges(observation))
    model = LTEModel.bind(observation, [transitions])
    space = ParameterSpace.build(
        [case.species],
        bounds=[
            {
                name: tuple(10.0**bound if name in ("filling_factor", "N_tot", "fwhm") else bound)
                for name, bound in zip(PARAMETERS, case.bounds, strict=True)
            }
        ],
    )
    # the peer clips negative data: the same is done here for peak matching, so both minimise one function
    peaks = build_peak_data(observation, clip_negative=True)
    state["case"] = case
    for loss in ("pm", "chi2"):
        state[loss] = Problem.build(observation, model, space, loss=loss, peaks=peaks)
        state[loss].loss(case.vector)
    return {"n_channel": model.n_channel, "n_line": model.n_lines(0)}


def measure(row, compiled):
    """CPU seconds per call of one row of the table, at the true parameters.

    With `compiled` false every call comes from Python; with it, many calls run in one compiled loop, as they
    do inside our solvers.
    """
    x, pm, chi2 = np.ascontiguousarray(state["case"].vector), state["pm"], state["chi2"]
    fit, buffers, work = pm.fit, pm._buffers, pm._peak_work
    objective.render(x, fit, buffers, False)
    gradient, normal = np.zeros(x.size), np.zeros((x.size, x.size))
    union = buffers.work.union
    python = {
        "spectrum": lambda: objective.render(x, fit, buffers, False),
        "PM loss": lambda: peak_kernel.pm_loss(
            buffers.model, union, buffers.work.union_count[0], pm.peaks, work
        ),
        "chi2": lambda: many_chi2_sums(1, fit, buffers),
        "spectrum + PM": lambda: pm.loss(x),
        "spectrum + chi2": lambda: chi2.loss(x),
        "chi2 and gradient": lambda: chi2.normal(x),
    }
    n = 100
    loops = {
        "spectrum": lambda: many_spectra(n, x, fit, buffers),
        "PM loss": lambda: many_pm(n, fit, buffers, pm.peaks, work),
        "chi2": lambda: many_chi2_sums(n, fit, buffers),
        "spectrum + PM": lambda: many_spectrum_pm(n, x, fit, buffers, pm.peaks, work),
        "spectrum + chi2": lambda: many_spectrum_chi2(n, x, fit, buffers),
        "chi2 and gradient": lambda: many_gradients(n, x, fit, buffers, gradient, normal),
    }
    call = loops[row] if compiled else python[row]
    call()
    return {"seconds": cpu_per_call(call) / (n if compiled else 1)}


def accuracy():
    """Largest error of the model at the true parameters, relative to the peak of the exact spectrum."""
    exact = np.concatenate(state["case"].clean)
    model = state["chi2"].spectrum(state["case"].vector)
    return {"error": float(np.max(np.abs(model - exact)) / exact.max())}


def fit(loss, seed):
    """One fit without a guess, by our default solver."""
    problem = state[loss]
    problem.n_evaluations = 0
    start = time.process_time()
    solution = solve_auto(problem, np.random.default_rng(seed))
    seconds = time.process_time() - start
    return {
        "seconds": seconds,
        "loss": solution.loss,
        "x": solution.x.tolist(),
        "evaluations": problem.n_evaluations,
        "converged": solution.status == Status.CONVERGED,
    }


def refine(loss, x):
    """Minimum reached from x: a candidate for the best loss known."""
    problem = state[loss]
    if loss == "chi2":
        return {"loss": solve_levmar(problem, np.array(x)).loss}
    start = Solution(np.array(x), problem.loss(np.array(x)), Status.STALLED)
    return {"loss": polish(problem, start).loss}


def judge(loss, x):
    """Our loss at somebody's solution."""
    return {"loss": state[loss].loss(np.array(x))}


if __name__ == "__main__":
    serve(
        {"load": load, "measure": measure, "accuracy": accuracy, "fit": fit, "refine": refine, "judge": judge}
    )
