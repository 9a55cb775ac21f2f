"""The parameters of `sdfit_lte`, stated once: checks, docstring and command-line options come from here."""

from spectuner_ext.units import to_kelvin, to_kms, to_mhz

from . import checks, checks_cube, checks_xclass
from .parameter import CUBES, SPECTRA, Parameter, described, validated
from .parameters_cube import OF_CUBES

__all__ = ["CUBES", "SDFIT_LTE", "SPECTRA", "Parameter", "described", "validated"]

LOSSES = ("chi2", "pm")
OPTIMIZERS = (
    "auto", "levmar", "swarm", "evolution", "nelder-mead", "cobyla", "cobyqa", "l-bfgs-b", "tnc", "slsqp",
)  # fmt: skip

SDFIT_LTE: tuple[Parameter, ...] = (
    Parameter(
        "infile",
        ("path", "pathVec", "record", "variant"),
        "",
        "Spectra, continuum-subtracted: path or glob pattern of text, ECSV or FITS files; QTable; "
        "specutils.Spectrum; OneDSpectrum; tuple (axis, intensity); Observation; a list of these; or the "
        "observation XML of XCLASS, which also says telescopes, continuum, velocity and iso-ratio file. Or cubes, "
        "fitted pixel by pixel: FITS file, CASA image, SpectralCube, or a list with one for each window. "
        "Required.",
        required=True,
        mustexist=True,
    ),
    Parameter(
        "species",
        ("string", "stringVec", "variant"),
        "",
        "One species, or a list of them, each fitted alone. An inner list, or a set, is fitted together: "
        "[['CH3OH', 'CH3OCHO'], 'C2H5CN']. Names such as 'CH3OH', '13CH3OH', 'CH3CN;v8=1;' or a catalogue "
        "tag. Or a molfit file of XCLASS: its species fitted together, with its values, bounds and flags. Required.",
        checks_xclass.or_molfit(checks.species_groups),
        required=True,
    ),
    Parameter(
        "outfile",
        ("string",),
        "",
        "Name of the products, 'folder/name': name.ecsv, .fits, .json, .log, .png and .html are written "
        "(of cubes, maps in name.fits, and name.zarr). '' writes nothing.",
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
        "Solver. auto picks one that suits the loss; cubes are always fitted so.",
        checks.choice(OPTIMIZERS),
        choices=OPTIMIZERS,
        data=SPECTRA,
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
        "table 'parameters' of an earlier result, or its ECSV file; or a molfit file. Of a cube also maps (ny, nx), "
        "the maps of an earlier result (FITS or CubeMaps), or 'neighbours', which fits every fourth row and "
        "column first. 'policy': draws of a trained network.",
        checks_xclass.or_molfit(checks.initial),
        of_cubes=checks_xclass.or_molfit(checks_cube.initial),
    ),
    Parameter(
        "weights",
        ("string", "variant"),
        "",
        "Trained network of initial='policy': a file, or a FittingPolicy. '' takes the one that the package ships.",
        checks.weights,
        under="initial",
        when=("policy",),
    ),
    Parameter(
        "posterior",
        ("string", "variant"),
        "",
        "Calibrated network of which samples and quantiles are added to the result: a file, a FittingPolicy, or "
        "'posterior', which the package ships. '' takes that with initial='policy', else none; 'none' takes none.",
        checks.weights,
        data=SPECTRA,
    ),
    Parameter(
        "device",
        ("string",),
        "cpu",
        "Where networks run: cpu, cuda or auto. Results are the same bits on a CPU only.",
        checks.device,
    ),
    Parameter(
        "bounds",
        ("record", "string"),
        None,
        "Limits: {parameter: (low, high)} or {species: {parameter: (low, high)}}. Parameters are "
        "source_size [arcsec], filling_factor, T_ex [K], N_tot [cm-2], fwhm [km/s], v_off [km/s]. Or a molfit file.",
        checks_xclass.or_molfit(checks.bounds),
    ),
    Parameter(
        "fixed",
        ("record", "string"),
        None,
        "Values to hold, written as bounds are: {parameter: value} or {species: {parameter: value}}; a list has one "
        "for each component, None where it is free. Or a molfit file: what has the flag n, and in the plain form "
        "all. Of a cube a value may be a map (ny, nx); where it is NaN the parameter is free.",
        checks_xclass.or_molfit(checks.values),
        of_cubes=checks_xclass.or_molfit(checks_cube.values),
    ),
    Parameter(
        "isoratio",
        ("string", "record"),
        None,
        "Isotopologues to fit with their masters, all parameters the same and N_tot divided by a ratio: an iso-ratio "
        "file of XCLASS, or {'13CH3OH': ['CH3OH', 60]}; with [master, ratio, lower, upper] the ratio is fitted. "
        "'none' leaves out the file of an observation XML.",
        checks_xclass.isoratio,
        data=SPECTRA,
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
        "one for each window, or an array with one for each channel; of a cube images (FITS file, array, "
        "object) instead of arrays. Default 0.",
        checks.level(positive=False),
        unit="K",
        of_cubes=checks_cube.image_level(positive=False),
    ),
    Parameter(
        "noise",
        ("double", "string", "variant"),
        None,
        "Noise; as continuum. Not given: from the file, else estimated.",
        checks.level(positive=True),
        unit="K",
        of_cubes=checks_cube.image_level(positive=True),
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
        ("path", "variant"),
        "",
        "Line database: SQLite file in the layout of VAMDC or XCLASS. '' takes the one that the package "
        "ships.",
        checks.catalogue,
        mustexist=True,
    ),
    Parameter(
        "offset",
        ("double", "string", "variant"),
        0.0,
        "Fit a constant baseline in each window, within plus or minus this (chi2 only). 0: none.",
        checks.not_negative(checks.scalar(to_kelvin)),
        unit="K",
        under="loss",
        when=("chi2",),
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
        "plots",
        ("bool",),
        True,
        "Draw name.png and name.html beside the other products.",
        checks.boolean,
        under="outfile",
    ),
    Parameter(
        "xclassfiles",
        ("bool",),
        False,
        "Also write the result for XCLASS: name.molfit, name_obs.xml with name_data_1.dat ..., name_iso.dat where "
        "isotopologues are tied. Needs a beam.",
        checks.boolean,
        data=SPECTRA,
        under="outfile",
    ),
    Parameter("overwrite", ("bool",), False, "Replace products of the same name.", checks.boolean),
    Parameter("logfile", ("string",), "", "Text file to which the log is appended.", checks.path),
    Parameter(
        "progress",
        ("bool", "variant"),
        None,
        "True shows a line with the remaining time on stderr. A callable gets a dict with stage, "
        "n_evaluations, best_loss and eta_s (of a cube: stage, done, total, rate, eta_s, and block and outcome "
        "with the pixels just done), and cancels the fit when it returns something true; a cube keeps what is done.",
        checks.progress,
    ),
    *OF_CUBES,
)
