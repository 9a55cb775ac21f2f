"""Run by an interpreter that has XCLASS: one model spectrum for each band of a request, by its own function.

Only what is documented of its calls is used: ``task_myXCLASS.myXCLASSCore`` with keywords, which returns frequencies
and temperatures first. Exit code 3 says that the package is not there.
"""

import importlib
import importlib.util
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path) -> None:
    """Read the request in a folder, and leave the answer there."""
    if importlib.util.find_spec("xclass") is None:
        sys.exit(3)
    package = importlib.import_module("xclass")
    function = importlib.import_module("xclass.task_myXCLASS").myXCLASSCore
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    found = {}
    with np.load(folder / "request.npz") as arrays:
        for k, band in enumerate(request["bands"]):
            found[f"band_{k}"] = spectrum(function, band, request, arrays[f"sky_{k}"])
    np.savez(folder / "answer.npz", **found)
    description = (package.__doc__ or "").strip().splitlines()
    package_facts = {
        "version": str(getattr(package, "__version__", "of unknown version")),
        "file": str(package.__file__),
        "words": description[0] if description else "",
    }
    (folder / "answer.json").write_text(json.dumps({"package": package_facts}), encoding="utf-8")


def spectrum(function: Any, band: Any, request: Any, sky: Any) -> Any:
    """Spectrum of one band at its channels."""
    needed = {
        "FreqMin": float(sky[0]),
        "FreqMax": float(sky[-1]),
        "FreqStep": float(np.median(np.diff(sky))),
        "MolfitsFileName": request["molfit"],
    }
    # left out where they are the default, so that versions without them can answer, too
    wanted: dict[str, Any] = {}
    if band["telescope_size"] is not None:
        wanted |= {"TelescopeSize": band["telescope_size"], "Inter_Flag": band["interferometer"]}
    wanted |= {"t_back_flag": True, "tBack": band["t_back"], "tSlope": band["t_slope"]}
    if band["v_lsr"]:
        wanted["vLSR"] = band["v_lsr"]
    if request["isoratio"]:
        wanted |= {"iso_flag": True, "IsoTableFileName": request["isoratio"]}
    known = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    missing = [name for name in {**needed, **wanted} if name not in known and not takes_all]
    if missing:
        raise SystemExit(f"myXCLASSCore of this version has no {', '.join(missing)}")
    answer = function(**needed, **wanted)
    rows = np.asarray(answer[0] if isinstance(answer, tuple | list) else answer, dtype=float)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise SystemExit(
            f"myXCLASSCore gave an array of the shape {rows.shape}, not frequencies and temperatures"
        )
    rows = rows[np.argsort(rows[:, 0])]
    step = float(np.median(np.diff(sky)))
    if rows[0, 0] > sky[0] + step or rows[-1, 0] < sky[-1] - step:
        raise SystemExit("myXCLASSCore gave a spectrum of another range than was asked for")
    return np.interp(sky, rows[:, 0], rows[:, 1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
