"""A call of `termanalysis_rl` as JSON, and where its data and settings come from."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from spectuner_ext.terms.system import TermSystem

from .checks import absolute
from .checks_termanalysis import PARTS, REWARDS, SCORES
from .json_values import NotJSONError, created, is_unset, jsonlike, stamp
from .parameters_termanalysis import SETTINGS
from .preparation_termanalysis import PreparedAnalysis

SHIPPED = {"reward": REWARDS, "weights": SCORES}
"""Parameters that name a file unless they name what is shipped."""

__all__ = ["call_record", "provenance", "settings_record"]


def call_record(given: Mapping[str, Any], defaults: Mapping[str, Any], kept: str) -> dict[str, Any]:
    """JSON-like parameters with which the task repeats a call, number for number.

    Parameters
    ----------
    given : mapping
        Parameters as the user gave them.
    defaults : mapping
    kept : str
        FITS product with the system that the run started from, which stands for data passed as objects; '' for none.
    """
    call = dict(defaults)
    call.update({name: _plain(name, value) for name, value in given.items() if not is_unset(value)})
    call["progress"] = None
    call["resume"] = False
    try:
        call["infile"] = _source(given["infile"])
    except NotJSONError:
        call["infile"] = {"system": kept} if kept else f"<{type(given['infile']).__name__}>"
    return call


def _plain(name: str, value: Any) -> Any:
    if name in ("infile", "progress"):
        return None
    if name in ("outfile", "logfile", "config") or (name in SHIPPED and value not in SHIPPED[name]):
        return absolute(value)
    if name in ("accept", "reject") and isinstance(value, set | frozenset):
        return [jsonlike(item) for item in sorted(value, key=str)]
    return jsonlike(value)


def _source(value: Any) -> Any:
    """Paths of the input, absolute."""
    if isinstance(value, str | os.PathLike):
        return absolute(value)
    if isinstance(value, Mapping):
        return {str(key): _part(str(key), part) for key, part in value.items()}
    raise NotJSONError(f"a {type(value).__name__} is kept in the FITS product")


def _part(key: str, part: Any) -> Any:
    if key not in PARTS:
        return jsonlike(part)
    if isinstance(part, str | os.PathLike):
        return absolute(part)
    raise NotJSONError(f"a {type(part).__name__} is kept in the FITS product")


def provenance(prepared: PreparedAnalysis, call: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, input files, settings with their origin, and what was known at the start, JSON-like."""
    return {
        **created(("numpy", "scipy", "numba", "astropy")),
        "agent": call["agent"],
        "seed": call["seed"],
        "input": [stamp(file) for file in prepared.files if Path(file).is_file()],
        "settings": settings_record(prepared),
        "by_hand": {
            name: sorted(value) if isinstance(value, frozenset) else jsonlike(value)
            for name, value in asdict(prepared.request.by_hand).items()
        },
        "start": start_record(prepared.system),
        "notes": list(prepared.notes),
    }


def settings_record(prepared: PreparedAnalysis) -> dict[str, dict[str, Any]]:
    """Value and origin of every parameter that a call, a configuration or a default may give.

    Those that are for one agent alone are among them where they are no defaults.
    """
    values: dict[str, Any] = {name: getattr(prepared.settings, field) for name, field in SETTINGS.items()}
    values["fixlevels"] = not values["fixlevels"]
    values["spectralrange"] = [
        float(x) if np.isfinite(x) else None for x in prepared.settings.spectral_range
    ]  # JSON has no infinity
    values["nlevels"] = prepared.request.n_levels
    shared = {
        name: {"value": value, "origin": prepared.origins.get(name, "default")}
        for name, value in values.items()
    }
    return {**shared, **{name: dict(told) for name, told in prepared.options.items()}}


def start_record(system: TermSystem) -> dict[str, Any]:
    """Name and numbers of what a run started from."""
    return {
        "name": system.name,
        "levels": len(system.levels),
        "transitions": len(system.transitions),
        "lines": len(system.lines),
        "known_levels": len(system.known),
        "known_lines": len(system.classified),
    }
