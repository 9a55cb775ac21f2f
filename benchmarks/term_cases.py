"""Run the evidence agent on published cases and score it with their keys, from whole and from reduced starts.

    python benchmarks/term_cases.py whole FOLDER [FOLDER ...]
    python benchmarks/term_cases.py reduced FOLDER --keep 20 12 --draws 3

The keys are used for scoring only. Settings are those of each folder's ``config.yaml``; all else is the same for all.
"""

import argparse
import os
import resource
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from spectuner_ext.terms.evaluation import Evaluation, evaluate, read_key
from spectuner_ext.terms.evaluation_tables import precision_table
from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.readers.case_folder import Case, read_case
from spectuner_ext.terms.reliability import expected_calibration_error, reliability_table
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.result import Analysis
from spectuner_ext.terms.system import ClassifiedLines, KnownLevels, TermSystem

PUBLISHED_LEVELS = 64
"""Levels that the published agents determine at most: half of their 128 steps."""


def scored(case: Case, system: TermSystem, request: Request) -> tuple[Analysis, Evaluation]:
    """Run and score."""
    began = time.process_time()
    result = evidence(system, case.settings, request)
    seconds = time.process_time() - began
    assert case.key is not None
    verdict = evaluate(result, read_key(case.key))
    right = np.asarray(verdict.right)
    p = result.levels.probability
    print(
        f"{case.system.name}: {right.sum()} correct of {right.size} ({right.mean():.3f}), "
        f"distinct keys {np.count_nonzero(verdict.credited)}; P > 0.9: {right[p > 0.9].sum()} of {(p > 0.9).sum()}; "
        f"expected {p.sum():.1f}; J {result.score:.1f}; {seconds:.1f} s CPU; {result.outcome.name}",
        flush=True,
    )
    return result, verdict


def whole(folders: list[Path]) -> None:
    """Published starts."""
    for folder in folders:
        case = read_case(folder)
        for request, what in (
            (Request(n_levels=PUBLISHED_LEVELS, min_probability=0.2), "64 levels at most, P >= 0.2"),
            (Request(n_levels=PUBLISHED_LEVELS), "64 levels at most, P >= 0.5 (default)"),
            (Request(), "no limit, P >= 0.5"),
            (
                Request(n_levels=PUBLISHED_LEVELS, min_probability=0.2, n_trajectories=8),
                "best of 8 repetitions by J",
            ),
        ):
            print(f"\n{what}")
            scored(case, case.system, request)
        print(f"peak memory so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
        result, verdict = scored(case, case.system, Request(min_probability=0.2))
        precision_table(verdict, at=(0.1, 0.25, 0.5, 0.75, 0.9, 1.0)).pprint(max_width=-1)
        p, right = result.levels.probability, np.asarray(verdict.right)
        reliability_table(p, right, bins=5).pprint(max_width=-1)
        print(f"calibration error {expected_calibration_error(p, right):.3f}")


def reduced_start(system: TermSystem, keep: int, seed: int) -> TermSystem:
    """Keep the ground level and some others of the known levels, drawn at random, with the lines between them."""
    rng = np.random.default_rng(seed)
    others = np.flatnonzero(system.known.level > 0)
    rows = np.sort(
        np.append(rng.choice(others, keep - 1, replace=False), np.flatnonzero(system.known.level == 0))
    )
    k, c = system.known, system.classified
    kept = KnownLevels(k.level[rows], k.energy[rows], k.uncertainty[rows], k.provenance[rows], k.source)
    both = np.isin(c.lower, kept.level) & np.isin(c.upper, kept.level)
    lines: ClassifiedLines = c.select(both)
    return TermSystem(system.levels, system.transitions, system.lines, kept, lines, system.name)


def reduced(folders: list[Path], keep: list[int], draws: int, n_workers: int) -> None:
    """One pass, the best of 12 by J, and two cross-entropy rounds more, from the same reduced starts."""
    for folder in folders:
        case = read_case(folder)
        for n in keep:
            for seed in range(draws):
                system = reduced_start(case.system, n, seed)
                print(f"\n{n} known levels kept, draw {seed}, {len(system.classified)} classified lines")
                for trajectories, rounds in ((1, 1), (12, 1), (12, 3)):
                    print(f"{trajectories} x {rounds}: ", end="")
                    scored(
                        case, system,
                        Request(
                            n_levels=PUBLISHED_LEVELS, min_probability=0.2, n_trajectories=trajectories,
                            n_workers=n_workers, options={"rounds": rounds},
                        ),
                    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("whole", "reduced"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--keep", nargs="+", type=int, default=[20, 12])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if given.what == "whole":
        whole(given.folders)
    else:
        reduced(given.folders, given.keep, given.draws, given.workers)
