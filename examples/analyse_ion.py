"""Determine energy levels of a simulated ion, and read the result.

Run it with ``python examples/analyse_ion.py``. It takes a few seconds, and half a minute more the very first
time, when the compiled parts are built.
"""

import tempfile
from pathlib import Path

import numpy as np

from spectuner_ext import simulate_ion
from spectuner_ext.terms.products import read_products
from spectuner_ext.terms.readers import write_folder
from spectuner_tasks import termanalysis_rl


def main(folder: Path) -> None:
    # An ion of 200 levels: an imperfect calculation of its energies and gA, the levels that are known so far with
    # their lines, and a line list, of which most is unidentified and much belongs to other ions. It is written in
    # the format of the published cases: line_list.csv, theo_levels.csv, theo_lines.csv, known_levels.csv,
    # known_lines.csv and config.yaml. With your own data there is nothing to simulate: give termanalysis_rl such
    # a folder, or a mapping with your tables and files (docs/term_formats.md).
    ion = simulate_ion(n_levels=200, seed=1)
    case = write_folder(ion.system, folder / "ion", ion.settings)

    # One call does everything: it accepts the surest levels, claims their lines, fits all energies again, looks
    # on, and judges every level once more at the end. This one stops early, at half of ep_length in config.yaml.
    first = termanalysis_rl(case, str(folder / "first"))
    print(f"{first['summary']['outcome']}: {len(first['levels'])} levels determined")

    # A QTable in the order of acceptance: every column has its unit and a description. lines_used has every
    # line with its observed minus calculated in sigma; branching is the scatter of observed over calculated
    # intensity among the lines down from the level.
    for row in first["levels"][:3]:
        print(
            f"  level {row['level']} {row['label']}: {row['energy']:.4f} +- {row['energy_err'].value:.4f}, "
            f"P = {row['probability']:.2f}, branching {row['branching']:.2f}"
        )
        print(f"    {row['lines_used']}")

    # A finished run is where the next one starts. Before that, its tables may be edited (a row that is taken out
    # is a level taken back), or decisions given: reject=[545] forbids a level,
    # accept=[{"level": 545, "energy": 68347.58}] pins one. Levels that are less probable than minprobability
    # stay undetermined; what was left says why, and what would decide it.
    second = termanalysis_rl(str(folder / "first"), str(folder / "second"), minprobability=0.9)
    print(f"{second['summary']['outcome']}: {len(second['levels'])} more levels determined")
    for row in second["undetermined"][:3]:
        print(f"  left: level {row['level']} {row['label']}, P = {row['probability']:.2f}: {row['reason']}")

    # How many are right? The probabilities say it beforehand, the simulator knows it.
    for name, levels in (("first", first["levels"]), ("second", second["levels"])):
        right = np.abs(levels["energy"].value - ion.truth_energy[levels["level"]]) < 0.05
        print(f"{name}: {right.sum()} of {len(levels)} right, {levels['probability'].sum():.1f} expected")

    # The products can be read again later, with the call that made them.
    again = read_products(folder / "second")
    print(f"{len(again['lines'])} classified lines; products: {', '.join(sorted(again['files']))}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
