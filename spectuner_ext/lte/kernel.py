"""Channel-averaged LTE spectra of many components and their analytic Jacobian (numba, arrays only).

Equations as in `spectuner_ext.lte.reference`. What makes it fast:

- only channels in which a component has opacity are visited: each line owns the channels where its optical
  depth exceeds `opacity_floor` times that of the component's strongest line (times 1 when that is opaque);
  overlapping lines form a block, and the blocks are handed on as channel intervals;
- the channel average is a Gauss-Legendre rule whose number of nodes follows from channel width, line width and
  optical depth (`_node_count`); channels much wider than the line are cut into panels over the line's extent;
- exponentials are polynomials that vectorise (`fastmath`), the Planck function is linear inside a block;
- the five derivatives come from three more sums over the same nodes.

Arrays that are passed to a compiled function cost two atomic counts each, and a tuple of arrays two for each of its
members: more than the arithmetic of a small spectrum. Nothing is allocated here, and whoever calls holds the arrays,
so ``_nrt=False`` leaves the counting out: numba's run time has no part in these functions, and a line that needs it,
because it allocates, does not compile.

Derivatives are with respect to filling factor, T_ex, ln N_tot, ln FWHM and v_off.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K
from .arrays import BUFFER, LANES, Accuracy, Grid, Lines, Workspace, workspace
from .fastmath import absorbed_fraction, exp_negative, log_above
from .kernel_cache import drop_stale

__all__ = ["Accuracy", "Grid", "Lines", "Workspace", "evaluate", "workspace"]

FloatArray = NDArray[np.float64]


_LAST_RULE = 8
_PANEL = 5.0


def _rules() -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre nodes on (-1, 1) and weights that add up to 1, row n for n nodes."""
    nodes, weights = np.zeros((2, _LAST_RULE + 1, _LAST_RULE))
    for n in range(1, _LAST_RULE + 1):
        x, w = np.polynomial.legendre.leggauss(n)
        nodes[n, :n], weights[n, :n] = x, 0.5 * w
    return nodes, weights


_NODES, _WEIGHTS = _rules()


@njit(cache=True, nogil=True, _nrt=False)
def _node_count(width, tau):  # type: ignore[no-untyped-def]
    """Nodes for a channel `width` line sigmas wide: error below 3e-5 of the line's peak.

    An opaque line has edges steeper than sigma by about sqrt(1 + 0.6 L + 0.08 L^2), L = ln(1 + tau); the limits are
    the widths at which an n-point rule reaches that error for a thin line (measured against dense quadrature).
    Beyond the last limit the answer is 0: use panels.
    """
    log_tau = np.log1p(tau)
    steep = width * np.sqrt(1.0 + 0.6 * log_tau + 0.08 * log_tau * log_tau)
    if steep < 0.03:
        n = 1
    elif steep < 0.45:
        n = 2
    elif steep < 1.2:
        n = 3
    elif steep < 2.1:
        n = 4
    elif steep < 2.9:
        n = 5
    elif steep < 3.7:
        n = 6
    elif steep < 5.5:
        n = 8
    else:
        n = 0
    return n, steep


@njit(cache=True, nogil=True, _nrt=False)
def _log_partition(log_t, table_t, table_q, first, last):  # type: ignore[no-untyped-def]
    """Ln Q and d ln Q / d ln T, linear in logarithms, outermost slopes continued."""
    low, high = first, last - 1
    while high - low > 1:
        middle = (low + high) // 2
        if table_t[middle] <= log_t:
            low = middle
        else:
            high = middle
    slope = (table_q[high] - table_q[low]) / (table_t[high] - table_t[low])
    return table_q[low] + slope * (log_t - table_t[low]), slope


@njit(cache=True, nogil=True, _nrt=False)
def _first_channel_above(x, edges, start, stop, inverse_step, low):  # type: ignore[no-untyped-def]
    """First channel in [start, stop) whose edge in `edges` exceeds x; a guess on a regular axis, then a walk."""
    if inverse_step > 0.0:
        guess = start + int(min(max((x - low) * inverse_step, 0.0), stop - start - 1.0))
        while guess > start and edges[guess - 1] > x:
            guess -= 1
        while guess < stop and edges[guess] <= x:
            guess += 1
        return guess
    a, b = start, stop
    while a < b:
        middle = (a + b) // 2
        if edges[middle] <= x:
            a = middle + 1
        else:
            b = middle
    return a


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract"})
def _line_depths(theta, strength, nu, e_lower, column, tau_0, stimulated):  # type: ignore[no-untyped-def]
    """Optical depth at the centre of every line, and its stimulated-emission factor; returns the largest depth.

    `column` is N/Q.
    """
    inverse_t = 1.0 / theta[1]
    # tau_0 = a_l / (sqrt(2 pi) sigma_l) with sigma_l = nu_l (1 - v/c) FWHM_TO_SIGMA FWHM/c
    scale = column * C_KMS / (theta[3] * FWHM_TO_SIGMA * (1.0 - theta[4] / C_KMS) * 2.5066282746310002)
    best = 0.0
    for i in range(nu.shape[0]):
        s, _ = absorbed_fraction(H_OVER_K * nu[i] * inverse_t)
        t = scale * strength[i] / nu[i] * exp_negative(-e_lower[i] * inverse_t) * s
        stimulated[i] = s
        tau_0[i] = t
        best = max(best, t)
    return best


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def _collect(theta, first_group, grid, lines, slope_q, floor, work):  # type: ignore[no-untyped-def]
    """Lines of one component that matter: parameters, channels, and their order by first channel.

    Returns their number.
    """
    t_ex = theta[1]
    shift = 1.0 - theta[4] / C_KMS
    sigma_over_mu = theta[3] * FWHM_TO_SIGMA / C_KMS
    offset = lines.start[first_group]
    line, span, order, depth = work.line, work.span, work.order, work.depth
    n_live = 0
    for window in range(grid.start.shape[0] - 1):
        start, stop = grid.start[window], grid.start[window + 1]
        inverse_step, edge = grid.inverse_step[window], grid.low[start]
        for i in range(lines.start[first_group + window], lines.start[first_group + window + 1]):
            tau_0 = depth[0, i - offset]
            if tau_0 <= floor:
                continue
            mu = lines.nu[i] * shift
            sigma = mu * sigma_over_mu
            half = sigma * np.sqrt(2.0 * log_above(tau_0 / floor))
            first = _first_channel_above(mu - half, grid.high, start, stop, inverse_step, edge)
            last = _first_channel_above(mu + half, grid.low, start, stop, inverse_step, edge)
            if first >= last:
                continue
            stimulated = depth[1, i - offset]
            line[0, n_live] = mu
            line[1, n_live] = 1.0 / sigma
            line[2, n_live] = tau_0
            # d ln tau_0 / dT: Boltzmann factor, stimulated emission, partition function
            quantum = H_OVER_K * lines.nu[i] / t_ex
            line[3, n_live] = (
                lines.e_lower[i] / t_ex - quantum * (1.0 - stimulated) / stimulated - slope_q
            ) / t_ex
            line[4, n_live] = mu - half
            line[5, n_live] = mu + half
            span[n_live, 0] = first
            span[n_live, 1] = last
            # nearly sorted already: a broad strong line may start before a narrow weak one
            j = n_live
            while j > 0 and span[order[j - 1], 0] > first:
                order[j] = order[j - 1]
                j -= 1
            order[j] = n_live
            n_live += 1
    return n_live


@njit(cache=True, nogil=True, _nrt=False, error_model="numpy")
def _planck(n, nu, t_ex, planck, planck_nu, planck_t, planck_t_nu):  # type: ignore[no-untyped-def]
    """J(T) at n frequencies, a multiple of LANES, and its derivatives with respect to nu, T, and both."""
    for i in range(np.uint64(n)):
        x = H_OVER_K * nu[i] / t_ex
        below_one, boltzmann = absorbed_fraction(x)
        bose = boltzmann / below_one
        slope_t = x * x * bose * (1.0 + bose)
        planck[i] = H_OVER_K * nu[i] * bose
        planck_nu[i] = H_OVER_K * bose * (1.0 - x * (1.0 + bose))
        planck_t[i] = slope_t
        planck_t_nu[i] = slope_t * (2.0 - x * (1.0 + 2.0 * bose)) / nu[i]


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract"}, error_model="numpy")
def _wide_channel(low, high, middle_of_lines, steepness, begin, end, channel, derivatives, work):  # type: ignore[no-untyped-def]
    """Averages over one channel that is much wider than its lines, by panels over the part they reach.

    Returns the means of 1 - exp(-tau) and of its derivatives by ln tau_0, T, x^2 and x.
    """
    extent_low, extent_high = middle_of_lines
    line, span, order = work.line, work.span, work.order
    pos, tau, s_v, s_w, s_t = work.pos, work.tau, work.s_v, work.s_w, work.s_t
    transmitted = work.absorbed
    left = max(low, extent_low)
    width = max(min(high, extent_high) - left, 0.0)
    n_panel = max(int(np.ceil(width * steepness / _PANEL)), 1)
    half = 0.5 * width / n_panel
    share = width / (n_panel * (high - low))  # outside the lines' extent there is no opacity
    sum_a, sum_n, sum_t, sum_w, sum_v = 0.0, 0.0, 0.0, 0.0, 0.0
    panel = 0
    while panel < n_panel:
        last_panel = min(panel + BUFFER // _LAST_RULE, n_panel)
        n = np.uint64((last_panel - panel) * _LAST_RULE)
        at = 0
        for p in range(panel, last_panel):
            middle = left + (2 * p + 1) * half
            for k in range(_LAST_RULE):
                pos[at] = middle + half * _NODES[_LAST_RULE, k]
                at += 1
        for i in range(n):
            tau[i] = 0.0
        if derivatives:
            for i in range(n):
                s_v[i] = 0.0
                s_w[i] = 0.0
                s_t[i] = 0.0
        for j in range(begin, end):
            m = order[j]
            if channel < span[m, 0] or channel >= span[m, 1]:
                continue
            mu, scale, tau_0, slope = line[0, m], line[1, m], line[2, m], line[3, m]
            if derivatives:
                for i in range(n):
                    x = (pos[i] - mu) * scale
                    t = tau_0 * exp_negative(-0.5 * x * x)
                    tau[i] += t
                    s_v[i] += t * x
                    s_w[i] += t * x * x
                    s_t[i] += t * slope
            else:
                for i in range(n):
                    x = (pos[i] - mu) * scale
                    t = tau_0 * exp_negative(-0.5 * x * x)
                    tau[i] += t
                    s_t[i] = t  # kept, so that it is rounded as it is with derivatives
        for i in range(n):
            gone, rest = absorbed_fraction(tau[i])
            pos[i] = gone
            transmitted[i] = rest
        at = 0
        for _ in range(panel, last_panel):
            for k in range(_LAST_RULE):
                w = share * _WEIGHTS[_LAST_RULE, k]
                sum_a += w * pos[at]
                if derivatives:
                    w *= transmitted[at]
                    sum_n += w * tau[at]
                    sum_t += w * s_t[at]
                    sum_w += w * s_w[at]
                    sum_v += w * s_v[at]
                at += 1
        panel = last_panel
    return sum_a, sum_n, sum_t, sum_w, sum_v


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract"}, error_model="numpy")
def _blocks(theta, n_live, index, grid, accuracy, derivatives, work, model, jacobian):  # type: ignore[no-untyped-def]
    """Group the collected lines into blocks that share channels, and add each block to the spectrum.

    Unsigned counters: with signed ones the index might be negative, and the loops would not become SIMD code.
    """
    eta, t_ex = theta[0], theta[1]
    v_scale = -1.0 / (C_KMS - theta[4])  # d ln mu / dv
    mu_over_sigma = C_KMS / (theta[3] * FWHM_TO_SIGMA)
    line, span, order, intervals = work.line, work.span, work.order, work.intervals
    pos, tau, absorbed = work.pos, work.tau, work.absorbed
    s_v, s_w, s_t = work.s_v, work.s_w, work.s_t
    nus, lows, highs, backgrounds = grid.nu, grid.low, grid.high, grid.background
    average, refine = accuracy.average, accuracy.refine
    count, end = 0, 0
    while end < n_live:
        first, last = span[order[end], 0], span[order[end], 1]
        end += 1
        while end < n_live and span[order[end], 0] < last:
            last = max(last, span[order[end], 1])
            end += 1
        intervals[index, count, 0] = first
        intervals[index, count, 1] = last
        line[6, count] = 0.5 * (nus[first] + nus[last - 1])
        count += 1
    work.count[index] = count
    n_padded = (count + LANES - 1) // LANES * LANES
    _planck(n_padded, line[6], t_ex, line[7], line[8], line[9], line[10])
    window, begin = 0, 0
    for block in range(count):
        first, last = intervals[index, block, 0], intervals[index, block, 1]
        k = order[begin]
        tau_peak, inverse_sigma = line[2, k], line[1, k]
        extent_low, extent_high = line[4, k], line[5, k]
        end = begin + 1
        while end < n_live and span[order[end], 0] < last:
            k = order[end]
            tau_peak = max(tau_peak, line[2, k])
            inverse_sigma = max(inverse_sigma, line[1, k])
            extent_low = min(extent_low, line[4, k])
            extent_high = max(extent_high, line[5, k])
            end += 1
        while grid.start[window + 1] <= first:
            window += 1
        ratio, beam_2 = grid.beam_constant[window], grid.beam_inverse_square[window]
        dilution = 1.0 / (eta + (1.0 - eta) * ratio)
        nu_mid, planck, planck_nu = line[6, block], line[7, block], line[8, block]
        planck_t, planck_t_nu = line[9, block], line[10, block]
        n_node, steepness = 1, 0.0
        if average:
            widest = highs[first] - lows[first]
            if grid.inverse_step[window] == 0.0:
                for c in range(first, last):
                    widest = max(widest, highs[c] - lows[c])
            # near-coincident lines (A/E pairs) add up: twice the strongest is what the rule is chosen for
            n_node, steep = _node_count(widest * inverse_sigma * refine, 2.0 * tau_peak)
            steepness = steep / widest
        if n_node == 0:
            for c in range(first, last):
                sum_a, sum_n, sum_t, sum_w, sum_v = _wide_channel(
                    lows[c], highs[c], (extent_low, extent_high), steepness, begin, end, c, derivatives, work
                )
                nu = nus[c]
                if beam_2 > 0.0:
                    ratio = grid.beam_constant[window] + beam_2 / (nu * nu)
                    dilution = 1.0 / (eta + (1.0 - eta) * ratio)
                contrast = planck + planck_nu * (nu - nu_mid) - backgrounds[c]
                bright = eta * dilution * contrast
                model[c] += bright * sum_a
                if derivatives:
                    width = sum_w - sum_n
                    warming = planck_t + planck_t_nu * (nu - nu_mid)
                    jacobian[0, c] = ratio * dilution * dilution * contrast * sum_a
                    jacobian[1, c] = eta * dilution * warming * sum_a + bright * sum_t
                    jacobian[2, c] = bright * sum_n
                    jacobian[3, c] = bright * width
                    jacobian[4, c] = bright * v_scale * (sum_v * mu_over_sigma + width)
            begin = end
            continue
        at_once = BUFFER // n_node // LANES * LANES
        chunk = first
        while chunk < last:
            stop = min(chunk + at_once, last)
            n_channel = np.uint64(stop - chunk)
            # node k of channel c is at k * row + c - chunk; rows are filled up, for whole SIMD registers
            row = np.uint64((stop - chunk + LANES - 1) // LANES * LANES)
            n = row * np.uint64(n_node)
            base = np.uint64(chunk)
            for i in range(n_channel):
                absorbed[i] = 0.5 * (highs[base + i] - lows[base + i])
                tau[i] = 0.5 * (highs[base + i] + lows[base + i]) if average else nus[base + i]
            for i in range(n_channel, row):
                absorbed[i] = 0.0
                tau[i] = nu_mid
            for k in range(np.uint64(n_node)):
                node, at = _NODES[n_node, k], k * row
                for i in range(row):
                    pos[at + i] = tau[i] + absorbed[i] * node
            if derivatives:
                for i in range(n):
                    tau[i] = 0.0
                    s_v[i] = 0.0
                    s_w[i] = 0.0
                    s_t[i] = 0.0
            else:
                for i in range(n):
                    tau[i] = 0.0
            for j in range(begin, end):
                k = order[j]
                mu, scale, tau_0, slope = line[0, k], line[1, k], line[2, k], line[3, k]
                if span[k, 0] <= chunk and span[k, 1] >= stop:
                    if derivatives:
                        for i in range(n):
                            x = (pos[i] - mu) * scale
                            t = tau_0 * exp_negative(-0.5 * x * x)
                            tau[i] += t
                            s_v[i] += t * x
                            s_w[i] += t * x * x
                            s_t[i] += t * slope
                    else:
                        for i in range(n):
                            x = (pos[i] - mu) * scale
                            tau[i] += tau_0 * exp_negative(-0.5 * x * x)
                    continue
                a, b = max(span[k, 0] - chunk, 0), min(span[k, 1], stop) - chunk
                if a >= b:
                    continue
                left, right = a // LANES * LANES, (b + LANES - 1) // LANES * LANES
                for m in range(n_node):
                    at = np.uint64(m) * row
                    own, beyond = at + np.uint64(a), at + np.uint64(b)
                    if derivatives:
                        for i in range(at + np.uint64(left), at + np.uint64(right)):
                            x = (pos[i] - mu) * scale
                            t = tau_0 * exp_negative(-0.5 * x * x)
                            inside = own <= i < beyond
                            tau[i] = tau[i] + t if inside else tau[i]
                            s_v[i] = s_v[i] + t * x if inside else s_v[i]
                            s_w[i] = s_w[i] + t * x * x if inside else s_w[i]
                            s_t[i] = s_t[i] + t * slope if inside else s_t[i]
                    else:
                        for i in range(at + np.uint64(left), at + np.uint64(right)):
                            x = (pos[i] - mu) * scale
                            t = tau[i] + tau_0 * exp_negative(-0.5 * x * x)
                            tau[i] = t if own <= i < beyond else tau[i]
            if derivatives:
                for i in range(n):
                    gone, left_over = absorbed_fraction(tau[i])
                    absorbed[i] = gone
                    tau[i] *= left_over
                    s_v[i] *= left_over
                    s_w[i] *= left_over
                    s_t[i] *= left_over
            else:
                for i in range(n):
                    absorbed[i] = absorbed_fraction(tau[i])[0]
            # channel averages, into the first rows
            w = _WEIGHTS[n_node, 0]
            if derivatives:
                for i in range(row):
                    absorbed[i] *= w
                    tau[i] *= w
                    s_t[i] *= w
                    s_w[i] *= w
                    s_v[i] *= w
            else:
                for i in range(row):
                    absorbed[i] *= w
            for k in range(np.uint64(1), np.uint64(n_node)):
                w, at = _WEIGHTS[n_node, k], k * row
                if derivatives:
                    for i in range(row):
                        absorbed[i] += w * absorbed[at + i]
                        tau[i] += w * tau[at + i]
                        s_t[i] += w * s_t[at + i]
                        s_w[i] += w * s_w[at + i]
                        s_v[i] += w * s_v[at + i]
                else:
                    for i in range(row):
                        absorbed[i] += w * absorbed[at + i]
            for i in range(n_channel):
                nu = nus[base + i]
                if beam_2 > 0.0:
                    ratio = grid.beam_constant[window] + beam_2 / (nu * nu)
                    dilution = 1.0 / (eta + (1.0 - eta) * ratio)
                contrast = planck + planck_nu * (nu - nu_mid) - backgrounds[base + i]
                bright = eta * dilution * contrast
                model[base + i] += bright * absorbed[i]
                if derivatives:
                    width = s_w[i] - tau[i]
                    warming = planck_t + planck_t_nu * (nu - nu_mid)
                    jacobian[0, base + i] = ratio * dilution * dilution * contrast * absorbed[i]
                    jacobian[1, base + i] = eta * dilution * warming * absorbed[i] + bright * s_t[i]
                    jacobian[2, base + i] = bright * tau[i]
                    jacobian[3, base + i] = bright * width
                    jacobian[4, base + i] = bright * v_scale * (s_v[i] * mu_over_sigma + width)
            chunk = stop
        begin = end


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def _component(theta, species, index, grid, lines, accuracy, derivatives, work, model, jacobian):  # type: ignore[no-untyped-def]
    """Add one component to the spectrum; its intervals go to ``work.intervals[index]``."""
    n_window = grid.start.shape[0] - 1
    log_q, slope_q = _log_partition(
        np.log(theta[1]), lines.log_t, lines.log_q, lines.q_start[species], lines.q_start[species + 1]
    )
    group = species * n_window
    offset, stop = lines.start[group], lines.start[group + n_window]
    tau_max = _line_depths(
        theta, lines.strength[offset:stop], lines.nu[offset:stop], lines.e_lower[offset:stop],
        theta[2] * np.exp(-log_q), work.depth[0], work.depth[1],
    )  # fmt: skip
    work.tau_max[index] = tau_max
    floor = max(accuracy.opacity_floor * min(tau_max, 1.0), 1e-290)
    n_live = _collect(theta, group, grid, lines, slope_q, floor, work)
    _blocks(theta, n_live, index, grid, accuracy, derivatives, work, model, jacobian)


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def _unite(grid, n_component, work):  # type: ignore[no-untyped-def]
    """Merge overlapping and touching intervals of all components; none crosses a window border."""
    cursor = work.cursor
    for c in range(n_component):
        cursor[c] = 0
    n, border = 0, 0
    while True:
        first, at = np.int64(9223372036854775807), -1
        for c in range(n_component):
            if cursor[c] < work.count[c] and work.intervals[c, cursor[c], 0] < first:
                first, at = work.intervals[c, cursor[c], 0], c
        if at < 0:
            break
        stop = work.intervals[at, cursor[at], 1]
        cursor[at] += 1
        while grid.start[border + 1] <= first:
            border += 1
        last = work.union[n - 1, 1] if n > 0 else -1
        if first < last or (first == last and first != grid.start[border]):
            work.union[n - 1, 1] = max(last, stop)
        else:
            work.union[n, 0], work.union[n, 1] = first, stop
            n += 1
    work.union_count[0] = n


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def evaluate(theta, species, grid, lines, accuracy, derivatives, work, model, jacobian):  # type: ignore[no-untyped-def]
    """Spectrum of all components, and on request its Jacobian.

    Parameters
    ----------
    theta : array, (n_component, 5)
        Filling factor (of the reference beam), T_ex [K], N_tot [cm^-2], FWHM [km/s], v_off [km/s].
    species : array of int, (n_component,)
        Group of `lines` that each component uses.
    grid, lines, accuracy, work : Grid, Lines, Accuracy, Workspace
        ``work.union[:work.union_count[0]]`` says afterwards where the spectrum is not zero.
    derivatives : bool
    model : array, (n_channel,), in K
        Must be zero outside the intervals that `work` holds from the call before (or everywhere).
    jacobian : array, (n_component, 5, n_channel)
        Valid only inside ``work.intervals``; untouched without `derivatives`.
    """
    for i in range(work.union_count[0]):
        model[work.union[i, 0] : work.union[i, 1]] = 0.0
    for c in range(theta.shape[0]):
        _component(theta[c], species[c], c, grid, lines, accuracy, derivatives, work, model, jacobian[c])
    _unite(grid, theta.shape[0], work)


drop_stale(evaluate)
