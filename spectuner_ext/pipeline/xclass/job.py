"""A job of XCLASS as it is to be compared: what went in, what came out, and from which files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...xclass import (
    Chi2Log,
    FitFile,
    FrequencyRange,
    IsoRatio,
    JobDirectory,
    ModelTransition,
    Molfit,
    ObservationFile,
    ObservationXml,
    molfit_components,
    read_ascii_data,
    read_chi2_log,
    read_iso_ratios,
    read_job_directory,
    read_molfit,
    read_observation_xml,
    read_transitions,
)
from .case import Band
from .source import XclassSource, read_source

__all__ = ["ResultSpectrum", "Stated", "XclassJob", "read_job"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stated:
    """What is said of a job besides its files; it wins over an observation file only where that says nothing.

    Parameters
    ----------
    molfit, observation, spectrum, isoratio, transitions : Path or None
        Files to take in the place of those in the folder.
    telescope_size : float or None
        Dish in m, or beam in arcsec if `interferometer`.
    interferometer : bool
    v_lsr : float, in km/s
    t_back, t_slope : float
        Continuum, as in the call of myXCLASS.
    """

    molfit: Path | None = None
    observation: Path | None = None
    spectrum: Path | None = None
    isoratio: Path | None = None
    transitions: Path | None = None
    telescope_size: float | None = None
    interferometer: bool = False
    v_lsr: float = 0.0
    t_back: float = 0.0
    t_slope: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ResultSpectrum:
    """Model spectrum that the job has written.

    Parameters
    ----------
    path : Path
    band : Band
    intensity : array, (n_channel,), in K
    data : array, (n_channel,), in K, or None
        What was fitted, on the same channels.
    """

    path: Path
    band: Band
    intensity: FloatArray
    data: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class XclassJob:
    """A job.

    Parameters
    ----------
    directory : JobDirectory
    molfit : Molfit
        Whose values the spectra belong to.
    molfit_before : Molfit or None
        That the fit began with.
    source : XclassSource or None
        Observation file with its data; None if there is none or the data are not there.
    spectra : tuple of ResultSpectrum
        Empty if the job has none.
    bands : tuple of Band
        Of the spectra, or of the observation where there are none.
    ratios : tuple of IsoRatio
    transitions : tuple of ModelTransition
    chi2 : Chi2Log or None
    files : tuple of (str, Path)
        What was read, and as what.
    remarks : tuple of str
    """

    directory: JobDirectory
    molfit: Molfit
    molfit_before: Molfit | None
    source: XclassSource | None
    spectra: tuple[ResultSpectrum, ...]
    bands: tuple[Band, ...]
    ratios: tuple[IsoRatio, ...]
    transitions: tuple[ModelTransition, ...]
    chi2: Chi2Log | None
    files: tuple[tuple[str, Path], ...]
    remarks: tuple[str, ...]


def read_job(folder: str | Path, stated: Stated | None = None) -> XclassJob:
    """Read a job.

    Parameters
    ----------
    folder : str or Path
        Of the job.
    stated : Stated, optional
        Needed where the folder has no observation file, as those of single models.

    Raises
    ------
    InputError
        If there is no molfit, or neither a spectrum nor an observation file.
    """
    stated = stated or Stated()
    job = read_job_directory(folder)
    files: list[tuple[str, Path]] = []
    remarks: list[str] = []
    molfit, before = _molfits(job, stated, files)
    document, source = None, None
    path = stated.observation or _only(job.observations, "observation", "--observation")
    if path is not None:
        document = read_observation_xml(path)
        files.append(("observation file", path))
        try:
            source = read_source(path)
            remarks += source.remarks
        except InputError as error:  # spectra can be compared without the data
            remarks.append(f"the data are not used: {str(error).removeprefix('infile: ')}")
    spectra = _spectra(job, stated, document, source, files)
    bands = tuple(s.band for s in spectra)
    if any(b.telescope_size is None for b in bands):
        remarks.append("no telescope is stated, so sources fill the beam in our model")
    if not bands:
        if source is None:
            raise InputError(
                f"job: {job.path} has neither a model spectrum nor an observation file; give spectrum or observation"
            )
        bands = tuple(
            _band_of(f, s.path, s.sky) for f, s in zip(source.document.files, source.spectra, strict=True)
        )
    ratios = _ratios(job, stated, source, files)
    transitions: tuple[ModelTransition, ...] = ()
    path = stated.transitions or _only(job.transitions, "transitions", "--transitions")
    if path is not None:
        transitions = read_transitions(path)
        files.append(("table of transitions", path))
    chi2, words = _chi2(job, before or molfit, files)
    return XclassJob(
        job,
        molfit,
        before,
        source,
        spectra,
        bands,
        ratios,
        transitions,
        chi2,
        tuple(files),
        (*remarks, *words),
    )


def _molfits(
    job: JobDirectory, stated: Stated, files: list[tuple[str, Path]]
) -> tuple[Molfit, Molfit | None]:
    """Molfit of the result, and the one before the fit."""
    fitted = _last(job.fitted_molfits)
    given = stated.molfit or _only(job.molfits, "molfit", "--molfit", needed=fitted is None)
    if fitted is not None and stated.molfit is None:
        files.append(("fitted molfit", fitted.path))
        if given is not None:
            files.append(("molfit before the fit", given))
        return read_molfit(fitted.path), None if given is None else read_molfit(given)
    if given is None:
        raise InputError(f"job: {job.path} has no molfit file; give molfit")
    files.append(("molfit", given))
    return read_molfit(given), None


def _spectra(
    job: JobDirectory,
    stated: Stated,
    document: ObservationXml | None,
    source: XclassSource | None,
    files: list[tuple[str, Path]],
) -> tuple[ResultSpectrum, ...]:
    if stated.spectrum is not None:
        chosen = [(stated.spectrum, stated.spectrum.stem)]
    elif job.fitted_spectra:
        last = {f.origin: f for f in sorted(job.fitted_spectra, key=lambda f: f.call)}
        chosen = [(f.path, f.origin) for f in last.values()]
    else:
        chosen = [(path, path.stem) for path in job.model_spectra]
    found = []
    for path, origin in chosen:
        data = read_ascii_data(path, error_column=False)
        order = np.argsort(data.frequency)
        sky, intensity = data.frequency[order], data.temperature[order]
        measured = None
        if document is None:
            band = _stated_band(path, sky, stated)
        else:
            at = _place(document, origin, len(chosen), path)
            band = _band_of(document.files[at], path, sky)
            if source is not None:
                measured = _at(source.spectra[at].sky, source.spectra[at].intensity, sky)
        found.append(ResultSpectrum(path, band, intensity, measured))
        files.append(("model spectrum", path))
    return tuple(found)


def _place(document: ObservationXml, origin: str, n: int, path: Path) -> int:
    """Which data file a model spectrum belongs to."""
    names = [Path(file.path).name for file in document.files]
    if n == 1 and len(names) == 1:
        return 0
    for k, name in enumerate(names):
        if origin in (name, Path(name).stem):
            return k
    raise InputError(
        f"job: {path.name} belongs to none of the data files {', '.join(names)}; its name should begin with one of "
        f"theirs"
    )


def _at(nu: FloatArray, values: FloatArray, wanted: FloatArray) -> FloatArray | None:
    """Values on other channels if those are the same within a hundredth of their width."""
    k = np.clip(np.searchsorted(nu, wanted), 1, nu.size - 1)
    k = np.where(np.abs(nu[k - 1] - wanted) < np.abs(nu[k] - wanted), k - 1, k)
    width = float(np.median(np.diff(wanted))) if wanted.size > 1 else 1.0
    return values[k] if np.all(np.abs(nu[k] - wanted) < 0.01 * width) else None


def _band_of(file: ObservationFile, path: Path, sky: FloatArray) -> Band:
    return Band(
        path.name, sky, file.telescope_size, bool(file.interferometer), file.v_lsr or 0.0, file.ranges
    )


def _stated_band(path: Path, sky: FloatArray, stated: Stated) -> Band:
    found = FrequencyRange(
        minimum=float(sky[0]),
        maximum=float(sky[-1]),
        t_back_flag=True,
        background_temperature=stated.t_back,
        temperature_slope=stated.t_slope,
    )
    return Band(path.name, sky, stated.telescope_size, stated.interferometer, stated.v_lsr, (found,))


def _ratios(
    job: JobDirectory, stated: Stated, source: XclassSource | None, files: list[tuple[str, Path]]
) -> tuple[IsoRatio, ...]:
    path = stated.isoratio or (job.iso_ratios[-1] if job.iso_ratios else None)
    if path is None and source is not None:
        path = source.iso_table
    if path is None:
        return ()
    files.append(("iso-ratio file", path))
    return read_iso_ratios(path).ratios


def _chi2(
    job: JobDirectory, molfit: Molfit, files: list[tuple[str, Path]]
) -> tuple[Chi2Log | None, list[str]]:
    last = _last(job.chi2_logs)
    if last is None:
        return None, []
    n = sum(p is not None and p.fit for c in molfit_components(molfit) for p in c.parameters.values())
    try:
        log = read_chi2_log(last.path, n)
    except InputError as error:
        return None, [f"the log of chi2 is not used: {error}"]
    files.append(("log of chi2", last.path))
    return log, []


def _last(files: Sequence[FitFile]) -> FitFile | None:
    """File of the last optimiser in a chain."""
    return max(files, key=lambda f: f.call, default=None)


def _only(paths: Sequence[Path], what: str, option: str, *, needed: bool = False) -> Path | None:
    if len(paths) > 1:
        listed = ", ".join(p.name for p in paths)
        raise InputError(f"{what}: the job has several: {listed}; say which one with {option}")
    if needed and not paths:
        return None
    return paths[0] if paths else None
