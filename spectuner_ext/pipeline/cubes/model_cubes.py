"""Model and residual cubes of fitted maps, made and written some rows at a time."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...constants import FWHM_TO_SIGMA
from ...errors import InputError, SpectunerWarning
from ...lte import kernel
from ...lte.model import MARGIN_KMS, LTEModel, line_ranges
from ...lte.parameters import PARAMETERS
from ...observation.cubes.block import SpectrumBlock
from ...observation.cubes.form import CubeForm
from ...observation.observation import Observation
from ...spectroscopy import LineDatabase
from ..products import products_stem
from .cube_file import CubeFile
from .cube_target import Target
from .map_files import KINDS
from .map_names import window_names
from .maps import CubeMaps

__all__ = ["Cube", "bind_model", "render_pixels", "species_numbers", "write_model_cubes"]

FloatArray = NDArray[np.float64]

BLOCK_BYTES = 24_000_000
"""Memory of the data of a block of rows; with model, residual and what is written it is eight times as much."""


class Cube(Protocol):
    """What is asked of an observed cube, see `spectuner_ext.observation.cubes`."""

    @property
    def frame(self) -> Observation:
        """Channels that all pixels share."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def block(
        self, y0: int, y1: int, x0: int, x1: int, wanted: NDArray[np.bool_] | None = None
    ) -> SpectrumBlock:
        """Spectra of a rectangle."""

    def spectrum(self, y: int, x: int) -> Observation:
        """Spectrum of a pixel."""

    def form(self, window: int) -> CubeForm | None:
        """How a cube is written that lies plane by plane beside the one that was read."""


def species_numbers(maps: CubeMaps) -> tuple[int, ...]:
    """Position of each component's species among the different ones."""
    species = list(dict.fromkeys(s for s, _ in maps.components))
    return tuple(species.index(s) for s, _ in maps.components)


def bind_model(maps: CubeMaps, frame: Observation, database: LineDatabase | None = None) -> LTEModel:
    """The model that was fitted, bound to the channels of a cube or of one of its pixels.

    Parameters
    ----------
    maps : CubeMaps
    frame : Observation
    database : LineDatabase, optional
        By default the one that the call of the fit named, or that the package ships. Another one than that of the fit
        gives other spectra, which a `SpectunerWarning` says.
    """
    if database is None:
        named = maps.meta.get("call", {}).get("catalogue") or None
        with LineDatabase.open(named) as opened:
            return bind_model(maps, frame, opened)
    fitted_with = maps.meta.get("provenance", {}).get("catalogue", {})
    if isinstance(fitted_with, dict) and fitted_with.get("sha256", database.checksum) != database.checksum:
        warnings.warn(
            f"database: {database.path} is not the one of the fit ({fitted_with.get('file', 'unknown')}), so the "
            "model is not quite what was fitted",
            SpectunerWarning,
            stacklevel=2,
        )
    margin = _reach(maps)
    species = dict.fromkeys(s for s, _ in maps.components)
    ranges = line_ranges(frame, margin)
    lines = [database.select(name, ranges, hyperfine="merge") for name in species]
    model = LTEModel.bind(frame, lines, margin=margin)
    if not np.isfinite(maps.beam_scale) or model.beam_scale == maps.beam_scale:
        return model
    # a pixel without one of the windows has another mean beam than the one that filling factors refer to
    ratio = (model.beam_scale / maps.beam_scale) ** 2
    grid = model.grid._replace(
        beam_constant=model.grid.beam_constant * ratio,
        beam_inverse_square=model.grid.beam_inverse_square * ratio,
    )
    return replace(model, grid=grid, beam_scale=maps.beam_scale)


def _reach(maps: CubeMaps) -> float:
    """How far [km/s] from a window a line may lie and still be felt: offset, and eight sigma of the widest line."""
    layout, k_fwhm, k_v = maps.space.layout, PARAMETERS.index("fwhm"), PARAMETERS.index("v_off")
    moved = width = 0.0
    for c in range(len(maps.components)):
        ends = []
        for k in (k_fwhm, k_v):
            free = layout.index[c, k]
            bounds = (maps.lower[free], maps.upper[free]) if free >= 0 else (0.0, 0.0)
            if free >= 0:  # pixels that were fitted again may have had wider ones
                for facts in maps.meta.get("redone", ()):
                    low, high = (facts["changes"].get(end) for end in ("lower", "upper"))
                    bounds = (
                        min(bounds[0], low[free] if low else np.inf),
                        max(bounds[1], high[free] if high else -np.inf),
                    )
            ends.append([layout.offset[c, k] + b for b in bounds])
        width = max(width, 10.0 ** ends[0][1])
        moved = max(moved, *(abs(v) for v in ends[1]))
    return max(moved + 8.0 * FWHM_TO_SIGMA * width, MARGIN_KMS)


def render_pixels(
    maps: CubeMaps, model: LTEModel, x: FloatArray, continuum: FloatArray
) -> NDArray[np.float32]:
    """Model spectra of some pixels, fitted baseline offsets included.

    Parameters
    ----------
    maps : CubeMaps
    model : LTEModel
        Bound to the frame of the cube, whose continuum is 0.
    x : array, (n_pixel, n_free)
        Fit vectors.
    continuum : array, (n_pixel, n_window), in K

    Returns
    -------
    array of float32, (n_pixel, n_channel), in K
    """
    n_component, n_line = len(maps.components), maps.space.n_free
    theta = np.stack(
        [maps.space.component_batch(x[:, :n_line], c).T for c in range(n_component)], axis=1
    ).copy()
    species = np.array(species_numbers(maps), dtype=np.int64)
    channels = np.diff(model.grid.start)
    behind = np.nan_to_num(continuum)
    offsets = x[:, n_line:]
    work = kernel.workspace(model.grid, model.lines, n_component)
    spectrum, jacobian = np.zeros(model.n_channel), np.zeros((n_component, 5, 0))
    out = np.empty((len(x), model.n_channel), dtype=np.float32)
    for p in range(len(x)):
        grid = model.grid._replace(background=model.grid.background + np.repeat(behind[p], channels))
        kernel.evaluate(theta[p], species, grid, model.lines, model.accuracy, False, work, spectrum, jacobian)
        out[p] = spectrum + np.repeat(offsets[p], channels) if offsets.shape[1] else spectrum
    return out


def write_model_cubes(
    outfile: str | os.PathLike[str],
    maps: CubeMaps,
    cube: Cube,
    *,
    model: LTEModel | None = None,
    database: LineDatabase | None = None,
    kinds: Sequence[str] = KINDS,
    block_bytes: int = BLOCK_BYTES,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, list[str]]:
    """Write ``name.model.<window>.fits`` and ``name.residual.<window>.fits``, in the form of the fitted cubes.

    Planes, unit and header are those of the data, so that model + residual = data plane by plane; where only some
    channels are selected, the planes from the first to the last of these are written. Of cubes that were reprojected,
    and of those whose axes are not in the order channel, row, column, the form is another one: K on sky frequencies
    that increase. HISTORY says which it is.

    The model is the sum of all components with the fitted offsets of the baselines, what is not detected included, so
    that the residual is what the fit left; NaN where nothing was fitted, and in the residual also where the data are
    not used. Every file appears under its name when it is complete.

    Parameters
    ----------
    outfile : path
        As of the maps, which come first: writing maps deletes older cubes of that name.
    maps : CubeMaps
    cube : ObservedCube
        The one that was fitted.
    model : LTEModel, optional
        Bound to ``cube.frame``; otherwise see `bind_model`.
    database : LineDatabase, optional
    kinds : sequence of str
        Which of ``model`` and ``residual``.
    block_bytes : int
        Sets how many rows are in memory at once.
    progress : callable, optional
        Called with the number of rows that are done, and of all.

    Returns
    -------
    dict
        Kind to the paths, one for each window.

    Raises
    ------
    InputError
        If the cube is another one than that of the maps, or the channels of a window that cannot have the form of
        the data are not equally spaced.
    OSError
        If the disk is full, say; no file is left then.
    """
    _check_same(maps, cube)
    targets = [Target.of(maps, cube.frame, cube.form(w), w) for w in range(len(maps.windows))]
    stem = products_stem(outfile)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InputError(
            f"kinds: {', '.join(unknown) or 'nothing'} asked for; choose from {', '.join(KINDS)}"
        )
    kinds = [kind for kind in KINDS if kind in kinds]
    paths = {
        kind: [stem.with_name(f"{stem.name}.{kind}.{w.lower()}.fits") for w in window_names(maps.windows)]
        for kind in kinds
    }
    model = bind_model(maps, cube.frame, database) if model is None else model
    with ExitStack() as stack:
        files = {kind: _opened(stack, paths[kind], targets, kind) for kind in kinds}
        for y0, planes in _blocks(maps, cube, model, targets, block_bytes):
            for kind in kinds:
                for file, part in zip(files[kind], planes[kind], strict=True):
                    file.write_rows(y0, part)
            if progress is not None:
                progress(y0 + planes["model"][0].shape[1], maps.shape[0])
    return {kind: [str(p) for p in paths[kind]] for kind in kinds}


def _opened(stack: ExitStack, paths: Sequence[Path], targets: Sequence[Target], kind: str) -> list[CubeFile]:
    files = []
    for path, target in zip(paths, targets, strict=True):
        own = target.header.copy()
        own["CONTENT"] = (kind, "model: of the fit; residual: data minus model")
        file = CubeFile(path, own, target.shape, lengths=target.lengths, extension=target.extension)
        files.append(stack.enter_context(file))
    return files


def _check_same(maps: CubeMaps, cube: Cube) -> None:
    windows = tuple(w.name or str(i) for i, w in enumerate(cube.frame.windows, start=1))
    if tuple(cube.shape) != maps.shape or windows != maps.windows:
        raise InputError(
            f"cube: has {cube.shape[0]} x {cube.shape[1]} pixels and the windows {', '.join(windows)}, but the maps "
            f"have {maps.shape[0]} x {maps.shape[1]} and {', '.join(maps.windows)}; give the cube that was fitted"
        )


def _blocks(
    maps: CubeMaps, cube: Cube, model: LTEModel, targets: Sequence[Target], block_bytes: int
) -> Iterator[tuple[int, dict[str, list[NDArray[Any]]]]]:
    """First row, and for each window model and residual (n_channel, n_row, nx), of one block after the other."""
    ny, nx = maps.shape
    known = np.isfinite(maps.outcome["x"]).all(axis=-1) & maps.fitted
    step = max(1, int(block_bytes) // (4 * nx * model.n_channel))
    for y0 in range(0, ny, step):
        rows = slice(y0, min(y0 + step, ny))
        wanted = known[rows]
        fitted, left = (np.full((wanted.size, model.n_channel), np.nan, dtype=np.float32) for _ in range(2))
        if wanted.any():
            block = cube.block(rows.start, rows.stop, 0, nx, wanted)
            spectra = render_pixels(maps, model, maps.outcome["x"][rows][wanted], block.continuum)
            inside = wanted.ravel()
            fitted[inside] = spectra
            left[inside] = np.where(block.good, block.value - spectra, np.float32(np.nan))
        yield (
            y0,
            {kind: _planes(v, model, targets, nx) for kind, v in (("model", fitted), ("residual", left))},
        )


def _planes(
    values: NDArray[np.float32], model: LTEModel, targets: Sequence[Target], nx: int
) -> list[NDArray[Any]]:
    """Spectra of whole rows as planes of each window."""
    parts = np.split(values, model.grid.start[1:-1], axis=1)
    return [target.planes(part, nx) for target, part in zip(targets, parts, strict=True)]
