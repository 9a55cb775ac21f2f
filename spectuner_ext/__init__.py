"""Fit molecular lines under LTE and analyse atomic term systems.

The names below load their modules on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"

__citation__ = """\
spectuner-ext: see CITATION.cff in its repository. Please cite the method you used as well,
  Qiu et al., Spectuner-D1: Spectral Line Fitting of Interstellar Molecules Using Deep Reinforcement Learning,
  arXiv:2511.21027,
and the catalogues your lines come from (CDMS: Mueller et al. 2001, 2005, Endres et al. 2016; JPL: Pickett et al.
1998; Splatalogue: Remijan et al. 2007; SLAIM: Lovas)."""

_HOME = {
    "Beam": "observation",
    "FitFlag": "fitting",
    "FitResult": "fitting",
    "LTEModel": "lte.model",
    "LineDatabase": "spectroscopy",
    "Observation": "observation",
    "Transitions": "spectroscopy",
    "Window": "observation",
    "fit_spectrum": "pipeline.spectrum",
    "observe": "observation",
    "read_products": "pipeline.products",
    "simulate_observation": "pipeline.simulate",
}

__all__ = [
    "Beam",
    "FitFlag",
    "FitResult",
    "LTEModel",
    "LineDatabase",
    "Observation",
    "Transitions",
    "Window",
    "__citation__",
    "__version__",
    "fit_spectrum",
    "observe",
    "read_products",
    "simulate_observation",
]

if TYPE_CHECKING:
    from .fitting import FitFlag, FitResult
    from .lte.model import LTEModel
    from .observation import Beam, Observation, Window, observe
    from .pipeline.products import read_products
    from .pipeline.simulate import simulate_observation
    from .pipeline.spectrum import fit_spectrum
    from .spectroscopy import LineDatabase, Transitions


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Public names, whether loaded or not."""
    return sorted(__all__)
