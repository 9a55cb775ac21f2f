"""Model spectra of other codes for a case: what each is asked, and what comes back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...constants import C_KMS, H_OVER_K
from ...errors import InputError
from ...lte.reference import filling_factor
from ...xclass import (
    IsoRatio,
    Molfit,
    MolfitComponent,
    MolfitParameter,
    molfit_components,
    new_iso_ratios,
    new_molfit,
)
from .background import temperature_of
from .case import Band, Case
from .conventions import OURS
from .workers import Answer, OtherCodeError, ask

__all__ = ["spectra_of_answer", "spectra_of_pyspeckit", "spectra_of_spectuner", "spectra_of_xclass"]

FloatArray = NDArray[np.float64]

_BOLTZMANN_ERG = 1.380649e-16
"""Erg per K, exact (SI of 2019)."""


def spectra_of_xclass(
    case: Case, molfit: Molfit, ratios: Sequence[IsoRatio], folder: Path, python: str, timeout: float
) -> Answer | None:
    """Spectra by an installed XCLASS; None if there is none.

    Parameters
    ----------
    case : Case
    molfit : Molfit
        Its values are written as a plain molfit.
    ratios : sequence of IsoRatio
    folder : Path
        For the files that it reads.
    python : str
    timeout : float, in s

    Raises
    ------
    OtherCodeError
    """
    plain = [_plain(c) for c in molfit_components(molfit)]
    (folder / "model.molfit").write_bytes(new_molfit(plain, form="plain").to_bytes())
    table = ""
    if ratios:
        table = str(folder / "isoratio.dat")
        Path(table).write_bytes(new_iso_ratios(ratios).to_bytes())
    request = {
        "molfit": str(folder / "model.molfit"),
        "isoratio": table,
        "bands": [_band(b) for b in case.bands],
    }
    arrays = {f"sky_{k}": b.sky for k, b in enumerate(case.bands)}
    return ask("xclass", python, request, arrays, timeout)


def spectra_of_spectuner(case: Case, catalogue: Path, python: str, timeout: float) -> Answer:
    """Spectra by the package spectuner, with our catalogue, above the continuum.

    Raises
    ------
    InputError
        If no telescope is stated, which it needs.
    OtherCodeError
        If it is not there or fails.
    """
    if any(b.telescope_size is None for b in case.bands):
        raise InputError("peer: spectuner needs a telescope for every spectrum; give telescope_size")
    request = {**_request(case), "catalogue": str(catalogue)}
    return _there(ask("spectuner", python, request, _arrays(case), timeout), "spectuner", python)


def spectra_of_pyspeckit(case: Case, python: str, timeout: float) -> Answer:
    """Spectra by the LTE model of pyspeckit, with our lines and filling factors, above the continuum.

    Raises
    ------
    OtherCodeError
        If it is not there or fails.
    """
    arrays = _arrays(case)
    for name, lines in case.lines.items():
        t = lines.merged
        e_upper = t.e_lower + H_OVER_K * t.frequency
        arrays |= {
            f"frequency {name}": t.frequency,
            f"log_a {name}": np.log10(t.einstein_a),
            f"g {name}": t.g_upper,
            f"e_upper_erg {name}": e_upper * _BOLTZMANN_ERG,
            f"q_t {name}": t.partition.temperature,
            f"q {name}": t.partition.value,
        }
    for k, band in enumerate(case.bands):
        for c, component in enumerate(case.components):
            eta = np.ones(band.sky.size)
            if band.beam is not None and np.isfinite(component.source_size):
                eta = filling_factor(component.source_size, band.beam.squared_width(arrays[f"rest_{k}"]))
            arrays[f"filling_{k}_{c}"] = eta
    return _there(ask("pyspeckit", python, _request(case), arrays, timeout), "pyspeckit", python)


def spectra_of_answer(answer: Answer, bands: Sequence[Band]) -> tuple[FloatArray, ...]:
    """Spectrum of every band.

    Raises
    ------
    OtherCodeError
        If one is missing or has another length.
    """
    found = []
    for k, band in enumerate(bands):
        spectrum = answer.arrays.get(f"band_{k}")
        if spectrum is None or spectrum.shape != band.sky.shape:
            shape = None if spectrum is None else spectrum.shape
            raise OtherCodeError(
                f"{answer.code}: the spectrum of {band.name} has the shape {shape}, not {band.sky.shape}"
            )
        found.append(spectrum)
    return tuple(found)


def _request(case: Case) -> dict[str, Any]:
    components = [
        {
            "species": c.species,
            "source_size": c.source_size if np.isfinite(c.source_size) else None,
            "t_ex": c.t_ex,
            "n_tot": c.n_tot,
            "fwhm": c.fwhm,
            "v_off": c.v_off,
        }
        for c in case.components
    ]
    bands = []
    for band in case.bands:
        rest = band.sky / (1.0 - band.v_lsr / C_KMS)
        inside = [
            name
            for name, lines in case.lines.items()
            if np.any((lines.apart.frequency >= rest[0]) & (lines.apart.frequency <= rest[-1]))
        ]
        bands.append({**_band(band), "species_with_lines": inside})
    return {"bands": bands, "components": components, "t_cmb": OURS.t_cmb}


def _arrays(case: Case) -> dict[str, FloatArray]:
    arrays: dict[str, FloatArray] = {}
    for k, band in enumerate(case.bands):
        arrays[f"rest_{k}"] = band.sky / (1.0 - band.v_lsr / C_KMS)
        arrays[f"background_{k}"] = (
            temperature_of(band.ranges[0], band.sky) if band.ranges else np.zeros(band.sky.size)
        )
    return arrays


def _band(band: Band) -> dict[str, Any]:
    first = band.ranges[0] if band.ranges else None
    return {
        "telescope_size": band.telescope_size,
        "interferometer": band.interferometer,
        "v_lsr": band.v_lsr,
        "t_back": 0.0 if first is None else float(temperature_of(first, band.sky[:1])[0]),
        "t_slope": 0.0 if first is None else first.temperature_slope or 0.0,
    }


def _plain(component: MolfitComponent) -> MolfitComponent:
    values = {
        name: None if p is None else MolfitParameter(p.value) for name, p in component.parameters.items()
    }
    return MolfitComponent(component.molecule, **values, foreground=component.foreground)  # type: ignore[arg-type]


def _there(answer: Answer | None, code: str, python: str) -> Answer:
    if answer is None:
        raise OtherCodeError(
            f"{code}: {python} cannot import it; give the python of an environment that has it"
        )
    return answer
