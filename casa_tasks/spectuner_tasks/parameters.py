"""The parameters of `sdfit_lte`, stated once: checks, docstring and command-line options come from here."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spectuner_ext.errors import InputError
from spectuner_ext.units import to_kelvin, to_kms, to_mhz

from . import checks

__all__ = ["SDFIT_LTE", "Parameter", "described", "validated"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a task.

    Parameters
    ----------
    name : str
    types : tuple of str
        What it takes, in the words of CASA's task definitions: ``bool``, ``int``, ``double``, ``string``,
        ``stringVec``, ``record``, and ``variant`` where objects of Python are taken too.
    default : object
        JSON-like; ``''`` or None given by the user means this too.
    description : str
        What it does, with units, as one or more sentences.
    check : callable
        Takes the value that the user gave and the parameter's name, and returns the value to work with;
        raises `~spectuner_ext.errors.InputError`.
    unit : str
        Of a plain number.
    choices : tuple of str
    required : bool
    """

    name: str
    types: tuple[str, ...]
    default: Any
    description: str
    check: Callable[[Any, str], Any] = checks.anything
    unit: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False


LOSSES = ("chi2", "pm")
OPTIMIZERS = (
    "auto", "levmar", "swarm", "nelder-mead", "cobyla", "cobyqa", "l-bfgs-b", "tnc", "slsqp",
)  # fmt: skip

SDFIT_LTE: tuple[Parameter, ...] = (
    Parameter(
        "infile",
        ("string", "stringVec", "variant"),
        "",
        "Spectra, continuum-subtracted: path or glob pattern of text, ECSV or FITS files; QTable; "
        "specutils.Spectrum; OneDSpectrum; tuple (axis, intensity); Observation; a list of these. "
        "Required.",
        required=True,
    ),
    Parameter(
        "species",
        ("string", "stringVec", "variant"),
        "",
        "One species, or a list of them, each fitted alone. An inner list, or a set, is fitted together: "
        "[['CH3OH', 'CH3OCHO'], 'C2H5CN']. Names such as 'CH3OH', '13CH3OH', 'CH3CN;v8=1;' or a catalogue "
        "tag. Required.",
        checks.species_groups,
        required=True,
    ),
    Parameter(
        "outfile",
        ("string",),
        "",
        "Name of the products, 'folder/name': name.ecsv, .fits, .json, .log, .png and .html are written. "
        "'' writes nothing.",
        checks.path,
    ),
    Parameter(
        "joint",
        ("bool",),
        False,
        "Fit all of a flat list of species together, as blended lines need.",
        checks.boolean,
    ),
    Parameter(
        "components",
        ("int", "record"),
        1,
        "Velocity components of each species; a number, or a mapping species to number.",
        checks.components,
    ),
    Parameter(
        "loss",
        ("string",),
        "chi2",
        "Loss to minimise: noise-weighted chi2, or peak matching (pm), which ignores lines of other species.",
        checks.choice(LOSSES),
        choices=LOSSES,
    ),
    Parameter(
        "optimizer",
        ("string",),
        "auto",
        "Solver. auto picks one that suits the loss.",
        checks.choice(OPTIMIZERS),
        choices=OPTIMIZERS,
    ),
    Parameter(
        "ninit",
        ("int",),
        None,
        "Starting points; the solver chooses when not given.",
        checks.integer(1),
    ),
    Parameter(
        "initial",
        ("record", "string", "variant"),
        None,
        "Starting values: {parameter: value}, or {species: {parameter: value}} with '*' for all; or the "
        "table 'parameters' of an earlier result, or its ECSV file.",
        checks.initial,
    ),
    Parameter(
        "bounds",
        ("record",),
        None,
        "Limits: {parameter: (low, high)} or {species: {parameter: (low, high)}}. Parameters are "
        "source_size [arcsec], filling_factor, T_ex [K], N_tot [cm-2], fwhm [km/s], v_off [km/s].",
        checks.bounds,
    ),
    Parameter(
        "fixed",
        ("record",),
        None,
        "Values to hold, written as bounds are: {parameter: value} or {species: {parameter: value}}.",
        checks.values,
    ),
    Parameter(
        "vlsr",
        ("double", "string", "variant"),
        None,
        "Velocity of the source, radio convention; frequencies are shifted to its rest frame and v_off is "
        "relative to it. Not given: the axis is in the rest frame already.",
        checks.scalar(to_kms),
        unit="km/s",
    ),
    Parameter(
        "beam",
        ("string", "record", "variant"),
        None,
        "Beam: '1.9arcsec', '0.5arcsec,0.4arcsec', '12m' (dish), (major, minor) in arcsec, {'diameter': "
        "12}, radio_beam.Beam; a list has one for each window. Not given: from the file, else only a "
        "filling factor is fitted.",
        checks.beam,
        unit="arcsec",
    ),
    Parameter(
        "continuum",
        ("double", "string", "variant"),
        None,
        "Brightness temperature of the continuum behind the lines, without the CMB; one value, a list with "
        "one for each window, or an array with one for each channel. Default 0.",
        checks.level(positive=False),
        unit="K",
    ),
    Parameter(
        "noise",
        ("double", "string", "variant"),
        None,
        "Noise; as continuum. Not given: from the file, else estimated.",
        checks.level(positive=True),
        unit="K",
    ),
    Parameter(
        "mask",
        ("string", "stringVec", "variant"),
        None,
        "Sky frequencies to leave out, such as '232100~232110MHz' or a list of them, or (low, high) in "
        "MHz; or boolean arrays, True where a channel is used.",
        checks.mask,
        unit="MHz",
    ),
    Parameter(
        "catalogue",
        ("string", "variant"),
        "",
        "Line database: SQLite file in the layout of VAMDC or XCLASS. '' takes the one that the package "
        "ships.",
        checks.catalogue,
    ),
    Parameter(
        "offset",
        ("double", "string", "variant"),
        0.0,
        "Fit a constant baseline in each window, within plus or minus this (chi2 only). 0: none.",
        checks.not_negative(checks.scalar(to_kelvin)),
        unit="K",
    ),
    Parameter(
        "noise_factor",
        ("double",),
        4.0,
        "Least height of a peak in units of the noise.",
        checks.positive,
    ),
    Parameter(
        "rel_height",
        ("double",),
        0.25,
        "Part of a peak's prominence, from its top, over which peaks are matched.",
        checks.fraction,
    ),
    Parameter(
        "clip_negative",
        ("bool",),
        False,
        "Set negative data to zero before peaks are matched, as the published method does; hides absorption.",
        checks.boolean,
    ),
    Parameter(
        "seed",
        ("int",),
        0,
        "Seed of the random numbers; the same seed gives the same result.",
        checks.integer(0),
    ),
    Parameter(
        "rest_frequency",
        ("double", "string", "variant"),
        None,
        "Rest frequency of a velocity axis; not given: from the file.",
        checks.scalar(to_mhz),
        unit="MHz",
    ),
    Parameter(
        "t_cmb",
        ("double", "string", "variant"),
        None,
        "Temperature of the microwave background; 0 leaves it out. Default 2.725 K.",
        checks.not_negative(checks.scalar(to_kelvin)),
        unit="K",
    ),
    Parameter(
        "plots", ("bool",), True, "Draw name.png and name.html beside the other products.", checks.boolean
    ),
    Parameter("overwrite", ("bool",), False, "Replace products of the same name.", checks.boolean),
    Parameter("logfile", ("string",), "", "Text file to which the log is appended.", checks.path),
    Parameter(
        "progress",
        ("bool", "variant"),
        None,
        "True shows a line with the remaining time on stderr. A callable gets a dict with stage, "
        "n_evaluations, best_loss and eta_s, and cancels the fit when it returns something true.",
        checks.progress,
    ),
)


def validated(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values to work with: every parameter checked by itself, defaults where nothing was given.

    Raises
    ------
    InputError
        The message begins with the name of the parameter.
    """
    out = {}
    for p in parameters:
        value = given[p.name]
        unset = value is None or (isinstance(value, str) and not value.strip())
        if unset and p.required:
            raise InputError(f"{p.name}: is required. {p.description}")
        out[p.name] = p.default if unset else p.check(value, p.name)
    return out


def described(parameters: Sequence[Parameter]) -> str:
    """Section ``Parameters`` of a docstring."""
    blocks = []
    for p in parameters:
        kind = "{" + ", ".join(p.choices) + "}" if p.choices else " or ".join(p.types)
        unit = f" [{p.unit}]" if p.unit else ""
        text = textwrap.fill(p.description, 100, initial_indent="    ", subsequent_indent="    ")
        blocks.append(f"{p.name} : {kind}{unit}, default {p.default!r}\n{text}")
    return "\n".join(blocks)
