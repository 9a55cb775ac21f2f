"""A result as files for XCLASS: molfit, observation XML with ASCII data, and an iso-ratio file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fitting.result import FitResult
from ...lte.parameters import BOUNDS, PARAMETERS
from ...observation import Observation
from ...xclass import (
    FrequencyRange,
    IsoRatio,
    Molfit,
    MolfitComponent,
    MolfitParameter,
    ObservationFile,
    new_ascii_data,
    new_iso_ratios,
    new_molfit,
    new_observation_xml,
    write_bytes,
)
from .background import nearest_power_law
from .isotopologues import Follower

__all__ = ["Written", "possible_files", "result_molfit", "result_observation", "write_result_files"]

FloatArray = NDArray[np.float64]

_EXTENDED = 1e4
"""Size, in beams, of a source that fills the beam: its filling factor differs from 1 by 1e-8."""

_SAME = 1e-6
"""Relative difference up to which a background counts as the power law that stands for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Files of a result.

    Parameters
    ----------
    files : mapping
        What it is to its path.
    remarks : tuple of str
        What these files cannot say.
    """

    files: Mapping[str, str]
    remarks: tuple[str, ...]


def possible_files(stem: Path, n_window: int) -> dict[str, Path]:
    """Names of the files of a result."""
    names = {
        "molfit": f"{stem.name}.molfit",
        "obs_xml": f"{stem.name}_obs.xml",
        "isoratio": f"{stem.name}_iso.dat",
    }
    names |= {f"data_{k}": f"{stem.name}_data_{k}.dat" for k in range(1, n_window + 1)}
    return {key: stem.with_name(name) for key, name in names.items()}


def write_result_files(
    stem: Path,
    observation: Observation,
    fits: Sequence[FitResult],
    bounds: Sequence[Sequence[Mapping[str, tuple[float, float]]]],
    fixed: Sequence[Sequence[Mapping[str, float]]],
    wanted: Sequence[Follower] = (),
) -> Written:
    """Write a result for XCLASS; files of the same names are replaced.

    Parameters
    ----------
    stem : Path
        Path and name that the files share.
    observation : Observation
    fits : sequence of FitResult
    bounds, fixed : sequence of sequence of mapping
        Of every fit and component, as `~spectuner_ext.pipeline.request.Component` has them.
    wanted : sequence of Follower
        Isotopologues that were tied.

    Raises
    ------
    InputError
        If no beam is known, so that no source size is either.
    """
    names = possible_files(stem, len(observation.windows))
    contents: dict[str, bytes] = {}
    remarks: list[str] = []
    found = result_molfit(observation, fits, bounds, fixed, wanted)
    if found is None:
        remarks.append("nothing was detected, so there is no molfit")
    else:
        molfit, ratios = found
        contents["molfit"] = molfit.to_bytes()
        if ratios:
            contents["isoratio"] = new_iso_ratios(ratios).to_bytes()
    data, files, words = result_observation(observation, fits, names)
    contents |= data
    table = names["isoratio"].name if "isoratio" in contents else None
    contents["obs_xml"] = new_observation_xml(files, iso_table=table).to_bytes()
    for key, content in contents.items():
        write_bytes(content, names[key], overwrite=True)
    return Written({key: str(names[key]) for key in names if key in contents}, (*remarks, *words))


def result_molfit(
    observation: Observation,
    fits: Sequence[FitResult],
    bounds: Sequence[Sequence[Mapping[str, tuple[float, float]]]],
    fixed: Sequence[Sequence[Mapping[str, float]]],
    wanted: Sequence[Follower] = (),
) -> tuple[Molfit, list[IsoRatio]] | None:
    """Molfit with the detected components, and the ratios of the isotopologues that follow them; None without any.

    Parameters as in `write_result_files`.
    """
    scale = observation.beam_scale
    if not np.isfinite(scale):
        raise InputError(
            "xclassfiles: a molfit has source sizes, and without a beam they are not known; give beam"
        )
    rows: list[MolfitComponent] = []
    lost: list[str] = []
    ratios: list[IsoRatio] = []
    for fit, of_fit, held in zip(fits, bounds, fixed, strict=True):
        detected = {(s, n): d for s, n, d in zip(fit.species, fit.component, fit.detected, strict=True)}
        following = {
            f.name: f
            for f in wanted
            if not f.is_fitted
            and f.name in fit.species
            and all(detected.get((name, n), False) for name, n in detected if name in (f.name, f.master))
        }
        for name, f in following.items():
            ratios.append(IsoRatio(name, f.master, f.ratio))
        for c, species in enumerate(fit.species):
            if species in following:
                continue
            if not fit.detected[c] and "N_tot" not in held[c]:
                limit = fit.n_tot_limit[c]
                lost.append(
                    f"{species} component {fit.component[c]}: not detected, N_tot below {limit:.2e} cm-2"
                )
                continue
            rows.append(_row(species, fit.components[c], of_fit[c], held[c], scale))
    if not rows:
        return None
    heading = ["best-fit values of spectuner-ext, sdfit_lte", *lost]
    return new_molfit(rows, form="fit", extended_size=_EXTENDED * scale, comments=heading), ratios


def result_observation(
    observation: Observation, fits: Sequence[FitResult], names: Mapping[str, Path]
) -> tuple[dict[str, bytes], list[ObservationFile], list[str]]:
    """Data files of all windows, what the observation file says of them, and what neither can say.

    Frequencies are those on the sky. The continuum is added to the lines, as XCLASS fits both; a fitted baseline is
    taken off. Channels that are not used lie outside of all ranges.
    """
    data: dict[str, bytes] = {}
    files: list[ObservationFile] = []
    remarks: list[str] = []
    for k, window in enumerate(observation.windows):
        offset = sum(float(fit.offsets[k]) for fit in fits if len(fit.offsets))
        sky = observation.sky_frequency(window.nu)
        ranges: list[FrequencyRange] = []
        background = np.zeros(sky.size)
        lonely = 0
        for part in _used_stretches(window.mask):
            if part.stop - part.start < 2:
                lonely += 1
                continue
            # a little wider than the centres of the outermost channels, so that rounding cannot lose them
            low = sky[part.start] - 1e-3 * (sky[part.start + 1] - sky[part.start])
            high = sky[part.stop - 1] + 1e-3 * (sky[part.stop - 1] - sky[part.stop - 2])
            law = nearest_power_law(sky[part], window.t_continuum[part], low)
            background[part] = law.temperature * (sky[part] / low) ** law.slope
            if law.deviation > _SAME:
                remarks.append(
                    f"{window.name}: the continuum differs from tBack and tslope by up to {100 * law.deviation:.2g} %"
                )
            ranges.append(
                FrequencyRange(
                    minimum=float(low),
                    maximum=float(high),
                    step=float(np.median(np.diff(sky[part]))),
                    t_back_flag=True,
                    background_temperature=law.temperature,
                    temperature_slope=law.slope,
                    hydrogen_column=0.0,
                    dust_beta=0.0,
                    kappa=0.0,
                )
            )
        if lonely:
            remarks.append(f"{window.name}: {lonely} used channels between unused ones are left out")
        if not ranges:
            raise InputError(f"xclassfiles: {window.name} has no two neighbouring channels that are used")
        heading = [] if not offset else [f"% a fitted baseline of {offset:.6g} K is taken off"]
        key = f"data_{k + 1}"
        ascii_data = new_ascii_data(
            sky, window.intensity - offset + background, window.sigma, header=heading, name=key
        )
        data[key] = ascii_data.to_bytes()
        beam = window.beam
        assert beam is not None  # without one there is no molfit either
        is_dish = bool(np.isfinite(beam.diameter))
        files.append(
            ObservationFile(
                path=names[key].name,
                ranges=tuple(ranges),
                import_filter="xclassASCII",
                v_lsr=observation.v_lsr,
                telescope_size=beam.diameter if is_dish else float(np.sqrt(beam.major * beam.minor)),
                interferometer=not is_dish,
                error_column=True,
                header_lines=len(heading),
                separator=" ",
            )
        )
        if not 2.7 < window.t_cmb < 2.75:
            remarks.append(f"{window.name}: t_cmb was {window.t_cmb:g} K, XCLASS has its own")
    return data, files, remarks


def _used_stretches(mask: NDArray[np.bool_]) -> list[slice]:
    """Stretches of channels that are used."""
    steps = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return [
        slice(int(a), int(b))
        for a, b in zip(np.flatnonzero(steps == 1), np.flatnonzero(steps == -1), strict=True)
    ]


def _row(
    species: str,
    theta: FloatArray,
    bounds: Mapping[str, tuple[float, float]],
    fixed: Mapping[str, float],
    scale: float,
) -> MolfitComponent:
    """Component of a molfit with values, fit flags and bounds."""
    made: dict[str, Any] = {}
    for k, name in enumerate(PARAMETERS):
        value, held = float(theta[k]), name in fixed
        low, high = bounds.get(name, BOUNDS[name])
        if name == "filling_factor":
            if value >= 1.0:
                made[name] = None
                continue
            value, low, high = (_size(v, scale) for v in (value, low, high))
        if held:
            made[name] = MolfitParameter(value)
            continue
        made[name] = MolfitParameter(value, True, min(low, value), max(high, value))
    return MolfitComponent(
        molecule=species,
        source_size=made["filling_factor"],
        temperature=made["T_ex"],
        column=made["N_tot"],
        width=made["fwhm"],
        offset=made["v_off"],
    )


def _size(eta: float, scale: float) -> float:
    """Size [arcsec] of a source with this filling factor in a beam of width `scale`, without digits of rounding."""
    size = _EXTENDED * scale if eta >= 1.0 else scale * float(np.sqrt(eta / (1.0 - eta)))
    return float(f"{size:.15g}")
