"""The tables of a comparison: conventions, spectra, parameters, lines."""

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from ...xclass import MolfitComponent, molfit_components
from .case import nearest_lines
from .comparison import Compared, Comparison
from .explanation import Step
from .requests import NAMES

__all__ = ["convention_table", "line_table", "parameter_table", "spectrum_tables"]

UNITS: Mapping[str, Any] = {
    "source_size": u.arcsec,
    "T_ex": u.K,
    "N_tot": u.cm**-2,
    "fwhm": u.km / u.s,
    "v_off": u.km / u.s,
}


def convention_table(comparison: Comparison) -> QTable:
    """A row for every change of a convention: those that were made one after the other, and each alone."""
    rows = []
    for c in comparison.compared:
        for begin, explanation in (("ours", c.from_ours), ("documented", c.from_documented)):
            rows += [_row(c, begin, "path", k, step) for k, step in enumerate(explanation.path, start=1)]
            rows += [_row(c, begin, "alone", 0, step) for step in explanation.alone]
            rows += [_row(c, begin, "from the end", 0, step) for step in explanation.around]
    table = QTable()
    for name, unit, description in _CONVENTION_COLUMNS:
        values = np.array([row[name] for row in rows])
        table[name] = values if unit is None else values * unit
        table[name].info.description = description
    return table


_CONVENTION_COLUMNS = (
    ("code", None, "whose spectra"),
    ("start", None, "conventions that the search began with"),
    (
        "kind",
        None,
        "path: one change after the other; alone: from the start; from the end: from the end of the path",
    ),
    ("step", None, "place in the path, from 1"),
    ("convention", None, "what is changed"),
    ("setting", None, "to what"),
    ("removed", None, "part of the rms difference before the change that it removes"),
    ("rms", u.K, "rms difference after it"),
    ("largest", u.K, "largest difference after it"),
    ("meaning", None, "the setting in words"),
)


def _row(compared: Compared, begin: str, kind: str, number: int, step: Step) -> dict[str, Any]:
    return {
        "code": compared.name,
        "start": begin,
        "kind": kind,
        "step": number,
        "convention": step.name,
        "setting": step.setting,
        "removed": step.removed,
        "rms": step.difference.rms,
        "largest": step.difference.largest,
        "meaning": step.meaning,
    }


def spectrum_tables(comparison: Comparison) -> list[QTable]:
    """Spectra of every band: ours under two sets of conventions, those of the others, and the data if known."""
    tables = []
    for k, band in enumerate(comparison.case.bands):
        table = QTable()
        table["sky_frequency"] = band.sky * u.MHz
        if comparison.job.spectra and comparison.job.spectra[k].data is not None:
            table["data"] = comparison.job.spectra[k].data * u.K
            table["data"].info.description = "what the job fitted"
        table["ours"] = comparison.ours[k] * u.K
        table["ours"].info.description = "our model with our own conventions"
        table["ours_documented"] = comparison.documented[k] * u.K
        table["ours_documented"].info.description = "our model with the documented conventions of XCLASS"
        for c in comparison.compared:
            table[c.name] = c.spectra[k] * u.K
            table[c.name].info.description = c.origin
        table.meta.update({"band": band.name, "v_lsr": band.v_lsr})
        tables.append(table)
    return tables


def parameter_table(comparison: Comparison) -> QTable:
    """A row for every parameter: before the fit of the job, after it, and in our fit of the same data."""
    rows = []
    job = comparison.job
    before = _by_place([] if job.molfit_before is None else molfit_components(job.molfit_before))
    resolved = dict(zip(job.molfit.molecules, _resolved(comparison), strict=True))
    of_job = _by_place(molfit_components(job.molfit))
    places = _places(comparison, of_job, resolved)
    for (species, number), component in of_job.items():
        old = before.get((species, number))
        for theirs, ours in NAMES.items():
            value = getattr(component, theirs)
            first = None if old is None else getattr(old, theirs)
            fitted, error = _our_fit(comparison, resolved[species], places[species, number], ours)
            rows.append(
                {
                    "species": species,
                    "component": number,
                    "parameter": ours,
                    "unit": str(UNITS[ours]),
                    "before": np.nan if first is None else first.value,
                    "job": np.nan if value is None else value.value,
                    "fitted": value is not None
                    and bool(value.fit if old is None else first is not None and first.fit),
                    "our_component": places[species, number],
                    "ours": fitted,
                    "ours_err": error,
                    "difference": np.nan if value is None else fitted - value.value,
                    "sigmas": np.nan if value is None else (fitted - value.value) / error,
                }
            )
    table = QTable(rows=rows)
    for name, text in _PARAMETER_COLUMNS.items():
        table[name].info.description = text
    return table


_PARAMETER_COLUMNS = {
    "before": "value in the molfit that the job began with; NaN if it is not there",
    "job": "value in the molfit of the job's result",
    "fitted": "whether the job has fitted it",
    "our_component": "number of the component of our fit that is nearest in N_tot, T_ex and velocity",
    "ours": "our fit of the same data; NaN if none was made, or nothing was detected",
    "ours_err": "its 1 sigma error; NaN where it was held",
    "difference": "ours minus job",
    "sigmas": "difference over our error",
}


def line_table(comparison: Comparison) -> QTable | None:
    """Lines in the job's table of transitions beside those of our catalogue; None if the job has no table."""
    job = comparison.job
    if not job.transitions:
        return None
    rows = []
    names = dict(zip(job.molfit.molecules, _resolved(comparison), strict=True))
    taken = set()
    for name, lines in comparison.case.lines.items():
        own = [t for t in job.transitions if names.get(t.molecule, t.molecule) == name]
        for k, other in nearest_lines(lines.apart, own):
            ours = lines.apart
            taken.add(id(other))
            rows.append(
                _line(
                    other.molecule,
                    other,
                    (ours.frequency[k], ours.einstein_a[k], ours.g_upper[k], ours.e_lower[k]),
                )
            )
    for other in job.transitions:
        if id(other) not in taken:
            rows.append(_line(other.molecule, other, (np.nan,) * 4))
    table = QTable(rows=rows)
    for name in ("frequency", "frequency_difference"):
        table[name] = table[name] * u.MHz
    table["e_lower_difference"] = table["e_lower_difference"] * u.K
    table["frequency"].info.description = "in the job's table"
    table[
        "frequency_difference"
    ].info.description = "ours minus job; NaN where our catalogue has no such line"
    table["a_ratio"].info.description = "Einstein A, ours over job"
    table["g_ratio"].info.description = "degeneracy of the upper state, ours over job"
    table["e_lower_difference"].info.description = "energy of the lower state, ours minus job"
    return table


def _line(species: str, other: Any, ours: tuple[float, float, float, float]) -> dict[str, Any]:
    nu, a, g, e = (float(v) for v in ours)
    return {
        "species": species,
        "frequency": other.frequency,
        "frequency_difference": nu - other.frequency,
        "a_ratio": a / other.einstein_a if other.einstein_a > 0 else np.nan,
        "g_ratio": g / other.upper_degeneracy,
        "e_lower_difference": e - other.lower_energy,
    }


def _by_place(components: list[MolfitComponent]) -> dict[tuple[str, int], MolfitComponent]:
    """Components by molecule and number within it, from 1."""
    found: dict[tuple[str, int], MolfitComponent] = {}
    for component in components:
        number = 1 + sum(species == component.molecule for species, _ in found)
        found[component.molecule, number] = component
    return found


def _resolved(comparison: Comparison) -> list[str]:
    """Catalogue names of the molecules of the job; those that are not in it keep their names."""
    known = comparison.case.names
    return [known.get(s, s) for s in comparison.job.molfit.molecules]


def _places(
    comparison: Comparison, of_job: Mapping[tuple[str, int], MolfitComponent], resolved: Mapping[str, str]
) -> dict[tuple[str, int], int]:
    """Number of our component that stands for each of the job: fits may find them in another order."""
    found = {place: place[1] for place in of_job}
    for species, full in resolved.items():
        own = [place for place in of_job if place[0] == species]
        ours = [_our_values(comparison, full, number) for _, number in own]
        if len(own) > _MOST_ORDERS or any(v is None for v in ours):
            continue
        cost = np.array([[_unlike(of_job[place], v) for v in ours if v is not None] for place in own])
        best = min(
            permutations(range(len(own))), key=lambda order: sum(cost[i, k] for i, k in enumerate(order))
        )
        found |= {place: k + 1 for place, k in zip(own, best, strict=True)}
    return found


_MOST_ORDERS = 7
"""Components of a species of which all orders are tried."""


def _unlike(component: MolfitComponent, ours: Mapping[str, float]) -> float:
    """How far two components are apart: velocity in line widths, temperature and column density in factors of e."""
    return (
        abs(component.offset.value - ours["v_off"]) / component.width.value
        + abs(float(np.log(component.temperature.value / ours["T_ex"])))
        + abs(float(np.log(component.column.value / ours["N_tot"])))
    )


def _our_values(comparison: Comparison, species: str, number: int) -> dict[str, float] | None:
    """Parameters of a component of our fit; None where it has not been detected."""
    values = {name: _our_fit(comparison, species, number, name)[0] for name in ("v_off", "T_ex", "N_tot")}
    return values if all(np.isfinite(v) for v in values.values()) else None


def _our_fit(comparison: Comparison, species: str, number: int, name: str) -> tuple[float, float]:
    if comparison.fit is None:
        return np.nan, np.nan
    for row in comparison.fit["parameters"]:
        if str(row["species"]) == species and int(row["component"]) == number:
            return float(row[name].value), float(row[f"{name}_err"].value)
    return np.nan, np.nan
