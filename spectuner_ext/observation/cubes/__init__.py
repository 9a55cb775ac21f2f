"""Cubes: read them, select from them, and hand out blocks of spectra in working units."""

from .adapters import observe_cube
from .block import SpectrumBlock
from .observed import ObservedCube
from .sources import is_cube

__all__ = ["ObservedCube", "SpectrumBlock", "is_cube", "observe_cube"]
