"""Simulate the cube of a rotating hot core, fit every pixel, and compare the maps with the truth.

Run it with ``python examples/hot_core_cube.py OUTDIR``: 100 x 100 pixels of 8740 channels in three windows, 0.35 GB,
with methanol only. ``--size 32 --species CH3OH CH3OCHO CH3OCH3 C2H5CN C2H3CN`` makes a smaller one of five species
whose lines overlap, fitted together. Both take from some seconds to a minute, and half a minute more the very first
time, when the compiled parts are built.

The spectrum of every pixel is the slab model with that pixel's parameters, behind it a compact continuum, so
bright in the middle that the lines are in absorption there; the beam does not smear the model.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import astropy.units as u

from spectuner_ext.pipeline.cubes.hot_core import SPECIES, VLSR, hot_core
from spectuner_ext.pipeline.cubes.map_files import read_maps
from spectuner_ext.pipeline.cubes.recovery import recovery_table
from spectuner_ext.spectroscopy import LineDatabase
from spectuner_tasks import sdfit_lte


def main(folder: Path, size: int = 100, species: Sequence[str] = ("CH3OH",), seed: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)

    # Line cubes, continuum images and the truth as FITS files. With your own data there is nothing to simulate.
    began = time.perf_counter()
    with LineDatabase.open() as database:
        cube = hot_core(folder / "simulated", database, size=size, species=species, seed=seed)
    print(f"simulated {size} x {size} pixels in {time.perf_counter() - began:.1f} s: {', '.join(cube.files)}")

    # One call fits all pixels. Nothing is guessed: every pixel finds its own start, and learns from its neighbours
    # afterwards. Noise is measured in each spectrum. The species are one group, so they are fitted together.
    began = time.perf_counter()
    result = sdfit_lte(
        list(cube.files),
        [list(species)],
        outfile=str(folder / "hot_core"),
        vlsr=VLSR * u.km / u.s,
        continuum=list(cube.continuum_files),
        seed=seed,
        overwrite=True,
    )
    print(f"fitted in {time.perf_counter() - began:.1f} s")

    # The maps can be read again at any time: as arrays with units, with errors, and with what is known of each.
    maps = read_maps(result["files"]["maps"])
    y, x = size // 2, size // 3
    for name in species:
        t_ex, error = maps.quantity(name, "T_ex"), maps.error(name, "T_ex")
        number = maps.determined(name, "T_ex").sum()
        print(
            f"{name}: T_ex measured in {number} pixels; at y={y}, x={x}: {t_ex[y, x]:.1f} +- {error[y, x]:.1f}"
        )
    print(f"flags there: {maps.flag_names(y, x)}")

    # How far from the truth? Pulls are (fit - truth) / error; their mean should be 0, their width 1.
    table = recovery_table(maps, cube.truth)
    for column in ("median_error", "median_sigma", "pull_mean", "pull_width"):
        table[column].info.format = ".3g"
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulate and fit the cube of a hot core.")
    parser.add_argument(
        "outdir", type=Path, help="folder of the cubes and the products; made if it is not there"
    )
    parser.add_argument("--size", type=int, default=100, help="pixels along each edge")
    parser.add_argument("--species", nargs="+", default=["CH3OH"], choices=SPECIES)
    parser.add_argument("--seed", type=int, default=1, help="of the noise and the fit")
    given = parser.parse_args()
    main(given.outdir, given.size, given.species, given.seed)
