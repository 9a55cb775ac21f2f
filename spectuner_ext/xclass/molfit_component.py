"""A component of a molfit file as data: five parameters, each with its fit flag and bounds."""

from dataclasses import dataclass

__all__ = ["PARAMETERS", "MolfitComponent", "MolfitParameter"]

PARAMETERS = ("source_size", "temperature", "column", "width", "offset")
"""Names of the parameters in the order of the columns."""

UNITS = {
    "source_size": "arcsec",
    "temperature": "K",
    "column": "cm-2",
    "width": "km/s (FWHM)",
    "offset": "km/s",
}


@dataclass(frozen=True, slots=True)
class MolfitParameter:
    """Value of a parameter, whether a fit may change it, and between which bounds.

    The unit is that of the parameter. In the plain form of the file there are no flags and no bounds: `fit` is
    then False and the bounds are None.
    """

    value: float
    fit: bool = False
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class MolfitComponent:
    """One component of one molecule."""

    molecule: str  # name in the database, such as "CH3OH;v=0;"
    source_size: MolfitParameter | None  # arcsec; None: the source fills the beam
    temperature: MolfitParameter  # excitation temperature, K
    column: MolfitParameter  # total column density, cm-2
    width: MolfitParameter  # full width at half maximum, km/s
    offset: MolfitParameter  # velocity relative to the systemic one, km/s
    foreground: bool = False  # whether it absorbs what the other components emit
    distance: float | None = None  # of its layer, in the files that give one in the place of the flag
    keyword: str | None = None  # word behind the flag, kept as it is

    @property
    def has_fit_columns(self) -> bool:
        """Whether a parameter is fitted or has bounds, which only the fit form of the file can say."""
        return any(
            parameter.fit or parameter.lower is not None or parameter.upper is not None
            for parameter in self.parameters.values()
            if parameter is not None
        )

    @property
    def parameters(self) -> dict[str, MolfitParameter | None]:
        """The five parameters by name, in the order of the columns."""
        return {name: getattr(self, name) for name in PARAMETERS}
