"""Beams of cubes: in the header, in AIPS's history, one for each plane; and the header of a beam."""

from dataclasses import replace
from typing import Any

import astropy.units as u
import numpy as np

from ...constants import C_KMS
from ...errors import InputError
from ..beams import as_beam, header_beam
from ..observation import Beam
from ..recorded import RecordedSpectrum

__all__ = ["beam_header", "beam_of_header", "beams_of_planes", "beams_of_table", "position_angle"]


def beam_of_header(header: Any, label: str) -> tuple[Beam | None, float]:
    """Beam of BMAJ, BMIN and BPA, or of the line that AIPS leaves in the history; None, and 0 deg, if unknown."""
    beam = header_beam(header, label)
    if beam is not None:
        angle = header.get("BPA", 0.0)
        return beam, float(angle) if isinstance(angle, int | float) else 0.0
    if any("CLEAN BMAJ" in str(line) for line in header.get("HISTORY", ())):
        from radio_beam import Beam as HistoryBeam

        found = HistoryBeam.from_fits_history(header)
        if found is not None:
            return as_beam(found, f"{label}: beam in HISTORY"), float(found.pa.to_value(u.deg))
    return None, 0.0


def beams_of_table(
    spectrum: RecordedSpectrum, table: Any, label: str, stokes: int = 0
) -> tuple[Any, Any, Any]:
    """Axes [arcsec] and position angles [deg] of every plane's beam, from the table BEAMS that CASA writes.

    Those of a Stokes parameter by its plane, or of the first where all share them.

    Raises
    ------
    InputError
        If rows or columns do not fit.
    """
    from astropy.table import QTable

    rows = QTable.read(table)
    if "POL" in rows.colnames and len(rows):
        pol = np.asarray(rows["POL"])
        rows = rows[pol == (pol.min() + stokes if np.any(pol == pol.min() + stokes) else pol.min())]
    n = len(spectrum.axis)
    if len(rows) != n or not {"BMAJ", "BMIN"} <= set(rows.colnames):
        raise InputError(
            f"{label}: its table BEAMS has {len(rows)} rows with the columns {', '.join(rows.colnames)}, but "
            f"BMAJ and BMIN of {n} planes are needed"
        )
    if "CHAN" in rows.colnames:
        rows = rows[np.argsort(np.asarray(rows["CHAN"]), kind="stable")]
    major, minor = (_column(rows[name], u.arcsec) for name in ("BMAJ", "BMIN"))
    angle = _column(rows["BPA"], u.deg) if "BPA" in rows.colnames else np.zeros(n)
    return major, minor, angle


def _column(column: Any, unit: Any) -> Any:
    """Plain values of a column; `unit` is that of a column without one, too."""
    return np.asarray(u.Quantity(column, column.unit or unit).to_value(unit), dtype=np.float64)


def beams_of_planes(
    spectrum: RecordedSpectrum, major: Any, minor: Any, angle: Any, label: str
) -> tuple[RecordedSpectrum, float]:
    """Put the beam of every plane into a recorded axis.

    Parameters
    ----------
    spectrum : RecordedSpectrum
    major, minor : array, (n_channel,), in arcsec
        Not positive or not finite where a plane has no beam.
    angle : array, (n_channel,), in deg
    label : str

    Returns
    -------
    spectrum : RecordedSpectrum
        With the median beam and the squared widths, NaN where a plane has none.
    angle : float, in deg
        Median position angle.

    Raises
    ------
    InputError
        If no plane has a beam.
    """
    known = np.isfinite(major) & np.isfinite(minor) & (major > 0) & (minor > 0)
    if not known.any():
        raise InputError(f"{label}: none of its planes has a beam; give beam=")
    notes = {
        **spectrum.notes,
        "beams": f"one for each plane, {np.count_nonzero(known)} of {known.size} known; the model uses the median",
        "beam_range_arcsec": (float(minor[known].min()), float(major[known].max())),
    }
    median = as_beam((float(np.median(major[known])), float(np.median(minor[known]))), f"{label}: beams")
    squared = np.where(known, major * minor, np.nan)
    return replace(spectrum, beam=median, beam_squared=squared, notes=notes), float(np.median(angle[known]))


def position_angle(beam: Any) -> float:
    """Position angle in deg, north through east, of a beam in any of the forms users write it in; 0 if none."""
    angle: Any = None
    if isinstance(beam, dict):
        angle = beam.get("pa")
    elif isinstance(beam, str) and beam.count(",") == 2:
        angle = beam.split(",")[2]
    elif isinstance(beam, tuple | u.Quantity) and np.ndim(beam) == 1 and len(beam) == 3:
        angle = beam[2]
    elif hasattr(beam, "pa"):
        angle = beam.pa
    if angle is None:
        return 0.0
    quantity = u.Quantity(angle)
    return float(quantity.value if not str(quantity.unit) else quantity.to_value(u.deg))


def beam_header(beam: Beam | None, angle: float, nu: float) -> dict[str, float]:
    """FITS keywords BMAJ, BMIN and BPA [deg] of a beam, that of a dish at `nu` [MHz]; empty without a beam."""
    if beam is None:
        return {}
    if np.isfinite(beam.diameter):
        width = float(np.degrees(1.22 * C_KMS * 1e3 / (nu * 1e6 * beam.diameter)))
        return {"BMAJ": width, "BMIN": width, "BPA": 0.0}
    return {"BMAJ": beam.major / 3600.0, "BMIN": beam.minor / 3600.0, "BPA": angle}
