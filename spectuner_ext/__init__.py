"""Fit molecular lines under LTE, and determine energy levels of atoms and ions from their lines.

The names below load their modules on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

__citation__ = """\
spectuner-ext: see CITATION.cff in its repository. Please cite the method you used as well:
  line fitting: Qiu et al., Spectuner-D1: Spectral Line Fitting of Interstellar Molecules Using Deep Reinforcement
  Learning, arXiv:2511.21027,
  and the catalogues your lines come from (CDMS: Mueller et al. 2001, 2005, Endres et al. 2016; JPL: Pickett et al.
  1998; Splatalogue: Remijan et al. 2007; SLAIM: Lovas);
  term analysis: Ding et al. 2026, Accelerating Atomic Fine Structure Determination with Graph Reinforcement
  Learning, Communications Physics, doi:10.1038/s42005-026-02582-y,
  with the sources of your line list and calculation, and Kramida 2011, Comput. Phys. Commun. 182, 419, if you
  optimise the levels with LOPT."""

_HOME = {
    "Analysis": "terms.result",
    "AnalysisSettings": "terms",
    "Beam": "observation",
    "CubeMaps": "pipeline.cubes.maps",
    "FitFlag": "fitting",
    "FitResult": "fitting",
    "FittingPolicy": "policy.policy",
    "LTEModel": "lte.model",
    "Levels": "terms",
    "LineDatabase": "spectroscopy",
    "LineList": "terms",
    "Observation": "observation",
    "ObservedCube": "observation.cubes",
    "PixelFlag": "pipeline.cubes.outcome",
    "Request": "terms.request",
    "TermSystem": "terms",
    "Transitions": "spectroscopy",
    "Window": "observation",
    "agent_named": "terms.agents",
    "fit_cube": "pipeline.cubes.fit_cube",
    "fit_spectrum": "pipeline.spectrum",
    "observe": "observation",
    "observe_cube": "observation.cubes",
    "read_maps": "pipeline.cubes.map_files",
    "read_products": "pipeline.products",
    "read_system": "terms.readers",
    "simulate_cube": "pipeline.cubes.simulate",
    "simulate_ion": "terms.simulate",
    "simulate_observation": "pipeline.simulate",
    "spectrum_of": "pipeline.cubes.pixel_spectrum",
}

__all__ = [
    "Analysis",
    "AnalysisSettings",
    "Beam",
    "CubeMaps",
    "FitFlag",
    "FitResult",
    "FittingPolicy",
    "LTEModel",
    "Levels",
    "LineDatabase",
    "LineList",
    "Observation",
    "ObservedCube",
    "PixelFlag",
    "Request",
    "TermSystem",
    "Transitions",
    "Window",
    "__citation__",
    "__version__",
    "agent_named",
    "fit_cube",
    "fit_spectrum",
    "observe",
    "observe_cube",
    "read_maps",
    "read_products",
    "read_system",
    "simulate_cube",
    "simulate_ion",
    "simulate_observation",
    "spectrum_of",
]

if TYPE_CHECKING:
    from .fitting import FitFlag, FitResult
    from .lte.model import LTEModel
    from .observation import Beam, Observation, Window, observe
    from .observation.cubes import ObservedCube, observe_cube
    from .pipeline.cubes.fit_cube import fit_cube
    from .pipeline.cubes.map_files import read_maps
    from .pipeline.cubes.maps import CubeMaps
    from .pipeline.cubes.outcome import PixelFlag
    from .pipeline.cubes.pixel_spectrum import spectrum_of
    from .pipeline.cubes.simulate import simulate_cube
    from .pipeline.products import read_products
    from .pipeline.simulate import simulate_observation
    from .pipeline.spectrum import fit_spectrum
    from .policy.policy import FittingPolicy
    from .spectroscopy import LineDatabase, Transitions
    from .terms import AnalysisSettings, Levels, LineList, TermSystem
    from .terms.agents import agent_named
    from .terms.readers import read_system
    from .terms.request import Request
    from .terms.result import Analysis
    from .terms.simulate import simulate_ion


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names, whether loaded or not."""
    return sorted(__all__)
