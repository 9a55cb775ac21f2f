"""A fitted component in words: name, values with errors, outcome; for pictures, log and command line."""

import math
import re
from typing import Any

from astropy.table import QTable, Row

from ..fitting.result import FitFlag
from .tables import FLAG_TEXT

__all__ = [
    "COLOURS",
    "DASHES",
    "flag_words",
    "outcome",
    "parameter_words",
    "species_markup",
    "table_of_words",
    "value_words",
]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#7A5195", "#8C6D00")
"""One per component: Okabe & Ito's colour-blind-safe set without its yellow, black and vermillion, and two
darker ones that keep the distance in luminance."""

DASHES = ("solid", "dashed", "dotted")
"""Line style of the first, second and third round through `COLOURS`."""

_SHORT: dict[FitFlag, str] = {
    FitFlag.AT_BOUND: "parameter at its bound",
    FitFlag.DEGENERATE_CORNER: "faint broad pedestal",
    FitFlag.SIZE_N_DEGENERATE: "thin: size and N degenerate",
    FitFlag.T_EX_UNCONSTRAINED: "T_ex unconstrained",
    FitFlag.OPAQUE: "opaque: N is a lower limit",
    FitFlag.PARTITION_EXTRAPOLATED: "Q(T) extrapolated",
    FitFlag.PREDICTED_LINE_ABSENT: "predicted line absent",
    FitFlag.ERRORS_UNRELIABLE: "errors unreliable",
    FitFlag.POOR_FIT: "poor fit overall",
}


def flag_words(flags: int) -> str:
    """Put flags into a few words each; whether the row was detected is said elsewhere.

    Of what was not detected, only what explains that: its parameters mean nothing.
    """
    if flags & FitFlag.NOT_DETECTED:
        flags &= FitFlag.DEGENERATE_CORNER | FitFlag.PREDICTED_LINE_ABSENT
    return ", ".join(_SHORT[f] for f in FLAG_TEXT if f & flags and f in _SHORT)


def outcome(row: Row) -> str:
    """Say ``DETECTED``, or ``NOT DETECTED`` with the upper limit, or that this fit cannot tell."""
    if row["detected"]:
        return "DETECTED"
    if int(row["flags"]) & FitFlag.UNDECIDED:
        return "UNDECIDED, use loss='pm' or fit jointly"
    limit = _number(row, "N_tot_limit")
    return f"NOT DETECTED, N < {limit:.1e} cm-2" if math.isfinite(limit) else "NOT DETECTED"


def value_words(value: float, error: float) -> str:
    """Value with its error to two digits, such as ``152.3 +- 1.2`` or ``(1.02 +- 0.03)e+18``.

    Examples
    --------
    >>> value_words(152.34, 1.23)
    '152.3 +- 1.2'
    >>> value_words(1.021e18, 3.2e16)
    '(1.021 +- 0.032)e+18'
    """
    if not math.isfinite(value):
        return "-"
    power = math.floor(math.log10(abs(value))) if value else 0
    if abs(power) > 3:
        scaled = value_words(value / 10.0**power, error / 10.0**power)
        return f"({scaled})e{power:+d}" if "+-" in scaled else f"{scaled}e{power:+d}"
    if not (math.isfinite(error) and error > 0):
        return f"{value:.4g}"
    finer = min(error, abs(value)) if value else error
    digits = max(0, 1 - math.floor(math.log10(finer)))
    return f"{value:.{digits}f} +- {error:.{digits}f}" if digits < 8 else f"{value:.6g} +- {error:.1g}"


def parameter_words(row: Row, *, sized: bool) -> dict[str, str]:
    """Values of a row with errors, under short headings with units; filling factors where no size is known."""
    headings = {
        'size ["]' if sized else "filling": "source_size" if sized else "filling_factor",
        "T_ex [K]": "T_ex",
        "N_tot [cm-2]": "N_tot",
        "FWHM [km/s]": "fwhm",
        "v_off [km/s]": "v_off",
    }
    return {h: value_words(_number(row, n), _number(row, f"{n}_err")) for h, n in headings.items()}


def table_of_words(parameters: QTable) -> list[dict[str, str]]:
    """One mapping of heading to text for each row; no values where nothing was detected."""
    sized = any(math.isfinite(_number(row, "source_size")) for row in parameters)
    out = []
    for row in parameters:
        words = parameter_words(row, sized=sized)
        if not row["detected"]:
            words = dict.fromkeys(words, "-")
        out.append(
            {
                "component": f"{row['species']} #{row['component']}",
                **words,
                "peaks": str(row["n_peaks"]),
                "outcome": outcome(row),
                "remarks": flag_words(int(row["flags"])),
            }
        )
    return out


def species_markup(text: str) -> str:
    """Write a catalogue name in matplotlib's mathtext: ``CH3OH;v=0; #1`` gives ``CH$_{3}$OH v=0 #1``.

    Examples
    --------
    >>> species_markup("C-13-H3OH;v=0;")
    '$^{13}$CH$_{3}$OH v=0'
    """
    formula, _, rest = text.partition(";")
    formula = re.sub(r"([A-Z][a-z]?)-(\d+)(-(?=[A-Z(]))?", r"<\2>\1", formula)
    formula = re.sub(r"(?<=[A-Za-z)])(\d+)", r"$_{\1}$", formula)
    formula = re.sub(r"<(\d+)>", r"$^{\1}$", formula)
    return " ".join([formula, *rest.replace(";", " ").split()])


def _number(row: Row, name: str) -> float:
    value: Any = row[name]
    return float(getattr(value, "value", value))
