"""Angular momentum algebra of LS coupling: 6j symbols, terms of a shell, reduced dipole matrix elements.

Angular momenta are passed as twice their value (`two_j`), integers throughout, so that half-integers stay exact.
Formulas are those of Cowan (1981), The Theory of Atomic Structure and Spectra (University of California Press).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .arrays import BoolArray, FloatArray, IntArray

__all__ = [
    "G_A_PER_STRENGTH",
    "lande_factor",
    "level_reduction",
    "multiplet_reduction",
    "shell_terms",
    "triangle",
    "wigner_6j",
]

G_A_PER_STRENGTH = 2.026_126_88e-6
"""gA in s^-1 of an electric dipole line of strength 1 a.u. (e^2 a_0^2) at 1 cm^-1; gA grows with the cube of the
wavenumber. ``16 pi^3 (e a_0)^2 / (3 h epsilon_0)`` with the constants of CODATA 2018."""

_FACTORIALS = 400
_LOG_FACTORIAL = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, _FACTORIALS)))))


def triangle(two_a: ArrayLike, two_b: ArrayLike, two_c: ArrayLike) -> BoolArray:
    """Whether three angular momenta (given twice) can be coupled to zero."""
    a, b, c = (np.asarray(x, dtype=np.int64) for x in (two_a, two_b, two_c))
    return np.asarray((c >= np.abs(a - b)) & (c <= a + b) & ((a + b + c) % 2 == 0))


def wigner_6j(
    two_a: ArrayLike, two_b: ArrayLike, two_c: ArrayLike, two_d: ArrayLike, two_e: ArrayLike, two_f: ArrayLike
) -> FloatArray:
    """Return the 6j symbols ``{a b c; d e f}`` by Racah's sum; Cowan (1981), chapter 5.

    Parameters
    ----------
    two_a, two_b, two_c, two_d, two_e, two_f : array of int
        Twice the angular momenta; they are broadcast against each other.

    Returns
    -------
    array
        Zero where one of the four triangles does not close.
    """
    momenta = np.broadcast_arrays(
        *(np.asarray(x, dtype=np.int64) for x in (two_a, two_b, two_c, two_d, two_e, two_f))
    )
    shape = momenta[0].shape
    a, b, c, d, e, f = (x.ravel() for x in momenta)
    closed = triangle(a, b, c) & triangle(a, e, f) & triangle(d, b, f) & triangle(d, e, c)
    out = np.zeros(a.size)
    a, b, c, d, e, f = (x[closed] for x in (a, b, c, d, e, f))
    if a.size:
        out[closed] = _racah_sum(a, b, c, d, e, f)
    return out.reshape(shape)


def _racah_sum(a: IntArray, b: IntArray, c: IntArray, d: IntArray, e: IntArray, f: IntArray) -> FloatArray:
    log_delta = 0.5 * sum(_log_triangle(*sides) for sides in ((a, b, c), (a, e, f), (d, b, f), (d, e, c)))
    least = np.max([a + b + c, a + e + f, d + b + f, d + e + c], axis=0) // 2
    tops = [(a + b + d + e) // 2, (b + c + e + f) // 2, (a + c + d + f) // 2]
    bottoms = [(a + b + c) // 2, (a + e + f) // 2, (d + b + f) // 2, (d + e + c) // 2]
    last = np.min(tops, axis=0)
    total = np.zeros(a.size)
    for step in range(int(np.max(last - least)) + 1):
        t = np.minimum(least + step, last)
        exponent = log_delta + _LOG_FACTORIAL[t + 1]
        for bottom in bottoms:
            exponent = exponent - _LOG_FACTORIAL[t - bottom]
        for top in tops:
            exponent = exponent - _LOG_FACTORIAL[top - t]
        total += np.where(least + step <= last, (1 - 2 * (t % 2)) * np.exp(exponent), 0.0)
    return total


def _log_triangle(a: IntArray, b: IntArray, c: IntArray) -> FloatArray:
    factorial = _LOG_FACTORIAL
    return np.asarray(
        factorial[(a + b - c) // 2]
        + factorial[(a - b + c) // 2]
        + factorial[(-a + b + c) // 2]
        - factorial[(a + b + c) // 2 + 1]
    )


@lru_cache(maxsize=64)
def shell_terms(orbital: int, n_electron: int) -> tuple[tuple[int, int, int], ...]:
    """Return the LS terms of `n_electron` equivalent electrons, by counting magnetic states (Slater's method).

    Parameters
    ----------
    orbital : int
        l of the electrons.
    n_electron : int
        From 0 to 4 l + 2.

    Returns
    -------
    tuple of (two_s, big_l, count)
        Highest spin first, then highest L; `count` is how often the term occurs.
    """
    top = 2 * orbital + 1
    # states[n, M_L + offset, 2 M_S + offset]: number of ways to put n electrons, orbital by orbital.
    offset_l, offset_s = top * orbital + orbital + 2, top + 2
    states = np.zeros((n_electron + 1, 2 * offset_l + 1, 2 * offset_s + 1), dtype=np.int64)
    states[0, offset_l, offset_s] = 1
    for m in range(-orbital, orbital + 1):
        for spin in (-1, 1):
            moved = np.roll(states[:-1], (m, spin), axis=(1, 2))
            states[1:] += moved
    count = states[n_electron]
    terms = []
    for two_s in range(min(n_electron, 2 * top - n_electron), -1, -2):
        for big_l in range(offset_l - 2, -1, -1):
            i, k = offset_l + big_l, offset_s + two_s
            times = count[i, k] - count[i + 1, k] - count[i, k + 2] + count[i + 1, k + 2]
            if times > 0:
                terms.append((two_s, big_l, int(times)))
    return tuple(terms)


def multiplet_reduction(
    parent_l: ArrayLike,
    outer: ArrayLike,
    big_l: ArrayLike,
    outer_other: ArrayLike,
    big_l_other: ArrayLike,
) -> FloatArray:
    """Orbital part of a reduced dipole element when the outer electron jumps and the parent looks on.

    ``(-1)^(L1 + l' + L + 1) [(2L + 1)(2L' + 1)]^1/2 {l L1 L; L' 1 l'} sqrt(max(l, l'))``, without the radial
    integral; Cowan (1981), chapters 11 and 14. The squares over all ``L'`` add up to
    ``(2L + 1) max(l, l') / (2l + 1)``.

    Parameters
    ----------
    parent_l, outer, big_l, outer_other, big_l_other : array of int
        L1 of the parent, l and L before the jump, l' and L' after it (not doubled).
    """
    l1, lo, lt, lo2, lt2 = (
        np.asarray(x, dtype=np.int64) for x in (parent_l, outer, big_l, outer_other, big_l_other)
    )
    six = wigner_6j(2 * lo, 2 * l1, 2 * lt, 2 * lt2, 2, 2 * lo2)
    sign = 1 - 2 * ((l1 + lo2 + lt + 1) % 2)
    size = np.sqrt((2.0 * lt + 1) * (2.0 * lt2 + 1) * np.maximum(lo, lo2))
    return np.asarray(np.where(np.abs(lo - lo2) == 1, sign * size * six, 0.0))


def level_reduction(
    two_s: ArrayLike, big_l: ArrayLike, two_j: ArrayLike, big_l_other: ArrayLike, two_j_other: ArrayLike
) -> FloatArray:
    """Share of a multiplet's reduced dipole element that one line has; Cowan (1981), chapter 14.

    ``(-1)^(L + S + J' + 1) [(2J + 1)(2J' + 1)]^1/2 {L S J; J' 1 L'}``. For a given level the squares over ``J'`` add
    up to ``(2J + 1) / (2L + 1)``.
    """
    s, lt, j, lt2, j2 = (
        np.asarray(x, dtype=np.int64) for x in (two_s, big_l, two_j, big_l_other, two_j_other)
    )
    six = wigner_6j(2 * lt, s, j, j2, 2, 2 * lt2)
    sign = 1 - 2 * (((2 * lt + s + j2 + 2) // 2) % 2)
    return np.asarray(sign * np.sqrt((j + 1.0) * (j2 + 1.0)) * six)


def lande_factor(two_s: ArrayLike, big_l: ArrayLike, two_j: ArrayLike) -> FloatArray:
    """``L.S = [J(J + 1) - L(L + 1) - S(S + 1)] / 2``, by which a term splits; steps obey Lande's interval rule."""
    s, lt, j = (np.asarray(x, dtype=np.float64) for x in (two_s, big_l, two_j))
    s, j = s / 2, j / 2
    return np.asarray((j * (j + 1) - lt * (lt + 1) - s * (s + 1)) / 2)
