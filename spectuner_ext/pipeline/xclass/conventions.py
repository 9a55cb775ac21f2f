"""Where codes for LTE spectra may differ while the equations are the same: named conventions and their settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ...constants import T_CMB

__all__ = ["DOCUMENTED", "MEANING", "OURS", "Conventions", "changes"]


@dataclass(frozen=True, slots=True)
class Conventions:
    """One setting of every convention; `MEANING` says what they are."""

    t_cmb: float = T_CMB
    sampling: str = "average"
    temperature: str = "planck"
    continuum: str = "without"
    background: str = "brightness"
    telescope: str = "as stated"
    beam: str = "each frequency"
    velocity: str = "rest frame"
    partition: str = "logarithmic"
    line_range: str = "reaching in"
    hyperfine: str = "merged"
    line_data: str = "catalogue"
    isotopologues: str = "divided"


OURS = Conventions()
"""What `spectuner_ext.lte.model.LTEModel` does, and `sdfit_lte` gives."""

DOCUMENTED = Conventions(
    t_cmb=2.725,
    sampling="centre",
    continuum="with",
    velocity="added",
    partition="linear",
    hyperfine="apart",
)
"""What the manual of XCLASS and published spectra of it say, as far as they say it."""

MEANING: Mapping[str, Mapping[str | float, str]] = {
    "t_cmb": {
        T_CMB: "microwave background of 2.72548 K",
        2.725: "microwave background of 2.725 K",
        2.726: "microwave background of 2.726 K",
        2.73: "microwave background of 2.73 K",
        0.0: "no microwave background",
    },
    "sampling": {
        "average": "average over each channel",
        "centre": "value at each channel's centre",
    },
    "temperature": {
        "planck": "radiation temperatures J(T) of Planck's law",
        "rayleigh-jeans": "temperatures themselves in the place of J(T)",
    },
    "continuum": {
        "without": "emission of the lines above the continuum",
        "with": "the continuum of tBack and tslope is part of the spectrum",
    },
    "background": {
        "brightness": "tBack is a brightness temperature",
        "planck": "tBack is the temperature of a black body, J(tBack)",
        "none": "no continuum behind the lines",
    },
    "telescope": {
        "as stated": "TelescopeSize as Inter_Flag says",
        "metres": "TelescopeSize is a dish in m",
        "arcsec": "TelescopeSize is a beam in arcsec",
        "filled": "sources fill the beam",
    },
    "beam": {
        "each frequency": "beam of a dish, 1.22 lambda/D, at each frequency",
        "window centre": "beam of a dish at the centre of each spectrum",
        "one beam": "one beam for all spectra, the mean of theirs",
    },
    "velocity": {
        "rest frame": "the spectrum is shifted by vLSR, then lines by their offset",
        "added": "lines are shifted by the sum of vLSR and offset",
        "without vLSR": "vLSR is not applied",
    },
    "partition": {
        "logarithmic": "Q interpolated in log T and log Q",
        "linear": "Q interpolated linearly in T",
    },
    "line_range": {
        "reaching in": "lines outside of a spectrum reach in with their wings",
        "inside": "only lines whose rest frequency lies inside of a spectrum",
    },
    "hyperfine": {
        "merged": "hyperfine components closer than 0.3 km/s are one line",
        "apart": "every hyperfine component is a line",
    },
    "line_data": {
        "catalogue": "A, g and E of our catalogue",
        "job": "A, g and E of the job's own table of transitions",
    },
    "isotopologues": {
        "divided": "isotopologues of the iso-ratio file, N divided by the ratio",
        "left out": "no isotopologues",
        "multiplied": "N of isotopologues multiplied by the ratio",
    },
}
"""Convention to setting to what it means, in words."""


def changes(start: Conventions) -> Iterator[tuple[str, str | float, Conventions]]:
    """Every convention that differs from `start` in one setting: name, setting, conventions."""
    for field in fields(start):
        for setting in MEANING[field.name]:
            if setting != getattr(start, field.name):
                yield field.name, setting, _changed(start, field.name, setting)


def _changed(start: Conventions, name: str, setting: str | float) -> Conventions:
    new: Any = {name: setting}
    return replace(start, **new)
