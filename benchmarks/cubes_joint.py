"""Maps of several species whose lines blend: fitted together, and each alone, against the truth."""

import numpy as np

from spectuner_ext.fitting.batch.descent import models_of
from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.lte.parameters import LOGARITHMIC, PARAMETERS
from spectuner_ext.pipeline.cubes.map_files import read_maps
from spectuner_ext.pipeline.cubes.work import CubeWork
from spectuner_ext.spectroscopy import LineDatabase

THERE, ABSENT = 8.0, 3.0
"""Significance that a component has in its true spectrum alone: to be found in any case, and not to be found."""


def true_significance(cube, truth, component):
    """Square root of the sum of (true spectrum / noise)^2 of one component, (ny, nx)."""
    species = truth.labels[component][0]
    with LineDatabase.open() as database:
        work = CubeWork.build(cube.frame, [species], database, ninit=10)
    theta = truth.theta[:, :, component]
    x = np.where(LOGARITHMIC, np.log10(np.maximum(theta, 1e-99)), theta).reshape(-1, 5)
    spectra = models_of(work.joint, truth.continuum.reshape(len(x), -1), x)
    start = work.joint.fit.grid.start
    power = np.add.reduceat(spectra.astype(float) ** 2, start[:-1], axis=1)
    square = np.sum(power / truth.noise.reshape(len(x), -1) ** 2, axis=1)
    return np.sqrt(square).reshape(theta.shape[:2])


def component_table(maps, truth, species, significance):
    """Detections, bias and scatter of one species of a map; the truth has one component of it."""
    c = maps.position(species)
    t = truth.labels.index(maps.components[c])
    found = maps.good(species) & ~maps.flagged(FitFlag.DEGENERATE_CORNER | FitFlag.UNDECIDED, species)
    there, absent = significance > THERE, significance < ABSENT
    true, fit = truth.theta[:, :, t], maps.outcome["theta"][:, :, c]
    astray = found & (np.abs(fit[..., 4] - true[..., 4]) > true[..., 3])
    table = {
        "n_there": int(there.sum()),
        "missed": int((there & ~found).sum()),
        "n_absent": int(absent.sum()),
        "false": int((absent & found).sum()),
        "found": int(found.sum()),
        "velocity wrong by an FWHM": int(astray.sum()),
    }
    for k, name in enumerate(PARAMETERS):
        known = maps.determined(species, name) & there
        with np.errstate(divide="ignore", invalid="ignore"):
            off = np.log10(fit[..., k] / true[..., k]) if LOGARITHMIC[k] else fit[..., k] - true[..., k]
            slope = fit[..., k] * np.log(10.0) if LOGARITHMIC[k] else 1.0
            pull = off / (maps.outcome["error"][:, :, c, k] / slope)
        low, middle, high = np.percentile(off[known], [15.87, 50, 84.13]) if known.any() else [np.nan] * 3
        table[name] = {
            "n": int(known.sum()),
            "bias": float(middle),
            "scatter": 0.5 * float(high - low),
            "deviation": float(np.std(off[known])) if known.any() else np.nan,
            "pull_median": float(np.median(pull[known])) if known.any() else np.nan,
            "pull_beyond_5": int(np.sum(np.abs(pull[known]) > 5)),
        }
    return table


def blend_table(cube, truth, together, alone):
    """The table of every species, of the maps of the joint fit and of its own fit."""
    joint, table = read_maps(together), {}
    for t, (species, _) in enumerate(truth.labels):
        significance = true_significance(cube, truth, t)
        table[species] = {"joint": component_table(joint, truth, species, significance)}
        if alone:
            own = read_maps(alone[t])
            table[species]["alone"] = component_table(own, truth, species, significance)
    return table
