"""Configurations and LS terms of an invented ion: one open shell and an outer electron.

The configurations are those of an iron-group ion (core ``3d^N``) or a lanthanide (core ``4f^N``). The terms are
counted exactly; energies, spin-orbit constants and coefficients of fractional parentage are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .angular import shell_terms, triangle
from .arrays import FloatArray, IntArray, StrArray

__all__ = [
    "CORES",
    "FAMILIES",
    "Configuration",
    "Family",
    "TermBasis",
    "configurations_of",
    "count_levels",
    "terms_of",
]

ORBITALS = "spdf"
SYMBOLS = "SPDFGHIKLMNOQRTUVWXYZ"
CORES = tuple(f"3d{n}" for n in range(1, 9)) + tuple(f"4f{n}" for n in range(1, 6))
"""Cores that `calculate_ion` knows, in the order of the number of their levels within a family."""


@dataclass(frozen=True, slots=True)
class Family:
    """Radial quantities, typical of doubly charged lanthanides and singly charged iron-group atoms.

    Parameters
    ----------
    outer : tuple of (subshell, lowest level in cm^-1, spin-orbit constant in cm^-1)
        Of the excited electron.
    spin_orbit : float, in cm^-1
        Of the core electrons.
    spread : float, in cm^-1
        Between the lowest and the highest term of the core.
    exchange : float, in cm^-1
        Between outer electron and core spin.
    radial : dict of (subshell, subshell) to float, in a.u.
        Dipole integrals.
    """

    outer: tuple[tuple[str, float, float], ...]
    spin_orbit: float
    spread: float
    exchange: float
    radial: dict[tuple[str, str], float]


FAMILIES = {
    "3d": Family(
        outer=(
            ("4s", 4_000.0, 0.0),
            ("4p", 44_000.0, 350.0),
            ("5s", 83_000.0, 0.0),
            ("4d", 89_000.0, 40.0),
            ("5p", 95_000.0, 100.0),
        ),
        spin_orbit=480.0,
        spread=45_000.0,
        exchange=2_200.0,
        radial={
            ("3d", "4p"): 0.9,
            ("4s", "4p"): 3.2,
            ("4p", "5s"): 2.4,
            ("4p", "4d"): 4.2,
            ("3d", "5p"): 0.3,
            ("4s", "5p"): 0.3,
            ("5s", "5p"): 7.0,
            ("4d", "5p"): 6.0,
        },
    ),
    "4f": Family(
        outer=(("5d", 15_000.0, 750.0), ("6s", 30_000.0, 0.0), ("6p", 59_000.0, 2_000.0)),
        spin_orbit=880.0,
        spread=55_000.0,
        exchange=1_200.0,
        radial={("4f", "5d"): 0.75, ("5d", "6p"): 2.5, ("6s", "6p"): 3.3},
    ),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Electrons outside closed shells: the core with one more electron, which may join the core's shell.

    Parameters
    ----------
    name : str
        Such as ``3d7.4p``.
    core : str
        Subshell of the core, such as ``3d``.
    n_core : int
        Its electrons without the outer one.
    outer : str
        Subshell of the outer electron; equal to `core` where it joins.
    lowest, spin_orbit : float, in cm^-1
        Lowest term, spin-orbit constant of the outer electron.
    """

    name: str
    core: str
    n_core: int
    outer: str
    lowest: float
    spin_orbit: float

    @property
    def core_orbital(self) -> int:
        """Orbital angular momentum of a core electron."""
        return ORBITALS.index(self.core[-1])

    @property
    def orbital(self) -> int:
        """Orbital angular momentum of the outer electron."""
        return ORBITALS.index(self.outer[-1])

    @property
    def joined(self) -> bool:
        """Whether the outer electron is equivalent to those of the core."""
        return self.outer == self.core

    @property
    def parity(self) -> int:
        """0 for even, 1 for odd."""
        return (self.core_orbital * self.n_core + self.orbital) % 2


@dataclass(frozen=True, slots=True, eq=False)
class TermBasis:
    """LS terms before mixing.

    Parameters
    ----------
    configuration, two_s, big_l : array of int, (n_term,)
    parent : array of int, (n_term,)
        Row in the terms of the core; -1 where the outer electron has joined the core.
    energy, splitting : array, (n_term,), in cm^-1
        Centre of gravity, and spin-orbit constant A of ``A L.S``.
    parents : array of int, (n_parent, 2)
        2S and L of the terms of the core.
    parentage : array, (n_term, n_parent)
        Coefficients of fractional parentage; rows have unit norm.
    name : array of str, (n_term,)
        Such as ``3d7.(4F).4p 5G*``.
    """

    configuration: IntArray
    parent: IntArray
    two_s: IntArray
    big_l: IntArray
    energy: FloatArray
    splitting: FloatArray
    parents: IntArray
    parentage: FloatArray
    name: StrArray


def count_levels(core: str) -> int:
    """Return the number of levels of all configurations of a core such as ``3d7``."""
    total = 0
    for c in configurations_of(core, None):
        terms = _coupled(c)
        total += sum(min(two_s, 2 * big_l) + 1 for _, two_s, big_l in terms)
    return total


def configurations_of(core: str, rng: np.random.Generator | None) -> tuple[Configuration, ...]:
    """Return the configurations of a core such as ``3d7``, lowest first.

    Parameters
    ----------
    core : str
        One of `CORES`.
    rng : Generator or None
        Shifts the configurations by up to a tenth; None leaves them where they are.
    """
    shell, n = core[:2], int(core[2:])
    family = FAMILIES[shell]
    made = [Configuration(f"{shell}{n + 1}", shell, n, shell, 0.0, 0.0)]
    for outer, lowest, spin_orbit in family.outer:
        jitter = 1.0 if rng is None else rng.uniform(0.9, 1.1)
        made.append(Configuration(f"{shell}{n}.{outer}", shell, n, outer, lowest * jitter, spin_orbit))
    return tuple(made)


def _flat_terms(orbital: int, n: int) -> list[tuple[int, int]]:
    return [(two_s, big_l) for two_s, big_l, count in shell_terms(orbital, n) for _ in range(count)]


def _coupled(c: Configuration) -> list[tuple[int, int, int]]:
    """Parent row (-1 when joined), 2S and L of every term."""
    if c.joined:
        return [(-1, *term) for term in _flat_terms(c.core_orbital, c.n_core + 1)]
    return [
        (row, two_s, big_l)
        for row, (two_s1, l1) in enumerate(_flat_terms(c.core_orbital, c.n_core))
        for two_s in (two_s1 + 1, two_s1 - 1)
        if two_s >= 0
        for big_l in range(l1 + c.orbital, abs(l1 - c.orbital) - 1, -1)
    ]


def _shell_structure(
    orbital: int, n: int, family: Family, rng: np.random.Generator
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Terms of ``l^n``, their energies above the lowest (Hund's) and spin-orbit constants."""
    terms = np.array(_flat_terms(orbital, n), dtype=np.int64).reshape(-1, 2)
    spin, big_l = terms[:, 0] / 2, terms[:, 1]
    raw = -1.0 * spin * (spin + 1) - 0.03 * big_l * (big_l + 1)
    raw += 0.35 * rng.standard_normal(raw.size) * max(float(np.std(raw)), 0.1)
    raw[0] = raw.min() - 0.12 * np.ptp(raw) - 0.02
    energy = (raw - raw[0]) / max(float(np.ptp(raw)), 1e-9) * family.spread * rng.uniform(0.9, 1.1)
    sign = 1.0 if n <= 2 * orbital + 1 else -1.0
    share = np.where(np.arange(raw.size) == 0, 1.0, rng.normal(0.6, 0.4, raw.size))
    splitting = sign * family.spin_orbit * share / np.maximum(2 * spin, 1)
    return terms, energy, np.where((spin > 0) & (big_l > 0), splitting, 0.0)


def _term_names(terms: IntArray, mark: str = "") -> list[str]:
    plain = [f"{two_s + 1}{SYMBOLS[big_l]}" for two_s, big_l in terms]
    return [
        f"{name}{plain[:i].count(name) + 1 if plain.count(name) > 1 else ''}{mark}"
        for i, name in enumerate(plain)
    ]


def terms_of(configurations: Sequence[Configuration], rng: np.random.Generator) -> TermBasis:
    """Draw the terms of configurations with a common core, the first of them with the outer electron in the core."""
    first = configurations[0]
    family = FAMILIES[first.core]
    l_core = first.core_orbital
    parents, parent_energy, parent_splitting = _shell_structure(l_core, first.n_core, family, rng)
    parent_names = _term_names(parents)
    columns: dict[str, list[np.ndarray]] = {n: [] for n in ("c", "p", "s", "l", "e", "a", "w")}
    names: list[str] = []
    for index, c in enumerate(configurations):
        terms = np.array(_coupled(c), dtype=np.int64)
        parent, two_s, big_l = terms.T
        mark = "*" if c.parity else ""
        if c.joined:
            joined, energy, splitting = _shell_structure(l_core, c.n_core + 1, family, rng)
            weight = _parentage(joined, parents, l_core, rng)
            names += [f"{c.name} {name}" for name in _term_names(joined, mark)]
        else:
            energy, splitting = _couple_outer(
                c, terms, parents, parent_energy, parent_splitting, family.exchange, rng
            )
            weight = np.eye(len(parents))[parent]
            names += [
                f"{c.core}{c.n_core}.({parent_names[p]}).{c.outer} {s + 1}{SYMBOLS[x]}{mark}"
                for p, s, x in terms
            ]
        energy = energy - energy.min() + c.lowest
        for key, value in zip(
            "cpslea", (np.full(parent.size, index), parent, two_s, big_l, energy, splitting), strict=True
        ):
            columns[key].append(value)
        columns["w"].append(weight)
    c_, p_, s_, l_, e_, a_, w_ = (np.concatenate(columns[key]) for key in "cpsleaw")
    return TermBasis(c_, p_, s_, l_, e_, a_, parents, w_, np.array(names))


def _parentage(terms: IntArray, parents: IntArray, orbital: int, rng: np.random.Generator) -> FloatArray:
    allowed = (np.abs(terms[:, None, 0] - parents[None, :, 0]) == 1) & triangle(
        2 * terms[:, None, 1], 2 * parents[None, :, 1], 2 * orbital
    )
    weight = np.where(allowed, rng.standard_normal(allowed.shape), 0.0)
    return np.asarray(weight / np.linalg.norm(weight, axis=1, keepdims=True))


def _couple_outer(
    c: Configuration,
    terms: IntArray,
    parents: IntArray,
    parent_energy: FloatArray,
    parent_splitting: FloatArray,
    exchange: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Energies and spin-orbit constants of parent terms with an outer electron.

    The constant is the projection ``A = A1 f(L1) f(S1) + zeta f(l) f(s)`` with
    ``f(x) = [X(X + 1) + x(x + 1) - y(y + 1)] / 2X(X + 1)`` for x coupled with y to X; the projection theorem,
    Condon and Shortley (1935), The Theory of Atomic Spectra, chapter 3.
    """
    parent, two_s, big_l = terms.T
    s, s1 = two_s / 2, parents[parent, 0] / 2
    lt, l1, lo = big_l.astype(float), parents[parent, 1].astype(float), float(c.orbital)
    energy = parent_energy[parent] - exchange * (s * (s + 1) - s1 * (s1 + 1) - 0.75) / np.maximum(2 * s1, 1)
    energy += 0.5 * exchange * rng.standard_normal(energy.size) * (1 if c.orbital else 0.1)

    def share(x: FloatArray, y: FloatArray | float, total: FloatArray) -> FloatArray:
        norm = total * (total + 1)
        return np.where(norm > 0, (norm + x * (x + 1) - y * (y + 1)) / np.maximum(2 * norm, 1e-9), 0.0)

    splitting = parent_splitting[parent] * share(l1, lo, lt) * share(s1, 0.5, s)
    splitting += c.spin_orbit * share(np.full(lt.size, lo), l1, lt) * share(np.full(s.size, 0.5), s1, s)
    return energy, splitting
