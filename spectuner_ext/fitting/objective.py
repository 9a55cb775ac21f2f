"""Noise-weighted chi2 of a fit vector, its gradient and normal matrix, without leaving compiled code.

Only channels with opacity are visited. With data d, weight w = 1/sigma^2 (0 where masked), model m and a constant
offset o per window,

``chi2 = sum_all w (d - o)^2 + sum_active w m [m - 2 (d - o)]``

and the first sum follows from three numbers per window.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..lte import kernel
from ..lte.parameters import Layout

__all__ = ["Buffers", "Data", "Fit", "buffers", "chi2", "chi2_normal", "components_of", "render"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Data(NamedTuple):
    """What the model is compared with."""

    value: FloatArray  # (n_channel,) K
    weight: FloatArray  # (n_channel,) K^-2, 0 where masked
    s_0: FloatArray  # (n_window,) sum of w
    s_1: FloatArray  # (n_window,) sum of w d
    s_2: FloatArray  # (n_window,) sum of w d^2


class Fit(NamedTuple):
    """Everything an objective needs besides the fit vector."""

    grid: kernel.Grid
    lines: kernel.Lines
    accuracy: kernel.Accuracy
    species: IntArray  # (n_component,) group of lines of each component
    layout: Layout
    data: Data
    n_line_parameters: int  # the fit vector continues with one offset per window, if any


class Buffers(NamedTuple):
    """Memory of one thread."""

    work: kernel.Workspace
    model: FloatArray  # (n_channel,)
    jacobian: FloatArray  # (n_component, 5, n_channel)
    theta: FloatArray  # (n_component, 5)
    slope: FloatArray  # (n_component, 5) d parameter / d fit variable, in the kernel's variables


def buffers(fit: Fit) -> Buffers:
    """Fresh memory for one thread."""
    n = fit.species.size
    return Buffers(
        work=kernel.workspace(fit.grid, fit.lines, n),
        model=np.zeros(fit.grid.nu.size),
        jacobian=np.zeros((n, 5, fit.grid.nu.size)),
        theta=np.zeros((n, 5)),
        slope=np.zeros((n, 5)),
    )


_LN10 = np.log(10.0)


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def components_of(x, layout, theta, slope):  # type: ignore[no-untyped-def]
    """Fill component parameters, and the slopes that turn the kernel's derivatives into those of the fit vector."""
    for c in range(theta.shape[0]):
        for k in range(5):
            y = layout.offset[c, k]
            if layout.index[c, k] >= 0:
                y += x[layout.index[c, k]]
            if layout.logarithmic[k]:
                theta[c, k] = np.exp(y * _LN10)
                # the kernel differentiates by ln N and ln FWHM, but by the filling factor itself
                slope[c, k] = _LN10 if k in (2, 3) else theta[c, k] * _LN10
            else:
                theta[c, k] = y
                slope[c, k] = 1.0


@njit(inline="always", cache=True, nogil=True, _nrt=False)
def render(x, fit, buf, derivatives):  # type: ignore[no-untyped-def]
    """Model spectrum of fit vector x into ``buf.model``."""
    components_of(x, fit.layout, buf.theta, buf.slope)
    kernel.evaluate(
        buf.theta,
        fit.species,
        fit.grid,
        fit.lines,
        fit.accuracy,
        derivatives,
        buf.work,
        buf.model,
        buf.jacobian,
    )


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract", "reassoc"})
def _chi2(x, fit, work, model, derivatives, offset_gradient):  # type: ignore[no-untyped-def]
    """Chi2 of the rendered model; on request, with offsets in x, also half its derivatives by them."""
    data, n_line, start = fit.data, fit.n_line_parameters, fit.grid.start
    value, weight, union = data.value, data.weight, work.union
    with_offset = x.shape[0] > n_line
    total = 0.0
    for w in range(data.s_0.shape[0]):
        o = x[n_line + w] if with_offset else 0.0
        total += data.s_2[w] - 2.0 * o * data.s_1[w] + o * o * data.s_0[w]
        if with_offset and derivatives:
            offset_gradient[n_line + w] = o * data.s_0[w] - data.s_1[w]
    window = 0
    for k in range(work.union_count[0]):
        first, last = union[k, 0], union[k, 1]
        while start[window + 1] <= first:
            window += 1
        o = x[n_line + window] if with_offset else 0.0
        change, weighted = 0.0, 0.0
        # unsigned: see spectuner_ext.lte.kernel
        for i in range(np.uint64(first), np.uint64(last)):
            wm = weight[i] * model[i]
            weighted += wm
            change += wm * (model[i] - 2.0 * (value[i] - o))
        total += change
        if with_offset and derivatives:
            offset_gradient[n_line + window] += weighted
    return total


@njit(cache=True, nogil=True, _nrt=False)
def chi2(x, fit, buf):  # type: ignore[no-untyped-def]
    """Chi2 of fit vector x."""
    render(x, fit, buf, False)
    return _chi2(x, fit, buf.work, buf.model, False, x)  # x stands where nothing is written


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract", "reassoc"})
def _accumulate_own(x, c, fit, work, j, model, slope, g, h, normal):  # type: ignore[no-untyped-def]
    """Half gradient and 5 x 5 block (25 numbers) of component c, in the kernel's variables.

    Rows of offsets go to `normal`.
    """
    n_line, start, index = fit.n_line_parameters, fit.grid.start, fit.layout.index
    value, weight, intervals = fit.data.value, fit.data.weight, work.intervals
    with_offset = x.shape[0] > n_line
    g0, g1, g2, g3, g4 = 0.0, 0.0, 0.0, 0.0, 0.0
    h00, h01, h02, h03, h04 = 0.0, 0.0, 0.0, 0.0, 0.0
    h11, h12, h13, h14 = 0.0, 0.0, 0.0, 0.0
    h22, h23, h24, h33, h34, h44 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    window = 0
    for k in range(work.count[c]):
        first, last = intervals[c, k, 0], intervals[c, k, 1]
        while start[window + 1] <= first:
            window += 1
        o = x[n_line + window] if with_offset else 0.0
        s0, s1, s2, s3, s4 = 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(np.uint64(first), np.uint64(last)):
            w = weight[i]
            r = model[i] + o - value[i]
            j0, j1, j2, j3, j4 = j[0, i], j[1, i], j[2, i], j[3, i], j[4, i]
            w0, w1, w2, w3, w4 = w * j0, w * j1, w * j2, w * j3, w * j4
            g0 += w0 * r
            g1 += w1 * r
            g2 += w2 * r
            g3 += w3 * r
            g4 += w4 * r
            s0 += w0
            s1 += w1
            s2 += w2
            s3 += w3
            s4 += w4
            h00 += w0 * j0
            h01 += w0 * j1
            h02 += w0 * j2
            h03 += w0 * j3
            h04 += w0 * j4
            h11 += w1 * j1
            h12 += w1 * j2
            h13 += w1 * j3
            h14 += w1 * j4
            h22 += w2 * j2
            h23 += w2 * j3
            h24 += w2 * j4
            h33 += w3 * j3
            h34 += w3 * j4
            h44 += w4 * j4
        if with_offset:
            for m, total in enumerate((s0, s1, s2, s3, s4)):
                column = index[c, m]
                if column >= 0:
                    normal[n_line + window, column] += total * slope[c, m]
                    normal[column, n_line + window] += total * slope[c, m]
    g[0], g[1], g[2], g[3], g[4] = g0, g1, g2, g3, g4
    h[0], h[1], h[2], h[3], h[4] = h00, h01, h02, h03, h04
    h[6], h[7], h[8], h[9] = h11, h12, h13, h14
    h[12], h[13], h[14], h[18], h[19], h[24] = h22, h23, h24, h33, h34, h44


@njit(cache=True, nogil=True, _nrt=False, fastmath={"contract", "reassoc"})
def _weighted_product(a, b, weight):  # type: ignore[no-untyped-def]
    """Sum of w a b."""
    total = 0.0
    for i in range(a.shape[0]):
        total += weight[i] * a[i] * b[i]
    return total


@njit(cache=True, nogil=True, _nrt=False)
def _scatter(block, c1, c2, layout, slope, normal):  # type: ignore[no-untyped-def]
    """Add the 5 x 5 block of components c1 and c2 to the normal matrix of the fit vector."""
    for k in range(5):
        row = layout.index[c1, k]
        if row < 0:
            continue
        for m in range(5):
            column = layout.index[c2, m]
            if column < 0:
                continue
            value = block[5 * min(k, m) + max(k, m)] if c1 == c2 else block[5 * k + m]
            value *= slope[c1, k] * slope[c2, m]
            normal[row, column] += value
            if c1 != c2:
                normal[column, row] += value


@njit(cache=True, nogil=True, _nrt=False)
def chi2_normal(x, fit, buf, gradient, normal):  # type: ignore[no-untyped-def]
    """Chi2 of x; fills half its gradient, ``-J^T W r``, and the normal matrix ``J^T W J``."""
    render(x, fit, buf, True)
    work, layout = buf.work, fit.layout
    gradient[:] = 0.0
    normal[:, :] = 0.0
    total = _chi2(x, fit, work, buf.model, True, gradient)
    for w in range(x.shape[0] - fit.n_line_parameters):
        normal[fit.n_line_parameters + w, fit.n_line_parameters + w] = fit.data.s_0[w]
    g, h = work.s_v, work.s_w  # free again once the spectrum is there
    for c in range(fit.species.shape[0]):
        _accumulate_own(x, c, fit, work, buf.jacobian[c], buf.model, buf.slope, g, h, normal)
        for k in range(5):
            if layout.index[c, k] >= 0:
                gradient[layout.index[c, k]] += g[k] * buf.slope[c, k]
        _scatter(h, c, c, layout, buf.slope, normal)
        for d in range(c):
            if _cross(c, d, work, buf.jacobian, fit.data.weight, h):
                _scatter(h, c, d, layout, buf.slope, normal)
    return total


@njit(cache=True, nogil=True, _nrt=False)
def _cross(c, d, work, jacobian, weight, block):  # type: ignore[no-untyped-def]
    """Fill the 5 x 5 block of two components where their intervals meet; False if they never do."""
    for k in range(25):
        block[k] = 0.0
    met = False
    i, j = 0, 0
    while i < work.count[c] and j < work.count[d]:
        a = max(work.intervals[c, i, 0], work.intervals[d, j, 0])
        b = min(work.intervals[c, i, 1], work.intervals[d, j, 1])
        if a < b:
            met = True
            for k in range(5):
                for m in range(5):
                    block[5 * k + m] += _weighted_product(
                        jacobian[c, k, a:b], jacobian[d, m, a:b], weight[a:b]
                    )
        if work.intervals[c, i, 1] <= work.intervals[d, j, 1]:
            i += 1
        else:
            j += 1
    return met
