"""The files of a fit: ECSV, FITS, JSON, log and pictures, written all or not at all; and read back."""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable

from .. import __version__
from ..call_record import read_call_record
from ..errors import InputError, SpectunerWarning
from .tables import SPECTRUM_COLUMNS

__all__ = [
    "SUFFIXES",
    "existing_products",
    "products_stem",
    "read_products",
    "read_windows",
    "spectra_to_specutils",
    "write_products",
]

SUFFIXES = ("ecsv", "fits", "json", "log", "png", "html")
"""Endings of the products, in the order they are listed."""

POSTERIOR_PICTURE = "posterior.png"
"""Ending of the picture that a result with posterior samples has besides."""


def products_stem(outfile: str | os.PathLike[str]) -> Path:
    """Path and name that all products share; the ending of one of them is taken off."""
    path = Path(os.path.abspath(os.path.expanduser(os.fspath(outfile))))
    return path.with_suffix("") if path.suffix.lstrip(".") in SUFFIXES else path


def _file(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")


def existing_products(outfile: str | os.PathLike[str]) -> list[Path]:
    """Those products of this name that are there already."""
    stem = products_stem(outfile)
    return [path for s in (*SUFFIXES, POSTERIOR_PICTURE) if (path := _file(stem, s)).exists()]


def write_products(
    outfile: str | os.PathLike[str],
    result: Mapping[str, Any],
    *,
    plots: bool = True,
    log: Sequence[str] = (),
) -> dict[str, str]:
    """Write a result; what is there under the same name stays untouched until all new files are complete.

    Parameters
    ----------
    outfile : path
        ``folder/name`` without an ending; the folder must exist.
    result : mapping
        ``parameters``, ``spectra``, ``correlations``, ``peaks`` as in `~spectuner_ext.pipeline.tables`, perhaps
        ``posterior`` and ``posterior_samples``, and ``call`` and ``provenance``, mappings of JSON-like values.
    plots : bool
        Also draw ``.png`` and ``.html``, and ``.posterior.png`` where there are samples. A picture that cannot be
        drawn is left out with a `SpectunerWarning`.
    log : sequence of str
        Lines of the ``.log``.

    Returns
    -------
    dict
        Ending to path of what was written.
    """
    stem = products_stem(outfile)
    writers: dict[str, Callable[[Path], None]] = {
        "ecsv": lambda path: result["parameters"].write(path, format="ascii.ecsv"),
        "fits": lambda path: _hdus(result).writeto(path),
        "json": lambda path: _write_json(path, result),
        "log": lambda path: _write_lines(path, log),
    }
    made: list[str] = []
    failed: list[str] = []
    folder = Path(tempfile.mkdtemp(dir=stem.parent, prefix=f".{stem.name}-"))
    try:
        for suffix, write in writers.items():
            write(folder / suffix)
            made.append(suffix)
        for suffix, draw in _painters(result).items() if plots else ():
            try:
                draw(folder / suffix)
                made.append(suffix)
            except Exception as error:  # the numbers of a long fit must not be lost to its picture
                failed.append(f"{stem.name}.{suffix} was not drawn: {error}")
        for suffix in made:
            os.replace(folder / suffix, _file(stem, suffix))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for suffix in {*SUFFIXES, POSTERIOR_PICTURE} - set(made):
        _file(stem, suffix).unlink(missing_ok=True)  # a picture of an earlier fit would contradict the tables
    for text in failed:
        warnings.warn(text, SpectunerWarning, stacklevel=2)
    return {suffix: str(_file(stem, suffix)) for suffix in made}


def _painters(result: Mapping[str, Any]) -> dict[str, Callable[[Path], None]]:
    from .html import write_html
    from .plots import write_png
    from .posterior_plot import write_posterior_png

    painters: dict[str, Callable[[Path], None]] = {
        "png": lambda path: write_png(path, result),
        "html": lambda path: write_html(path, result),
    }
    if "posterior_samples" in result:
        painters[POSTERIOR_PICTURE] = lambda path: write_posterior_png(path, result)
    return painters


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write_json(path: Path, result: Mapping[str, Any]) -> None:
    record = {"task": "sdfit_lte", "call": result["call"], "provenance": result["provenance"]}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


# -------------------------------------------------------------------------------------------- FITS


def _hdus(result: Mapping[str, Any]) -> fits.HDUList:
    """Primary with provenance, then PARAMETERS, WINDOW 1, 2 ..., PEAKS, CORRELATION 1, 2 ..., perhaps posteriors."""
    primary = fits.PrimaryHDU()
    _sign(primary.header, result)
    hdus = [primary, _hdu(result["parameters"], "PARAMETERS")]
    for text in result["parameters"].meta.get("flag_bits", {}).items():
        hdus[1].header.add_comment("flag {}: {}".format(*text))
    for i, table in enumerate(result["spectra"], start=1):
        hdu = _hdu(table, "WINDOW", i)
        _describe_window(hdu.header, table.meta)
        _describe_parameters(hdu.header, result["parameters"])
        _sign(hdu.header, result)
        hdus.append(hdu)
    hdus.append(_hdu(result["peaks"], "PEAKS"))
    for i, (label, table) in enumerate(result["correlations"].items(), start=1):
        hdus.append(_hdu(table, "CORRELATION", i))
        hdus[-1].header["FITLABEL"] = label
    for key, name in _OF_NETWORKS.items():
        if key in result:
            hdus.append(_hdu(result[key], name))
            hdus[-1].header["SPXMETA"] = json.dumps(dict(result[key].meta))
    return fits.HDUList(hdus)


_OF_NETWORKS = {"posterior": "POSTERIOR", "posterior_samples": "SAMPLES"}
"""Tables that a result has where a network was asked, to the names of their extensions."""


def _hdu(table: QTable, name: str, version: int = 1) -> fits.BinTableHDU:
    plain = table.copy()
    plain.meta = {}
    hdu = fits.table_to_hdu(plain)
    hdu.header["EXTNAME"], hdu.header["EXTVER"] = name, version
    return hdu


def _sign(header: fits.Header, result: Mapping[str, Any]) -> None:
    """Who wrote this, and with which call."""
    header["CREATOR"] = f"spectuner-ext {__version__}"
    header["DATE"] = (str(result["provenance"].get("created", "")), "UTC")
    header.add_history("sdfit_lte, call as JSON:")
    text = json.dumps(result["call"])
    for k in range(0, len(text), 70):
        header.add_history(text[k : k + 70])


def _describe_window(header: fits.Header, meta: Mapping[str, Any]) -> None:
    header["WINNAME"] = str(meta["window"]).encode("ascii", "replace").decode()
    header["SPECSYS"] = ("SOURCE", "frame of the column frequency")
    header["VLSR"] = (meta["vlsr"], "[km/s] taken out of the sky frequencies")
    header["TCMB"] = (meta["t_cmb"], "[K] microwave background")
    for key, name in (("BMAJ", "beam_major"), ("BMIN", "beam_minor")):
        if name in meta:
            header[key] = (meta[name] / 3600.0, "[deg] beam FWHM")
    # Cards hold 16 digits at most; this one gives every number back to the last bit.
    header["SPXMETA"] = json.dumps(dict(meta))


def _describe_parameters(header: fits.Header, parameters: QTable) -> None:
    """Species and best-fit parameters of every component, as SPEC1, SIZE1, TEX1 ..."""
    keys = ("SIZE", "ETA", "TEX", "NTOT", "FWHM", "VOFF")
    names = ("source_size", "filling_factor", "T_ex", "N_tot", "fwhm", "v_off")
    for k, row in enumerate(parameters[:99], start=1):
        header[f"SPEC{k}"] = (str(row["species"]), f"component {row['component']}")
        header[f"DETECT{k}"] = bool(row["detected"])
        for key, name in zip(keys, names, strict=True):
            value = float(getattr(row[name], "value", row[name]))
            if np.isfinite(value):
                unit = parameters[name].unit.to_string("fits") or "1"
                header[f"{key}{k}"] = (value, f"[{unit}] {name}")


def read_products(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_products` wrote, as the task returned it.

    Parameters
    ----------
    path : path
        ``folder/name``, or any of the files.

    Returns
    -------
    dict
        ``parameters``, ``spectra``, ``correlations``, ``peaks``, ``files``, ``call``, ``provenance``; and
        ``posterior`` and ``posterior_samples`` where a network was asked.

    Raises
    ------
    InputError
        If a file is missing or is not one of ours.
    """
    stem = products_stem(path)
    for suffix in ("ecsv", "fits", "json"):
        if not _file(stem, suffix).is_file():
            raise InputError(
                f"{_file(stem, suffix)}: no such file; products of a fit are {stem.name}.ecsv, .fits "
                f"and .json"
            )
    record = read_call_record(_file(stem, "json"), ("sdfit_lte",))
    spectra = read_windows(_file(stem, "fits"))
    with fits.open(_file(stem, "fits")) as hdus:
        peaks = _native(QTable.read(hdus["PEAKS"]))
        correlations = {
            hdu.header["FITLABEL"]: _native(QTable.read(hdu)) for hdu in hdus if hdu.name == "CORRELATION"
        }
        by_network = {key: _described(hdus[name]) for key, name in _OF_NETWORKS.items() if name in hdus}
    return {
        "parameters": QTable.read(_file(stem, "ecsv"), format="ascii.ecsv"),
        "spectra": spectra,
        "correlations": correlations,
        "peaks": peaks,
        **by_network,
        "files": {s: str(_file(stem, s)) for s in SUFFIXES if _file(stem, s).exists()},
        "call": record["call"],
        "provenance": record["provenance"],
    }


def read_windows(path: str | os.PathLike[str]) -> list[QTable]:
    """Spectra in the FITS file of a fit, one table per window.

    Raises
    ------
    InputError
        If the file is missing or is not one of ours.
    """
    try:
        with fits.open(path) as hdus:
            spectra = [_window(hdu) for hdu in hdus if hdu.name == "WINDOW" and "SPXMETA" in hdu.header]
    except OSError as error:
        raise InputError(f"{path}: cannot be read as FITS: {error}") from error
    if not spectra:
        raise InputError(f"{path}: has no table WINDOW of a fit")
    return spectra


def _window(hdu: fits.BinTableHDU) -> QTable:
    table = _native(QTable.read(hdu))
    table.meta = json.loads(hdu.header["SPXMETA"])
    for name, (_, description) in SPECTRUM_COLUMNS.items():
        table[name].info.description = description
    return table


def _described(hdu: fits.BinTableHDU) -> QTable:
    """Table with its meta."""
    table = _native(QTable.read(hdu))
    table.meta = json.loads(hdu.header["SPXMETA"])
    return table


def _native(table: QTable) -> QTable:
    """Columns in the byte order of this machine, text as str, without the header's cards."""
    out = QTable()
    for name in table.colnames:
        column = table[name]
        plain = np.asarray(getattr(column, "value", column))
        values = (
            plain.astype(np.str_) if plain.dtype.kind == "S" else plain.astype(plain.dtype.newbyteorder("="))
        )
        out[name] = values * column.unit if getattr(column, "unit", None) is not None else values
    return out


def spectra_to_specutils(spectra: Sequence[QTable]) -> list[dict[str, Any]]:
    """Spectra of every window as `specutils.Spectrum`, under the names of the columns in K.

    The axis is the rest frequency; ``observed`` and ``residual`` carry the noise, and a mask where not used.
    """
    from astropy.nddata import StdDevUncertainty
    from specutils import Spectrum

    out = []
    for table in spectra:
        frequency, unused = table["frequency"], ~np.asarray(table["used"], dtype=np.bool_)
        of_window: dict[str, Any] = {}
        for name in table.colnames:
            if name in SPECTRUM_COLUMNS and name not in ("observed", "model", "residual"):
                continue
            measured = name in ("observed", "residual")
            of_window[name] = Spectrum(
                flux=table[name].to(u.K),
                spectral_axis=frequency,
                uncertainty=StdDevUncertainty(table["sigma"]) if measured else None,
                mask=unused if measured else None,
            )
        out.append(of_window)
    return out
