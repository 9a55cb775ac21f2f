"""Maps of a fitted cube: every number that the fit gave, by name, and which of them were measured."""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ...errors import InputError
from ...fitting.result import PARAMETERS, FitFlag, Status
from ...lte.parameters import ParameterSpace
from ...observation.observation import Observation
from .celestial import celestial_header
from .map_flags import OF_COMPONENT, UNMEASURED, bits_of, names_of_flags
from .map_units import MAP_UNITS
from .outcome import FIELDS, NOT_FITTED, Outcome, PixelFlag, Sizes

if TYPE_CHECKING:
    from astropy.table import QTable
    from astropy.wcs import WCS

__all__ = ["MAP_UNITS", "CubeMaps", "celestial_header"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_FIELD_OF = {"N_tot_limit": "n_tot_limit", "tau_max": "tau_max", "significance": "significance"}


@dataclass(frozen=True, slots=True, eq=False)
class CubeMaps:
    """What is known of every pixel of a cube after a fit. Build it with `CubeMaps.build`, or read it.

    Parameters
    ----------
    outcome : dict of arrays, (ny, nx, ...)
        By the names of `~spectuner_ext.pipeline.cubes.outcome.FIELDS`.
    components : tuple of (species, number)
        Catalogue name of each component, and its number within the species, from 1.
    space : ParameterSpace
        How a fit vector becomes the parameters of the components.
    free : tuple of str, (n_free,)
        Names of the fit vector's entries, window offsets included.
    lower, upper : array, (n_free,)
        Bounds of the fit vector, in the scales of the fit.
    windows : tuple of str
    celestial : fits.Header or None
        World coordinates of the pixels; None when the cube has none.
    beam : mapping
        BMAJ, BMIN and BPA of the reference beam in degrees; empty when it is not known.
    beam_scale : float, in arcsec
        Width of the beam that filling factors refer to; NaN when no beam is known.
    region : array of bool, (ny, nx)
    pinned : array of bool, (ny, nx, n_free), optional
        Where an entry of the fit vector was held, at the value of a map; nowhere by default.
    meta : mapping
        JSON-like, made so if it is not: ``call``, ``provenance``, ``settings``, ``counts``, ``label``, and
        ``windows``, a mapping each ...
    """

    outcome: Outcome
    components: tuple[tuple[str, int], ...]
    space: ParameterSpace
    free: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    windows: tuple[str, ...]
    celestial: fits.Header | None
    beam: Mapping[str, float]
    beam_scale: float
    region: BoolArray
    meta: Mapping[str, Any] = field(default_factory=dict)
    pinned: BoolArray | None = None

    def __post_init__(self) -> None:
        """Check that the arrays belong together, and bring `meta` into the form that a file gives back."""
        object.__setattr__(self, "meta", json.loads(json.dumps(dict(self.meta), default=_jsonlike)))
        lengths = {"component": len(self.components), "window": len(self.windows), "free": len(self.free)}
        for name, (_, axes, _) in FIELDS.items():
            if name not in self.outcome:
                raise InputError(f"outcome: has no array {name!r}; it needs {', '.join(FIELDS)}")
            expected = (*self.region.shape, *(lengths[a] if isinstance(a, str) else a for a in axes))
            if self.outcome[name].shape != expected:
                raise InputError(
                    f"outcome: {name} has shape {self.outcome[name].shape}, but {expected} belongs to a region of "
                    f"{self.region.shape} pixels, {len(self.components)} components, {len(self.windows)} "
                    f"windows and {len(self.free)} free parameters"
                )
        if self.pinned is not None and self.pinned.shape != self.outcome["x"].shape:
            raise InputError(
                f"pinned: has shape {self.pinned.shape}, but the fit vectors {self.outcome['x'].shape}"
            )

    @classmethod
    def build(
        cls,
        outcome: Outcome,
        frame: Observation,
        space: ParameterSpace,
        components: Sequence[tuple[str, int]],
        *,
        free: Sequence[str] | None = None,
        lower: FloatArray | None = None,
        upper: FloatArray | None = None,
        wcs: "WCS | None" = None,
        beam: Mapping[str, float] | None = None,
        region: BoolArray | None = None,
        pinned: BoolArray | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> "CubeMaps":
        """Put the arrays of a run beside what they mean.

        Parameters
        ----------
        outcome : dict of arrays, (ny, nx, ...)
        frame : Observation
            Channels and beams of all pixels, as ``ObservedCube.frame``.
        space : ParameterSpace
        components : sequence of (species, number)
        free, lower, upper : optional
            Names and bounds of the fit vector when it has more entries than `space` (window offsets).
        wcs : WCS, optional
            Its celestial part is taken.
        beam : mapping, optional
        region : array of bool, (ny, nx), optional
            All pixels by default.
        pinned : array of bool, (ny, nx, n_free), optional
        meta : mapping, optional
        """
        spans = [
            {
                "name": w.name,
                "n_channel": int(w.nu.size),
                "low_MHz": float(w.edges[0]),
                "high_MHz": float(w.edges[-1]),
                "t_cmb_K": float(w.t_cmb),
            }
            for w in frame.windows
        ]
        shape = outcome["status"].shape
        return cls(
            outcome=outcome,
            components=tuple((str(s), int(n)) for s, n in components),
            space=space,
            free=space.names if free is None else tuple(free),
            lower=np.array(space.lower if lower is None else lower, dtype=np.float64),
            upper=np.array(space.upper if upper is None else upper, dtype=np.float64),
            windows=tuple(w.name or str(i) for i, w in enumerate(frame.windows, start=1)),
            celestial=celestial_header(wcs),
            beam={k: float(v) for k, v in (beam or {}).items()},
            beam_scale=float(frame.beam_scale),
            region=np.ones(shape, dtype=np.bool_) if region is None else np.array(region, dtype=np.bool_),
            meta={"windows": spans, "vlsr": float(frame.v_lsr), **(meta or {})},
            pinned=pinned if pinned is not None and pinned.any() else None,
        )

    def __repr__(self) -> str:
        names = ", ".join(f"{s} #{n}" for s, n in self.components)
        ny, nx = self.shape
        return f"<CubeMaps {ny} x {nx}: {names}; {np.count_nonzero(self.fitted)} pixels fitted>"

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        ny, nx = self.region.shape
        return ny, nx

    @property
    def sizes(self) -> Sizes:
        """Lengths of the other axes of the arrays."""
        return Sizes(component=len(self.components), window=len(self.windows), free=len(self.free))

    @property
    def wcs(self) -> "WCS | None":
        """World coordinates of the pixels."""
        from astropy.wcs import WCS, FITSFixedWarning

        if self.celestial is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # of a date that is written twice, say
            return WCS(self.celestial)

    @property
    def fitted(self) -> BoolArray:
        """Pixels whose fit has an outcome."""
        status = self.outcome["status"]
        return np.asarray(
            (status != NOT_FITTED) & (status != Status.FAILED) & ~self.flagged(PixelFlag.FAILED)
        )

    def position(self, species: str, component: int = 1) -> int:
        """Where a component stands in the arrays.

        Parameters
        ----------
        species : str
            Catalogue name, or as much of its beginning as is needed to tell it from the others.
        component : int

        Raises
        ------
        InputError
            If there is no such component, or several.
        """
        names = tuple(dict.fromkeys(s for s, _ in self.components))
        matching = [s for s in names if s == species] or [s for s in names if s.split(";")[0] == species]
        matching = matching or [s for s in names if s.startswith(species)]
        if len(matching) != 1:
            what = "fits several of" if matching else "is not among"
            raise InputError(f"species: {species!r} {what} the fitted species {', '.join(names)}")
        if (matching[0], component) not in self.components:
            count = sum(s == matching[0] for s, _ in self.components)
            raise InputError(f"component: {matching[0]} has components 1 to {count}, got {component}")
        return self.components.index((matching[0], component))

    def quantity(self, species: str, parameter: str, component: int = 1) -> u.Quantity:
        """Map of a parameter, or of N_tot_limit, tau_max or significance; NaN where nothing was detected.

        A number may be there without being measured: see `determined`.

        Parameters
        ----------
        species : str
        parameter : str
            One of `MAP_UNITS`.
        component : int

        Returns
        -------
        Quantity, (ny, nx)
        """
        c = self.position(species, component)
        unit = MAP_UNITS[_known(parameter, MAP_UNITS)]
        if parameter in _FIELD_OF:
            return self.outcome[_FIELD_OF[parameter]][..., c] * unit
        if parameter == "source_size":
            return self._size(self.outcome["theta"][..., c, 0]) * unit
        if parameter == "N_beam":
            return self.outcome["theta"][..., c, 0] * self.outcome["theta"][..., c, 2] * unit
        return self.outcome["theta"][..., c, PARAMETERS.index(parameter)] * unit

    def error(self, species: str, parameter: str, component: int = 1) -> u.Quantity:
        """Map of the 1 sigma error of a parameter; NaN where held, at a bound, or not measured."""
        c = self.position(species, component)
        unit = MAP_UNITS[_known(parameter, (*PARAMETERS, "source_size", "N_beam"))]
        if parameter == "N_beam":
            return self.outcome["n_beam_error"][..., c] * unit
        error = self.outcome["error"][..., c, :]
        if parameter != "source_size":
            return error[..., PARAMETERS.index(parameter)] * unit
        eta = self.outcome["theta"][..., c, 0]
        # theta = theta_b sqrt(eta / (1 - eta)), so d theta / d eta = theta / (2 eta (1 - eta))
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = self._size(eta) / (2.0 * eta * (1.0 - eta))
            return np.where(eta < 1.0, error[..., 0] * slope, np.nan) * unit

    def _size(self, eta: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            return np.asarray(self.beam_scale * np.sqrt(eta / (1.0 - eta)))

    def flagged(
        self, flags: int | str | Iterable[str], species: str | None = None, component: int = 1
    ) -> BoolArray:
        """Pixels with any of some flags.

        Parameters
        ----------
        flags : FitFlag, PixelFlag, str or sequence of str
            Bits, or names of them; ``A|B`` for several.
        species : str, optional
            Look at the flags of one component and of the pixel; of all components by default.
        component : int
        """
        bits = flags if isinstance(flags, int) else bits_of(flags)
        found = self.outcome["flags"] & bits
        if species is not None:
            own = self.outcome["component_flags"][..., self.position(species, component)]
            found = (found & ~OF_COMPONENT) | (own & bits)
        return np.asarray(found != 0)

    def flag_names(self, y: int, x: int) -> str:
        """Names of all flags of a pixel, joined by ``|``; ``NONE`` without any."""
        return names_of_flags(int(self.outcome["flags"][y, x]))

    def good(self, species: str, component: int = 1) -> BoolArray:
        """Pixels that were fitted and in which the component was detected."""
        return self.fitted & ~self.flagged(FitFlag.NOT_DETECTED, species, component)

    def determined(self, species: str, parameter: str, component: int = 1) -> BoolArray:
        """Pixels in which a parameter was measured: detected, free, not degenerate, and with an error.

        Where N_tot is only a lower limit (``OPAQUE``) it is not determined either.
        """
        _known(parameter, UNMEASURED)
        lost = self.flagged(UNMEASURED[parameter], species, component)
        known = np.isfinite(self.error(species, parameter, component).value)
        return np.asarray(self.good(species, component) & ~lost & known)

    def held(self, species: str, parameter: str, component: int = 1) -> float | None:
        """Value at which a parameter was held in all pixels; None for one that is free, or was held by a map.

        See `held_where` for the pixels.
        """
        _known(parameter, UNMEASURED)
        if parameter == "N_beam":
            parts = [self.held(species, name, component) for name in ("filling_factor", "N_tot")]
            return None if None in parts else float(np.prod([p for p in parts if p is not None]))
        c, k = self.position(species, component), PARAMETERS.index(_BASE.get(parameter, parameter))
        layout = self.space.layout
        if layout.index[c, k] >= 0:
            return None
        value = float(layout.offset[c, k])
        value = 10.0**value if layout.logarithmic[k] else value
        return float(self._size(np.array(value))) if parameter == "source_size" else value

    def held_where(self, species: str, parameter: str, component: int = 1) -> BoolArray:
        """Pixels in which a parameter was held, at one value or a map's; N_beam where both of its factors were."""
        _known(parameter, UNMEASURED)
        if parameter == "N_beam":
            both = [self.held_where(species, name, component) for name in ("filling_factor", "N_tot")]
            return both[0] & both[1]
        c, k = self.position(species, component), PARAMETERS.index(_BASE.get(parameter, parameter))
        i = self.space.layout.index[c, k]
        if i < 0:
            return np.ones(self.shape, dtype=np.bool_)
        return np.zeros(self.shape, dtype=np.bool_) if self.pinned is None else np.array(self.pinned[..., i])

    def to_table(self) -> "QTable":
        """One row per fitted pixel and component; see `spectuner_ext.pipeline.cubes.pixel_tables`."""
        from .pixel_tables import pixels_table

        return pixels_table(self)

    def summary(self) -> "QTable":
        """One row per component: numbers of pixels, quartiles of what is determined, counts of flags."""
        from .pixel_tables import summary_table

        return summary_table(self)


_BASE = {"source_size": "filling_factor"}


def _jsonlike(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, set | frozenset) else str(value)


def _known(parameter: str, names: Iterable[str]) -> str:
    if parameter not in names:
        raise InputError(f"parameter: unknown {parameter!r}; choose from {', '.join(names)}")
    return parameter
