"""A run as tables with units, and in words: determined levels, classified lines, what was left undetermined."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from .arrays import BoolArray, FloatArray, IntArray, StrArray
from .result import Analysis, Outcome

__all__ = ["INITIAL", "branching", "levels_table", "lines_table", "summary_lines", "undetermined_table"]

WAVENUMBER = u.cm**-1
INITIAL = "initial"
"""Provenance of the lines that a run started from."""

SAME_LINE = 1e-6
"""Classified lines closer than this in cm^-1 are one observed line: the digits of the best line lists."""


def levels_table(analysis: Analysis) -> QTable:
    """Determined levels in the order in which they were accepted.

    Returns
    -------
    QTable
        ``level`` (id of the theory), ``label, J, parity, energy`` [cm-1]``, energy_err, probability, n_lines,
        E_calc, runner_up, order``; then ``shift`` (energy minus E_calc), ``log_odds, agreement,
        runner_up_log_odds, branching`` [dex] and ``branching_lines`` (see `branching`), ``rms_sigma``
        (of observed minus calculated over its uncertainty) and ``lines_used`` (wavenumbers, each with that ratio in
        brackets, blended ones with a b).
    """
    found, levels = analysis.levels, analysis.system.levels
    ids = found.level
    rms, n_branching = branching(analysis)
    rms_sigma, used = _lines_of_levels(analysis)
    columns: dict[str, tuple[Any, str]] = {
        "level": (ids, "level id in the calculation, counted from 0"),
        "label": (_labels(analysis)[ids], "label in the calculation"),
        "J": (levels.j[ids], "total angular momentum"),
        "parity": (levels.parity[ids], "parity as the calculation has it: 0 or 1, -1 where unknown"),
        "energy": (found.energy * WAVENUMBER, "above the ground level, from the joint least squares"),
        "energy_err": (found.uncertainty * WAVENUMBER, "standard uncertainty of energy"),
        "probability": (found.probability, "that energy is right; NaN where the agent gives none"),
        "n_lines": (found.n_lines, "classified lines of the level"),
        "E_calc": (levels.energy[ids] * WAVENUMBER, "calculated energy"),
        "runner_up": (found.runner_up * WAVENUMBER, "next best energy; NaN where there is none"),
        "order": (found.order, "0 for the level that was accepted first"),
        "shift": ((found.energy - levels.energy[ids]) * WAVENUMBER, "energy minus E_calc"),
        "log_odds": (found.log_odds, "natural logarithm of the odds before calibration"),
        "agreement": (found.agreement, "share of perturbed repetitions that found this energy"),
        "runner_up_log_odds": (found.runner_up_log_odds, "natural logarithm of the odds of runner_up"),
        "branching": (rms * u.dex, "rms of lg(I/gA) among the lines down from the level, less their mean"),
        "branching_lines": (n_branching, "unblended lines in branching"),
        "rms_sigma": (rms_sigma, "rms of observed minus calculated over its standard uncertainty"),
        "lines_used": (used, "wavenumbers in cm-1 (observed minus calculated in sigma; b: blended)"),
    }
    return _table(columns, analysis)


def lines_table(analysis: Analysis) -> QTable:
    """All classified lines, those known from the start and those that the run added, by wavenumber.

    Returns
    -------
    QTable
        ``wavenumber`` [cm-1]``, wavenumber_err, lower, upper`` (level ids)``, lower_label, upper_label,
        lower_energy, upper_energy, obs_minus_calc`` [cm-1]``, sigma`` (that over its standard uncertainty: of the
        agent for its lines, of the wavenumber for the initial ones)``, intensity, snr, intensity_ratio`` [dex]
        (observed over calculated; NaN for initial lines)``, blended, provenance`` (`INITIAL` or the agent)``,
        origin`` (who identified the line, as the system has it).
    """
    system, new, energy = analysis.system, analysis.lines, analysis.energy
    old, observed = system.classified, system.lines
    n_old, n_new = len(old), len(new)
    lower, upper = np.concatenate([old.lower, new.lower]), np.concatenate([old.upper, new.upper])
    wavenumber = np.concatenate([old.wavenumber, observed.wavenumber[new.line]])
    old_residual = old.wavenumber - (energy[old.upper] - energy[old.lower])
    ratio = np.concatenate([np.full(n_old, np.nan), new.log_intensity - new.log_intensity_calc])
    labels, agent = _labels(analysis), np.full(n_new, analysis.agent)
    columns: dict[str, tuple[Any, str]] = {
        "wavenumber": (wavenumber * WAVENUMBER, "observed, in vacuum"),
        "wavenumber_err": (
            np.concatenate([old.uncertainty, observed.uncertainty[new.line]]) * WAVENUMBER,
            "standard uncertainty of wavenumber",
        ),
        "lower": (lower, "id of the lower level"),
        "upper": (upper, "id of the upper level"),
        "lower_label": (labels[lower], "label of the lower level"),
        "upper_label": (labels[upper], "label of the upper level"),
        "lower_energy": (energy[lower] * WAVENUMBER, "energy of the lower level"),
        "upper_energy": (energy[upper] * WAVENUMBER, "energy of the upper level"),
        "obs_minus_calc": (
            np.concatenate([old_residual, new.residual]) * WAVENUMBER,
            "wavenumber minus difference of the energies",
        ),
        "sigma": (
            np.concatenate([old_residual / old.uncertainty, new.residual / new.sigma]),
            "obs_minus_calc over its standard uncertainty",
        ),
        "intensity": (
            np.concatenate([old.intensity, observed.intensity[new.line]]),
            "relative, in the unit of the list",
        ),
        "snr": (np.concatenate([old.snr, observed.snr[new.line]]), "peak signal to noise"),
        "intensity_ratio": (ratio * u.dex, "observed over calculated intensity, decimal logarithm"),
        "blended": (
            np.concatenate([np.zeros(n_old, np.bool_), new.blended]) | _shared(wavenumber),
            "whether another transition shares the line",
        ),
        "provenance": (
            np.concatenate([np.full(n_old, INITIAL), agent]),
            f"'{INITIAL}', or the agent that found it",
        ),
        "origin": (np.concatenate([old.provenance, agent]), "who identified the line"),
    }
    return _table(columns, analysis)[np.argsort(wavenumber, kind="stable")]


def undetermined_table(analysis: Analysis) -> QTable:
    """Levels that the data reach but that stay unknown, with the reason and what would decide them.

    Returns
    -------
    QTable
        ``level, label, J, parity, E_calc`` [cm-1]``, energy`` (best candidate; NaN for none)``, probability, n_lines,
        reason, suggestion``.
    """
    left, levels = analysis.undetermined, analysis.system.levels
    ids = left.level
    columns: dict[str, tuple[Any, str]] = {
        "level": (ids, "level id in the calculation, counted from 0"),
        "label": (_labels(analysis)[ids], "label in the calculation"),
        "J": (levels.j[ids], "total angular momentum"),
        "parity": (levels.parity[ids], "parity as the calculation has it: 0 or 1, -1 where unknown"),
        "E_calc": (levels.energy[ids] * WAVENUMBER, "calculated energy"),
        "energy": (left.energy * WAVENUMBER, "best candidate, not accepted; NaN where there is none"),
        "probability": (left.probability, "that this candidate is right"),
        "n_lines": (left.n_lines, "lines that it would explain"),
        "reason": (np.array(left.reason, dtype=np.str_), "why it was left"),
        "suggestion": (np.array(left.suggestion, dtype=np.str_), "what would decide it"),
    }
    return _table(columns, analysis)


def branching(analysis: Analysis) -> tuple[FloatArray, IntArray]:
    """Check of branching ratios: scatter of ``lg(I_obs / gA)`` among the lines down from each determined level.

    An optically thin line has the photon flux ``N_u A = (N_u / g_u) gA``: ``lg(I_obs / gA)`` is the same for all
    lines of one upper level, whatever the populations are. Blended lines, and lines that the calculation lacks or
    gives no strength, are left out.

    Returns
    -------
    rms : array, (n_determined,), in dex
        About the mean of the level, with n - 1 degrees of freedom; NaN for fewer than two lines.
    n : array of int, (n_determined,)
        Lines that took part.
    """
    new, ids = analysis.lines, analysis.levels.level
    n_levels = len(analysis.system.levels)
    g_a = _g_a(analysis, new.lower, new.upper)
    usable = (g_a > 0) & ~new.blended
    value = new.log_intensity[usable] - np.log10(g_a[usable])
    upper = new.upper[usable]
    count = np.bincount(upper, minlength=n_levels)
    mean = np.bincount(upper, weights=value, minlength=n_levels) / np.maximum(count, 1)
    squares = np.bincount(upper, weights=(value - mean[upper]) ** 2, minlength=n_levels)
    rms = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
    return rms[ids], count[ids]


def _g_a(analysis: Analysis, lower: IntArray, upper: IntArray) -> FloatArray:
    """Weighted transition probability in s^-1 of each pair of levels, 0 where the calculation has none."""
    theory, n = analysis.system.transitions, len(analysis.system.levels)
    pair = theory.lower * n + theory.upper
    order = np.argsort(pair)
    wanted = lower * n + upper
    place = np.minimum(np.searchsorted(pair[order], wanted), max(pair.size - 1, 0))
    if not pair.size:
        return np.zeros(wanted.shape)
    return np.where(pair[order][place] == wanted, theory.g_a[order][place], 0.0)


def _lines_of_levels(analysis: Analysis) -> tuple[FloatArray, StrArray]:
    """Rms of the residuals in sigma, and the lines in words, of each determined level."""
    new, observed = analysis.lines, analysis.system.lines
    ratio = new.residual / new.sigma
    rms, words = np.full(len(analysis.levels), np.nan), []
    for k, level in enumerate(analysis.levels.level):
        rows = np.flatnonzero((new.lower == level) | (new.upper == level))
        rows = rows[np.argsort(observed.wavenumber[new.line[rows]], kind="stable")]
        if rows.size:
            rms[k] = np.sqrt(np.mean(ratio[rows] ** 2))
        words.append(
            " ".join(
                f"{observed.wavenumber[new.line[i]]:.4f}({ratio[i]:+.1f}{'b' * bool(new.blended[i])})"
                for i in rows
            )
        )
    return rms, np.array(words, dtype=np.str_)


def _shared(wavenumber: FloatArray) -> BoolArray:
    """Rows that have the wavenumber of another row."""
    order = np.argsort(wavenumber, kind="stable")
    close = np.diff(wavenumber[order]) < SAME_LINE
    shared = np.zeros(wavenumber.shape, dtype=np.bool_)
    shared[order[1:][close]] = True
    shared[order[:-1][close]] = True
    return shared


def _labels(analysis: Analysis) -> StrArray:
    return np.char.strip(analysis.system.levels.label)


def _table(columns: Mapping[str, tuple[Any, str]], analysis: Analysis) -> QTable:
    table = QTable({name: values for name, (values, _) in columns.items()})
    for name, (_, description) in columns.items():
        table[name].info.description = description
    table.meta.update(
        {"system": analysis.system.name, "agent": analysis.agent, "outcome": analysis.outcome.name}
    )
    return table


# ------------------------------------------------------------------------------------------- words

ENDINGS = {
    Outcome.COMPLETE: "nothing more is probable enough",
    Outcome.CANCELLED: "cancelled by the user; what was found until then is kept",
    Outcome.HORIZON: "the limit of levels or steps was reached while candidates were left",
}
"""Why a run ended, in words."""

MOST_REASONS = 10
"""Reasons that are listed one by one."""


def summary_lines(analysis: Analysis) -> list[str]:
    """Put a run into words, one sentence or list entry a line, for the log and the screen."""
    system, found, new, left = analysis.system, analysis.levels, analysis.lines, analysis.undetermined
    n_unknown = len(system.levels) - len(system.known)
    lines = [
        f"{system.name or 'system'}: {analysis.agent} determined {len(found)} of {n_unknown} unknown levels with "
        f"{len(new)} line identifications; {len(system.known)} levels and {len(system.classified)} lines were known",
        f"end: {ENDINGS[analysis.outcome]}; objective {analysis.score:.4f}",
    ]
    lines += _probability_words(found.probability)
    lines += [f"warning: {text}" for text in analysis.summary.get("warnings", ())]
    if len(new):
        ratio = new.residual / new.sigma
        lines.append(
            f"observed minus calculated: rms {np.sqrt(np.mean(new.residual**2)):.4f} cm-1, "
            f"{np.sqrt(np.mean(ratio**2)):.2f} of the standard uncertainty; "
            f"{np.count_nonzero(np.abs(ratio) > 3)} lines beyond 3; {np.count_nonzero(new.blended)} blended"
        )
    rms, n = branching(analysis)
    if np.isfinite(rms).any():
        lines.append(
            f"branching ratios: median scatter {np.nanmedian(rms):.2f} dex over {np.count_nonzero(n > 1)} levels "
            "with two or more unblended lines"
        )
    if len(left):
        lines.append(f"left undetermined, with reasons: {len(left)} levels")
        reasons = Counter(_kind_of(text) for text in left.reason).most_common()
        lines += [f"  {count} x {reason}" for reason, count in reasons[:MOST_REASONS]]
        if len(reasons) > MOST_REASONS:
            lines.append(f"  {sum(count for _, count in reasons[MOST_REASONS:])} x other reasons")
        n_hints = sum(bool(text) for text in left.suggestion)
        lines += [f"  for {n_hints} of them the table says what would decide"] if n_hints else []
    return [*lines, *(f"note: {text}" for text in system.notes)]


def _kind_of(reason: str) -> str:
    """Reason without what belongs to one level: brackets, what follows a colon or semicolon, numbers."""
    plain = re.split("[;:]", re.sub(r"\s*\([^)]*\)", "", reason))[0]
    return re.sub(r"\b\d[\d.]*\b", "n", plain).strip()


def _probability_words(probability: FloatArray) -> list[str]:
    p = probability[np.isfinite(probability)]
    if not p.size:
        return []
    counts = ", ".join(f"{np.count_nonzero(p >= limit)} at {limit:g} or more" for limit in (0.99, 0.9, 0.5))
    return [f"probability: {counts}; {p.sum():.1f} of {p.size} expected to be right"]
