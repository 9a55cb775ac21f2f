"""Run by an interpreter that has pyspeckit: its LTE model of every component, diluted as asked, added up.

Its model has no source sizes: each component is multiplied by filling factors of the request. Lines, energies and
partition functions are those of the request, too. Exit code 3 says that the package is not there.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path) -> None:
    """Read the request in a folder, and leave the answer there."""
    if importlib.util.find_spec("pyspeckit") is None:
        sys.exit(3)
    pyspeckit = importlib.import_module("pyspeckit")
    generate = importlib.import_module("pyspeckit.spectrum.models.lte_molecule").generate_model
    units = importlib.import_module("astropy.units")
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    found = {}
    with np.load(folder / "request.npz") as arrays:
        for k in range(len(request["bands"])):
            rest = arrays[f"rest_{k}"] * 1e6 * units.Hz
            total = np.zeros(rest.size)
            for c, component in enumerate(request["components"]):
                model = emission(generate, units, rest, component, arrays, request["t_cmb"])
                total += arrays[f"filling_{k}_{c}"] * model
            found[f"band_{k}"] = total
    np.savez(folder / "answer.npz", **found)  # type: ignore[arg-type]
    facts = {"version": str(pyspeckit.__version__), "file": str(pyspeckit.__file__), "words": ""}
    (folder / "answer.json").write_text(json.dumps({"package": facts}), encoding="utf-8")


def emission(generate: Any, units: Any, rest: Any, component: Any, arrays: Any, t_cmb: float) -> Any:
    """Spectrum of one component whose source fills the beam."""
    name = component["species"]
    lines = {key: arrays[f"{key} {name}"] for key in ("frequency", "log_a", "g", "e_upper_erg", "q_t", "q")}
    model = generate(
        rest,
        component["v_off"] * units.km / units.s,
        component["fwhm"] / (2.0 * np.sqrt(2.0 * np.log(2.0))) * units.km / units.s,
        component["t_ex"] * units.K,
        component["n_tot"] * units.cm**-2,
        freqs=lines["frequency"] * 1e6 * units.Hz,
        aij=lines["log_a"],
        deg=lines["g"],
        EU=lines["e_upper_erg"],  # in erg, as a plain number
        partfunc=lambda t: np.interp(t.value if hasattr(t, "value") else t, lines["q_t"], lines["q"]),
        tbg=t_cmb * units.K,
    )
    return np.asarray(getattr(model, "value", model), dtype=float)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
