"""Physical constants in the working units: MHz, K, km/s, cm^-2.

The exact values are those of the SI of 2019 (BIPM, The International System of Units, 9th edition), where
c, h and k are defined numbers.
"""

__all__ = [
    "C_KMS",
    "FWHM_TO_SIGMA",
    "H_OVER_K",
    "KELVIN_PER_WAVENUMBER",
    "OPACITY_FACTOR",
    "T_CMB",
]

_C = 299_792_458.0  # m s^-1, exact
_H = 6.626_070_15e-34  # J s, exact
_K = 1.380_649e-23  # J K^-1, exact

C_KMS = _C / 1e3
"""Speed of light in km/s."""

H_OVER_K = _H / _K * 1e6
"""h/k in K per MHz."""

KELVIN_PER_WAVENUMBER = _H * _C * 100.0 / _K
"""hc/k: the energy of 1 cm^-1 in K."""

OPACITY_FACTOR = (_C * 100.0) ** 2 / (8.0 * 3.141592653589793) / 1e18
"""c^2 / (8 pi), scaled so that OPACITY_FACTOR * N [cm^-2] * A [s^-1] / nu^2 [MHz^2] is in MHz.

With c in cm/s and nu in Hz the product is in Hz: nu^2 in MHz^2 takes 1e-12, and MHz instead of Hz 1e-6.
"""

FWHM_TO_SIGMA = 0.424_660_900_144_009_5
"""Standard deviation of a Gaussian of unit full width at half maximum, 1 / (2 sqrt(2 ln 2))."""

T_CMB = 2.725_48
"""Temperature of the cosmic microwave background in K; Fixsen (2009), doi:10.1088/0004-637X/707/2/916."""
