"""Results of a store as arrays over pairs and methods, and the parts of the pairs that tables are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .methods import Method, method_named
from .pairs import CONTAMINATION
from .store import Content

__all__ = ["REFERENCE", "Results", "results_of"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.str_]

REFERENCE = "pso x3"
"""Method of the reference loss of Spectuner-D1, section II.8."""


_FAILED = {"error": "not asked for"}


@dataclass(frozen=True, eq=False)
class Results:
    """Outcomes of n pairs and m methods; all pairs have all methods but those that need a truth.

    Parameters
    ----------
    pair, origin, dataset, spectrum, group, contamination : array of str, (n,)
    simulated : array of bool, (n,)
        Whether the truth is known.
    methods : tuple of Method, (m,)
    loss, evaluations, cpu_ms : array, (n, m)
        NaN where a method failed, or needs a truth that is not known.
    degenerate : array of bool, (n, m)
    best : array, (n,)
        Lowest loss that any method of the store found for the pair, whether it is among `methods` or not.
    n_left_out : int
        Pairs of the store that lack a method.
    """

    pair: StrArray
    origin: StrArray
    dataset: StrArray
    spectrum: StrArray
    group: StrArray
    contamination: StrArray
    simulated: BoolArray
    methods: tuple[Method, ...]
    loss: FloatArray
    evaluations: FloatArray
    cpu_ms: FloatArray
    degenerate: BoolArray
    best: FloatArray
    n_left_out: int = 0

    @cached_property
    def column(self) -> dict[str, int]:
        """Column of each method."""
        return {m.name: k for k, m in enumerate(self.methods)}

    @property
    def reference(self) -> FloatArray:
        """Losses of `REFERENCE`, (n,); NaN if it was not among the methods."""
        k = self.column.get(REFERENCE)
        return np.full(self.best.size, np.nan) if k is None else self.loss[:, k]

    def asked(self, k: int) -> BoolArray:
        """Pairs for which a method could be asked for, (n,)."""
        return self.simulated if self.methods[k].needs_truth else np.ones(self.pair.size, dtype=np.bool_)

    def parts(self, kinds: Sequence[str]) -> Iterator[tuple[str, str, BoolArray]]:
        """Kind, name and mask of the parts of the pairs.

        Parameters
        ----------
        kinds : sequence of str
            Of ``all``, ``origin``, ``dataset``, ``group``, ``contamination``, or two of them: ``dataset and group``.
        """
        for kind in kinds:
            labels = self._labels(kind)
            order = [c for c in CONTAMINATION if c in labels] if kind == "contamination" else []
            for name in dict.fromkeys([*order, *sorted(set(labels.tolist()))]):
                yield kind, name, np.asarray(labels == name)

    def _labels(self, kind: str) -> StrArray:
        if kind == "all":
            return np.full(self.pair.size, "all")
        labels = [getattr(self, name) for name in kind.split(" and ")]
        return np.array([", ".join(part) for part in zip(*labels, strict=True)], dtype=np.str_)


def results_of(content: Content, methods: Sequence[str] | None = None) -> Results:
    """Arrays of what a store holds.

    Parameters
    ----------
    content : Content
    methods : sequence of str, optional
        Names of methods to compare; all of the store when not given. Pairs that lack one of them (of a run that was
        interrupted, say) are left out, so that all methods are compared on the same pairs.

    Raises
    ------
    InputError
        If no pair has all of them.
    """
    names = list(dict.fromkeys(name for _, name in content.results)) if methods is None else list(methods)
    chosen = [m for m in map(method_named, names) if m.solver != "calibration"]
    by_pair: dict[str, dict[str, float]] = {}
    for (pair, name), line in content.results.items():
        if "loss" in line:
            by_pair.setdefault(pair, {})[name] = line["loss"]
    whole = [
        facts
        for key, facts in sorted(content.pairs.items())
        if all((key, m.name) in content.results or (m.needs_truth and facts["truth"] is None) for m in chosen)
        and by_pair.get(key)
    ]
    if not whole or not chosen:
        raise InputError(
            f"store: no pair has results of all of {', '.join(m.name for m in chosen) or 'no method'}; run the "
            "evaluation to its end, or name methods that it has"
        )
    shape = (len(whole), len(chosen))
    loss, evaluations, cpu = np.full((3, *shape), np.nan)
    degenerate = np.zeros(shape, dtype=np.bool_)
    for i, facts in enumerate(whole):
        for k, m in enumerate(chosen):
            line = content.results.get((facts["pair"], m.name), _FAILED)
            if "error" not in line:
                loss[i, k], evaluations[i, k], cpu[i, k] = line["loss"], line["evaluations"], line["cpu_ms"]
                degenerate[i, k] = line["degenerate"]
    return Results(
        **{
            name: np.array([facts[name] for facts in whole], dtype=np.str_)
            for name in ("pair", "origin", "dataset", "spectrum", "group", "contamination")
        },
        simulated=np.array([facts["truth"] is not None for facts in whole], dtype=np.bool_),
        methods=tuple(chosen),
        loss=loss,
        evaluations=evaluations,
        cpu_ms=cpu,
        degenerate=degenerate,
        best=np.array([min(by_pair[facts["pair"]].values()) for facts in whole]),
        n_left_out=len(content.pairs) - len(whole),
    )
