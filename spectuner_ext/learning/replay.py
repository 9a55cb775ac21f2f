"""A memory of past records of a training, from which the surprising ones are drawn more often."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .sum_tree import SumTree

__all__ = ["PrioritisedReplay", "Sample"]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Records that were drawn.

    Parameters
    ----------
    index : array of int, (n,)
        Their slots, for `PrioritisedReplay.set_priorities`.
    weight : array, (n,)
        Importance weights, at most one.
    fields : dict of str to array (n, ...), or to list of n arrays where the field is ragged
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    fields: dict[str, Any]


class PrioritisedReplay:
    """The last records, each a few named numbers or arrays, drawn with probability ``P_i = p_i^alpha / sum p^alpha``.

    Schaul et al. (2016), arXiv:1511.05952: ``p_i = |error_i| + epsilon``, a new record has the largest priority that
    was ever set, and drawn records are weighted by ``(N P_i)^-beta`` over its largest value in the memory, which
    makes up for the uneven drawing when beta is 1.

    Parameters
    ----------
    capacity : int
        Records kept; then the oldest gives way.
    alpha : float
        Zero draws all alike.
    epsilon : float
        Keeps records without error within reach.
    ragged : sequence of str
        Fields whose first axis has another length in every record.

    Examples
    --------
    >>> replay = PrioritisedReplay(1000)
    >>> replay.add(state=3, reward=0.5)
    0
    >>> replay.sample(2, np.random.default_rng(1)).fields["reward"]
    array([0.5, 0.5])
    """

    def __init__(
        self, capacity: int, *, alpha: float = 0.6, epsilon: float = 1e-6, ragged: Sequence[str] = ()
    ) -> None:
        if not alpha >= 0:
            raise InputError(f"alpha: must be zero or positive, got {alpha}")
        if not epsilon > 0:
            raise InputError(f"epsilon: must be positive, got {epsilon}")
        self.capacity, self.alpha, self.epsilon = capacity, alpha, epsilon
        self._tree = SumTree(capacity)
        self._ragged = frozenset(ragged)
        self._dense: dict[str, NDArray[Any]] = {}
        self._lists: dict[str, list[NDArray[Any]]] = {}
        self._next, self._size, self._largest = 0, 0, 1.0

    def __len__(self) -> int:
        return self._size

    def add(self, **fields: ArrayLike) -> int:
        """Remember a record; its slot.

        Parameters
        ----------
        **fields : number or array
            The same names, and but for ragged ones the same shapes, every time. The first record sets the types.

        Raises
        ------
        InputError
            If names, shapes or types differ from those of the first record.
        """
        arrays = {name: np.asarray(value) for name, value in fields.items()}
        if not self._size:
            self._begin(arrays)
        self._check(arrays)
        slot = self._next
        for name, value in arrays.items():
            if name in self._ragged:
                held = self._lists[name]
                own = value.astype(held[0].dtype, copy=True) if held else value.copy()
                held[slot : slot + 1] = [own]
            else:
                self._dense[name][slot] = value
        self._tree.set(slot, self._largest**self.alpha)
        self._next = (slot + 1) % self.capacity
        self._size = max(self._size, slot + 1)
        return slot

    def sample(self, n: int, rng: np.random.Generator, beta: float = 1.0) -> Sample:
        """Draw records, with replacement, one from each of n equal parts of the sum of priorities.

        Parameters
        ----------
        n : int
        rng : Generator
        beta : float
            How far the weights make up for uneven drawing, 0 to 1.
        """
        if not self._size:
            raise InputError("n: nothing can be drawn from an empty replay; add records first")
        if n < 1:
            raise InputError(f"n: must be at least 1, got {n}")
        mass = (np.arange(n) + rng.random(n)) * (self._tree.total / n)
        index = self._tree.find(mass)
        priority = self._tree.leaves[: self._size]
        weight = (priority.min() / priority[index]) ** beta
        return Sample(index, weight, self.records(index))

    def records(self, index: ArrayLike) -> dict[str, Any]:
        """Fields of the records in some slots."""
        where = np.asarray(index, dtype=np.int64)
        return {
            **{name: column[where] for name, column in self._dense.items()},
            **{name: [held[i] for i in where.tolist()] for name, held in self._lists.items()},
        }

    def set_priorities(self, index: ArrayLike, errors: ArrayLike) -> None:
        """Set priorities by the errors that were found for some records.

        Parameters
        ----------
        index : array of int, (n,)
            As `sample` gave them, before anything was added. Of a record named more than once, the last error holds.
        errors : array, (n,)
            Finite; the sign does not matter.
        """
        where, size = np.asarray(index, dtype=np.int64), np.abs(np.asarray(errors, dtype=np.float64))
        if where.shape != size.shape:
            raise InputError(f"errors: needs one for each of {where.shape} records, got {size.shape}")
        if where.size == 0:
            return
        if not np.isfinite(size).all():
            raise InputError("errors: an error is not finite")
        if where.min() < 0 or where.max() >= self._size:
            raise InputError(f"index: must lie between 0 and {self._size - 1}")
        priority = size + self.epsilon
        self._largest = max(self._largest, float(priority.max()))
        self._tree.set(where, priority**self.alpha)

    def arrays(self) -> dict[str, Any]:
        """Content, for a checkpoint."""
        return {
            "place": np.array([self._next, self._size, self.capacity]),
            "largest": np.array(self._largest),
            "priority": self._tree.leaves[: self._size].copy(),
            "dense": {name: column[: self._size] for name, column in self._dense.items()},
            "ragged": {
                name: {"values": np.concatenate(held), "lengths": np.array([len(v) for v in held])}
                for name, held in self._lists.items()
            },
        }

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Take over what `arrays` gave, of a replay of the same capacity."""
        place, size, capacity = (int(v) for v in arrays["place"])
        if capacity != self.capacity:
            raise InputError(f"capacity: the saved replay holds {capacity} records, this one {self.capacity}")
        self._next, self._size, self._largest = place, size, float(arrays["largest"])
        self._tree = SumTree(self.capacity)
        self._tree.set(np.arange(size), arrays["priority"])
        self._dense = {}
        for name, column in arrays["dense"].items():
            self._dense[name] = np.zeros((self.capacity, *column.shape[1:]), dtype=column.dtype)
            self._dense[name][:size] = column
        self._lists = {
            name: [v.copy() for v in np.split(held["values"], np.cumsum(held["lengths"])[:-1])]
            for name, held in arrays["ragged"].items()
        }

    def _begin(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if absent := sorted(self._ragged - arrays.keys()):
            raise InputError(f"ragged: the first record has no {', '.join(absent)}")
        for name, value in arrays.items():
            if value.dtype.kind not in "biuf":
                raise InputError(f"{name}: a record holds numbers, got {value.dtype}")
            if name in self._ragged and value.ndim == 0:
                raise InputError(f"{name}: a ragged field needs at least one axis, got a single number")
        self._lists = {name: [] for name in arrays if name in self._ragged}
        self._dense = {
            name: np.zeros((self.capacity, *value.shape), dtype=value.dtype)
            for name, value in arrays.items()
            if name not in self._ragged
        }

    def _check(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        known = self._dense.keys() | self._lists.keys()
        if arrays.keys() != known:
            raise InputError(f"fields: must be {', '.join(sorted(known))}, got {', '.join(sorted(arrays))}")
        for name, value in arrays.items():
            model = self._dense[name] if name in self._dense else (self._lists[name] or [value])[0]
            if value.shape[name in self._ragged :] != model.shape[1:]:
                raise InputError(
                    f"{name}: the shape {value.shape} does not fit {model.shape[1:]} of the records before"
                )
            if not np.can_cast(value.dtype, model.dtype, casting="same_kind"):
                raise InputError(f"{name}: {value.dtype} does not fit {model.dtype} of the records before")
