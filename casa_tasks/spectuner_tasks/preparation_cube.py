"""All that can be wrong with a call for cubes, found before any work: kind of data, species, lines, pixels."""

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from spectuner_ext.errors import InputError
from spectuner_ext.observation.cubes import ObservedCube, is_cube, observe_cube
from spectuner_ext.observation.cubes.images import Grid
from spectuner_ext.observation.cubes.region import as_region
from spectuner_ext.pipeline.cubes.map_files import read_maps
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.starts import separate
from spectuner_ext.spectroscopy import LineDatabase, Transitions

from .checks import ALL, POLICY, absolute
from .checks_cube import NEIGHBOURS
from .json_values import is_unset
from .parameter import CUBES, SPECTRA
from .preparation import OBSERVED, attributed, begins_with, grouped, requests_of, species_names, tried
from .preparation_xclass import with_molfit_values, with_names_of_molfit

__all__ = ["PreparedCube", "data_kind", "prepare_cube"]

SELECTED = ("region", "chans", "spw", "stokes", "reproject")
"""Parameters that choose what of the cubes is used."""

SAME_LEVEL = 1.0
"""K; levels closer than this are populated alike in the coldest gas, so that they tell no temperature."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCube:
    """A call for cubes that can be carried out.

    Parameters
    ----------
    cube : ObservedCube
    groups : tuple of tuple of str
        Species, each group fitted together.
    per_group : tuple of mapping
        ``components``, ``bounds``, ``fixed``, ``initial`` of each group.
    catalogue_names : mapping
        Species as typed to their names in the catalogue.
    redo : array of bool, (ny, nx), or None
        Pixels to fit again.
    warnings : tuple of str
        What the data cannot tell, known before any fit.
    """

    cube: ObservedCube
    groups: tuple[tuple[str, ...], ...]
    per_group: tuple[Mapping[str, Any], ...]
    catalogue_names: Mapping[str, str]
    redo: NDArray[np.bool_] | None
    warnings: tuple[str, ...]


def data_kind(source: Any) -> str:
    """`CUBES` where a source of data holds cubes, else `SPECTRA`.

    Raises
    ------
    InputError
        If the source names files and there are none: what is asked of them cannot be judged then.
    """
    for item in source if isinstance(source, list | tuple) else [source]:
        if isinstance(item, str | os.PathLike) and os.fspath(item).strip():
            path = Path(item).expanduser()
            if path.exists() or glob.glob(str(path)):
                continue
            if glob.has_magic(str(path)):
                raise InputError(f"infile: no file matches the pattern {os.fspath(item)!r}")
            raise InputError(f"infile: {path}: no such file; the current directory is {Path.cwd()}")
    try:
        return CUBES if is_cube(source) else SPECTRA
    except (InputError, OSError) as error:
        raise InputError(f"infile: {error}") from error


def prepare_cube(values: Mapping[str, Any], database: LineDatabase) -> PreparedCube:
    """Open the cubes, find the species, and try out every request on them.

    Raises
    ------
    InputError
        The message begins with the name of the parameter.
    """
    values = with_names_of_molfit(values, database)
    groups = grouped(values)
    names = species_names(values, groups, database)
    cube = _read(values)
    values, remarks = with_molfit_values(values, names, database)
    values = {**values, "initial": _initial(values["initial"])}
    per_group = tuple(requests_of(values, group, names) for group in groups)
    warnings = [*remarks, *([] if np.isfinite(cube.frame.beam_scale) else [_NO_BEAM])]
    for group, requests in zip(groups, per_group, strict=True):
        plain = {name: _for_all_pixels(value) for name, value in requests.items()}
        lines = tried(cube.frame, group, plain, database)
        for species, transitions in zip(group, lines, strict=True):
            fixed = requests["fixed"] or {}
            held = any("T_ex" in fixed.get(key, ()) for key in (ALL, species, names[species]))
            warnings += [] if held else _temperature(species, transitions)
    redo = None if values["redo"] is None else _pixels(values["redo"], cube, values["reproject"])
    return PreparedCube(cube, groups, per_group, names, redo, tuple(warnings))


def _read(values: Mapping[str, Any]) -> ObservedCube:
    wanted = (*OBSERVED, *SELECTED)
    given = {name: values[name] for name in wanted if not is_unset(values[name])}
    try:
        return observe_cube(_anywhere(values["infile"]), **given)
    except InputError as error:
        raise attributed(error, wanted) from error
    except OSError as error:
        raise InputError(f"infile: {error}") from error


def _anywhere(source: Any) -> Any:
    """The same source with paths that mean the same in every folder: a store remembers what it was made from."""
    if isinstance(source, list | tuple):
        return [_anywhere(item) for item in source]
    return absolute(source) if isinstance(source, str | os.PathLike) else source


def _initial(given: Any) -> Any:
    """Maps in place of the name of their file."""
    if not isinstance(given, str) or given in (NEIGHBOURS, POLICY):
        return given
    try:
        return read_maps(given)
    except InputError as error:
        raise begins_with("initial", error) from error


def _for_all_pixels(given: Any) -> Any:
    """What holds for all pixels; values that come per pixel are for the fit to look at."""
    if isinstance(given, Mapping):
        return separate(given)[0]
    per_pixel = isinstance(given, CubeMaps | str) or (isinstance(given, Table) and "x" in given.colnames)
    return None if per_pixel else given


def _pixels(wanted: Any, cube: ObservedCube, reproject: bool) -> NDArray[np.bool_]:
    """Pixels of the parameter ``redo``."""
    if not isinstance(wanted, list) or not isinstance(wanted[0], tuple):
        try:
            return as_region(wanted, Grid(cube.shape, cube.wcs, reproject))
        except InputError as error:
            raise InputError(str(error).replace("region", "redo", 1)) from error
    (ny, nx), chosen = cube.shape, np.zeros(cube.shape, dtype=np.bool_)
    for x, y in wanted:
        if x >= nx or y >= ny:
            raise InputError(
                f"redo: the pixel (x, y) = ({x}, {y}) is not in the image of {nx} columns and {ny} rows; both are "
                f"counted from 0"
            )
        chosen[y, x] = True
    return chosen


_NO_BEAM = (
    "no beam is known, so a filling factor is fitted and no source size; give beam if the data have one"
)


def _temperature(species: str, lines: Transitions) -> list[str]:
    """Say where the lines in range cannot separate T_ex from N_tot."""
    if len(lines) == 1:
        what = f"only one line is in range ({lines.frequency[0]:.3f} MHz)"
    elif np.ptp(lines.e_lower) < SAME_LEVEL:
        what = f"all {len(lines)} lines in range start from levels less than {SAME_LEVEL:g} K apart"
    else:
        return []
    return [
        f"{species}: {what}: T_ex and N_tot cannot be told apart unless lines are opaque; hold T_ex, for instance "
        f"fixed={{'T_ex': 20}}, or read N_tot with the flag T_EX_UNCONSTRAINED in mind"
    ]
