"""Spectra of known truth: windows, components and noise in; an observation and its truth table out."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from ..constants import T_CMB
from ..errors import InputError
from ..lte.model import LTEModel, line_ranges
from ..observation.beams import as_beam
from ..observation.observation import Beam, Observation, Window
from ..spectroscopy.transitions import Transitions
from ..units import to_array, to_kelvin, to_mhz

__all__ = ["SpeciesLines", "simulate_observation"]

FloatArray = NDArray[np.float64]

_UNITS: dict[str, Any] = {
    "source_size": u.arcsec,
    "filling_factor": u.dimensionless_unscaled,
    "T_ex": u.K,
    "N_tot": u.cm**-2,
    "fwhm": u.km / u.s,
    "v_off": u.km / u.s,
}


class SpeciesLines(Protocol):
    """What is asked of a line database here."""

    def select(self, name: str, ranges: Sequence[tuple[float, float]] | None = None) -> Transitions:
        """Lines of a species in ranges of MHz."""
        ...


def simulate_observation(
    windows: Sequence[tuple[Any, Any, Any]],
    components: Sequence[Mapping[str, Any]],
    database: SpeciesLines,
    *,
    noise: Any = 0.05,
    continuum: Any = 0.0,
    beam: Any = None,
    seed: int = 0,
    t_cmb: float = T_CMB,
) -> tuple[Observation, QTable]:
    """Simulate what a telescope would see of LTE components, continuum subtracted, in the rest frame.

    Parameters
    ----------
    windows : sequence of (low, high, step)
        In MHz or as Quantities; channel centres run from `low` in steps of `step` and do not pass `high`.
    components : sequence of mapping
        Each with ``species``, ``T_ex`` [K], ``N_tot`` [cm-2], ``fwhm`` [km/s], and either ``source_size``
        [arcsec] or ``filling_factor``; ``v_off`` [km/s] is 0 when not given. Two of one species are two
        components.
    database : LineDatabase
    noise : float [K], Quantity, or one for each window
        Standard deviation of the Gaussian noise added to every channel.
    continuum : float [K], Quantity, or one for each window
        Brightness temperature behind the lines, without the CMB.
    beam : optional
        As in `~spectuner_ext.observation.observe`.
    seed : int
    t_cmb : float, in K

    Returns
    -------
    Observation
    truth : QTable
        One row per component, columns as in the table of a fit; ``meta["lines"]`` holds the spectra without
        noise.

    Examples
    --------
    >>> simulate_observation(
    ...     [(96_700, 96_800, 0.2)],
    ...     [{"species": "CH3OH", "T_ex": 30, "N_tot": 1e15, "fwhm": 3, "filling_factor": 0.5}],
    ...     database,
    ...     noise=0.02,
    ... )  # doctest: +SKIP
    """
    the_beam = as_beam(beam)
    sigma = _per_window(noise, len(windows), "noise")
    behind = _per_window(continuum, len(windows), "continuum")
    if np.any(sigma <= 0):
        raise InputError(f"noise must be positive, got {sigma.min():g} K")
    rng = np.random.default_rng(seed)
    empty = Observation(
        tuple(_window(w, k, sigma[k], behind[k], the_beam, t_cmb) for k, w in enumerate(windows))
    )
    names = list(dict.fromkeys(str(c["species"]) for c in components))
    model = LTEModel.bind(empty, [database.select(n, line_ranges(empty)) for n in names])
    theta = np.array([_theta(c, empty.beam_scale) for c in components])
    lines = model.split(model.spectrum(theta, [names.index(str(c["species"])) for c in components]))
    noisy = tuple(
        Window(
            nu=w.nu,
            intensity=line + w.sigma * rng.standard_normal(w.nu.size),
            sigma=w.sigma,
            mask=w.mask,
            t_continuum=w.t_continuum,
            beam=w.beam,
            t_cmb=w.t_cmb,
            name=w.name,
            notes=w.notes,
        )
        for w, line in zip(empty.windows, lines, strict=True)
    )
    truth = _truth(
        [model.transitions[names.index(str(c["species"]))].species for c in components], theta, model
    )
    truth.meta["lines"] = list(lines)
    return Observation(noisy, meta={"simulated": True, "seed": seed}), truth


def _window(
    limits: tuple[Any, Any, Any], k: int, sigma: float, behind: float, beam: Beam | None, cmb: float
) -> Window:
    low, high, step = (to_mhz(x, f"windows[{k}]") for x in limits)
    if not high > low + step:
        raise InputError(
            f"windows[{k}] runs from {low} to {high} MHz in steps of {step}; give (low, high, step)"
        )
    nu = low + step * np.arange(int((high - low) / step + 1e-9) + 1, dtype=np.float64)
    return Window(
        nu=nu,
        intensity=np.zeros(nu.size),
        sigma=np.full(nu.size, sigma),
        mask=np.ones(nu.size, dtype=np.bool_),
        t_continuum=np.full(nu.size, behind),
        beam=beam,
        t_cmb=to_kelvin(cmb, "t_cmb"),
        name=f"simulated {k + 1}",
        notes={"n_nan": 0, "n_masked": 0, "noise_source": "given"},
    )


def _per_window(value: Any, n: int, what: str) -> FloatArray:
    if isinstance(value, list | tuple):
        value = u.Quantity([to_kelvin(v, what) for v in value], u.K)
    values = to_array(value, u.K, what)
    if values.ndim and values.shape != (n,):
        raise InputError(f"{what} has {values.size} values for {n} windows; give one, or one for each")
    return np.broadcast_to(values, (n,)).astype(np.float64)


def _theta(component: Mapping[str, Any], beam_scale: float) -> list[float]:
    """Read filling factor, T_ex, N_tot, FWHM, v_off of one component."""
    given = {k: float(to_array(v, _UNITS[k], k)) for k, v in component.items() if k in _UNITS}
    unknown = set(component) - set(_UNITS) - {"species"}
    missing = [k for k in ("T_ex", "N_tot", "fwhm") if k not in given]
    if unknown or missing or ("source_size" in given) == ("filling_factor" in given):
        raise InputError(
            f"component {dict(component)!r} needs species, T_ex, N_tot, fwhm, either source_size or "
            f"filling_factor, "
            f"and perhaps v_off"
        )
    if "source_size" in given:
        if not np.isfinite(beam_scale):
            raise InputError("a component with a source_size needs a beam; give beam=, or a filling_factor")
        eta = given["source_size"] ** 2 / (given["source_size"] ** 2 + beam_scale**2)
    else:
        eta = given["filling_factor"]
    return [eta, given["T_ex"], given["N_tot"], given["fwhm"], given.get("v_off", 0.0)]


def _truth(species: Sequence[str], theta: FloatArray, model: LTEModel) -> QTable:
    table = QTable()
    table["species"] = np.array(species, dtype=np.str_)
    table["component"] = np.array([species[: i + 1].count(s) for i, s in enumerate(species)], dtype=np.int64)
    table["source_size"] = model.source_size(theta[:, 0]) * u.arcsec
    for k, name in enumerate(("filling_factor", "T_ex", "N_tot", "fwhm", "v_off")):
        table[name] = theta[:, k] * _UNITS[name]
    return table
