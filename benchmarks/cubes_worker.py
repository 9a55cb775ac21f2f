"""Our side of the benchmarks of cubes; see `worker` for how it is asked. A process answers for one cube."""

import os
import time

import numpy as np
from cubes_data import enlarge, make, observed
from cubes_joint import blend_table
from cubes_pixels import fit_picked, judge_picked, pick, time_picked
from cubes_quality import chi2_ends, flag_table, groups_of, pm_ends, pull_table, share_table
from cubes_stopwatch import Stopwatch
from worker import serve

import spectuner_ext.pipeline.cubes.fit_cube as fit_module
from spectuner_ext.observation.cubes import ObservedCube
from spectuner_ext.pipeline.cubes import blocks, pixel_fit, plan
from spectuner_ext.pipeline.cubes.layout import lay_out
from spectuner_ext.pipeline.cubes.map_files import read_maps, write_maps
from spectuner_ext.pipeline.cubes.model_cubes import write_model_cubes
from spectuner_ext.pipeline.cubes.outcome import FIELDS, Sizes
from spectuner_ext.pipeline.cubes.store import ZarrStore
from spectuner_ext.pipeline.cubes.truth import read_truth
from spectuner_ext.pipeline.cubes.work import CubeWork
from spectuner_ext.spectroscopy import LineDatabase

WARM = 12
"""Pixels that are fitted before anything is timed, so that every kernel is loaded."""


def memory():
    """Largest resident memory of this process so far, in MB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3


WATCHED = (
    (ObservedCube, "block", "reading"),
    (fit_module, "cube_noise", "noise"),
    (blocks, "examine", "examine"),
    (CubeWork, "build", "templates"),
    (plan, "fit_block", "first"),
    (plan, "reexamine_block", "sweeps"),
    (pixel_fit, "judged", "judgement"),
    (blocks, "upper_limits", "limits"),
)


def busy():
    """CPU seconds that all processes of this machine have used."""
    with open("/proc/stat") as status:
        ticks = status.readline().split()[1:9]
    return (sum(map(int, ticks)) - int(ticks[3]) - int(ticks[4])) / os.sysconf("SC_CLK_TCK")


def warm_up(stem, species, loss, windows=None):
    """Fit a few bright and faint pixels, so that compiled code is loaded."""
    shape = observed(stem, windows=windows).shape
    region = np.zeros(shape, dtype=bool)
    region.flat[np.linspace(0, region.size - 1, WARM).astype(int)] = True
    region[shape[0] // 2, shape[1] // 2] = True
    with LineDatabase.open() as database:
        for sweeps in (0, 5):
            fit_module.fit_cube(
                observed(stem, region, windows),
                species,
                database,
                loss=loss,
                min_peaks=0,
                max_sweeps=sweeps,
                workers=1,
            )


def fit(stem, species, loss, out, workers=1, windows=None, min_peaks=0.0, options=None):
    """Fit a cube; CPU time by part on one thread, or wall time on several. The maps go to `out`."""
    warm_up(stem, species, loss, windows)
    before = memory()
    watch, first = Stopwatch(), {}

    def keep(report):
        if report["stage"] == "fit":
            y0, y1, x0, x1 = report["block"]
            first[y0, y1, x0, x1] = report["outcome"]["loss"]

    start = time.perf_counter(), time.process_time(), busy()
    with LineDatabase.open() as database, watch.watching(*(WATCHED if workers == 1 else ())):
        maps = fit_module.fit_cube(
            observed(stem, windows=windows),
            species,
            database,
            loss=loss,
            min_peaks=min_peaks,
            workers=workers,
            progress=keep,
            **(options or {}),
        )
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    after = memory()
    answer = {
        "wall": wall,
        "cpu": cpu,
        "others": busy() - start[2] - cpu,
        "n_pixel": int(np.isfinite(maps.outcome["loss"]).sum()),
        "evaluations": float(maps.outcome["n_evaluations"][maps.fitted].mean()),
        "stages": maps.meta["run"].get("stages"),
        "memory": after,
        "memory_before": before,
    }
    if watch.seconds:
        s = watch.seconds
        answer["seconds"] = s | {"fit": s["first"] + s["sweeps"] - s["examine"]}
    if out:
        write_maps(out, maps, plots=False)
        found = np.full(maps.shape, np.nan)
        for (y0, y1, x0, x1), loss_of in first.items():
            found[y0:y1, x0:x1] = loss_of
        np.save(f"{out}_first.npy", found)
    return answer


def products(stem, out):
    """CPU and wall seconds of everything that is written of a fit, each alone."""
    maps, cube = read_maps(out), observed(stem)
    layout = lay_out(maps.shape, cube.frame.n_channel)
    sizes = Sizes(len(maps.components), len(maps.windows), len(maps.free))

    def store():
        prints = dict.fromkeys(("cube", "fit", "selection", "starts", "blocks"), "benchmark")
        with ZarrStore.open(f"{out}.zarr", layout, sizes, prints, {}, overwrite=True) as kept:
            for number in range(layout.n_block):
                y0, y1, x0, x1 = layout.box(number)
                kept.put("fit", number, {name: maps.outcome[name][y0:y1, x0:x1] for name in FIELDS})

    with LineDatabase.open() as database:
        parts = {
            "maps": lambda: write_maps(f"{out}_again", maps, plots=False),
            "maps and pictures": lambda: write_maps(f"{out}_again", maps),
            "store": store,
            "model and residual cubes": lambda: write_model_cubes(
                f"{out}_again", maps, cube, database=database
            ),
        }
        seconds = {}
        for name, call in parts.items():
            start = time.process_time(), time.perf_counter()
            call()
            seconds[name] = {"cpu": time.process_time() - start[0], "wall": time.perf_counter() - start[1]}
    return seconds


def quality(stem, species, loss, out, long_pixels):
    """How good the minima of a fit are, and how its parameters compare with the truth."""
    maps, truth, cube = read_maps(out), read_truth(f"{stem}_truth.fits"), observed(stem)
    with LineDatabase.open() as database:
        options = {"loss": loss, "smoothing": np.array(maps.meta["noise"]["smoothing"])}
        work = CubeWork.build(cube.frame, [species], database, **options)
        longer = CubeWork.build(cube.frame, [species], database, ninit=4000, effort=4, seed=1, **options)
    ends = (chi2_ends if loss == "chi2" else pm_ends)(cube, maps, truth, work, longer, long_pixels)
    ends["first"] = np.load(f"{out}_first.npy")
    np.savez(f"{out}_ends.npz", **ends)
    return {
        "shares": share_table(ends, groups_of(cube, maps, truth, species), loss),
        "pulls": pull_table(maps, truth, species),
        "flags": flag_table(maps, truth, species),
    }


def blends(stem, together, alone):
    """Tables of the maps of several species, of the joint fit and of those of each alone."""
    return blend_table(observed(stem), read_truth(f"{stem}_truth.fits"), together, alone)


if __name__ == "__main__":
    serve(
        {
            "make": make,
            "fit": fit,
            "products": products,
            "quality": quality,
            "blends": blends,
            "enlarge": enlarge,
            "pick": pick,
            "fit_picked": fit_picked,
            "time_picked": time_picked,
            "judge_picked": judge_picked,
        }
    )
