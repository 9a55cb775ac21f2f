"""The demonstration of cubes: simulate a rotating hot core, fit every pixel, and put the maps beside the truth."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
from astropy.table import QTable

from spectuner_ext.pipeline.cubes.hot_core import VLSR, hot_core
from spectuner_ext.pipeline.cubes.map_flags import names_of_flags
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.recovery import OUTLIER, PRESENT, recovery_table
from spectuner_ext.spectroscopy import LineDatabase

from .task_sdfit_lte import sdfit_lte

__all__ = ["SPECIES", "flag_counts", "recovered", "run", "words"]

SPECIES = ("CH3OH", "CH3OCHO")
"""Of the hot core; fitted together, as their lines overlap."""


def run(
    outdir: str | Path = "demo",
    *,
    seed: int = 1,
    size: int = 24,
    species: Sequence[str] = SPECIES,
    plots: bool = True,
    progress: Any = None,
) -> dict[str, Any]:
    """Simulate a cube of three windows, fit it as a user would, and compare with the truth.

    Parameters
    ----------
    outdir : path
        Made if it is not there; earlier products of the demonstration in it are replaced.
    seed : int
        Of the noise.
    size : int
        Pixels along each edge.
    species : sequence of str
        Some of those of `spectuner_ext.pipeline.cubes.hot_core.SPECIES`.
    plots : bool
    progress : see `spectuner_tasks.sdfit_lte`

    Returns
    -------
    dict
        As of the task, with ``truth`` (CubeTruth), ``recovery`` (QTable) and ``seconds`` of the
        simulation and of the fit beside.
    """
    folder = Path(outdir)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with LineDatabase.open() as database:
        cube = hot_core(folder / "simulated_cube", database, size=size, species=species, seed=seed)
    simulated = time.monotonic()
    result = sdfit_lte(
        infile=list(cube.files),
        species=[list(species)],
        outfile=str(folder / "hot_core_cube"),
        vlsr=VLSR * u.km / u.s,
        continuum=list(cube.continuum_files),
        seed=seed,
        plots=plots,
        overwrite=True,
        progress=progress,
    )
    fitted = time.monotonic()
    maps = result["maps"]
    files = {**result["files"], "truth": str(cube.truth_file)}
    if plots:
        files["truth.png"] = _picture(folder, maps, cube.truth)
    return {
        **result,
        "files": files,
        "truth": cube.truth,
        "recovery": recovery_table(maps, cube.truth),
        "seconds": {"simulation": simulated - began, "fit": fitted - simulated},
    }


def _picture(folder: Path, maps: CubeMaps, truth: Any) -> str:
    from spectuner_ext.pipeline.cubes.plots import write_comparison_png

    path = folder / "hot_core_cube.truth.png"
    write_comparison_png(path, maps, truth)
    return str(path)


def recovered(recovery: QTable) -> list[dict[str, str]]:
    """How maps compare with the truth, as text; one row per species and parameter."""
    return [
        {
            "species": str(row["species"]),
            "parameter": str(row["parameter"]),
            "pixels": str(row["n_determined"]),
            "errors unreliable": str(row["n_unreliable"]),
            "median |fit - truth|": f"{row['median_error']:.3g} {row['unit']}",
            "median error": f"{row['median_sigma']:.3g}",
            "pull mean": f"{row['pull_mean']:+.2f}",
            "pull width": f"{row['pull_width']:.2f}",
            f"pulls > {OUTLIER:g}": str(row["n_outlier"]),
        }
        for row in recovery
    ]


def flag_counts(maps: CubeMaps) -> dict[str, int]:
    """Pixels with each flag, the most frequent first."""
    counts: Counter[str] = Counter()
    for value, number in Counter(maps.outcome["flags"].ravel().tolist()).items():
        for name in names_of_flags(value).split("|"):
            counts[name] += number
    return {name: n for name, n in counts.most_common() if name != "NONE"}


def words(result: Mapping[str, Any]) -> list[str]:
    """Put the demonstration into lines of text."""
    from .command_line import aligned

    maps, recovery, seconds = result["maps"], result["recovery"], result["seconds"]
    ny, nx = maps.shape
    lines = [
        f"simulated cube: {ny} x {nx} pixels, {sum(w['n_channel'] for w in maps.meta['windows'])} channels, in "
        f"{seconds['simulation']:.1f} s; {int(maps.fitted.sum())} pixels fitted in {seconds['fit']:.1f} s",
        "",
        *aligned(recovered(recovery)),
        "",
    ]
    for row in recovery[:: len(recovery) // len(maps.components)]:
        lines.append(
            f"{row['species']}: detected in {row['n_found']} of the {row['n_present']} pixels where its peak "
            f"exceeds {PRESENT:g} times the noise, and in {row['n_detected'] - row['n_found']} fainter ones"
        )
    lines.append("flags: " + ", ".join(f"{name} {n}" for name, n in flag_counts(maps).items()))
    return [*lines, *(f"wrote {file}" for file in result["files"].values())]
