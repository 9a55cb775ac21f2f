"""Parameter maps of a job beside ours, pixel by pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from numpy.typing import NDArray

from ...errors import InputError
from ...xclass import ParameterMap, molecule_of_label
from ..cubes.maps import CubeMaps

__all__ = ["map_table"]

FloatArray = NDArray[np.float64]

_OURS = {
    "source_size": "source_size",
    "T_rot": "T_ex",
    "N_tot": "N_tot",
    "V_width": "fwhm",
    "V_width_Gauss": "fwhm",
    "V_off": "v_off",
}
"""Parameters in names of maps to ours; the units are the same."""


def map_table(
    maps: Sequence[ParameterMap], molecules: Sequence[str], names: dict[str, str], ours: CubeMaps
) -> QTable:
    """A row for every map: how many pixels both have, and how the values differ there.

    Parameters
    ----------
    maps : sequence of ParameterMap
    molecules : sequence of str
        Of the job's molfit.
    names : dict
        They to their names in the catalogue.
    ours : CubeMaps

    Raises
    ------
    InputError
        If a map has another shape than ours, or is none.
    """
    rows: list[dict[str, Any]] = []
    for one in maps:
        molecule = molecule_of_label(one.molecule, molecules)
        parameter = _OURS.get(one.parameter, "")
        theirs = _image(one)
        row: dict[str, Any] = {
            "species": molecule,
            "component": one.component,
            "parameter": parameter or one.parameter,
            "job_median": float(np.nanmedian(theirs)) if np.isfinite(theirs).any() else np.nan,
            "ours_median": np.nan,
            "n_both": 0,
            "median_difference": np.nan,
            "scatter": np.nan,
        }
        if parameter:
            image = np.asarray(
                ours.quantity(names.get(molecule, molecule), parameter, one.component).value, dtype=float
            )
            if image.shape != theirs.shape:
                raise InputError(
                    f"maps: {one.path.name} has {theirs.shape[1]} columns and {theirs.shape[0]} rows, ours "
                    f"{image.shape[1]} and {image.shape[0]}; fit the same cube"
                )
            both = np.isfinite(image) & np.isfinite(theirs) & (theirs != 0)
            row["n_both"] = int(np.count_nonzero(both))
            if both.any():
                apart = image[both] - theirs[both]
                row["job_median"] = float(np.median(theirs[both]))
                row["ours_median"] = float(np.median(image[both]))
                row["median_difference"] = float(np.median(apart))
                row["scatter"] = float(1.4826 * np.median(np.abs(apart - np.median(apart))))
        rows.append(row)
    table = QTable(rows=rows)
    table["n_both"].info.description = "pixels with a value in both maps; zeros of the job count as none"
    table["median_difference"].info.description = "ours minus job"
    table["scatter"].info.description = "1.4826 times the median absolute deviation of the differences"
    return table


def _image(one: ParameterMap) -> FloatArray:
    try:
        with fits.open(one.path) as hdus:
            data = np.asarray(hdus[0].data, dtype=np.float64)
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"maps: {one.path} cannot be read as a map: {error}") from error
    image = (
        data.reshape(data.shape[-2:]) if data.ndim >= 2 and data.size == np.prod(data.shape[-2:]) else data
    )
    if image.ndim != 2:
        raise InputError(f"maps: {one.path} has the shape {data.shape}; one image is needed")
    return image
