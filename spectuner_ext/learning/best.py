"""The best few parameter vectors that were found for each entry of a training set, all entries at once.

Replay of the best samples in the paper of Spectuner-D1 (II.5), where every entry has a priority queue of 32.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

__all__ = ["BestKeeper"]


class BestKeeper:
    """For every entry the ``k`` distinct vectors of lowest loss.

    Rows are in order of rising loss; of equal losses, what was offered first comes first and stays. A vector that
    is there already (all numbers equal) is not taken twice; it keeps the lower loss.

    Parameters
    ----------
    n_entry, k, n_dim : int
        Entries; rows kept of each; length of a vector.

    Attributes
    ----------
    losses : array, (n_entry, k)
        Infinite where a row is empty.
    vectors : array, (n_entry, k, n_dim)
        NaN where a row is empty.
    """

    def __init__(self, n_entry: int, k: int, n_dim: int) -> None:
        for name, value in (("n_entry", n_entry), ("k", k), ("n_dim", n_dim)):
            if value < 1:
                raise InputError(f"{name}: must be at least 1, got {value}")
        self.losses = np.full((n_entry, k), np.inf)
        self.vectors = np.full((n_entry, k, n_dim), np.nan)

    @property
    def count(self) -> NDArray[np.int64]:
        """Rows filled, (n_entry,)."""
        return np.asarray(np.isfinite(self.losses).sum(axis=1), dtype=np.int64)

    def offer(self, entries: ArrayLike, losses: ArrayLike, vectors: ArrayLike) -> NDArray[np.int64]:
        """Offer vectors to entries; the better ones displace the worse.

        Parameters
        ----------
        entries : array of int, (m,)
            May name an entry more than once; the earlier offer then comes first.
        losses : array, (m, d)
            Offers whose loss is not finite are passed over.
        vectors : array, (m, d, n_dim)

        Returns
        -------
        array of int, (m,)
            How many of the offered rows were taken in when their turn came.

        Raises
        ------
        InputError
            If shapes do not fit, an entry does not exist, or a vector with a finite loss is not finite.
        """
        index, loss, vector = self._checked(entries, losses, vectors)
        taken = np.zeros(index.size, dtype=np.int64)
        # Anything not below the worst kept loss changes nothing, late in a training that is nearly everything.
        waiting = np.flatnonzero((loss < self.losses[index, -1:]).any(axis=1))
        while waiting.size:
            _, first = np.unique(index[waiting], return_index=True)
            now = waiting[np.sort(first)]
            taken[now] = self._merge(index[now], loss[now], vector[now])
            waiting = np.setdiff1d(waiting, now, assume_unique=True)
        return taken

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Content, for a checkpoint."""
        return {"losses": self.losses, "vectors": self.vectors}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` gave."""
        for name, own in (("losses", self.losses), ("vectors", self.vectors)):
            if arrays[name].shape != own.shape:
                raise InputError(f"arrays: {name} has the shape {arrays[name].shape}, here it is {own.shape}")
            own[...] = arrays[name]

    def _merge(
        self, entry: NDArray[np.int64], loss: NDArray[np.float64], vector: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Rows kept and rows offered, sorted together; every entry here is named once."""
        k = self.losses.shape[1]
        pool = np.concatenate([self.losses[entry], loss], axis=1)
        rows = np.concatenate([self.vectors[entry], vector], axis=1)
        order = np.argsort(pool, axis=1, kind="stable")
        pool = np.take_along_axis(pool, order, axis=1)
        rows = np.take_along_axis(rows, order[..., None], axis=1)
        repeated = _repeated(rows) & np.isfinite(pool)
        if repeated.any():
            pool[repeated] = np.inf
            again = np.argsort(pool, axis=1, kind="stable")
            pool = np.take_along_axis(pool, again, axis=1)
            rows = np.take_along_axis(rows, again[..., None], axis=1)
            order = np.take_along_axis(order, again, axis=1)
        pool, rows, order = pool[:, :k], rows[:, :k], order[:, :k]
        filled = np.isfinite(pool)
        self.losses[entry] = pool
        self.vectors[entry] = np.where(filled[..., None], rows, np.nan)
        return np.asarray((filled & (order >= k)).sum(axis=1), dtype=np.int64)

    def _checked(
        self, entries: ArrayLike, losses: ArrayLike, vectors: ArrayLike
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        index = np.asarray(entries)
        loss = np.array(losses, dtype=np.float64)
        vector = np.asarray(vectors, dtype=np.float64) + 0.0  # minus zero becomes zero, which it equals
        n_entry, _, n_dim = self.vectors.shape
        if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
            raise InputError(f"entries: needs a list of integers, got shape {index.shape} of {index.dtype}")
        if loss.ndim != 2 or loss.shape[0] != index.size or vector.shape != (*loss.shape, n_dim):
            raise InputError(
                f"losses, vectors: for {index.size} entries the shapes must be ({index.size}, d) and "
                f"({index.size}, d, {n_dim}), got {loss.shape} and {vector.shape}"
            )
        if index.size and not (index.min() >= 0 and index.max() < n_entry):
            raise InputError(
                f"entries: must lie between 0 and {n_entry - 1}, got {index.min()} to {index.max()}"
            )
        loss[~np.isfinite(loss)] = np.inf
        if (np.isfinite(loss) & ~np.isfinite(vector).all(axis=-1)).any():
            raise InputError("vectors: a vector with a finite loss has a value that is not finite")
        return index.astype(np.int64), loss, vector


def _repeated(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a row has an equal one before it: (n, r, n_dim) to (n, r).

    Equal rows have equal hashes, so it is enough to compare neighbours after a stable sort by hash. Two different
    rows with one hash could hide a third, by a chance of about 1e-16 a pair.
    """
    mixed = np.zeros(rows.shape[:2], dtype=np.uint64)
    for column in np.moveaxis(np.ascontiguousarray(rows).view(np.uint64), -1, 0):
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    order = np.argsort(mixed, axis=1, kind="stable")
    sorted_rows = np.take_along_axis(rows, order[..., None], axis=1)
    same = np.zeros(mixed.shape, dtype=bool)
    same[:, 1:] = (sorted_rows[:, 1:] == sorted_rows[:, :-1]).all(axis=-1)
    repeated = np.zeros_like(same)
    np.put_along_axis(repeated, order, same, axis=1)
    return repeated
