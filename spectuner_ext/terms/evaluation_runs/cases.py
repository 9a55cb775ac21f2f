"""Cases that agents are compared on: published folders, the same with fewer known levels, and simulated ions.

What an agent may see and what it is scored with are got by two calls, so that the key is not even read before a run
has ended.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ... import config
from ...errors import InputError
from ..evaluation import Key, key_of_truth, read_key
from ..readers.case_folder import Case, read_case
from ..settings import AnalysisSettings
from ..simulate import SimulatedIon, simulate_ion
from ..system import KnownLevels, TermSystem

__all__ = [
    "FolderCase",
    "IonCase",
    "Material",
    "case_from_plain",
    "fingerprint",
    "folder_cases",
    "plain_case",
    "reduced_start",
    "simulated_cases",
]

ION_SIZES = (120, 600)
"""Fewest and most levels of the ions that `simulated_cases` draws."""

FEW_KNOWN, FEWEST_KNOWN = (0.2, 0.6), 8
"""Share of the usual start levels that an ion with few of them keeps, and the least number."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What an agent may see.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    limit : int or None
        Levels to determine at most: half of the steps of an episode, where the case states these.
    config : Path or None
        The ``config.yaml`` of the case, which may hold settings of agents too.
    """

    system: TermSystem
    settings: AnalysisSettings
    limit: int | None
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class FolderCase:
    """A case in the published format with its key, whole or with a part of its known levels.

    Parameters
    ----------
    folder : str
        Of the five CSV files, ``config.yaml`` and the key.
    keep : int
        Known levels that are kept, drawn at random; 0 keeps all.
    draw : int
        Number of the draw.
    """

    folder: str
    keep: int = 0
    draw: int = 0

    @property
    def name(self) -> str:
        """Such as ``nd3`` or ``nd3_keep20_draw3``."""
        return f"{self.group}_draw{self.draw}" if self.keep else self.group

    @property
    def group(self) -> str:
        """Name without the draw."""
        return Path(self.folder).name + (f"_keep{self.keep}" if self.keep else "")

    def read(self) -> Material:
        """What an agent may see; the key stays closed."""
        case = read_case(self.folder)
        system = reduced_start(case.system, self.keep, self.draw) if self.keep else case.system
        limit = case.settings.horizon // 2 if "horizon" in case.given else None
        return Material(system, case.settings, limit, case.files.get("config"))

    def key(self) -> Key:
        """What runs are scored with.

        Raises
        ------
        InputError
            If the folder has none.
        """
        return read_key(_key_path(read_case(self.folder)))

    def key_digest(self) -> str:
        """Hash of the file of the key, by which a changed key is noticed."""
        return hashlib.sha256(_key_path(read_case(self.folder)).read_bytes()).hexdigest()


def _key_path(case: Case) -> Path:
    if case.key is None:
        raise InputError(
            f"cases: {case.system.name} has no key to score with; name one in config.yaml (all_known_levels) or put "
            "all_known_levels.csv into the folder"
        )
    return case.key


@dataclass(frozen=True, slots=True)
class IonCase:
    """A simulated ion, whose truth is its key.

    Parameters
    ----------
    n_levels : int
    n_known : int or None
        Levels known at the start; None for as many as usual.
    seed : int
    """

    n_levels: int
    n_known: int | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """Such as ``ion300_seed5`` or ``ion300_known12_seed5``."""
        known = "" if self.n_known is None else f"_known{self.n_known}"
        return f"ion{self.n_levels}{known}_seed{self.seed}"

    @property
    def group(self) -> str:
        """``simulated``, or ``simulated_few_known``."""
        return "simulated" if self.n_known is None else "simulated_few_known"

    def _ion(self) -> SimulatedIon:
        return simulate_ion(n_levels=self.n_levels, n_known=self.n_known, seed=self.seed)

    def read(self) -> Material:
        """What an agent may see."""
        ion = self._ion()
        return Material(ion.system, ion.settings, ion.settings.horizon // 2)

    def key(self) -> Key:
        """True energies of all levels."""
        return key_of_truth(self._ion().truth_energy)

    def key_digest(self) -> str:
        """Hash of the true energies."""
        return hashlib.sha256(np.ascontiguousarray(self._ion().truth_energy).tobytes()).hexdigest()


KINDS: dict[str, type[FolderCase] | type[IonCase]] = {"folder": FolderCase, "ion": IonCase}


def plain_case(case: FolderCase | IonCase) -> dict[str, Any]:
    """A case in types that JSON knows."""
    kind = next(name for name, kind in KINDS.items() if isinstance(case, kind))
    return {"kind": kind, **config.to_plain(case)}


def case_from_plain(plain: Mapping[str, Any]) -> FolderCase | IonCase:
    """Inverse of `plain_case`."""
    kind = KINDS[plain["kind"]]
    return config.from_plain(kind, {name: value for name, value in plain.items() if name != "kind"})


def fingerprint(case: FolderCase | IonCase) -> str:
    """Hash of all that a run on the case and its score depend on."""
    material = case.read()
    system = material.system
    digest = hashlib.sha256()
    for part in (system.levels, system.transitions, system.lines, system.known, system.classified):
        for field in fields(part):
            value = getattr(part, field.name)
            if isinstance(value, np.ndarray) and value.dtype.kind in "fib":
                digest.update(field.name.encode())
                digest.update(np.ascontiguousarray(value).tobytes())
    digest.update("\n".join(map(str, system.levels.label)).encode())
    digest.update(repr((material.settings, material.limit)).encode())
    if material.config is not None:
        digest.update(material.config.read_bytes())
    digest.update(case.key_digest().encode())
    return digest.hexdigest()


def folder_cases(
    folders: Iterable[str | Path], keep: Sequence[int] = (0,), draws: int = 1
) -> list[FolderCase]:
    """Cases of folders, from whole and from reduced starts.

    Parameters
    ----------
    folders : paths
    keep : sequence of int
        Numbers of known levels to start from; 0 for all.
    draws : int
        Random draws of each number.

    Raises
    ------
    InputError
        If a folder has no key, or a number cannot be kept.
    """
    if draws < 1:
        raise InputError(f"draws: needs at least 1 draw of known levels, got {draws}")
    cases = []
    for folder in folders:
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise InputError(f"cases: there is no folder {path}; give folders of published cases")
        case = read_case(path)
        _key_path(case)
        for number in keep:
            if number < 0 or number == 1 or number > len(case.system.known):
                raise InputError(
                    f"keep: cannot keep {number} of the {len(case.system.known)} levels known in {path.name}; give "
                    "numbers from 2 to that, or 0 for all"
                )
            cases += [FolderCase(str(path), number, draw) for draw in range(draws if number else 1)]
    return cases


def simulated_cases(n: int, few_known: int = 0, seed: int = 0) -> list[IonCase]:
    """Ions of drawn sizes; the last ones start from few known levels.

    Parameters
    ----------
    n : int
    few_known : int
        How many of them start from a fifth to three fifths of the usual levels, at least eight.
    seed : int
        Ion k has the seed ``1000 seed + k``.
    """
    if not 0 <= few_known <= n:
        raise InputError(f"few_known: must lie between 0 and the {n} simulated ions, got {few_known}")
    cases = []
    for k in range(n):
        rng = np.random.default_rng([seed, k])
        size = round(float(np.exp(rng.uniform(*np.log(ION_SIZES)))))
        known = None
        if k >= n - few_known:
            usual = len(IonCase(size, None, 1000 * seed + k).read().system.known)
            known = max(FEWEST_KNOWN, int(usual * rng.uniform(*FEW_KNOWN)))
        cases.append(IonCase(size, known, 1000 * seed + k))
    return cases


def reduced_start(system: TermSystem, keep: int, seed: int) -> TermSystem:
    """Keep the ground level and some others of the known levels, drawn at random, with the lines between them."""
    rng = np.random.default_rng(seed)
    known, classified = system.known, system.classified
    ground, others = np.flatnonzero(known.level == 0), np.flatnonzero(known.level > 0)
    rows = np.sort(np.append(rng.choice(others, keep - ground.size, replace=False), ground))
    kept = KnownLevels(
        known.level[rows], known.energy[rows], known.uncertainty[rows], known.provenance[rows], known.source
    )
    both = np.isin(classified.lower, kept.level) & np.isin(classified.upper, kept.level)
    return TermSystem(
        system.levels, system.transitions, system.lines, kept, classified.select(both), system.name
    )
