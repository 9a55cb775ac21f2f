"""Fit species to one observation: propose, refine, choose, and judge the outcome."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from time import monotonic

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from ..constants import C_KMS
from ..errors import InputError
from ..fitting import LOSSES, FitResult, Problem, Solution, Status, solver_named
from ..fitting.diagnosis import component_flags, detect, upper_limit
from ..fitting.local import solve_levmar
from ..fitting.peak_kernel import PeakData
from ..fitting.peak_matching import build_peak_data, match_peaks
from ..fitting.proposal import propose
from ..fitting.search import cancelled, solve_blocks
from ..fitting.uncertainty import Uncertainty, estimate
from ..lte.model import LTEModel
from ..lte.parameters import BOUNDS, PARAMETERS, ParameterSpace, Tie, to_scale
from ..observation.observation import Observation
from ..spectroscopy import LineDatabase
from .request import Component, components_for, ties_between, transitions_for, without

__all__ = ["fit_spectrum"]

FloatArray = NDArray[np.float64]
Progress = Callable[[dict[str, object]], object]

LIMIT_T_EX = 100.0
"""K; assumed for an upper limit when nothing else says what the temperature is."""
LIMIT_FWHM = 5.0
"""km/s; the same for the line width, when no observed peak tells it. A limit grows with the width: this is wide."""


def fit_spectrum(
    observation: Observation,
    species: Sequence[str],
    database: LineDatabase,
    *,
    components: Mapping[str, int] | int | None = None,
    loss: str = "chi2",
    optimizer: str = "auto",
    ninit: int | None = None,
    initial: Mapping[str, object] | Table | None = None,
    bounds: Mapping[str, object] | None = None,
    fixed: Mapping[str, object] | None = None,
    ties: Sequence[Mapping[str, object]] = (),
    offset: float = 0.0,
    noise_factor: float = 4.0,
    rel_height: float = 0.25,
    clip_negative: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> FitResult:
    """Fit one or several species together to all windows of an observation.

    Several species are first fitted each alone, then all together, their emission added (no mutual absorption, the
    convention of XCLASS and of Spectuner-D1).

    Parameters
    ----------
    observation : Observation
    species : sequence of str
        Names in any form that the catalogue knows; fitted together.
    database : LineDatabase
    components : int or mapping of species to int, optional
        Velocity components per species; 1.
    loss : str
        ``chi2`` (weighted by the noise) or ``pm`` (peak matching).
    optimizer : str
        ``auto`` needs no guess; or one of `spectuner_ext.fitting.SOLVERS`.
    ninit : int, optional
        Draws screened for a starting point.
    initial : mapping or Table, optional
        Guesses; parameters left out are drawn.
    bounds, fixed : mapping, optional
        See `spectuner_ext.pipeline.request.components_for`; physical units.
    ties : sequence of mappings, optional
        ``{"parameter": "v_off", "species": [...]}`` lets one parameter of several species vary as one; with
        ``"ratio": [1, 1/60]`` in fixed proportion (filling_factor, N_tot, fwhm), as for isotopologues.
    offset : float, in K
        Fit a constant baseline within +-offset in every window (chi2 only).
    noise_factor : float
        Least height and prominence of a peak, in units of the noise.
    rel_height : float
        Depth below a peak's top, as a fraction of its prominence, that its span covers.
    clip_negative : bool
        Set negative data to zero in the peak-matching loss, as the published method does.
    seed : int
        Same seed, same answer.
    progress : callable, optional
        Called with ``{"stage", "n_evaluations", "best_loss", "elapsed_s"}``; a true answer cancels, and the best
        point so far is returned.

    Returns
    -------
    FitResult

    Raises
    ------
    InputError, SpeciesError
        Before any work, if something that was asked for cannot be done.
    """
    if not species:
        raise InputError("species: give at least one name")
    if loss not in LOSSES:
        raise InputError(f"loss: unknown loss {loss!r}; choose from {', '.join(LOSSES)}")
    if offset < 0 or not np.isfinite(offset):
        raise InputError(f"offset: needs a limit of 0 K or more, got {offset}")
    if ninit is not None and ninit < 1:
        raise InputError(f"ninit: needs at least 1 draw, got {ninit}")
    solver = solver_named(optimizer)
    transitions = transitions_for(observation, species, database)
    asked = components_for(
        observation,
        species,
        [t.species for t in transitions],
        components=components,
        bounds=bounds,
        fixed=fixed,
        initial=initial,
    )
    peaks = build_peak_data(
        observation, noise_factor=noise_factor, rel_height=rel_height, clip_negative=clip_negative
    )
    tied = ties_between(asked, species, [t.species for t in transitions], ties)
    watch = _Watch(progress)
    model = LTEModel.bind(observation, transitions)
    streams = np.random.default_rng(seed).spawn(len(species) + 1)

    def problem_of(
        members: Sequence[Component], base: FloatArray | None = None, ties: Sequence[Tie] = ()
    ) -> Problem:
        space = ParameterSpace.build(
            [m.label for m in members],
            bounds=[m.bounds for m in members],
            fixed=[m.fixed for m in members],
            ties=ties,
        )
        return Problem.build(
            observation,
            model,
            space,
            [m.species for m in members],
            loss=loss,
            offset=offset,
            peaks=peaks,
            base=base,
            watch=watch,
        )

    problem = problem_of(asked, ties=tied)
    if problem.n_free == 0:
        solution = Solution(
            np.zeros(0), problem.loss(np.zeros(0)), Status.CONVERGED, "nothing to fit: all is held"
        )
    elif len(species) == 1:
        watch.stage = species[0]
        start = _start(problem, asked, streams[0], ninit)
        solution = solver(problem, streams[0], ninit=ninit, start=start)
    else:
        solution = _fit_together(problem, problem_of, asked, solver, streams, ninit, watch)
    dropped: list[int] = []
    if len(asked) > 1:
        problem, solution, dropped = _without_undetected(problem, solution, asked, tied, problem_of)
    return _judge(problem, solution, asked, dropped, peaks, optimizer)


class _Watch:
    """Pass evaluations and best loss on to the user's callback, at most five times a second."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.stage = progress, ""
        self.begun, self.last, self.stop = monotonic(), -np.inf, False
        self.before = 0

    def __call__(self, n_evaluations: int, best: float) -> bool:
        now = monotonic()
        if self.progress is None or self.stop or now - self.last < 0.2:
            return self.stop
        self.last = now
        report = {
            "stage": self.stage,
            "n_evaluations": self.before + n_evaluations,
            "best_loss": best,
            "elapsed_s": now - self.begun,
        }
        self.stop = bool(self.progress(report))
        return self.stop


def _start(
    problem: Problem, asked: Sequence[Component], rng: np.random.Generator, ninit: int | None
) -> FloatArray | None:
    """Fit vector from the user's guesses; what is left out comes from the best of many draws."""
    if not any(c.initial for c in asked):
        return None
    given = np.full(problem.n_free, np.nan)
    for (c, k), i in zip(problem.space.position, range(problem.space.n_free), strict=True):
        name = PARAMETERS[k]
        if name in asked[c].initial:
            given[i] = to_scale(asked[c].initial[name], k, f"initial: {name} of {asked[c].label}")
    given = np.asarray(np.clip(given, problem.lower, problem.upper))
    given[problem.space.n_free :] = 0.0
    if np.isfinite(given).all():
        return given
    draws = propose(problem, ninit or 200, rng)
    known = np.isfinite(given)
    draws[:, known] = given[known]
    return np.asarray(draws[int(np.argmin(problem.losses(draws)))])


def _fit_together(
    problem: Problem,
    problem_of: Callable[..., Problem],
    asked: Sequence[Component],
    solver: Callable[..., Solution],
    streams: Sequence[np.random.Generator],
    ninit: int | None,
    watch: _Watch,
) -> Solution:
    """Fit each species alone, then on what stronger ones leave over, then all of them together."""
    n_species = max(c.species for c in asked) + 1
    alone: list[tuple[Problem, Solution]] = []
    members = [[c for c in asked if c.species == i] for i in range(n_species)]
    for i in range(n_species):
        watch.stage = f"alone: {members[i][0].label.rsplit(' #', 1)[0]}"
        own = problem_of(members[i])
        start = _start(own, members[i], streams[i], ninit)
        alone.append((own, solver(own, streams[i], ninit=ninit, start=start)))
        problem.n_evaluations += own.n_evaluations
        watch.before = problem.n_evaluations
        if alone[-1][1].status == Status.CANCELLED:
            break
    watch.before, watch.stage = 0, "together"
    candidates = [_joined(problem, asked, alone)]
    if watch.stop:
        return cancelled(Solution(candidates[0], problem.loss(candidates[0]), Status.CANCELLED))
    if problem.loss_name == "chi2":
        candidates.append(
            _one_after_another(problem, problem_of, asked, members, alone, solver, streams[-1], ninit)
        )
    best: Solution | None = None
    for x in candidates:
        best = _refine(problem, x).better(best)
    assert best is not None
    return best


def _refine(problem: Problem, x: FloatArray) -> Solution:
    """Descend from a start close to the minimum in all variables."""
    if problem.loss_name == "chi2":
        return solve_levmar(problem, x)
    owner = [c for c, _ in problem.space.position]
    return solve_blocks(problem, x, [[i for i, c in enumerate(owner) if c == k] for k in sorted(set(owner))])


def _without_undetected(
    problem: Problem,
    solution: Solution,
    asked: Sequence[Component],
    ties: Sequence[Tie],
    problem_of: Callable[..., Problem],
) -> tuple[Problem, Solution, list[int]]:
    """Take undetected components out of a joint fit and fit the rest again, until all that remain are detected.

    Left in, a component without lines of its own would bend its spectrum to whatever the others do not explain.
    Returns the numbers of those taken out too.
    """
    dropped: list[int] = []
    while solution.status != Status.CANCELLED:
        lost = [
            c
            for c, component in enumerate(asked)
            if c not in dropped
            and "N_tot" not in component.fixed
            and not detect(problem, solution.x, c).detected
        ]
        if not lost:
            break
        dropped += lost
        theta = problem.components(solution.x)
        theta[dropped, 2] = BOUNDS["N_tot"][0] * 1e-6
        members = [
            replace(component, fixed=dict(zip(PARAMETERS, map(float, theta[c]), strict=True)))
            if c in dropped
            else component
            for c, component in enumerate(asked)
        ]
        before, offsets = problem.n_evaluations, solution.x[problem.space.n_free :]
        problem = problem_of(members, ties=without(ties, dropped))
        problem.n_evaluations = before
        if problem.n_free == 0:
            solution = Solution(offsets, problem.loss(offsets), Status.CONVERGED, "nothing was detected")
            break
        refined = _refine(problem, np.concatenate([problem.space.vector(theta), offsets]))
        trace = np.concatenate([solution.trace, refined.trace])
        message = f"{refined.message}; {len(dropped)} undetected taken out"
        solution = replace(refined, trace=trace, message=message)
    return problem, solution, dropped


def _joined(
    problem: Problem, asked: Sequence[Component], parts: Sequence[tuple[Problem, Solution]]
) -> FloatArray:
    """Fit vector of all components from the fits of each species; offsets are their median."""
    theta = np.vstack([own.components(solution.x) for own, solution in parts])
    missing = len(asked) - len(theta)
    if missing:  # cancelled before the last species had its turn: leave the rest invisible
        faint = np.array([BOUNDS["filling_factor"][0], LIMIT_T_EX, BOUNDS["N_tot"][0], 1.0, 0.0])
        theta = np.vstack([theta, np.tile(faint, (missing, 1))])
    x = 0.5 * (problem.lower + problem.upper)
    x[: problem.space.n_free] = problem.space.vector(theta)
    if problem.n_free > problem.space.n_free:
        x[problem.space.n_free :] = np.median([own.offsets(s.x) for own, s in parts], axis=0)
    return np.clip(x, problem.lower, problem.upper)


def _one_after_another(
    problem: Problem,
    problem_of: Callable[..., Problem],
    asked: Sequence[Component],
    members: Sequence[Sequence[Component]],
    alone: Sequence[tuple[Problem, Solution]],
    solver: Callable[..., Solution],
    rng: np.random.Generator,
    ninit: int | None,
) -> FloatArray:
    """Fit the best-fitting species first, and each next one to what is left of the data."""
    order = np.argsort([s.loss for _, s in alone])
    base = np.zeros(problem.model.n_channel)
    found: dict[int, tuple[Problem, Solution]] = {}
    for i, stream in zip(order, rng.spawn(len(order)), strict=True):
        own = problem_of(members[i], base=base)
        found[i] = (own, solver(own, stream, ninit=ninit, start=alone[i][1].x))
        problem.n_evaluations += own.n_evaluations
        base = base + own.model.spectrum(own.components(found[i][1].x), own.species)
    return _joined(problem, asked, [found[i] for i in range(len(members))])


def _judge(
    problem: Problem,
    solution: Solution,
    asked: Sequence[Component],
    dropped: Sequence[int],
    peaks: PeakData,
    optimizer: str,
) -> FitResult:
    """Errors, detection, limits and flags of a solution; what was taken out of it has no parameters."""
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
    limits, assumed = _limits(problem, x, theta, asked, [e.detected for e in evidence])
    for c in dropped:
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
