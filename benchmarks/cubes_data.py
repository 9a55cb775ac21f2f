"""The simulated cubes of the benchmarks: made once, opened as a user opens them, and made large."""

from pathlib import Path

import numpy as np
from astropy.io import fits

from spectuner_ext.observation.cubes import observe_cube
from spectuner_ext.pipeline.cubes.hot_core import VLSR, hot_core
from spectuner_ext.spectroscopy import LineDatabase


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
