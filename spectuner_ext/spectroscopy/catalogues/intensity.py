"""Einstein A from the intensities that CDMS and JPL print, and back."""

import numpy as np
from numpy.typing import NDArray

from ...constants import H_OVER_K, KELVIN_PER_WAVENUMBER
from .splatalogue_rows import Rows

__all__ = ["einstein_a", "implied_log_q300"]

FloatArray = NDArray[np.float64]

_FACTOR = 2.7964e-16
_T = 300.0


def _strength(frequency: FloatArray, e_lower: FloatArray) -> FloatArray:
    """Log10 of the intensity per A g / Q, without the exponent that may underflow in the product."""
    stimulated = -np.expm1(-H_OVER_K * frequency / _T)
    boltzmann = -e_lower * KELVIN_PER_WAVENUMBER / _T * np.log10(np.e)
    return np.asarray(np.log10(stimulated / (_FACTOR * frequency**2)) + boltzmann, dtype=np.float64)


def einstein_a(
    log_intensity: FloatArray, frequency: FloatArray, e_lower: FloatArray, g_upper: FloatArray, q300: float
) -> FloatArray:
    """A_ul in s^-1 of catalogue rows.

    ``A = I nu^2 Q (e^{-E_l/kT} - e^{-E_u/kT})^{-1} 2.7964e-16 / g`` at T = 300 K; Pickett et al. (1998),
    doi:10.1016/S0022-4073(98)00091-0, eq. 9.

    Parameters
    ----------
    log_intensity : array, (n,), log10 of nm^2 MHz at 300 K
    frequency : array, (n,), in MHz
    e_lower : array, (n,), in cm^-1
    g_upper : array, (n,)
    q300 : float
        Partition function at 300 K.
    """
    return np.asarray(
        10.0 ** (log_intensity - _strength(frequency, e_lower)) * q300 / g_upper, dtype=np.float64
    )


def implied_log_q300(rows: Rows) -> FloatArray:
    """Log10 Q(300 K) that the printed intensity of each row implies, (n,); NaN where there is none."""
    log_ag = np.log10(rows.einstein_a * rows.g_upper)
    return np.asarray(log_ag + _strength(rows.frequency, rows.e_lower) - rows.intensity, dtype=np.float64)
