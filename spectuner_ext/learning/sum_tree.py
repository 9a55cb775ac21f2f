"""A binary tree of sums: numbers are drawn in proportion to their size, and changed, in logarithmic time."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

__all__ = ["SumTree"]


class SumTree:
    """Non-negative numbers, each a leaf, under nodes that hold the sum of their two children.

    Schaul et al. (2016), arXiv:1511.05952, appendix B.2.1. Sums are made anew from the children whenever a leaf
    changes, so that rounding does not pile up.

    Parameters
    ----------
    n : int
        Leaves, zero at first.
    """

    def __init__(self, n: int) -> None:
        if n < 1:
            raise InputError(f"n: a tree needs at least one leaf, got {n}")
        self.n = n
        self._first = 1 << (n - 1).bit_length()
        self._nodes = np.zeros(2 * self._first)

    @property
    def total(self) -> float:
        """Sum of all leaves."""
        return float(self._nodes[1])

    @property
    def leaves(self) -> NDArray[np.float64]:
        """The numbers, (n,); not to be written to."""
        view = self._nodes[self._first : self._first + self.n]
        view.flags.writeable = False
        return view

    def set(self, index: ArrayLike, value: ArrayLike) -> None:
        """Change leaves.

        Parameters
        ----------
        index : array of int, (m,)
            Of a leaf that is named more than once, the last value stays.
        value : array, (m,)
            Finite, zero or positive.
        """
        where = np.atleast_1d(np.asarray(index, dtype=np.int64))
        values = np.broadcast_to(np.asarray(value, dtype=np.float64), where.shape)
        if where.size == 0:
            return
        if where.min() < 0 or where.max() >= self.n:
            raise InputError(
                f"index: must lie between 0 and {self.n - 1}, got {where.min()} to {where.max()}"
            )
        if not (np.isfinite(values) & (values >= 0)).all():
            raise InputError("value: must be finite and not negative")
        self._nodes[self._first + where] = values
        node = self._first + where
        while node[0] > 1:
            node = np.unique(node >> 1)
            self._nodes[node] = self._nodes[2 * node] + self._nodes[2 * node + 1]

    def find(self, mass: ArrayLike) -> NDArray[np.int64]:
        """Leaves at which the running sum first exceeds some masses.

        Parameters
        ----------
        mass : array, (m,)
            From zero to the total, which itself is excluded.

        Returns
        -------
        array of int, (m,)
            Never a leaf that is zero.
        """
        if not self.total > 0:
            raise InputError("mass: nothing can be found in a tree whose sum is zero")
        left_over = np.array(mass, dtype=np.float64, ndmin=1)
        node = np.ones(left_over.shape, dtype=np.int64)
        while node[0] < self._first:
            left = self._nodes[2 * node]
            # By rounding, the mass may exceed what is left; an empty half is not entered for that.
            right = (left_over >= left) & (self._nodes[2 * node + 1] > 0)
            left_over = np.where(right, left_over - left, left_over)
            node = 2 * node + right
        return node - self._first
