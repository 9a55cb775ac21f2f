"""A job, our model of it, and other codes: what differs, and which conventions explain it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...spectroscopy import LineDatabase
from .case import Case, build_case
from .conventions import DOCUMENTED, OURS
from .explanation import Difference, Explanation, difference, explain
from .job import XclassJob
from .peers import spectra_of_answer, spectra_of_pyspeckit, spectra_of_spectuner, spectra_of_xclass
from .synthesis import spectra_of
from .workers import OtherCodeError

__all__ = ["PEERS", "Compared", "Comparison", "OtherCodes", "compare"]

FloatArray = NDArray[np.float64]

PEERS = ("spectuner", "pyspeckit")
"""Codes besides XCLASS that can be asked."""

_TOLD = {
    "spectuner": "spectuner takes one continuum for each spectrum, and was given its mean; it adds up components, "
    "takes lines whose rest frequency is inside of a spectrum only, and computes on a coarse grid of its own",
    "pyspeckit": "pyspeckit has neither source sizes nor a continuum behind the lines: its components were "
    "multiplied by our filling factors, and were given our lines and partition functions",
}
"""What the programs could and could not be told."""


@dataclass(frozen=True, slots=True)
class OtherCodes:
    """Which codes are run.

    Parameters
    ----------
    xclass_python : str
        Interpreter that is asked for a package ``xclass``; empty for none.
    peers : mapping
        Member of `PEERS` to the interpreter of its environment.
    timeout : float, in s
        For each of them.
    """

    xclass_python: str = ""
    peers: Mapping[str, str] | None = None
    timeout: float = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Spectra of another code and what explains their difference from ours.

    Parameters
    ----------
    name : str
    origin : str
        Where the numbers come from, in words.
    spectra : tuple of array
        In K, of every band.
    from_ours, from_documented : Explanation
        Beginning with our conventions, and with those of XCLASS as they are documented.
    """

    name: str
    origin: str
    spectra: tuple[FloatArray, ...]
    from_ours: Explanation
    from_documented: Explanation

    @property
    def best(self) -> Explanation:
        """The one that leaves less."""
        ours, documented = self.from_ours, self.from_documented
        return documented if documented.left.rms < ours.left.rms else ours


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Everything that a report says.

    Parameters
    ----------
    job : XclassJob
    case : Case
    ours : tuple of array
        Our spectra under `OURS`.
    documented : tuple of array
        Our spectra under `DOCUMENTED`.
    compared : tuple of Compared
        Spectra of the job first.
    between : tuple of (str, str, Difference)
        The other codes with each other.
    fit : mapping or None
        Result of `sdfit_lte` for the same data and molfit, if it was asked for.
    remarks : tuple of str
        What was not done, and why.
    """

    job: XclassJob
    case: Case
    ours: tuple[FloatArray, ...]
    documented: tuple[FloatArray, ...]
    compared: tuple[Compared, ...]
    between: tuple[tuple[str, str, Difference], ...]
    fit: Mapping[str, Any] | None
    remarks: tuple[str, ...]


def compare(
    job: XclassJob,
    database: LineDatabase,
    others: OtherCodes | None = None,
    fit: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare a job with our model and with other codes.

    Parameters
    ----------
    job : XclassJob
    database : LineDatabase
    others : OtherCodes, optional
    fit : mapping, optional
        Result of `sdfit_lte` for the same data and molfit.

    Raises
    ------
    InputError
        If there is nothing to compare with.
    """
    others = others or OtherCodes()
    case = build_case(job.bands, job.molfit, job.ratios, job.transitions, database)
    found: list[tuple[str, str, tuple[FloatArray, ...]]] = []
    remarks = [*job.remarks, *case.remarks]
    if job.spectra:
        files = ", ".join(s.path.name for s in job.spectra)
        found.append(("job", f"read from files of the job: {files}", tuple(s.intensity for s in job.spectra)))
    else:
        remarks.append("the job has no model spectrum")
    found += _other_codes(case, job, database, others, remarks)
    if not found:
        raise InputError(
            f"job: {job.directory.path} has no model spectrum, and no other code has given one, so there is nothing "
            f"to compare with: {'; '.join(remarks)}"
        )
    compared = tuple(
        Compared(name, origin, spectra, explain(case, spectra, OURS), explain(case, spectra, DOCUMENTED))
        for name, origin, spectra in found
    )
    between = tuple(
        (a.name, b.name, difference(a.spectra, b.spectra))
        for k, a in enumerate(compared)
        for b in compared[k + 1 :]
    )
    return Comparison(
        job,
        case,
        spectra_of(case, OURS),
        spectra_of(case, DOCUMENTED),
        compared,
        between,
        fit,
        tuple(remarks),
    )


def _other_codes(
    case: Case, job: XclassJob, database: LineDatabase, others: OtherCodes, remarks: list[str]
) -> list[tuple[str, str, tuple[FloatArray, ...]]]:
    """Names, origins and spectra of what could be run; why the others could not goes to the remarks."""
    found = []
    if others.xclass_python:
        with TemporaryDirectory(prefix="spectuner-") as name:
            try:
                answer = spectra_of_xclass(
                    case, job.molfit, job.ratios, Path(name), others.xclass_python, others.timeout
                )
                if answer is None:
                    remarks.append(
                        f"XCLASS was not run: {others.xclass_python} has no package xclass; all numbers of it are "
                        f"from files of the job"
                    )
                else:
                    found.append(("xclass", answer.origin, spectra_of_answer(answer, case.bands)))
            except OtherCodeError as error:
                remarks.append(f"XCLASS gave no result: {error}")
    for peer, python in (others.peers or {}).items():
        try:
            if peer == "spectuner":
                answer = spectra_of_spectuner(case, database.path, python, others.timeout)
            else:
                answer = spectra_of_pyspeckit(case, python, others.timeout)
            found.append((peer, answer.origin, spectra_of_answer(answer, case.bands)))
            remarks.append(_TOLD[peer])
        except OtherCodeError as error:
            remarks.append(f"{peer} gave no result: {error}")
    return found
