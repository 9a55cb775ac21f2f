"""Fit methanol in a simulated ALMA spectrum, and read the result.

Run it with ``python examples/fit_methanol.py``. It takes a few seconds, and half a minute more the very first
time, when the compiled parts are built.
"""

import tempfile
from pathlib import Path

import astropy.units as u

from spectuner_ext.pipeline.products import read_products
from spectuner_ext.pipeline.simulate import simulate_observation
from spectuner_ext.spectroscopy import LineDatabase
from spectuner_tasks import sdfit_lte


def main(folder: Path) -> None:
    # A spectral window around the methanol lines at 242 GHz: 0.49 MHz channels, 50 mK noise, a beam of 1
    # arcsec, and 1.5 K of continuum behind the lines. With your own data there is nothing to simulate: give
    # sdfit_lte the names of your FITS, ECSV or text files instead of `observation`, with vlsr, beam,
    # continuum and noise.
    with LineDatabase.open() as database:
        observation, truth = simulate_observation(
            windows=[(241.65 * u.GHz, 242.50 * u.GHz, 488 * u.kHz)],
            components=[
                {
                    "species": "CH3OH",
                    "T_ex": 140,
                    "N_tot": 8e17,
                    "fwhm": 4.5,
                    "source_size": 0.8,
                    "v_off": 0.6,
                }
            ],
            database=database,
            noise=50 * u.mK,
            continuum=1.5 * u.K,
            beam="1.0arcsec",
            seed=4,
        )

    # One call does everything: it finds its own starting point, fits, judges the fit and writes the products.
    # 13CH3OH is not in this spectrum: the fit should say so, and give an upper limit.
    result = sdfit_lte(observation, ["CH3OH", "13CH3OH"], outfile=str(folder / "methanol"), seed=1)

    table = result["parameters"]  # a QTable: every column has its unit, and its error in <column>_err
    for row in table:
        if not row["detected"]:
            # Parameters of what was not detected mean nothing; its 3 sigma limit on N_tot does.
            print(f"{row['species']}: not detected, N_tot < {row['N_tot_limit']:.2g}")
            continue
        print(f"{row['species']}: detected, {row['n_peaks']} peaks matched, remarks: {row['flag_names']}")
        for name in ("source_size", "T_ex", "N_tot", "fwhm", "v_off"):
            print(f"  {name:12} {row[name]:.5g} +- {row[name + '_err']:.2g}   (true {truth[name][0]:.4g})")

    # v_off counts from vlsr, positive is redshifted. SIZE_N_DEGENERATE in the remarks would say that all
    # lines are optically thin, so that only source size squared times N_tot is known; T_EX_UNCONSTRAINED
    # that the lines span too little energy. Both are properties of the data, not failures of the fit.

    # The products can be read again later, with the call that made them.
    again = read_products(folder / "methanol")
    residual = again["spectra"][0]["residual"]
    print(f"residual rms {residual.std().to(u.mK):.1f}, products: {', '.join(sorted(again['files']))}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
