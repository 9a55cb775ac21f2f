"""The task `sdfit_lte`: validate, fit spectra group by group of species, or cubes; put the products together."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from spectuner_ext.fitting.result import FitResult, Status
from spectuner_ext.observation import Observation
from spectuner_ext.pipeline.peaks import peaks_table
from spectuner_ext.pipeline.posterior_tables import posterior_samples, posterior_table
from spectuner_ext.pipeline.products import write_products
from spectuner_ext.pipeline.spectrum import fit_spectrum
from spectuner_ext.pipeline.tables import correlation_tables, parameters_table, spectra_tables
from spectuner_ext.pipeline.wording import table_of_words
from spectuner_ext.spectroscopy import LineDatabase

from .checks_cube import remembered
from .definitions import DEFINITIONS
from .log import TaskLog
from .networks import Networks, networks_of
from .outputs_cube import Outputs, check_cube_outputs
from .outputs_xclass import for_xclass
from .parameters import CUBES, SDFIT_LTE, validated
from .preparation import FITTED, Prepared, check_outputs, open_catalogue, prepare
from .preparation_cube import data_kind
from .preparation_xclass import with_molfit_species
from .progress import Reporter, progress_line
from .record import call_record, provenance
from .task_cube import fit_cubes

__all__ = ["sdfit_lte"]


def sdfit_lte(
    infile: Any = "",
    species: Any = "",
    outfile: str = "",
    joint: bool = False,
    components: Any = 1,
    loss: str = "chi2",
    optimizer: str = "auto",
    ninit: int | None = None,
    initial: Any = None,
    weights: Any = "",
    posterior: Any = "",
    device: str = "cpu",
    bounds: Any = None,
    fixed: Any = None,
    isoratio: Any = None,
    vlsr: Any = None,
    beam: Any = None,
    continuum: Any = None,
    noise: Any = None,
    mask: Any = None,
    catalogue: Any = "",
    offset: Any = 0.0,
    noise_factor: float = 4.0,
    rel_height: float = 0.25,
    clip_negative: bool = False,
    seed: int = 0,
    rest_frequency: Any = None,
    t_cmb: Any = None,
    plots: bool = True,
    xclassfiles: bool = False,
    overwrite: bool = False,
    logfile: str = "",
    progress: Any = None,
    region: Any = "",
    chans: Any = "",
    spw: Any = "",
    stokes: str = "",
    reproject: bool = False,
    min_peaks: float | None = None,
    noise_from: str = "local",
    max_sweeps: int = 5,
    policy_every: int = 1,
    modelcube: bool = False,
    residualcube: bool = False,
    casaimages: bool | None = None,
    store: str = "",
    resume: bool = False,
    workers: int | None = None,
    client: Any = "",
    redo: Any = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Fit; the docstring is replaced below by one made from the list of parameters."""
    given = dict(locals())
    with TaskLog("sdfit_lte") as log:
        remembered(given)
        data = data_kind(infile)
        values = with_molfit_species(validated(SDFIT_LTE, given, data), given)
        outputs: tuple[Outputs, ...] = ()
        if data == CUBES:
            outputs = check_cube_outputs(values)
        else:
            check_outputs(values)
        defaults = {p.name: p.default for p in SDFIT_LTE if p.data in ("", data)}
        log.path = values["logfile"]
        log.begin()
        with open_catalogue(values["catalogue"]) as database:
            networks = networks_of(values, data, database)
            if data == CUBES:
                return fit_cubes(given, values, defaults, database, outputs, networks, log)
            return _fit_spectra(given, values, defaults, database, networks, log)


def _fit_spectra(
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    database: LineDatabase,
    networks: Networks,
    log: TaskLog,
) -> dict[str, Any]:
    call = call_record(given, defaults, values["outfile"])
    log.info(f"sdfit_lte( {', '.join(f'{k}={v!r}' for k, v in call.items())} )")
    prepared = prepare(values, database)
    _note_input(log, prepared, database)
    for text in (*networks.words, *prepared.remarks):
        log.info(text)
    fits = _fit_all(prepared, values, database, networks, log)
    origin = provenance(prepared, database, call, networks)
    result = _result(prepared.observation, fits, values, call, origin)
    for words in table_of_words(result["parameters"]):
        log.info(_sentence(words))
    log.end()
    if values["outfile"]:
        written: dict[str, str] = {}
        if values["xclassfiles"]:
            written, missing = for_xclass(values, prepared, fits, database)
            for text in missing:
                log.info(f"files for XCLASS: {text}")
        files = write_products(values["outfile"], result, plots=values["plots"], log=log.lines)
        result["files"] = {**files, **written}
    return result


def _note_input(log: TaskLog, prepared: Prepared, database: LineDatabase) -> None:
    log.info(f"catalogue {database.path.name}, SHA-256 {database.checksum}")
    for w in prepared.observation.windows:
        log.info(
            f"window {w.name}: {w.nu[0]:.3f} to {w.nu[-1]:.3f} MHz (rest), {w.nu.size} channels, "
            f"{w.notes.get('n_nan', 0)} of them NaN and left out, {w.notes.get('n_masked', 0)} masked; "
            f"noise {np.median(w.sigma[w.mask]):.4g} K ({w.notes.get('noise_source', 'given')})"
        )


def _fit_all(
    prepared: Prepared, values: Mapping[str, Any], database: LineDatabase, networks: Networks, log: TaskLog
) -> list[FitResult]:
    """One fit for each group; a cancelled one is the last."""
    wanted = values["progress"]
    report = Reporter(progress_line() if wanted is True else wanted or None, prepared.groups)
    options = {name: values[name] for name in FITTED if values[name] is not None}
    options |= {"policy": networks.policy, "posterior": networks.posterior or False}
    fits: list[FitResult] = []
    for group, requests, ties in zip(prepared.groups, prepared.per_group, prepared.ties, strict=True):
        report.start()
        watch = report if report.inner else None
        fit = fit_spectrum(
            prepared.observation, group, database, **requests, ties=ties, **options, progress=watch
        )
        log.info(
            f"{' + '.join(group)}: {fit.status.name} after {fit.n_evaluations} spectra, "
            f"{fit.loss_name} {fit.loss:.6g}, "
            f"chi2 {fit.chi2:.6g} for {fit.n_data - fit.n_free} degrees of freedom. {fit.message}".rstrip()
        )
        fits.append(fit)
        if fit.status == Status.CANCELLED:
            left = [s for g in prepared.groups[len(fits) :] for s in g]
            log.info(f"cancelled by progress; not fitted: {', '.join(left) or 'nothing else'}")
            break
    return fits


def _result(
    observation: Observation,
    fits: list[FitResult],
    values: Mapping[str, Any],
    call: dict[str, Any],
    origin: dict[str, Any],
) -> dict[str, Any]:
    peaks = {name: values[name] for name in ("noise_factor", "rel_height", "clip_negative")}
    by_network = {}
    if any(fit.posterior for fit in fits):
        by_network = {"posterior": posterior_table(fits), "posterior_samples": posterior_samples(fits)}
    return {
        "parameters": parameters_table(fits, {**origin, "call": json.dumps(call)}),
        "spectra": spectra_tables(observation, fits),
        "correlations": correlation_tables(fits),
        "peaks": peaks_table(observation, fits, **peaks),
        **by_network,
        "files": {},
        "call": call,
        "provenance": origin,
    }


def _sentence(words: Mapping[str, str]) -> str:
    """Outcome of one component for the log."""
    numbers = ", ".join(
        f"{k} {v}" for k, v in words.items() if k not in ("component", "peaks", "outcome", "remarks")
    )
    remarks = f" ({words['remarks']})" if words["remarks"] else ""
    return f"{words['component']}: {words['outcome']}, {words['peaks']} peaks matched; {numbers}{remarks}"


sdfit_lte.__doc__ = f"""{DEFINITIONS["sdfit_lte"].heading}

Returns
-------
dict
    parameters : QTable, a row per species and component: values with 1 sigma errors, status, detected, flags.
    spectra : list of QTable, one per window: observed, model, residual and a column per component.
    correlations : dict, species of a fit to the correlation matrix of its free parameters, as QTable.
    peaks : QTable of observed and predicted peaks, and whether they meet.
    posterior, posterior_samples : QTable, quantiles and samples of a calibrated network for each species; only with
    initial='policy' or posterior.
    files : dict, ending to path of the products; read them with
    spectuner_ext.pipeline.products.read_products.
    call : dict, the JSON-like parameters; ``sdfit_lte(**result["call"])`` repeats the fit number for number.
    provenance : dict, versions, catalogue and input checksums, noise.

    Of cubes:

    maps : CubeMaps, every number of every pixel by name, and what was not measured; of several groups of species a
    dict of them.
    parameters : QTable, a row per fitted pixel and component.
    summary : QTable, a row per component: how many pixels, quartiles of what is determined, counts of flags.
    counts : dict, how many pixels were fitted and why the others were left out; of several groups a dict of these.
    warnings : list of str, what the data cannot tell.
    cancelled : bool, whether the run ended before all pixels had their turn.
    files, call, provenance : as above; ``files["maps"]`` is the FITS with the maps (read it with
    spectuner_ext.read_maps), ``files["store"]`` the store, ``files["images"]`` the folder of CASA images; of several
    groups each entry is a dict by group.

Raises
------
InputError
    Before any work, when a parameter cannot be used; the message begins with its name.
OutputExistsError
    When a product or a store exists and neither overwrite nor resume is set.

Examples
--------
>>> from spectuner_tasks import sdfit_lte
>>> result = sdfit_lte("spw*.fits", "CH3OH", "fits/ch3oh", vlsr="2.7 km/s")  # doctest: +SKIP
>>> result["parameters"]["T_ex", "T_ex_err"]  # doctest: +SKIP
>>> result = sdfit_lte("cube.fits", "CH3OH", "fits/maps", region="core.reg")  # doctest: +SKIP
>>> result["maps"].quantity("CH3OH", "T_ex")  # doctest: +SKIP
"""
