"""Make a result of a solution: errors, detection, upper limits and flags."""

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from ..constants import C_KMS
from ..fitting import FitFlag, FitResult, Problem, Solution
from ..fitting.diagnosis import component_flags, detect, upper_limit
from ..fitting.peak_kernel import PeakData
from ..fitting.peak_matching import match_peaks
from ..fitting.uncertainty import Uncertainty, estimate
from ..fitting.valley import open_directions
from ..lte.parameters import BOUNDS, PARAMETERS
from .request import Component

__all__ = ["judge"]

FloatArray = NDArray[np.float64]

LIMIT_T_EX = 100.0
"""K; assumed for an upper limit when nothing else says what the temperature is."""
LIMIT_FWHM = 5.0
"""km/s; the same for the line width, when no observed peak tells it. A limit grows with the width: this is wide."""


def judge(
    problem: Problem,
    solution: Solution,
    asked: Sequence[Component],
    dropped: Sequence[int],
    peaks: PeakData,
    optimizer: str,
) -> FitResult:
    """Errors, detection, limits and flags of a solution.

    What is not detected has no parameters, so that no one can take them for measured; what the fit tried for it is in
    ``extra["attempted"]``, (n_component, 5).
    """
    x = solution.x
    theta = problem.components(x)
    uncertainty = estimate(problem, x)
    errors = _physical_errors(problem, theta, uncertainty)
    tau = problem.tau_max(x)
    spectra = [problem.model.spectrum(theta[c], [problem.species[c]]) for c in range(len(asked))]
    matched = tuple(match_peaks(s, peaks).n_matched for s in spectra)
    evidence = [detect(problem, x, c) for c in range(len(asked))]
    chi2 = problem.chi2(x)
    reduced = chi2 / max(problem.n_data - problem.n_free, 1)
    flags = tuple(
        component_flags(problem, x, c, uncertainty, evidence[c], matched[c], float(tau[c]), reduced)
        for c in range(len(asked))
    )
    for c, known in enumerate(flags):
        if known & FitFlag.DEGENERATE_CORNER:
            evidence[c] = replace(evidence[c], detected=False)
            known |= FitFlag.NOT_DETECTED
        found = open_directions(problem, x, c, uncertainty, known)
        flags = (*flags[:c], known | found, *flags[c + 1 :])
        if found & FitFlag.ERRORS_UNRELIABLE:
            errors[c, PARAMETERS.index("fwhm")] = np.nan
    limits, assumed = _limits(problem, x, theta, asked, [e.detected for e in evidence])
    attempted = theta.copy()
    for c in {*dropped, *(c for c, e in enumerate(evidence) if not e.detected)}:
        errors[c] = np.nan
        theta[c, [name not in asked[c].fixed for name in PARAMETERS]] = np.nan
    eta = theta[:, 0]
    size = problem.model.source_size(eta)
    return FitResult(
        species=tuple(problem.model.transitions[c.species].species for c in asked),
        component=tuple(c.number for c in asked),
        components=theta,
        errors=errors,
        source_size=size,
        # theta = theta_b sqrt(eta / (1 - eta)), so d theta / d eta = theta / (2 eta (1 - eta))
        source_size_error=np.where(
            eta < 1.0, errors[:, 0] * size / (2.0 * eta * np.maximum(1.0 - eta, 1e-12)), np.nan
        ),
        status=solution.status,
        flags=flags,
        detected=tuple(e.detected for e in evidence),
        n_tot_limit=limits,
        tau_max=tau,
        loss=solution.loss,
        loss_name=problem.loss_name,
        optimizer=optimizer,
        chi2=chi2,
        n_data=problem.n_data,
        n_free=problem.n_free,
        n_peaks=matched,
        n_evaluations=problem.n_evaluations,
        correlation=uncertainty.correlation,
        free_names=problem.names,
        at_bound=tuple(n for n, b in zip(problem.names, uncertainty.at_bound, strict=True) if b),
        model=problem.model.split(problem.spectrum(x)),
        component_models=tuple(problem.model.split(s) for s in spectra),
        offsets=problem.offsets(x),
        trace=solution.trace,
        message=solution.message,
        extra={
            "evidence": tuple(asdict(e) for e in evidence),
            "limit_assumes": assumed,
            "attempted": attempted,
            "error_scale": uncertainty.scale,
        },
    )


def _physical_errors(problem: Problem, theta: FloatArray, uncertainty: Uncertainty) -> FloatArray:
    """1 sigma errors of the components' parameters; NaN where held."""
    errors = np.full(theta.shape, np.nan)
    slope = problem.space.slope(theta)
    index = problem.space.layout.index
    free = index >= 0
    errors[free] = uncertainty.error[index[free]] * slope[free]
    return errors


def _limits(
    problem: Problem,
    x: FloatArray,
    theta: FloatArray,
    asked: Sequence[Component],
    detected: Sequence[bool],
) -> tuple[FloatArray, tuple[dict[str, float] | None, ...]]:
    """Upper limits of undetected components, and the parameters each assumes.

    The parameters of an undetected component mean nothing, so what is fixed or guessed by the user is taken, else the
    median of the detected components, else T_ex = LIMIT_T_EX, a filled beam, the systemic velocity, and the
    typical width of the observed peaks.
    """
    limits = np.full(len(asked), np.nan)
    assumed: list[dict[str, float] | None] = [None] * len(asked)
    good = theta[np.asarray(detected, dtype=bool)]
    unknown = np.array([BOUNDS["filling_factor"][1], LIMIT_T_EX, 0.0, _observed_width(problem.peaks), 0.0])
    typical = np.median(good, axis=0) if len(good) else unknown
    for c, component in enumerate(asked):
        if detected[c]:
            continue
        values = typical.copy()
        for k, name in enumerate(PARAMETERS):
            values[k] = component.fixed.get(name, component.initial.get(name, values[k]))
            if name in component.bounds:
                values[k] = np.clip(values[k], *component.bounds[name])
        limits[c] = upper_limit(problem, x, c, values)
        assumed[c] = {n: float(v) for n, v in zip(PARAMETERS, values, strict=True) if n != "N_tot"}
    return limits, tuple(assumed)


def _observed_width(peaks: PeakData) -> float:
    """Median FWHM [km/s] of the observed peaks, from the spans over their tops as if Gaussian."""
    if not peaks.span_left.size:
        return LIMIT_FWHM
    spans = (peaks.span_right - peaks.span_left) / peaks.span_left * C_KMS
    of_fwhm = np.sqrt(-np.log(1.0 - min(peaks.rel_height, 0.99)) / np.log(2.0))
    return float(np.clip(np.median(spans) / of_fwhm, *BOUNDS["fwhm"]))
