"""Compiled sums from which errors, detections and limits of many pixels follow.

The same quantities as `spectuner_ext.fitting.diagnosis` and `spectuner_ext.fitting.uncertainty` take for one
spectrum, except for the copies at wrong velocities, which cost more than the fit.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K
from ...lte import kernel
from .. import objective
from .pixel import load

__all__ = ["Sums", "judge_all", "limit_all"]

FloatArray = NDArray[np.float64]


class Sums(NamedTuple):
    """What is summed up over the channels of each pixel, filled by `judge_all`."""

    chi2: FloatArray  # (n,)
    used: FloatArray  # (n,) channels
    seen: (
        FloatArray  # (n, 2) chi2 and number of the channels where the model is more than a tenth of the noise
    )
    normal: FloatArray  # (n, n_free, n_free) J^T W J
    middle: FloatArray  # (n, n_free, n_free) the same with the correlation of the noise between
    signal: FloatArray  # (n, n_component) sum w d m, the window means taken out of m
    variance: FloatArray  # (n, n_component) of signal
    present: FloatArray  # (n, n_component) fraction of the predicted emission that the data contain
    missing: FloatArray  # (n, n_component) predicted lines above five sigma that are not there
    predicted: FloatArray  # (n, n_component) predicted lines above five sigma
    brightest: FloatArray  # (n, n_component) sigma, largest absolute value of the component
    tau_max: FloatArray  # (n, n_component) at line centres inside the windows


@njit(cache=True, nogil=True)
def _alone(theta, species, fit, work, model, nothing):  # type: ignore[no-untyped-def]
    """Spectrum of a single component into `model`."""
    kernel.evaluate(theta, species, fit.grid, fit.lines, fit.accuracy, False, work, model, nothing)


@njit(cache=True, nogil=True)
def _tau_max(theta, species, fit):  # type: ignore[no-untyped-def]
    """Largest optical depth at the centre of a line that lies inside a window."""
    n_window = fit.grid.start.shape[0] - 1
    lines, grid = fit.lines, fit.grid
    q_first, q_last = lines.q_start[species], lines.q_start[species + 1]
    log_q, _ = kernel._log_partition(np.log(theta[1]), lines.log_t, lines.log_q, q_first, q_last)
    column = theta[2] * np.exp(-log_q)
    width = theta[3] * FWHM_TO_SIGMA / C_KMS * 2.5066282746310002
    best = 0.0
    for w in range(n_window):
        low, high = grid.low[grid.start[w]], grid.high[grid.start[w + 1] - 1]
        for i in range(lines.start[species * n_window + w], lines.start[species * n_window + w + 1]):
            nu = lines.nu[i]
            centre = nu * (1.0 - theta[4] / C_KMS)
            if low <= centre <= high:
                boltzmann = np.exp(-lines.e_lower[i] / theta[1]) * -np.expm1(-H_OVER_K * nu / theta[1])
                best = max(best, column * lines.strength[i] * boltzmann / (centre * width))
    return best


@njit(cache=True, nogil=True)
def _evidence(p, c, alone, union, n_union, model, model_sum, offset, sigma, smoothing, fit, sums):  # type: ignore[no-untyped-def]
    """Signal, presence and absent lines of one component, the other components taken out of the data."""
    start, value, weight = fit.grid.start, fit.data.value, fit.data.weight
    n_window = start.shape[0] - 1
    k = 0
    power, overlap_sum, expected_sum = 0.0, 0.0, 0.0
    for w in range(n_window):
        if fit.data.s_0[w] <= 0.0:
            while k < n_union and union[k, 0] < start[w + 1]:
                k += 1
            continue
        level = 1.0 / (sigma[w] * sigma[w])
        total, square, product = 0.0, 0.0, 0.0
        run_top, run_at = 0.0, -1
        while k < n_union and union[k, 0] < start[w + 1]:
            for i in range(union[k, 0], union[k, 1]):
                a = alone[i]
                wi = weight[i]
                strong = wi > 0.0 and abs(a) > 5.0 * sigma[w]
                if strong and abs(a) > run_top:
                    run_top, run_at = abs(a), i
                ends = i == union[k, 1] - 1 and not (k + 1 < n_union and union[k + 1, 0] == union[k, 1])
                if run_at >= 0 and (not strong or ends):
                    _count_line(
                        p,
                        c,
                        run_at,
                        run_top,
                        alone,
                        model,
                        offset[w],
                        sigma[w],
                        start[w],
                        start[w + 1],
                        fit,
                        sums,
                    )
                    run_top, run_at = 0.0, -1
                if wi <= 0.0 or a == 0.0:
                    continue
                rest = value[i] - offset[w] - (model[i] - a)
                total += a
                square += a * a
                product += a * rest
                m = abs(a)
                sums.brightest[p, c] = max(sums.brightest[p, c], m / sigma[w])
                overlap = min(max(rest * math.copysign(1.0, a), 0.0), m)
                ratio = m / sigma[w]
                share = 0.5 * (1.0 + math.erf(ratio * 0.7071067811865476))
                overlap_sum += level * m * overlap
                expected_sum += (
                    level
                    * m
                    * (m * share - (1.0 - math.exp(-0.5 * ratio * ratio)) * sigma[w] * 0.3989422804014327)
                )
            k += 1
        n_good = fit.data.s_0[w] / level
        mean = total / n_good
        # sum over all channels of the data less the other components
        rest_all = fit.data.s_1[w] / level - offset[w] * n_good - (model_sum[w] - total)
        sums.signal[p, c] += level * (product - mean * rest_all)
        own = level * (square - mean * total)
        side = smoothing[w]
        if side > 0.0:
            own = _correlated(alone, mean, start[w], start[w + 1], weight, level, side)
        sums.variance[p, c] += own
        power += level * square
    sums.present[p, c] = overlap_sum / expected_sum if power > 0.0 and expected_sum > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _correlated(alone, mean, first, last, weight, level, side):  # type: ignore[no-untyped-def]
    """Variance of a matched filter where neighbouring channels share their noise."""
    norm = 1.0 + 2.0 * side * side
    r_1, r_2 = 2.0 * side / norm, side * side / norm
    total = 0.0
    before, before_2 = 0.0, 0.0
    for i in range(first, last):
        here = alone[i] - mean if weight[i] > 0.0 else 0.0
        total += here * (here + 2.0 * r_1 * before + 2.0 * r_2 * before_2)
        before_2 = before
        before = here
    return level * total


@njit(cache=True, nogil=True)
def _count_line(p, c, top, height, alone, model, offset, sigma, first, last, fit, sums):  # type: ignore[no-untyped-def]
    """Count a predicted line, and whether the data show less than a third of it."""
    seen = np.empty(3)
    n = 0
    sign = math.copysign(1.0, alone[top])
    for i in range(max(top - 1, first), min(top + 2, last)):
        if fit.data.weight[i] > 0.0:
            seen[n] = (fit.data.value[i] - offset - (model[i] - alone[i])) * sign
            n += 1
    level = np.median(seen[:n])
    sums.predicted[p, c] += 1.0
    if level < height / 3.0 and height - level > 5.0 * sigma:
        sums.missing[p, c] += 1.0


@njit(cache=True, nogil=True)
def _dense(x, fit, buf, with_offset, dense):  # type: ignore[no-untyped-def]
    """Jacobian by the fit variables, (n_free, n_channel), from the kernel's."""
    index, start = fit.layout.index, fit.grid.start
    dense[:, :] = 0.0
    for c in range(fit.species.shape[0]):
        for j in range(5):
            row = index[c, j]
            if row < 0:
                continue
            slope = buf.slope[c, j]
            for k in range(buf.work.count[c]):
                for i in range(buf.work.intervals[c, k, 0], buf.work.intervals[c, k, 1]):
                    dense[row, i] += slope * buf.jacobian[c, j, i]
    if with_offset:
        for w in range(start.shape[0] - 1):
            dense[fit.n_line_parameters + w, start[w] : start[w + 1]] = 1.0


@njit(cache=True, nogil=True)
def _middle(dense, smoothing, fit, out):  # type: ignore[no-untyped-def]
    """Add what the correlation of neighbouring channels contributes to J^T R J in units of the noise."""
    start, weight = fit.grid.start, fit.data.weight
    n = dense.shape[0]
    for w in range(start.shape[0] - 1):
        side = smoothing[w]
        if side <= 0.0:
            continue
        norm = 1.0 + 2.0 * side * side
        for distance, r in ((1, 2.0 * side / norm), (2, side * side / norm)):
            for i in range(start[w], start[w + 1] - distance):
                level = r * np.sqrt(weight[i] * weight[i + distance])
                if level == 0.0:
                    continue
                for a in range(n):
                    if dense[a, i] == 0.0:
                        continue
                    for b in range(n):
                        both = level * dense[a, i] * dense[b, i + distance]
                        out[a, b] += both
                        out[b, a] += both


@njit(cache=True, nogil=True)
def judge_all(value, good, sigma, continuum, cmb, x, smoothing, fit, buf, work, alone, nothing, dense, sums):  # type: ignore[no-untyped-def]
    """Sum up every pixel at its solution x; rows of NaN are left out.

    Parameters
    ----------
    work : Workspace of a single component; alone : array, (n_channel,); nothing : array, (1, 5, 0)
    dense : array, (n_free, n_channel); one row of zero length where no noise is correlated
    sums : Sums
    """
    start = fit.grid.start
    n_window = start.shape[0] - 1
    gradient = np.empty(x.shape[1])
    with_offset = x.shape[1] > fit.n_line_parameters
    offset, model_sum = np.zeros(n_window), np.zeros(n_window)
    for p in range(x.shape[0]):
        if np.isnan(x[p, 0]):
            continue
        sums.used[p] = load(value[p], good[p], sigma[p], continuum[p], cmb, fit)
        sums.chi2[p] = objective.chi2_normal(x[p], fit, buf, gradient, sums.normal[p])
        if with_offset:
            offset[:] = x[p, fit.n_line_parameters :]
        sums.middle[p] = sums.normal[p]
        if dense.shape[1] > 0:
            _dense(x[p], fit, buf, with_offset, dense)
            _middle(dense, smoothing, fit, sums.middle[p])
        w = 0
        model_sum[:] = 0.0
        for k in range(buf.work.union_count[0]):
            while start[w + 1] <= buf.work.union[k, 0]:
                w += 1
            for i in range(buf.work.union[k, 0], buf.work.union[k, 1]):
                wi = fit.data.weight[i]
                if wi <= 0.0:
                    continue
                model_sum[w] += buf.model[i]
                if abs(buf.model[i]) > 0.1 * sigma[p, w]:
                    r = fit.data.value[i] - offset[w] - buf.model[i]
                    sums.seen[p, 0] += wi * r * r
                    sums.seen[p, 1] += 1.0
        for c in range(fit.species.shape[0]):
            sums.tau_max[p, c] = _tau_max(buf.theta[c], fit.species[c], fit)
            if fit.species.shape[0] == 1:
                union, n_union, own = buf.work.union, buf.work.union_count[0], buf.model
            else:
                _alone(buf.theta[c : c + 1], fit.species[c : c + 1], fit, work, alone, nothing)
                union, n_union, own = work.union, work.union_count[0], alone
            _evidence(p, c, own, union, n_union, buf.model, model_sum, offset, sigma[p], smoothing, fit, sums)


@njit(cache=True, nogil=True)
def limit_all(  # type: ignore[no-untyped-def]
    value,
    good,
    sigma,
    continuum,
    cmb,
    x,
    wanted,
    assumed,
    allowed_factor,
    top,
    fit,
    buf,
    work,
    alone,
    nothing,
    out,
):
    """Upper limits on the column densities of undetected components, as `diagnosis.upper_limit` defines them.

    Parameters
    ----------
    wanted : array of bool, (n, n_component)
    assumed : array, (n_component, 5)
        Filling factor, T_ex, (ignored), FWHM, v_off of each component.
    allowed_factor : float
        1.25 times one plus twice the sum of the squared correlations of neighbouring channels.
    top : float
        Largest log10 N_tot.
    out : array, (n, n_component), in cm^-2
        Filled; NaN where even the largest column does not exceed the data.
    """
    n_channel = value.shape[1]
    channel = np.empty(n_channel, dtype=np.int64)
    rest, sign, root = np.empty(n_channel), np.empty(n_channel), np.empty(n_channel)
    theta = np.empty((1, 5))
    start = fit.grid.start
    for p in range(value.shape[0]):
        for c in range(wanted.shape[1]):
            out[p, c] = np.nan
            if not wanted[p, c]:
                continue
            load(value[p], good[p], sigma[p], continuum[p], cmb, fit)
            objective.chi2(
                x[p], fit, buf
            )  # leaves the spectrum in buf; render would be compiled in once more
            species = fit.species[c : c + 1]
            _alone(buf.theta[c : c + 1], species, fit, work, alone, nothing)
            for i in range(n_channel):
                rest[i] = fit.data.value[i] - (buf.model[i] - alone[i])
            if x.shape[1] > fit.n_line_parameters:
                for w in range(start.shape[0] - 1):
                    rest[start[w] : start[w + 1]] -= x[p, fit.n_line_parameters + w]
            theta[0] = assumed[c]
            theta[0, 2] = 1e5
            _alone(theta, species, fit, work, alone, nothing)
            bright = 0.0
            for k in range(work.union_count[0]):
                for i in range(work.union[k, 0], work.union[k, 1]):
                    bright = max(bright, abs(alone[i]))
            n = 0
            for k in range(work.union_count[0]):
                for i in range(work.union[k, 0], work.union[k, 1]):
                    if abs(alone[i]) > 0.2 * bright and fit.data.weight[i] > 0.0:
                        channel[n], rest[n] = i, rest[i]  # n never passes i
                        sign[n], root[n] = math.copysign(1.0, alone[i]), np.sqrt(fit.data.weight[i])
                        n += 1
            if n == 0:
                continue
            allowed = 3.0 * np.sqrt(allowed_factor * n)
            for j in range(n):
                allowed += min(rest[j] * sign[j] * root[j], 0.0) ** 2
            low, high, first = 5.0, top, True
            while high - low > 1e-3:
                at = high if first else 0.5 * (low + high)
                theta[0, 2] = 10.0**at
                _alone(theta, species, fit, work, alone, nothing)
                excess = 0.0
                for j in range(n):
                    excess += min((rest[j] - alone[channel[j]]) * sign[j] * root[j], 0.0) ** 2
                if first:
                    first = False
                    if excess < allowed:
                        low = np.inf
                        break
                elif excess < allowed:
                    low = at
                else:
                    high = at
            if low < np.inf:
                out[p, c] = 10.0**high
