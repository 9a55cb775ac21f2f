"""Measure this package beside its peer `spectuner`, in one run: both in turn, one thread each, CPU time.

    python benchmarks/run.py --peer-python PATH [--out results.json] [--our-fits 100] [--peer-fits 20] ...

The peer needs numpy < 2.4, so it has an environment of its own. Both read the same catalogue file and the
same synthetic data. Fits are judged by each side's own loss, against the best value that any of its runs
found; see `README.md` for what the rows mean.
"""

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from setups import SETUPS, to_vector, write_case
from worker import Worker

from spectuner_ext.spectroscopy import LineDatabase

ROWS = ("spectrum", "PM loss", "chi2", "spectrum + PM", "spectrum + chi2", "chi2 and gradient")
PEER_METHODS = {"chi2": ("slsqp", "pso"), "pm": ("slsqp", "nelder-mead", "pso")}
CHI2_SAME = 1.0  # in chi2: what one standard deviation changes
PM_SAME = 0.01  # of the loss


def median_rows(peer, ours, n_repeat):
    """Median CPU seconds of every row, the two sides taking turns."""
    seconds = {row: {"peer": [], "python": [], "compiled": []} for row in ROWS}
    for _ in range(n_repeat):
        for row in ROWS:
            seconds[row]["peer"].append(peer.ask("measure", row=row)["seconds"])
            seconds[row]["python"].append(ours.ask("measure", row=row, compiled=False)["seconds"])
            seconds[row]["compiled"].append(ours.ask("measure", row=row, compiled=True)["seconds"])
    return {row: {side: float(np.median(values)) for side, values in s.items()} for row, s in seconds.items()}


def fit_table(peer, ours, truth, sigma, n_ours, n_peer, n_swarm):
    """Fits without a guess from both sides: cost, and how often the best minimum was found."""
    table = {}
    for loss, methods in PEER_METHODS.items():
        runs = {"ours": []} | {f"peer {method}": [] for method in methods}
        for seed in range(max(n_ours, n_peer, n_swarm)):
            if seed < n_ours:
                runs["ours"].append(ours.ask("fit", loss=loss, seed=seed))
            for method in methods:
                if seed < (n_swarm if method == "pso" else n_peer):
                    runs[f"peer {method}"].append(peer.ask("fit", loss=loss, method=method, seed=seed))
        ends = {side: np.array([r["loss"] for r in rows]) for side, rows in runs.items() if rows}
        best_ours = min(ends["ours"].min(), ours.ask("refine", loss=loss, x=truth)["loss"])
        theirs = [e.min() for side, e in ends.items() if side != "ours"]
        best_peer = min([peer.ask("refine", loss=loss, x=truth)["loss"], *theirs])
        table[loss] = {"best": {"ours": float(best_ours), "peer": float(best_peer)}}
        for side, values in ends.items():
            best = best_ours if side == "ours" else best_peer
            # the peer's chi2 is half a sum of squares in K^2
            unit = 2.0 / sigma**2 if loss == "chi2" and side != "ours" else 1.0
            excess = (values - best) * unit
            same = CHI2_SAME if loss == "chi2" else PM_SAME * abs(best)
            rows = runs[side]
            judged = (
                [ours.ask("judge", loss=loss, x=r["x"])["loss"] for r in rows] if side != "ours" else values
            )
            table[loss][side] = {
                "n": len(rows),
                "median_seconds": float(np.median([r["seconds"] for r in rows])),
                "median_evaluations": float(np.median([r["evaluations"] for r in rows])),
                "success": float(np.mean(excess <= same)),
                "excess": sorted(excess.tolist()),
                "our_loss_excess": sorted((np.array(judged) - best_ours).tolist()),
            }
    return table


def first_answer(python, script, path):
    """Wall seconds from starting an interpreter to a loss of the case, compiled kernels in the cache."""
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        with Worker(python, script) as worker:
            worker.ask("load", path=str(path))
            seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))  # the first one may still fill the cache


def case_results(name, species, catalogue, folder, options):
    setup = SETUPS[name]
    path = Path(folder) / "case.npz"
    write_case(path, name, species, catalogue)
    truth = to_vector(setup.truth[species]).tolist()
    with (
        Worker(options.peer_python, "peer_worker.py") as peer,
        Worker(sys.executable, "ours_worker.py") as ours,
    ):
        loaded = {"peer": peer.ask("load", path=str(path)), "ours": ours.ask("load", path=str(path))}
        result = {
            "loaded": loaded,
            "accuracy": {"peer": peer.ask("accuracy")["error"], "ours": ours.ask("accuracy")["error"]},
            "rows": median_rows(peer, ours, options.repeats),
        }
        if f"{name}:{species.split(';')[0]}" in options.fits:
            counts = (options.our_fits, options.peer_fits, options.swarm_fits)
            result["fits"] = fit_table(peer, ours, truth, setup.sigma, *counts)
    if name == "g327":
        result["first_answer"] = {
            "peer": first_answer(options.peer_python, "peer_worker.py", path),
            "ours": first_answer(sys.executable, "ours_worker.py", path),
        }
    return result


def show(title, result):
    accuracy = result["accuracy"]
    print(
        f"\n{title}: {result['loaded']['ours']}; "
        f"error/peak: peer {accuracy['peer']:.1e}, ours {accuracy['ours']:.1e}"
    )
    print(f"{'':20s}{'peer ms':>10s}{'ours us':>10s}{'in a loop':>10s}{'ratio':>8s}{'in a loop':>10s}")
    for row, s in result["rows"].items():
        print(
            f"{row:20s}{s['peer'] * 1e3:10.3f}{s['python'] * 1e6:10.1f}{s['compiled'] * 1e6:10.2f}"
            f"{s['peer'] / s['python']:8.0f}{s['peer'] / s['compiled']:10.0f}"
        )
    if "first_answer" in result:
        print("seconds to the first loss, kernels cached:", result["first_answer"])
    for loss, table in result.get("fits", {}).items():
        print(f"fits of {loss} without a guess (best: {table['best']})")
        for side, f in table.items():
            if side != "best":
                print(
                    f"  {side:18s} n {f['n']:4d}  found {100 * f['success']:5.1f} %  "
                    f"CPU {f['median_seconds']:9.4f} s  "
                    f"evaluations {f['median_evaluations']:8.0f}  median excess by our loss "
                    f"{np.median(f['our_loss_excess']):.4g}"
                )
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True, help="interpreter of an environment with spectuner")
    parser.add_argument("--out", type=Path, help="write all numbers to this JSON file")
    parser.add_argument("--catalogue", help="SQLite file in the VAMDC layout; the packaged one by default")
    parser.add_argument("--setups", nargs="+", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--species", nargs="+", help="formulae; all of a set-up by default")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--fits", nargs="*", default=["g327:CH3OH", "g327:CH3OCHO", "iras16293b:CH3OH"])
    parser.add_argument("--our-fits", type=int, default=100)
    parser.add_argument("--peer-fits", type=int, default=20)
    parser.add_argument("--swarm-fits", type=int, default=5, help="fits by the peer's swarm, three runs each")
    options = parser.parse_args()
    if options.catalogue is None:
        with LineDatabase.open() as database:
            options.catalogue = str(database.path)
    results = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "scipy", "numba", "spectuner-ext")},
        "cases": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        # a copy, since the cached file goes when the package brings a newer catalogue
        catalogue = shutil.copy(options.catalogue, folder)
        for name in options.setups:
            for species in SETUPS[name].truth:
                formula = species.split(";")[0]
                if options.species and formula not in options.species:
                    continue
                title = f"{name}:{formula}"
                results["cases"][title] = case_results(name, species, catalogue, folder, options)
                show(title, results["cases"][title])
                if options.out:
                    options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
