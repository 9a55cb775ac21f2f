"""Run by an interpreter that has the package spectuner 2: its model of every component, added up.

Exit code 3 says that the package is not there.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("theta", "T_ex", "N_tot", "delta_v", "v_offset")
ROOM = {
    "theta": (1e-6, 1e9),
    "T_ex": (0.1, 1e5),
    "N_tot": (1.0, 1e30),
    "delta_v": (1e-4, 1e4),
    "v_offset": (-1e4, 1e4),
}


def main(folder: Path) -> None:
    """Read the request in a folder, and leave the answer there."""
    if importlib.util.find_spec("spectuner") is None:
        sys.exit(3)
    spectuner = importlib.import_module("spectuner")
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    found = {}
    with np.load(folder / "request.npz") as arrays:
        for k, band in enumerate(request["bands"]):
            rest, level = arrays[f"rest_{k}"], float(np.mean(arrays[f"background_{k}"]))
            found[f"band_{k}"] = spectrum(spectuner, request, band, rest, level)
    np.savez(folder / "answer.npz", **found)
    facts = {"version": str(spectuner.__version__), "file": str(spectuner.__file__), "words": ""}
    (folder / "answer.json").write_text(json.dumps({"package": facts}), encoding="utf-8")


def spectrum(spectuner: Any, request: Any, band: Any, rest: Any, level: float) -> Any:
    """Spectrum of one band; each has a model of its own, as bands may overlap."""
    config = spectuner.load_default_config()
    config.set_fname_db(request["catalogue"])
    size = band["telescope_size"]
    beam: Any = (size / 3600.0, size / 3600.0) if band["interferometer"] else size
    window = np.stack([rest, np.zeros(rest.size)], axis=1)
    config.append_spectral_window(window, beam, 1.0, T_bg=level, need_cmb=True)
    for name in NAMES:
        config.set_param_info(name, is_log=False, bound=ROOM[name], special=None)
    factory = spectuner.SpectralLineModelFactory(config)
    total = np.zeros(rest.size)
    for component in request["components"]:
        if component["species"] not in band["species_with_lines"]:
            continue  # it refuses those
        model = factory.create_sl_model(
            config["obs_info"], spectuner.create_specie_list([component["species"]])
        )
        # without a size the source fills the beam
        size = component["source_size"] or 1e6
        vector = [size, *(component[key] for key in ("t_ex", "n_tot", "fwhm", "v_off"))]
        (part,) = model(np.array(vector))
        total += np.asarray(part)
    return total


if __name__ == "__main__":
    main(Path(sys.argv[1]))
