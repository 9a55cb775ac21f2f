"""Compare ways to search by the evidence: one pass, sampled, cross-entropy, beam, and each with the learned score.

    python benchmarks/term_search.py run FOLDER [FOLDER ...] --records FILE [--keep 20 12] [--draws 5]
    python benchmarks/term_search.py table --records FILE

Each FOLDER is a published case; its key is used for scoring only. `run` starts from all known levels and from
some of them, drawn at random, and adds one JSON line a run to FILE; runs that are there are not repeated, so that it
goes on after a kill. `table` prints means over the draws. CPU seconds are those of one process.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from term_cases import PUBLISHED_LEVELS, reduced_start

from spectuner_ext.terms.agents import agent_named
from spectuner_ext.terms.evaluation import evaluate, read_key
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.request import Request

LOWEST = 0.2
"""Probability of the least sure level that is recorded."""

THRESHOLD = 0.5
"""Raw probability below which the search keeps no level."""

METHODS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "one pass": ("evidence", 1, {}),
    "best of 12 by J": ("evidence", 12, {"rounds": 1}),
    "two cross-entropy rounds more": ("evidence", 12, {"rounds": 3}),
    "beam": ("beam", 12, {"rounds": 6}),
    "learned score, one pass": ("evidence", 1, {"score": "learned"}),
    "learned score, best of 12": ("evidence", 12, {"score": "learned", "rounds": 1}),
    "learned score, beam": ("beam", 12, {"score": "learned", "rounds": 6}),
}
"""Name to agent, runs of a round, and options."""

CUTS = (0.2, 0.5, 0.9)


def records(path: Path) -> list[dict[str, Any]]:
    """Runs on file; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text("utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def key_of(record: dict[str, Any]) -> tuple[Any, ...]:
    """What makes a run the same."""
    return tuple(record[name] for name in ("case", "kept", "draw", "method", "threshold"))


def run(
    folders: list[Path], path: Path, keep: list[int], draws: int, methods: list[str], threshold: float
) -> None:
    """Run what is missing."""
    done = {key_of(record) for record in records(path)}
    cut_off = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    if cut_off:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    for folder in folders:
        case = read_case(folder)
        assert case.key is not None
        key = read_key(case.key)
        for kept, draw in [(0, 0), *((n, d) for n in keep for d in range(draws))]:
            system = reduced_start(case.system, kept, draw) if kept else case.system
            for method in methods:
                name, n_trajectories, options = METHODS[method]
                head = {
                    "case": folder.name,
                    "kept": kept,
                    "draw": draw,
                    "method": method,
                    "threshold": threshold,
                }
                if key_of(head) in done:
                    continue
                request = Request(
                    n_levels=PUBLISHED_LEVELS, min_probability=LOWEST, n_trajectories=n_trajectories,
                    options={**options, "threshold": threshold},
                )  # fmt: skip
                began = time.process_time()
                result = agent_named(name)(system, case.settings, request)
                seconds = time.process_time() - began
                verdict = evaluate(result, key)
                record = {
                    **head,
                    "j": result.score,
                    "cpu_s": seconds,
                    "probability": result.levels.probability.tolist(),
                    "right": np.asarray(verdict.right).tolist(),
                    "credited": np.asarray(verdict.credited).tolist(),
                    "scores": result.summary["scores"],
                }
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(*head.values(), shown(record), flush=True)


def counts(record: dict[str, Any], cut: float) -> tuple[int, int]:
    """Right and determined levels above a probability."""
    above = np.array(record["probability"]) >= cut
    return int(np.array(record["right"])[above].sum()), int(above.sum())


def shown(record: dict[str, Any]) -> str:
    """A run in a line."""
    parts = [f"P>{cut:g}: {right}/{n}" for cut in CUTS for right, n in [counts(record, cut)]]
    return f"J {record['j']:.1f}, {', '.join(parts)}, {record['cpu_s']:.1f} s"


def table(path: Path) -> None:
    """Means over draws."""
    found = records(path)
    groups: dict[tuple[str, int, float], list[dict[str, Any]]] = {}
    for record in found:
        groups.setdefault((record["case"], record["kept"], record["threshold"]), []).append(record)
    for (case, kept, threshold), members in groups.items():
        print(f"\n{case}, {kept or 'all'} known levels kept, search threshold {threshold:g}\n")
        print("| method | draws | " + " | ".join(f"P > {cut:g}" for cut in CUTS) + " | J | CPU s |")
        print("|---" * (4 + len(CUTS) + 1) + "|")
        for method in METHODS:
            rows = [record for record in members if record["method"] == method]
            if not rows:
                continue
            cells = []
            for cut in CUTS:
                right, n = np.mean([counts(record, cut) for record in rows], axis=0)
                cells.append(f"{right:.1f}/{n:.1f} ({right / n if n else float('nan'):.3f})")
            j, cpu = (np.mean([record[name] for record in rows]) for name in ("j", "cpu_s"))
            print(f"| {method} | {len(rows)} | " + " | ".join(cells) + f" | {j:.0f} | {cpu:.1f} |")
        one = [record for record in members if record["method"] == "one pass"]
        print("\nby draw, P > 0.5: " + "; ".join(
            f"{method}: " + " ".join("{}/{}".format(*counts(r, 0.5)) for r in members if r["method"] == method)
            for method in METHODS if any(r["method"] == method for r in members)
        ) if len(one) > 1 else "")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--keep", nargs="*", type=int, default=[20, 12])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    given = parser.parse_args()
    if given.what == "run":
        run(given.folders, given.records, given.keep, given.draws, given.methods, given.threshold)
    else:
        table(given.records)
