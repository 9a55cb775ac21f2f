"""Calibrate and check the probabilities of the evidence agent on simulated ions.

``fit`` runs the search on ions of the training seeds and prints the coefficients that belong into
`spectuner_ext.terms.evidence.confidence`; ``check`` runs the agent, as shipped, on ions of other seeds and prints recall,
precision and calibration error. Conditions vary from ion to ion, from a good to a poor calculation and spectrum.

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
from spectuner_ext.terms.evidence.confidence import CAP, FEWEST_LINES, MOST_LINES, doubt_of
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

SIZES = (120, 300, 800)
TRAINING, CHECKING = 10_000, 20_000


def draw(seed: int, size: int) -> SimulatedIon:
    """Simulate an ion whose calculation and spectrum are good or poor by chance."""
    rng = np.random.default_rng([seed, 1])
    poor = rng.uniform()
    conditions = Conditions(
        configuration_error=float(rng.choice([150.0, 300.0, 600.0, 1000.0])),
        level_error=float(45.0 + 60.0 * poor),
        g_a_error=(0.1 + 0.12 * poor, 0.5 + 0.2 * poor),
        departure=float(0.3 + 0.2 * poor),
        population_scatter=float(0.07 + 0.13 * poor),
        tail=(0.03 + 0.07 * poor, 5.0, 10.0),
    )
    return simulate_ion(n_levels=size, seed=seed, adjusted=bool(rng.integers(2)), conditions=conditions)


def fit(n_ions: int) -> None:
    """Logistic regression of "right" on odds and number of lines."""
    x, right = [], []
    for i in range(n_ions):
        ion = draw(TRAINING + i, SIZES[i % len(SIZES)])
        found, state = run_trajectory(
            0, ion.system, ion.settings, label_groups(ion.system.levels), model_for(ion.settings), Request(),
            min_log_odds=0.0,
        )  # fmt: skip
        lines = np.array([state.lines_of(int(k)).size for k in found.level])
        doubt = doubt_of(found.log_odds)
        for k, e, odds, n in zip(found.level, found.energy, found.log_odds, lines, strict=True):
            n_more = np.clip(n, FEWEST_LINES, MOST_LINES) - FEWEST_LINES
            x.append((1.0, np.clip(odds, -CAP, CAP), n_more, doubt))
            right.append(abs(e - ion.truth_energy[k]) <= ion.settings.tolerance)
        print(
            i, len(ion.system.levels), len(found.level), int(np.sum(right[-len(found.level) :])), flush=True
        )
    a, y = np.array(x), np.array(right, dtype=float)
    beta = np.zeros(4)
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-a @ beta))
        step = np.linalg.solve(
            (a * (p * (1 - p))[:, None]).T @ a + 1e-3 * np.eye(4), a.T @ (y - p) - 1e-3 * beta
        )
        beta += step
    p = 1.0 / (1.0 + np.exp(-a @ beta))
    print(f"{y.size} levels, {y.mean():.3f} right")
    print("INTERCEPT, SLOPE, PER_LINE, DOUBT =", ", ".join(f"{b:.3f}" for b in beta))
    print(f"log loss {log_loss(p, y > 0.5):.4f}")
    print(f"calibration error {expected_calibration_error(p, y > 0.5):.4f} (the same ions)")
    reliability_table(p, y > 0.5, bins=10).pprint(max_width=-1)


def check(n_ions: int) -> None:
    """Recall, precision and calibration on ions that nothing was fitted to."""
    rows: dict[int, list[Any]] = {size: [] for size in SIZES}
    for i in range(n_ions):
        size = SIZES[i % len(SIZES)]
        ion = draw(CHECKING + i, size)
        began = time.process_time()
        result = evidence(ion.system, ion.settings, Request(min_probability=0.01))
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
            f"{size or 'all'} levels, {len(found)} ions: {half.sum()} determined at P > 0.5, {right[half].mean():.3f} right; "
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
    given = parser.parse_args()
    if given.what == "time":
        growth()
    else:
        {"fit": fit, "check": check}[given.what](given.ions)
