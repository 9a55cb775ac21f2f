"""Cubes of known truth: windows, parameter maps and noise in; FITS cubes and the truth out, in bounded memory."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ...constants import T_CMB
from ...errors import InputError
from ...lte import kernel
from ...lte.model import LTEModel, line_ranges
from ...lte.reference import planck_temperature
from ...observation.observation import Beam, Observation
from ...units import to_arcsec, to_kelvin, to_kms
from ..simulate import SpeciesLines
from .cube_file import CubeFile
from .simulate_kernel import add_spectra
from .simulated_header import celestial_header, unit_per_kelvin, window_header
from .simulated_input import beams_of_windows, component_maps, empty_observation, maps_of_windows
from .simulated_noise import NoiseRows
from .truth import CubeTruth, write_truth

__all__ = ["SimulatedCube", "simulate_cube"]

FloatArray = NDArray[np.float64]

BLOCK_BYTES = 64_000_000
"""Memory of a block of rows; three times as much is in use at once."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedCube:
    """Cubes of known truth.

    Parameters
    ----------
    files : tuple of str, (n_window,)
        Line cubes; empty if they are in memory.
    continuum_files : tuple of str, (n_window,)
        Continuum images; empty if they are in memory, or if there is no continuum.
    truth_file : str or None
    cubes, continuum_images : tuple of fits.PrimaryHDU
        The same in memory; empty if they are in files.
    truth : CubeTruth
    header : fits.Header
        Celestial axes.
    v_lsr : float, in km/s
        Velocity of the source, which the cubes' axes contain.
    """

    files: tuple[str, ...]
    continuum_files: tuple[str, ...]
    truth_file: str | None
    cubes: tuple[fits.PrimaryHDU, ...]
    continuum_images: tuple[fits.PrimaryHDU, ...]
    truth: CubeTruth
    header: fits.Header
    v_lsr: float


def simulate_cube(
    path: str | os.PathLike[str] | None,
    windows: Sequence[tuple[Any, Any, Any]],
    components: Sequence[Mapping[str, Any]],
    database: SpeciesLines,
    *,
    shape: tuple[int, int],
    pixel_scale: Any = 0.4,
    beam: Any = None,
    position_angle: float = 0.0,
    noise: Any = 0.05,
    continuum: Any = 0.0,
    vlsr: Any = 0.0,
    seed: int = 0,
    unit: str = "K",
    correlated: bool = False,
    blank: Any = None,
    centre: Any = (238.2833, -54.6167),
    t_cmb: Any = T_CMB,
    history: Sequence[str] = (),
    block_bytes: int = BLOCK_BYTES,
) -> SimulatedCube:
    """Simulate what a telescope would see of maps of LTE components, continuum subtracted.

    Every pixel is the spectrum of the slab model with that pixel's parameters. The model is not smeared by the
    beam: that the parameters change within a beam is not simulated, and neighbouring pixels share nothing but
    their smooth truth (and their noise, with `correlated`).

    Parameters
    ----------
    path : path or None
        ``folder/name``: ``name_spw1.fits``, ``name_spw1_continuum.fits`` ... and ``name_truth.fits`` are
        written, and replaced. None: everything stays in memory.
    windows : sequence of (low, high, step)
        In MHz or as Quantities, in the rest frame of the source; channel centres run from `low` in steps of
        `step` and do not pass `high`. The files have them on the sky, in the LSRK frame.
    components : sequence of mapping
        Each with ``species``, ``T_ex`` [K], ``N_tot`` [cm-2] (0: nothing there), ``fwhm`` [km/s], and either
        ``source_size`` [arcsec] or ``filling_factor``; ``v_off`` [km/s] is 0 when not given. Every value is a
        number or a map (ny, nx). Two of one species are two components.
    database : LineDatabase
    shape : (ny, nx)
    pixel_scale : float [arcsec] or Quantity
    beam : optional
        As in `~spectuner_ext.observation.observe`, not a dish; or a list with one for each window.
    position_angle : float, in degrees
        Of the beam; for the headers only.
    noise : float [K] or Quantity
        Standard deviation of the Gaussian noise of a channel: a number, one for each window, a map (ny, nx), or
        a map for each window.
    continuum : float [K] or Quantity
        Brightness temperature behind the lines, without the CMB, in the same forms.
    vlsr : float [km/s] or Quantity
        Velocity of the source; `v_off` counts from it.
    seed : int
        Of the noise. The content of a pixel depends on it and on the pixel's row alone, not on blocks.
    unit : {"K", "Jy/beam"}
        Of the files. Jy/beam by the Rayleigh-Jeans law, at the frequency of each channel.
    correlated : bool
        Noise of neighbouring pixels is correlated as by a round beam of the same area, instead of independent.
    blank : array of bool, (ny, nx), optional
        Pixels that are NaN in the files, as at the border of a mosaic.
    centre : (float, float) or SkyCoord
        Right ascension and declination [deg, ICRS] of the middle of the image.
    t_cmb : float [K] or Quantity
    history : sequence of str
        Lines for the headers, after the one that says that this is simulated.
    block_bytes : int
        Memory of a block of rows.

    Returns
    -------
    SimulatedCube

    Raises
    ------
    InputError
        If a value is out of its range, has another shape or unit, or a source size is given without a beam.

    Examples
    --------
    >>> simulate_cube(
    ...     "blob",
    ...     [(218_400, 218_500, 0.5)],
    ...     [{"species": "CH3OH", "T_ex": 100, "N_tot": column, "fwhm": 4, "filling_factor": 0.5}],
    ...     database,
    ...     shape=column.shape,
    ...     beam="2arcsec",
    ... )  # doctest: +SKIP
    """
    beams = beams_of_windows(beam, len(windows))
    frame = empty_observation(windows, beams, to_kms(vlsr, "vlsr"), to_kelvin(t_cmb, "t_cmb"))
    ny, nx = _checked_shape(shape)
    labels, theta = component_maps(components, (ny, nx), frame.beam_scale)
    scene = _Scene(
        frame=frame,
        per_kelvin=[
            unit_per_kelvin(unit, frame.sky_frequency(w.nu), b)
            for w, b in zip(frame.windows, beams, strict=True)
        ],
        names=labels,
        model=LTEModel.bind(
            frame, [database.select(name, line_ranges(frame)) for name in dict.fromkeys(labels)]
        ),
        theta=theta,
        continuum=maps_of_windows(continuum, len(windows), (ny, nx), "continuum"),
        noise=maps_of_windows(noise, len(windows), (ny, nx), "noise"),
        blank=_checked_blank(blank, (ny, nx)),
        rows=NoiseRows(
            seed,
            nx,
            np.cumsum([0, *(w.nu.size for w in frame.windows)]),
            _beam_pixels(beams, pixel_scale) if correlated else np.zeros(len(windows)),
        ),
        peak=np.zeros(theta.shape[:3]),
    )
    if scene.noise.min() <= 0:
        raise InputError(f"noise: must be positive everywhere, the least is {scene.noise.min():g} K")
    if scene.continuum.min() < 0:
        raise InputError(f"continuum: must not be negative, the least is {scene.continuum.min():g} K")
    celestial = celestial_header((ny, nx), pixel_scale, centre, ["Simulated data.", *history])
    headers = [
        window_header(celestial, frame.sky_frequency(w.nu), w.nu, b, position_angle, unit)
        for w, b in zip(frame.windows, beams, strict=True)
    ]
    behind = scene.continuum_images(headers) if scene.continuum.max() > 0 else []
    if path is None:
        cubes = _in_memory(scene, headers, block_bytes)
        return SimulatedCube((), (), None, cubes, tuple(behind), scene.truth(), celestial, frame.v_lsr)
    stem = os.path.abspath(os.path.expanduser(os.fspath(path)))
    files = _to_files(stem, scene, headers, block_bytes)
    continuum_files = tuple(f"{stem}_spw{k}_continuum.fits" for k in range(1, len(behind) + 1))
    for name, image in zip(continuum_files, behind, strict=True):
        image.writeto(name, overwrite=True)
    truth = scene.truth()
    write_truth(f"{stem}_truth.fits", truth, celestial)
    return SimulatedCube(files, continuum_files, f"{stem}_truth.fits", (), (), truth, celestial, frame.v_lsr)


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """All that the spectra are made of; maps are (ny, nx, n_window) or (ny, nx, n_component ...)."""

    frame: Observation
    per_kelvin: list[FloatArray]
    names: list[str]
    model: LTEModel
    theta: FloatArray
    continuum: FloatArray
    noise: FloatArray
    blank: NDArray[np.bool_]
    rows: NoiseRows
    peak: FloatArray  # filled as the blocks are made

    def blocks(self, block_bytes: int) -> Iterator[tuple[int, list[NDArray[np.float32]]]]:
        """First row, and for each window the data (n_channel, n_row, nx), of one block after the other."""
        ny, nx = self.theta.shape[:2]
        step = max(1, int(block_bytes) // (4 * nx * self.model.n_channel))
        for y0 in range(0, ny, step):
            value = self._spectra(y0, min(y0 + step, ny))
            windows = np.split(value, self.model.grid.start[1:-1], axis=1)
            yield y0, [w.T.astype(">f4", order="C").reshape(w.shape[1], -1, nx) for w in windows]

    def _spectra(self, y0: int, y1: int) -> NDArray[np.float32]:
        """Spectra of rows y0 to y1 - 1, (n_pixel, n_channel)."""
        value = self.rows.between(y0, y1)
        n, model, rows = value.shape[0], self.model, slice(y0, y1)
        peak = np.zeros((n, self.theta.shape[2]))
        given = list(dict.fromkeys(self.names))
        grid = model.grid
        add_spectra(
            self.theta[rows].reshape(n, -1, 5),
            np.array([given.index(name) for name in self.names], dtype=np.int64),
            self.continuum[rows].reshape(n, -1),
            self.noise[rows].reshape(n, -1),
            np.concatenate([planck_temperature(w.t_cmb, w.nu) for w in self.frame.windows]),
            np.concatenate(self.per_kelvin),
            grid._replace(background=grid.background.copy()),
            model.lines,
            model.accuracy,
            kernel.workspace(grid, model.lines, 1),
            value,
            peak,
        )
        self.peak[rows] = peak.reshape(self.peak[rows].shape)
        value[self.blank[rows].ravel()] = np.nan
        return value

    def continuum_images(self, headers: Sequence[fits.Header]) -> list[fits.PrimaryHDU]:
        """One image per window, its frequency axis a single channel as wide as the window."""
        images = []
        for k, (window, cube) in enumerate(zip(self.frame.windows, headers, strict=True)):
            header = cube.copy()
            # In Jy/beam the factor varies over the window as the square of the frequency; it is that of the middle.
            header["CRVAL3"] = float(np.mean(self.frame.sky_frequency(window.nu))) * 1e6
            header["CDELT3"] *= window.nu.size
            factor = np.interp(window.nu.mean(), window.nu, self.per_kelvin[k])
            image = np.where(self.blank, np.nan, self.continuum[:, :, k] * factor)
            images.append(fits.PrimaryHDU(image[None].astype(np.float32), header))
        return images

    def truth(self) -> CubeTruth:
        """Maps that the blocks were made of."""
        given = list(dict.fromkeys(self.names))
        species = [self.model.transitions[given.index(name)].species for name in self.names]
        return CubeTruth(
            labels=tuple((s, species[: i + 1].count(s)) for i, s in enumerate(species)),
            theta=self.theta,
            size=self.model.source_size(self.theta[..., 0]),
            peak=self.peak,
            continuum=self.continuum,
            noise=self.noise,
        )


def _to_files(stem: str, scene: _Scene, headers: Sequence[fits.Header], block_bytes: int) -> tuple[str, ...]:
    names = tuple(f"{stem}_spw{k}.fits" for k in range(1, len(headers) + 1))
    with ExitStack() as stack:
        files = [
            stack.enter_context(CubeFile(name, header, (w.nu.size, *scene.theta.shape[:2])))
            for name, header, w in zip(names, headers, scene.frame.windows, strict=True)
        ]
        for y0, windows in scene.blocks(block_bytes):
            for file, block in zip(files, windows, strict=True):
                file.write_rows(y0, block)
    return names


def _in_memory(
    scene: _Scene, headers: Sequence[fits.Header], block_bytes: int
) -> tuple[fits.PrimaryHDU, ...]:
    data = [np.zeros((w.nu.size, *scene.theta.shape[:2]), dtype=">f4") for w in scene.frame.windows]
    for y0, windows in scene.blocks(block_bytes):
        for cube, block in zip(data, windows, strict=True):
            cube[:, y0 : y0 + block.shape[1]] = block
    return tuple(fits.PrimaryHDU(cube, header) for cube, header in zip(data, headers, strict=True))


def _checked_shape(shape: Any) -> tuple[int, int]:
    try:
        ny, nx = (int(n) for n in shape)
    except (TypeError, ValueError) as error:
        raise InputError(f"shape: needs (ny, nx), got {shape!r}") from error
    if min(ny, nx) < 1:
        raise InputError(f"shape: needs at least one row and one column, got {shape!r}")
    return ny, nx


def _checked_blank(blank: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    given = np.zeros(shape, dtype=np.bool_) if blank is None else np.asarray(blank)
    if given.dtype != np.bool_ or given.shape != shape:
        raise InputError(
            f"blank: must be a boolean map of shape {shape}, got {given.dtype} of shape {given.shape}"
        )
    return given


def _beam_pixels(beams: Sequence[Beam | None], pixel_scale: Any) -> FloatArray:
    """Widths of round beams of the same area, in pixels."""
    known = [b for b in beams if b is not None]
    if len(known) < len(beams):
        raise InputError("correlated: noise is correlated over the beam, but there is none; give beam=")
    return np.sqrt([b.major * b.minor for b in known]) / to_arcsec(pixel_scale, "pixel_scale")
