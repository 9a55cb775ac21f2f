"""Is it there, and can its parameters be believed? Detection, upper limits and the flags of each component."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..constants import C_KMS
from ..lte.parameters import BOUNDS
from .peak_matching import match_peaks
from .problem import Problem
from .result import FitFlag
from .uncertainty import Uncertainty

__all__ = ["Detection", "component_flags", "detect", "upper_limit"]

FloatArray = NDArray[np.float64]

MIN_SIGNIFICANCE = 5.0
"""A component is not detected below this many sigma of its own matched filter."""
MIN_PRESENT = 0.75
"""... or when less than this fraction of the emission it predicts is in the data."""
MAX_FALSE_ALARM = 0.02
"""... or when more than this fraction of copies shifted to wrong velocities find as much of it."""
MAX_MISSING = 0.3
"""... or when more than this fraction of the lines it predicts above five sigma are not there."""
OPAQUE_TAU = 300.0
LOOSE_DEX = 0.15
"""Error of log10 of the filling factor above which, if N_tot moves with it, only their product is measured."""
DESCRIBED = 5.0
"""Standard deviations by which chi2 may exceed its expectation if nothing but the fitted lines is in the data."""
POOR_CHI2 = 2.0
"""Reduced chi2 over all channels above which a fit does not describe the spectrum."""
SHIFTS = np.concatenate([np.linspace(-120.0, -15.0, 80), np.linspace(15.0, 120.0, 80)])
"""km/s; those within three line widths are left out, so that a line does not see itself, and all are within the
margin for which lines outside the windows are at hand."""
MIN_COPIES = 40


@dataclass(frozen=True, slots=True)
class Detection:
    """Evidence for one component.

    Parameters
    ----------
    detected : bool
    significance : float
        Matched-filter signal over its noise, ``sum(w d m) / sqrt(sum(w m^2))``, the other components taken out, and
        the mean of each window taken out of the model: a baseline is not a line.
    present : float
        Fraction of the predicted emission (weighted by its own strength) that the data contain.
    false_alarm : float
        Fraction of copies at wrong velocities of which at least as much is present; what unrelated lines do.
    missing : int
        Predicted lines above five sigma at which the data show less than a third.
    predicted : int
        Predicted lines above five sigma.
    """

    detected: bool
    significance: float
    present: float
    false_alarm: float
    missing: int
    predicted: int


def detect(problem: Problem, x: FloatArray, component: int) -> Detection:
    """Weigh the evidence for one component of a solution.

    Parameters
    ----------
    problem : Problem
    x : array, (n_free,)
    component : int
    """
    data = problem.fit.data
    theta = problem.components(x)
    alone = problem.model.spectrum(theta[component], [problem.species[component]])
    rest = data.value - (problem.spectrum(x) - alone)
    weight = data.weight
    power = float(np.sum(weight * alone**2))
    if not power > 0:
        return Detection(False, 0.0, 0.0, 1.0, 0, 0)
    lines = _without_mean(problem, alone)
    whitened = np.sqrt(weight) * lines
    variance = float(whitened @ problem.correlate(whitened))
    significance = float(np.sum(weight * rest * lines) / np.sqrt(max(variance, 1e-300)))
    present = _present(alone, rest, weight)
    copies = _shifted(problem, theta[component], alone, component)
    shifted = np.array([_present(m, rest, weight) for m in copies])
    shifted = shifted[np.isfinite(shifted)]
    # with no copy to compare (a line too broad to be moved off itself) the noise alone has to decide
    false_alarm = float(np.mean(shifted >= present)) if shifted.size else 0.0
    missing, predicted = _missing(problem, alone, rest)
    detected = (
        significance >= MIN_SIGNIFICANCE
        and present >= MIN_PRESENT
        and false_alarm <= MAX_FALSE_ALARM
        and missing <= MAX_MISSING * predicted
        # among lines of others, a fit by peak matching that matches none has only drifted
        and not (
            problem.loss_name == "pm" and _is_crowded(problem, rest - alone) and _matches_none(problem, alone)
        )
    )
    return Detection(bool(detected), significance, present, false_alarm, missing, predicted)


def _is_crowded(problem: Problem, residual: FloatArray) -> bool:
    """Whether more than the fitted lines and the noise is in the data."""
    chi2 = float(np.sum(problem.fit.data.weight * residual**2))
    return bool(chi2 - problem.n_data > DESCRIBED * np.sqrt(2.0 * problem.n_data))


def _matches_none(problem: Problem, alone: FloatArray) -> bool:
    """Whether a component meets no observed peak."""
    return bool(match_peaks(alone, problem.peaks).n_matched == 0)


def _without_mean(problem: Problem, spectrum: FloatArray) -> FloatArray:
    """A spectrum less its weighted mean in each window."""
    start, weight = problem.fit.grid.start, problem.fit.data.weight
    mean = np.add.reduceat(weight * spectrum, start[:-1]) / problem.fit.data.s_0
    return np.asarray(spectrum - np.repeat(mean, np.diff(start)))


def _present(model: FloatArray, data: FloatArray, weight: FloatArray) -> float:
    """Fraction of the model's power that the data contain, each channel counting at most fully.

    Noise takes from a channel that counts at most fully; the sum is divided by what it would be on average if the
    model were true.
    """
    used = (weight > 0) & (model != 0)
    if not used.any():
        return float("nan")
    m, w = np.abs(model[used]), weight[used]
    overlap = np.clip(data[used] * np.sign(model[used]), 0.0, m)
    # mean of min(max(m + sigma z, 0), m) for a normal z
    a = m * np.sqrt(w)
    expected = m * (ndtr(a)) - (1.0 - np.exp(-0.5 * a * a)) / np.sqrt(2.0 * np.pi * w)
    return float(np.sum(w * m * overlap) / np.sum(w * m * expected))


def _shifted(problem: Problem, theta: FloatArray, alone: FloatArray, component: int) -> list[FloatArray]:
    """The component where it is not: at wrong velocities, or rolled around within narrow windows.

    A copy that has lost half its power at the ends of the windows says nothing of the whole, so those are left out;
    if hardly any remain, the spectrum is moved around in a circle inside each window instead.
    """
    weight = problem.fit.data.weight
    power = float(np.sum(weight * alone**2))
    copies = []
    for shift in SHIFTS[np.abs(SHIFTS) > 3.0 * theta[3]]:
        moved = theta.copy()
        moved[4] += shift
        copy = problem.model.spectrum(moved, [problem.species[component]])
        if np.sum(weight * copy**2) > 0.5 * power:
            copies.append(copy)
    if len(copies) >= MIN_COPIES:
        return copies
    grid = problem.fit.grid
    channel = float(np.median((grid.high - grid.low) / grid.nu)) * C_KMS
    own = 3.0 * theta[3] / channel
    rng = np.random.default_rng(0)  # the same copies for the same fit
    copies = []
    for _ in range(SHIFTS.size):
        parts = []
        for part in problem.model.split(alone):
            room = part.size - 2.0 * own
            parts.append(np.roll(part, int(own + room * rng.random())) if room > 1 else np.zeros(part.size))
        copies.append(np.concatenate(parts))
    return copies


def _missing(problem: Problem, alone: FloatArray, rest: FloatArray) -> tuple[int, int]:
    """Predicted lines that are absent, and all that should be seen."""
    noise = np.zeros(alone.size)
    used = problem.fit.data.weight > 0
    noise[used] = problem.fit.data.weight[used] ** -0.5
    strong = used & (np.abs(alone) > 5.0 * noise)
    start = problem.fit.grid.start
    missing = predicted = 0
    for a, b in pairwise(start):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], strong[a:b].astype(int), [0]])))
        for first, last in edges.reshape(-1, 2):
            top = a + first + int(np.argmax(np.abs(alone[a + first : a + last])))
            near = slice(max(top - 1, a), min(top + 2, b))
            seen = float(np.median(rest[near][used[near]] * np.sign(alone[top])))
            predicted += 1
            missing += seen < abs(alone[top]) / 3.0 and abs(alone[top]) - seen > 5.0 * noise[top]
    return int(missing), predicted


def upper_limit(problem: Problem, x: FloatArray, component: int, assumed: FloatArray) -> float:
    """3 sigma upper limit on N_tot of an undetected component [cm^-2].

    Unrelated lines may add emission to the data, so only a model that exceeds them counts against a column density.
    Over the n channels of the component's brighter lines, ``t(N) = sum min((d - m) / sigma, 0)^2`` has for pure
    noise the mean n/2 and the variance 5n/4; the limit is where t has grown by three standard deviations above
    its value without the component. (The same with signs reversed where the component absorbs.)

    Parameters
    ----------
    problem : Problem
    x : array, (n_free,)
        Solution; the other components are taken out of the data.
    component : int
    assumed : array, (5,)
        Filling factor, T_ex [K], (ignored), FWHM [km/s], v_off [km/s].

    Returns
    -------
    float
        NaN when even the largest allowed column density does not exceed the data.
    """
    data, model = problem.fit.data, problem.model
    species = [problem.species[component]]
    alone = model.spectrum(problem.components(x)[component], species)
    rest = data.value - (problem.spectrum(x) - alone)
    theta = assumed.copy()

    def spectrum(log_n: float) -> FloatArray:
        theta[2] = 10.0**log_n
        return model.spectrum(theta, species)

    low, high = 5.0, np.log10(BOUNDS["N_tot"][1])
    thin = spectrum(low)
    lines = (np.abs(thin) > 0.2 * np.max(np.abs(thin))) & (data.weight > 0)
    if not lines.any():
        return float("nan")
    sign, root, observed = np.sign(thin[lines]), np.sqrt(data.weight[lines]), rest[lines]

    def excess(m: FloatArray) -> float:
        return float(np.sum(np.minimum((observed - m) * sign * root, 0.0) ** 2))

    # squares of correlated channels are correlated by the square
    shared = 1.0 + 2.0 * max(sum(r * r for r in w.correlation) for w in problem.observation.windows)
    allowed = excess(np.zeros(observed.size)) + 3.0 * np.sqrt(1.25 * shared * observed.size)
    if excess(spectrum(high)[lines]) < allowed:
        return float("nan")
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        if excess(spectrum(middle)[lines]) < allowed:
            low = middle
        else:
            high = middle
    return float(10.0**high)


def component_flags(
    problem: Problem,
    x: FloatArray,
    component: int,
    uncertainty: Uncertainty,
    detection: Detection,
    n_peaks: int,
    tau_max: float,
    reduced_chi2: float = 1.0,
) -> FitFlag:
    """Reasons to read a component's parameters with care."""
    index = problem.space.layout.index[component]
    theta = problem.components(x)[component]
    flags = FitFlag.NONE
    own = [i for i in index if i >= 0]
    if any(uncertainty.at_bound[i] for i in own):
        flags |= FitFlag.AT_BOUND
    if not detection.detected:
        flags |= FitFlag.NOT_DETECTED
    if detection.missing:
        flags |= FitFlag.PREDICTED_LINE_ABSENT
    if tau_max > OPAQUE_TAU:
        flags |= FitFlag.OPAQUE
    if any(not (np.isfinite(uncertainty.error[i]) or uncertainty.at_bound[i]) for i in own):
        flags |= FitFlag.ERRORS_UNRELIABLE
    widest = problem.upper[index[3]] if index[3] >= 0 else np.inf
    if n_peaks == 0 and index[3] >= 0 and x[index[3]] > widest - 0.05:
        flags |= FitFlag.DEGENERATE_CORNER
    if index[0] >= 0 and index[2] >= 0:
        correlation = uncertainty.correlation[index[0], index[2]]
        known = uncertainty.error[index[0]] < LOOSE_DEX
        if not known and not abs(correlation) < 0.9:
            flags |= FitFlag.SIZE_N_DEGENERATE
    if reduced_chi2 > POOR_CHI2:
        flags |= FitFlag.POOR_FIT
    # brightness, width and centre of a single line are three numbers for five parameters
    alone = index[0] >= 0 and index[2] >= 0 and problem.model.n_inside(problem.species[component]) <= 1
    if index[1] >= 0 and (alone or not uncertainty.error[index[1]] < 0.5 * theta[1]):
        flags |= FitFlag.T_EX_UNCONSTRAINED
    if bool(problem.model.transitions[problem.species[component]].partition.is_extrapolated(theta[1])):
        flags |= FitFlag.PARTITION_EXTRAPOLATED
    return flags
