"""The form of a cube file: what another cube needs to lie plane by plane beside the one that was read."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CubeForm", "Template", "template_of"]

FloatArray = NDArray[np.float64]

_OF_THE_ARRAY = (
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "EXTEND", "EXTNAME", "EXTVER", "BSCALE", "BZERO",
    "BLANK", "DATAMIN", "DATAMAX", "CHECKSUM", "DATASUM", "DATE", "CREATOR", "HISTORY", "COMMENT", "CASAMBM", "",
)  # fmt: skip
"""Cards that tell of the array that was read, or of how it came about; not of the sky."""


@dataclass(frozen=True, slots=True, eq=False)
class CubeForm:
    """How a window is to be written so that it lies plane by plane beside the cube that was read.

    Parameters
    ----------
    header : fits.Header
        Axes, unit, beam and object, of the planes that are written.
    lengths : tuple of int
        Of all axes, the slowest first; those beside channel, row and column are 1.
    plane : array of int, (n_channel,)
        Plane that each channel of the window goes to; -1 where it has none.
    factor : array, (n_channel,)
        K per unit of the planes; NaN where it is not known.
    first : int
        Plane of the cube that was read which is the first here.
    unit : str
    extension : bytes
        Table of the beams of the planes, as it follows the array; empty where one beam holds for all.
    """

    header: Any
    lengths: tuple[int, ...]
    plane: NDArray[np.intp]
    factor: FloatArray
    first: int
    unit: str
    extension: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Header of a cube and the order of its axes.

    Parameters
    ----------
    header : str
        Cards, one a line, without those that tell of the array.
    stored : tuple of int
        Lengths of its axes, the slowest first.
    axes : tuple of int
        Which of them are channel, row and column: in this order, with others of length 1 anywhere between.
    unit : str
    beams : array, (n_channel, 3), in deg, or None
        Axes and position angle of each plane's beam.
    """

    header: str
    stored: tuple[int, ...]
    axes: tuple[int, int, int]
    unit: str
    beams: FloatArray | None = None

    def cut(self, rows: NDArray[np.intp], factor: FloatArray) -> CubeForm:
        """Form of a cube of the planes from the first to the last that some channels come from.

        Parameters
        ----------
        rows : array of int, (n_channel,)
            Plane of each channel; -1 for none.
        factor : array, (n_channel,), in K per unit
        """
        from astropy.io import fits

        known = rows >= 0
        first, last = int(rows[known].min()), int(rows[known].max())
        header = fits.Header.fromstring(self.header, sep="\n")
        key = f"CRPIX{len(self.stored) - self.axes[0]}"
        header[key] = float(header.get(key, 0.0)) - first
        lengths = list(self.stored)
        lengths[self.axes[0]] = last - first + 1
        extension = b""
        if self.beams is not None:
            header["CASAMBM"] = (True, "a beam for each plane, in the table BEAMS")
            extension = _beam_table(self.beams[first : last + 1])
        plane = np.where(known, rows - first, -1)
        return CubeForm(header, tuple(lengths), plane, factor, first, self.unit, extension)


def template_of(
    header: Any,
    stored: tuple[int, ...],
    axes: tuple[int, int, int],
    unit: object,
    beams: Any = None,
    at: tuple[int, ...] = (),
) -> Template | None:
    """Template of a cube; None where it cannot be followed: axes in another order, or a table of channels.

    Parameters
    ----------
    header : fits.Header
    stored, axes : tuple of int
        See `Template`.
    unit : Unit
    beams : tuple of three arrays, (n_channel,), optional
        Major and minor axis [arcsec] and position angle [deg] of each plane's beam.
    at : tuple of int
        Where the cube lies along every axis; the others become 1 long there.
    """
    kind = str(header.get(f"CTYPE{len(stored) - axes[0]}", ""))
    if list(axes) != sorted(axes) or kind.endswith("-TAB"):
        return None
    kept = header.copy()
    for keyword in _OF_THE_ARRAY:
        kept.remove(keyword, ignore_missing=True, remove_all=True)
    for keyword in [k for k in kept if k.startswith(("NAXIS", "ZNAXIS", "ZTILE"))]:
        kept.remove(keyword, ignore_missing=True)
    table = None
    if beams is not None:
        major, minor, angle = (np.asarray(b, dtype=np.float64) for b in beams)
        table = np.stack([major / 3600.0, minor / 3600.0, angle], axis=1)
        for keyword in ("BMAJ", "BMIN", "BPA"):
            kept.remove(keyword, ignore_missing=True)
    lengths = tuple(n if axis in axes else 1 for axis, n in enumerate(stored))
    for axis, plane in enumerate(at):
        if plane:
            key = f"CRPIX{len(stored) - axis}"
            kept[key] = float(kept.get(key, 1.0)) - plane
    return Template(kept.tostring(sep="\n"), lengths, axes, str(unit), table)


def _beam_table(beams: FloatArray) -> bytes:
    """Table BEAMS, in the form of CASA."""
    from astropy.io import fits

    n = len(beams)
    columns = [
        fits.Column(name, "1E", unit, array=values)
        for name, unit, values in zip(
            ("BMAJ", "BMIN", "BPA"),
            ("arcsec", "arcsec", "deg"),
            (beams * (3600.0, 3600.0, 1.0)).T,
            strict=True,
        )
    ]
    columns += [
        fits.Column("CHAN", "1J", array=np.arange(n)),
        fits.Column("POL", "1J", array=np.zeros(n, dtype=int)),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
    table.header["NCHAN"], table.header["NPOL"] = n, 1
    stream, alone = BytesIO(), BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(stream)
    fits.HDUList([fits.PrimaryHDU()]).writeto(alone)
    return stream.getvalue()[len(alone.getvalue()) :]
