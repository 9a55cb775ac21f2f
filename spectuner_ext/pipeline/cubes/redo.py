"""Chosen pixels fitted again, on top of what a store or maps hold; and what was different when they were."""

import json
import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .execution import Run
from .identity import read_settings
from .layout import Layout, lay_out
from .maps import CubeMaps
from .outcome import Outcome
from .plan import Plan
from .run import redo_pixels, redone_of, stored_maps
from .store import MemoryStore, Store, ZarrStore

__all__ = ["redone"]

BoolArray = NDArray[np.bool_]

_SAME = {
    "components": "components",
    "free": "free parameters",
    "loss": "loss",
    "fixed": "held values",
    "held": "maps of held values",
    "ties": "ties",
}
"""Settings without which numbers of two fits do not mean the same, in words."""

_OF_THE_STORE = ("shape", "block")


def redone(
    plan: Plan,
    wanted: BoolArray,
    path: str | os.PathLike[str] | None,
    onto: CubeMaps | None,
    *,
    replace: bool,
    note: Mapping[str, Any] | None,
    how: Mapping[str, Any],
) -> tuple[Outcome, Run, dict[str, Any], list[dict[str, Any]]]:
    """Fit chosen pixels again.

    Parameters
    ----------
    plan : Plan
    wanted : array of bool, (ny, nx)
    path : path, optional
        Store of the earlier run.
    onto : CubeMaps, optional
        Maps of the earlier run where there is no store.
    replace : bool
        Take the new fit even if its loss is higher.
    note : mapping, optional
        JSON-like, kept with what was different.
    how : mapping
        Workers, client and progress.

    Returns
    -------
    outcome : Outcome
    run : Run
    first : dict
        Settings of the run that the maps began with.
    history : list of dict
        Of every time that pixels were fitted again, this one last: ``n_pixel``, ``replace``, ``changes`` (settings
        that were others than in the first run, bounds of the fit vector included) and ``note``.

    Raises
    ------
    InputError
        If the maps are of another cube, or their numbers mean something else.
    """
    cube, work, ours = plan.cube, plan.work, plan.settings
    before: Outcome | None = None
    history: list[dict[str, Any]] = []
    if path is not None:
        said = read_settings(path)
        first = {k: v for k, v in said["settings"].items() if k not in _OF_THE_STORE}
        _refuse_others("store", path, first, said["fingerprints"]["cube"] == plan.fingerprints["cube"], plan)
        store: Store = ZarrStore.open_existing(path, work.sizes)
        layout = Layout(tuple(said["settings"]["shape"]), tuple(said["settings"]["block"]))
    else:
        assert onto is not None  # checked with the arguments
        first = _settings_of(onto, ours)
        _refuse_others("onto", "the maps", first, onto.shape == cube.shape, plan)
        store, layout, before = MemoryStore(), lay_out(cube.shape, cube.frame.n_channel), onto.outcome
        history = list(onto.meta.get("redone", []))
    facts = {
        "n_pixel": int(np.count_nonzero(wanted)),
        "replace": bool(replace),
        "changes": _changes(first, ours),
        "note": dict(note or {}),
    }
    with closing(store):
        history += redone_of(store)
        if before is None:
            before = stored_maps(cube.region, work.sizes, layout, store)
        run = redo_pixels(
            cube,
            plan.fitter,
            before,
            wanted,
            layout,
            store,
            starts=plan.given,
            replace=replace,
            facts=facts,
            **how,
        )
    return run.maps, run, first, [*history, facts]


def _settings_of(maps: CubeMaps, otherwise: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that maps were fitted with."""
    return {
        **otherwise,
        **maps.meta.get("settings", {}),
        "components": [list(label) for label in maps.components],
        "free": list(maps.free),
        "lower": maps.lower.tolist(),
        "upper": maps.upper.tolist(),
    }


def _changes(first: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that are others than in the first run; that any number of peaks will do goes without saying."""
    of_peaks = ("min_peaks", "global_factor", "local_factor")

    def known(settings: Mapping[str, Any]) -> dict[str, Any]:
        selection = dict(settings.get("selection", {}))
        return {**settings, "selection": {k: v for k, v in selection.items() if k not in of_peaks}}

    before, now = known(first), known(ours)
    return {k: v for k, v in now.items() if _text(v) != _text(before.get(k))}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _refuse_others(key: str, what: object, settings: Mapping[str, Any], same_cube: bool, plan: Plan) -> None:
    """Stop where the numbers of two fits would not mean the same."""
    if not same_cube:
        raise InputError(
            f"{key}: {what} is of another cube, or of another selection from it; redo needs the data of the first run"
        )
    for name, words in _SAME.items():
        if _text(settings.get(name)) != _text(plan.settings[name]):
            raise InputError(
                f"{key}: {what} has other {words} than this call: {settings.get(name)}, not {plan.settings[name]}; "
                "redo needs the same"
            )
