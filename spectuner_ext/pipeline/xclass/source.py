"""An observation file with its data files, as an `Observation`: the line emission above the continuum it states."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...observation import Beam, Observation, observe
from ...xclass import ObservationFile, ObservationXml, read_ascii_data, read_observation_xml
from .background import temperature_of

__all__ = ["XclassSource", "XclassSpectrum", "is_observation_xml", "observe_xclass", "read_source"]

FloatArray = NDArray[np.float64]

_KEPT_APART = 8
"""Channels outside all ranges that stay in a window, masked; a longer stretch ends it."""


@dataclass(frozen=True, slots=True, eq=False)
class XclassSpectrum:
    """A data file within its ranges.

    Parameters
    ----------
    path : Path
    sky : array, (n_channel,), in MHz
        On the sky, increasing.
    intensity : array, (n_channel,), in K
        As in the file, continuum included; NaN outside of all ranges.
    error : array, (n_channel,), in K, or None
    continuum : array, (n_channel,), in K
        Background of the ranges, without the CMB.
    beam : Beam or None
    v_lsr : float or None, in km/s
    """

    path: Path
    sky: FloatArray
    intensity: FloatArray
    error: FloatArray | None
    continuum: FloatArray
    beam: Beam | None
    v_lsr: float | None


@dataclass(frozen=True, slots=True, eq=False)
class XclassSource:
    """An observation file and its data.

    Parameters
    ----------
    path : Path
    document : ObservationXml
    spectra : tuple of XclassSpectrum
    iso_table : Path or None
        Iso-ratio file, if isotopologues are switched on.
    remarks : tuple of str
        What of the file is not used.
    """

    path: Path
    document: ObservationXml
    spectra: tuple[XclassSpectrum, ...]
    iso_table: Path | None
    remarks: tuple[str, ...]


def is_observation_xml(source: Any) -> bool:
    """Whether a source of data is the path of an XML file; a list of one path is such a path."""
    if isinstance(source, list | tuple) and len(source) == 1:
        source = source[0]
    return isinstance(source, str | os.PathLike) and os.fspath(source).lower().endswith(".xml")


def read_source(path: str | os.PathLike[str]) -> XclassSource:
    """Read an observation file and the data files that it names.

    Relative names are looked for in the folder of the file first, then in the current one; files with full paths that
    are not there, in the folder of the file.

    Raises
    ------
    InputError
        If a file cannot be read, holds FITS data, or a range has no channel.
    """
    path = Path(path).expanduser()
    try:
        document = read_observation_xml(path)
        spectra = tuple(_spectrum(file, path) for file in document.files)
    except InputError as error:
        raise _of_infile(error) from error
    remarks = [_unused(others) for others in _all_others(document) if others]
    for file in document.files:
        if any(r.t_back_flag and (r.hydrogen_column or 0) > 0 for r in file.ranges):
            remarks.append(f"{file.path}: t_back_flag is True, so its dust is not added to the background")
    table = None
    if document.iso_flag and document.iso_table:
        table = _found(document.iso_table, path, "IsoTableFileName")
    return XclassSource(path, document, spectra, table, tuple(remarks))


def observe_xclass(source: XclassSource, **given: Any) -> Observation:
    """Observation of an observation file; its continuum is taken from the data and put behind the lines.

    Parameters
    ----------
    source : XclassSource
    **given
        Arguments of `~spectuner_ext.observation.observe`, which win over what the file says. A continuum that is
        given is the one behind the lines; what is taken from the data is always that of the file.

    Raises
    ------
    InputError
        If the files have different velocities and none is given, or only some have a telescope.
    """
    spectra = source.spectra
    values: dict[str, Any] = {"continuum": [s.continuum for s in spectra]}
    if any(s.beam is not None for s in spectra):
        values["beam"] = [s.beam for s in spectra]
    velocities = {s.v_lsr for s in spectra if s.v_lsr is not None}
    if len(velocities) > 1 and given.get("vlsr") is None:
        listed = ", ".join(f"{v:g}" for v in sorted(velocities))
        raise InputError(
            f"infile: the files of {source.path.name} have different GlobalvLSR ({listed} km/s), but one source has "
            f"one velocity; give vlsr, or fit the files apart"
        )
    values["vlsr"] = next(iter(velocities), None)
    values |= {name: value for name, value in given.items() if value is not None}
    tuples = []
    for s in spectra:
        columns = [s.sky * u.MHz, (s.intensity - s.continuum) * u.K]
        tuples.append(tuple(columns if s.error is None else [*columns, s.error * u.K]))
    observation = observe(tuples, names=[s.path.stem for s in spectra], **values)
    used = [source.path, *(s.path for s in spectra), *([source.iso_table] if source.iso_table else [])]
    return replace(observation, meta={**observation.meta, "files": tuple(str(p) for p in used)})


def _spectrum(file: ObservationFile, xml: Path) -> XclassSpectrum:
    path = _found(file.path, xml, "FileNamesExpFiles")
    if "fits" in (file.import_filter or "").lower() or _begins_with(path, b"SIMPLE"):
        raise InputError(
            f"infile: {path} holds FITS data (ImportFilter {file.import_filter}); give spectra as ASCII, and cubes "
            f"as infile themselves"
        )
    data = read_ascii_data(
        path, header_lines=file.header_lines, separator=file.separator, error_column=file.error_column
    )
    order = np.argsort(data.frequency)
    sky, intensity = data.frequency[order], data.temperature[order]
    error = None if data.error is None else data.error[order]
    inside = np.zeros(sky.size, dtype=np.bool_)
    continuum = np.zeros(sky.size)
    for found in file.ranges:
        own = (sky >= found.minimum) & (sky <= found.maximum)
        if np.count_nonzero(own) < 2:
            raise InputError(
                f"infile: {path.name} has {np.count_nonzero(own)} channels from {found.minimum:g} to "
                f"{found.maximum:g} MHz; two are needed in a range. It covers {sky[0]:g} to {sky[-1]:g} MHz"
            )
        new = own & ~inside
        continuum[new] = temperature_of(found, sky[new])
        inside |= own
    keep = _with_short_gaps(inside)
    beam = None
    if file.telescope_size is not None:
        size = file.telescope_size
        beam = Beam(major=size, minor=size) if file.interferometer else Beam(diameter=size)
    return XclassSpectrum(
        path=path,
        sky=sky[keep],
        intensity=np.where(inside, intensity, np.nan)[keep],
        error=None if error is None else error[keep],
        continuum=continuum[keep],
        beam=beam,
        v_lsr=file.v_lsr,
    )


def _with_short_gaps(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The same with short stretches between two ranges, so that channels there keep their widths."""
    keep = inside.copy()
    at = np.flatnonzero(inside)
    gaps = np.diff(at)
    for left, gap in zip(at[:-1], gaps, strict=True):
        if 1 < gap <= _KEPT_APART + 1:
            keep[left : left + gap] = True
    return keep


def _found(name: str, xml: Path, tag: str) -> Path:
    given = Path(name).expanduser()
    # folders of jobs are moved, and what they name by its full path lies in them
    tried = (
        [given, xml.parent / given.name] if given.is_absolute() else [xml.parent / given, Path.cwd() / given]
    )
    for path in tried:
        if path.is_file():
            return path
    raise InputError(
        f"infile: {xml.name}: there is no file {' nor '.join(str(p) for p in tried)}; correct <{tag}>"
    )


def _begins_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _all_others(document: ObservationXml) -> list[tuple[tuple[str, str], ...]]:
    """Elements that are not known, of every level of a file."""
    ranges = [r for file in document.files for r in file.ranges]
    return [document.others, *(f.others for f in document.files), *(r.others for r in ranges)]


def _unused(others: tuple[tuple[str, str], ...]) -> str:
    words: Mapping[str, str] = dict(others)
    return "not used: " + ", ".join(f"<{tag}> {text}".strip() for tag, text in words.items())


def _of_infile(error: InputError) -> InputError:
    text = str(error)
    return InputError(text if text.startswith("infile:") else f"infile: {text}")
