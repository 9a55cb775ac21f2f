"""Our database file opened by the peer spectuner 2.0.0: do both codes make the same spectra of it?

python benchmarks/xclass_database.py --peer-python PATH [--out FILE]

Of every species one component in three windows, by the peer in its own environment and by our model. Two numbers are
given, the largest difference over the peak: with our own conventions, and with the peer's (T_cmb of 2.726 K, Q
interpolated linearly, hyperfine components apart, lines whose rest frequency is inside of a window only).
"""

import argparse
import json
from dataclasses import replace

import numpy as np

from spectuner_ext.lte.model import LTEModel
from spectuner_ext.observation import Beam, Observation, Window
from spectuner_ext.pipeline.xclass.case import Band, Case, ModelComponent, SpeciesLines
from spectuner_ext.pipeline.xclass.conventions import OURS
from spectuner_ext.pipeline.xclass.explanation import difference
from spectuner_ext.pipeline.xclass.peers import spectra_of_answer, spectra_of_spectuner
from spectuner_ext.pipeline.xclass.synthesis import spectra_of
from spectuner_ext.spectroscopy import LineDatabase

WINDOWS = [(218_200.0, 219_000.0), (241_500.0, 242_300.0), (345_300.0, 346_100.0)]
CHANNEL = 0.25  # MHz
BEAM, SIZE = 0.5, 0.5  # arcsec
T_EX, FWHM, V_OFF = 150.0, 4.0, 0.5
SPECIES = {
    "CH3OH": 1e17, "13CH3OH": 1e16, "CH3CN": 1e15, "CH3OCHO": 1e17, "CH3OCH3": 1e17, "C2H5CN": 1e16, "C2H3CN": 1e16,
    "HNCO": 1e16, "H2CO": 1e16, "SO2": 1e16, "CO": 1e17, "HC3N": 1e15,
}  # fmt: skip
PEER = replace(OURS, t_cmb=2.726, partition="linear", hyperfine="apart", line_range="inside")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peer-python", required=True, help="interpreter of an environment with spectuner 2.0.0"
    )
    parser.add_argument("--catalogue", help="database file; the one of the package when not given")
    parser.add_argument("--out", help="file for the numbers as JSON")
    options = parser.parse_args()
    rows = []
    with LineDatabase.open(options.catalogue) as database:
        for name, n_tot in SPECIES.items():
            case, fast = made(database, database.resolve(name), n_tot)
            if case is None:
                print(f"{name:10} no line in the windows")
                continue
            answer = spectra_of_spectuner(case, database.path, options.peer_python, 600.0)
            theirs = spectra_of_answer(answer, case.bands)
            own, same = difference(fast, theirs), difference(spectra_of(case, PEER), theirs)
            rows.append({"species": name, "peak_K": own.peak, "ours": own.relative, "same": same.relative})
            print(
                f"{name:10} peak {own.peak:8.3f} K   ours {own.relative:.1e}   same conventions {same.relative:.1e}"
            )
    worst = max(row["same"] for row in rows)
    print(f"{answer.origin}\nlargest difference with the same conventions: {worst:.1e} of the peak")
    if options.out:
        with open(options.out, "w") as file:
            json.dump({"peer": answer.origin, "rows": rows}, file, indent=2)


def made(database, name, n_tot):
    """Case of one species, and the spectra of our compiled model; None where it has no line."""
    bands = tuple(
        Band(f"window {k}", np.arange(low, high, CHANNEL), BEAM, True, 0.0, ())
        for k, (low, high) in enumerate(WINDOWS)
    )
    ranges = [(low - 200.0, high + 200.0) for low, high in WINDOWS]
    apart = database.select(name, ranges)
    inside = np.any([(apart.frequency > low) & (apart.frequency < high) for low, high in WINDOWS], axis=0)
    if not inside.any():
        return None, None
    merged = database.select(name, ranges, hyperfine="merge")
    component = ModelComponent(name, SIZE, T_EX, n_tot, FWHM, V_OFF)
    case = Case(bands, (component,), {name: SpeciesLines(apart, merged, None)}, {name: name}, ())
    beam = Beam(major=BEAM, minor=BEAM)
    windows = []
    for band in bands:
        none, one = np.zeros(band.sky.size), np.ones(band.sky.size)
        windows.append(Window(band.sky, none, one, one > 0, none, beam))
    model = LTEModel.bind(Observation(tuple(windows)), [merged])
    eta = SIZE**2 / (SIZE**2 + BEAM**2)
    return case, model.split(model.spectrum(np.array([[eta, T_EX, n_tot, FWHM, V_OFF]])))


if __name__ == "__main__":
    main()
