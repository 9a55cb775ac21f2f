"""Ways to fit a pair, by name: a solver, where it starts, and how many draws are screened for that start."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...errors import InputError
from ...fitting.local import SCIPY_METHODS

__all__ = ["NINIT", "PRESETS", "SWARM", "TRUTH", "Method", "figure_methods", "method_named", "methods_named"]

NINIT = (10, 25, 50, 100)
"""Numbers of draws of Fig. 4 of Spectuner-D1; the others have 50."""

TRUTH = "truth"
"""Start of what only a simulated pair allows."""

SWARM = 28
"""Particles of the swarm, section II.7 of Spectuner-D1."""

_REFINERS = (*SCIPY_METHODS, "polish", "refine")
_STARTED = ("draws", *_REFINERS)


@dataclass(frozen=True, slots=True)
class Method:
    """One way to fit a pair.

    Parameters
    ----------
    name : str
        As `method_named` reads it.
    solver : str
        ``draws`` (no solver: the best draw), one of the local solvers of Table 4 of Spectuner-D1, ``polish``
        (Nelder-Mead with restarts), ``refine`` (`spectuner_ext.policy.reward.refine`), ``pso``, ``evolution``
        (`spectuner_ext.fitting.search.solve_auto`), ``truth`` (no solver) or ``calibration``.
    start : str
        Name of a proposer, ``truth``, or empty where the solver begins by itself.
    ninit : int
        Draws of the proposer.
    repeats : int
        Runs of a swarm, or distinct starts of a local solver, of which the best counts.
    """

    name: str
    solver: str
    start: str = ""
    ninit: int = 0
    repeats: int = 1

    @property
    def needs_truth(self) -> bool:
        """Whether it can only be done for a simulated pair."""
        return self.start == TRUTH or self.solver in ("truth", "calibration")


def method_named(name: str) -> Method:
    """Read the name of a method.

    ``pso`` and ``pso x3``; ``pso/policy/28``; ``draws/random/50``; ``slsqp/policy/50``, ``refine x4/policy/50`` (from
    four draws that differ); ``slsqp/truth``; ``truth``; ``evolution``; ``calibration/policy/500``.

    Raises
    ------
    InputError
        If it is none of these.
    """
    head, *rest = name.split("/")
    found = re.fullmatch(r"([a-z-]+)(?: x([1-9]\d*))?", head)
    if found is None:
        raise _unknown(name)
    solver, repeats = found[1], int(found[2] or 1)
    if not rest:
        alone = solver in ("pso", "evolution", "truth") and (repeats == 1 or solver == "pso")
        if not alone:
            raise _unknown(name)
        return Method(name, solver, TRUTH if solver == "truth" else "", 0, repeats)
    if rest == [TRUTH] and solver in _REFINERS and repeats == 1:
        return Method(name, solver, TRUTH)
    if len(rest) != 2 or not rest[0] or rest[0] == TRUTH or not re.fullmatch(r"[1-9]\d*", rest[1]):
        raise _unknown(name)
    if solver not in (*_STARTED, "pso", "calibration") or (repeats > 1 and solver not in _REFINERS):
        raise _unknown(name)
    return Method(name, solver, rest[0], int(rest[1]), repeats)


def _unknown(name: str) -> InputError:
    return InputError(
        f"methods: cannot read {name!r}; write a solver ({', '.join(_STARTED)}, pso) with its start and number of "
        "draws, as in slsqp/policy/50; or slsqp/truth, pso x3, evolution, truth, calibration/policy/500; or a "
        "preset: " + ", ".join(PRESETS)
    )


def figure_methods(
    proposers: Sequence[str], ninit: Sequence[int] = NINIT, solvers: Sequence[str] = tuple(SCIPY_METHODS)
) -> list[str]:
    """Names of the methods behind Figs 3, 4 and 5 of Spectuner-D1, and of those that tell what they miss."""
    names = ["pso", "pso x3"]
    for p in proposers:
        names += [f"draws/{p}/{n}" for n in ninit]
        names += [f"{solver}/{p}/{n}" for solver in (*solvers, "refine", "refine x4") for n in ninit]
        names += [f"polish/{p}/50", f"pso/{p}/{SWARM}"]
    return [*names, "evolution", "truth", "nelder-mead/truth", "slsqp/truth", "refine/truth"]


def _quick_methods(proposers: Sequence[str]) -> list[str]:
    names = ["pso x3"]
    for p in proposers:
        names += [f"{solver}/{p}/50" for solver in ("draws", "nelder-mead", "slsqp", "refine x4")]
    return [*names, "truth", "refine/truth"]


def _main_methods(proposers: Sequence[str]) -> list[str]:
    """Those of `figure_methods` without the slow solvers at numbers of draws other than 50."""
    few = [f"{s}/" for s in SCIPY_METHODS if s not in ("nelder-mead", "slsqp")]
    return [n for n in figure_methods(proposers) if not n.startswith(tuple(few)) or n.endswith("/50")]


PRESETS = {"figures": figure_methods, "main": _main_methods, "quick": _quick_methods}
"""Lists of methods by name, each a function of the names of the proposers."""


def methods_named(names: Iterable[str], proposers: Sequence[str]) -> tuple[Method, ...]:
    """Methods of names and presets, each once.

    Raises
    ------
    InputError
        If a name cannot be read, or asks for a proposer that is not there.
    """
    wide = [n for name in names for n in (PRESETS[name](proposers) if name in PRESETS else [name])]
    methods = tuple(method_named(name) for name in dict.fromkeys(wide))
    if not methods:
        raise InputError("methods: give at least one")
    for m in methods:
        if m.start not in ("", TRUTH, *proposers):
            raise InputError(
                f"methods: {m.name} starts from {m.start!r}, and the proposers are {', '.join(proposers) or 'none'}"
            )
    return methods
