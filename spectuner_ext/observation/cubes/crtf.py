"""Regions as CASA writes and reads them: text whose frame is that of the image unless it says another one."""

import re
from typing import Any

from ...errors import InputError
from .images import Grid

__all__ = ["crtf_shapes", "is_crtf"]

_CODES = {"icrs": "ICRS", "fk5": "J2000", "fk4": "B1950", "galactic": "GALACTIC"}
"""How CASA calls the frames of astropy."""

_TURNED = ("rotbox", "ellipse")
"""Shapes whose last number is an angle even where all others are pixels."""

_LINE = re.compile(r"\s*[+-]?\s*(?P<note>ann\s)?\s*(?P<shape>[a-zA-Z]+)\s*(?P<numbers>\[[^=]*\])")
_FRAME = re.compile(r"\bcoord\s*=", re.IGNORECASE)


def is_crtf(text: str) -> bool:
    """Whether a text is of CASA's form."""
    return text.lstrip().startswith("#CRTF") or "[[" in text


def crtf_shapes(text: str, grid: Grid) -> list[Any]:
    """Shapes of a text in CASA's form; annotations are left out.

    Coordinates without ``coord=`` are of the frame of the image, unless they are pixels. The corners of a ``box`` on
    the sky are those of a box along the pixels.

    Raises
    ------
    InputError
        If pixels and angles are mixed, or the sky is meant and the image has no (usual) frame.
    Exception
        Whatever the parser raises.
    """
    from regions import Regions

    shapes: list[Any] = []
    common: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("global"):
            common.append(line)
            continue
        parts = _LINE.match(line)
        if parts and parts["note"]:
            continue
        named = any(_FRAME.search(said) for said in (*common, line))
        if parts and _is_on_the_sky(parts["shape"], parts["numbers"], line) and not named:
            line = f"{line.rstrip(', ')}, coord={_frame_of(grid, line)}"
        is_box = parts is not None and parts["shape"] == "box"
        if is_box:
            line = re.sub("box", "line", line, count=1)
        found = Regions.parse("\n".join(["#CRTF", *common, line]), format="crtf")
        shapes += [_box_between(shape, grid) for shape in found] if is_box else list(found)
    return shapes


def _is_on_the_sky(shape: str, numbers: str, line: str) -> bool:
    """Whether the numbers of a shape are angles; False for pixels."""
    words = re.findall(r"[+-]?[\d.][^\s,\[\]]*", numbers)
    if shape in _TURNED:
        words = words[:-1]
    in_pixels = [word.endswith("pix") for word in words]
    if any(in_pixels) and not all(in_pixels):
        raise InputError(
            f"region: {line[:80]!r} mixes pixels and angles, which is not supported; give all of it in pixels or "
            "all of it on the sky"
        )
    return not any(in_pixels)


def _frame_of(grid: Grid, line: str) -> str:
    """Frame of an image in CASA's words."""
    from astropy.time import Time
    from astropy.wcs.utils import wcs_to_celestial_frame

    if grid.wcs is None:
        raise InputError(
            f"region: {line[:80]!r} is given on the sky, but the cube has no celestial coordinates; give it in "
            "pixels, such as 'circle[[4pix, 3pix], 2pix]'"
        )
    frame = wcs_to_celestial_frame(grid.wcs)
    code = _CODES.get(frame.name)
    if code is None or getattr(frame, "equinox", None) not in (None, Time("J2000"), Time("B1950")):
        raise InputError(
            f"region: {line[:80]!r} names no frame, and that of the cube ({frame.name}) has no name in CASA's form; "
            "add coord=, such as coord=ICRS"
        )
    return code


def _box_between(corners: Any, grid: Grid) -> Any:
    """Box along the pixels between two corners, which come as the ends of a line.

    Read as a box, corners on the sky would give a width in degrees of longitude that is taken for an angle.
    """
    from regions import PixCoord, RectanglePixelRegion

    ends = corners
    if hasattr(corners, "to_pixel"):
        if grid.wcs is None:
            return corners  # refused with all others on the sky
        ends = corners.to_pixel(grid.wcs)
    x, y = ([float(getattr(end, axis)) for end in (ends.start, ends.end)] for axis in ("x", "y"))
    return RectanglePixelRegion(
        PixCoord(sum(x) / 2.0, sum(y) / 2.0), abs(x[1] - x[0]), abs(y[1] - y[0]), meta=corners.meta
    )
