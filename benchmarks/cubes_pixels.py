"""Our side of fits of single pixels beside the peer's, run by `cubes_worker`."""

import time

import numpy as np
from cubes_data import observed
from cubes_stopwatch import Stopwatch

from spectuner_ext.fitting.batch.descent import chi2_of
from spectuner_ext.fitting.batch.peak_search import pm_losses
from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.pipeline.cubes import pixel_fit
from spectuner_ext.pipeline.cubes.pixel_fit import fit_pixels
from spectuner_ext.pipeline.cubes.selection import SelectionSettings, cube_noise, examine
from spectuner_ext.pipeline.cubes.truth import read_truth
from spectuner_ext.pipeline.cubes.work import CubeWork
from spectuner_ext.spectroscopy import LineDatabase

BLOCK = 50
"""Pixels of a block that is timed."""

state = {}


def pick(stem, species, counts, edges, seed, path):
    """Draw pixels in strata of peak over noise, and write their spectra for both sides."""
    cube, truth = observed(stem, t_cmb=2.726), read_truth(f"{stem}_truth.fits")
    ratio = truth.peak_to_noise[..., 0].ravel()
    stratum = np.digitize(ratio, edges)
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(stratum == k), min(n, int(np.sum(stratum == k))), replace=False)
        for k, n in enumerate(counts)
    ]
    flat = np.concatenate(chosen)
    weight = np.concatenate([np.full(c.size, np.mean(stratum == k) / c.size) for k, c in enumerate(chosen)])
    pixels = np.column_stack(np.unravel_index(flat, cube.shape))
    block = cube.pixels(pixels)
    noise = cube_noise(cube)
    with LineDatabase.open() as database:
        works = {
            (loss, clip): CubeWork.build(
                cube.frame,
                [species],
                database,
                loss=loss,
                clip_negative=clip,
                smoothing=noise.smoothing,
            )
            for loss, clip in (("chi2", False), ("pm", False), ("pm", True))
        }
    work = works["chi2", False]
    settings = SelectionSettings(tuple(noise.sigma), min_peaks=0)
    sigma = examine(block, settings, work.joint.fit.grid.start).sigma
    state.update(block=block, sigma=sigma, works=works, stratum=stratum[flat])
    start = work.joint.fit.grid.start
    beam = cube.frame.windows[0].beam
    theta = truth.theta[pixels[:, 0], pixels[:, 1], 0]
    x_true = np.column_stack(
        [np.log10(theta[:, 0]), theta[:, 1], np.log10(theta[:, 2]), np.log10(theta[:, 3]), theta[:, 4]]
    )
    np.savez(
        path,
        species=work.labels[0][0],
        pixel=pixels,
        weight=weight,
        ratio=ratio[flat],
        stratum=stratum[flat],
        sigma=sigma,
        continuum=block.continuum,
        beam=beam.major,
        bounds=np.column_stack([work.joint.lower, work.joint.upper]),
        x_true=x_true,
        n_window=start.size - 1,
        **{f"nu_{w}": cube.frame.windows[w].nu for w in range(start.size - 1)},
        **{f"data_{w}": block.value[:, start[w] : start[w + 1]].astype(float) for w in range(start.size - 1)},
    )
    for key in works:  # loads the compiled code
        fit_pixels(works[key], block.take(np.arange(2)), sigma[:2])
    return {"n": len(flat)}


def fit_picked(loss, clip):
    """Fit all drawn pixels as one block; the neighbours of a pixel have no part in it."""
    work = state["works"][loss, clip]
    start = time.process_time()
    fits = fit_pixels(work, state["block"], state["sigma"])
    seconds = time.process_time() - start
    missing = (fits.judged.flags[:, 0] & FitFlag.NOT_DETECTED.value) != 0
    return {
        "seconds": seconds / len(fits.x),
        "loss": fits.loss.tolist(),
        "x": fits.x.tolist(),
        "evaluations": fits.n_evaluations.tolist(),
        "detected": (~missing).tolist(),
    }


def time_picked(loss, stratum):
    """CPU seconds per pixel of the drawn pixels of one stratum, as part of a block of ordinary size.

    Judging is the part that the peer does not do: errors, flags, detection.
    """
    own = np.flatnonzero(state["stratum"] == stratum)
    rows = np.tile(own, -(-BLOCK // own.size))
    block, sigma, watch = state["block"].take(rows), state["sigma"][rows], Stopwatch()
    with watch.watching((pixel_fit, "judged", "judging")):
        start = time.process_time()
        fit_pixels(state["works"][loss, False], block, sigma)
        seconds = time.process_time() - start
    return {"seconds": seconds / rows.size, "judging": watch.seconds["judging"] / rows.size}


def judge_picked(loss, clip, x):
    """Our loss at somebody's solution of every drawn pixel."""
    measure = chi2_of if loss == "chi2" else pm_losses
    work = state["works"][loss, clip]
    points = np.clip(np.array(x), work.joint.lower, work.joint.upper)[:, None]
    return {"loss": measure(work.joint, state["block"], state["sigma"], points)[:, 0].tolist()}
