"""What was measured: windows, their noise, beams and continuum."""

from .adapters import observe
from .noise import estimate_noise, estimate_smoothing
from .observation import Beam, Observation, Window

__all__ = ["Beam", "Observation", "Window", "estimate_noise", "estimate_smoothing", "observe"]
