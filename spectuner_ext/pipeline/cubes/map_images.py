"""Maps as FITS: an image per parameter, error, flag and count; tables of parameters; and back to maps."""

import json
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from ... import __version__
from ...fitting.result import PARAMETERS, Status
from ...lte.parameters import Layout, ParameterSpace
from ..tables import FLAG_TEXT
from .map_flags import PIXEL_FLAG_TEXT
from .map_names import component_names, window_names
from .maps import MAP_UNITS, CubeMaps
from .outcome import NOT_FITTED, Outcome, Sizes, empty_outcome

__all__ = ["FORMAT", "hdus_of", "maps_from"]

Array = NDArray[Any]

FORMAT = 1
"""Version of the file; a reader refuses those it does not know."""

_VALUES = {"T_ex": "T_EX", "N_tot": "N_TOT", "fwhm": "FWHM", "v_off": "V_OFF", "filling_factor": "ETA"}
_PER_COMPONENT = {
    "N_BEAM_ERR": "n_beam_error",
    "N_TOT_LIM": "n_tot_limit",
    "TAU": "tau_max",
    "SIGNIF": "significance",
}
_PER_PIXEL = {
    "LOSS": "loss",
    "CHI2": "chi2",
    "STATUS": "status",
    "FLAGS": "flags",
    "NDATA": "n_data",
    "NEVAL": "n_evaluations",
}
_PER_WINDOW = {"NOISE": "sigma", "NPEAKS": "n_peaks"}


def hdus_of(maps: CubeMaps) -> fits.HDUList:
    """Primary with provenance, then images by component, by pixel and by window, then tables.

    Parameters
    ----------
    maps : CubeMaps
    """
    record = {
        "format": FORMAT,
        "components": maps.components,
        "free": maps.free,
        "windows": maps.windows,
        "celestial": None if maps.celestial is None else maps.celestial.tostring(sep="\n"),
        "beam": dict(maps.beam),
        "beam_scale": maps.beam_scale,
        "space": maps.space.names,
        "meta": dict(maps.meta),
    }
    place = _place(maps)
    hdus: list[Any] = [_primary(maps)]
    hdus += [_image(place, *entry) for entry in _images(maps)]
    hdus += [_table(_parameters(maps), "PARAMETERS"), _table(_fit(maps), "FIT")]
    hdus.append(_table(_windows(maps), "WINDOWS"))
    text = json.dumps(record)
    column = fits.Column("TEXT", f"{len(text)}A", array=np.array([text.encode("ascii")]))
    hdus.append(fits.BinTableHDU.from_columns([column], name="RECORD"))
    return fits.HDUList(hdus)


def _primary(maps: CubeMaps) -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU()
    header = hdu.header
    header["CREATOR"] = f"spectuner-ext {__version__}"
    header["DATE"] = (str(maps.meta.get("provenance", {}).get("created", "")), "UTC")
    if "label" in maps.meta:
        header["OBJECT"] = _ascii(maps.meta["label"])
    header["NFITTED"] = (int(np.count_nonzero(maps.fitted)), "pixels fitted")
    header["NREGION"] = (int(np.count_nonzero(maps.region)), "pixels in the region")
    header.add_comment("values of what was not detected are NaN; FLAGS say which others are not measured")
    header.add_history("sdfit_lte, call as JSON:")
    text = json.dumps(maps.meta.get("call", {}))
    for k in range(0, len(text), 70):
        header.add_history(text[k : k + 70])
    return hdu


def _place(maps: CubeMaps) -> fits.Header:
    """World coordinates and beam, which every image carries."""
    header = fits.Header() if maps.celestial is None else maps.celestial.copy()
    for key, text in (("BMAJ", "[deg] beam FWHM"), ("BMIN", "[deg] beam FWHM"), ("BPA", "[deg] beam angle")):
        if key in maps.beam:
            header[key] = (maps.beam[key], text)
    return header


def _images(maps: CubeMaps) -> Iterator[tuple[str, Array, Any, Mapping[str, Any]]]:
    """Name, array, unit and further cards of every image, in the order of the file."""
    out = maps.outcome
    for c, (plain, own) in enumerate(zip(component_names(maps.components), maps.components, strict=True)):
        species, number = own
        cards = {"SPECIES": _ascii(species), "COMPNUM": (number, "component of the species")}
        for name, ending in (*_VALUES.items(), ("source_size", "SIZE")):
            unit = MAP_UNITS[name]
            yield f"{plain}_{ending}", maps.quantity(species, name, number).value, unit, cards
            yield f"{plain}_{ending}_ERR", maps.error(species, name, number).value, unit, cards
        yield f"{plain}_N_BEAM", maps.quantity(species, "N_beam", number).value, MAP_UNITS["N_beam"], cards
        for ending, field in _PER_COMPONENT.items():
            unit = MAP_UNITS["N_tot"] if field.startswith("n_") else u.dimensionless_unscaled
            yield f"{plain}_{ending}", out[field][..., c], unit, cards
        yield f"{plain}_FLAGS", out["component_flags"][..., c], None, {**cards, **_bits(FLAG_TEXT)}
    for name, field in _PER_PIXEL.items():
        cards = {"FLAGS": _bits(FLAG_TEXT | PIXEL_FLAG_TEXT), "STATUS": _states()}.get(name, {})
        yield name, out[field], None, cards
    for w, (plain, window) in enumerate(zip(window_names(maps.windows), maps.windows, strict=True)):
        for start, field in _PER_WINDOW.items():
            unit = u.K if field == "sigma" else None
            yield f"{start}_{plain}", out[field][..., w], unit, {"WINNAME": _ascii(window)}
    yield "REGION", maps.region.astype(np.uint8), None, {}
    if maps.pinned is not None:
        comment = {
            "COMMENT": [
                "1 where an entry of the fit vector, rows of table FIT, was held at the value of a map"
            ]
        }
        yield "HELD", np.moveaxis(maps.pinned, -1, 0).astype(np.uint8), None, comment
    for name, field in (("X", "x"), ("X_ERR", "error_x")) if maps.free else ():
        yield name, np.moveaxis(out[field], -1, 0), None, {"COMMENT": ["fit vector, rows of table FIT"]}


def _image(
    place: fits.Header, name: str, values: Array, unit: Any, cards: Mapping[str, Any]
) -> fits.ImageHDU:
    hdu = fits.ImageHDU(np.ascontiguousarray(values), header=place, name=name)
    if values.ndim == 3 and "CTYPE1" in place:
        hdu.header["WCSAXES"], hdu.header["CTYPE3"] = 3, "PARAM"
    if unit is not None and unit != u.dimensionless_unscaled:
        hdu.header["BUNIT"] = unit.to_string("fits")
    for key, value in cards.items():
        if key == "COMMENT":
            for text in value:
                for line in wrap(text, 72, subsequent_indent="  "):
                    hdu.header.add_comment(line)
        else:
            hdu.header[key] = value
    return hdu


def _bits(texts: Mapping[Any, str]) -> dict[str, Any]:
    """Cards that name the bits of a flag, and comments that explain them."""
    number = {flag: int(flag).bit_length() - 1 for flag in sorted(texts)}
    cards: dict[str, Any] = {f"BIT{k:02d}": str(flag.name) for flag, k in number.items()}
    cards["COMMENT"] = [f"bit {k} {flag.name}: {texts[flag]}" for flag, k in number.items()]
    return cards


def _states() -> dict[str, Any]:
    return {"COMMENT": [f"{NOT_FITTED}: not fitted", *(f"{int(s)}: {s.name}" for s in Status)]}


def _ascii(text: object) -> str:
    return str(text).encode("ascii", "replace").decode()


# ------------------------------------------------------------------------------------------ tables


def _table(table: Table, name: str) -> fits.BinTableHDU:
    hdu = fits.table_to_hdu(table)
    hdu.header["EXTNAME"] = name
    return hdu


def _parameters(maps: CubeMaps) -> Table:
    """Bounds, scale and held value of every parameter of every component, in physical units.

    ``free`` is the entry of the fit vector (-1: held at ``fixed``) and ``shift`` what is added to it, in the scale of
    the fit. ``by_map`` is the number of fitted pixels in which a map held it, see image HELD; the bounds are those of
    the others.
    """
    layout = maps.space.layout
    rows: dict[str, list[Any]] = {k: [] for k in _PARAMETER_COLUMNS}
    for c, (species, number) in enumerate(maps.components):
        for k, name in enumerate(PARAMETERS):
            free, shift, logarithmic = (
                int(layout.index[c, k]),
                layout.offset[c, k],
                bool(layout.logarithmic[k]),
            )
            ends = (maps.lower[free] + shift, maps.upper[free] + shift) if free >= 0 else (np.nan, np.nan)
            low, high, held = (10.0**v if logarithmic else v for v in (*ends, shift))
            values = (
                _ascii(species), number, name, MAP_UNITS[name].to_string("fits"), low, high,
                "log10" if logarithmic else "linear", np.nan if free >= 0 else held, free, shift,
                0 if maps.pinned is None or free < 0 else np.count_nonzero(maps.pinned[..., free] & maps.fitted),
            )  # fmt: skip
            for column, value in zip(_PARAMETER_COLUMNS, values, strict=True):
                rows[column].append(value)
    return Table(rows)


_PARAMETER_COLUMNS = (
    "species", "component", "name", "unit", "lower", "upper", "scale", "fixed", "free", "shift", "by_map",
)  # fmt: skip


def _fit(maps: CubeMaps) -> Table:
    """Entries of the fit vector: bounds in its scale, and the first component and parameter that each belongs to."""
    position = np.full((len(maps.free), 2), -1, dtype=np.int32)
    position[: maps.space.n_free] = np.array(maps.space.position, dtype=np.int32).reshape(-1, 2)
    names = np.array([_ascii(name) for name in maps.free] or [""], dtype="S")[: len(maps.free)]
    columns = {"name": names, "lower": maps.lower, "upper": maps.upper}
    return Table({**columns, "component": position[:, 0], "parameter": position[:, 1]})


def _windows(maps: CubeMaps) -> Table:
    """Names of the windows and of their images, and what was noted of each."""
    notes: Any = maps.meta.get("windows", ())
    names = {"name": [_ascii(w) for w in maps.windows], "extension": list(window_names(maps.windows))}
    table = Table(names)
    for key in ("n_channel", "low_MHz", "high_MHz"):
        if len(notes) == len(maps.windows) and all(key in note for note in notes):
            table[key] = [note[key] for note in notes]
    return table


# ------------------------------------------------------------------------------------------ reading


def maps_from(hdus: fits.HDUList) -> CubeMaps:
    """Maps as they were when `hdus_of` was called, bit for bit.

    Raises
    ------
    KeyError, ValueError, TypeError
        If something is missing or of another form.
    """
    record = json.loads(str(hdus["RECORD"].data["TEXT"][0]))
    if record["format"] != FORMAT:
        raise ValueError(f"written in format {record['format']}, but this version reads format {FORMAT}")
    components = tuple((str(s), int(n)) for s, n in record["components"])
    windows = tuple(record["windows"])
    region = _native(hdus["REGION"]).astype(np.bool_)
    free = tuple(record["free"])
    fit, layout = hdus["FIT"].data, _layout(hdus["PARAMETERS"].data, len(components))
    n_line = len(record["space"])
    lower, upper = (np.asarray(fit[k], dtype=np.float64) for k in ("lower", "upper"))
    owners = zip(fit["component"][:n_line], fit["parameter"][:n_line], strict=True)
    position = tuple((int(c), int(k)) for c, k in owners)
    celestial = record["celestial"]
    return CubeMaps(
        outcome=_outcome(hdus, components, windows, free, region.shape),
        components=components,
        space=ParameterSpace(layout, lower[:n_line], upper[:n_line], tuple(record["space"]), position),
        free=free,
        lower=lower,
        upper=upper,
        windows=windows,
        celestial=None if celestial is None else fits.Header.fromstring(celestial, sep="\n"),
        beam=record["beam"],
        beam_scale=float(record["beam_scale"]),
        region=region,
        meta=record["meta"],
        pinned=np.moveaxis(_native(hdus["HELD"]), 0, -1).astype(np.bool_) if "HELD" in hdus else None,
    )


def _layout(table: Any, n_component: int) -> Layout:
    shape = (n_component, len(PARAMETERS))
    logarithmic = np.array([str(s) == "log10" for s in table["scale"]])
    return Layout(
        index=np.asarray(table["free"], dtype=np.int64).reshape(shape),
        offset=np.asarray(table["shift"], dtype=np.float64).reshape(shape),
        logarithmic=logarithmic.reshape(shape)[0],
    )


def _outcome(
    hdus: fits.HDUList,
    components: tuple[tuple[str, int], ...],
    windows: tuple[str, ...],
    free: tuple[str, ...],
    shape: tuple[int, ...],
) -> Outcome:
    out = empty_outcome(shape, Sizes(len(components), len(windows), len(free)))
    for c, plain in enumerate(component_names(components)):
        for name, ending in _VALUES.items():
            k = PARAMETERS.index(name)
            out["theta"][..., c, k] = _native(hdus[f"{plain}_{ending}"])
            out["error"][..., c, k] = _native(hdus[f"{plain}_{ending}_ERR"])
        for ending, field in _PER_COMPONENT.items():
            out[field][..., c] = _native(hdus[f"{plain}_{ending}"])
        out["component_flags"][..., c] = _native(hdus[f"{plain}_FLAGS"])
    for name, field in _PER_PIXEL.items():
        out[field][...] = _native(hdus[name])
    for w, plain in enumerate(window_names(windows)):
        for start, field in _PER_WINDOW.items():
            out[field][..., w] = _native(hdus[f"{start}_{plain}"])
    for name, field in (("X", "x"), ("X_ERR", "error_x")) if free else ():
        out[field][...] = np.moveaxis(_native(hdus[name]), 0, -1)
    return out


def _native(hdu: Any) -> Array:
    """Pixels in the byte order of this machine."""
    values = np.asarray(hdu.data)
    return values.astype(values.dtype.newbyteorder("="))
