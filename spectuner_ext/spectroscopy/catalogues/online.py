"""Reader of the CDMS and JPL servers through astroquery: the one module here that uses the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CatalogueError, SpeciesError, require
from .. import species as species_names
from ..transitions import Transitions
from . import cdms_jpl
from .partition_tables import QTable, read_tables

__all__ = ["query", "read"]


def query(catalogue: str, tag: int, name: str, f_min: float, f_max: float) -> Any:
    """Table that the server gives for one tag between `f_min` and `f_max` [MHz]."""
    from astropy import units as u

    module = require("astroquery.linelists.cdms" if catalogue == "CDMS" else "astroquery.jplspec")
    if catalogue == "CDMS":
        return module.CDMS.query_lines(f_min * u.MHz, f_max * u.MHz, molecule=f"{tag:06d} {name}")
    return module.JPLSpec.query_lines(f_min * u.MHz, f_max * u.MHz, molecule=tag, parse_name_locally=False)


def tag_of(catalogue: str, species: str) -> QTable:
    """Tag of `species` in ``CDMS`` or ``JPL``.

    Raises
    ------
    SpeciesError
        When none or several fit.
    """
    tables = [t for t in read_tables().values() if t.catalogue == catalogue]
    text = str(species).strip()
    if text.lstrip("-0").isdigit():
        found = [t for t in tables if t.tag == int(text.lstrip("-0"))]
    else:
        wanted = species_names.parse(text)
        found = [t for t in tables if _fits(t.name, wanted)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{t.tag} ({t.name})" for t in found)
    if found:
        raise SpeciesError(f"{species!r} is ambiguous in {catalogue}: {listed}; give a tag")
    near = ", ".join(species_names.closest(text, [t.name for t in tables]))
    raise SpeciesError(f"{catalogue} has no entry {species!r}; the closest are {near}")


def _fits(name: str, wanted: species_names.Species) -> bool:
    try:
        found = species_names.parse(name)
    except SpeciesError:
        return False
    return (found.atoms, found.charge, found.state) == (wanted.atoms, wanted.charge, wanted.state) and (
        wanted.prefix in ("", found.prefix)
    )


def read(
    source: str | Path | None,
    species: str,
    f_min: float,
    f_max: float,
    *,
    fetch: Callable[[str, int, str, float, float], Any] = query,
) -> Transitions:
    """Lines of `species` from a server.

    Parameters
    ----------
    source : {"cdms", "jpl"} or None
        Which server; None is CDMS.
    species : str
        Name or tag.
    f_min, f_max : float, in MHz
    fetch : callable
        What sends the query; `query` by default.

    Raises
    ------
    SpeciesError
        When the catalogue has no such entry.
    CatalogueError
        When the server cannot be reached or its answer cannot be read.
    """
    catalogue = str(source or "cdms").upper()
    if catalogue not in ("CDMS", "JPL"):
        raise CatalogueError(f"unknown server {source!r}; choose from cdms, jpl")
    table = tag_of(catalogue, species)
    try:
        answer = fetch(catalogue, table.tag, table.name, f_min, f_max)
    except ImportError:
        raise
    except Exception as error:
        raise CatalogueError(
            f"{catalogue} gave no lines for {table.tag} {table.name} ({type(error).__name__}: {error}); "
            "check the network, or use the embedded database: LineDatabase.open()"
        ) from error
    return cdms_jpl.transitions(species, _lines(answer, table))


def _lines(answer: Any, table: QTable) -> list[cdms_jpl.CatLine]:
    missing = {"FREQ", "ERR", "LGINT", "ELO", "GUP"} - set(answer.colnames)
    if missing:
        raise CatalogueError(
            f"the answer of {table.catalogue} lacks the columns {', '.join(sorted(missing))}; "
            "its format changed, update astroquery"
        )
    out = []
    for row in answer:
        measured = bool(row["Lab"]) if "Lab" in answer.colnames else False
        upper, lower = _labels(row, answer.colnames)
        out.append(
            cdms_jpl.CatLine(
                float(row["FREQ"]),
                float(row["ERR"]),
                float(row["LGINT"]),
                float(row["ELO"]),
                float(row["GUP"]),
                table.tag,
                measured,
                upper,
                lower,
                _has(row, answer.colnames, "F1u"),
            )
        )
    return out


def _has(row: Any, names: list[str], column: str) -> bool:
    return column in names and not np.ma.is_masked(row[column]) and int(row[column]) > -999999


def _labels(row: Any, names: list[str]) -> tuple[str, str]:
    labels = []
    for side, joined in (("u", "QN'"), ("l", 'QN"')):
        if joined in names:
            labels.append(" ".join(str(row[joined]).split()))
        else:
            columns = [f"{q}{side}" for q in ("J", "K", "v", "F1", "F2", "F3")]
            labels.append(" ".join(str(int(row[c])) for c in columns if _has(row, names, c)))
    return labels[0], labels[1]
