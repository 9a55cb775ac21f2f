"""The celestial part of world coordinates as cards of a header."""

from typing import TYPE_CHECKING

from astropy.io import fits

if TYPE_CHECKING:
    from astropy.wcs import WCS

__all__ = ["celestial_header"]


def celestial_header(wcs: "WCS | None") -> fits.Header | None:
    """Cards of the celestial part of world coordinates, as a file gives them back; None where there are none."""
    if wcs is None or not wcs.has_celestial:
        return None
    cards = wcs.celestial.to_header(relax=True)
    for spectral in ("RESTFRQ", "RESTWAV", "SPECSYS", "SSYSOBS", "SSYSSRC", "VELOSYS", "ZSOURCE"):
        cards.remove(spectral, ignore_missing=True)  # of one window, and an image has none
    return fits.Header.fromstring(cards.tostring(sep="\n"), sep="\n")
