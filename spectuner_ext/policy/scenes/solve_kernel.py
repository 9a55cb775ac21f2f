"""Column density and filling factor from what is seen of the strongest line (numba, arrays only)."""

import numpy as np
from numba import njit

from ...constants import C_KMS, FWHM_TO_SIGMA, H_OVER_K

__all__ = ["solve_members"]

_ROOT = np.sqrt(2.0 * np.pi)


@njit(cache=True, nogil=True)
def _planck(temperature, nu):  # type: ignore[no-untyped-def]
    quantum = H_OVER_K * nu
    return quantum / np.expm1(min(quantum / temperature, 700.0)) if temperature > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _log_q(log_t, table_t, table_q, first, last):  # type: ignore[no-untyped-def]
    """Ln Q, linear in logarithms, outermost slopes continued."""
    i = min(max(first + np.searchsorted(table_t[first:last], log_t) - 1, first), last - 2)
    return table_q[i] + (table_q[i + 1] - table_q[i]) / (table_t[i + 1] - table_t[i]) * (log_t - table_t[i])


@njit(cache=True, nogil=True)
def _strongest(lines, s, n_window, low, high, background, noise, t_ex, fwhm, v, wanted, taken):  # type: ignore[no-untyped-def]
    """Line of species s that is brightest over the noise when thin, and how much brighter than the `wanted`-th.

    Returns its optical depth per column density, its frequency, its window, and the ratio (infinite where there are
    too few); a window of -1 where no line is inside. Lines within half a width of a brighter one do not count.
    """
    log_q = _log_q(np.log(t_ex), lines.log_t, lines.log_q, lines.q_start[s], lines.q_start[s + 1])
    shift = 1.0 - v / C_KMS
    scale = C_KMS / (fwhm * FWHM_TO_SIGMA * shift * _ROOT) * np.exp(-log_q)
    best_depth, best_nu, best_window, best_signal, last_signal = 0.0, 0.0, -1, 0.0, 0.0
    for rank in range(wanted):
        top, top_depth, top_nu, top_window = 0.0, 0.0, 0.0, -1
        for w in range(n_window):
            for i in range(lines.start[s * n_window + w], lines.start[s * n_window + w + 1]):
                nu = lines.nu[i] * shift
                if nu <= low[w] or nu >= high[w]:
                    continue
                depth = scale * lines.strength[i] / lines.nu[i] * np.exp(-lines.e_lower[i] / t_ex)
                depth *= -np.expm1(-H_OVER_K * lines.nu[i] / t_ex)
                signal = depth * abs(_planck(t_ex, nu) - background[w]) / noise[w]
                if signal <= top:
                    continue
                apart = True
                for k in range(rank):
                    apart = apart and abs(nu / taken[k] - 1.0) * C_KMS > 0.5 * fwhm
                if apart:
                    top, top_depth, top_nu, top_window = signal, depth, nu, w
        if top_window < 0:
            break
        taken[rank] = top_nu
        if rank == 0:
            best_depth, best_nu, best_window, best_signal = top_depth, top_nu, top_window, top
        if rank == wanted - 1:
            last_signal = top
    return best_depth, best_nu, best_window, best_signal / last_signal if last_signal > 0.0 else np.inf


@njit(cache=True, nogil=True)
def solve_members(  # type: ignore[no-untyped-def]
    lines, low, high, step, background, sigma, draws, limit, wanted, cold, bounds, snr_min, column, theta
):
    """First of several draws of each member for which filling factor and column density stay inside their bounds.

    The brightness of the strongest line is ``|J(T_ex) - J_bg| eta (1 - exp(-tau))``, tau is proportional to N_tot.

    Parameters
    ----------
    lines : Lines
        One group of lines per member and window.
    low, high, step, background, sigma : array, (n_window,)
        Window edges and channel width in MHz, brightness behind the lines and noise in K.
    draws : array, (n_member, n_try, 6)
        T_ex [K], FWHM and v_off [km/s], and uniform numbers for brightness, optical depth and the last choice.
    limit : array, (n_member,)
        Largest brightness of the strongest line over the noise.
    wanted : array of int, (n_member,)
        How many lines are meant to be detectable.
    cold : array of bool, (n_member,)
        Whether a member may be colder than its background.
    bounds : array, (2, 6)
        Lower and upper ends of eta, T_ex, N_tot, FWHM, v_off and tau.
    snr_min : float
    column : (float, float)
        log10 N_tot up to which every draw is taken, and the dex over which the probability falls tenfold beyond.
    theta : array, (n_member, 5)
        Filled with eta, T_ex, N_tot, FWHM, v_off; NaN where no draw was possible.
    """
    n_window = low.shape[0]
    taken, noise = np.empty(64), np.empty(n_window)
    for m in range(draws.shape[0]):
        theta[m, :] = np.nan
        for a in range(draws.shape[1]):
            t_ex, fwhm, v, u_peak, u_tau, u_taken = draws[m, a]
            outside = t_ex < bounds[0, 1] or t_ex > bounds[1, 1] or abs(v) > bounds[1, 4]
            if outside or fwhm < bounds[0, 3] or fwhm > bounds[1, 3]:
                continue
            for w in range(n_window):
                # a line narrower than a channel is diluted
                share = step[w] / (0.5 * (low[w] + high[w])) * C_KMS / fwhm
                noise[w] = sigma[w] * np.sqrt(1.0 + share * share)
            depth, nu, w, ratio = _strongest(
                lines, m, n_window, low, high, background, noise, t_ex, fwhm, v, wanted[m], taken
            )
            if w < 0 or depth <= 0.0 or not np.isfinite(ratio):
                continue
            contrast = _planck(t_ex, nu) - background[w]
            if contrast <= 0.0 and not cold[m]:
                continue
            contrast = abs(contrast)
            # the faintest of the wanted lines at 4.5 sigma, a little above what counts as a peak
            least = max(snr_min, 4.5 * ratio if wanted[m] > 1 else snr_min)
            most = max(limit[m], min(3.0 * least, 1e4))
            most = min(most, 0.98 * contrast * bounds[1, 0] / noise[w])
            if most <= least:
                continue
            peak = noise[w] * least * (most / least) ** u_peak
            tau_low = max(bounds[0, 5], -np.log1p(-peak / (contrast * bounds[1, 0])), depth * bounds[0, 2])
            tau_high = min(bounds[1, 5], depth * bounds[1, 2])
            if peak < contrast * bounds[0, 0]:
                tau_high = min(tau_high, -np.log1p(-peak / (contrast * bounds[0, 0])))
            if tau_high <= tau_low:
                continue
            tau = tau_low * (tau_high / tau_low) ** u_tau
            excess = np.log10(tau / depth) - column[0]
            if excess > 0.0 and u_taken > 10.0 ** (-excess / column[1]):
                continue
            theta[m, 0] = peak / (contrast * -np.expm1(-tau))
            theta[m, 1], theta[m, 2], theta[m, 3], theta[m, 4] = t_ex, tau / depth, fwhm, v
            break
