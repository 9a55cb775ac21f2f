"""A reduction in CASA with a fit in the middle: images in, maps as images out, tasks of both packages in turn.

Run it with ``python examples/casa_reduction.py OUTDIR`` where CASA is installed beside this package
(``pip install "spectuner-ext[casa]"``, docs/casa.md), or with ``execfile`` in casashell. It takes some seconds, and
half a minute more the very first time, when the compiled parts are built.

The data are simulated: a small core of methanol that rotates, with a compact continuum behind it.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

SIZE = 16
WINDOW = (218_400.0, 218_500.0, 0.488)  # MHz: first and last channel, and width of a channel


def configure(folder: Path) -> None:
    """Let CASA find its data in the package casadata, and not ask for newer ones, unless it is configured already."""
    home = Path.home() / ".casa"
    if "CASASITECONFIG" in os.environ or (home / "config.py").exists() or (home / "data").exists():
        return
    if importlib.util.find_spec("casadata") is None:
        sys.exit("CASA has no data here: pip install casadata, or configure it as docs/casa.md says")
    import casadata

    site = folder / "casasiteconfig.py"
    site.write_text(
        f"measurespath = {casadata.datapath!r}\ndatapath = [{casadata.datapath!r}]\n"
        "measures_auto_update = data_auto_update = False\nnologger = True\nlogfile = '/dev/null'\n"
    )
    os.environ["CASASITECONFIG"] = str(site)


def simulate(folder: Path) -> tuple[str, str]:
    """FITS cube and continuum image, as an archive might deliver them."""
    from spectuner_ext.pipeline.cubes.simulate import simulate_cube
    from spectuner_ext.spectroscopy import LineDatabase

    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    methanol = {
        "species": "CH3OH",
        "T_ex": 150.0,
        "N_tot": 2e18 * np.exp(-(x**2 + y**2) / (0.4 * SIZE) ** 2),
        "fwhm": 5.0,
        "source_size": 1.0,
        "v_off": 0.15 * x,  # rotation
    }
    with LineDatabase.open() as database:
        cube = simulate_cube(
            folder / "archive", [WINDOW], [methanol], database, shape=(SIZE, SIZE), noise=0.05, beam="1.9arcsec",
            continuum=1.0, seed=1,
        )  # fmt: skip
    return cube.files[0], cube.continuum_files[0]


def reduce(folder: Path) -> None:
    """From FITS to maps and back; everything is made in the folder."""
    from casatasks import exportfits, imhead, imhistory, immoments, importfits, imstat, imsubimage

    from spectuner_tasks.gotasks import sdfit_lte

    line, continuum = simulate(folder)

    # 1. Into CASA's own format.
    os.chdir(folder)
    for old in ("line.image", "cont.image", "inner.image", "inner_cont.image", "line.mom0"):
        shutil.rmtree(old, ignore_errors=True)
    importfits(fitsimage=line, imagename="line.image")
    importfits(fitsimage=continuum, imagename="cont.image")

    # 2. Cut out the middle, with CASA, and look at the integrated line.
    box = f"2, 2, {SIZE - 3}, {SIZE - 3}"
    imsubimage(imagename="line.image", outfile="inner.image", box=box)
    imsubimage(imagename="cont.image", outfile="inner_cont.image", box=box)
    immoments(imagename="inner.image", moments=[0], outfile="line.mom0")
    print(f"integrated line: at most {imstat('line.mom0')['max'][0]:.1f} K km/s")

    # 3. Fit every pixel. The task takes CASA's images and regions, and writes its maps as images too. Two lines of
    # one species leave temperature and size open, so they are held here.
    result = sdfit_lte(
        infile="inner.image",
        species="CH3OH",
        outfile="methanol",
        continuum="inner_cont.image",
        region=f"circle[[{SIZE // 2 - 2}pix, {SIZE // 2 - 2}pix], {SIZE // 2 - 2}pix]",
        fixed={"T_ex": 150.0, "source_size": 1.0},
        plots=False,
        overwrite=True,
    )
    print(f"fitted {result['counts']['fitted']} of {result['counts']['region']} pixels of the region")

    # 4. Go on with the maps as with any image.
    velocity = f"{Path(result['files']['images']).name}/CH3OH_V_OFF.image"
    statistics = imstat(velocity)
    print(
        f"velocity: {statistics['min'][0]:.2f} to {statistics['max'][0]:.2f} "
        f"{imhead(velocity, mode='get', hdkey='bunit')} in {int(statistics['npts'][0])} pixels"
    )
    exportfits(imagename=velocity, fitsimage="velocity.fits", overwrite=True)

    # 5. Every image says how it was made.
    for text in imhistory(velocity, mode="list", verbose=False)[-2:]:
        print(f"history: {text[:100]}")


def main(folder: Path) -> None:
    missing = [name for name in ("casatools", "casatasks") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(
            f'this example needs CASA, but {", ".join(missing)} is not installed: pip install "spectuner-ext[casa]"'
        )
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    configure(folder)
    before = Path.cwd()
    try:
        reduce(folder)
    finally:
        os.chdir(before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Reduce simulated data with tasks of CASA and of this package."
    )
    parser.add_argument(
        "outdir", type=Path, nargs="?", help="folder of the products; a temporary one if not given"
    )
    given = parser.parse_args()
    if given.outdir:
        main(given.outdir)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
