"""Maps as tables: a row per fitted pixel and component, and a summary with a row per component."""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from ...fitting.result import FitFlag, Status
from ..tables import FLAG_TEXT
from .map_flags import OF_COMPONENT, PIXEL_FLAG_TEXT, names_of_flags
from .maps import MAP_UNITS, CubeMaps
from .outcome import PixelFlag

__all__ = ["pixels_table", "sky_of", "summary_lines", "summary_table"]

FloatArray = NDArray[np.float64]

_VALUES = ("source_size", "filling_factor", "T_ex", "N_tot", "N_beam", "fwhm", "v_off")
_QUARTILES = {"q25": 25.0, "median": 50.0, "q75": 75.0}

_LEFT_OUT = (
    PixelFlag.NO_DATA,
    PixelFlag.FEW_PEAKS,
    PixelFlag.FEW_LOCAL_PEAKS,
    PixelFlag.NOT_NOISE,
    PixelFlag.NOT_REACHED,
    PixelFlag.FAILED,
)


def sky_of(maps: CubeMaps, y: NDArray[np.intp], x: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination (ICRS, degrees) of pixel centres; NaN without world coordinates."""
    wcs = maps.wcs
    if wcs is None or not len(y):
        nowhere = np.full(len(y), np.nan)
        return nowhere, nowhere.copy()
    sky = wcs.array_index_to_world(y, x).icrs
    return np.asarray(sky.ra.deg, dtype=np.float64), np.asarray(sky.dec.deg, dtype=np.float64)


def pixels_table(maps: CubeMaps) -> QTable:
    """One row per fitted pixel and component, pixel by pixel.

    Columns that mean the same as in the table of a single spectrum have the same names.

    Parameters
    ----------
    maps : CubeMaps

    Returns
    -------
    QTable
        Values with 1 sigma errors, outcome and flags. ``meta`` holds the call, and the meanings of the flags.
    """
    y, x = np.nonzero(maps.fitted)
    n = len(maps.components)
    ra, dec = sky_of(maps, y, x)
    out = maps.outcome
    own = out["component_flags"][y, x]
    flags = (own | (out["flags"][y, x] & ~OF_COMPONENT)[:, None]).astype(np.int64)
    columns: list[tuple[str, Any, str]] = [
        ("y", np.repeat(y, n), "row of the pixel, from 0"),
        ("x", np.repeat(x, n), "column of the pixel, from 0"),
        ("ra", np.repeat(ra, n) * u.deg, "right ascension (ICRS) of the pixel's centre"),
        ("dec", np.repeat(dec, n) * u.deg, "declination (ICRS) of the pixel's centre"),
        ("species", np.tile([s for s, _ in maps.components], y.size), "name in the catalogue"),
        ("component", np.tile([k for _, k in maps.components], y.size), "number within the species"),
    ]
    for name in _VALUES:
        value = [maps.quantity(s, name, k)[y, x].value for s, k in maps.components]
        error = [maps.error(s, name, k)[y, x].value for s, k in maps.components]
        known = [maps.determined(s, name, k)[y, x] for s, k in maps.components]
        columns += [
            (name, _by_pixel(value) * MAP_UNITS[name], "NaN where not detected"),
            (f"{name}_err", _by_pixel(error) * MAP_UNITS[name], f"1 sigma error of {name}"),
            (f"{name}_determined", _by_pixel(known), f"whether {name} was measured"),
        ]
    per_pixel = {name: out[name][y, x] for name in ("loss", "chi2", "n_data", "n_evaluations", "status")}
    total = out["n_peaks"][y, x].sum(axis=1, dtype=np.int64)
    columns += [
        ("status", np.repeat(_words(per_pixel["status"], _status_name), n), "how the fit ended"),
        ("detected", ((own & FitFlag.NOT_DETECTED) == 0).ravel(), "whether the component is significant"),
        ("loss", np.repeat(per_pixel["loss"], n), "value of the minimised loss"),
        ("chi2", np.repeat(per_pixel["chi2"], n), "noise-weighted chi2 over the channels used"),
        ("n_peaks_data", np.repeat(total, n), "peaks above the noise of the cube, all windows"),
        ("n_evaluations", np.repeat(per_pixel["n_evaluations"], n), "model spectra computed for the fit"),
        ("flags", flags.ravel(), "reasons to read the row with care, bits as in meta['flag_bits']"),
        ("flag_names", _words(flags.ravel(), names_of_flags), "names of the bits of flags"),
        (
            "N_tot_limit",
            out["n_tot_limit"][y, x].ravel() * u.cm**-2,
            "3 sigma upper limit; NaN where detected",
        ),
        ("significance", out["significance"][y, x].ravel(), "matched-filter signal over noise"),
        ("tau_max", out["tau_max"][y, x].ravel(), "largest optical depth at a line centre"),
        ("n_data", np.repeat(per_pixel["n_data"], n), "channels used"),
    ]
    table = QTable()
    for name, values, description in columns:
        table[name] = values
        table[name].info.description = description
    table.meta.update(_meta(maps))
    return table


def _by_pixel(of_components: list[NDArray[Any]]) -> NDArray[Any]:
    """Values of every component, (n_component, n_pixel), in the order of the rows."""
    return np.stack(of_components, axis=1).ravel()


def _words(numbers: NDArray[Any], name: Any) -> NDArray[np.str_]:
    """A text for each number; there are few different ones."""
    different, which = np.unique(numbers, return_inverse=True)
    return np.array([name(int(k)) for k in different] or [""], dtype=np.str_)[which]


def _status_name(status: int) -> str:
    return Status(status).name


def _meta(maps: CubeMaps) -> dict[str, Any]:
    bits = {str(f.name): f"{int(f)}: {text}" for f, text in (FLAG_TEXT | PIXEL_FLAG_TEXT).items()}
    return {**{k: v for k, v in maps.meta.items() if k in ("call", "provenance")}, "flag_bits": bits}


def summary_table(maps: CubeMaps) -> QTable:
    """One row per component: numbers of pixels, quartiles over determined pixels, and counts of flags.

    Returns
    -------
    QTable
        ``n_region``, ``n_fitted``, ``n_detected``; for each parameter ``<name>_n`` (pixels in which it is
        determined), ``<name>_q25``, ``<name>_median`` and ``<name>_q75`` over these; ``n_<FLAG>`` over the fitted
        pixels.
    """
    fitted = maps.fitted
    table = QTable()
    table["species"] = np.array([s for s, _ in maps.components], dtype=np.str_)
    table["component"] = np.array([k for _, k in maps.components], dtype=np.int64)
    table["n_region"] = np.full(len(table), np.count_nonzero(maps.region))
    table["n_fitted"] = np.full(len(table), np.count_nonzero(fitted))
    table["n_detected"] = [np.count_nonzero(maps.good(s, k)) for s, k in maps.components]
    for name in _VALUES:
        known = [maps.determined(s, name, k) for s, k in maps.components]
        table[f"{name}_n"] = [np.count_nonzero(m) for m in known]
        values = [
            maps.quantity(s, name, k).value[m] for (s, k), m in zip(maps.components, known, strict=True)
        ]
        for ending, percent in _QUARTILES.items():
            found = [np.percentile(v, percent) if v.size else np.nan for v in values]
            table[f"{name}_{ending}"] = np.array(found) * MAP_UNITS[name]
    own = maps.outcome["component_flags"][fitted]
    for flag in FLAG_TEXT:
        table[f"n_{flag.name}"] = np.count_nonzero(own & flag, axis=0)
        table[f"n_{flag.name}"].info.description = FLAG_TEXT[flag]
    table.meta.update(_meta(maps))
    table.meta["pixels"] = {str(f.name): int(np.count_nonzero(maps.flagged(f))) for f in PIXEL_FLAG_TEXT}
    return table


def summary_lines(maps: CubeMaps) -> list[str]:
    """The summary in sentences, for a log."""
    region = int(np.count_nonzero(maps.region))
    reasons = {f: int(np.count_nonzero(maps.flagged(f) & maps.region)) for f in _LEFT_OUT}
    left_out = "".join(f"; {n}: {PIXEL_FLAG_TEXT[f]}" for f, n in reasons.items() if n)
    lines = [f"{np.count_nonzero(maps.fitted)} of {region} pixels of the region fitted{left_out}"]
    for row in summary_table(maps):
        parts = []
        for name in _VALUES:
            n, median = int(row[f"{name}_n"]), row[f"{name}_median"]
            if n:
                low, high = row[f"{name}_q25"].value, row[f"{name}_q75"].value
                unit = f" {MAP_UNITS[name].to_string('fits')}" if name != "filling_factor" else ""
                parts.append(f"{name} {median.value:.4g} ({low:.4g} to {high:.4g}){unit} in {n}")
        flags = [f"{f.name} in {row[f'n_{f.name}']}" for f in FLAG_TEXT if row[f"n_{f.name}"]]
        lines.append(
            f"{row['species']} #{row['component']}: detected in {row['n_detected']} of {row['n_fitted']} pixels; "
            f"determined, median (quartiles): {', '.join(parts) or 'nothing'}"
            f"{'; flags: ' + ', '.join(flags) if flags else ''}"
        )
    return lines
