"""Spectra in text files: two or three columns below any header, in MHz and K."""

from pathlib import Path

import astropy.units as u
import numpy as np

from ..errors import InputError
from .recorded import RecordedSpectrum

__all__ = ["read_ascii"]

_LOWEST, _HIGHEST = 1e3, 5e6  # MHz: 30 cm to 60 micron, the range of radio and submillimetre receivers
_COMMENT = ("#", "!", "%", ";", "//")


def read_ascii(text: str, path: Path) -> RecordedSpectrum:
    """Spectrum of a text file: frequency in MHz, intensity in K, and noise in K if there is a third column.

    Lines before the first row of numbers are the header, whatever they say; units in it are not read. Columns
    are separated by blanks, tabs or commas. Below the header only numbers, empty lines and comments may
    follow.

    Parameters
    ----------
    text : str
        Contents of the file.
    path : Path
        For messages and names.

    Raises
    ------
    InputError
        If there are no numbers, a row is malformed, or the first column does not look like MHz.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.replace(",", " ").split()
        if not words or line.lstrip().startswith(_COMMENT):
            continue
        values = _numbers(words)
        if values is None or len(values) < 2:
            if rows:
                raise InputError(
                    f"{path}, line {number}: {line.strip()[:60]!r} is not a row of numbers, but rows of "
                    f"numbers came before it; remove it or start it with '#'"
                )
            continue
        if rows and len(values) != len(rows[0]):
            raise InputError(
                f"{path}, line {number}: {len(values)} columns, but {len(rows[0])} in the rows before; "
                f"every row needs the same"
            )
        if len(values) > 3:
            raise InputError(
                f"{path}, line {number}: {len(values)} columns, but a text file has frequency [MHz], "
                f"intensity [K] and perhaps noise [K]; write others to an ECSV or FITS table with units"
            )
        rows.append(values)
    if not rows:
        raise InputError(
            f"{path}: no rows of numbers; a text file needs two columns, frequency [MHz] and intensity [K]"
        )
    data = np.asarray(rows, dtype=np.float64)
    _check_megahertz(data[:, 0], path)
    return RecordedSpectrum(
        axis=data[:, 0] * u.MHz,
        intensity=data[:, 1] * u.K,
        sigma=data[:, 2] * u.K if data.shape[1] == 3 else None,
        label=str(path),
        name=path.stem,
        notes={"file": str(path), "format": "text"},
    )


def _numbers(words: list[str]) -> list[float] | None:
    """Values of the words, or None if one of them is not a number."""
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def _check_megahertz(frequency: np.ndarray, path: Path) -> None:
    """Refuse a first column that is not in MHz, naming what it may be."""
    known = frequency[np.isfinite(frequency)]
    if known.size and known.min() >= _LOWEST and known.max() <= _HIGHEST:
        return
    guess = ""
    if known.size:
        for unit, factor in (("GHz", 1e3), ("Hz", 1e-6)):
            if known.min() * factor >= _LOWEST and known.max() * factor <= _HIGHEST:
                guess = f" (they look like {unit})"
        span = f"from {known.min():g} to {known.max():g}{guess}"
    else:
        span = "without one number"
    raise InputError(
        f"{path}: the first column must be frequency in MHz, between {_LOWEST:g} and {_HIGHEST:g}, but it "
        f"runs {span}; for another axis or unit pass a QTable, an ECSV file or a tuple of two Quantities"
    )
