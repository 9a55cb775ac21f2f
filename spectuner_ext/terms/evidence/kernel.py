"""Evidence for every candidate energy of a level: numbers in, numbers out.

The evidence of an energy E for a level is the likelihood ratio of "E is real" against "every line is something
else":

    ln W(E) = ln p(E) + ln(sqrt(2 pi) s_E)
            + sum over matched transitions of [ln p0 + ln f(d) + ln g(r) - ln rho]
            + sum over unmatched ones of ln(1 - p0 P_D (1 - M))

with d the residual of the energy that a line implies, r the residual of the decimal logarithm of its intensity, rho
the density of unclaimed lines per cm^-1 and dex, p0 the chance that a line is listed and measured well, P_D the
probability that it lies above the detection limit, and M the probability that another line hides it. f is a narrow
and a wide Gaussian; g is a Gaussian in which the lines of one upper level share an offset that is integrated out; s_E
is the uncertainty of E.
"""

import math

import numpy as np
from numba import njit

__all__ = ["score_levels"]

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
NEGLIGIBLE = 12.0
"""Candidates whose rough evidence is lower than the best by this (in ln), and 0.3 a transition, are not looked at."""
IRRELEVANT = -3.0
"""A line that speaks less for a candidate than this (in ln) has no part in the shared offset; one that speaks against
it (below 0) has a hundredth of its weight in the energy."""


@njit(cache=True, inline="always")
def _log_normal(x, sd):  # type: ignore[no-untyped-def]
    return -0.5 * (x / sd) ** 2 - math.log(sd) - HALF_LOG_2PI


@njit(cache=True, inline="always")
def _normal_cdf(x):  # type: ignore[no-untyped-def]
    return 0.5 * math.erfc(-x * 0.7071067811865476)


@njit(cache=True, inline="always")
def _on_grid(x, x0, step, values):  # type: ignore[no-untyped-def]
    """Linear interpolation on a regular grid, held at its ends."""
    position = (x - x0) / step
    last = values.size - 1
    if position <= 0.0:
        return values[0]
    if position >= last:
        return values[last]
    i = int(position)
    return values[i] + (position - i) * (values[i + 1] - values[i])


@njit(cache=True, inline="always")
def _log_add(peak, total, value):  # type: ignore[no-untyped-def]
    """Add exp(value) to the sum exp(peak) * total."""
    if value > peak:
        return value, total * math.exp(peak - value) + 1.0
    return peak, total + math.exp(value - peak)


@njit(cache=True)
def _expected(k, graph, spectrum, state, numbers):  # type: ignore[no-untyped-def]
    """Transitions of level k to known levels that should be seen, and the evidence when none of them is."""
    first, last = graph.pointer[k], graph.pointer[k + 1]
    slot = np.empty(last - first, dtype=np.int64)
    base = np.empty(last - first)
    spread = np.empty(last - first)
    missed = np.empty(last - first)
    n = 0
    nothing = 0.0
    for t in range(first, last):
        j = graph.partner[t]
        if not math.isfinite(state.energy[j]):
            continue
        upper = graph.is_upper[t]
        w = state.expected[k] - state.energy[j] if upper else state.energy[j] - state.expected[k]
        if w < numbers.low or w > numbers.high:
            continue
        b = graph.log_ga[t] + numbers.intercept
        if upper:
            b += state.configuration_offset[graph.configuration[k]]
            predicted = b + numbers.slope * state.expected[k]
            sd = math.sqrt(numbers.sd_line**2 + numbers.sd_level**2)
        else:
            b += state.configuration_offset[graph.configuration[j]] + state.level_offset[j]
            b += numbers.slope * state.energy[j]
            predicted = b
            sd = math.sqrt(numbers.sd_line**2 + state.level_offset_sd[j] ** 2)
        limit = _on_grid(w, numbers.limit_start, numbers.limit_step, spectrum.log_limit)
        if predicted - limit < numbers.log_expected:
            continue
        slot[n], base[n], spread[n] = t, b, sd
        n += 1
        seen = _normal_cdf((predicted - limit) / math.sqrt(sd**2 + numbers.sd_limit**2))
        missed[n - 1] = math.log(1.0 - numbers.listed * seen)
        nothing += missed[n - 1]
    return slot[:n], base[:n], spread[:n], missed[:n], nothing


@njit(cache=True)
def _points(k, slot, base, spread, graph, spectrum, state, numbers):  # type: ignore[no-untyped-def]
    """Energies that single lines imply for level k, ordered, with their transition, line and residual."""
    wavenumber = spectrum.wavenumber
    n_edges = slot.size
    first = np.empty(n_edges, dtype=np.int64)
    last = np.empty(n_edges, dtype=np.int64)
    capacity = 0
    for e in range(n_edges):
        other = state.energy[graph.partner[slot[e]]]
        if graph.is_upper[slot[e]]:
            low, high = state.bottom[k] - other, state.top[k] - other
        else:
            low, high = other - state.top[k], other - state.bottom[k]
        first[e] = np.searchsorted(wavenumber, max(low, numbers.low))
        last[e] = np.searchsorted(wavenumber, min(high, numbers.high), side="right")
        capacity += max(last[e] - first[e], 0)
    energy = np.empty(capacity)
    edge = np.empty(capacity, dtype=np.int64)
    line = np.empty(capacity, dtype=np.int64)
    residual = np.empty(capacity)
    n = 0
    for e in range(n_edges):
        other = state.energy[graph.partner[slot[e]]]
        upper = graph.is_upper[slot[e]]
        for i in range(first[e], last[e]):
            if spectrum.claimed[i]:
                continue
            point = other + wavenumber[i] if upper else other - wavenumber[i]
            r = spectrum.log_intensity[i] - base[e]
            if upper:
                r -= numbers.slope * point
            if abs(r) > 3.0 * spread[e]:
                continue
            energy[n], edge[n], line[n], residual[n] = point, e, i, r
            n += 1
    order = np.argsort(energy[:n])
    return energy[:n][order], edge[:n][order], line[:n][order], residual[:n][order]


@njit(cache=True)
def _rough_evidence(energy, edge, gain, s1, s2, wide, n_edges, reach):  # type: ignore[no-untyped-def]
    """What each point and its neighbours gain over seeing nothing, if the level is there and nothing hidden."""
    n = energy.size
    rough = np.zeros(n)
    most = np.zeros(n_edges)
    start = stop = 0
    for i in range(n):
        while energy[start] < energy[i] - reach:
            start += 1
        while stop < n and energy[stop] <= energy[i] + reach:
            stop += 1
        total = 0.0
        for q in range(start, stop):
            narrow, broad = s1[q] ** 2 + s1[i] ** 2, s2[q] ** 2 + s1[i] ** 2
            d2 = (energy[q] - energy[i]) ** 2
            f = (1.0 - wide) * math.exp(-0.5 * d2 / narrow) / s1[q] + wide * math.exp(-0.5 * d2 / broad) / s2[
                q
            ]
            value = gain[q] + math.log(f + 1e-300) - HALF_LOG_2PI
            if value > most[edge[q]]:
                total += value - most[edge[q]]
                most[edge[q]] = value
        for q in range(start, stop):
            most[edge[q]] = 0.0
        rough[i] = total
    return rough


@njit(cache=True)
def _score_one(out, k, graph, spectrum, state, numbers, scores):  # type: ignore[no-untyped-def]
    """Write the scores of level k into row `out`."""
    n_kept = scores.energy.shape[1]
    told = scores.terms.shape[0] > 0
    if told:
        scores.terms[out] = 0.0
    scores.energy[out, :] = np.nan
    scores.log_evidence[out, :] = -np.inf
    scores.energy_sd[out, :] = np.nan
    scores.n_lines[out, :] = 0
    scores.line[graph.pointer[k] : graph.pointer[k + 1]] = -2
    slot, base, spread, missed_alone, nothing = _expected(k, graph, spectrum, state, numbers)
    n_edges = slot.size
    scores.n_expected[out] = n_edges
    peak, total = _log_add(nothing, 1.0, numbers.log_elsewhere)
    scores.log_total[out] = peak + math.log(total)
    if n_edges == 0:
        return
    scores.line[slot] = -1
    energy, edge, line, residual = _points(k, slot, base, spread, graph, spectrum, state, numbers)
    n_points = energy.size
    if n_points == 0:
        return
    # the plain numbers and arrays that the loop over anchors needs
    wavenumber, log_intensity, claimed, log_limit = (
        spectrum.wavenumber, spectrum.log_intensity, spectrum.claimed, spectrum.log_limit,
    )  # fmt: skip
    reach, sd_line, sd_level, wide, listed = (
        numbers.reach, numbers.sd_line, numbers.sd_level, numbers.wide_share, numbers.listed,
    )  # fmt: skip
    forbidden_level, forbidden_energy = state.forbidden_level, state.forbidden_energy
    upper = graph.is_upper[slot]
    other = state.energy[graph.partner[slot]]
    s1 = np.empty(n_points)
    s2 = np.empty(n_points)
    worth = np.empty(n_points)
    gain = np.empty(n_points)
    for i in range(n_points):
        s1[i] = math.sqrt(spectrum.sd[line[i]] ** 2 + state.energy_sd[graph.partner[slot[edge[i]]]] ** 2)
        s2[i] = math.sqrt(s1[i] ** 2 + numbers.wide_sd**2)
        worth[i] = (
            math.log(listed) + _log_normal(residual[i], spread[edge[i]]) - spectrum.log_density[line[i]]
        )
        gain[i] = worth[i] - missed_alone[edge[i]]
    best = np.empty(n_edges, dtype=np.int64)
    best_worth = np.empty(n_edges)
    kept = np.full(n_edges, -1, dtype=np.int64)
    peak, total = nothing, 1.0
    cluster_energy, cluster_evidence = -np.inf, -np.inf
    previous = -np.inf
    rough = _rough_evidence(energy, edge, gain, s1, s2, wide, n_edges, reach)
    threshold = rough.max() - NEGLIGIBLE - 0.3 * n_edges
    start = stop = 0
    for anchor in range(n_points):
        while energy[start] < energy[anchor] - reach:
            start += 1
        while stop < n_points and energy[stop] <= energy[anchor] + reach:
            stop += 1
        if rough[anchor] < threshold:
            continue
        # the energy, with the best line of each transition
        here, variance = energy[anchor], 0.0
        for _ in range(3):
            best[:] = -1
            best_worth[:] = -np.inf
            for i in range(start, stop):
                d = energy[i] - here
                f = (1.0 - wide) * math.exp(-0.5 * (d / s1[i]) ** 2) / s1[i]
                f += wide * math.exp(-0.5 * (d / s2[i]) ** 2) / s2[i]
                value = worth[i] + math.log(f + 1e-300) - HALF_LOG_2PI
                if value > best_worth[edge[i]]:
                    best_worth[edge[i]] = value
                    best[edge[i]] = i
            weight = moment = 0.0
            for e in range(n_edges):
                i = best[e]
                if i < 0:
                    continue
                d = energy[i] - here
                f1 = (1.0 - wide) * math.exp(-0.5 * (d / s1[i]) ** 2) / s1[i]
                f2 = wide * math.exp(-0.5 * (d / s2[i]) ** 2) / s2[i] + 1e-300
                w = (f1 / s1[i] ** 2 + f2 / s2[i] ** 2) / (f1 + f2)
                if best_worth[e] < 0.0:
                    w *= 0.01
                weight += w
                moment += w * d
            here += moment / weight
            variance = 1.0 / weight
        if abs(here - previous) < 1e-4 or here < state.bottom[k] or here > state.top[k]:
            continue
        previous = here
        banned = False
        for i in range(forbidden_level.size):
            if forbidden_level[i] == k and abs(forbidden_energy[i] - here) < reach:
                banned = True
        if banned:
            continue
        # one line is one transition of a level: the one that it speaks for most
        for e in range(n_edges):
            for other_e in range(e):
                if best[e] >= 0 and best[other_e] >= 0 and line[best[e]] == line[best[other_e]]:
                    if best_worth[e] > best_worth[other_e]:
                        best[other_e] = -1
                    else:
                        best[e] = -1
        # the offset that the lines of this upper level share
        precision, moment = 1.0 / sd_level**2, 0.0
        for e in range(n_edges):
            if best[e] >= 0 and upper[e] and best_worth[e] > IRRELEVANT:
                precision += 1.0 / sd_line**2
                moment += residual[best[e]] / sd_line**2
        offset, offset_sd = moment / precision, math.sqrt(1.0 / precision)
        evidence = 0.0
        n_matched = n_shared = 0
        sum_r = sum_r2 = 0.0
        lacking = worst = foreseen = foreseen_matched = off_place = strength = chance = intensity = 0.0
        best_line = -np.inf
        for e in range(n_edges):
            i = best[e]
            if upper[e]:
                w = here - other[e]
                predicted = base[e] + numbers.slope * here + offset
                sd = math.sqrt(sd_line**2 + offset_sd**2)
            else:
                w = other[e] - here
                predicted = base[e]
                sd = spread[e]
            if w < numbers.low or w > numbers.high:
                continue
            over = predicted - _on_grid(w, numbers.limit_start, numbers.limit_step, log_limit)
            seen = _normal_cdf(over / math.sqrt(sd**2 + numbers.sd_limit**2))
            hidden = 0.0
            q = np.searchsorted(wavenumber, w - numbers.mask_reach)
            while q < wavenumber.size and wavenumber[q] <= w + numbers.mask_reach:
                if log_intensity[q] > predicted - 0.3:
                    hidden = max(hidden, 1.0 if claimed[q] else numbers.masked_by_free)
                q += 1
            missed = math.log(1.0 - listed * seen * (1.0 - hidden))
            foreseen += seen
            if i >= 0:
                r = residual[i]
                without = best_worth[e] - _log_normal(r, spread[e])
                matched = best_worth[e]
                if upper[e]:
                    matched = without + _log_normal(r - offset, sd)
                if matched > missed:
                    n_matched += 1
                    if told:
                        foreseen_matched += seen
                        chance -= spectrum.log_density[line[i]]
                        off_place += math.log1p(((energy[i] - here) / s1[i]) ** 2)
                        strength += log_intensity[line[i]] - (predicted - over)
                        best_line = max(best_line, matched)
                        if not upper[e]:
                            intensity += matched - without
                    if upper[e]:
                        evidence += without
                        n_shared += 1
                        sum_r += r
                        sum_r2 += r * r
                    else:
                        evidence += matched
                    continue
                best[e] = -1
            evidence += missed
            lacking += missed
            worst = min(worst, missed)
        if n_matched == 0:
            continue
        if n_shared > 0:
            # n residuals of variance sd_line^2 with a common part of variance sd_level^2, integrated out
            shrink = 1.0 + n_shared * (sd_level / sd_line) ** 2
            without = evidence
            evidence -= 0.5 * (sum_r2 - sum_r**2 * (sd_level / sd_line) ** 2 / shrink) / sd_line**2
            evidence -= n_shared * (math.log(sd_line) + HALF_LOG_2PI) + 0.5 * math.log(shrink)
            intensity += evidence - without
        sd = state.expected_sd[k]
        away = (here - state.expected[k]) / sd
        prior = numbers.core_share * math.exp(-0.5 * (away / 1.2) ** 2) / (1.2 * sd)
        prior += numbers.tail_share * math.exp(-0.5 * (away / 3.0) ** 2) / (3.0 * sd)
        prior *= 0.3989422804014327
        prior += (1.0 - numbers.core_share - numbers.tail_share) / (2.0 * numbers.window)
        of_lines = evidence
        evidence += math.log(prior) + 0.5 * math.log(variance) + HALF_LOG_2PI
        # anchors of one cluster lead to the same energy; only its best counts in the total
        if here - cluster_energy > reach:
            peak, total = _log_add(peak, total, cluster_evidence)
            cluster_energy, cluster_evidence = here, evidence
        elif evidence > cluster_evidence:
            cluster_energy, cluster_evidence = here, evidence
        place = _insert(out, here, evidence, math.sqrt(variance), n_matched, 0.5 * reach, n_kept, scores)
        if place == 0:
            for e in range(n_edges):
                kept[e] = line[best[e]] if best[e] >= 0 else -1
        if told and place < n_kept:
            certain = n_matched * math.log(listed)
            terms = scores.terms[out, place]
            terms[0], terms[1] = math.log(prior), 0.5 * math.log(variance) + HALF_LOG_2PI
            terms[2] = of_lines - intensity - chance - certain - lacking
            terms[3], terms[4], terms[5], terms[6] = intensity, chance, certain, lacking
            terms[7], terms[8], terms[9], terms[10] = worst, n_matched, foreseen, foreseen_matched
            terms[11], terms[12] = best_line, off_place / n_matched
            terms[13], terms[14], terms[15] = abs(offset) / sd_level, abs(away), strength
    peak, total = _log_add(peak, total, cluster_evidence)
    scores.line[slot] = kept
    peak, total = _log_add(peak, total, numbers.log_elsewhere)
    scores.log_total[out] = peak + math.log(total)


@njit(cache=True)
def _insert(out, energy, evidence, sd, n, apart, n_kept, scores):  # type: ignore[no-untyped-def]
    """Put a candidate in its place among the kept ones, and return the place; `n_kept` when it has none."""
    twin = -1
    for s in range(n_kept):
        if abs(scores.energy[out, s] - energy) < apart:
            twin = s
            break
    if twin >= 0 and evidence <= scores.log_evidence[out, twin]:
        return n_kept
    if twin < 0 and evidence <= scores.log_evidence[out, n_kept - 1]:
        return n_kept
    place = twin if twin >= 0 else n_kept - 1
    while place > 0 and evidence > scores.log_evidence[out, place - 1]:
        scores.energy[out, place] = scores.energy[out, place - 1]
        scores.log_evidence[out, place] = scores.log_evidence[out, place - 1]
        scores.energy_sd[out, place] = scores.energy_sd[out, place - 1]
        scores.n_lines[out, place] = scores.n_lines[out, place - 1]
        if scores.terms.shape[0] > 0:
            scores.terms[out, place] = scores.terms[out, place - 1]
        place -= 1
    scores.energy[out, place] = energy
    scores.log_evidence[out, place] = evidence
    scores.energy_sd[out, place] = sd
    scores.n_lines[out, place] = n
    return place


@njit(cache=True, nogil=True)
def score_levels(ids, graph, spectrum, state, numbers, scores):  # type: ignore[no-untyped-def]
    """Score some levels.

    Parameters
    ----------
    ids : array of int, (n_id,)
    graph : Graph
    spectrum : Spectrum
    state : State
    numbers : Numbers
    scores : Scores
        Written.
    """
    for out in range(ids.size):
        _score_one(out, ids[out], graph, spectrum, state, numbers, scores)
