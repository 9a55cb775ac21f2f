"""The demonstration: simulate a spectrum, a cube and an ion, analyse them as a user would, print truth and result."""

import time
from pathlib import Path
from typing import Annotated, Any

import astropy.units as u
import numpy as np
from astropy.table import QTable

from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.pipeline.wording import value_words
from spectuner_ext.spectroscopy import LineDatabase

from .task_sdfit_lte import sdfit_lte

__all__ = ["COMPONENTS", "WINDOWS", "command", "compared", "run"]

WINDOWS = [(215_565.0, 217_273.0, 0.488), (217_572.0, 219_271.0, 0.488), (229_611.0, 231_319.0, 0.977)]
"""Section IV of the Spectuner-D1 paper; (low, high, channel) in MHz."""

NOISE, BEAM, CONTINUUM, VLSR = 0.048 * u.K, 1.9 * u.arcsec, 2.0 * u.K, 7.5 * u.km / u.s
"""Noise and beam of that section; a continuum as of warm dust that fills a tenth of the beam."""

COMPONENTS: list[dict[str, Any]] = [
    {"species": "CH3OH", "T_ex": 170.0, "N_tot": 2e18, "fwhm": 5.5, "source_size": 1.1, "v_off": 0.4},
    {"species": "CH3OCHO", "T_ex": 130.0, "N_tot": 3e17, "fwhm": 4.8, "source_size": 0.9, "v_off": -0.3},
    {"species": "CH3OCH3", "T_ex": 110.0, "N_tot": 4e17, "fwhm": 5.0, "source_size": 0.9, "v_off": 0.1},
    {"species": "C2H5CN", "T_ex": 150.0, "N_tot": 4e16, "fwhm": 7.0, "source_size": 0.7, "v_off": 1.2},
    {"species": "C2H3CN", "T_ex": 160.0, "N_tot": 2e16, "fwhm": 7.0, "source_size": 0.7, "v_off": 0.8},
]
"""Abundances and widths as in cores of high-mass protostars: oxygen-bearing lines narrower than CN ones."""

COMPARED = ("source_size", "T_ex", "N_tot", "fwhm", "v_off")


def simulate(folder: Path, seed: int) -> tuple[list[str], QTable]:
    """Write one ECSV file per window, as on the sky, and return their names and the truth."""
    with LineDatabase.open() as database:
        observation, truth = simulate_observation(
            WINDOWS, COMPONENTS, database, noise=NOISE, continuum=CONTINUUM, beam=BEAM, seed=seed
        )
    files = []
    for k, w in enumerate(observation.windows, start=1):
        table = QTable()
        table["frequency"] = (w.nu * u.MHz).to(u.MHz) * (1.0 - float((VLSR / _C).to_value(u.one)))
        table["brightness_temperature"] = w.intensity * u.K
        files.append(str(folder / f"hot_core_spw{k}.ecsv"))
        table.write(files[-1], format="ascii.ecsv", overwrite=True)
    return files, truth


_C = 299_792.458 * u.km / u.s


def run(
    outdir: str | Path = "demo", *, seed: int = 1, plots: bool = True, progress: Any = None
) -> dict[str, Any]:
    """Simulate, fit all five species together, write the products.

    Parameters
    ----------
    outdir : path
        Made if it is not there; earlier products of the demonstration in it are replaced.
    seed : int
        Of the noise.
    plots : bool
    progress : see `spectuner_tasks.sdfit_lte`

    Returns
    -------
    dict
        As of the task, with ``truth`` (QTable) beside.
    """
    folder = Path(outdir)
    folder.mkdir(parents=True, exist_ok=True)
    files, truth = simulate(folder, seed)
    result = sdfit_lte(
        infile=files,
        species=[[c["species"] for c in COMPONENTS]],
        outfile=str(folder / "hot_core"),
        vlsr=VLSR,
        beam=BEAM,
        continuum=CONTINUUM,
        noise=NOISE,
        plots=plots,
        overwrite=True,
        progress=progress,
    )
    return {**result, "truth": truth}


def compared(parameters: QTable, truth: QTable) -> list[dict[str, str]]:
    """Truth, fit, error and pull ``(fit - truth) / error`` of every parameter, as text."""
    rows = []
    for known in truth:
        same = (parameters["species"] == known["species"]) & (parameters["component"] == known["component"])
        fitted = parameters[same][0]
        for name in COMPARED:
            unit = truth[name].unit
            true, value, error = (
                float(x.to_value(unit)) for x in (known[name], fitted[name], fitted[f"{name}_err"])
            )
            rows.append(
                {
                    "species": str(known["species"]),
                    "parameter": f"{name} [{unit.to_string().replace(' ', '').replace('1/cm2', 'cm-2')}]",
                    "truth": f"{true:.4g}",
                    "fit": value_words(value, error),
                    "pull": f"{(value - true) / error:+.2f}" if error > 0 else "held or unknown",
                }
            )
    return rows


def command(
    outdir: Annotated[Path, "Folder of the products; made if it is not there."] = Path("demo"),
    seed: Annotated[int, "Seed of the simulated data."] = 1,
) -> None:
    """Simulate a hot core, as a spectrum and as a cube, and an ion; analyse them, and print truth beside result."""
    import sys

    from . import demo_cube, demo_ion
    from .command_line import aligned

    began = time.monotonic()
    result = run(outdir, seed=seed, progress=sys.stderr.isatty())
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    rows = compared(result["parameters"], result["truth"])
    print("\n".join(aligned(rows)))
    pulls = np.array([float(r["pull"]) for r in rows if r["pull"][0] in "+-"])
    first = result["parameters"][0]
    print(
        f"\n{pulls.size} pulls: mean {pulls.mean():+.2f}, standard deviation {pulls.std(ddof=1):.2f} "
        f"(0 and 1 expected); "
        f"reduced chi2 {first['chi2'] / (first['n_data'] - first['n_free']):.3f}"
    )
    print(f"{time.monotonic() - began:.1f} s, {first['n_evaluations']} model spectra")
    for file in result["files"].values():
        print(f"wrote {file}")
    cube = demo_cube.run(outdir, seed=seed, progress=sys.stderr.isatty())
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print("\n" + "\n".join(demo_cube.words(cube)))
    ion = demo_ion.run(outdir, seed=seed, progress=sys.stderr.isatty())
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print("\n" + "\n".join(demo_ion.words(ion)))
