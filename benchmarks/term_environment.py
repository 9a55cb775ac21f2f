"""Speed of the decision process of a term analysis, and the greedy agent on the published cases.

    OMP_NUM_THREADS=1 python benchmarks/term_environment.py --cases DIR [--seconds S]

DIR holds the folders `co2` and `nd3`. CPU seconds of one core; compiled code is warmed up first.
"""

import argparse
import resource
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from spectuner_ext.terms import environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.conventions import PAPER, RIGHT
from spectuner_ext.terms.evaluation import read_key
from spectuner_ext.terms.greedy import greedy
from spectuner_ext.terms.level_fit import fit_levels
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.reward import load_reward


def random_episode(problem, reward, rng):
    """Steps and candidates of one episode of the random policy, and its last state."""
    state, done, n_steps, n_candidates = environment.reset(problem), False, 0, 0
    while not done:
        possible = environment.actions(problem, state, reward)
        if not possible.size:
            break
        n_candidates += possible.size - 1 if state.selected >= 0 else 0
        state, _, done = environment.step(problem, state, int(possible[rng.integers(possible.size)]), reward)
        n_steps += 1
    return n_steps, n_candidates, state


def random_policy(name, case, conventions, reward, seconds):
    problem, rng = prepare(case.system, case.settings, conventions), np.random.default_rng(0)
    random_episode(problem, reward, rng)
    start, n_steps, n_candidates = process_time(), 0, 0
    while process_time() - start < seconds:
        steps, found, state = random_episode(problem, reward, rng)
        n_steps, n_candidates = n_steps + steps, n_candidates + found
    spent = process_time() - start
    print(
        f"{name}: {n_steps / spent:,.0f} steps/s, {n_candidates / spent:,.0f} candidates optimised and scored/s, "
        f"record of the last state {environment.record(state).nbytes:,} bytes"
    )


def all_candidates(name, case, reward):
    """Time of the second action space over all levels on offer at the start."""
    problem = prepare(case.system, case.settings, PAPER)
    rounds, n_spaces, n_found = 20, 0, 0
    start = process_time()
    for _ in range(rounds):
        state = environment.reset(problem)
        for level in environment.actions(problem, state):
            selected, _, _ = environment.step(problem, state, int(level))
            n_found += len(environment.candidates(problem, selected, reward))
            n_spaces += 1
    spent = process_time() - start
    print(
        f"{name}: {1e3 * spent / n_spaces:.3f} ms a space ({n_found / n_spaces:.1f} candidates), D included"
    )


def greedy_run(name, case, compat, weights):
    options = {"compat": compat, "reward": weights}
    greedy(case.system, case.settings, Request(options=options))
    wall, cpu = perf_counter(), process_time()
    analysis = greedy(case.system, case.settings, Request(options=options))
    wall, cpu = perf_counter() - wall, process_time() - cpu
    start, key = case.system.known_energy, read_key(case.key).energy
    new = [e for e in analysis.levels.energy if np.nanmin(np.abs(start - e)) >= 0.05]
    right = sum(np.abs(key - e).min() < 0.05 for e in new)
    print(
        f"{name} compat={compat} weights={weights}: R = {analysis.score:.4f}, {right} of {len(new)} right, "
        f"{wall:.3f} s wall, {cpu:.3f} s CPU, {analysis.summary['steps']} steps"
    )


def level_optimisation(n_levels, n_lines):
    rng = np.random.default_rng(0)
    energy = np.sort(rng.uniform(0, 1e5, n_levels))
    energy[0] = 0.0
    chain = np.stack([np.arange(n_levels - 1), np.arange(1, n_levels)])
    extra = np.sort(rng.choice(n_levels, (2, n_lines - n_levels + 1)), axis=0)
    lower, upper = np.concatenate([chain, extra[:, extra[0] != extra[1]]], axis=1)
    uncertainty = 10 ** rng.uniform(-3, -1, lower.size)
    wavenumber = energy[upper] - energy[lower] + uncertainty * rng.standard_normal(lower.size)
    fixed = np.full(n_levels, np.nan)
    fixed[0] = 0.0
    start = process_time()
    fit = fit_levels(lower, upper, wavenumber, uncertainty, n_levels=n_levels, fixed_energy=fixed)
    spent = process_time() - start
    print(f"{n_levels} levels, {lower.size} lines: {spent:.3f} s, reduced chi2 {fit.reduced_chi2:.3f}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    cases = {name: read_case(options.cases / name) for name in ("nd3", "co2")}
    recovered, trained = load_reward("recovered"), load_reward("trained")
    print("random policy")
    for name, case in cases.items():
        random_policy(f"{name} compat=paper without D", case, PAPER, None, options.seconds)
        random_policy(f"{name} compat=paper", case, PAPER, recovered, options.seconds)
        random_policy(f"{name} default", case, RIGHT, trained, options.seconds)
    print("second action space")
    for name, case in cases.items():
        all_candidates(name, case, recovered)
    print("greedy agent")
    for name, case in cases.items():
        greedy_run(name, case, "paper", "recovered")
        greedy_run(name, case, None, "trained")
    print("level optimisation")
    fit_levels(
        np.array([0]), np.array([1]), np.ones(1), np.ones(1), n_levels=2, fixed_energy=np.array([0, np.nan])
    )
    for n_levels, n_lines in ((100, 400), (1000, 15_000), (3000, 50_000)):
        level_optimisation(n_levels, n_lines)
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
