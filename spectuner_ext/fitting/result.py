"""What a fit returns: a value for every outcome, never an exception for a bad spectrum."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from ..lte.parameters import PARAMETERS
from .posterior import Posterior
from .solution import Status

__all__ = ["PARAMETERS", "FitFlag", "FitResult", "Status"]

FloatArray = NDArray[np.float64]


class FitFlag(IntFlag):
    """Reasons to read a component's parameters with care; bits may be combined."""

    NONE = 0
    AT_BOUND = 1
    """At least one free parameter rests on its bound."""
    DEGENERATE_CORNER = 2
    """A very broad, very faint pedestal that matches no peak: not a detection."""
    SIZE_N_DEGENERATE = 4
    """All lines optically thin: only filling factor times column density is measured."""
    T_EX_UNCONSTRAINED = 8
    """Too few lines, or too narrow a range of energies, to separate T_ex from N_tot."""
    OPAQUE = 16
    """Peak optical depth above 300: the column density is a lower limit."""
    PARTITION_EXTRAPOLATED = 32
    """Q(T_ex) lies outside the tabulated temperatures."""
    NOT_DETECTED = 64
    """No significant emission or absorption of this component; see the upper limit on N_tot."""
    PREDICTED_LINE_ABSENT = 128
    """A line that the model predicts clearly is not in the data."""
    ERRORS_UNRELIABLE = 256
    """The covariance is singular: the error of a parameter that is not at its bound is NaN."""
    POOR_FIT = 512
    """Residuals far above the noise: other lines, other physics, or the noise is wrong."""
    UNDECIDED = 1024
    """Chi2, pulled away by other lines, does not find the species, but peak matching does: nothing is claimed."""


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """Outcome of fitting one model (one or more components) to one observation.

    All arrays are in working units; `components`, `errors`, `lower`, `upper` have shape (n_component, 5) in
    the order of `PARAMETERS`.

    Parameters
    ----------
    species : tuple of str, (n_component,)
        Catalogue name of each component.
    component : tuple of int, (n_component,)
        Number of the component within its species, from 1.
    components, errors : array, (n_component, 5)
        Values and 1 sigma errors; NaN errors for held parameters.
    source_size, source_size_error : array, (n_component,), in arcsec
        NaN when the beam is unknown.
    status : Status
    flags : tuple of FitFlag, (n_component,)
    detected : tuple of bool, (n_component,)
    n_tot_limit : array, (n_component,), in cm^-2
        3 sigma upper limit where not detected, else NaN.
    tau_max : array, (n_component,)
        Largest optical depth at a line centre inside the windows.
    loss : float
        Value of the minimised loss.
    loss_name, optimizer : str
    chi2 : float
        Noise-weighted, over unmasked channels.
    n_data, n_free : int
    n_peaks : tuple of int, (n_component,)
        Observed peaks that the component's model matches.
    n_evaluations : int
        Evaluations of the model spectrum, those for the starting point included.
    correlation : array, (n_free, n_free)
    free_names : tuple of str, (n_free,)
        Such as ``CH3OH;v=0; #1 T_ex`` or ``offset 2``.
    at_bound : tuple of str
        Those of `free_names` that rest on a bound.
    model : tuple of arrays, one (n_channel,) per window, in K
    component_models : tuple (per component) of tuples (per window) of arrays, in K
    offsets : array, (n_window,), in K
        Fitted constant baselines, zero if not fitted.
    trace : array, (n_step,)
        Best loss so far, for plotting.
    message : str
    extra : mapping
    posterior : tuple of Posterior
        What a trained network takes for likely, for each species by itself; empty without one.
    """

    species: tuple[str, ...]
    component: tuple[int, ...]
    components: FloatArray
    errors: FloatArray
    source_size: FloatArray
    source_size_error: FloatArray
    status: Status
    flags: tuple[FitFlag, ...]
    detected: tuple[bool, ...]
    n_tot_limit: FloatArray
    tau_max: FloatArray
    loss: float
    loss_name: str
    optimizer: str
    chi2: float
    n_data: int
    n_free: int
    n_peaks: tuple[int, ...]
    n_evaluations: int
    correlation: FloatArray
    free_names: tuple[str, ...]
    at_bound: tuple[str, ...]
    model: tuple[FloatArray, ...]
    component_models: tuple[tuple[FloatArray, ...], ...]
    offsets: FloatArray
    trace: FloatArray
    message: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)
    posterior: tuple[Posterior, ...] = ()
