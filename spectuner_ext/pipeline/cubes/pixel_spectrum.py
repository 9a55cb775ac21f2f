"""One pixel of a fitted cube as if it had been fitted alone: its tables, spectra and peaks."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fitting import FitFlag, FitResult, Problem, Status
from ...fitting.peak_matching import match_peaks
from ...fitting.uncertainty import estimate
from ...lte.parameters import ParameterSpace
from ...observation.observation import Observation, Window
from ...spectroscopy import LineDatabase
from ..peaks import peaks_table
from ..tables import correlation_tables, parameters_table, spectra_tables
from .maps import CubeMaps
from .model_cubes import Cube, bind_model, species_numbers

__all__ = ["pixel_result", "spectrum_of"]

FloatArray = NDArray[np.float64]


def spectrum_of(
    maps: CubeMaps, cube: Cube, y: int, x: int, *, database: LineDatabase | None = None
) -> dict[str, Any]:
    """Tables of one pixel, as a fit of a single spectrum has them.

    Parameters
    ----------
    maps : CubeMaps
    cube : ObservedCube
        The one that was fitted.
    y, x : int
        Row and column.
    database : LineDatabase, optional
        See `spectuner_ext.pipeline.cubes.model_cubes.bind_model`.

    Returns
    -------
    dict
        ``parameters``, ``spectra`` (a table per window: observed, model, residual, a column per component),
        ``correlations`` and ``peaks``, ``files`` (empty), ``call`` and ``provenance``; what
        `~spectuner_ext.pipeline.products.write_products` writes.

    Raises
    ------
    InputError
        If the pixel lies outside or was not fitted.

    Examples
    --------
    >>> tables = spectrum_of(maps, cube, 12, 30)  # doctest: +SKIP
    >>> tables["spectra"][0]["frequency", "observed", "model"]  # doctest: +SKIP
    """
    observation, result = pixel_result(maps, cube, y, x, database=database)
    meta = {"pixel": [int(y), int(x)]}
    return {
        "parameters": parameters_table([result], meta),
        "spectra": spectra_tables(observation, [result]),
        "correlations": correlation_tables([result]),
        "peaks": peaks_table(observation, [result], **_peak_options(maps)),
        "files": {},
        "call": dict(maps.meta.get("call", {})),
        "provenance": {**maps.meta.get("provenance", {}), **meta},
    }


def _peak_options(maps: CubeMaps) -> dict[str, Any]:
    """How the run looked for peaks; as the defaults where it is not written down."""
    settings = {**maps.meta.get("call", {}), **maps.meta.get("settings", {})}
    names = ("noise_factor", "rel_height", "clip_negative")
    return {name: settings[name] for name in names if settings.get(name) is not None}


def pixel_result(
    maps: CubeMaps, cube: Cube, y: int, x: int, *, database: LineDatabase | None = None
) -> tuple[Observation, FitResult]:
    """Observation and result of one pixel, with the noise that the fit used.

    Errors, flags and limits are those of the maps; correlations, spectra and matched peaks are computed anew.
    """
    ny, nx = maps.shape
    if not (0 <= y < ny and 0 <= x < nx):
        raise InputError(f"pixel: row {y}, column {x} does not lie in {ny} x {nx} pixels")
    out = {name: values[y, x] for name, values in maps.outcome.items()}
    if not maps.fitted[y, x] or not np.isfinite(out["x"]).all():
        raise InputError(f"pixel: row {y}, column {x} was not fitted: {maps.flag_names(y, x)}")
    observation = _with_noise(cube.spectrum(y, x), maps, out["sigma"])
    kept = [maps.windows.index(name) for name in _names(observation, maps)]
    n_line = maps.space.n_free
    vector = np.concatenate([out["x"][:n_line], out["x"][n_line:][kept] if len(maps.free) > n_line else []])
    problem = _problem(maps, observation, bool(len(maps.free) > n_line), database)
    components = problem.components(vector)
    spectra = [
        problem.model.spectrum(components[c], [problem.species[c]]) for c in range(len(maps.components))
    ]
    uncertainty = estimate(problem, vector)
    flags = tuple(FitFlag(int(f)) for f in out["component_flags"])
    loss_name = str({**maps.meta.get("call", {}), **maps.meta.get("settings", {})}.get("loss", "chi2"))
    result = FitResult(
        species=tuple(s for s, _ in maps.components),
        component=tuple(n for _, n in maps.components),
        components=np.array(out["theta"]),
        errors=np.array(out["error"]),
        source_size=_each(maps, "quantity", y, x),
        source_size_error=_each(maps, "error", y, x),
        status=Status(int(out["status"])),
        flags=flags,
        detected=tuple(not flag & FitFlag.NOT_DETECTED for flag in flags),
        n_tot_limit=np.array(out["n_tot_limit"]),
        tau_max=np.array(out["tau_max"]),
        loss=float(out["loss"]),
        loss_name=loss_name,
        optimizer="map",
        chi2=float(out["chi2"]),
        n_data=int(out["n_data"]),
        n_free=len(maps.free),
        n_peaks=tuple(match_peaks(s, problem.peaks).n_matched for s in spectra),
        n_evaluations=int(out["n_evaluations"]),
        correlation=uncertainty.correlation,
        free_names=problem.names,
        at_bound=tuple(n for n, b in zip(problem.names, uncertainty.at_bound, strict=True) if b),
        model=problem.model.split(problem.spectrum(vector)),
        component_models=tuple(problem.model.split(s) for s in spectra),
        offsets=problem.offsets(vector),
        trace=np.array([float(out["loss"])]),
        extra={"evidence": tuple({"significance": float(s)} for s in out["significance"])},
    )
    return observation, result


def _each(maps: CubeMaps, what: str, y: int, x: int) -> FloatArray:
    """Source size of every component, or its error."""
    return np.array([getattr(maps, what)(s, "source_size", n)[y, x].value for s, n in maps.components])


def _names(observation: Observation, maps: CubeMaps) -> list[str]:
    """Names of the windows that the pixel has, as the maps call them."""
    names = [w.name for w in observation.windows]
    return names if all(names) else list(maps.windows)[: len(names)]


def _with_noise(observation: Observation, maps: CubeMaps, sigma: FloatArray) -> Observation:
    """The same spectrum with the noise of the fit, without windows that the fit left out."""
    windows: list[Window] = []
    for window, name in zip(observation.windows, _names(observation, maps), strict=True):
        level = float(sigma[maps.windows.index(name)])
        if np.isfinite(level) and level > 0:
            windows.append(replace(window, sigma=np.full(window.nu.size, level)))
    return Observation(tuple(windows), observation.v_lsr, observation.meta)


def _problem(
    maps: CubeMaps, observation: Observation, with_offsets: bool, database: LineDatabase | None
) -> Problem:
    """The fit of this pixel as mathematics; offsets keep the bounds of the maps."""
    model = bind_model(maps, observation, database)
    n_line = maps.space.n_free
    space = ParameterSpace(
        maps.space.layout, maps.lower[:n_line], maps.upper[:n_line], maps.space.names, maps.space.position
    )
    offset = float(maps.upper[n_line]) if with_offsets else 0.0
    return Problem.build(observation, model, space, species_numbers(maps), offset=offset)
