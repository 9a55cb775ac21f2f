"""Channel-averaged LTE spectra of many components and their analytic Jacobian (numba, arrays only).

Equations as in `spectuner_ext.lte.reference`. What makes it fast:

- only channels in which a component has opacity are visited: each line owns the channels where its optical
  depth exceeds `opacity_floor` times that of the component's strongest line (times 1 when that is opaque);
  overlapping lines form a block, and the blocks are handed on as channel intervals;
- the channel average is a Gauss-Legendre rule whose number of nodes follows from channel width, line width and
  optical depth (`_node_count`); channels much wider than the line are cut into panels over the line's extent;
- exponentials are polynomials that vectorise (`fastmath`), the Planck function is linear inside a block;
- the five derivatives come from three more sums over the same nodes.

Derivatives are with respect to filling factor, T_ex, ln N_tot, ln FWHM and v_off.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K
from .fastmath import absorbed_fraction, exp_negative

__all__ = ["Accuracy", "Grid", "Lines", "Workspace", "evaluate", "workspace"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Grid(NamedTuple):
    """Channels of all windows, concatenated."""

    nu: FloatArray  # (n_channel,) MHz, increasing within a window
    low: FloatArray  # (n_channel,) MHz, lower channel edges
    high: FloatArray  # (n_channel,) MHz
    background: FloatArray  # (n_channel,) K, what the slab sees behind it
    start: IntArray  # (n_window + 1,) first channel of each window
    inverse_step: FloatArray  # (n_window,) MHz^-1; 0 where the channels are not equally spaced
    beam_constant: FloatArray  # (n_window,) squared beam width over that of the reference beam ...
    beam_inverse_square: FloatArray  # (n_window,) MHz^2 ... plus this over nu^2 (a dish)


class Lines(NamedTuple):
    """Lines of all species, grouped by species and, within, by the window they can reach."""

    start: IntArray  # (n_species * n_window + 1,)
    nu: FloatArray  # (n,) MHz, increasing within a group
    strength: FloatArray  # (n,) c^2 A g_u / (8 pi nu^2), MHz cm^2
    e_lower: FloatArray  # (n,) K
    log_t: FloatArray  # partition functions of all species, ln K
    log_q: FloatArray
    q_start: IntArray  # (n_species + 1,)


class Accuracy(NamedTuple):
    """How closely the channel average and the wings are followed."""

    opacity_floor: float = 1e-5
    refine: float = 1.0  # a line is sampled as if it were this much narrower
    average: bool = True  # False: sample at channel centres


class Workspace(NamedTuple):
    """Buffers of one thread, and where the last spectrum is not zero."""

    node: FloatArray  # (7, _BUFFER): position, tau, absorbed, transmitted, sums for v, FWHM and T
    depth: FloatArray  # (2, n_line) of one species: tau_0 and 1 - exp(-h nu / k T)
    line: FloatArray  # (6, n_line) of one window: centre, 1/sigma, tau_0, d ln tau_0 / dT, extent
    span: IntArray  # (n_line, 2) channels of each live line
    order: IntArray  # (n_line,)
    intervals: IntArray  # (n_component, n_interval, 2) where each component has opacity
    count: IntArray  # (n_component,)
    union: IntArray  # (n_component * n_interval, 2)
    union_count: IntArray  # (1,)
    tau_max: FloatArray  # (n_component,)


_BUFFER = 768
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


def workspace(grid: Grid, lines: Lines, n_component: int) -> Workspace:
    """Buffers for spectra of `n_component` components."""
    n_window = grid.start.size - 1
    longest = int(np.max(np.diff(lines.start[::n_window]), initial=1))
    return Workspace(
        node=np.zeros((7, _BUFFER)),
        depth=np.zeros((2, longest)),
        line=np.zeros((6, longest)),
        span=np.zeros((longest, 2), dtype=np.int64),
        order=np.zeros(longest, dtype=np.int64),
        intervals=np.zeros((n_component, longest, 2), dtype=np.int64),
        count=np.zeros(n_component, dtype=np.int64),
        union=np.zeros((n_component * longest, 2), dtype=np.int64),
        union_count=np.zeros(1, dtype=np.int64),
        tau_max=np.zeros(n_component),
    )


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_line(pos, tau, s_v, s_w, s_t, mu, inverse_sigma, tau_0, slope, derivatives):  # type: ignore[no-untyped-def]
    """Add one Gaussian line to the optical depth at `pos`, and to the sums behind its derivatives."""
    if derivatives:
        for i in range(pos.shape[0]):
            x = (pos[i] - mu) * inverse_sigma
            t = tau_0 * exp_negative(-0.5 * x * x)
            tau[i] += t
            s_v[i] += t * x
            s_w[i] += t * x * x
            s_t[i] += t * slope
    else:
        for i in range(pos.shape[0]):
            x = (pos[i] - mu) * inverse_sigma
            tau[i] += tau_0 * exp_negative(-0.5 * x * x)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _transfer(tau, absorbed, transmitted):  # type: ignore[no-untyped-def]
    """``1 - exp(-tau)`` and ``exp(-tau)`` at every node."""
    for i in range(tau.shape[0]):
        a, t = absorbed_fraction(tau[i])
        absorbed[i] = a
        transmitted[i] = t


@njit(cache=True, nogil=True, fastmath={"contract"})
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


@njit(cache=True, nogil=True)
def _collect(theta, offset, group_start, group_stop, window, grid, lines, slope_q, floor, work):  # type: ignore[no-untyped-def]
    """Live lines of one component in one window: parameters, channel spans, order by first channel.

    `offset` is where the species starts in `lines`. Returns the number of live lines.
    """
    t_ex = theta[1]
    start, stop = grid.start[window], grid.start[window + 1]
    inverse_step, edge = grid.inverse_step[window], grid.low[start]
    shift = 1.0 - theta[4] / C_KMS
    sigma_over_mu = theta[3] * FWHM_TO_SIGMA / C_KMS
    n_live = 0
    for i in range(group_start, group_stop):
        tau_0 = work.depth[0, i - offset]
        if tau_0 <= floor:
            continue
        mu = lines.nu[i] * shift
        sigma = mu * sigma_over_mu
        half = sigma * np.sqrt(2.0 * np.log(tau_0 / floor))
        first = _first_channel_above(mu - half, grid.high, start, stop, inverse_step, edge)
        last = _first_channel_above(mu + half, grid.low, start, stop, inverse_step, edge)
        if first >= last:
            continue
        stimulated = work.depth[1, i - offset]
        work.line[0, n_live] = mu
        work.line[1, n_live] = 1.0 / sigma
        work.line[2, n_live] = tau_0
        # d ln tau_0 / dT: Boltzmann factor, stimulated emission, partition function
        work.line[3, n_live] = (
            lines.e_lower[i] / t_ex - H_OVER_K * lines.nu[i] / t_ex * (1.0 - stimulated) / stimulated - slope_q
        ) / t_ex
        work.line[4, n_live] = mu - half
        work.line[5, n_live] = mu + half
        work.span[n_live, 0] = first
        work.span[n_live, 1] = last
        # nearly sorted already: a broad strong line may start before a narrow weak one
        j = n_live
        while j > 0 and work.span[work.order[j - 1], 0] > first:
            work.order[j] = work.order[j - 1]
            j -= 1
        work.order[j] = n_live
        n_live += 1
    return n_live


@njit(cache=True, nogil=True)
def _block(theta, window, grid, begin, end, first, last, accuracy, derivatives, work, model, jacobian):  # type: ignore[no-untyped-def]
    """Add the lines order[begin:end], which share the channels [first, last), to the spectrum."""
    eta, t_ex = theta[0], theta[1]
    v_scale = -1.0 / (C_KMS - theta[4])  # d ln mu / dv
    # Planck temperature and its slopes at the middle of the block, linear in between
    nu_mid = 0.5 * (grid.nu[first] + grid.nu[last - 1])
    x = H_OVER_K * nu_mid / t_ex
    bose = 1.0 / np.expm1(x)
    planck = H_OVER_K * nu_mid * bose
    planck_nu = H_OVER_K * bose * (1.0 - x * (1.0 + bose))
    planck_t = x * x * bose * (1.0 + bose)
    planck_t_nu = planck_t * (2.0 - x * (1.0 + 2.0 * bose)) / nu_mid
    beam_0, beam_2 = grid.beam_constant[window], grid.beam_inverse_square[window]

    tau_peak, inverse_sigma, extent_low, extent_high = 0.0, 0.0, np.inf, -np.inf
    for j in range(begin, end):
        k = work.order[j]
        tau_peak = max(tau_peak, work.line[2, k])
        inverse_sigma = max(inverse_sigma, work.line[1, k])
        extent_low = min(extent_low, work.line[4, k])
        extent_high = max(extent_high, work.line[5, k])
    widest = 0.0
    if grid.inverse_step[window] > 0.0:
        widest = grid.high[first] - grid.low[first]
    else:
        for c in range(first, last):
            widest = max(widest, grid.high[c] - grid.low[c])
    if accuracy.average:
        # near-coincident lines (A/E pairs) add up: twice the strongest is what the rule is chosen for
        n_node, steep = _node_count(widest * inverse_sigma * accuracy.refine, 2.0 * tau_peak)
    else:
        n_node, steep = 1, 0.0
    steepness = steep / max(widest, 1e-300)  # per MHz

    pos, tau, absorbed, transmitted = work.node[0], work.node[1], work.node[2], work.node[3]
    s_v, s_w, s_t = work.node[4], work.node[5], work.node[6]
    k = work.order[begin]
    mu_over_sigma = work.line[0, k] * work.line[1, k]  # the same for all lines of a component
    if n_node == 0:
        at_once = 1
    else:
        at_once = _BUFFER // n_node
    chunk = first
    while chunk < last:
        chunk_end = min(chunk + at_once, last)
        panels_left, n_panel, left, width = 1, 1, 0.0, 0.0
        if n_node == 0:
            left = max(grid.low[chunk], extent_low)
            width = max(min(grid.high[chunk], extent_high) - left, 0.0)
            n_panel = max(int(np.ceil(width * steepness / _PANEL)), 1)
            panels_left = n_panel
        sum_a, sum_n, sum_t, sum_w, sum_v = 0.0, 0.0, 0.0, 0.0, 0.0
        while panels_left > 0:
            if n_node > 0:
                panels = 1
                n = 0
                for c in range(chunk, chunk_end):
                    half = 0.5 * (grid.high[c] - grid.low[c])
                    middle = grid.nu[c] if not accuracy.average else 0.5 * (grid.high[c] + grid.low[c])
                    for k in range(n_node):
                        pos[n] = middle + half * _NODES[n_node, k]
                        n += 1
            else:
                panels = min(panels_left, _BUFFER // _LAST_RULE)
                n = 0
                half = 0.5 * width / n_panel
                done = n_panel - panels_left
                for p in range(panels):
                    middle = left + (2 * (done + p) + 1) * half
                    for k in range(_LAST_RULE):
                        pos[n] = middle + half * _NODES[_LAST_RULE, k]
                        n += 1
            tau[:n] = 0.0
            if derivatives:
                s_v[:n] = 0.0
                s_w[:n] = 0.0
                s_t[:n] = 0.0
            for j in range(begin, end):
                k = work.order[j]
                if n_node > 0:
                    a = (max(work.span[k, 0], chunk) - chunk) * n_node
                    b = (min(work.span[k, 1], chunk_end) - chunk) * n_node
                else:
                    a, b = 0, n if work.span[k, 0] <= chunk < work.span[k, 1] else 0
                if a < b:
                    _add_line(
                        pos[a:b], tau[a:b], s_v[a:b], s_w[a:b], s_t[a:b],
                        work.line[0, k], work.line[1, k], work.line[2, k], work.line[3, k], derivatives,
                    )  # fmt: skip
            _transfer(tau[:n], absorbed[:n], transmitted[:n])
            if n_node == 0:
                scale = width / (n_panel * (grid.high[chunk] - grid.low[chunk]))
                for i in range(n):
                    w = scale * _WEIGHTS[_LAST_RULE, i % _LAST_RULE]
                    sum_a += w * absorbed[i]
                    if derivatives:
                        w *= transmitted[i]
                        sum_n += w * tau[i]
                        sum_t += w * s_t[i]
                        sum_w += w * (s_w[i] - tau[i])
                        sum_v += w * s_v[i] * mu_over_sigma
            panels_left -= panels
        for c in range(chunk, chunk_end):
            if n_node > 0:
                base = (c - chunk) * n_node
                sum_a, sum_n, sum_t, sum_w, sum_v = 0.0, 0.0, 0.0, 0.0, 0.0
                if derivatives:
                    for k in range(n_node):
                        i = base + k
                        w = _WEIGHTS[n_node, k]
                        sum_a += w * absorbed[i]
                        w *= transmitted[i]
                        sum_n += w * tau[i]
                        sum_t += w * s_t[i]
                        sum_w += w * s_w[i]
                        sum_v += w * s_v[i]
                    sum_w -= sum_n
                    sum_v *= mu_over_sigma
                else:
                    for k in range(n_node):
                        sum_a += _WEIGHTS[n_node, k] * absorbed[base + k]
            nu = grid.nu[c]
            ratio = beam_0
            if beam_2 > 0.0:
                ratio += beam_2 / (nu * nu)
            dilution = 1.0 / (eta + (1.0 - eta) * ratio)
            filling = eta * dilution
            contrast = planck + planck_nu * (nu - nu_mid) - grid.background[c]
            model[c] += filling * contrast * sum_a
            if derivatives:
                bright = filling * contrast
                jacobian[0, c] = ratio * dilution * dilution * contrast * sum_a
                jacobian[1, c] = (
                    filling * (planck_t + planck_t_nu * (nu - nu_mid)) * sum_a + bright * sum_t
                )
                jacobian[2, c] = bright * sum_n
                jacobian[3, c] = bright * sum_w
                jacobian[4, c] = bright * v_scale * (sum_v + sum_w)
        chunk = chunk_end


@njit(cache=True, nogil=True)
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
    count = 0
    for window in range(n_window):
        begin, end = lines.start[group + window], lines.start[group + window + 1]
        n_live = _collect(theta, offset, begin, end, window, grid, lines, slope_q, floor, work)
        j = 0
        while j < n_live:
            first, last = work.span[work.order[j], 0], work.span[work.order[j], 1]
            k = j + 1
            while k < n_live and work.span[work.order[k], 0] < last:
                last = max(last, work.span[work.order[k], 1])
                k += 1
            _block(theta, window, grid, j, k, first, last, accuracy, derivatives, work, model, jacobian)
            work.intervals[index, count, 0] = first
            work.intervals[index, count, 1] = last
            count += 1
            j = k
    work.count[index] = count


@njit(cache=True, nogil=True)
def _unite(grid, n_component, work):  # type: ignore[no-untyped-def]
    """Merge overlapping and touching intervals of all components; none crosses a window border."""
    cursor = np.zeros(n_component, dtype=np.int64)
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


@njit(cache=True, nogil=True)
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
