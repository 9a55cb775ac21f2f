"""`observe_cube`: from whatever holds cubes to an `ObservedCube` in working units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS, T_CMB
from ...errors import InputError
from ...units import to_kelvin, to_kms, to_mhz
from ..axes import sky_frequencies
from ..beams import as_beam
from ..brightness import brightness_temperature
from ..exclusion import Exclusion, as_exclusion
from ..observation import Beam, Observation, Window
from ..pieces import Piece, at_rows, choose, name_of, pieces, used_channels
from .beams import beam_header, position_angle
from .channels import selected_channels, selected_windows
from .grids import difference, extent, reprojected
from .images import Grid, continuum_of, noise_of
from .observed import ObservedCube
from .recorded import RecordedCube
from .region import as_region
from .sources import read_cubes
from .windows import CubeWindow, refuse_twice

__all__ = ["observe_cube"]

BoolArray = NDArray[np.bool_]


def observe_cube(
    source: Any,
    *,
    vlsr: Any = None,
    beam: Any = None,
    continuum: Any = None,
    noise: Any = None,
    mask: Any = None,
    region: Any = None,
    chans: Any = None,
    spw: Any = None,
    stokes: str | None = None,
    rest_frequency: Any = None,
    t_cmb: Any = None,
    reproject: bool = False,
    names: Sequence[str] | None = None,
) -> ObservedCube:
    """Open one or several cubes, one for each spectral window, and select pixels and channels.

    Nothing but headers is read here, except that packed files are unpacked and cubes on other grids reprojected,
    both once, into temporary storage (TMPDIR chooses where; no more than a few planes are in memory). Cubes must be
    continuum-subtracted. Where an argument may be a list, it has one element for each cube; anything else holds
    for all.

    Parameters
    ----------
    source : str, Path, SpectralCube, DaskSpectralCube or list
        FITS cubes (also packed by gzip, bzip2, xz or in tiles, of integers, with a Stokes axis of length 1, axes in
        any order), CASA images, glob patterns, objects of spectral-cube with their masks. The spectral axis may be
        frequency, (vacuum) wavelength or velocity, in either direction; the intensity in K, Jy/beam (converted plane
        by plane with the plane's beam) or Jy/sr. All cubes lie on the grid of the first one.
    vlsr : float [km/s], Quantity or str, optional
        Radial velocity of the source by the radio convention, taken out of the frequencies; see
        `~spectuner_ext.observation.observe`.
    beam : optional
        As for `~spectuner_ext.observation.observe`; wins over the beams of the cubes, also for Jy/beam. Where every
        plane has a beam, the model uses the median.
    continuum : float [K], Quantity, str, Path, Projection, array or list, optional
        Brightness temperature of the continuum behind the lines without the CMB: one number, or an image on the
        cube's grid (a file, or an array [K]). Jy/beam becomes K at the middle of the window with the image's own
        beam if it has one. Where the image is negative or NaN it counts as 0 K; `ObservedCube.notes` has how often,
        and `ObservedCube.sample` warns where there are data but no continuum.
    noise : float [K], Quantity, str, Path, Projection, array or list, optional
        As `continuum`. By default, and where an image is not finite, each spectrum's noise is estimated later.
    mask : str, tuple, boolean array or list, optional
        Sky frequencies to leave out, or boolean arrays over channels; see `~spectuner_ext.observation.observe`.
    region : optional
        Pixels to use: a DS9 or CRTF file or string, a CASA box ``'x1,y1,x2,y2'``, objects of `regions`, a boolean
        array (True = use) or a FITS mask; the whole image by default.
    chans : str or list, optional
        Channels to use, as in CASA: ``'5~60;70~90'``, counted from 0 in the order of the file.
    spw : str, int or list of int, optional
        Windows to use, as in CASA, by position or name and perhaps with channels: ``'0:5~60;70~90,2'``.
    stokes : str, optional
        Stokes parameter to use, such as ``'I'`` or ``'XX'``; needed where a file has several.
    rest_frequency : float [MHz], Quantity, str or list, optional
        Zero point of velocity axes; wins over the one of the cube.
    t_cmb : float [K] or Quantity, optional
        Temperature of the microwave background; 0 leaves it out.
    reproject : bool
        Bring cubes and images on other grids to that of the first cube, bilinearly; otherwise they are an error.
    names : list of str, optional
        Names of the windows.

    Returns
    -------
    ObservedCube

    Raises
    ------
    InputError
        If anything cannot be read or used; the message names the cube or the argument and the cure.
    """
    velocity = 0.0 if vlsr is None else to_kms(vlsr, "vlsr")
    if abs(velocity) >= C_KMS:
        raise InputError(f"vlsr: must be slower than light, got {velocity} km/s")
    background = T_CMB if t_cmb is None else to_kelvin(t_cmb, "t_cmb")
    if background < 0:
        raise InputError(f"t_cmb: must not be negative, got {background} K")
    cubes = _read(source, names, stokes or "")
    chosen = selected_windows(spw, [cube.spectrum.name for cube in cubes])
    _check_planes(cubes)
    grid = _common_grid(cubes, list(chosen), reproject)
    parts = _parts(cubes, chosen, rest_frequency, chans, velocity)

    arguments = {"beam": beam, "continuum": continuum, "noise": noise}
    exclusion = as_exclusion(mask)
    count = (len(cubes), len(parts))
    made: list[_Made] = []
    dropped = []
    planes = {
        i: cubes[i].planes if not told else reprojected(cubes[i], grid.shape, grid.wcs)
        for i, told in _differences(cubes, list(chosen), grid).items()
    }
    for k, (piece, selected) in enumerate(parts):
        name = name_of(None, k, piece, count)
        keep = selected & _kept(exclusion, k, piece, count)
        if not keep.any():
            dropped.append(name)
            continue
        given = {key: _chosen(value, k, piece, count, key) for key, value in arguments.items()}
        cube = cubes[piece.source]
        if (
            planes[piece.source] is not cube.planes
        ):  # what was brought to another grid has no file to lie beside
            cube = replace(cube, planes=planes[piece.source], template=None)
        made.append(_window(cube, piece, keep, given, name, grid, velocity, background))
    if not made:
        raise InputError("mask: leaves no channel in any window")
    refuse_twice([m.framed for m in made], [m.source for m in made])
    return _assembled(made, cubes, grid, as_region(region, grid), velocity, tuple(dropped))


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """One window: what all pixels share, where its spectra come from, and the position angle of its beam."""

    framed: Window
    source: CubeWindow
    angle: float


def _read(source: Any, names: Sequence[str] | None, stokes: str) -> list[RecordedCube]:
    """Cubes of a source under their names."""
    cubes = read_cubes(source, stokes)
    listed = [names] if isinstance(names, str) else list(names or [])
    if listed and len(listed) != len(cubes):
        raise InputError(
            f"names: has {len(listed)} elements, but the source has {len(cubes)} cubes; give one for each"
        )
    given = listed or _distinct([cube.spectrum.name or f"window {i + 1}" for i, cube in enumerate(cubes)])
    return [
        replace(cube, spectrum=replace(cube.spectrum, name=str(name)))
        for cube, name in zip(cubes, given, strict=True)
    ]


def _distinct(names: list[str]) -> list[str]:
    """Names with a number behind those that occur twice, as files of one name in two folders do."""
    return [
        name if names.count(name) == 1 else f"{name}_{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]


def _check_planes(cubes: list[RecordedCube]) -> None:
    """Refuse cubes of a single pixel."""
    for cube in cubes:
        if cube.planes.shape[1:] == (1, 1):
            raise InputError(f"{cube.label}: has one pixel only; pass it as a spectrum, to observe")


def _common_grid(cubes: list[RecordedCube], chosen: list[int], reproject: bool) -> Grid:
    """Grid of the first window, on which the others lie, or will."""
    first = cubes[chosen[0]]
    grid = Grid(first.planes.shape[1:], first.wcs, reproject)
    told = {i: how for i, how in _differences(cubes, chosen, grid).items() if how}
    if told and not reproject:
        listed = "; ".join(f"{cubes[i].label}: {how}" for i, how in told.items())
        raise InputError(
            f"the cubes lie on different grids: {first.label} has {extent(grid.shape, grid.wcs)}; {listed}; regrid "
            f"them or give reproject=True to bring them to the first"
        )
    return grid


def _differences(cubes: list[RecordedCube], chosen: list[int], grid: Grid) -> dict[int, str]:
    """How the grid of every chosen cube differs from the common one."""
    return {i: difference(grid.shape, grid.wcs, cubes[i].planes.shape[1:], cubes[i].wcs) for i in chosen}


def _parts(
    cubes: list[RecordedCube], chosen: Mapping[int, list[str]], rest: Any, chans: Any, velocity: float
) -> list[tuple[Piece, BoolArray]]:
    """Windows to be, with the channels that `spw` and `chans` select."""
    parts = []
    for i, words in chosen.items():
        cube = cubes[i]
        own_rest = _element(rest, i, len(cubes), "rest_frequency")
        frequency = None if own_rest is None else to_mhz(own_rest, "rest_frequency")
        sky = sky_frequencies(cube.spectrum, frequency)
        use = np.zeros(sky.size, dtype=np.bool_)
        for word in words:
            use |= selected_channels(word, sky, f"spw: {cube.label}")
        use &= selected_channels(_element(chans, i, len(cubes), "chans"), sky, f"chans: {cube.label}")
        if not use.any():
            raise InputError(f"chans: selects no channel of {cube.label} that spw selects too")
        for piece in pieces(cube.spectrum, i, frequency, velocity):
            keep = at_rows(use, piece.stretch.rows, False)
            if keep.any():
                parts.append((piece, keep))
    return parts


def _element(value: Any, i: int, n: int, parameter: str) -> Any:
    """Element of a list with one for each cube; anything else holds for all."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) != n:
        raise InputError(
            f"{parameter}: has {len(value)} elements, but the source has {n} cubes; give one for each"
        )
    return value[i]


def _chosen(value: Any, window: int, piece: Piece, count: tuple[int, int], parameter: str) -> Any:
    """Element of an argument for one window; an image holds for all."""
    is_image = hasattr(value, "ndim") and value.ndim >= 2
    return value if is_image else choose(value, window, piece, count, parameter)


def _kept(exclusion: Exclusion, window: int, piece: Piece, count: tuple[int, int]) -> BoolArray:
    """Channels of a window that `mask` leaves."""
    keep = exclusion.keeps(piece.stretch.sky)
    if exclusion.arrays:
        use = used_channels(choose(list(exclusion.arrays), window, piece, count, "mask"), piece)
        keep &= at_rows(use, piece.stretch.rows, False)
    return keep


def _window(
    cube: RecordedCube,
    piece: Piece,
    keep: BoolArray,
    given: Mapping[str, Any],
    name: str,
    grid: Grid,
    velocity: float,
    background: float,
) -> _Made:
    """One window in working units, cut to the channels between the first and the last selected one."""
    spectrum = piece.spectrum
    label = cube.label if piece.part is None else f"{cube.label} (window {name!r})"
    low, high = (int(i) for i in np.flatnonzero(keep)[[0, -1]])
    if high == low:  # one channel has no width, so a neighbour goes along, not selected
        low, high = (low - 1, high) if low else (low, high + 1)
    span = slice(low, high + 1)
    sky, rows, keep = piece.stretch.sky[span], piece.stretch.rows[span], keep[span]
    beam, squared, angle = _beam(cube, sky, rows, given["beam"], label)
    factor = np.broadcast_to(
        brightness_temperature(np.ones(sky.shape) * spectrum.intensity, sky, squared, f"{label}: intensity"),
        sky.shape,
    )
    middle = float(0.5 * (sky[0] + sky[-1]))
    width = None if squared is None else float(np.nanmedian(squared))
    t_continuum, counts = continuum_of(given["continuum"], grid, middle, width, f"continuum: {label}")
    sigma = noise_of(given["noise"], grid, middle, width, f"noise: {label}")
    framed = Window(
        nu=sky / (1.0 - velocity / C_KMS),
        intensity=np.zeros(sky.shape),
        sigma=np.ones(sky.shape),
        mask=keep,
        t_continuum=np.zeros(sky.shape),
        beam=beam,
        t_cmb=background,
        name=name,
        notes={
            **spectrum.notes,
            **counts,
            "n_selected": int(np.count_nonzero(keep)),
            "unit_in": str(spectrum.intensity.unit),
            "axis_in": str(spectrum.axis.unit),
            "frame": spectrum.frame,
        },
    )
    source = CubeWindow(cube.planes, rows, factor, keep, t_continuum, sigma, cube.template)
    return _Made(framed, source, angle)


def _beam(cube: RecordedCube, sky: Any, rows: Any, given: Any, label: str) -> tuple[Beam | None, Any, float]:
    """Beam of the model, squared width at every channel, and position angle."""
    own = as_beam(given, f"{label}: beam")
    if own is not None:
        return own, own.squared_width(sky), position_angle(given)
    spectrum = cube.spectrum
    if spectrum.beam is None:
        return None, None, 0.0
    if spectrum.beam_squared is not None:
        return spectrum.beam, at_rows(spectrum.beam_squared, rows, np.nan), cube.position_angle
    return spectrum.beam, spectrum.beam.squared_width(sky), cube.position_angle


def _assembled(
    made: list[_Made],
    cubes: list[RecordedCube],
    grid: Grid,
    region: BoolArray,
    velocity: float,
    dropped: tuple[str, ...],
) -> ObservedCube:
    """Put the windows together."""
    without = [m.framed.name for m in made if m.framed.beam is None]
    if without and len(without) < len(made):
        raise InputError(
            f"beam: windows {', '.join(without)} have none but the others do; give one for each window"
        )
    files = tuple(dict.fromkeys(str(c.spectrum.notes["file"]) for c in cubes if "file" in c.spectrum.notes))
    frame = Observation(tuple(m.framed for m in made), velocity, {"files": files, "dropped": dropped})
    first = frame.windows[0]
    sky = frame.sky_frequency(first.nu)
    return ObservedCube(
        frame=frame,
        windows=tuple(m.source for m in made),
        shape=grid.shape,
        wcs=grid.wcs,
        region=region,
        label=", ".join(window.name for window in frame.windows[:3]) + ("" if len(made) <= 3 else " ..."),
        beam_keywords=beam_header(first.beam, made[0].angle, float(0.5 * (sky[0] + sky[-1]))),
        notes={
            "files": files,
            "dropped": dropped,
            "n_pixel": int(region.size),
            "n_region": int(np.count_nonzero(region)),
            "has_wcs": grid.wcs is not None,
            "windows": {w.name: dict(w.notes) for w in frame.windows},
        },
    )
