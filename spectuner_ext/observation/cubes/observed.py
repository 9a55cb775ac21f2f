"""The observed cube: pixels on the sky with their spectra, read in blocks and in working units."""

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, SpectunerWarning
from ..noise import estimate_noise, estimate_smoothing
from ..observation import Observation, Window
from .block import SpectrumBlock
from .form import CubeForm
from .windows import CubeWindow, Pieces

__all__ = ["ObservedCube"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_LOOKED_AT = 9  # channels of each window in which pixels with data are looked for first
_VALUES = 1 << 25  # read at a time when the whole cube is looked through


@dataclass(frozen=True, slots=True, eq=False)
class ObservedCube:
    """Spectra of many pixels on common windows; made by `observe_cube`.

    Blocks are read from the files when they are asked for and not kept. A pickled cube opens the files again by
    their paths; see `is_portable`. Reading is safe in threads.

    Parameters
    ----------
    frame : Observation
        Channels, beams and selected channels that all pixels share; its intensity is 0, its noise 1 K, its
        continuum 0.
    windows : tuple of CubeWindow
        In the order of `frame`.
    shape : tuple of int
        Rows and columns.
    wcs : astropy.wcs.WCS or None
        Celestial.
    region : array of bool, (ny, nx)
        Pixels that are asked for.
    label : str
        Short name for messages and titles.
    beam_keywords : mapping
        See `beam_header`.
    notes : mapping
        Provenance: files, units, counts, beams.
    """

    frame: Observation
    windows: tuple[CubeWindow, ...]
    shape: tuple[int, int]
    wcs: Any
    region: BoolArray
    label: str
    beam_keywords: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        n = int(np.count_nonzero(self.region))
        size = f"{self.shape[1]} x {self.shape[0]} pixels, {n} in the region"
        return f"<ObservedCube {self.label!r}: {size}, {self.frame!r}>"

    @property
    def is_portable(self) -> bool:
        """Whether another machine that sees the same files can read it after unpickling.

        Not for objects in memory, nor for what was unpacked or reprojected into temporary storage.
        """
        return all(window.planes.is_portable for window in self.windows)

    def block(
        self, y0: int, y1: int, x0: int, x1: int, wanted: NDArray[np.bool_] | None = None
    ) -> SpectrumBlock:
        """Spectra of a rectangle, rows `y0` to `y1` and columns `x0` to `x1` (exclusive).

        Whole rows are read fastest.

        Parameters
        ----------
        y0, y1, x0, x1 : int
        wanted : array of bool, (y1 - y0, x1 - x0), optional
            Pixels to give; by default those of the region.

        Raises
        ------
        InputError
            If the rectangle does not lie in the image, or `wanted` has another shape.
        """
        ny, nx = self.shape
        if not (0 <= y0 < y1 <= ny and 0 <= x0 < x1 <= nx):
            raise InputError(
                f"block: rows {y0} to {y1} and columns {x0} to {x1} do not lie in {ny} x {nx} pixels"
            )
        chosen = self.region[y0:y1, x0:x1] if wanted is None else np.asarray(wanted, dtype=np.bool_)
        if chosen.shape != (y1 - y0, x1 - x0):
            raise InputError(
                f"block: wanted has the shape {chosen.shape}, the rectangle {(y1 - y0, x1 - x0)}"
            )
        y, x = np.nonzero(chosen)
        pixel = np.stack([y + y0, x + x0], axis=1).astype(np.int64)
        if y.size == 0:
            return self._read(Pieces(pixel, (y0, y0, x0, x0)))
        top, left = int(y.min()), int(x.min())
        rows, columns = int(y.max()) + 1 - top, int(x.max()) + 1 - left
        inside = (y - top) * columns + (x - left)
        around = (y0 + top, y0 + top + rows, x0 + left, x0 + left + columns)
        return self._read(Pieces(pixel, around, None if inside.size == rows * columns else inside))

    def pixels(self, pixel: NDArray[np.int64]) -> SpectrumBlock:
        """Spectra of scattered pixels, rows of (y, x); the files are read once through.

        Raises
        ------
        InputError
            If one does not lie in the image.
        """
        where = np.asarray(pixel, dtype=np.int64).reshape(-1, 2)
        outside = np.any((where < 0) | (where >= np.array(self.shape)), axis=1)
        if outside.any():
            y, x = where[np.argmax(outside)]
            raise InputError(
                f"pixel: row {y}, column {x} does not lie in {self.shape[0]} x {self.shape[1]} pixels"
            )
        return self._read(Pieces(where))

    def _read(self, pieces: Pieces) -> SpectrumBlock:
        """Read all windows of some pixels."""
        n = len(pieces.pixel)
        value = np.zeros((n, self.frame.n_channel), dtype=np.float32)
        good = np.zeros(value.shape, dtype=np.bool_)
        start = 0
        for window in self.windows:
            stop = start + window.rows.size
            if n:
                window.fill(value[:, start:stop], good[:, start:stop], pieces)
            start = stop
        y, x = pieces.pixel.T
        continuum = np.stack([_at(w.continuum, y, x) for w in self.windows], axis=1)
        sigma = np.stack([_at(w.noise, y, x) for w in self.windows], axis=1)
        return SpectrumBlock(pieces.pixel, value, good, np.nan_to_num(continuum), sigma)

    def sample(self, n: int, seed: int = 0) -> SpectrumBlock:
        """Spectra of at most `n` random pixels of the region that have data, row by row.

        Pixels with data are looked for in nine channels of each window, and only if none is found there, in the
        whole cube.

        Raises
        ------
        InputError
            If no pixel of the region has data.
        """
        y, x = np.nonzero(self._with_data())
        drawn = np.sort(np.random.default_rng(seed).permutation(y.size)[:n])
        block = self.pixels(np.stack([y[drawn], x[drawn]], axis=1))
        self._warn_of_continuum(block)
        some = np.flatnonzero(block.good.any(axis=1))
        return block if some.size == block.n_pixel else block.take(some)

    def _warn_of_continuum(self, block: SpectrumBlock) -> None:
        """Tell of pixels that have data but no continuum, though there is an image of it."""
        start = 0
        for window, framed in zip(self.windows, self.frame.windows, strict=True):
            stop = start + framed.nu.size
            missing = np.isnan(_at(window.continuum, *block.pixel.T)) & block.good[:, start:stop].any(axis=1)
            start = stop
            if missing.any():
                warnings.warn(
                    f"{framed.name}: the continuum image is NaN in {np.count_nonzero(missing)} of {block.n_pixel} "
                    f"sampled pixels with data; it counts as 0 K there",
                    SpectunerWarning,
                    stacklevel=3,
                )

    def _with_data(self) -> BoolArray:
        """Pixels of the region in which data were found."""
        ny, nx = self.shape
        found = np.zeros(self.shape, dtype=np.bool_)
        for window in self.windows:
            known = np.flatnonzero((window.rows >= 0) & window.used & np.isfinite(window.factor))
            if known.size == 0:
                continue
            for channel in known[np.unique(np.linspace(0, known.size - 1, _LOOKED_AT).astype(int))]:
                plane = int(window.rows[channel])
                for _, slab in window.planes.slabs(plane, plane + 1, slice(0, ny), slice(0, nx)):
                    found |= np.isfinite(slab[0])
        found &= self.region
        if not found.any():
            rows = max(1, _VALUES // (self.frame.n_channel * nx))
            for y0 in range(0, ny, rows):
                block = self.block(y0, min(y0 + rows, ny), 0, nx)
                some = block.pixel[block.good.any(axis=1)]
                found[some[:, 0], some[:, 1]] = True
        if not found.any():
            n = int(np.count_nonzero(self.region))
            where = "" if n == self.region.size else " of the region"
            raise InputError(
                f"{self.label}: all {n} pixels{where} are NaN (or masked) in every selected channel; check region=, "
                f"chans=, spw=, the file and its mask"
            )
        return found

    def spectrum(self, y: int, x: int) -> Observation:
        """Observation of one pixel; its noise is the given one, else estimated as `observe` does.

        Windows without data are left out.

        Raises
        ------
        InputError
            If the pixel lies outside, or has no data or too few to estimate its noise.
        """
        block = self.pixels(np.array([[y, x]]))
        windows, dropped, start = [], [], 0
        for i, window in enumerate(self.frame.windows):
            part = slice(start, start + window.nu.size)
            start = part.stop
            good = block.good[0, part]
            if not good.any():
                dropped.append(window.name)
                continue
            windows.append(_with_spectrum(window, block, i, part, f"{self.label}, pixel ({y}, {x})"))
        if not windows:
            raise InputError(f"{self.label}: pixel ({y}, {x}) has no data in any window")
        meta = {**self.frame.meta, "pixel": (int(y), int(x)), "dropped": tuple(dropped)}
        return Observation(tuple(windows), self.frame.v_lsr, meta)

    def form(self, window: int) -> CubeForm | None:
        """How a cube of a window is written so that it lies plane by plane beside the one that was read.

        None where that cannot be: its axes are in another order, or it was reprojected.
        """
        return self.windows[window].form

    def fingerprint(self) -> str:
        """Digest of everything that decides what blocks hold: files, selection, grids, units, continuum, noise."""
        digest = hashlib.sha256()
        for window, framed in zip(self.windows, self.frame.windows, strict=True):
            told = (window.planes.identity(), framed.name, framed.beam, framed.t_cmb)
            digest.update(repr(told).encode())
            for array in (framed.nu, window.rows, window.factor, window.used, window.continuum, window.noise):
                digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr((self.shape, self.frame.v_lsr)).encode())
        digest.update(self.region.tobytes())
        return digest.hexdigest()

    def beam_header(self) -> dict[str, float]:
        """FITS keywords BMAJ, BMIN and BPA in deg of the first window's beam; empty if it is not known."""
        return dict(self.beam_keywords)


def _at(value: Any, y: Any, x: Any) -> FloatArray:
    """Number or image at some pixels."""
    array = np.asarray(value, dtype=np.float64)
    return np.full(len(y), array) if array.ndim == 0 else np.asarray(array[y, x])


def _with_spectrum(window: Window, block: SpectrumBlock, i: int, part: slice, label: str) -> Window:
    """Window `i` with the spectrum of the first pixel of a block."""
    intensity, good = block.value[0, part].astype(np.float64), block.good[0, part]
    estimated = estimate_noise(intensity, good)
    given = float(block.sigma[0, i])
    sigma = given if np.isfinite(given) else estimated
    if not (np.isfinite(sigma) and sigma > 0):
        raise InputError(
            f"{label}, window {window.name!r}: the noise cannot be estimated from {np.count_nonzero(good)} channels; "
            f"give noise="
        )
    notes = {
        **window.notes,
        "n_nan": int(np.count_nonzero(window.mask & ~good)),
        "n_masked": int(np.count_nonzero(~window.mask)),
        "noise_source": "given" if np.isfinite(given) else "estimated",
        "noise_estimate": estimated,
    }
    return replace(
        window,
        intensity=intensity,
        sigma=np.full(window.nu.size, sigma),
        mask=good,
        t_continuum=np.full(window.nu.size, block.continuum[0, i]),
        smoothing=estimate_smoothing(intensity, good),
        notes=notes,
    )
