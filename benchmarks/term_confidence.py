"""Calibrate and check the probabilities of the evidence agent on simulated ions.

``fit`` runs the search on ions of the training seeds and prints the coefficients that belong into
`spectuner_ext.terms.evidence.confidence`; ``check`` runs the agent, as shipped, on ions of other seeds and prints
recall, precision and calibration error. Conditions vary from ion to ion: good and poor calculations and spectra,
and, for half of the ions, fewer known levels than usual.

    python benchmarks/term_confidence.py fit --ions 60
    python benchmarks/term_confidence.py check --ions 30
    python benchmarks/term_confidence.py time
"""

import argparse
import os
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from spectuner_ext.terms.evaluation import evaluate, key_of_truth
from spectuner_ext.terms.evidence import evidence, model_for
from spectuner_ext.terms.evidence.confidence import LEAST_SUPPORT, REPEATED_CAP, SINGLE_CAP, doubt_of
from spectuner_ext.terms.evidence.repetitions import agreement_with, run_repetition
from spectuner_ext.terms.evidence.trajectory import run_trajectory
from spectuner_ext.terms.labels import label_groups
from spectuner_ext.terms.reliability import (
    expected_calibration_error,
    log_loss,
    reliability_table,
    wilson_interval,
)
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.simulate import SimulatedIon, simulate_ion
from spectuner_ext.terms.simulated_spectrum import Conditions

SIZES = (120, 300, 600)
FIT_SIZES = (120, 300, 600)
TRAINING, CHECKING = 10_000, 20_000
REPETITIONS = 6


def draw(seed: int, size: int) -> SimulatedIon:
    """Simulate an ion whose calculation, spectrum and start are good or poor by chance."""
    rng = np.random.default_rng([seed, 1])
    poor = rng.uniform()
    given: dict[str, Any] = {
        "n_levels": size,
        "seed": seed,
        "conditions": Conditions(
            configuration_error=float(rng.choice([150.0, 300.0, 600.0, 1000.0])),
            level_error=float(45.0 + 60.0 * poor),
            g_a_error=(0.1 + 0.12 * poor, 0.5 + 0.2 * poor),
            departure=float(0.3 + 0.2 * poor),
            population_scatter=float(0.07 + 0.13 * poor),
            tail=(0.03 + 0.07 * poor, 5.0, 10.0),
        ),
        "adjusted": bool(rng.integers(2)),
    }
    ion = simulate_ion(**given)
    if rng.uniform() < 0.5:
        return ion
    return simulate_ion(**given, n_known=max(8, int(len(ion.system.known) * rng.uniform(0.2, 0.6))))


def fit(n_ions: int) -> None:
    """Logistic regressions of "right" on the features of both maps."""
    single, repeated, right = [], [], []
    for i in range(n_ions):
        ion = draw(TRAINING + i, FIT_SIZES[i % len(FIT_SIZES)])
        groups, model = label_groups(ion.system.levels), model_for(ion.settings)
        given = (ion.system, ion.settings, groups, model, Request())
        found, _ = run_trajectory(0, *given, min_log_odds=0.0)
        runs = [found, *(run_repetition(k, *given, 0.0, {}) for k in range(1, REPETITIONS))]
        chain = np.log(np.clip(found.support, LEAST_SUPPORT, 1.0))
        agreement = agreement_with(found, runs, ion.settings.tolerance)
        doubt = doubt_of(found.log_odds)
        for odds, q, share in zip(found.log_odds, chain, agreement, strict=True):
            single.append((1.0, np.clip(odds, -SINGLE_CAP, SINGLE_CAP), q, doubt))
            repeated.append((1.0, np.clip(odds, -REPEATED_CAP, REPEATED_CAP), share))
        hits = np.abs(found.energy - ion.truth_energy[found.level]) <= ion.settings.tolerance
        right += hits.tolist()
        print(i, len(ion.system.levels), len(ion.system.known), hits.size, int(hits.sum()), flush=True)
    y = np.array(right, dtype=float)
    print(f"{y.size} levels, {y.mean():.3f} right")
    for name, rows in (("SINGLE", single), ("REPEATED", repeated)):
        beta, p = logistic(np.array(rows), y)
        print(f"{name} =", ", ".join(f"{b:.3f}" for b in beta))
        print(
            f"log loss {log_loss(p, y > 0.5):.4f}, calibration error {expected_calibration_error(p, y > 0.5):.4f} "
            "(the same ions)"
        )
        reliability_table(p, y > 0.5, bins=10).pprint(max_width=-1)


def logistic(x: Any, y: Any) -> tuple[Any, Any]:
    """Coefficients and fitted probabilities, by Newton's method with a small ridge."""
    beta = np.zeros(x.shape[1])
    ridge = 0.1 * np.eye(beta.size)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-x @ beta))
        beta += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge, x.T @ (y - p) - ridge @ beta)
    return beta, 1.0 / (1.0 + np.exp(-x @ beta))


def check(n_ions: int, n_trajectories: int) -> None:
    """Recall, precision and calibration on ions that nothing was fitted to."""
    rows: dict[int, list[Any]] = {size: [] for size in SIZES}
    for i in range(n_ions):
        size = SIZES[i % len(SIZES)]
        ion = draw(CHECKING + i, size)
        began = time.process_time()
        result = evidence(
            ion.system, ion.settings, Request(min_probability=0.5, n_trajectories=n_trajectories)
        )
        seconds = time.process_time() - began
        verdict = evaluate(
            result, key_of_truth(ion.truth_energy, "truth"), ion.settings.tolerance, by="level"
        )
        rows[size].append((result.levels.probability, np.asarray(verdict.right), seconds, reachable(ion)))
        print(i, size, len(result.levels), int(np.sum(verdict.right)), f"{seconds:.1f} s", flush=True)
    for size, found in (*rows.items(), (0, [r for some in rows.values() for r in some])):
        p = np.concatenate([r[0] for r in found])
        right = np.concatenate([r[1] for r in found])
        sure, half = p > 0.9, p > 0.5
        low, high = wilson_interval(int(right[sure].sum()), int(sure.sum()))
        print(
            f"{size or 'all'} levels, {len(found)} ions: {half.sum()} determined at P > 0.5, "
            f"{right[half].mean():.3f} right; "
            f"P > 0.9: {sure.sum()}, {right[sure].mean():.3f} right ({low:.3f} to {high:.3f}); "
            f"recall of levels with two lines or more {right[half].sum() / sum(r[3] for r in found):.3f}; "
            f"calibration error {expected_calibration_error(p[half], right[half]):.3f}; "
            f"CPU {np.mean([r[2] for r in found]):.1f} s an ion"
        )
    reliability_table(p, right, bins=10).pprint(max_width=-1)


def reachable(ion: SimulatedIon) -> int:
    """Levels, unknown at the start, that have two or more lines in the list to levels that are known or reachable."""
    known = np.zeros(len(ion.system.levels), dtype=bool)
    known[ion.system.known.level] = True
    low, high = ion.settings.spectral_range
    w = ion.system.lines.wavenumber
    pairs = [
        (int(u), int(v))
        for u, v, x in zip(ion.truth_upper, ion.truth_lower, w, strict=True)
        if u >= 0 and low <= x <= high
    ]
    count = -1
    n_start = int(known.sum())
    while known.sum() > count:
        count = int(known.sum())
        lines = np.zeros(known.size, dtype=int)
        for u, v in pairs:
            lines[u] += known[v]
            lines[v] += known[u]
        known |= lines >= 2
    return int(known.sum()) - n_start


def growth() -> None:
    """CPU time against size."""
    for size in (50, 100, 300, 1000, 3000):
        ion = simulate_ion(n_levels=size, seed=1)
        began = time.process_time()
        result = evidence(ion.system, ion.settings, Request())
        print(
            f"{size} levels, {len(ion.system.transitions)} transitions, {len(ion.system.lines)} lines: "
            f"{len(result.levels)} determined in {time.process_time() - began:.1f} s CPU",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("fit", "check", "time"))
    parser.add_argument("--ions", type=int, default=30)
    parser.add_argument("--trajectories", type=int, default=1)
    given = parser.parse_args()
    if given.what == "time":
        growth()
    elif given.what == "fit":
        fit(given.ions)
    else:
        check(given.ions, given.trajectories)
