"""What the kernel takes and gives: plain arrays and numbers under names that numba understands."""

from typing import NamedTuple

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray

__all__ = ["NO_TERMS", "N_SUMMED", "TERMS", "Graph", "Numbers", "Scores", "Spectrum", "State"]

TERMS = (
    "prior",  # ln p(E), E in cm-1
    "width",  # ln(sqrt(2 pi) s_E)
    "place",  # sum of ln f over the matched lines
    "intensity",  # of ln g, the shared offset integrated out
    "chance",  # of -ln rho
    "listed",  # of ln p0
    "missing",  # sum of ln(1 - p0 P_D (1 - M)) over the unmatched transitions
    "worst_missing",  # the most negative of these
    "lines",  # number of matched lines
    "foreseen",  # sum of P_D over all expected transitions: lines that should be listed
    "foreseen_matched",  # the same over the matched ones
    "best_line",  # largest ln of what one matched line speaks for the energy
    "off_place",  # mean over matched lines of ln(1 + (d / s)^2)
    "offset",  # of the intensities of this upper level, in its prior standard deviations, absolute
    "away",  # energy from what is expected, in standard deviations, absolute
    "strength",  # sum over matched lines of the decimal logarithm of intensity over detection limit
)
"""What the evidence of a candidate is made of, and what else is told of it."""

N_SUMMED = 7
"""The first so many terms add up to the evidence."""

NO_TERMS: FloatArray = np.empty((0, 0, len(TERMS)))


class Graph(NamedTuple):
    """Calculated transitions, each from both of its levels; those of level k are `pointer[k]` to `pointer[k + 1]`."""

    pointer: IntArray  # (n_level + 1,)
    partner: IntArray  # (n_slot,)
    is_upper: BoolArray  # (n_slot,) whether the level, not its partner, is the upper one
    log_ga: FloatArray  # (n_slot,) dex
    configuration: IntArray  # (n_level,)


class Spectrum(NamedTuple):
    """Observed lines, ordered by wavenumber."""

    wavenumber: FloatArray  # (n_line,) cm-1
    log_intensity: FloatArray  # (n_line,) dex
    sd: FloatArray  # (n_line,) cm-1, of the narrow part
    log_density: FloatArray  # (n_line,) ln of unclaimed lines per cm-1 and dex
    claimed: BoolArray  # (n_line,)
    log_limit: FloatArray  # (n_grid,) dex, faintest intensity on a regular grid


class State(NamedTuple):
    """What is known of the levels."""

    energy: FloatArray  # (n_level,) cm-1, NaN where unknown
    energy_sd: FloatArray  # (n_level,) cm-1
    expected: FloatArray  # (n_level,) cm-1, mean of the energy prior
    expected_sd: FloatArray  # (n_level,) cm-1
    bottom: FloatArray  # (n_level,) cm-1, of the search
    top: FloatArray  # (n_level,) cm-1
    configuration_offset: FloatArray  # (n_configuration,) dex
    level_offset: FloatArray  # (n_level,) dex
    level_offset_sd: FloatArray  # (n_level,) dex
    forbidden_level: IntArray  # (n_forbidden,)
    forbidden_energy: FloatArray  # (n_forbidden,) cm-1


class Numbers(NamedTuple):
    """Scalars of the score."""

    intercept: float  # dex, of the populations
    slope: float  # dex per cm-1
    low: float  # cm-1, spectral range
    high: float
    window: float  # cm-1, half-width of the flat part of the energy prior
    limit_start: float  # cm-1, grid of log_limit
    limit_step: float
    log_expected: float  # dex, expected over limit, below which a transition is left out
    sd_line: float  # dex
    sd_level: float  # dex
    sd_limit: float  # dex
    listed: float
    wide_share: float
    wide_sd: float  # cm-1
    reach: float  # cm-1
    mask_reach: float  # cm-1
    masked_by_free: float
    core_share: float
    tail_share: float
    log_elsewhere: float  # ln of the chance that nothing said of the level holds


class Scores(NamedTuple):
    """Results, written in place; candidates are ordered by falling evidence."""

    energy: FloatArray  # (n_id, n_kept) cm-1
    log_evidence: FloatArray  # (n_id, n_kept) ln W
    energy_sd: FloatArray  # (n_id, n_kept) cm-1
    n_lines: IntArray  # (n_id, n_kept)
    log_total: FloatArray  # (n_id,) ln of the sum over candidates, "nothing is seen", "it is elsewhere"
    n_expected: IntArray  # (n_id,) transitions to known levels that should be seen
    line: IntArray  # (n_slot,) of the best candidate; -1 not seen, -2 not expected
    terms: FloatArray = NO_TERMS  # (n_id, n_kept, n_term), see TERMS; left alone when it has no rows
