"""Angular algebra against exact values, closed forms, orthogonality and the sum rules of LS coupling."""

from fractions import Fraction
from itertools import product
from math import comb, factorial, sqrt

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.terms.angular import (
    G_A_PER_STRENGTH,
    lande_factor,
    level_reduction,
    multiplet_reduction,
    shell_terms,
    triangle,
    wigner_6j,
)

# Log-factorials of numbers below 100 summed in float64 leave about 1e-12.
EXACT = 1e-11


def racah(two: tuple[int, ...]) -> float:
    """Slow 6j in rational arithmetic."""
    a, b, c, d, e, f = (Fraction(x, 2) for x in two)

    def fact(x: Fraction) -> int:
        assert x.denominator == 1
        return factorial(int(x))

    def delta(x: Fraction, y: Fraction, z: Fraction) -> Fraction:
        return Fraction(fact(x + y - z) * fact(x - y + z) * fact(y + z - x), fact(x + y + z + 1))

    corners = [(a, b, c), (a, e, f), (d, b, f), (d, e, c)]
    for x, y, z in corners:
        if not (abs(x - y) <= z <= x + y and (x + y + z).denominator == 1):
            return 0.0
    tops = [a + b + d + e, b + c + e + f, a + c + d + f]
    total = Fraction(0)
    for t in range(int(max(sum(corner) for corner in corners)), int(min(tops)) + 1):
        below = 1
        for corner in corners:
            below *= fact(t - sum(corner))
        for top in tops:
            below *= fact(top - t)
        total += Fraction((-1) ** t * factorial(t + 1), below)
    norm = Fraction(1)
    for corner in corners:
        norm *= delta(*corner)
    return float(total) * sqrt(norm)


def test_6j_agrees_with_rational_arithmetic():
    every = np.array(list(product(range(5), repeat=6)))
    assert_allclose(wigner_6j(*every.T), [racah(tuple(row)) for row in every.tolist()], atol=EXACT)


def test_6j_of_large_momenta():
    rng = np.random.default_rng(1)
    rows = rng.integers(8, 34, (4000, 6))
    expected = np.array([racah(tuple(row)) for row in rows.tolist()])
    assert np.count_nonzero(expected) > 50
    assert_allclose(wigner_6j(*rows.T), expected, atol=EXACT)


def test_6j_published_values():
    # Rotenberg et al. (1959), The 3-j and 6-j Symbols.
    assert_allclose(wigner_6j(2, 2, 2, 2, 2, 2), 1 / 6)
    assert_allclose(wigner_6j(4, 4, 4, 4, 4, 4), -3 / 70)
    assert_allclose(wigner_6j(1, 1, 2, 1, 1, 2), 1 / 6)


def test_6j_orthogonality():
    a, b, c, d = 5, 6, 4, 3
    x = np.arange(0, 16)
    f = np.array([f for f in range(16) if triangle(c, a, f) and triangle(b, d, f)])
    one = wigner_6j(a, b, x[:, None], d, c, f) * np.sqrt((x[:, None] + 1.0) * (f + 1.0))
    assert f.size > 1
    assert_allclose(one.T @ one, np.eye(f.size), atol=EXACT)


@pytest.mark.parametrize("orbital", [0, 1, 2, 3])
def test_terms_account_for_every_state(orbital):
    for n in range(4 * orbital + 3):
        states = sum((s + 1) * (2 * big_l + 1) * count for s, big_l, count in shell_terms(orbital, n))
        assert states == comb(4 * orbital + 2, n)


def test_terms_of_textbook_shells():
    def names(orbital: int, n: int) -> dict[str, int]:
        return {f"{s + 1}{'SPDFGHIKL'[x]}": count for s, x, count in shell_terms(orbital, n)}

    # Condon and Shortley (1935), table 1-7.
    assert names(1, 3) == {"4S": 1, "2D": 1, "2P": 1}
    assert names(2, 2) == {"3F": 1, "3P": 1, "1G": 1, "1D": 1, "1S": 1}
    assert names(2, 3) == {"4F": 1, "4P": 1, "2H": 1, "2G": 1, "2F": 1, "2D": 2, "2P": 1}
    assert sum(count for *_, count in shell_terms(3, 3)) == 17
    assert shell_terms(2, 7) == shell_terms(2, 3)
    assert next(iter(shell_terms(3, 3))) == (3, 6, 1)


def test_lines_of_a_level_share_its_strength():
    for two_s, big_l, big_l_other in [(2, 1, 2), (3, 3, 3), (4, 5, 4), (1, 6, 7)]:
        j = np.arange(abs(2 * big_l - two_s), 2 * big_l + two_s + 1, 2)
        j2 = np.arange(abs(2 * big_l_other - two_s), 2 * big_l_other + two_s + 1, 2)
        strength = level_reduction(two_s, big_l, j[:, None], big_l_other, j2) ** 2
        assert_allclose(strength.sum(axis=1), (j + 1) / (2 * big_l + 1))
        assert_allclose(strength.sum(axis=0), (j2 + 1) / (2 * big_l_other + 1))


def test_relative_strengths_of_a_triplet():
    # White and Eliason (1933), Phys. Rev. 44, 753: 3P-3D.
    j_d, j_p = np.array([3, 2, 1]), np.array([2, 1, 0])
    strength = level_reduction(2, 2, 2 * j_d[:, None], 1, 2 * j_p) ** 2
    expected = np.array([[100.0, 0, 0], [17.9, 53.6, 0], [1.19, 17.9, 23.8]])
    assert_allclose(100 * strength / strength.max(), expected, rtol=5e-3)


@pytest.mark.parametrize(
    ("parent_l", "outer", "other"), [(3, 1, 2), (3, 2, 1), (6, 2, 3), (2, 0, 1), (0, 1, 0)]
)
def test_multiplets_of_a_term_share_its_strength(parent_l, outer, other):
    big_l = np.arange(abs(parent_l - outer), parent_l + outer + 1)
    big_l2 = np.arange(abs(parent_l - other), parent_l + other + 1)
    squared = multiplet_reduction(parent_l, outer, big_l[:, None], other, big_l2) ** 2
    assert_allclose(squared.sum(axis=1), (2 * big_l + 1) * max(outer, other) / (2 * outer + 1))
    assert_allclose(squared.sum(axis=0), (2 * big_l2 + 1) * max(outer, other) / (2 * other + 1))


def test_electrons_jump_by_one_unit():
    assert multiplet_reduction(2, 0, 2, 2, 2) == 0.0
    assert multiplet_reduction(2, 1, 2, 1, 2) == 0.0


def test_interval_rule():
    for two_s, big_l in [(2, 3), (3, 2), (4, 4)]:
        j = np.arange(abs(2 * big_l - two_s), 2 * big_l + two_s + 1, 2)
        assert_allclose(np.diff(lande_factor(two_s, big_l, j)), j[1:] / 2)
        assert_allclose(np.sum((j + 1) * lande_factor(two_s, big_l, j)), 0.0, atol=EXACT)


def test_lyman_alpha():
    # 1s-2p: radial integral 128 sqrt(6) / 243 a.u.; A = 6.2649e8 s^-1, g = 6 (NIST ASD), 82 259.1 cm^-1.
    radial = 128 * np.sqrt(6) / 243
    strength = 2 * multiplet_reduction(0, 0, 0, 1, 1) ** 2 * radial**2
    # A hydrogen nucleus of finite mass and the digits of A leave one part in a thousand.
    assert_allclose(G_A_PER_STRENGTH * 82_259.1**3 * strength, 6 * 6.2649e8, rtol=2e-3)


def clebsch(j1: float, m1: float, j2: float, m2: float, j: float, m: float) -> float:
    """Clebsch-Gordan coefficient by its explicit sum; Condon and Shortley's phases."""
    outside = abs(m1) > j1 or abs(m2) > j2 or abs(m) > j
    if outside or abs(m1 + m2 - m) > 1e-9 or not abs(j1 - j2) <= j <= j1 + j2:
        return 0.0
    f = [
        factorial(round(x))
        for x in (j1 + j2 - j, j1 - j2 + j, -j1 + j2 + j, j + m, j - m, j1 - m1, j1 + m1, j2 - m2, j2 + m2)
    ]
    norm = (2 * j + 1) * np.prod([float(x) for x in f]) / factorial(round(j1 + j2 + j + 1))
    total = 0.0
    for k in range(round(j1 + j2 + j) + 1):
        below = [k, j1 + j2 - j - k, j1 - m1 - k, j2 + m2 - k, j - j2 + m1 + k, j - j1 - m2 + k]
        if min(below) > -0.5:
            total += (-1) ** k / np.prod([float(factorial(round(x))) for x in below])
    return float(sqrt(norm) * total)


def halves(j: float) -> np.ndarray:
    return np.arange(-j, j + 1)


def explicit_state(l1: int, s1: float, lo: int, big_l: int, s: float, j: float, m: float) -> np.ndarray:
    """|((L1 l) L, (S1 1/2) S) J M> in the product basis (M_L1, m_l, M_S1, m_s)."""
    out = np.zeros((2 * l1 + 1, 2 * lo + 1, round(2 * s1) + 1, 2))
    for (a, ml1), (b, ml), (c, ms1), (d, ms) in product(
        enumerate(halves(l1)), enumerate(halves(lo)), enumerate(halves(s1)), enumerate(halves(0.5))
    ):
        out[a, b, c, d] = (
            clebsch(l1, ml1, lo, ml, big_l, ml1 + ml)
            * clebsch(s1, ms1, 0.5, ms, s, ms1 + ms)
            * clebsch(big_l, ml1 + ml, s, ms1 + ms, j, m)
        )
    return out


def test_phases_agree_with_states_built_from_single_electrons():
    """Mixed levels need the signs of the elements; an explicit calculation in the product basis gives them."""
    l1, s1, lo, lo2 = 2, 0.5, 1, 2
    # <l m|C_0|l' m> of the outer electron; its reduced element is common to all.
    dipole = np.array([[clebsch(lo2, m2, 1, 0, lo, m) for m2 in halves(lo2)] for m in halves(lo)])
    ratios = []
    for s, big_l, big_l2 in product((0, 1), range(1, 4), range(0, 5)):
        for j, j2 in product(range(abs(big_l - s), big_l + s + 1), range(abs(big_l2 - s), big_l2 + s + 1)):
            two = tuple(round(2 * x) for x in (s, j, j2))
            ours = multiplet_reduction(l1, lo, big_l, lo2, big_l2)
            ours = ours * level_reduction(two[0], big_l, two[1], big_l2, two[2])
            m = min(j, j2)
            weight = clebsch(j2, m, 1, 0, j, m) / sqrt(2 * j + 1)
            if abs(weight) < 1e-9:
                continue
            left = explicit_state(l1, s1, lo, big_l, s, j, m)
            right = explicit_state(l1, s1, lo2, big_l2, s, j2, m)
            explicit = np.einsum("abcd,be,aecd->", left, dipole, right) / weight
            assert (abs(explicit) < 1e-9) == (abs(ours) < 1e-9)
            if abs(ours) > 1e-9:
                ratios.append(explicit / ours)
    assert len(ratios) > 50
    assert_allclose(ratios, ratios[0], rtol=1e-9)
