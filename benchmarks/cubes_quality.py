"""How good the minima of a fitted cube are, and how its parameters compare with the truth."""

import numpy as np

from spectuner_ext.fitting.batch.descent import chi2_of, descend, search
from spectuner_ext.fitting.batch.peak_search import pm_losses, search_pm
from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.lte.parameters import LOGARITHMIC, PARAMETERS
from spectuner_ext.pipeline.cubes.outcome import PixelFlag
from spectuner_ext.pipeline.cubes.recovery import pull_maps
from spectuner_ext.pipeline.cubes.selection import SelectionSettings, examine
from spectuner_ext.pipeline.cubes.work import DESCENTS

ROWS = 10
"""Rows of the map that are looked at together."""


def _strips(cube, maps, truth, work):
    """Block, noise, fitted and true vectors of some rows after the other, with their place in the map."""
    ny, nx = maps.shape
    theta = truth.theta[:, :, 0]
    x_true = np.where(LOGARITHMIC, np.log10(np.maximum(theta, 1e-99)), theta)
    x_true = np.clip(x_true, work.joint.lower, work.joint.upper)
    for y0 in range(0, ny, ROWS):
        rows = slice(y0, min(y0 + ROWS, ny))
        block = cube.block(rows.start, rows.stop, 0, nx)
        sigma = maps.outcome["sigma"][rows].reshape(block.n_pixel, -1)
        x = maps.outcome["x"][rows].reshape(block.n_pixel, -1)
        yield rows, block, sigma, x, x_true[rows].reshape(block.n_pixel, -1)


def chi2_ends(cube, maps, truth, work, longer, long_pixels):
    """Chi2 of every pixel: of the fit, at the truth, after a descent from it, and after a much longer search."""
    names = ("ours", "truth", "from_truth", "longer")
    ends = {name: np.full(maps.shape, np.nan) for name in names}
    chosen = _chosen(maps.shape, long_pixels)
    for rows, block, sigma, x, x_true in _strips(cube, maps, truth, work):
        at = chi2_of(work.joint, block, sigma, np.stack([x, x_true], axis=1))
        ends["ours"][rows], ends["truth"][rows] = (a.reshape(-1, maps.shape[1]) for a in at.T)
        down = descend(work.joint, block, sigma, x_true[:, None])
        ends["from_truth"][rows] = down.chi2.reshape(-1, maps.shape[1])
        own = chosen[rows].ravel()
        if own.any():
            part, s = block.take(own), sigma[own]
            found = search(work.joint, part, s, longer.banks[0], n_start=DESCENTS * longer.effort)
            ends["longer"][rows].reshape(-1)[own] = found.chi2
    return ends


def pm_ends(cube, maps, truth, work, longer, long_pixels):
    """The same for peak matching."""
    names = ("ours", "truth", "from_truth", "longer")
    ends = {name: np.full(maps.shape, np.nan) for name in names}
    chosen = _chosen(maps.shape, long_pixels)
    for rows, block, sigma, x, x_true in _strips(cube, maps, truth, work):
        at = pm_losses(work.joint, block, sigma, np.stack([x, x_true], axis=1))
        ends["ours"][rows], ends["truth"][rows] = (a.reshape(-1, maps.shape[1]) for a in at.T)
        down = search_pm(work.joint, block, sigma, x_true[:, None], effort=0)
        ends["from_truth"][rows] = down.loss.reshape(-1, maps.shape[1])
        own = chosen[rows].ravel()
        if own.any():
            part, s = block.take(own), sigma[own]
            start = search(work.joint, part, s, longer.banks[0], n_start=DESCENTS * longer.effort).x
            found = search_pm(
                work.joint, part, s, start[:, None], banks=longer.peak_banks, effort=longer.effort
            )
            ends["longer"][rows].reshape(-1)[own] = found.loss
    return ends


def _chosen(shape, n):
    """Some random pixels, the same ones every time; all of them for a large n."""
    chosen = np.zeros(shape, dtype=bool)
    chosen.flat[np.random.default_rng(5).permutation(chosen.size)[:n]] = True
    return chosen


def pull_table(maps, truth, species):
    """Mean, standard deviation and robust width of (fit - truth) / error where a parameter is determined."""
    pulls = pull_maps(maps, truth, species)
    doubtful = maps.flagged(FitFlag.ERRORS_UNRELIABLE, species)
    table = {}
    for k, name in enumerate(PARAMETERS):
        for title, where in (("all", np.ones(maps.shape, bool)), ("errors reliable", ~doubtful)):
            values = pulls[..., k][where & np.isfinite(pulls[..., k])]
            low, middle, high = np.percentile(values, [15.87, 50, 84.13]) if values.size else [np.nan] * 3
            table[f"{name}, {title}"] = {
                "n": int(values.size),
                "mean": float(values.mean()) if values.size else np.nan,
                "deviation": float(values.std()) if values.size else np.nan,
                "median": float(middle),
                "robust_width": 0.5 * float(high - low),
                "beyond_5": int(np.sum(np.abs(values) > 5)),
            }
    return table


def flag_table(maps, truth, species):
    """Pixels that carry each flag: all of them, and those whose peak truly exceeds 5 times the noise."""
    bright = truth.peak_to_noise[..., 0] > 5
    table = {"pixels": [int(maps.fitted.sum()), int((maps.fitted & bright).sum())]}
    for flag in (*FitFlag, *PixelFlag):
        if flag.value:
            found = maps.flagged(flag.value, species)
            if found.any():
                table[flag.name] = [int(found.sum()), int((found & bright).sum())]
    for name in PARAMETERS:
        known = maps.determined(species, name)
        table[f"{name} determined"] = [int(known.sum()), int((known & bright).sum())]
    return table


def share_table(ends, groups, loss):
    """Shares of pixels at the best known minimum in each group of pixels, a mapping of title to mask."""
    best = np.fmin.reduce([ends[name] for name in ("ours", "from_truth", "longer")])
    known = np.isfinite(ends["ours"])
    table = {}
    for title, group in groups.items():
        where = known & group
        if where.any():
            shares = _chi2_shares if loss == "chi2" else _pm_shares
            table[title] = {"n": int(where.sum())} | shares(ends, best, where)
    return table


def _chi2_shares(ends, best, where):
    row = {}
    for name in ("ours", "first", "from_truth", "longer"):
        excess = (ends[name] - best)[where]
        excess = excess[np.isfinite(excess)]
        row[name] = float(np.mean(excess <= 0.1)) if excess.size else np.nan
    excess = (ends["ours"] - best)[where]
    return row | {"ours within 1": float(np.mean(excess <= 1)), "largest excess": float(excess.max())}


def _pm_shares(ends, best, where):
    own, truth, down = ends["ours"][where], ends["truth"][where], ends["from_truth"][where]
    room = 1e-9 * np.abs(truth)
    row = {
        "at or below truth": float(np.mean(own <= truth + room)),
        "first stage at or below truth": float(np.mean(ends["first"][where] <= truth + room)),
        "descent from truth at or below truth": float(np.mean(down <= truth + room)),
        "at or below descent from truth": float(np.mean(own <= down + room)),
        "within 1 % of descent from truth": float(np.mean(own <= down + 0.01 * np.abs(down))),
    }
    tried = where & np.isfinite(ends["longer"])
    for name in ("ours", "first", "from_truth", "longer"):
        excess = (ends[name] - best)[tried]
        share = float(np.mean(excess <= 0.01 * np.abs(best[tried]))) if excess.size else np.nan
        row[f"{name} within 1 % of best"] = share
    return row | {"n tried longer": int(tried.sum())}


def groups_of(cube, maps, truth, species):
    """Groups of pixels that are looked at apart, by the true peak over the noise and by what is known of them."""
    settings = SelectionSettings(tuple(maps.meta["noise"]["sigma_K"]))
    start = np.concatenate([[0], np.cumsum([w.nu.size for w in cube.frame.windows])])
    worth = np.zeros(maps.shape, dtype=bool)
    for y0 in range(0, maps.shape[0], ROWS):
        block = cube.block(y0, min(y0 + ROWS, maps.shape[0]), 0, maps.shape[1])
        worth[block.pixel[:, 0], block.pixel[:, 1]] = examine(block, settings, start).worth
    ratio = truth.peak_to_noise[..., truth.labels.index(maps.components[maps.position(species)])]
    return {
        "all": np.ones(maps.shape, dtype=bool),
        "S/N > 3": ratio > 3,
        "S/N > 5": ratio > 5,
        "selected by default": worth,
        "detected": maps.good(species),
    }
