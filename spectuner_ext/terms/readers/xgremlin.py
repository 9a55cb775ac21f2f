"""Line lists of Xgremlin, as its command ``writelines`` writes them.

Three lines say which corrections were applied, a fourth names the columns, then one line for each spectral line in
the Fortran format ``(1x,i5,1x,f13.6,1x,e9.4,1x,f8.2,1x,f8.4,1x,e10.4,1x,i5,1x,i3,1x,a4,4(1x,e10.5),1x,a30,f11.6)``:
number, wavenumber (cm^-1), peak, full width at half maximum (mK, 0.001 cm^-1), damping (0 Gaussian to 1 Lorentzian),
equivalent width, iterations, held parameters, tags, four residuals (total, even, odd, random), identification,
wavelength.
"""

import re
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np

from ...errors import InputError
from ..arrays import FloatArray, where
from ..lines import LineList
from .wavenumbers import KAYSER

__all__ = ["is_xgremlin", "line_position_uncertainty", "read_xgremlin"]

FIELDS = {
    "wavenumber": slice(7, 20),
    "peak": slice(21, 30),
    "width": slice(31, 39),
    "equivalent width": slice(49, 59),
}
MILLIKAYSER = 1e-3
"""cm^-1 in the unit of the widths."""

_HEADINGS = re.compile(r"^\s*line\s+wavenumber\s+peak\s+width", re.IGNORECASE)
_CORRECTED = re.compile(r"(?<!NO )WAVENUMBER CORRECTION APPLIED", re.IGNORECASE)


def line_position_uncertainty(width: FloatArray, snr: FloatArray) -> FloatArray:
    """Standard uncertainty of a line position from noise alone, ``W / (2 S/N)``.

    The usual estimate in Fourier transform spectroscopy; Learner & Thorne (1988), J. Opt. Soc. Am. B 5, 2045. For a
    Gaussian sampled in steps d the limit is ``0.69 sqrt(W d) / (S/N)``, which is this for d = W / 2.

    Parameters
    ----------
    width : array, in cm^-1
        Full width at half maximum.
    snr : array
        Peak signal to noise.
    """
    return np.asarray(width / (2.0 * snr))


def is_xgremlin(path: Path) -> bool:
    """Whether one of the first lines of a text file names the columns of ``writelines``."""
    if not path.is_file():
        return False
    with path.open(encoding="latin-1") as file:
        return any(_HEADINGS.match(line) for line, _ in zip(file, range(12), strict=False))


def read_xgremlin(
    path: str | Path,
    *,
    noise: float = 1.0,
    wavenumber_correction: float = 0.0,
    calibration: float = 0.0,
    uncertainty: Any = None,
) -> LineList:
    """Read the output of ``writelines``.

    The intensity is the equivalent width, which follows the response of the instrument when the file says that an
    intensity calibration was applied.

    Parameters
    ----------
    path : path
    noise : float
        Noise in the unit of the peaks, so that S/N is peak / noise; 1 where the spectrum was scaled to its noise, as
        is usual.
    wavenumber_correction : float
        Relative; wavenumbers are multiplied by one plus this. Not allowed when the file says that it was applied.
    calibration : float
        Relative standard uncertainty of the wavenumber scale, added in quadrature.
    uncertainty : Quantity, or float in cm^-1, optional
        Instead of `line_position_uncertainty`, for all lines.

    Raises
    ------
    InputError
        With file and row.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"no file {file.name} in {file.parent.absolute()}; give the name of an existing file"
        )
    if not noise > 0:
        raise InputError(f"noise must be positive, got {noise:g}")
    text = file.read_text(encoding="latin-1").splitlines()
    head = next((k for k, line in enumerate(text) if _HEADINGS.match(line)), None)
    if head is None:
        raise InputError(
            f"{file.name}: no line that names the columns (line wavenumber peak width ...); is it from writelines?"
        )
    corrected = any(_CORRECTED.search(line) for line in text[:head])
    if corrected and wavenumber_correction:
        raise InputError(
            f"{file.name} says that a wavenumber correction was applied; leave wavenumber_correction out"
        )
    rows = [k for k in range(head + 1, len(text)) if text[k].strip()]
    columns = {name: np.array([_field(text[k], name, file.name, k) for k in rows]) for name in FIELDS}
    for name in ("peak", "width"):
        wrong = np.flatnonzero(~(columns[name] > 0))
        if wrong.size:
            k = int(wrong[0])
            raise InputError(
                f"{where(file.name, rows[k])}: {name} is {columns[name][k]:g}, must be positive; "
                f"{wrong.size} such rows; an absorption line or a failed fit? remove them"
            )
    wavenumber = columns["wavenumber"] * (1.0 + wavenumber_correction)
    snr = columns["peak"] / noise
    if uncertainty is None:
        own = line_position_uncertainty(columns["width"] * MILLIKAYSER, snr)
    else:
        common = uncertainty.to_value(KAYSER) if isinstance(uncertainty, u.Quantity) else float(uncertainty)
        own = np.full(len(rows), common)
    total = np.hypot(own, calibration * wavenumber)
    return LineList(
        wavenumber, total, columns["equivalent width"], snr, file.name, np.array(rows, dtype=np.int64)
    )


def _field(line: str, name: str, source: str, row: int) -> float:
    field = FIELDS[name]
    try:
        return float(line[field])
    except ValueError:
        raise InputError(
            f"{where(source, row)}: {name} is {line[field]!r} (columns {field.start + 1} to {field.stop}); "
            "a number is needed"
        ) from None
