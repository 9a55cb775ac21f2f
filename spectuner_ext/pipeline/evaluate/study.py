"""A whole evaluation in one call: pairs, starts and methods in; a folder of results, tables and figures out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...errors import InputError
from ...policy.scenes.library import SpeciesLibrary
from ...policy.scenes.settings import SceneSettings
from ...spectroscopy import LineDatabase
from .methods import methods_named
from .products import write_products
from .proposers import PolicyProposer, Proposer, RandomProposer, WeightedProposer
from .run import PairSource, Progress, evaluate
from .sources import MixedPairs, RealPairs, SimulatedPairs
from .store import read_content

__all__ = ["STARTS", "proposers_named", "run_study"]

STARTS: dict[str, Callable[[], Proposer]] = {"random": RandomProposer, "weighted": WeightedProposer}
"""Proposers without weights."""

RESULTS = "results.jsonl"


def run_study(
    folder: str | Path,
    *,
    methods: Sequence[str] = ("figures",),
    starts: Sequence[str] = ("random", "weighted"),
    policies: Mapping[str, str | None] | None = None,
    n_simulated: int = 1000,
    settings: SceneSettings | None = None,
    real: str | Path | None = None,
    n_real: int = 1000,
    n_calibration: int = 0,
    seed: int = 0,
    workers: int = 1,
    plots: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Evaluate starts and solvers, and write what came out.

    The same call goes on where it was stopped; a call with more methods, policies or pairs adds them to the folder.

    Parameters
    ----------
    folder : path
        ``results.jsonl`` in it holds the results; tables and figures lie beside it.
    methods : sequence of str
        See `spectuner_ext.pipeline.evaluate.methods.method_named`; ``figures``, ``main``
        (less of what is slow) and ``quick`` are presets.
    starts : sequence of str
        ``random`` (uniform in the bounds), ``weighted`` (the package's own without a network).
    policies : mapping of str to str or None, optional
        Trained policies: a name for the methods, and weights (see `FittingPolicy.load`; None: those of the package).
    n_simulated : int
        Simulated pairs, half of them of species that no policy is trained on.
    settings : SceneSettings, optional
        Of the simulator.
    real : path, optional
        Folder of real spectra, of which the half that no training sees is fitted; see `RealPairs`.
    n_real : int
        Real pairs, at most.
    n_calibration : int
        Draws of each policy for each simulated pair, among which the truth is ranked; 0 for no calibration.
    seed : int
    workers : int
    plots : bool
    progress : callable, optional
        See `spectuner_ext.pipeline.evaluate.run.Progress`.

    Returns
    -------
    list of Path
        Files that were written.

    Raises
    ------
    InputError
        Before any work, if something that was asked for cannot be done.
    """
    proposers = proposers_named(starts, policies or {})
    calibrated = [f"calibration/{name}/{n_calibration}" for name in policies or {}] if n_calibration else []
    chosen = [m.name for m in methods_named([*methods, *calibrated], list(proposers))]
    if n_simulated < 1 and (real is None or n_real < 1):
        raise InputError("simulated: there are no pairs to fit; ask for at least one, or give real spectra")
    with LineDatabase.open() as database:
        library = SpeciesLibrary(database)
        sources: list[PairSource] = [SimulatedPairs(library, settings or SceneSettings(), n_simulated, seed)]
        if real is not None:
            sources.append(RealPairs(real, library, n_real, seed))
        evaluate(
            MixedPairs(sources, seed),
            chosen,
            proposers,
            Path(folder) / RESULTS,
            seed=seed,
            workers=workers,
            progress=progress,
        )
    return write_products(read_content(Path(folder) / RESULTS), folder, plots=plots)


def proposers_named(starts: Sequence[str], policies: Mapping[str, str | None]) -> dict[str, Proposer]:
    """Proposers by the names that methods use.

    Raises
    ------
    InputError
        If a start is unknown, or a policy has the name of another start.
    """
    for name in starts:
        if name not in STARTS:
            raise InputError(
                f"start: unknown start {name!r}; choose from {', '.join(STARTS)}, or give a policy"
            )
    for name in policies:
        if name in STARTS or not name or "/" in name or name == "truth":
            raise InputError(f"policy: {name!r} cannot be the name of a policy; call it policy, say")
    return {
        **{name: STARTS[name]() for name in starts},
        **{name: PolicyProposer(weights) for name, weights in policies.items()},
    }
