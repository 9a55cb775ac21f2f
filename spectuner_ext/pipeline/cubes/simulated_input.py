"""Reading of what a cube is to be simulated from: numbers and maps into arrays over pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...lte.parameters import PARAMETERS
from ...observation.beams import as_beam
from ...observation.observation import Beam, Observation, Window
from ...units import to_array, to_mhz

__all__ = ["beams_of_windows", "component_maps", "empty_observation", "maps_of_windows"]

FloatArray = NDArray[np.float64]

_UNITS: dict[str, Any] = {
    "source_size": u.arcsec,
    "filling_factor": u.dimensionless_unscaled,
    "T_ex": u.K,
    "N_tot": u.cm**-2,
    "fwhm": u.km / u.s,
    "v_off": u.km / u.s,
}


def beams_of_windows(beam: Any, n_window: int) -> list[Beam | None]:
    """Beam of every window.

    Raises
    ------
    InputError
        If a list does not have one for each window, or a beam is that of a dish.
    """
    given = beam if isinstance(beam, list) else [beam] * n_window
    if len(given) != n_window:
        raise InputError(f"beam: {len(given)} beams for {n_window} windows; give one, or one for each")
    beams = [as_beam(b) for b in given]
    if any(b is not None and np.isfinite(b.diameter) for b in beams):
        raise InputError(
            "beam: a cube needs a synthesised beam, its axes as angles; got the diameter of a dish"
        )
    return beams


def empty_observation(
    windows: Sequence[tuple[Any, Any, Any]], beams: Sequence[Beam | None], v_lsr: float, t_cmb: float
) -> Observation:
    """Channels and beams, without data.

    Parameters
    ----------
    windows : sequence of (low, high, step)
        In MHz or as Quantities, in the rest frame.
    beams : sequence of Beam or None, (n_window,)
    v_lsr : float, in km/s
    t_cmb : float, in K
    """
    made = []
    for k, (limits, beam) in enumerate(zip(windows, beams, strict=True)):
        try:
            low, high, step = (to_mhz(x, f"windows[{k}]") for x in limits)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"windows[{k}]: needs (low, high, step) in MHz, got {limits!r}") from error
        if not high > low + step:
            raise InputError(
                f"windows[{k}]: runs from {low} to {high} MHz in steps of {step}; give (low, high, step)"
            )
        nu = low + step * np.arange(int((high - low) / step + 1e-6) + 1, dtype=np.float64)
        nothing = np.zeros(nu.size)
        made.append(
            Window(
                nu=nu,
                intensity=nothing,
                sigma=np.ones(nu.size),
                mask=np.ones(nu.size, dtype=np.bool_),
                t_continuum=nothing,
                beam=beam,
                t_cmb=t_cmb,
                name=f"spw{k + 1}",
            )
        )
    return Observation(tuple(made), v_lsr=v_lsr)


def maps_of_windows(value: Any, n_window: int, shape: tuple[int, int], what: str) -> FloatArray:
    """Map of every window, (ny, nx, n_window) in K, from a number, one per window, a map, or a map per window.

    Raises
    ------
    InputError
        If the shape is none of these, or a value is not finite.
    """
    if isinstance(value, list | tuple):
        try:
            value = np.stack(np.broadcast_arrays(*(to_array(v, u.K, what) for v in value)))
        except ValueError as error:
            raise InputError(f"{what}: the values of the windows have shapes that differ") from error
    values = to_array(value, u.K, what)
    if values.ndim == 1 and values.size == n_window:
        values = values[:, None, None]
    elif values.ndim and values.shape not in (shape, (n_window, *shape)):
        raise InputError(
            f"{what}: has the shape {values.shape}; give a number, {n_window} numbers (one for each window), a "
            f"map of shape {shape}, or a map for each window"
        )
    if not np.all(np.isfinite(values)):
        raise InputError(f"{what}: must be finite in every pixel; use blank for pixels without data")
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(values, (n_window, *shape)), 0, 2))


def component_maps(
    components: Sequence[Mapping[str, Any]], shape: tuple[int, int], beam_scale: float
) -> tuple[list[str], FloatArray]:
    """Names, and parameters (ny, nx, n_component, 5), of components.

    Parameters
    ----------
    components : sequence of mapping
    shape : (ny, nx)
    beam_scale : float, in arcsec
        Reference beam of source sizes; NaN when no beam is known.

    Raises
    ------
    InputError
        If a parameter is missing, unknown, out of its range, or has another shape.
    """
    if not components:
        raise InputError("components: give at least one, a mapping with species, T_ex, N_tot, fwhm ...")
    theta = np.zeros((*shape, len(components), 5))
    for c, component in enumerate(components):
        label = f"components[{c}]"
        given = {k: _parameter_map(component[k], k, label, shape) for k in component if k in _UNITS}
        wrong = (
            set(component) - set(_UNITS) - {"species"}
            or {"species", "T_ex", "N_tot", "fwhm"} - set(component)
            or ("source_size" in given) == ("filling_factor" in given)
        )
        if wrong:
            raise InputError(
                f"{label}: has {', '.join(sorted(component))}; needs species, T_ex, N_tot, fwhm, either "
                "source_size or filling_factor, and perhaps v_off"
            )
        if "source_size" in given:
            if not np.isfinite(beam_scale):
                raise InputError(f"{label}: a source_size needs a beam; give beam=, or a filling_factor")
            area = given["source_size"] ** 2
            given["filling_factor"] = area / (area + beam_scale**2)
        for k, name in enumerate(PARAMETERS):
            theta[:, :, c, k] = given.get(name, 0.0)
        eta, t_ex, n_tot, fwhm = np.moveaxis(theta[:, :, c, :4], 2, 0)
        if eta.min() <= 0 or eta.max() > 1 or t_ex.min() <= 0 or fwhm.min() <= 0 or n_tot.min() < 0:
            raise InputError(
                f"{label}: T_ex and fwhm must be positive, N_tot not negative and the filling factor in (0, 1]; "
                f"the least are T_ex {t_ex.min():g}, fwhm {fwhm.min():g}, N_tot {n_tot.min():g}, the filling "
                f"factor runs from {eta.min():g} to {eta.max():g}"
            )
    return [str(c["species"]) for c in components], theta


def _parameter_map(value: Any, name: str, label: str, shape: tuple[int, int]) -> FloatArray:
    values = to_array(value, _UNITS[name], f"{label}: {name}")
    if values.ndim and values.shape != shape:
        raise InputError(f"{label}: {name} has the shape {values.shape}, the cube has {shape} pixels")
    if not np.all(np.isfinite(values)):
        raise InputError(f"{label}: {name} must be finite in every pixel; N_tot = 0 leaves a pixel empty")
    return values
