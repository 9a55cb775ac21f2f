"""Results against an answer key: the published metrics, and levels counted once.

The only place that opens a key. Nothing that determines levels imports this module.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from .arrays import BoolArray, FloatArray, IntArray, check_column, check_lengths, where
from .result import Analysis

__all__ = [
    "Evaluation",
    "Key",
    "evaluate",
    "key_of_truth",
    "read_key",
]

KILOKAYSER = 1000.0
"""cm^-1 in the unit of the published key files."""

Judge = Literal["energy", "level"]


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """The right energies.

    Parameters
    ----------
    energy : array, (n_key,), in cm^-1
    level : array of int, (n_key,)
        Id in the calculation, -1 where the key does not tell.
    source : str
        Which list this is.
    """

    energy: FloatArray
    level: IntArray
    source: str = ""

    def __post_init__(self) -> None:
        """Check both columns."""
        object.__setattr__(self, "energy", np.ascontiguousarray(self.energy, dtype=np.float64))
        object.__setattr__(self, "level", np.ascontiguousarray(self.level, dtype=np.int64))
        check_lengths({"energy": self.energy, "level": self.level}, self.source)
        check_column(self.energy, "energy", self.source, not_negative=True)
        ids = self.level[self.level >= 0]
        if np.unique(ids).size < ids.size:
            twice = int(np.flatnonzero(np.bincount(ids) > 1)[0])
            raise InputError(
                f"{self.source or 'key'}: level {twice} is given twice; keep one energy for each"
            )

    def __len__(self) -> int:
        return int(self.energy.size)

    @property
    def has_levels(self) -> bool:
        """Whether it tells which level has which energy."""
        return bool(np.any(self.level >= 0))


def key_of_truth(truth_energy: FloatArray, source: str = "simulated truth") -> Key:
    """Key of an ion whose true energies are known by level id; NaN where a level has none.

    Parameters
    ----------
    truth_energy : array, (n_level,), in cm^-1
    source : str
    """
    truth = np.asarray(truth_energy, dtype=np.float64)
    level = np.flatnonzero(np.isfinite(truth))
    return Key(truth[level], level, source)


def read_key(path: str | Path, kind: Literal["auto", "energies", "labels"] = "auto") -> Key:
    """Read a published key, in kK: one energy a row without header, or energy and level id under a header.

    Parameters
    ----------
    path : path
    kind : {"auto", "energies", "labels"}
        One column or two; "auto" takes what is there.

    Raises
    ------
    InputError
        With file and row.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"no answer key {file}; give the name of an existing file")
    rows = [row for row in csv.reader(file.read_text("utf-8").splitlines()) if any(x.strip() for x in row)]
    heading = 1 if rows and not _is_number(rows[0][0]) else 0
    width = 1 if kind == "energies" or (kind == "auto" and all(len(row) == 1 for row in rows)) else 2
    if len(rows) <= heading:
        raise InputError(f"{file}: no rows; a key has an energy in kK on each")
    numbers = np.empty((len(rows) - heading, width))
    for k, row in enumerate(rows[heading:]):
        if len(row) < width or not all(_is_number(x) for x in row[:width]):
            need = "energy in kK" if width == 1 else "energy in kK and level id"
            raise InputError(f"{where(str(file), k + heading)}: {need} needed, got {','.join(row)!r}")
        numbers[k] = [float(x) for x in row[:width]]
    energy, level = numbers[:, 0], np.full(len(numbers), -1.0)
    if width == 2:
        level = numbers[:, 1]
        if heading and "id" in rows[0][0].lower() and "id" not in rows[0][1].lower():
            energy, level = level, energy
        wrong = np.flatnonzero(level != np.rint(level))
        if wrong.size:
            row_number = int(wrong[0])
            raise InputError(
                f"{where(str(file), row_number + heading)}: level id is {level[row_number]:g}; a whole number is "
                "needed, in the second column unless the header says otherwise"
            )
    return Key(energy * KILOKAYSER, level.astype(np.int64), file.name)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a key says of a run; rows are the determined levels in the order of `Analysis.levels`.

    Parameters
    ----------
    level : array of int, (n,)
    energy : array, (n,), in cm^-1
    probability, log_odds : array, (n,)
        As the agent gave them.
    order : array of int, (n,)
    key_energy : array, (n,), in cm^-1
        Nearest energy of the key.
    own_energy : array, (n,), in cm^-1
        What the key gives for this very level; NaN where it does not tell.
    initial : array of bool, (n,)
        Within the tolerance of an initial level, so never counted as correct by energy.
    near_key : array of bool, (n,)
        Within the tolerance of an energy of the key and not `initial`: correct in the published sense.
    right_level : array of bool, (n,)
        Within the tolerance of the key's energy for this very level.
    first_credit : array of bool, (n,)
        Whether a new energy of the key is credited to this row when each is credited once; the largest such
        pairing.
    by : {"energy", "level"}
        Which of `near_key` and `right_level` is called right.
    tolerance : float, in cm^-1
    n_key, n_key_new : int
        Energies in the key, and those that are not initial levels.
    n_initial : int
    score : float
        Of the run.
    agent, key_source : str
    """

    level: IntArray
    energy: FloatArray
    probability: FloatArray
    log_odds: FloatArray
    order: IntArray
    key_energy: FloatArray
    own_energy: FloatArray
    initial: BoolArray
    near_key: BoolArray
    right_level: BoolArray
    first_credit: BoolArray
    by: Judge
    tolerance: float
    n_key: int
    n_key_new: int
    n_initial: int
    score: float
    agent: str
    key_source: str

    def __len__(self) -> int:
        return int(self.level.size)

    @property
    def right(self) -> BoolArray:
        """Verdict on every level, in the sense of `by`."""
        return self.near_key if self.by == "energy" else self.right_level

    @property
    def credited(self) -> BoolArray:
        """Right levels that count for the recall: every energy of the key once."""
        return self.first_credit if self.by == "energy" else self.right_level

    def metrics(self) -> dict[str, Any]:
        """Metrics of the run, JSON-like; shares are NaN where their denominator is zero.

        ``n_correct`` and ``accuracy = n_correct / n_determined`` are the published ones, ``n_distinct`` credits
        every energy of the key once and ``recall`` is the share of `credited` levels in the energies that were to be
        found; ``n_level`` and ``level_accuracy`` are the label metric, None without ids in the key.
        """
        n, told = len(self), bool(np.isfinite(self.own_energy).any())
        n_correct, n_level = int(self.near_key.sum()), int(self.right_level.sum())
        return {
            "agent": self.agent,
            "key": self.key_source,
            "tolerance": self.tolerance,
            "score": self.score,
            "n_initial": self.n_initial,
            "n_determined": n,
            "n_correct": n_correct,
            "accuracy": _share(n_correct, n),
            "n_distinct": int(self.first_credit.sum()),
            "n_key_new": self.n_key_new,
            "recall": _share(int(self.credited.sum()), self.n_key_new),
            "n_level": n_level if told else None,
            "level_accuracy": _share(n_level, n) if told else None,
            "n_initial_again": int(self.initial.sum()),
        }


def evaluate(analysis: Analysis, key: Key, tolerance: float = 0.05, *, by: Judge = "energy") -> Evaluation:
    """Compare determined levels with a key.

    The published metrics (Ding et al., TAG-DQN): of the levels known at the end, those within the tolerance of an
    initial level are skipped; the rest is correct within the tolerance of any energy of the key; the accuracy
    divides by the levels known at the end minus those at the start. No J, parity or label is compared, one energy
    may be credited twice, and right levels that the key does not have count as wrong.

    Parameters
    ----------
    analysis : Analysis
    key : Key
    tolerance : float, in cm^-1
    by : {"energy", "level"}
        What `Evaluation.right`, and with it precision and reliability, goes by: any energy of the key, or the
        one of the same level id.

    Raises
    ------
    InputError
        If the key has no ids but `by` is "level".
    """
    if by == "level" and not key.has_levels:
        raise InputError(f"{key.source or 'key'} gives no level ids; use by='energy'")
    levels, start = analysis.levels, analysis.system.known.energy
    energy, listed = levels.energy, np.sort(key.energy)
    again = np.abs(_nearest(energy, np.sort(start)) - energy) < tolerance
    nearest = _nearest(energy, listed)
    near = (np.abs(nearest - energy) < tolerance) & ~again
    own = np.full(max(len(analysis.system.levels), int(key.level.max(initial=-1)) + 1), np.nan)
    own[key.level[key.level >= 0]] = key.energy[key.level >= 0]
    new = listed[~(np.abs(_nearest(listed, np.sort(start)) - listed) < tolerance)]
    return Evaluation(
        level=levels.level,
        energy=energy,
        probability=levels.probability,
        log_odds=levels.log_odds,
        order=levels.order,
        key_energy=nearest,
        own_energy=own[levels.level],
        initial=again,
        near_key=near,
        right_level=np.abs(own[levels.level] - energy) < tolerance,
        first_credit=_paired(energy, near, new, tolerance),
        by=by,
        tolerance=tolerance,
        n_key=len(key),
        n_key_new=int(new.size),
        n_initial=len(analysis.system.known),
        score=analysis.score,
        agent=analysis.agent,
        key_source=key.source,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _nearest(energy: FloatArray, ordered: FloatArray) -> FloatArray:
    """Nearest of some increasing energies to each energy; NaN where there are none."""
    if not ordered.size:
        return np.full(energy.shape, np.nan)
    after = np.clip(np.searchsorted(ordered, energy), 1 if ordered.size > 1 else 0, ordered.size - 1)
    before = np.maximum(after - 1, 0)
    closer = np.abs(ordered[before] - energy) < np.abs(ordered[after] - energy)
    return np.where(closer, ordered[before], ordered[after])


def _paired(energy: FloatArray, near: BoolArray, ordered: FloatArray, tolerance: float) -> BoolArray:
    """Rows of the largest pairing of energies with `ordered`: on a line, pairing from below is best."""
    credited = np.zeros(energy.shape, dtype=np.bool_)
    j = 0
    for i in np.flatnonzero(near)[np.argsort(energy[near], kind="stable")]:
        while j < ordered.size and energy[i] - ordered[j] >= tolerance:
            j += 1
        if j < ordered.size and abs(energy[i] - ordered[j]) < tolerance:
            credited[i] = True
            j += 1
    return credited
