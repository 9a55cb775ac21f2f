"""The files in the folder of an XCLASS job, told apart by their names.

Fits write ``<spectrum>.<algorithm>__call_<n>.out.dat``, ``<molfit>__<algorithm>__call_<n>.out.molfit``,
``fit__<algorithm>__call_<n>.log.chi2`` and ``*isoratios*.out.input``; cube fits write maps named
``BestResult___parameter__<parameter>___molecule__<molecule>___component__<n>.fits``; single models write
``xclass_spectrum*.dat``, ``transition_energies.dat``, and the share of each component in ``intensity__*`` and
``optical_depth__*``. Whatever has another name is listed among the others.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from ..errors import InputError
from .document_bytes import read_bytes
from .species_name import name_in_files
from .xml_document import LIMIT, parse_xml

__all__ = [
    "ComponentSpectrum",
    "FitFile",
    "JobDirectory",
    "ParameterMap",
    "job_started",
    "molecule_of_label",
    "parse_map_name",
    "read_job_directory",
]

_JOB = re.compile(r"job__(\d{2}-\d{2}-\d{4})__(\d{2}-\d{2}-\d{2})__\d+")
_MAP = re.compile(
    r"BestResult___parameter__(?P<parameter>.+?)___molecule__(?P<molecule>.+)___component__(?P<component>[0-9]{1,9})"
    r"(?:___Iter__(?P<iteration>[0-9]{1,9}))?\.fits"
)
_FIT = {
    "spectrum": re.compile(r"(?P<origin>.+)\.(?P<algorithm>[^.]+?)__call_(?P<call>[0-9]{1,9})\.out\.dat"),
    "molfit": re.compile(
        r"(?P<origin>.+)__(?P<algorithm>(?:(?!__).)+)__call_(?P<call>[0-9]{1,9})\.out\.molfit"
    ),
    "chi2_log": re.compile(r"(?P<origin>fit)__(?P<algorithm>.+?)__call_(?P<call>[0-9]{1,9})\.log\.chi2"),
}
_SHARE = re.compile(
    r"(?P<what>intensity|optical_depth)__(?P<molecule>.+)__comp__(?P<component>[0-9]{1,9})\.dat"
)
_MODEL = re.compile(r"xclass_spectrum.*\.dat")
_MOST_FILES = 200_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FitFile:
    """A file that an optimiser has written."""

    path: Path
    origin: str  # name of the spectrum or molfit file that was fitted, without its ending
    algorithm: str  # such as "LM"
    call: int  # place of the optimiser in the chain, counted from 1


@dataclass(frozen=True, slots=True)
class ParameterMap:
    """A map of a parameter over the pixels of a cube."""

    path: Path
    parameter: str  # such as "T_rot"
    molecule: str  # as in the name of the file, such as "CH3OH_v=0_"
    component: int  # counted from 1
    iteration: int | None = None  # of the fit, in the maps that name one


@dataclass(frozen=True, slots=True)
class ComponentSpectrum:
    """Intensity or optical depth of one component alone."""

    path: Path
    molecule: str  # as in the name of the file
    component: int  # counted from 1


@dataclass(frozen=True, slots=True)
class JobDirectory:
    """The files of a job, each list sorted by name (and those of a fit by call)."""

    path: Path
    started: datetime | None  # as the name of the folder says, if it says
    molfits: tuple[Path, ...]  # that went in
    observations: tuple[Path, ...]  # observation XML files
    algorithms: tuple[Path, ...]  # algorithm XML files
    model_spectra: tuple[Path, ...]  # of single models
    fitted_spectra: tuple[FitFile, ...]
    fitted_molfits: tuple[FitFile, ...]
    chi2_logs: tuple[FitFile, ...]
    transitions: tuple[Path, ...]
    iso_ratios: tuple[Path, ...]  # that came out
    intensities: tuple[ComponentSpectrum, ...]
    optical_depths: tuple[ComponentSpectrum, ...]
    maps: tuple[ParameterMap, ...]
    others: tuple[Path, ...]


def read_job_directory(path: str | Path) -> JobDirectory:
    """List the files of a job.

    Parameters
    ----------
    path : str or Path
        The folder; folders in it are not looked at.

    Returns
    -------
    JobDirectory
        Only names are looked at, and the outermost element of XML files.

    Raises
    ------
    InputError
        If there is no such folder, it cannot be read or has too many files.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"job_directory: there is no folder at {folder}; give the folder of a job")
    try:
        paths = sorted(entry for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise InputError(f"job_directory: {folder} cannot be read ({error.strerror})") from error
    if len(paths) > _MOST_FILES:
        raise InputError(f"job_directory: {folder} has {len(paths)} files; give the folder of one job")
    left = _Files(paths)
    return JobDirectory(
        path=folder,
        started=job_started(folder.resolve().name),
        fitted_spectra=left.fits("spectrum"),
        fitted_molfits=left.fits("molfit"),
        chi2_logs=left.fits("chi2_log"),
        maps=tuple(left.take(parse_map_name)),
        intensities=tuple(left.shares("intensity")),
        optical_depths=tuple(left.shares("optical_depth")),
        model_spectra=left.paths(lambda item: _MODEL.fullmatch(item.name) is not None),
        transitions=left.paths(lambda item: item.name == "transition_energies.dat"),
        iso_ratios=left.paths(lambda item: "isoratios" in item.name and item.name.endswith(".out.input")),
        molfits=left.paths(lambda item: item.suffix == ".molfit"),
        observations=left.paths(lambda item: _xml_root(item) == "ExpFiles"),
        algorithms=left.paths(lambda item: _xml_root(item) == "FitControl"),
        others=left.paths(lambda _: True),
    )


def parse_map_name(path: str | Path) -> ParameterMap | None:
    """What a map of parameters shows, from its name; None if it is named in another way.

    Examples
    --------
    >>> name = "BestResult___parameter__T_rot___molecule__CH3OH_v=0____component__1.fits"
    >>> (found := parse_map_name(name)).parameter, found.molecule, found.component
    ('T_rot', 'CH3OH_v=0_', 1)
    """
    match = _MAP.fullmatch(Path(path).name)
    if match is None or int(match["component"]) < 1:
        return None
    iteration = None if match["iteration"] is None else int(match["iteration"])
    return ParameterMap(Path(path), match["parameter"], match["molecule"], int(match["component"]), iteration)


def molecule_of_label(label: str, molecules: Iterable[str]) -> str:
    """Molecule that a name of a file means; semicolons and brackets have become underscores there.

    Parameters
    ----------
    label : str
        Such as ``CH3OH_v=0_``.
    molecules : iterable of str
        Names that are possible, such as those of the molfit file.

    Raises
    ------
    InputError
        If none of them, or more than one, would have that label.

    Examples
    --------
    >>> molecule_of_label("CH3OH_v=0_", ["CO;v=0;", "CH3OH;v=0;"])
    'CH3OH;v=0;'
    """
    possible = list(dict.fromkeys(molecules))
    found = [name for name in possible if name_in_files(name) == label]
    if len(found) != 1:
        raise InputError(
            f"label: {label!r} means {' or '.join(found) or 'none of the molecules ' + ', '.join(possible)}; "
            f"give the molfit file of this job"
        )
    return found[0]


def job_started(folder: str) -> datetime | None:
    """When a job began, from the name of its folder; None if the name does not say it.

    Examples
    --------
    >>> job_started("job__24-12-2023__18-30-05__1234567")
    datetime.datetime(2023, 12, 24, 18, 30, 5)
    """
    match = _JOB.fullmatch(folder)
    if match is None:
        return None
    try:
        return datetime.strptime(f"{match[1]} {match[2]}", "%d-%m-%Y %H-%M-%S")
    except ValueError:
        return None


class _Files:
    """Files that no list has taken yet."""

    def __init__(self, paths: list[Path]) -> None:
        self._left = paths

    def take(self, meaning: Callable[[Path], T | None]) -> Iterator[T]:
        """Meanings of the files that have one; these are taken."""
        rest = []
        for path in self._left:
            found = meaning(path)
            if found is None:
                rest.append(path)
            else:
                yield found
        self._left = rest

    def paths(self, wanted: Callable[[Path], bool]) -> tuple[Path, ...]:
        """Files that are wanted; these are taken."""
        return tuple(self.take(lambda path: path if wanted(path) else None))

    def fits(self, what: str) -> tuple[FitFile, ...]:
        """Files of one kind that an optimiser has written."""
        found = self.take(lambda path: _fit_file(path, _FIT[what]))
        return tuple(sorted(found, key=lambda item: (item.origin, item.call, item.path.name)))

    def shares(self, what: str) -> Iterator[ComponentSpectrum]:
        """Files with the intensity or optical depth of one component."""
        return self.take(lambda path: _share(path, what))


def _fit_file(path: Path, expression: re.Pattern[str]) -> FitFile | None:
    match = expression.fullmatch(path.name)
    return match and FitFile(path, match["origin"], match["algorithm"], int(match["call"]))


def _share(path: Path, what: str) -> ComponentSpectrum | None:
    match = _SHARE.fullmatch(path.name)
    if match is None or match["what"] != what:
        return None
    return ComponentSpectrum(path, match["molecule"], int(match["component"]))


def _xml_root(path: Path) -> str | None:
    """Tag of the outermost element of an XML file; None if the file is none that can be read."""
    if path.suffix.lower() != ".xml":
        return None
    try:
        return parse_xml(read_bytes(path, "job_directory", LIMIT), "job_directory", str(path)).root.tag
    except InputError:
        return None
