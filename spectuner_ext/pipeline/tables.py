"""Fits as tables with units: parameters, spectra, correlations; and back to an observation."""

from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from ..fitting.result import FitFlag, FitResult
from ..observation.observation import Beam, Observation, Window

__all__ = [
    "FLAG_TEXT",
    "SPECTRUM_COLUMNS",
    "component_label",
    "component_labels",
    "correlation_tables",
    "flag_names",
    "observation_of",
    "parameters_table",
    "spectra_tables",
]

FloatArray = NDArray[np.float64]

FLAG_TEXT: dict[FitFlag, str] = {
    FitFlag.AT_BOUND: "at least one free parameter rests on its bound",
    FitFlag.DEGENERATE_CORNER: "a very broad, very faint pedestal that matches no peak: not a detection",
    FitFlag.SIZE_N_DEGENERATE: "all lines optically thin: only filling factor times N_tot is measured",
    FitFlag.T_EX_UNCONSTRAINED: "too few lines or too narrow a range of energies to separate T_ex from N_tot",
    FitFlag.OPAQUE: "peak optical depth above 300: N_tot is a lower limit",
    FitFlag.PARTITION_EXTRAPOLATED: "Q(T_ex) lies outside the tabulated temperatures",
    FitFlag.NOT_DETECTED: "no significant emission or absorption; see N_tot_limit",
    FitFlag.PREDICTED_LINE_ABSENT: "a line that the model predicts clearly is not in the data",
    FitFlag.ERRORS_UNRELIABLE: "the covariance is singular or a parameter was held: its error is NaN",
    FitFlag.UNDECIDED: "other lines pull chi2 away, but peak matching finds it: use loss='pm', or fit jointly",
    FitFlag.POOR_FIT: "reduced chi2 above 2: other lines, other physics, or the noise is wrong",
}
"""Meaning of every bit of the column ``flags``, in words."""

SPECTRUM_COLUMNS: dict[str, tuple[Any, str]] = {
    "frequency": (u.MHz, "rest frequency of the source, channel centre"),
    "sky_frequency": (u.MHz, "frequency on the sky, radio convention"),
    "observed": (u.K, "continuum-subtracted brightness temperature; NaN where not used"),
    "model": (u.K, "sum of all fits, fitted baseline offsets included"),
    "residual": (u.K, "observed minus model; NaN where not used"),
    "sigma": (u.K, "noise"),
    "continuum": (u.K, "brightness temperature of the continuum behind the lines, without the CMB"),
    "used": (None, "whether the channel took part in the fit"),
}
"""Columns of a spectrum, before those of the components: unit and description."""

_VALUES: tuple[tuple[str, Any, str], ...] = (
    ("source_size", u.arcsec, "full width at half maximum of the source; NaN without a beam"),
    (
        "filling_factor",
        u.dimensionless_unscaled,
        "size^2 / (size^2 + beam^2) in the mean beam of the windows",
    ),
    ("T_ex", u.K, "excitation temperature"),
    ("N_tot", u.cm**-2, "total column density"),
    ("fwhm", u.km / u.s, "line width, full width at half maximum"),
    ("v_off", u.km / u.s, "velocity relative to vlsr, positive is redshifted, radio convention"),
)


def component_label(species: str, component: int) -> str:
    """Name of a component in columns and legends, such as ``CH3OH;v=0; #1``."""
    return f"{species} #{component}"


def component_labels(results: Sequence[FitResult]) -> list[str]:
    """Names of the components of several fits, row by row; a repeated one gets its fit's number."""
    labels = [component_label(s, c) for r in results for s, c in zip(r.species, r.component, strict=True)]
    fits = [number for number, r in enumerate(results, start=1) for _ in r.species]
    return [x if labels.count(x) == 1 else f"{x} (fit {k})" for x, k in zip(labels, fits, strict=True)]


def flag_names(flags: int) -> str:
    """Names of the bits that are set, joined by ``|``; ``NONE``, as ECSV reads empty text as missing."""
    return "|".join(str(f.name) for f in FLAG_TEXT if f & flags) or "NONE"


def parameters_table(results: Sequence[FitResult], meta: Mapping[str, object] | None = None) -> QTable:
    """One row per component of every fit, with 1 sigma errors, outcome and flags.

    Parameters
    ----------
    results : sequence of FitResult
        In the order of the rows; the column ``fit`` counts them from 1.
    meta : mapping, optional
        Provenance, put into the table's ``meta`` beside the meanings of the flags.

    Returns
    -------
    QTable
    """
    table = QTable()
    table["species"] = np.array([s for r in results for s in r.species], dtype=np.str_)
    table["component"] = np.array([c for r in results for c in r.component], dtype=np.int64)
    for name, unit, description in _VALUES:
        value, error = _value_and_error(results, name)
        table[name] = value * unit
        table[f"{name}_err"] = error * unit
        table[name].info.description = description
        table[f"{name}_err"].info.description = f"1 sigma error of {name}; NaN where held or unknown"
    counts = [len(r.species) for r in results]
    flags = np.array([int(f) for r in results for f in r.flags], dtype=np.int64)
    columns: list[tuple[str, Any, str]] = [
        ("status", [r.status.name for r in results], "how the fit ended"),
        ("detected", _rows(results, "detected"), "whether the component is significant"),
        ("loss", [r.loss for r in results], "value of the minimised loss"),
        ("chi2", [r.chi2 for r in results], "noise-weighted chi2 of the fit over the channels used"),
        ("n_peaks", _rows(results, "n_peaks"), "observed peaks that the component's model matches"),
        ("n_evaluations", [r.n_evaluations for r in results], "model spectra computed for the fit"),
        ("flags", flags, "reasons to read the row with care, bits as in meta['flag_bits']"),
        ("flag_names", [flag_names(int(f)) for f in flags], "names of the bits of flags"),
        ("N_tot_limit", _rows(results, "n_tot_limit") * u.cm**-2, "3 sigma upper limit; NaN where detected"),
        (
            "limit_assumes",
            _assumptions(results),
            "parameters for which N_tot_limit holds; NONE where detected",
        ),
        ("significance", _evidence(results, "significance"), "matched-filter signal over noise"),
        ("present", _evidence(results, "present"), "share of the predicted emission that is in the data"),
        ("tau_max", _rows(results, "tau_max"), "largest optical depth at a line centre inside the windows"),
        ("n_data", [r.n_data for r in results], "channels used"),
        ("n_free", [r.n_free for r in results], "free parameters of the fit"),
        ("optimizer", [r.optimizer for r in results], "method that found the minimum"),
        ("fit", list(range(1, len(results) + 1)), "rows with the same number were fitted together"),
    ]
    for name, values, description in columns:
        of_fit = len(values) == len(results) and name not in _OF_COMPONENT
        table[name] = np.repeat(np.asarray(values), counts) if of_fit else values
        table[name].info.description = description
    table.meta.update(meta or {})
    table.meta["flag_bits"] = {str(f.name): f"{int(f)}: {text}" for f, text in FLAG_TEXT.items()}
    return table


_OF_COMPONENT = frozenset(
    {
        "detected",
        "n_peaks",
        "flags",
        "flag_names",
        "N_tot_limit",
        "limit_assumes",
        "significance",
        "present",
        "tau_max",
    }
)


def _evidence(results: Sequence[FitResult], name: str) -> list[float]:
    """One number of the evidence for every component; NaN where a result carries none."""
    values: list[float] = []
    for r in results:
        given: Any = r.extra.get("evidence") or ({},) * len(r.species)
        values += [float(e.get(name, np.nan)) for e in given]
    return values


def _assumptions(results: Sequence[FitResult]) -> list[str]:
    """The parameters that upper limits assume, in words."""
    words: list[str] = []
    for r in results:
        given: Any = r.extra.get("limit_assumes") or (None,) * len(r.species)
        words += [
            ", ".join(f"{name} {value:.4g}" for name, value in (assumed or {}).items()) or "NONE"
            for assumed in given
        ]
    return words


def _rows(results: Sequence[FitResult], attribute: str) -> NDArray[Any]:
    """Join an attribute with one value per component over all fits."""
    return np.concatenate([np.asarray(getattr(r, attribute)) for r in results])


def _value_and_error(results: Sequence[FitResult], name: str) -> tuple[FloatArray, FloatArray]:
    if name == "source_size":
        return _rows(results, "source_size"), _rows(results, "source_size_error")
    k = ("filling_factor", "T_ex", "N_tot", "fwhm", "v_off").index(name)
    return _rows(results, "components")[:, k], _rows(results, "errors")[:, k]


def spectra_tables(observation: Observation, results: Sequence[FitResult]) -> list[QTable]:
    """One table per window: observed, model, residual, noise and the model of every component.

    The model is the sum of all fits. Species that were fitted alone may claim the same line twice; fit them
    together when they blend.

    Parameters
    ----------
    observation : Observation
    results : sequence of FitResult

    Returns
    -------
    list of QTable
        Columns as in `SPECTRUM_COLUMNS`, then one per component, named as by `component_labels`.
    """
    labels = component_labels(results)
    tables = []
    for i, w in enumerate(observation.windows):
        model = np.sum([r.model[i] for r in results], axis=0)
        values = {
            "frequency": w.nu,
            "sky_frequency": observation.sky_frequency(w.nu),
            "observed": np.where(w.mask, w.intensity, np.nan),
            "model": model,
            "residual": np.where(w.mask, w.intensity - model, np.nan),
            "sigma": w.sigma,
            "continuum": w.t_continuum,
            "used": w.mask.copy(),
        }
        table = QTable()
        for name, (unit, description) in SPECTRUM_COLUMNS.items():
            table[name] = values[name] if unit is None else values[name] * unit
            table[name].info.description = description
        parts = [m[i] for r in results for m in r.component_models]
        for label, part in zip(labels, parts, strict=True):
            table[label] = part * u.K
            table[label].info.description = f"model of {label}"
        table.meta.update(_window_meta(w, observation.v_lsr))
        tables.append(table)
    return tables


def _window_meta(window: Window, v_lsr: float) -> dict[str, object]:
    """Collect what `observation_of` needs beside the columns, and the counts of masked channels."""
    meta: dict[str, object] = {
        "window": window.name,
        "vlsr": float(v_lsr),
        "t_cmb": float(window.t_cmb),
        "smoothing": float(window.smoothing),
    }
    if window.beam is not None:
        sizes = {
            "beam_major": window.beam.major,
            "beam_minor": window.beam.minor,
            "dish": window.beam.diameter,
        }
        meta.update({k: float(v) for k, v in sizes.items() if np.isfinite(v)})
    meta["n_nan"] = int(str(window.notes.get("n_nan", 0)))
    meta["n_masked"] = int(str(window.notes.get("n_masked", int(np.sum(~window.mask)))))
    meta["noise_source"] = str(window.notes.get("noise_source", ""))
    return meta


def observation_of(spectra: Sequence[QTable]) -> Observation:
    """Rebuild the observation that was fitted, to the last bit, from the tables of `spectra_tables`."""
    windows = []
    for table in spectra:
        m = table.meta
        beam = None
        if "dish" in m:
            beam = Beam(diameter=m["dish"])
        elif "beam_major" in m:
            beam = Beam(major=m["beam_major"], minor=m["beam_minor"])
        used = np.array(table["used"], dtype=np.bool_)
        windows.append(
            Window(
                nu=_plain(table["frequency"], u.MHz),
                intensity=np.where(used, _plain(table["observed"], u.K), 0.0),
                sigma=_plain(table["sigma"], u.K),
                mask=used,
                t_continuum=_plain(table["continuum"], u.K),
                beam=beam,
                t_cmb=m["t_cmb"],
                name=m["window"],
                smoothing=m["smoothing"],
                notes={k: m[k] for k in ("n_nan", "n_masked", "noise_source")},
            )
        )
    return Observation(tuple(windows), v_lsr=spectra[0].meta["vlsr"])


def _plain(column: Any, unit: Any) -> FloatArray:
    return np.ascontiguousarray(column.to_value(unit), dtype=np.float64)


def correlation_tables(results: Sequence[FitResult]) -> dict[str, QTable]:
    """Correlation matrix of the free parameters of each fit, under its species joined by `` + ``.

    Each table has a column ``parameter`` and one per free parameter, so that ``table[name]`` is a column of
    the matrix.
    """
    tables = {}
    for number, r in enumerate(results, start=1):
        table = QTable()
        table["parameter"] = np.array(r.free_names, dtype=np.str_)
        for k, name in enumerate(r.free_names):
            table[name] = np.asarray(r.correlation[:, k])
        label = " + ".join(dict.fromkeys(r.species))
        tables[label if label not in tables else f"{label} (fit {number})"] = table
    return tables
