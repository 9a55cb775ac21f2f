"""Our side of the benchmarks of cubes; see `worker` for how it is asked. A process answers for one cube."""

import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.io import fits
from cubes_joint import blend_table
from cubes_quality import chi2_ends, flag_table, groups_of, pm_ends, pull_table, share_table
from worker import serve

import spectuner_ext.pipeline.cubes.fit_cube as fit_module
from spectuner_ext.fitting.batch.descent import chi2_of
from spectuner_ext.fitting.batch.peak_search import pm_losses
from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.observation.cubes import ObservedCube, observe_cube
from spectuner_ext.pipeline.cubes import blocks, pixel_fit, plan
from spectuner_ext.pipeline.cubes.hot_core import VLSR, hot_core
from spectuner_ext.pipeline.cubes.layout import lay_out
from spectuner_ext.pipeline.cubes.map_files import read_maps, write_maps
from spectuner_ext.pipeline.cubes.model_cubes import write_model_cubes
from spectuner_ext.pipeline.cubes.outcome import FIELDS, Sizes
from spectuner_ext.pipeline.cubes.pixel_fit import fit_pixels
from spectuner_ext.pipeline.cubes.selection import SelectionSettings, cube_noise, examine
from spectuner_ext.pipeline.cubes.store import ZarrStore
from spectuner_ext.pipeline.cubes.truth import read_truth
from spectuner_ext.pipeline.cubes.work import CubeWork
from spectuner_ext.spectroscopy import LineDatabase

WARM = 12
"""Pixels that are fitted before anything is timed, so that every kernel is loaded."""

BLOCK = 50
"""Pixels of a block that is timed."""

state = {}


def make(stem, size, species, seed, options=None):
    """Simulate a hot core as `stem`_spw1.fits ..., unless it is there."""
    if not Path(f"{stem}_truth.fits").is_file():
        Path(stem).parent.mkdir(parents=True, exist_ok=True)
        with LineDatabase.open() as database:
            hot_core(stem, database, size=size, species=species, seed=seed, **(options or {}))
    return {}


def observed(stem, region=None, windows=None, t_cmb=None):
    """A simulated cube as a user opens it."""
    if windows is None:
        windows = range(1, 1 + len(list(Path(stem).parent.glob(f"{Path(stem).name}_spw?.fits"))))
    return observe_cube(
        [f"{stem}_spw{n}.fits" for n in windows],
        continuum=[f"{stem}_spw{n}_continuum.fits" for n in windows],
        vlsr=VLSR,
        region=region,
        t_cmb=t_cmb,
    )


def memory():
    """Largest resident memory of this process so far, in MB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3


class Stopwatch:
    """CPU time of the calling thread in chosen functions, which are replaced by timed ones."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def watching(self, *places):
        """Time ``(owner, attribute, name)`` until the end of the block."""
        kept = [(owner, attribute, vars(owner)[attribute]) for owner, attribute, _ in places]
        for owner, attribute, name in places:
            setattr(owner, attribute, self._timed(getattr(owner, attribute), name))
        try:
            yield self
        finally:
            for owner, attribute, original in kept:
                setattr(owner, attribute, original)

    def _timed(self, function, name):
        self.seconds.setdefault(name, 0.0)

        def timed(*args, **options):
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds[name] += time.thread_time() - start

        return timed


WATCHED = (
    (ObservedCube, "block", "reading"),
    (fit_module, "cube_noise", "noise"),
    (blocks, "examine", "examine"),
    (CubeWork, "build", "templates"),
    (plan, "fit_block", "first"),
    (plan, "reexamine_block", "sweeps"),
    (pixel_fit, "judge", "judgement"),
    (pixel_fit, "flag_valleys", "valleys"),
    (blocks, "upper_limits", "limits"),
)


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

    start = time.perf_counter(), time.process_time()
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
        "shares": share_table(ends, groups_of(maps, truth, species), loss),
        "pulls": pull_table(maps, truth, species),
        "flags": flag_table(maps, truth, species),
    }


def blends(stem, together, alone):
    """Tables of the maps of several species, of the joint fit and of those of each alone."""
    return blend_table(observed(stem), read_truth(f"{stem}_truth.fits"), together, alone)


def enlarge(stem, strip, rows):
    """Put a strip of rows into the middle of a cube of zeros that takes no room on the disk."""
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    size = on_disk = 0
    for source in sorted(Path(strip).parent.glob("cube_*.fits")):
        target = Path(f"{stem}{source.name.removeprefix('cube')}")
        if "truth" in source.name:
            continue
        with fits.open(source) as hdus:
            header, data = hdus[0].header.copy(), hdus[0].data
            first = (rows - data.shape[1]) // 2
            header["NAXIS2"] = rows
            header["CRPIX2"] += first
            cards = header.tostring(endcard=True, padding=True).encode()
            shape = (data.shape[0], rows, data.shape[2])
            with open(target, "wb") as file:
                file.write(cards)
                file.truncate(-(-(len(cards) + 4 * int(np.prod(shape))) // 2880) * 2880)
            values = np.memmap(target, dtype=">f4", mode="r+", offset=len(cards), shape=shape)
            for channel in range(shape[0]):
                values[channel, first : first + data.shape[1]] = data[channel]
            values.flush()
            del values
        if "continuum" not in source.name:
            size += target.stat().st_size
            on_disk += 512 * target.stat().st_blocks
    return {"size": size, "on_disk": on_disk}


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
    """CPU seconds per pixel of the drawn pixels of one stratum, as part of a block of ordinary size."""
    own = np.flatnonzero(state["stratum"] == stratum)
    rows = np.tile(own, -(-BLOCK // own.size))
    start = time.process_time()
    fit_pixels(state["works"][loss, False], state["block"].take(rows), state["sigma"][rows])
    return {"seconds": (time.process_time() - start) / rows.size}


def judge_picked(loss, clip, x):
    """Our loss at somebody's solution of every drawn pixel."""
    measure = chi2_of if loss == "chi2" else pm_losses
    work = state["works"][loss, clip]
    points = np.clip(np.array(x), work.joint.lower, work.joint.upper)[:, None]
    return {"loss": measure(work.joint, state["block"], state["sigma"], points)[:, 0].tolist()}


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
