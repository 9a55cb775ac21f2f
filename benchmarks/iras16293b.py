"""Fit five molecules to the real ALMA spectrum of IRAS 16293-2422 B, and compare with the best losses known.

    python benchmarks/iras16293b.py DATA_FOLDER [--outdir OUT] [--seed 0]

DATA_FOLDER holds the ten windows iras16293b_b6_w*.fits.gz (ALMA project 2021.1.01164.S). The set-up is that under
which the reference losses were found with 320,000 model calls: v_LSR 2.7 km/s, beam 0.486", continuum 5 K plus
CMB, noise per window = sigma-clipped mad_std, peaks at 4 noise, rel_height 0.25, data clipped at zero,
peak-matching loss. The source velocity is known to a fraction of a km/s, so the offset is bounded to +-1 km/s.
"""

import argparse
import time
from pathlib import Path

from spectuner_ext.observation import estimate_noise, observe
from spectuner_tasks import sdfit_lte

BEST_KNOWN = {
    "CH3OH": -87.44,
    "CH3OCHO": -742.80,
    "CH3OCH3": -117.38,
    "C2H5CN": -77.80,
    "C2H3CN": -4.42,
}
BEST_KNOWN_JOINT = -1037.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--outdir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    files = [str(f) for f in sorted(arguments.folder.glob("iras16293b_b6_w*.fits.gz"))]
    raw = observe(files, noise=1.0)
    common = {
        "infile": files,
        "vlsr": 2.7,
        "continuum": 5.0,
        "noise": [estimate_noise(w.intensity, w.mask, method="mad_clip") for w in raw.windows],
        "loss": "pm",
        "clip_negative": True,
        "bounds": {"v_off": (-1.0, 1.0)},
        "seed": arguments.seed,
        "overwrite": True,
    }

    def run(species: object, name: str, best: float) -> None:
        outfile = "" if arguments.outdir is None else str(arguments.outdir / name)
        begin = time.process_time()
        table = sdfit_lte(species=species, outfile=outfile, **common)["parameters"]
        loss = float(table["loss"][0])
        print(f"\n{name}: loss {loss:.3f}, best known {best:.2f}, {time.process_time() - begin:.1f} s CPU")
        for row in table:
            print(
                f"  {row['species']:18s} size {row['source_size']:.3f}  T_ex {row['T_ex']:.1f}  "
                f"N_tot {row['N_tot']:.3g}  fwhm {row['fwhm']:.3f}  v {2.7 + row['v_off'].value:.2f} km/s  "
                f"tau {row['tau_max']:.3g}  peaks {row['n_peaks']}  "
                f"{'DETECTED' if row['detected'] else 'NOT DETECTED'} {row['flag_names']}"
            )

    if arguments.outdir is not None:
        arguments.outdir.mkdir(parents=True, exist_ok=True)
    for species, best in BEST_KNOWN.items():
        run(species, species, best)
    run([list(BEST_KNOWN)], "joint", BEST_KNOWN_JOINT)


if __name__ == "__main__":
    main()
