"""Fit species to one observation: propose, refine, choose, and judge the outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from ..errors import InputError
from ..fitting import LOSSES, FitFlag, FitResult, Problem, Solution, Status, solver_named
from ..fitting.diagnosis import detect
from ..fitting.peak_matching import build_peak_data
from ..fitting.search import solve_auto
from ..lte.model import LTEModel
from ..lte.parameters import ParameterSpace, Tie
from ..observation.observation import Observation
from ..spectroscopy import LineDatabase
from .joint import Search, fit_together, without_guess, without_undetected
from .judgement import judge
from .policy_draws import check_known
from .policy_search import N_INIT, PolicySearch, lines_read, posteriors_of
from .request import (
    Component,
    components_for,
    line_reach,
    reach,
    resolved_names,
    ties_between,
    transitions_for,
)
from .trained_policy import POLICY, TrainedPolicy, trained_policy
from .watch import Progress, Watch

__all__ = ["fit_spectrum"]

FloatArray = NDArray[np.float64]


def fit_spectrum(
    observation: Observation,
    species: Sequence[str],
    database: LineDatabase,
    *,
    components: Mapping[str, int] | int | None = None,
    loss: str = "chi2",
    optimizer: str = "auto",
    ninit: int | None = None,
    initial: Mapping[str, object] | Table | str | None = None,
    policy: Any = None,
    posterior: Any = None,
    device: str = "cpu",
    bounds: Mapping[str, object] | None = None,
    fixed: Mapping[str, object] | None = None,
    ties: Sequence[Mapping[str, object]] = (),
    offset: float = 0.0,
    noise_factor: float = 4.0,
    rel_height: float = 0.25,
    clip_negative: bool = False,
    missed_penalty: float = 0.0,
    noise_weighted: bool = False,
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
    initial : mapping, Table or str, optional
        Guesses; parameters left out are drawn. Or ``"policy"``: fifty draws of a trained network for each component,
        the best of which are refined (Spectuner-D1, section II.6). They lie inside Table 1 of Spectuner-D1 and inside
        the bounds; where the bounds are wider, only the refinement goes there. With ``optimizer="auto"`` up to four
        draws that differ are followed, and nothing else is tried; the local solvers start at the best draw, and a
        swarm or a population consists of draws.
    policy : FittingPolicy or path, optional
        With ``initial="policy"``: the network, by default the one that the package ships.
    posterior : bool, FittingPolicy or path, optional
        Add samples of a calibrated network to the result; see `spectuner_ext.fitting.posterior.Posterior`. By default
        those of the network that the package ships, if ``initial="policy"``.
    device : str
        Where networks given by path run: ``cpu``, ``cuda`` or ``auto``. The same seed gives the same bits on a CPU.
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
    missed_penalty : float
        Factor of a penalty on observed peaks that no model peak meets (peak matching; the published loss has none).
    noise_weighted : bool
        Count each window of the peak-matching loss in units of its noise.
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
    if offset > 0 and loss != "chi2":
        raise InputError("offset: a baseline is fitted with loss='chi2' only; subtract it first, or use chi2")
    if ninit is not None and ninit < 1:
        raise InputError(f"ninit: needs at least 1 draw, got {ninit}")
    solver = solver_named(optimizer)
    guesses, trained, calibrated = _networks(initial, policy, posterior, device, database)
    resolved = resolved_names(species, database)
    asked = components_for(
        observation,
        species,
        resolved,
        components=components,
        bounds=bounds,
        fixed=fixed,
        initial=guesses,
    )
    moved, margin = reach(asked)
    transitions = transitions_for(observation, species, database, moved, margin)
    search = without_guess(solver, ninit)
    second: Search = _without_starts
    if trained is not None:
        check_known(asked)
        read = lines_read(trained, observation, transitions, database)
        second = PolicySearch(trained, observation, read, n=ninit or N_INIT, seed=seed)
        search = second if optimizer == "auto" else replace(second, solve=solver)
    peaks = build_peak_data(
        observation,
        noise_factor=noise_factor,
        rel_height=rel_height,
        clip_negative=clip_negative,
        missed_penalty=missed_penalty,
        in_noise_units=noise_weighted,
        reach=line_reach(transitions) if missed_penalty > 0 else None,
    )
    tied = ties_between(asked, species, resolved, ties)
    known = [] if calibrated is None else lines_read(calibrated, observation, transitions, database)
    watch = Watch(progress)
    model = LTEModel.bind(observation, transitions, margin=margin)
    streams = np.random.default_rng(seed).spawn(len(species) + 1)

    def problem_of(
        members: Sequence[Component],
        base: FloatArray | None = None,
        ties: Sequence[Tie] = (),
        loss: str = loss,
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
        solution = search(problem, asked, streams[0])
    else:
        solution = fit_together(problem, problem_of, asked, search, streams, watch)
    dropped: list[int] = []
    if len(asked) > 1:
        problem, solution, dropped = without_undetected(problem, solution, asked, tied, problem_of)
    result = judge(problem, solution, asked, dropped, peaks, optimizer)
    if loss == "chi2" and len(asked) == 1 and problem.n_free and _is_crowded(result):
        watch.stage, watch.before = f"peak matching: {species[0]}", result.n_evaluations
        matching = problem_of(asked, loss="pm")
        result = _second_opinion(result, matching, second(matching, asked, streams[-1]))
    if trained is not None:
        result = replace(
            result, extra={**result.extra, "policy": {**trained.origin, "n_draws": ninit or N_INIT}}
        )
    if calibrated is not None and result.status != Status.CANCELLED:
        watch.stage = "posterior"
        found = posteriors_of(calibrated, observation, known, resolved, seed)
        result = replace(result, posterior=found)
    return result


def _networks(
    initial: Mapping[str, object] | Table | str | None,
    policy: Any,
    posterior: Any,
    device: str,
    database: LineDatabase,
) -> tuple[Mapping[str, object] | Table | None, TrainedPolicy | None, TrainedPolicy | None]:
    """Guesses of the user, and the networks for starts and for the posterior.

    Raises
    ------
    InputError
    """
    by_policy = isinstance(initial, str) and initial == POLICY
    if isinstance(initial, str) and initial and not by_policy:
        raise InputError(f"initial: needs a mapping, a table of results, or 'policy', got {initial!r}")
    if policy is not None and not by_policy:
        raise InputError("policy: is for initial='policy'; add that, or leave policy out")
    trained = trained_policy(policy, device, database) if by_policy else None
    if posterior is None:
        posterior = by_policy
    calibrated = None
    if posterior is not False:
        given = None if posterior is True else posterior
        calibrated = trained_policy(given, device, database, key="posterior", shipped="posterior")
    guesses = None if isinstance(initial, str) else initial
    return guesses, trained, calibrated


def _is_crowded(result: FitResult) -> bool:
    """Whether a species was not found in a spectrum that its model does not describe."""
    return (
        not result.detected[0]
        and bool(result.flags[0] & FitFlag.POOR_FIT)
        and result.status != Status.CANCELLED
    )


def _without_starts(
    problem: Problem, members: Sequence[Component], rng: np.random.Generator, **given: FloatArray
) -> Solution:
    """Search that draws for itself, whatever the user guessed for another loss."""
    return solve_auto(problem, rng)


def _second_opinion(result: FitResult, problem: Problem, solution: Solution) -> FitResult:
    """Withdraw a non-detection by chi2, and its upper limit, if peak matching detects the species.

    Bright lines of other species weigh heavily in chi2: its minimum may be a model that covers them, with no lines
    where the species has its own.
    """
    counted = replace(result, n_evaluations=result.n_evaluations + problem.n_evaluations)
    if not detect(problem, solution.x, 0).detected:
        return counted
    return replace(
        counted,
        flags=(result.flags[0] | FitFlag.UNDECIDED,),
        n_tot_limit=np.full(1, np.nan),
        message=f"{result.message}; peak matching detects it at N_tot {problem.components(solution.x)[0, 2]:.2g}",
    )
