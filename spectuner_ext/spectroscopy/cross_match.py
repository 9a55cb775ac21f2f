"""Spin factors of SLAIM rows, from the JPL rows of the same transitions.

SLAIM prints no intensity, so nothing in it says whether a partition function counts the same spins as its
degeneracies. CASA ships JPL rows below 120 GHz with their intensities at 300 K; the same transition, found by
frequency and lower energy, gives the Q(300 K) that goes with A g of SLAIM.
"""

import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CatalogueError, require
from .catalogues.intensity import implied_log_q300
from .catalogues.splatalogue_rows import Rows

__all__ = ["AGREEMENT", "F_MAX", "SPIN_FACTORS", "CrossMatch", "JplRows", "cross_match", "read_jpl_rows"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

F_MAX = 120e3
"""Upper end of the JPL rows [MHz]."""

SPIN_FACTORS = (1 / 9, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0)
"""What spin conventions of two catalogues may differ by."""

AGREEMENT = 0.01
"""Groups within this many dex of the median count as agreeing; intensities have four decimals."""

_WIDTHS = (4.0, 1.0)
"""Largest gap [MHz] in a group: wide enough for hyperfine patterns (HCN 1-0), or for asymmetry doublets."""

_ENERGY_WIDTH = 0.03
"""Largest gap [cm^-1] in a group: fits of different years differ by less, hyperfine components much less."""

# Byte offsets of the columns in a data bucket of 32 rows, as table.dat states them.
_ROWS_PER_BUCKET = 32
_FREQUENCY, _INTENSITY, _E_LOWER, _G_UPPER, _TAG = 0x180, 0x380, 0x500, 0x600, 0x680
_BUCKET_SIZE, _HEADER = 2688, 512


@dataclass(frozen=True, slots=True, eq=False)
class JplRows:
    """JPL rows of CASA."""

    frequency: FloatArray  # (n,) MHz
    intensity: FloatArray  # (n,) log10 of nm^2 MHz at 300 K
    e_lower: FloatArray  # (n,) cm^-1
    tag: IntArray  # (n,)

    def of(self, tag: int) -> "JplRows":
        """Rows of one `tag`."""
        keep = self.tag == tag
        return JplRows(self.frequency[keep], self.intensity[keep], self.e_lower[keep], self.tag[keep])


@dataclass(frozen=True, slots=True)
class CrossMatch:
    """SLAIM rows of an entry against the JPL rows of a tag."""

    tag: int
    n_groups: int
    """Transitions found in both."""
    agreeing: float
    """Part of them within `AGREEMENT` of the median."""
    log_q300: float
    """Median of the lg Q(300 K) that A g of SLAIM and the intensity of JPL imply."""


def _blocks(index: bytes) -> list[NDArray[np.uint32]]:
    out = []
    start = index.find(b"Block")
    while start >= 0:
        count = struct.unpack_from("<i", index, start + 9)[0]
        out.append(np.frombuffer(index, "<u4", count, start + 13))
        start = index.find(b"Block", start + 13 + 4 * count)
    return out


@cache
def read_jpl_rows(path: Path | None = None) -> JplRows:
    """Read ``catalogs/lines/jpl_asap.tbl`` of casadata, without casacore.

    A CASA table keeps its rows in buckets of 32; an index at the end of the file says which bucket holds
    which rows, and the rest of the buckets hold strings, which nobody needs here.

    Raises
    ------
    ImportError
        When `path` is None and casadata is not installed.
    CatalogueError
        When the file is missing or has another layout.
    """
    if path is None:
        path = Path(str(require("casadata").datapath)) / "catalogs" / "lines" / "jpl_asap.tbl"
    if not (path / "table.f0").is_file():
        raise CatalogueError(f"there is no CASA table at {path}; install casadata 2025.9.22 or later")
    content = (path / "table.f0").read_bytes()
    size, n_buckets, _, _, _, _, bucket, offset, _, length = struct.unpack_from("<10i", content, 0x1E)
    if (size, offset, len(content)) != (_BUCKET_SIZE, 0, _HEADER + size * n_buckets):
        raise CatalogueError(
            f"{path} has buckets of {size} bytes where the table of casadata 2025.9.22 has {_BUCKET_SIZE}; "
            "install that version"
        )
    buckets = np.frombuffer(content, np.uint8, offset=_HEADER).reshape(-1, size)
    index = b""
    while bucket >= 0 and len(index) < length:
        index += buckets[bucket, 8:].tobytes()
        bucket = struct.unpack(">2i", buckets[bucket, :8].tobytes())[1]
    last_row, number = _blocks(index)[:2]
    data, n_rows = buckets[number.astype(np.int64)], int(last_row[-1]) + 1

    def column(start: int, kind: str) -> NDArray[np.generic]:
        width = np.dtype(kind).itemsize * _ROWS_PER_BUCKET
        return np.ascontiguousarray(data[:, start : start + width]).view(kind).reshape(-1)[:n_rows]

    return JplRows(
        column(_FREQUENCY, "<f8").astype(np.float64),
        column(_INTENSITY, "<f8").astype(np.float64),
        column(_E_LOWER, "<f8").astype(np.float64),
        np.abs(column(_TAG, "<i4").astype(np.int64)),  # measured lines have a negative tag
    )


def _groups(rows: Rows, jpl: JplRows, width: float) -> FloatArray:
    """Lg Q(300 K) of each transition: components closer than `width` [MHz] and of one energy are added up."""
    nu = np.concatenate([rows.frequency, jpl.frequency])
    energy = np.concatenate([rows.e_lower, jpl.e_lower])
    strength = np.concatenate([rows.einstein_a * rows.g_upper, 10.0**jpl.intensity])
    slaim = np.arange(nu.size) < rows.frequency.size
    by_energy = np.argsort(energy, kind="stable")
    level = np.empty(nu.size, dtype=np.int64)
    level[by_energy] = np.cumsum(np.diff(energy[by_energy], prepend=-np.inf) > _ENERGY_WIDTH)
    order = np.lexsort((nu, level))
    new = (np.diff(level[order], prepend=-1) > 0) | (np.diff(nu[order], prepend=-np.inf) > width)
    group = np.cumsum(new) - 1
    total = np.bincount(group)
    a_g = np.asarray(np.bincount(group, strength[order] * slaim[order]), dtype=np.float64)
    intensity = np.asarray(np.bincount(group, strength[order] * ~slaim[order]), dtype=np.float64)
    both = (a_g > 0) & (intensity > 0)
    mean = Rows(
        frequency=(np.bincount(group, nu[order]) / total)[both],
        einstein_a=a_g[both],
        g_upper=np.ones(int(both.sum())),
        e_lower=(np.bincount(group, energy[order]) / total)[both],
        intensity=np.log10(intensity[both]),
        label=[""] * int(both.sum()),
        hyperfine=np.zeros(int(both.sum()), dtype=bool),
        n_raw=int(both.sum()),
        n_dropped=0,
    )
    return implied_log_q300(mean)


def cross_match(rows: Rows, tag: int, jpl: JplRows | None = None) -> CrossMatch | None:
    """Compare SLAIM `rows` with the JPL rows of `tag`; None when they have no transition in common.

    Of the two widths of a group the one with more agreement is taken: hyperfine components must be added
    up, asymmetry doublets must not.
    """
    chosen = (read_jpl_rows() if jpl is None else jpl).of(tag)
    if not chosen.tag.size or not rows.frequency.size:
        return None
    best: CrossMatch | None = None
    for width in _WIDTHS:
        found = _groups(rows, chosen, width)
        if not found.size:
            continue
        median = float(np.median(found))
        agreeing = float(np.mean(np.abs(found - median) < AGREEMENT))
        if best is None or agreeing > best.agreeing:
            best = CrossMatch(tag, found.size, agreeing, median)
    return best
