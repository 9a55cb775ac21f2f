"""What the panels of a picture of maps show: values with robust limits, kinds of outcome, hatching, beam and bar."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...fitting.result import PARAMETERS, FitFlag
from .map_flags import ABSENT
from .maps import CubeMaps
from .outcome import PixelFlag

__all__ = [
    "COLUMNS",
    "KINDS",
    "REASONS",
    "Panel",
    "beam_outline",
    "comparison_panels",
    "component_kinds",
    "fit_panels",
    "frame_of",
    "hatching",
    "parameter_panel",
    "pixel_reasons",
    "robust_limits",
    "scale_bar",
]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

COLUMNS = ("T_ex", "N_tot", "N_beam", "fwhm", "v_off", "source_size")
"""Parameters of a row of panels; the filling factor takes the place of the size where no beam is known."""

_TITLES = {
    "T_ex": r"$T_\mathrm{ex}$ [K]",
    "N_tot": r"$\log_{10} N_\mathrm{tot}$ [cm$^{-2}$]",
    "N_beam": r"$\log_{10} \eta N_\mathrm{tot}$ [cm$^{-2}$]",
    "fwhm": "FWHM [km/s]",
    "v_off": r"$v_\mathrm{off}$ [km/s]",
    "source_size": "source size [arcsec]",
    "filling_factor": "filling factor",
}
_COLOURS = {"T_ex": "inferno", "N_tot": "viridis", "N_beam": "viridis", "fwhm": "cividis", "v_off": "RdBu_r"}
_LOGARITHMIC = ("N_tot", "N_beam")
_DIVERGING = ("v_off",)

KINDS: tuple[tuple[str, str], ...] = (
    ("not detected", "#C9CDD2"),
    ("undecided", "#8F959C"),
    ("T_ex and N not separable", "#D55E00"),
    ("thin: only filling x N", "#F0C05A"),
    ("opaque: N a lower limit", "#5B2A86"),
    ("Q(T) extrapolated", "#8C6D00"),
    ("poor fit", "#CC79A7"),
    ("a parameter at its bound", "#56B4E9"),
    ("measured", "#00795C"),
)
"""Outcomes of a component, the gravest first, and their colours; not fitted is left white."""

_KIND_BITS = (
    FitFlag.NOT_DETECTED | FitFlag.DEGENERATE_CORNER,
    FitFlag.UNDECIDED,
    FitFlag.T_EX_UNCONSTRAINED,
    FitFlag.SIZE_N_DEGENERATE,
    FitFlag.OPAQUE,
    FitFlag.PARTITION_EXTRAPOLATED,
    FitFlag.POOR_FIT,
    FitFlag.AT_BOUND | FitFlag.ERRORS_UNRELIABLE,
)

REASONS: tuple[tuple[str, str], ...] = (
    ("fit failed", "#C00000"),
    ("not reached", "#56B4E9"),
    ("no data", "#30343A"),
    ("not noise", "#7A5195"),
    ("few peaks, locally", "#8F959C"),
    ("few peaks", "#C9CDD2"),
    ("fitted, a window missing", "#F0C05A"),
    ("fitted", "#00795C"),
)
"""Why pixels of the region were left out, or that they were fitted, and colours; outside the region is white."""

_REASON_BITS = (
    PixelFlag.FAILED,
    PixelFlag.NOT_REACHED,
    PixelFlag.NO_DATA,
    PixelFlag.NOT_NOISE,
    PixelFlag.FEW_LOCAL_PEAKS,
    PixelFlag.FEW_PEAKS,
    PixelFlag.WINDOW_MISSING,
)


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One map of a picture.

    Parameters
    ----------
    title : str
    values : array, (ny, nx)
        NaN where no colour is drawn.
    limits : (float, float)
    colours : str
        Name of a colour map.
    loose : array of bool, (ny, nx)
        Pixels with a number that is not a measurement: hatched.
    absent : array of bool, (ny, nx)
        Fitted pixels without a detection: plain grey.
    note : str
        Written over a panel without values.
    value : str
        In place of the scale of colours, where all values are the same.
    remark : str
        Small, in a corner.
    """

    title: str
    values: FloatArray
    limits: tuple[float, float]
    colours: str
    loose: BoolArray
    absent: BoolArray
    note: str = ""
    value: str = ""
    remark: str = ""

    @property
    def varies(self) -> bool:
        """Whether there is more than one value, so that colours say something."""
        known = self.values[np.isfinite(self.values)]
        return bool(known.size and np.ptp(known) > 1e-9 * np.max(np.abs(known)))


def parameter_panel(maps: CubeMaps, species: str, parameter: str, component: int = 1) -> Panel:
    """Panel of a parameter: coloured where measured, hatched where only a number, grey where not detected."""
    if parameter == "source_size" and not np.isfinite(maps.beam_scale):
        parameter = "filling_factor"
    value = np.asarray(maps.quantity(species, parameter, component).value)
    good = maps.good(species, component) & ~maps.flagged(ABSENT, species, component)
    held = maps.held(species, parameter, component)
    by_map = maps.held_where(species, parameter, component) & good
    known = by_map | maps.determined(species, parameter, component)
    if parameter in _LOGARITHMIC:
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.log10(value)
    shown = np.where(known & np.isfinite(value), value, np.nan)
    note = ""
    if not known.any():
        note = "not measured" if good.any() else "not detected" if maps.fitted.any() else "not fitted"
    return Panel(
        title=_TITLES[parameter],
        values=shown,
        limits=robust_limits(shown, diverging=parameter in _DIVERGING),
        colours=_COLOURS.get(parameter, "viridis"),
        loose=good & ~np.isfinite(shown),
        absent=maps.fitted & ~good,
        note=note,
        value=_constant(shown) if held is None else f"held at {_constant(shown)}",
        remark=_held_words(by_map, good) if held is None else "",
    )


def _held_words(by_map: BoolArray, good: BoolArray) -> str:
    """That, and where, a map held a parameter."""
    if not by_map.any():
        return ""
    n = int(np.count_nonzero(by_map))
    return "held at a map" if n == np.count_nonzero(good) else f"held at a map\nin {n} pixels"


def comparison_panels(
    maps: CubeMaps, label: tuple[str, int], parameter: str, theta: FloatArray, size: FloatArray
) -> tuple[Panel, Panel, Panel]:
    """Panels of a parameter as fitted, as it truly is, and of the difference where it was measured.

    Parameters
    ----------
    maps : CubeMaps
    label : (species, number)
    parameter : str
        One of `COLUMNS`.
    theta : array, (ny, nx, 5)
        True parameters of the component.
    size : array, (ny, nx), in arcsec
    """
    species, number = label
    fitted = parameter_panel(maps, species, parameter, number)
    if parameter == "source_size" and not np.isfinite(maps.beam_scale):
        parameter = "filling_factor"
    if parameter == "source_size":
        true = size
    elif parameter == "N_beam":
        true = theta[..., 0] * theta[..., 2]
    else:
        true = theta[..., PARAMETERS.index(parameter)]
    error = maps.error(species, parameter, number).value
    if parameter in _LOGARITHMIC:
        error = error / (maps.quantity(species, parameter, number).value * np.log(10.0))
        with np.errstate(divide="ignore"):
            true = np.log10(true)
    difference = fitted.values - true
    pull = difference / error
    nothing = np.zeros(maps.shape, dtype=np.bool_)
    known = np.isfinite(difference)
    pull = pull[known & np.isfinite(pull)]
    if np.isfinite(fitted.values).any():  # one scale for both, so that the eye can compare
        fitted = replace(fitted, limits=robust_limits(true, diverging=parameter in _DIVERGING))
    reach = max(abs(v) for v in robust_limits(difference)) if known.any() else 1.0
    remark = f"median {np.median(difference[known]):+.2g}" if known.any() else ""
    if pull.size > 1:
        remark += f"\npulls {np.mean(pull):+.2f} $\\pm$ {np.std(pull):.2f}"
    return (
        fitted,
        replace(fitted, values=true, loose=nothing, absent=nothing, note="", remark=""),
        Panel(
            title=f"$\\Delta$ {fitted.title}",
            values=difference,
            limits=(-reach, reach),
            colours="RdBu_r",
            loose=fitted.loose,
            absent=fitted.absent,
            note="" if known.any() else "nothing to compare",
            remark=remark,
        ),
    )


def fit_panels(maps: CubeMaps) -> list[Panel]:
    """Panels that are about pixels, not components: reduced chi2, peaks, noise and evaluations."""
    out, fitted = maps.outcome, maps.fitted
    freedom = np.maximum(out["n_data"] - len(maps.free), 1)
    seen = np.isfinite(out["sigma"]).any(axis=-1)
    noise = np.full(maps.shape, np.nan)
    noise[seen] = np.nanmedian(out["sigma"][seen], axis=-1)
    shown = {
        "reduced chi2": (np.where(fitted, out["chi2"] / freedom, np.nan), "magma_r"),
        "peaks in the data": (np.where(maps.region & seen, out["n_peaks"].sum(axis=-1), np.nan), "viridis"),
        "noise [K]": (noise, "cividis"),
        "spectra computed": (np.where(fitted, out["n_evaluations"], np.nan), "viridis"),
    }
    nowhere = np.zeros(maps.shape, dtype=np.bool_)
    return [
        Panel(title, values, robust_limits(values), colours, nowhere, nowhere, value=_constant(values))
        for title, (values, colours) in shown.items()
    ]


def _constant(values: FloatArray) -> str:
    """The value, if there is only one."""
    known = np.unique(values[np.isfinite(values)])
    return f"{known[0]:.4g}" if known.size == 1 else ""


def component_kinds(maps: CubeMaps, species: str, component: int = 1) -> NDArray[np.int64]:
    """Entry of `KINDS` for every pixel; -1 where not fitted."""
    kinds = np.full(maps.shape, len(KINDS) - 1)
    for k in reversed(range(len(_KIND_BITS))):
        kinds[maps.flagged(_KIND_BITS[k], species, component)] = k
    return np.where(maps.fitted, kinds, -1)


def pixel_reasons(maps: CubeMaps) -> NDArray[np.int64]:
    """Entry of `REASONS` for every pixel; -1 outside the region."""
    reasons = np.where(maps.fitted, len(REASONS) - 1, -1)
    for k in reversed(range(len(_REASON_BITS))):
        reasons[maps.flagged(_REASON_BITS[k])] = k
    return np.where(maps.region, reasons, -1)


def robust_limits(values: FloatArray, *, diverging: bool = False) -> tuple[float, float]:
    """Range of colours that a few wild pixels do not stretch; symmetric about the median if diverging.

    What lies within half the range of the middle 98 percent beyond it, as the peak of a compact source, is not wild.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return -1.0, 1.0
    if diverging:
        middle = float(np.median(known))
        most, typical = (float(np.percentile(np.abs(known - middle), p)) for p in (100.0, 98.0))
        reach = min(most, 1.5 * typical) or most
        low, high = middle - reach, middle + reach
    else:
        least, p_1, p_99, most = (float(v) for v in np.percentile(known, [0.0, 1.0, 99.0, 100.0]))
        room = 0.5 * (p_99 - p_1)
        low, high = max(least, p_1 - room), min(most, p_99 + room)
    thin = 1e-3 * max(abs(low), abs(high), 1e-30)
    return (low, high) if high - low > thin else (low - 0.5 * thin, high + 0.5 * thin)


def hatching(where: BoolArray, *, dots: int = 240) -> NDArray[np.uint8]:
    """Image (n, m, 4) of grey with slanted lines over some pixels, transparent elsewhere.

    Pixels of small maps are cut into finer ones, so that the lines look the same in all.
    """
    fine = max(1, dots // max(where.shape))
    mask = np.kron(where, np.ones((fine, fine), dtype=np.bool_))
    y, x = np.indices(mask.shape)
    period = max(6, max(mask.shape) // 24)
    line = (y + x) % period < max(1, period // 4)
    image = np.zeros((*mask.shape, 4), dtype=np.uint8)
    image[mask] = (226, 226, 226, 255)
    image[mask & line] = (150, 150, 150, 255)
    return image


def beam_outline(maps: CubeMaps) -> FloatArray | None:
    """Outline of the reference beam about (0, 0) in pixels, (n, 2) as x, y; None without beam or coordinates."""
    if maps.wcs is None or not {"BMAJ", "BMIN"} <= set(maps.beam):
        return None
    angle = np.deg2rad(maps.beam.get("BPA", 0.0))
    turn = np.linspace(0.0, 2.0 * np.pi, 73)
    along, across = 0.5 * maps.beam["BMAJ"] * np.cos(turn), 0.5 * maps.beam["BMIN"] * np.sin(turn)
    # the position angle runs from north through east
    sky = np.stack(
        [along * np.sin(angle) + across * np.cos(angle), along * np.cos(angle) - across * np.sin(angle)]
    )
    return np.asarray(np.linalg.solve(maps.wcs.pixel_scale_matrix, sky).T)


def scale_bar(maps: CubeMaps, width: int) -> tuple[float, str] | None:
    """Length in pixels, and label, of a bar of round length about a quarter of a picture `width` pixels wide."""
    if maps.wcs is None:
        return None
    pixel = float(np.sqrt(abs(np.linalg.det(maps.wcs.pixel_scale_matrix)))) * 3600.0
    wanted = 0.28 * width * pixel
    unit, sign = next((u, s) for u, s in ((3600.0, "°"), (60.0, "'"), (0.0, '"')) if wanted >= u)
    unit = unit or 1.0
    power = 10.0 ** np.floor(np.log10(wanted / unit))
    length = power * max(k for k in (1.0, 2.0, 5.0) if k * power <= wanted / unit * (1.0 + 1e-9))
    return length * unit / pixel, f"{length:g}{sign}"


def frame_of(maps: CubeMaps) -> tuple[slice, slice]:
    """Rows and columns to draw: those of the region with a little room, the whole map if it is not much smaller."""
    frame = []
    for axis, n in enumerate(maps.shape):
        used = np.flatnonzero(maps.region.any(axis=1 - axis))
        first, last = (int(used[0]), int(used[-1]) + 1) if used.size else (0, n)
        room = max(1, round(0.04 * (last - first)))
        first, last = max(first - room, 0), min(last + room, n)
        frame.append((first, last) if last - first < 0.8 * n else (0, n))
    return slice(*frame[0]), slice(*frame[1])
