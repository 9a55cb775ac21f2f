"""The comparison with XCLASS and other codes as a command of ``spectuner``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spectuner_ext.errors import InputError

if TYPE_CHECKING:
    from spectuner_ext.pipeline.xclass.job import XclassJob
    from spectuner_ext.spectroscopy import LineDatabase

__all__ = ["compare_xclass"]


def compare_xclass(
    job: Annotated[Path, "Folder of an XCLASS job, or with files of a result."],
    outdir: Annotated[Path, "Folder of the report, tables and picture."],
    molfit: Annotated[str, "Molfit file, in the place of the one in the folder."] = "",
    observation: Annotated[str, "Observation XML, in the place of the one in the folder."] = "",
    spectrum: Annotated[str, "Model spectrum, in the place of those in the folder."] = "",
    isoratio: Annotated[str, "Iso-ratio file, in the place of the one in the folder."] = "",
    transitions: Annotated[str, "Table of transitions, in the place of the one in the folder."] = "",
    telescope: Annotated[str, "Without observation XML: dish such as 12m, or beam such as 0.5arcsec."] = "",
    vlsr: Annotated[float, "Without observation XML: velocity of the source [km/s]."] = 0.0,
    tback: Annotated[float, "Without observation XML: temperature of the continuum [K]."] = 0.0,
    tslope: Annotated[float, "Without observation XML: its exponent."] = 0.0,
    fit: Annotated[bool, "Fit the job's data with its molfit, too, and compare parameters."] = False,
    maps: Annotated[str, "Maps of sdfit_lte (FITS) to compare with those of the job."] = "",
    run: Annotated[bool, "Run XCLASS on the same files, if it can be imported."] = True,
    xclass_python: Annotated[str, "Interpreter that has XCLASS; this one when not given."] = "",
    peer: Annotated[list[str] | None, "Other code to run: spectuner or pyspeckit; repeat."] = None,
    peer_python: Annotated[
        list[str] | None, "Interpreter of its environment, one for each --peer, in their order."
    ] = None,
    timeout: Annotated[float, "Longest time for each code that is run [s]."] = 600.0,
    catalogue: Annotated[str, "Line database; the one that the package ships when not given."] = "",
    plots: Annotated[bool, "Draw the picture."] = True,
    overwrite: Annotated[bool, "Replace an earlier report."] = False,
) -> None:
    """Compare results of XCLASS with our model of the same files, and say which conventions explain the differences.

    Nothing is said of a code that was not run, and the report names where each number comes from.
    """
    from spectuner_ext.pipeline.xclass.comparison import OtherCodes, compare
    from spectuner_ext.pipeline.xclass.comparison_report import report_lines, write_comparison
    from spectuner_ext.pipeline.xclass.job import Stated, read_job
    from spectuner_ext.pipeline.xclass.workers import interpreter

    from .preparation import open_catalogue

    size, is_beam = _telescope(telescope)
    stated = Stated(
        molfit=_path(molfit),
        observation=_path(observation),
        spectrum=_path(spectrum),
        isoratio=_path(isoratio),
        transitions=_path(transitions),
        telescope_size=size,
        interferometer=is_beam,
        v_lsr=vlsr,
        t_back=tback,
        t_slope=tslope,
    )
    others = OtherCodes(
        xclass_python=interpreter(xclass_python or sys.executable, "xclass_python") if run else "",
        peers=_peers(peer or [], peer_python or []),
        timeout=timeout,
    )
    with open_catalogue(catalogue) as database:
        found = read_job(job, stated)
        fitted = _fit(found, database) if fit else None
        comparison = compare(found, database, others, fitted)
        table = _maps(maps, found, comparison.case.names) if maps else None
        files = write_comparison(outdir, comparison, maps=table, plots=plots, overwrite=overwrite)
    heading = [line for line in report_lines(comparison) if line.startswith("## ")][
        : len(comparison.compared)
    ]
    print("\n".join(line.removeprefix("## ") for line in heading))
    print("\n".join(f"wrote {file}" for file in files.values()))


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _telescope(text: str) -> tuple[float | None, bool]:
    """Size of a telescope as XCLASS states it, and whether it is a beam in arcsec."""
    from spectuner_ext.observation.beams import as_beam

    if not text:
        return None, False
    beam = as_beam(text, "telescope")
    assert beam is not None  # a text is never none
    if beam.diameter == beam.diameter:  # not NaN
        return beam.diameter, False
    return float((beam.major * beam.minor) ** 0.5), True


def _peers(names: list[str], pythons: list[str]) -> dict[str, str]:
    from spectuner_ext.pipeline.xclass.comparison import PEERS
    from spectuner_ext.pipeline.xclass.workers import interpreter

    for name in names:
        if name not in PEERS:
            raise InputError(f"peer: unknown code {name!r}; choose from {', '.join(PEERS)}")
    if len(names) != len(pythons) or len(set(names)) < len(names):
        raise InputError(
            f"peer_python: {len(pythons)} interpreters for {len(names)} codes ({', '.join(names) or 'none'}); "
            f"give one for each peer, each peer once"
        )
    return {name: interpreter(python, "peer_python") for name, python in zip(names, pythons, strict=True)}


def _fit(job: "XclassJob", database: "LineDatabase") -> dict[str, Any]:
    """Our fit of the data of a job, from the molfit that it began with."""
    from .task_sdfit_lte import sdfit_lte

    if job.source is None:
        raise InputError(
            "fit: the job has no observation file with its data; give observation, or leave fit out"
        )
    before = job.molfit_before or job.molfit
    return sdfit_lte(str(job.source.path), before.text.name, catalogue=database, plots=False)


def _maps(name: str, job: "XclassJob", names: Any) -> Any:
    from spectuner_ext.pipeline.cubes.map_files import read_maps
    from spectuner_ext.pipeline.xclass.map_comparison import map_table

    if not job.directory.maps:
        raise InputError(
            f"maps: {job.directory.path} has no parameter maps (BestResult___parameter__...fits)"
        )
    return map_table(job.directory.maps, job.molfit.molecules, dict(names), read_maps(name))
