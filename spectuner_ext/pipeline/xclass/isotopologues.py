"""Isotopologues that follow their masters as XCLASS ties them: all parameters equal, N divided by a ratio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, SpeciesError
from ...lte.parameters import BOUNDS, PARAMETERS
from ...spectroscopy import LineDatabase
from ...xclass import IsoRatio, new_iso_ratios, read_iso_ratios, resolve_isotopologues

__all__ = ["Follower", "TiedFit", "followers", "ratios_of", "tied"]


@dataclass(frozen=True, slots=True)
class Follower:
    """An isotopologue of a fit.

    Parameters
    ----------
    name : str
        In the catalogue.
    master : str
        In the catalogue.
    ratio : float
        ``N(master) / N(isotopologue)``.
    lower, upper : float or None
        Bounds of the ratio, if it is fitted.
    """

    name: str
    master: str
    ratio: float
    lower: float | None = None
    upper: float | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether the ratio is a free parameter."""
        return self.lower is not None and self.upper is not None and self.lower < self.upper


@dataclass(frozen=True, slots=True, eq=False)
class TiedFit:
    """A group of species with the isotopologues that follow some of them.

    Parameters
    ----------
    species : tuple of str
        As typed, isotopologues behind the others.
    requests : mapping
        ``components``, ``bounds``, ``fixed``, ``initial`` with entries for the isotopologues.
    ties : tuple of mapping
        As `~spectuner_ext.pipeline.spectrum.fit_spectrum` takes them.
    """

    species: tuple[str, ...]
    requests: Mapping[str, Any]
    ties: tuple[Mapping[str, Any], ...]


def ratios_of(given: str | Path | Mapping[str, Sequence[Any]]) -> tuple[IsoRatio, ...]:
    """Ratios of a file, or of a mapping ``{isotopologue: [master, ratio]}``, perhaps with bounds of the ratio behind.

    Raises
    ------
    InputError
    """
    if not isinstance(given, Mapping):
        try:
            return read_iso_ratios(given).ratios
        except InputError as error:
            raise InputError(f"isoratio: {str(error).removeprefix('iso_ratios: ')}") from error
    rows = []
    for name, value in given.items():
        is_row = isinstance(value, list | tuple) and len(value) in (2, 4)
        numbers = value[1:] if is_row else ()
        if not numbers or any(
            isinstance(v, bool) or not isinstance(v, int | float) or v <= 0 for v in numbers
        ):
            raise InputError(
                f"isoratio: {name}: must be [master, ratio] or [master, ratio, lower, upper], ratios above zero, got "
                f"{value!r}"
            )
        rows.append(IsoRatio(str(name), str(value[0]), *(float(v) for v in numbers)))
    return tuple(rows)


def followers(
    ratios: Sequence[IsoRatio], species: Sequence[str], listed: Sequence[str], database: LineDatabase
) -> tuple[list[Follower], list[str]]:
    """Isotopologues that follow one of the fitted species, and remarks on those that are left out.

    Parameters
    ----------
    ratios : sequence of IsoRatio
    species : sequence of str
        Catalogue names of the fitted species.
    listed : sequence of str
        Those of them that may be isotopologues of the table themselves, and then follow.
    database : LineDatabase

    Raises
    ------
    InputError
        If masters form a circle, or a species with an N_tot of its own is an isotopologue of the table.
    """
    rows: list[IsoRatio] = []
    remarks: list[str] = []
    for item in ratios:
        try:
            names = database.resolve(item.isotopologue), database.resolve(item.master)
        except SpeciesError as error:
            remarks.append(f"isotopologue {item.isotopologue} is left out: {error}")
            continue
        rows.append(IsoRatio(*names, item.ratio, item.lower, item.upper))
    own = {row.isotopologue for row in rows}
    masters = [s for s in species if s not in own or s not in listed]
    try:
        found = resolve_isotopologues(new_iso_ratios(rows, name="the list of ratios"), masters)
    except InputError as error:
        raise InputError(f"isoratio: {str(error).removeprefix('iso_ratios: ')}") from error
    lost = [s for s in species if s in own and s in found.unused]
    if lost:
        raise InputError(
            f"isoratio: {', '.join(lost)} is fitted without its master; put both into one inner list of species, or "
            f"leave the isotopologue out of species: it comes with its master"
        )
    members = [Follower(t.isotopologue, t.source, t.ratio, t.lower, t.upper) for t in found.ties]
    return members, remarks


def tied(
    group: Sequence[str],
    requests: Mapping[str, Any],
    names: Mapping[str, str],
    wanted: Sequence[Follower],
) -> TiedFit:
    """Put the isotopologues of the masters in a group into it.

    All five parameters of every component follow those of the master's component of the same number, N_tot divided by
    the ratio. A ratio with bounds is fitted: N_tot of the isotopologue is then free between what the bounds of the
    master and of the ratio allow.

    Parameters
    ----------
    group : sequence of str
        Species as typed.
    requests : mapping
        ``components``, ``bounds``, ``fixed``, ``initial`` of the group.
    names : mapping
        Species as typed to their names in the catalogue.
    wanted : sequence of Follower
    """
    typed = {names[s]: s for s in group}
    members = [f for f in wanted if f.master in typed]
    species = [*group, *(f.name for f in members if f.name not in typed)]
    said: dict[str, Any] = dict(requests)
    ties: list[Mapping[str, Any]] = []
    for follower in members:
        master, own = typed[follower.master], typed.get(follower.name, follower.name)
        n = _count(said["components"], master, follower.master)
        said["components"] = {**_counts(said["components"], group, names), own: n}
        for key in ("bounds", "fixed", "initial"):
            if isinstance(said[key], str) or (said[key] is not None and not isinstance(said[key], Mapping)):
                continue  # draws of a network, or the table of an earlier result
            values = _of_master(said[key] or {}, master, follower.master)
            said[key] = {
                **_without_star(said[key] or {}, group, names),
                own: _followed(values, key, follower, said),
            }
        said["bounds"] = {**said["bounds"], own: _room(said, master, follower, own, n)}
        ties += _ties(master, own, follower, n)
    return TiedFit(tuple(species), said, tuple(ties))


def _ties(master: str, own: str, follower: Follower, n: int) -> list[dict[str, Any]]:
    result = []
    for number in range(1, n + 1):
        for parameter in PARAMETERS:
            if parameter == "N_tot" and follower.is_fitted:
                continue
            tie: dict[str, Any] = {"parameter": parameter, "species": [master, own]}
            if parameter == "N_tot":
                tie["ratio"] = [1.0, 1.0 / follower.ratio]
            if number > 1:
                tie["component"] = number
            result.append(tie)
    return result


def _count(components: Any, typed: str, full: str) -> int:
    return int(
        components.get(typed, components.get(full, 1)) if isinstance(components, Mapping) else components
    )


def _counts(components: Any, group: Sequence[str], names: Mapping[str, str]) -> dict[str, int]:
    given = dict(components) if isinstance(components, Mapping) else {}
    return {**{s: _count(components, s, names[s]) for s in group}, **given}


def _of_master(said: Mapping[str, Any], typed: str, full: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("*", full, typed):
        found |= said.get(key, {})
    return found


def _without_star(said: Mapping[str, Any], group: Sequence[str], names: Mapping[str, str]) -> dict[str, Any]:
    """The same with what holds for all species said of each: isotopologues follow what is held for their masters."""
    if "*" not in said:
        return dict(said)
    spread = {s: _of_master(said, s, names[s]) for s in group}
    return {**{k: v for k, v in said.items() if k != "*"}, **spread}


def _followed(
    values: Mapping[str, Any], key: str, follower: Follower, said: Mapping[str, Any]
) -> dict[str, Any]:
    """What a master's values are for the isotopologue; what is held follows by the tie."""
    if key == "fixed":
        return {}
    return {
        name: _divided(value, follower.ratio) if name == "N_tot" else value for name, value in values.items()
    }


def _divided(value: Any, ratio: float) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_divided(v, ratio) for v in value)
    return None if value is None else value / ratio


def _room(said: Mapping[str, Any], master: str, follower: Follower, own: str, n: int) -> dict[str, Any]:
    """Bounds of an isotopologue: the master's; wide enough for what is held there, so that its lines are found.

    Those of tied parameters decide only which lines can reach the windows, and where the fit of the isotopologue
    alone may begin.
    """
    bounds = dict(said["bounds"].get(own) or {})
    held = _of_master(said["fixed"] or {}, master, follower.master)
    of_master = _of_master(said["bounds"], master, follower.master)
    for name in BOUNDS:
        pairs = _per_component(bounds.get(name, BOUNDS[name]), n)
        factor = follower.ratio if name == "N_tot" else 1.0
        values = [None if v is None else v / factor for v in _per_component(held.get(name), n)]
        if name == "N_tot" and follower.is_fitted:
            assert follower.lower is not None
            assert follower.upper is not None
            room = _per_component(of_master.get(name, BOUNDS[name]), n)
            room = [p if v is None else (v * factor, v * factor) for p, v in zip(room, values, strict=True)]
            bounds[name] = [(low / follower.upper, high / follower.lower) for low, high in room]
        elif any(v is not None for v in values):
            bounds[name] = [
                p if v is None else (min(p[0], v), max(p[1], v)) for p, v in zip(pairs, values, strict=True)
            ]
        elif name == "N_tot" and name not in bounds:
            bounds[name] = [(BOUNDS[name][0] / max(factor, 1.0), BOUNDS[name][1])] * n
    return bounds


def _per_component(value: Any, n: int) -> list[Any]:
    """One entry for each component; a pair of numbers, or one number, is for all of them."""
    is_list = isinstance(value, list) or (isinstance(value, tuple) and isinstance(value[0], list | tuple))
    return list(value) if is_list else [value] * n
