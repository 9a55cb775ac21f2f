"""Quantities of a component of a map, and their units."""

from typing import Any

import astropy.units as u

__all__ = ["MAP_UNITS"]

MAP_UNITS: dict[str, Any] = {
    "source_size": u.arcsec,
    "filling_factor": u.dimensionless_unscaled,
    "T_ex": u.K,
    "N_tot": u.cm**-2,
    "fwhm": u.km / u.s,
    "v_off": u.km / u.s,
    "N_beam": u.cm**-2,
    "N_tot_limit": u.cm**-2,
    "tau_max": u.dimensionless_unscaled,
    "significance": u.dimensionless_unscaled,
}
"""Quantities of a component and their units; the first seven have errors.

N_beam, the column density averaged over the beam, is filling factor times N_tot: what thin lines measure where they
do not tell the two apart."""
