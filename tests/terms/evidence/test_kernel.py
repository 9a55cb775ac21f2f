"""The compiled score against the formula, written out slowly, and against what a person would expect of it."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from spectuner_ext.terms.evidence import kernel
from spectuner_ext.terms.evidence.inputs import Graph, Numbers, Scores, Spectrum, State
from spectuner_ext.terms.evidence.kernel import score_levels

N_KEPT = 8
NUMBERS = Numbers(
    intercept=-4.0, slope=-4e-5, low=5_000.0, high=60_000.0, window=200.0, limit_start=5_000.0, limit_step=1000.0,
    log_expected=-0.6, sd_line=0.33, sd_level=0.25, sd_limit=0.15, listed=0.93, wide_share=0.15, wide_sd=0.03,
    reach=0.1, mask_reach=0.08, masked_by_free=0.6, core_share=0.75, tail_share=0.15, log_elsewhere=-60.0,
)  # fmt: skip
LIMIT = 0.5
"""Faintest log intensity."""


@dataclass
class Case:
    """One unknown level, the last, among known ones; everything the kernel needs."""

    known: list[float]
    is_upper: list[bool]
    log_ga: list[float]
    expected: float
    wavenumber: np.ndarray
    log_intensity: np.ndarray
    expected_sd: float = 20.0
    bottom: float | None = None
    top: float | None = None
    sd: float = 0.003
    known_sd: float = 0.001
    log_density: float | np.ndarray = -1.6
    claimed: set[int] = field(default_factory=set)
    forbidden: list[tuple[int, float]] = field(default_factory=list)
    level_offset: list[float] | None = None
    level_offset_sd: float = 0.25
    configuration_offset: tuple[float, float] = (0.0, 0.0)
    numbers: Numbers = NUMBERS
    limit: np.ndarray = field(default_factory=lambda: np.full(56, LIMIT))

    def __post_init__(self) -> None:
        order = np.argsort(self.wavenumber, kind="stable")
        rank = np.argsort(order)
        self.claimed = {int(rank[i]) for i in self.claimed}
        self.wavenumber, self.log_intensity = self.wavenumber[order], self.log_intensity[order]
        self.log_density = np.broadcast_to(self.log_density, order.shape)[order].astype(float)

    def arrays(self) -> tuple[Graph, Spectrum, State]:
        m, n_line = len(self.known), self.wavenumber.size
        known = np.append(np.array(self.known, dtype=float), np.nan)
        claimed = np.zeros(n_line, dtype=bool)
        claimed[list(self.claimed)] = True
        graph = Graph(
            np.append(np.zeros(m + 1, dtype=np.int64), m),
            np.arange(m), np.array(self.is_upper), np.array(self.log_ga, dtype=float),
            np.append(np.ones(m, dtype=np.int64), 0),
        )  # fmt: skip
        spectrum = Spectrum(
            self.wavenumber, self.log_intensity, np.full(n_line, self.sd), np.array(self.log_density), claimed,
            self.limit,
        )  # fmt: skip
        bottom = self.expected - self.numbers.window if self.bottom is None else self.bottom
        top = self.expected + self.numbers.window if self.top is None else self.top
        offset = np.append(self.level_offset or np.zeros(m), 0.0)
        state = State(
            known, np.append(np.full(m, self.known_sd), np.nan), np.full(m + 1, self.expected),
            np.full(m + 1, self.expected_sd), np.full(m + 1, bottom), np.full(m + 1, top),
            np.array(self.configuration_offset), offset, np.full(m + 1, self.level_offset_sd),
            np.array([k for k, _ in self.forbidden], dtype=np.int64),
            np.array([e for _, e in self.forbidden], dtype=float),
        )  # fmt: skip
        return graph, spectrum, state

    def score(self) -> Scores:
        graph, spectrum, state = self.arrays()
        shape = (1, N_KEPT)
        scores = Scores(
            np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape, dtype=np.int64), np.empty(1),
            np.empty(1, dtype=np.int64), np.full(len(self.known), -2, dtype=np.int64),
        )  # fmt: skip
        score_levels(np.array([len(self.known)]), graph, spectrum, state, self.numbers, scores)
        return scores


def log_odds(scores: Scores) -> float:
    """Of the best candidate against all else."""
    share = min(scores.log_evidence[0, 0] - scores.log_total[0], -1e-12)
    return share - math.log(-math.expm1(share))


# The reference: formulas of the module's docstring, one energy at a time.


def wide_and_narrow(d: float, s1: float, numbers: Numbers) -> float:
    """f(d)."""
    s2 = math.hypot(s1, numbers.wide_sd)
    return (1 - numbers.wide_share) * norm.pdf(d, 0, s1) + numbers.wide_share * norm.pdf(d, 0, s2)


def pull(d: float, s1: float, numbers: Numbers) -> float:
    """Weight of a line in the energy: mean of the inverse variances of f, weighted by their shares at d."""
    s2 = math.hypot(s1, numbers.wide_sd)
    narrow = (1 - numbers.wide_share) * norm.pdf(d, 0, s1)
    broad = numbers.wide_share * norm.pdf(d, 0, s2)
    return (narrow / s1**2 + broad / s2**2) / (narrow + broad)


@dataclass
class Edge:
    """A transition that should be seen."""

    other: float
    upper: bool
    base: float  # log intensity without the part that depends on the energy of the unknown level
    spread: float  # of one line, before anything is known of the level

    def place(self, energy: float) -> float:
        return energy - self.other if self.upper else self.other - energy

    def mean(self, energy: float, numbers: Numbers) -> float:
        return self.base + (numbers.slope * energy if self.upper else 0.0)


def limit_at(case: Case, w: float) -> float:
    grid = case.numbers.limit_start + case.numbers.limit_step * np.arange(case.limit.size)
    return float(np.interp(w, grid, case.limit))


def edges_of(case: Case) -> list[Edge]:
    n = case.numbers
    edges = []
    offsets = case.level_offset or [0.0] * len(case.known)
    for other, upper, log_ga, offset in zip(case.known, case.is_upper, case.log_ga, offsets, strict=True):
        base = log_ga + n.intercept
        if upper:
            edge = Edge(other, True, base + case.configuration_offset[0], math.hypot(n.sd_line, n.sd_level))
        else:
            base += case.configuration_offset[1] + offset + n.slope * other
            edge = Edge(other, False, base, math.hypot(n.sd_line, case.level_offset_sd))
        w = edge.place(case.expected)
        if n.low <= w <= n.high and edge.mean(case.expected, n) - limit_at(case, w) >= n.log_expected:
            edges.append(edge)
    return edges


def missed(case: Case, edge: Edge, energy: float, offset: float, offset_sd: float, *, masks: bool) -> float:
    """ln(1 - p0 P_D (1 - M)); P_D by quadrature over the offset and over the scatter of the line."""
    n = case.numbers
    w = edge.place(energy)
    mean = edge.mean(energy, n) + (offset if edge.upper else 0.0)
    own = n.sd_line if edge.upper else edge.spread
    z, step = np.linspace(-7, 7, 57, retstep=True)
    line, shared = np.meshgrid(z, z, indexing="ij")
    intensity = mean + own * line + (offset_sd * shared if edge.upper else 0.0)
    weight = norm.pdf(line) * norm.pdf(shared) * step**2
    seen = float(np.sum(weight * norm.cdf((intensity - limit_at(case, w)) / n.sd_limit)))
    hidden = 0.0
    if masks:
        for i in np.flatnonzero(np.abs(case.wavenumber - w) <= n.mask_reach):
            if case.log_intensity[i] > mean - 0.3:
                hidden = max(hidden, 1.0 if i in case.claimed else n.masked_by_free)
    return math.log(1 - n.listed * seen * (1 - hidden))


def nothing(case: Case) -> float:
    return sum(
        missed(case, e, case.expected, 0.0, case.numbers.sd_level, masks=False) for e in edges_of(case)
    )


def reference(case: Case, energy: float) -> tuple[float, int, float]:
    """ln W at an energy, lines matched, and the uncertainty of the energy."""
    n, edges = case.numbers, edges_of(case)
    s1 = math.hypot(case.sd, case.known_sd)
    chosen: list[tuple[float, float, float] | None] = []  # value, residual in dex, residual in cm-1
    for e in edges:
        best = None
        for i in np.flatnonzero(np.abs(case.wavenumber - e.place(energy)) <= 2 * n.reach):
            x, y = case.wavenumber[i], case.log_intensity[i]
            point = e.other + x if e.upper else e.other - x
            if i in case.claimed or not n.low <= x <= n.high:
                continue
            r = y - e.mean(point, n)
            if abs(r) > 3 * e.spread:
                continue
            d = point - energy
            value = math.log(n.listed) + math.log(wide_and_narrow(d, s1, n) + 1e-300)
            value += norm.logpdf(r, 0, e.spread) - case.log_density[i]
            if best is None or value > best[0]:
                best = (value, r, d)
        chosen.append(best)
    weight = sum(pull(c[2], s1, n) * (1.0 if c[0] >= 0 else 0.01) for c in chosen if c)
    used = [c[1] for e, c in zip(edges, chosen, strict=True) if c and e.upper and c[0] > kernel.IRRELEVANT]
    grid, step = np.linspace(-3, 3, 601, retstep=True)
    posterior = norm.pdf(grid, 0, n.sd_level)
    for r in used:
        posterior = posterior * norm.pdf(r - grid, 0, n.sd_line)
    posterior /= posterior.sum()
    offset = float(np.sum(posterior * grid))
    offset_sd = float(np.sqrt(np.sum(posterior * (grid - offset) ** 2)))
    total, shared, matched = 0.0, norm.pdf(grid, 0, n.sd_level), 0
    for e, c in zip(edges, chosen, strict=True):
        without = missed(case, e, energy, offset, offset_sd, masks=True)
        if c:
            plain = c[0] - norm.logpdf(c[1], 0, e.spread)
            value = c[0]
            if e.upper:
                value = plain + norm.logpdf(c[1] - offset, 0, math.hypot(n.sd_line, offset_sd))
            if value > without:
                matched += 1
                if e.upper:
                    total += plain
                    shared = shared * norm.pdf(c[1] - grid, 0, n.sd_line)
                else:
                    total += c[0]
                continue
        total += without
    total += math.log(np.sum(shared) * step)
    away = energy - case.expected
    prior = n.core_share * norm.pdf(away, 0, 1.2 * case.expected_sd)
    prior += n.tail_share * norm.pdf(away, 0, 3 * case.expected_sd)
    prior += (1 - n.core_share - n.tail_share) / (2 * n.window)
    s_e = weight**-0.5
    return total + math.log(prior) + math.log(math.sqrt(2 * math.pi) * s_e), matched, s_e


def anchors(case: Case) -> list[float]:
    """Energies that single lines imply."""
    bottom = case.expected - case.numbers.window if case.bottom is None else case.bottom
    top = case.expected + case.numbers.window if case.top is None else case.top
    points = [
        (
            e.other + x if e.upper else e.other - x,
            abs(y - e.mean(case.expected, case.numbers)) <= 2.9 * e.spread,
        )
        for e in edges_of(case)
        for i, (x, y) in enumerate(zip(case.wavenumber, case.log_intensity, strict=True))
        if i not in case.claimed
    ]
    return sorted(p for p, fits in points if fits and bottom <= p <= top)


def random_case(seed: int, *, upper: int, lower: int) -> Case:
    """A level with lines to others below and above it, in a crowded spectrum; two thirds are there, with scatter."""
    rng = np.random.default_rng(seed)
    truth, m = 30_000.0, upper + lower
    known = np.concatenate([rng.uniform(0, 12_000, upper), rng.uniform(45_000, 70_000, lower)])
    is_upper = np.arange(m) < upper
    log_ga = rng.uniform(6.2, 8.5, m)
    top = np.where(is_upper, truth, known)
    offset = rng.normal(0, 0.25)
    log_i = log_ga + NUMBERS.intercept + NUMBERS.slope * top + rng.normal(0, 0.3, m) + offset * is_upper
    place = np.abs(known - truth)
    there = rng.uniform(size=m) < 0.8
    error = np.where(rng.uniform(size=m) < 0.2, 0.03, 0.003) * rng.standard_normal(m)
    noise = np.concatenate([p + rng.uniform(-200, 200, 250) for p in place])
    wavenumber = np.concatenate([(place + error)[there], noise])
    log_intensity = np.concatenate(
        [np.maximum(log_i, LIMIT)[there], rng.exponential(0.5, noise.size) + LIMIT]
    )
    return Case(
        list(known), list(is_upper), list(log_ga), truth + rng.normal(0, 20.0), wavenumber, log_intensity,
        log_density=np.log(0.6) - (log_intensity - LIMIT), claimed=set(rng.integers(0, wavenumber.size, 30)),
        configuration_offset=(0.1, -0.1), level_offset=list(rng.normal(0, 0.1, m)), level_offset_sd=0.2,
        limit=LIMIT + 0.1 * np.sin(np.arange(56.0)),
    )  # fmt: skip


CASES = [(seed, upper, lower) for seed in range(3) for upper, lower in ((6, 0), (0, 6), (4, 3))]


@pytest.mark.parametrize(("seed", "upper", "lower"), CASES)
def test_log_evidence_is_that_of_the_formula(seed, upper, lower):
    """Within 0.01: the compiled score stops after three steps towards the energy, the formula is taken there."""
    case = random_case(seed, upper=upper, lower=lower)
    scores = case.score()
    assert scores.n_expected[0] == len(edges_of(case))
    value, matched, sd = reference(case, scores.energy[0, 0])
    assert scores.log_evidence[0, 0] == pytest.approx(value, abs=0.01)
    assert scores.n_lines[0, 0] == matched == np.count_nonzero(scores.line >= 0)
    assert scores.energy_sd[0, 0] == pytest.approx(sd, rel=0.01)


@pytest.mark.parametrize(("seed", "upper", "lower"), [(5, 0, 6), (5, 4, 3)])
def test_every_kept_candidate_has_the_evidence_of_the_formula(seed, upper, lower):
    """Poor candidates too, within 0.3: their energy has not always settled."""
    case = random_case(seed, upper=upper, lower=lower)
    scores = case.score()
    n = np.count_nonzero(np.isfinite(scores.energy[0]))
    assert n >= 3
    assert np.all(np.diff(scores.log_evidence[0, :n]) <= 0)
    for energy, value, matched in zip(
        scores.energy[0, :n], scores.log_evidence[0, :n], scores.n_lines[0, :n], strict=True
    ):
        expected, n_lines, _ = reference(case, energy)
        assert value == pytest.approx(expected, abs=0.3)
        assert matched == n_lines


@pytest.mark.parametrize(("seed", "upper", "lower"), [(2, 0, 6), (5, 4, 3), (1, 6, 0)])
def test_no_anchor_is_better_than_the_best_candidate(seed, upper, lower):
    """Brute force over all energies that a line implies: the rough pruning loses nothing, nor does the refinement."""
    case = random_case(seed, upper=upper, lower=lower)
    case.bottom, case.top = 29_992.0, 30_008.0
    scores = case.score()
    best = max(reference(case, energy)[0] for energy in anchors(case))
    assert scores.log_evidence[0, 0] >= best - 0.3


def test_total_sums_the_candidates_and_nothing():
    """Candidates that lie a reach or more apart, and that no line is seen."""
    case = random_case(5, upper=4, lower=3)
    case.bottom, case.top = 29_990.0, 30_010.0
    scores = case.score()
    apart: list[float] = []
    values = [nothing(case)]
    for value, energy in sorted(((reference(case, a)[0], a) for a in anchors(case)), reverse=True):
        if all(abs(energy - other) > NUMBERS.reach for other in apart):
            apart.append(energy)
            values.append(value)
    assert scores.log_total[0] == pytest.approx(np.logaddexp.reduce(values), abs=0.3)
    assert scores.log_total[0] >= scores.log_evidence[0, 0]


def pair(*, upper: bool = True, **changes) -> Case:
    """Two strong lines where they belong, in an otherwise empty spectrum."""
    truth = 30_000.0
    known = [0.0, 3_000.0] if upper else [50_000.0, 53_000.0]
    top = np.array([truth, truth]) if upper else np.array(known)
    given = {
        "known": known, "is_upper": [upper, upper], "log_ga": [8.0, 8.0], "expected": truth + 5.0,
        "wavenumber": np.abs(np.array(known) - truth), "log_intensity": 4.0 + NUMBERS.slope * top,
    }  # fmt: skip
    return Case(**{**given, **changes})


def with_lines(case: Case, wavenumber, log_intensity, claimed=()) -> Case:
    n = case.wavenumber.size
    return pair(
        wavenumber=np.append(case.wavenumber, wavenumber),
        log_intensity=np.append(case.log_intensity, log_intensity),
        claimed={n + i for i in claimed},
    )


@pytest.mark.parametrize("upper", [True, False])
def test_two_exact_lines_win(upper):
    case = pair(upper=upper, log_density=math.log(1e-4))
    scores = case.score()
    assert scores.energy[0, 0] == pytest.approx(30_000.0, abs=1e-6)
    assert scores.n_lines[0, 0] == 2
    assert log_odds(scores) > 10
    assert np.array_equal(np.sort(scores.line), [0, 1])
    # by hand: two lines without residual and the closed form of a shared offset
    s1, n = math.hypot(0.003, 0.001), NUMBERS
    f0 = math.log((1 - n.wide_share) / s1 + n.wide_share / math.hypot(s1, n.wide_sd)) - 0.5 * math.log(
        2 * math.pi
    )
    g0 = norm.logpdf(0, 0, math.hypot(n.sd_line, 0.25)) * 2
    if upper:
        covariance = n.sd_line**2 * np.eye(2) + n.sd_level**2
        g0 = -0.5 * math.log(np.linalg.det(2 * math.pi * covariance))
    prior = n.core_share * norm.pdf(5, 0, 24) + n.tail_share * norm.pdf(5, 0, 60) + 0.1 / 400
    expected = 2 * (math.log(n.listed) + f0 + math.log(1e4)) + g0 + math.log(prior)
    expected += math.log(math.sqrt(2 * math.pi) * (2 * pull(0.0, s1, n)) ** -0.5)
    assert scores.log_evidence[0, 0] == pytest.approx(expected, abs=1e-6)


def test_without_lines_only_nothing_is_left():
    case = pair(wavenumber=np.array([]), log_intensity=np.array([]))
    scores = case.score()
    assert np.isnan(scores.energy[0]).all()
    assert np.all(scores.log_evidence[0] == -np.inf)
    assert scores.n_expected[0] == 2
    assert scores.log_total[0] == pytest.approx(2 * math.log(1 - NUMBERS.listed), abs=1e-3)
    assert np.all(scores.line == -1)


def test_without_expected_transitions_nothing_is_said():
    faint = pair(log_ga=[2.0, 2.0]).score()
    assert faint.n_expected[0] == 0
    assert faint.log_total[0] == pytest.approx(0.0, abs=1e-12)
    assert np.all(faint.line == -2)
    outside = pair(numbers=NUMBERS._replace(low=35_000.0)).score()
    assert outside.n_expected[0] == 0


def test_more_background_lowers_the_odds():
    odds = [log_odds(pair(log_density=math.log(rho)).score()) for rho in (0.01, 0.1, 1.0, 10.0)]
    assert np.all(np.diff(odds) < 0)
    # two lines: each factor of ten costs twice ln 10
    assert_allclose(np.diff(odds), -2 * math.log(10), atol=0.2)


@pytest.mark.parametrize("excess", [0.0, 0.5])
def test_a_missing_strong_line_costs_its_chance_to_be_listed_and_a_masked_one_nothing(excess):
    def three(extra_at, extra_log_i, claimed):
        return Case(
            [0.0, 3_000.0, 6_000.0], [True] * 3, [8.0] * 3, 30_000.0,
            np.append([30_000.0, 27_000.0], extra_at), np.append([2.8, 2.8], extra_log_i),
            claimed=set(claimed), log_density=math.log(0.01),
        ).score()  # fmt: skip

    complete = pair(expected=30_000.0, log_intensity=np.array([2.8, 2.8]), log_density=math.log(0.01)).score()
    absent = three([], [], [])
    assert absent.log_evidence[0, 0] - complete.log_evidence[0, 0] == pytest.approx(
        math.log(1 - NUMBERS.listed), abs=0.01
    )
    # beyond 3 standard deviations in intensity or in place it is no match, but it hides
    at = 24_000.0 + 0.075
    bright = 2.8 + 3 * math.hypot(0.33, 0.25) + 0.1 + excess
    masked = three([at], [bright], [2])
    assert masked.log_evidence[0, 0] == pytest.approx(complete.log_evidence[0, 0], abs=1e-6)
    perhaps = three([at], [bright], [])
    assert perhaps.log_evidence[0, 0] - complete.log_evidence[0, 0] == pytest.approx(
        math.log(1 - NUMBERS.listed * (1 - NUMBERS.masked_by_free)), abs=0.01
    )
    beside = three([24_000.0 + 0.09], [bright], [2])
    faint = three([at], [2.3], [2])
    for other in (beside, faint):
        assert other.log_evidence[0, 0] == pytest.approx(absent.log_evidence[0, 0], abs=0.01)


def test_a_transition_below_the_limit_may_be_missing():
    """P_D falls from one to nothing over the limit."""
    cost = []
    for log_ga in (8.0, 6.3, 5.7, 5.4):
        case = Case(
            [0.0, 3_000.0, 6_000.0], [True] * 3, [8.0, 8.0, log_ga], 30_000.0,
            np.array([30_000.0, 27_000.0]), np.array([2.8, 2.8]),
        )  # fmt: skip
        two = Case([0.0, 3_000.0], [True] * 2, [8.0, 8.0], 30_000.0, case.wavenumber, case.log_intensity)
        cost.append(case.score().log_evidence[0, 0] - two.score().log_evidence[0, 0])
    assert np.all(np.diff(cost) > 0)
    assert cost[0] == pytest.approx(math.log(0.07), abs=0.02)
    assert -0.5 < cost[-1] < 0


def test_forbidden_energies_are_passed_over():
    case = pair()
    second = with_lines(case, [30_007.0, 27_007.0], [2.8, 2.8])
    assert second.score().energy[0, 0] == pytest.approx(30_007.0, abs=0.01)
    second.forbidden = [(2, 30_007.01)]
    scores = second.score()
    assert scores.energy[0, 0] == pytest.approx(30_000.0, abs=0.01)
    assert not np.any(np.abs(scores.energy[0] - 30_007.0) < 0.05)
    second.forbidden = [(1, 30_007.01), (2, 30_007.5)]
    assert second.score().energy[0, 0] == pytest.approx(30_007.0, abs=0.01)


@pytest.mark.parametrize("which", [0, 1])
def test_claimed_lines_are_not_used(which):
    case = pair()
    case.claimed = {which}
    scores = case.score()
    assert scores.n_lines[0, 0] <= 1
    assert which not in scores.line


@pytest.mark.parametrize(
    ("bottom", "top", "found"), [(29_999.0, 30_001.0, True), (30_001.0, 30_100.0, False)]
)
@pytest.mark.parametrize("upper", [True, False])
def test_energies_outside_the_window_are_not_looked_at(bottom, top, found, upper):
    scores = pair(upper=upper, bottom=bottom, top=top).score()
    assert bool(scores.n_lines[0, 0] == 2) is found
    inside = scores.energy[0][np.isfinite(scores.energy[0])]
    assert np.all((inside >= bottom) & (inside <= top))


@pytest.mark.parametrize("upper", [True, False])
def test_lines_outside_the_spectral_range_are_not_used(upper):
    case = pair(upper=upper)
    one = float(case.wavenumber.mean())
    scores = pair(upper=upper, numbers=NUMBERS._replace(high=one)).score()
    assert scores.n_expected[0] == 1
    assert scores.n_lines[0, 0] == 1


def test_a_line_that_hardly_belongs_does_not_pull_at_the_energy():
    """70 mK off and much too bright, in a crowd: its pull counts a hundredth of 1 / (30 mK)^2."""
    case = Case(
        [0.0, 3_000.0, 6_000.0], [True] * 3, [8.0] * 3, 30_000.0,
        np.array([30_000.0, 27_000.0, 24_000.07]), np.array([2.8, 2.8, 2.8 + 2.9 * math.hypot(0.33, 0.25)]),
        log_density=np.array([-4.0, -4.0, 5.0]),
    )  # fmt: skip
    scores = case.score()
    assert abs(scores.energy[0, 0] - 30_000.0) < 5e-5
    assert scores.n_lines[0, 0] == 2


def test_the_prior_decides_between_equal_candidates():
    case = with_lines(pair(), [30_040.0, 27_040.0], [2.8, 2.8])
    scores = case.score()
    assert scores.energy[0, :2] == pytest.approx([30_000.0, 30_040.0], abs=0.01)
    n = NUMBERS

    def prior(away: float) -> float:
        core, tail = norm.pdf(away, 0, 24), norm.pdf(away, 0, 60)
        return math.log(n.core_share * core + n.tail_share * tail + 0.1 / 400)

    # the slope of the populations makes lines of equal intensity fit a little better at one of the two
    gain = scores.log_evidence[0, 0] - scores.log_evidence[0, 1]
    assert gain == pytest.approx(prior(5.0) - prior(35.0), abs=0.05)


def test_a_level_that_is_elsewhere_is_an_alternative_to_all_candidates():
    """It is added to the sum, and bounds the odds of a coincidence; with nothing seen it is all that is left."""
    elsewhere = NUMBERS._replace(log_elsewhere=math.log(0.1))
    for case in (pair(), pair(log_density=math.log(30.0)), random_case(5, upper=4, lower=3)):
        before = case.score()
        case.numbers = elsewhere
        after = case.score()
        assert_allclose(after.log_evidence, before.log_evidence)
        assert after.log_total[0] == pytest.approx(np.logaddexp(before.log_total[0], math.log(0.1)))
    empty = pair(wavenumber=np.array([]), log_intensity=np.array([]), numbers=elsewhere).score()
    assert empty.log_total[0] == pytest.approx(np.logaddexp(math.log(0.1), 2 * math.log(0.07)), abs=1e-3)


@pytest.mark.parametrize("apart", [0.0, 0.01, 0.05])
def test_one_line_does_not_count_twice(apart):
    """Two partners at nearly the same energy, and one line that would do for both."""
    twins = Case(
        [0.0, apart], [True, True], [8.0, 8.0], 30_000.0, np.array([30_000.0]), np.array([2.8]),
        log_density=math.log(1e-3),
    )  # fmt: skip
    scores = twins.score()
    assert scores.n_lines[0, 0] == 1
    assert np.count_nonzero(scores.line >= 0) == 1
    single = Case(
        [0.0], [True], [8.0], 30_000.0, np.array([30_000.0]), np.array([2.8]), log_density=math.log(1e-3)
    )
    assert scores.log_evidence[0, 0] <= single.score().log_evidence[0, 0] + 1e-6


def test_a_transition_that_the_candidate_puts_outside_the_range_is_not_missing():
    """Expected at 24,150 cm^-1 in a spectrum that starts at 24,100, at 24,000 for the candidate."""
    changes = {"expected_sd": 100.0, "log_density": math.log(0.01)}
    lines = np.array([30_000.0, 27_000.0]), np.array([2.8, 2.8])
    two = Case([0.0, 3_000.0], [True] * 2, [8.0] * 2, 30_150.0, *lines, **changes).score()
    changes["numbers"] = NUMBERS._replace(low=24_100.0)
    three = Case([0.0, 3_000.0, 6_000.0], [True] * 3, [8.0] * 3, 30_150.0, *lines, **changes).score()
    assert three.n_expected[0] == 3
    assert three.log_evidence[0, 0] == pytest.approx(two.log_evidence[0, 0], abs=1e-9)


def test_a_common_offset_costs_less_than_opposite_residuals():
    """The lines of one upper level share what its population departs; those of a lower level do not."""
    common = pair(log_intensity=np.array([3.2, 3.2])).score().log_evidence[0, 0]
    opposite = pair(log_intensity=np.array([3.2, 2.4])).score().log_evidence[0, 0]
    n = NUMBERS
    shared = 1 / n.sd_line**2 - 1 / (n.sd_line**2 + 2 * n.sd_level**2)
    assert common - opposite == pytest.approx(0.4**2 * shared, abs=1e-6)
    tops = 4.0 + NUMBERS.slope * np.array([50_000.0, 53_000.0])
    common = pair(upper=False, log_intensity=tops + 0.4).score().log_evidence[0, 0]
    opposite = pair(upper=False, log_intensity=tops + np.array([0.4, -0.4])).score().log_evidence[0, 0]
    assert common == pytest.approx(opposite, abs=1e-9)


def test_offsets_of_the_configuration_and_of_the_partner_shift_what_is_expected():
    brighter = np.array([2.8, 2.8]) + 0.3
    plain = pair(log_intensity=brighter).score().log_evidence[0, 0]
    shifted = pair(log_intensity=brighter, configuration_offset=(0.3, 0.0)).score().log_evidence[0, 0]
    exact = pair().score().log_evidence[0, 0]
    assert shifted == pytest.approx(exact, abs=1e-9)
    assert shifted > plain
    low = pair(upper=False)
    low.log_intensity = low.log_intensity + 0.3
    assert pair(
        upper=False, log_intensity=low.log_intensity, configuration_offset=(0.0, 0.1), level_offset=[0.2, 0.2]
    ).score().log_evidence[0, 0] == pytest.approx(pair(upper=False).score().log_evidence[0, 0], abs=1e-9)


def test_the_evidence_integrates_over_the_energy():
    """sqrt(2 pi) s_E stands for the integral over E of what the lines say, to a fifth for two agreeing lines."""
    case = pair(log_density=math.log(1e-3))
    centre, _, s_e = reference(case, 30_000.0)
    d, step = np.linspace(-0.08, 0.08, 1601, retstep=True)
    s1 = math.hypot(case.sd, case.known_sd)
    ratio = np.array([wide_and_narrow(x, s1, NUMBERS) / wide_and_narrow(0.0, s1, NUMBERS) for x in d])
    integral = float(np.sum(ratio**2) * step)
    assert integral / (math.sqrt(2 * math.pi) * s_e) == pytest.approx(1.0, abs=0.2)
    assert case.score().log_evidence[0, 0] == pytest.approx(centre, abs=1e-6)


def test_scores_do_not_depend_on_the_order_of_the_transitions():
    case = random_case(2, upper=4, lower=3)
    scores = case.score()
    order = np.array([6, 2, 0, 4, 1, 3, 5])
    case.known = [case.known[i] for i in order]
    case.is_upper = [case.is_upper[i] for i in order]
    case.log_ga = [case.log_ga[i] for i in order]
    case.level_offset = [case.level_offset[i] for i in order]
    again = case.score()
    assert_allclose(again.log_evidence[0, 0], scores.log_evidence[0, 0], atol=1e-9)
    assert_allclose(again.log_total, scores.log_total, atol=1e-9)
    assert np.array_equal(again.line, scores.line[order])
