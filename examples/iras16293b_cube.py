"""Build a small cube from real spectra of IRAS 16293-2422 B, and fit methanol in every pixel.

Run it with ``python examples/iras16293b_cube.py DATA OUTDIR``, where DATA is the folder with the ten windows
``iras16293b_b6_w*.fits.gz`` (ALMA project 2021.1.01164.S; two columns, frequency in MHz and T_B in K).

The cube is an artificial arrangement of real spectra, not an image of the source: every pixel holds the same observed
spectrum, made fainter and shifted in velocity by amounts that are known, with noise added. So the maps have a
known answer: the filling factor follows the brightness, v_off follows the shift, and T_ex, N_tot and FWHM are the
same everywhere.
"""

import argparse
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table

from spectuner_ext.pipeline.cubes.pixel_tables import summary_lines
from spectuner_tasks import sdfit_lte

WINDOWS = "iras16293b_b6_w*.fits.gz"
STATEMENT = (
    "Artificial arrangement of a real spectrum (IRAS 16293-2422 B, ALMA 2021.1.01164.S); not an image."
)
NOISE = 0.25  # K, of the spectra
SHIFT = 0.155  # km/s, of a channel at 236 GHz


def arrangement(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Brightness relative to the real spectrum, and shift in channels, of every pixel."""
    y, x = (np.indices((size, size)) - 0.5 * (size - 1)) / (0.5 * size)
    brightness = 0.15 + 0.85 * np.exp(-1.5 * (x**2 + y**2))
    return brightness, np.rint(4 * x).astype(int)


def build(data: Path, folder: Path, size: int = 8, seed: int = 0) -> list[str]:
    """Write one cube for each window; returns their names."""
    spectra = sorted(data.glob(WINDOWS))
    if not spectra:
        raise SystemExit(
            f"There is no file {WINDOWS} in {data}. This example needs the ten real spectra of IRAS 16293-2422 B; "
            "give the folder that holds them. It does not make data up."
        )
    folder.mkdir(parents=True, exist_ok=True)
    brightness, shift = arrangement(size)
    rng = np.random.default_rng(seed)
    names = []
    for path in spectra:
        table = Table.read(path)
        nu, real = np.asarray(table["frequency"]), np.asarray(table["T_B"])
        cube = np.full((nu.size, size, size), np.nan, dtype=np.float32)
        for y, x in np.ndindex(size, size):
            # Receding gas is seen at lower frequencies. Channels that nothing is shifted into stay NaN. The noise
            # that is added makes up for the real noise that becomes fainter with the lines.
            n = shift[y, x]
            moved = real[max(n, 0) : nu.size + min(n, 0)] * brightness[y, x]
            added = NOISE * np.sqrt(1.0 - brightness[y, x] ** 2) * rng.standard_normal(moved.size)
            cube[max(-n, 0) : nu.size - max(n, 0), y, x] = moved + added
        names.append(str(folder / path.name.replace(".fits.gz", "_cube.fits")))
        fits.PrimaryHDU(cube, header(nu, size)).writeto(names[-1], overwrite=True)
    (folder / "README.txt").write_text(
        f"{STATEMENT}\nEvery pixel is the same spectrum, scaled, shifted by whole channels and with noise added; "
        "see examples/iras16293b_cube.py.\n"
    )
    return names


def header(nu: np.ndarray, size: int) -> fits.Header:
    """World coordinates of no meaning on the sky, apart from the frequencies; beam; what this is."""
    cards = fits.Header()
    for axis, (kind, sign, value) in enumerate((("RA---SIN", -1, 248.0942), ("DEC--SIN", 1, -24.4757)), 1):
        cards[f"CTYPE{axis}"], cards[f"CUNIT{axis}"] = kind, "deg"
        cards[f"CRVAL{axis}"], cards[f"CRPIX{axis}"] = value, 0.5 * (size + 1)
        cards[f"CDELT{axis}"] = sign * 0.1 / 3600
    cards["CTYPE3"], cards["CUNIT3"] = "FREQ", "Hz"
    cards["CRVAL3"], cards["CRPIX3"] = nu[0] * 1e6, 1.0
    cards["CDELT3"] = (nu[-1] - nu[0]) / (nu.size - 1) * 1e6
    cards["RESTFRQ"], cards["SPECSYS"], cards["BUNIT"] = nu.mean() * 1e6, "LSRK", "K"
    cards["BMAJ"] = cards["BMIN"] = 0.486 / 3600
    cards["BPA"] = 0.0
    for line in (STATEMENT, "Each pixel: the same spectrum, scaled, shifted by whole channels, noise added."):
        cards.add_history(line)
    return cards


def main(data: Path, folder: Path, size: int = 8) -> None:
    files = build(data, folder, size)
    print(f"wrote {len(files)} cubes of {size} x {size} pixels. {STATEMENT}")

    # Peak matching, as many other species crowd this spectrum. The continuum of 5 K is nominal: it is not known.
    # Lines of this source lie at 2.5 to 2.8 km/s; here they are shifted by up to 0.6 km/s more, either way.
    result = sdfit_lte(
        files,
        ["CH3OH"],
        outfile=str(folder / "methanol"),
        loss="pm",
        clip_negative=True,
        vlsr=2.7 * u.km / u.s,
        continuum=5 * u.K,
        bounds={"v_off": (-2.0, 2.0)},
        overwrite=True,
    )
    maps = result["maps"]
    print("\n".join(summary_lines(maps)))

    # What does not depend on the source: the arrangement.
    brightness, shift = arrangement(size)
    good = maps.good("CH3OH")
    v_off = maps.quantity("CH3OH", "v_off").to_value(u.km / u.s)
    error = (v_off - SHIFT * shift)[good]
    print(
        f"\nmethanol detected in {good.sum()} of {good.size} pixels"
        f"\nv_off minus the shift that was made: {np.median(error):+.3f} km/s, scatter {np.std(error):.3f} km/s, "
        f"over shifts of {SHIFT * shift.min():+.2f} to {SHIFT * shift.max():+.2f} km/s"
    )
    for name, unit in (("T_ex", u.K), ("N_tot", u.cm**-2), ("fwhm", u.km / u.s)):
        values = maps.quantity("CH3OH", name).to_value(unit)[good]
        low, middle, high = np.percentile(values, [16, 50, 84])
        print(f"{name}: median {middle:.4g} {unit}, from {low:.4g} to {high:.4g} in the middle two thirds")
    strength = maps.quantity("CH3OH", "filling_factor").value[good] / brightness[good]
    low, middle, high = np.percentile(strength, [16, 50, 84])
    print(f"filling factor over brightness: median {middle:.3g}, from {low:.3g} to {high:.3g}")
    for kind, file in result["files"].items():
        print(f"{kind}: {file}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build a cube from real spectra, and fit it.")
    parser.add_argument("data", type=Path, help=f"folder with {WINDOWS}")
    parser.add_argument(
        "outdir", type=Path, help="folder of the cubes and the products; made if it is not there"
    )
    parser.add_argument("--size", type=int, default=8, help="pixels along each edge")
    given = parser.parse_args()
    main(given.data, given.outdir, given.size)
