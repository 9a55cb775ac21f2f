"""Levels and transitions of an invented ion: intermediate coupling on top of its LS terms.

Angular factors are exact, interactions and radial integrals are drawn: the spectrum has the structure of an ion
without being one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..errors import InputError
from .angular import (
    G_A_PER_STRENGTH,
    lande_factor,
    level_reduction,
    multiplet_reduction,
    triangle,
    wigner_6j,
)
from .arrays import BoolArray, FloatArray, IntArray, StrArray
from .configurations import (
    CORES,
    FAMILIES,
    Configuration,
    Family,
    TermBasis,
    configurations_of,
    count_levels,
    terms_of,
)

__all__ = ["Ion", "calculate_ion"]

REACH = 0.5
"""A configuration is kept to an energy that rises by this share of its lowest energy."""

MIN_G_A = 1e5
"""s^-1; published calculations of both development cases stop here."""


@dataclass(frozen=True, slots=True, eq=False)
class Ion:
    """Levels and transitions of a calculation.

    Parameters
    ----------
    configurations : tuple of Configuration
    energy : array, (n_level,), in cm^-1
        Ascending, from the ground level at zero.
    two_j, parity : array of int, (n_level,)
    label : array of str, (n_level,)
    configuration, parent, term : array of int, (n_level,)
        Of the leading component; `parent` is -1 where the outer electron has joined the core.
    purity : array, (n_level,)
        Share of the leading component.
    upper, lower : array of int, (n_transition,)
    g_a : array, (n_transition,), in s^-1
    cancellation : array, (n_transition,)
        Cancellation factor, ``(|sum| / sum of magnitudes)^2`` of the contributions to the amplitude; small where the
        strength is unreliable. Cowan (1981), chapter 14.
    """

    configurations: tuple[Configuration, ...]
    energy: FloatArray
    two_j: IntArray
    parity: IntArray
    label: StrArray
    configuration: IntArray
    parent: IntArray
    term: IntArray
    purity: FloatArray
    upper: IntArray
    lower: IntArray
    g_a: FloatArray
    cancellation: FloatArray


def calculate_ion(core: str, n_levels: int, rng: np.random.Generator) -> Ion:
    """Draw an ion and calculate its levels.

    Where the core has more levels than wanted, the lowest of every configuration are kept, and configurations that
    start higher are kept less far up: a calculation reaches as far as the lines do.

    Parameters
    ----------
    core : str
        One of `CORES`.
    n_levels : int
        This many are kept.
    rng : Generator
        Of the radial quantities.

    Raises
    ------
    InputError
        An unknown core, or one that has fewer levels.
    """
    if core not in CORES:
        raise InputError(f"core is {core!r}; choose from {', '.join(CORES)}")
    if (most := count_levels(core)) < n_levels:
        raise InputError(
            f"an ion with the core {core} has {most} levels, {n_levels} are asked for; take a larger core"
        )
    configurations = configurations_of(core, rng)
    basis = terms_of(configurations, rng)
    parity = np.array([c.parity for c in configurations])[basis.configuration]
    blocks = _diagonalise(basis, configurations, parity, rng)
    return _assemble(basis, configurations, blocks, _multiplets(basis, configurations, rng), n_levels)


Block = tuple[int, int, IntArray, FloatArray, FloatArray]
"""Parity, 2J, terms of the block, eigenvalues, eigenvectors (columns)."""


def _diagonalise(
    basis: TermBasis, configurations: Sequence[Configuration], parity: IntArray, rng: np.random.Generator
) -> list[Block]:
    family = FAMILIES[configurations[0].core]
    blocks: list[Block] = []
    for p in (0, 1):
        rows = np.flatnonzero(parity == p)
        coulomb, spin_orbit = _couplings(basis, rows, family, rng)
        two_s, big_l = basis.two_s[rows], basis.big_l[rows]
        for two_j in range(int(two_s.min()) % 2, int((two_s + 2 * big_l).max()) + 1, 2):
            here = np.flatnonzero(triangle(two_s, 2 * big_l, two_j))
            if not here.size:
                continue
            s, lt = two_s[here], big_l[here]
            h = coulomb[np.ix_(here, here)].copy()
            a, b = np.nonzero(spin_orbit[np.ix_(here, here)])
            six = wigner_6j(s[a], s[b], 2, 2 * lt[b], 2 * lt[a], two_j)
            size = ((s[a] + 1.0) * (s[b] + 1) * (2 * lt[a] + 1) * (2 * lt[b] + 1)) ** 0.25
            h[a, b] += spin_orbit[here[a], here[b]] * six * size
            h[np.diag_indices_from(h)] = basis.energy[rows[here]] + basis.splitting[
                rows[here]
            ] * lande_factor(s, lt, two_j)
            energy, vectors = np.linalg.eigh(h)
            blocks.append((p, two_j, rows[here], energy, vectors))
    return blocks


def _couplings(
    basis: TermBasis, rows: IntArray, family: Family, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Drawn off-diagonal elements: Coulomb (same L and S), and reduced spin-orbit (same configuration)."""
    c, s, lt = basis.configuration[rows], basis.two_s[rows], basis.big_l[rows]
    same_term: BoolArray = (s[:, None] == s) & (lt[:, None] == lt)
    same_c: BoolArray = c[:, None] == c
    # Many interacting terms share what one perturber would do alone, or the spectrum would widen with its size.
    crowd = np.sqrt(np.maximum(same_term.sum(axis=1), 3) / 3.0)
    draw = _symmetric(rng, rows.size)
    coulomb = np.where(
        same_term, draw * np.where(same_c, 900.0, 500.0) / np.sqrt(np.outer(crowd, crowd)), 0.0
    )
    np.fill_diagonal(coulomb, 0.0)
    near = same_c & ~same_term & (np.abs(s[:, None] - s) <= 2) & (np.abs(lt[:, None] - lt) <= 1)
    near &= (s[:, None] + s > 0) & (lt[:, None] + lt > 0)
    crowd = np.sqrt(np.maximum(near.sum(axis=1), 12) / 12.0)
    scale = 0.45 * family.spin_orbit / np.sqrt(np.outer(crowd, crowd))
    return coulomb, np.where(near, _symmetric(rng, rows.size) * scale, 0.0)


def _symmetric(rng: np.random.Generator, n: int) -> FloatArray:
    draw = np.triu(rng.standard_normal((n, n)), 1)
    return np.asarray(draw + draw.T)


def _multiplets(
    basis: TermBasis, configurations: Sequence[Configuration], rng: np.random.Generator
) -> FloatArray:
    """Reduced dipole elements between all terms, (n_term, n_term), in a.u.; nonzero only one way round.

    ``sqrt(N) sum over parents`` of fractional parentage, angular factor and radial integral, with N = 1
    between two outer subshells; Cowan (1981), chapter 14.
    """
    family = FAMILIES[configurations[0].core]
    parent_l = basis.parents[:, 1]
    out = np.zeros((basis.two_s.size, basis.two_s.size))
    for i, one in enumerate(configurations):
        for k, two in enumerate(configurations):
            radial = family.radial.get((one.outer, two.outer))
            if radial is None:
                continue
            radial *= (
                rng.uniform(0.85, 1.15)
                * rng.choice((-1.0, 1.0))
                * np.sqrt(one.n_core + 1 if one.joined else 1)
            )
            a, b = np.flatnonzero(basis.configuration == i), np.flatnonzero(basis.configuration == k)
            parent = basis.parent[b]
            weight = basis.parentage[np.ix_(a, parent)] * (basis.two_s[a][:, None] == basis.two_s[b])
            x, y = np.nonzero(weight)
            angular = multiplet_reduction(
                parent_l[parent[y]], one.orbital, basis.big_l[a[x]], two.orbital, basis.big_l[b[y]]
            )
            out[a[x], b[y]] = weight[x, y] * angular * radial
    return out


def _leading(vectors: FloatArray) -> IntArray:
    """Give every eigenvector a basis state of its own, purest first."""
    share = vectors**2
    leading = np.zeros(share.shape[1], dtype=np.int64)
    free = np.ones(share.shape[0])
    for column in np.argsort(-share.max(axis=0)):
        leading[column] = np.argmax((share[:, column] + 1e-12) * free)
        free[leading[column]] = 0.0
    return leading


def _assemble(
    basis: TermBasis,
    configurations: tuple[Configuration, ...],
    blocks: Sequence[Block],
    multiplets: FloatArray,
    n_levels: int,
) -> Ion:
    energy = np.concatenate([block[3] for block in blocks])
    lead = [_leading(block[4]) for block in blocks]
    term = np.concatenate([block[2][x] for block, x in zip(blocks, lead, strict=True)])
    purity = np.concatenate([v[4][x, np.arange(x.size)] ** 2 for v, x in zip(blocks, lead, strict=True)])
    lowest = np.array([c.lowest for c in configurations])[basis.configuration[term]]
    kept = np.argsort(energy - REACH * lowest, kind="stable")[:n_levels]
    order = kept[np.argsort(energy[kept], kind="stable")]
    rank = np.full(energy.size, -1)
    rank[order] = np.arange(order.size)
    term, purity = term[order], purity[order]
    two_j = np.concatenate([np.full(block[3].size, block[1]) for block in blocks])[order]
    parity = np.concatenate([np.full(block[3].size, block[0]) for block in blocks])[order]
    starts = np.concatenate(([0], np.cumsum([block[3].size for block in blocks])))
    ids = [rank[a:b] for a, b in pairwise(starts)]
    level_energy = energy[order] - energy[order[0]]
    parts = [
        _lines_between(basis, multiplets, one, two, ids[i], ids[k], level_energy)
        for i, one in enumerate(blocks)
        for k, two in enumerate(blocks)
        if one[0] == 0 and two[0] == 1 and abs(one[1] - two[1]) <= 2 and one[1] + two[1] > 0
    ]
    upper, lower, g_a, cancellation = (np.concatenate([part[n] for part in parts]) for n in range(4))
    label = np.array([f"{basis.name[t]} {j / 2:.1f}" for t, j in zip(term, two_j, strict=True)])
    return Ion(
        configurations,
        level_energy,
        two_j,
        parity,
        label,
        basis.configuration[term],
        basis.parent[term],
        term,
        purity,
        upper.astype(np.int64),
        lower.astype(np.int64),
        g_a,
        cancellation,
    )


def _lines_between(
    basis: TermBasis,
    multiplets: FloatArray,
    one: Block,
    two: Block,
    ids_one: IntArray,
    ids_two: IntArray,
    energy: FloatArray,
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    amplitude = _amplitudes(basis, multiplets, one, two)
    keep_one, keep_two = np.flatnonzero(ids_one >= 0), np.flatnonzero(ids_two >= 0)
    u, v = one[4][:, keep_one], two[4][:, keep_two]
    total = u.T @ amplitude @ v
    magnitude = np.abs(u).T @ np.abs(amplitude) @ np.abs(v)
    a, b = ids_one[keep_one][:, None], ids_two[keep_two][None, :]
    step = energy[a] - energy[b]
    g_a = G_A_PER_STRENGTH * np.abs(step) ** 3 * total**2
    x, y = np.nonzero(g_a >= MIN_G_A)
    a, b = a[x, 0], b[0, y]
    upper = np.where(step[x, y] > 0, a, b)
    lower = np.where(step[x, y] > 0, b, a)
    return upper, lower, g_a[x, y], (total[x, y] / magnitude[x, y]) ** 2


def _amplitudes(basis: TermBasis, multiplets: FloatArray, one: Block, two: Block) -> FloatArray:
    """Reduced dipole elements between the unmixed levels of two blocks, (n_one, n_two), in a.u."""
    out = np.zeros((one[2].size, two[2].size))
    for swap in (False, True):
        first, second = (two, one) if swap else (one, two)
        m = multiplets[np.ix_(first[2], second[2])]
        x, y = np.nonzero(m)
        t, t2 = first[2][x], second[2][y]
        value = m[x, y] * level_reduction(
            basis.two_s[t], basis.big_l[t], first[1], basis.big_l[t2], second[1]
        )
        if swap:
            # <a||D||b> and <b||D||a> differ by the sign (-1)^(J - J').
            out[y, x] += value * (1 - 2 * ((abs(one[1] - two[1]) // 2) % 2))
        else:
            out[x, y] += value
    return out
