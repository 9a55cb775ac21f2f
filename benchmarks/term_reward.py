"""Weights of the published preference score: trained by the published recipe, or recovered from published logs.

    python benchmarks/term_reward.py train --cases DIR [--compat paper] [--seed N] [--write FILE]
    python benchmarks/term_reward.py recover --cases DIR [--seed N] [--restarts N] [--write FILE]

DIR holds the folders `co2` and `nd3`. `train` forgets known levels of Co II and validates on Nd III. `recover` looks
for weights of the published architecture with which the compat environment repeats the rewards that the authors
print: two searches on Nd III and one on Co II (tests/terms/data). These weights are inferred; the authors' own are in
their package. Start it with other seeds if the cost stays above the number of values: most starts end elsewhere.
"""

import argparse
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectuner_ext.terms import environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.conventions import PAPER, conventions_named
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.reward import N_WEIGHTS, Reward, preference
from spectuner_ext.terms.reward_training import ExpertTransition, expert_transitions, fractional_rank, train

LOGS = Path(__file__).parents[1] / "tests" / "terms" / "data"
PRINTED = 5e-5  # half a unit of the last printed digit
NEAR_REWARD = 0.004  # the Co II log comes from a slightly older line list: its first rewards differ this much
SAME_ENERGY = 0.05  # cm^-1
HINGE, MARGIN = 20.0, 0.002
RIDGE = 1e-3
OUTLIER = 5.0
SHAKE = 0.1


@dataclass
class Logged:
    """A decision of a published run: candidates, the one chosen, its D, and whether D must be the largest."""

    transition: ExpertTransition
    d: float
    sigma: float
    largest: bool


def as_transition(found, chosen):
    candidate = np.repeat(np.arange(len(found)), np.diff(found.offset))
    return ExpertTransition(found.level, found.features, candidate, len(found), chosen, 0.0)


def nd3_values(case):
    """Decisions of the greedy and the tree search on Nd III; level ids and energies are known for all."""
    problem = prepare(case.system, case.settings, PAPER)
    values = []
    state = environment.reset(problem)
    for _, level, _, _, energy, reward in log("tree_search_nd3")["steps"]:
        state, base, _ = environment.step(problem, state, level)
        found = environment.candidates(problem, state)
        chosen = int(np.argmin(np.abs(found.energy - energy)))
        values.append(Logged(as_transition(found, chosen), 1 + reward / base, 1.4 * PRINTED / base, False))
        state, _, _ = environment.step(problem, state, chosen)
    greedy = log("greedy_nd3")
    calculated = case.system.levels.energy
    final = {int(np.argmin(np.abs(calculated - e_calc))): energy for e_calc, energy, _ in greedy["levels"]}
    state = environment.reset(problem)
    for reward in greedy["a2_reward"]:
        level = int(environment.actions(problem, state)[np.argmax(environment.rewards(problem, state))])
        state, base, _ = environment.step(problem, state, level)
        found = environment.candidates(problem, state)
        chosen = len(found)
        if abs(reward + base) > 2 * PRINTED:
            chosen = int(np.argmin(np.abs(found.energy - final[level])))
            values.append(Logged(as_transition(found, chosen), 1 + reward / base, PRINTED / base, True))
        state, _, _ = environment.step(problem, state, chosen)
    return values


def co2_values(case, weights=None):
    """Decisions of the greedy search on Co II, whose log names levels at the end only.

    Each step is matched to the level on offer that has the logged number of candidates with the logged energy among
    them, and whose first reward (and D, once weights are at hand) come closest.
    """
    problem = prepare(case.system, case.settings, PAPER)
    logged = log("greedy_co2")
    labels = [str(label).strip() for label in case.system.levels.label]
    final = {}
    for label, energy, _ in logged["levels"]:
        for level in np.flatnonzero(np.isnan(problem.start_energy)):
            if labels[level] == label.strip():
                final.setdefault(int(level), []).append(energy)
    values, state = [], environment.reset(problem)
    for base, n, reward in zip(logged["a1_reward"], logged["a2_size"], logged["a2_reward"], strict=True):
        declined = abs(base + reward) < 2 * PRINTED
        options = []
        for level, own in zip(
            environment.actions(problem, state), environment.rewards(problem, state), strict=True
        ):
            if abs(own - base) > NEAR_REWARD:
                continue
            after, _, _ = environment.step(problem, state, int(level))
            found = environment.candidates(problem, after)
            if len(found) + 1 != n:
                continue
            if declined:
                options.append((abs(own - base), len(found), after, found))
            for energy in [] if declined else final.get(int(level), []):
                distance = np.abs(found.energy - energy)
                if distance.min() < SAME_ENERGY:
                    chosen = int(np.argmin(distance))
                    distance = abs(own - base)
                    if weights is not None:
                        d = preference(found.features[found.matches(chosen)], weights)
                        distance += abs(d - 1 - reward / base)
                    options.append((distance, chosen, after, found))
        if not options:
            continue
        _, chosen, state, found = min(options, key=lambda option: option[0])
        if not declined:
            values.append(Logged(as_transition(found, chosen), 1 + reward / base, 2 * PRINTED / base, True))
        state, _, _ = environment.step(problem, state, chosen)
    return values


def log(name):
    return tomllib.loads((LOGS / f"{name}.toml").read_text("utf-8"))


class Fit:
    """Levenberg-Marquardt on D - D_logged, on order violations, and on the distance from the start."""

    def __init__(self, values):
        size = np.cumsum([0] + [v.transition.n_candidates for v in values])
        self.n = int(size[-1])
        self.features = np.concatenate([v.transition.features for v in values])
        self.candidate = np.concatenate(
            [v.transition.candidate + a for v, a in zip(values, size[:-1], strict=True)]
        )
        self.chosen = np.array([a + v.transition.chosen for v, a in zip(values, size[:-1], strict=True)])
        self.d = np.array([v.d for v in values])
        self.sigma = np.maximum([v.sigma for v in values], 2e-4)
        self.pairs = np.array(
            [
                (a + v.transition.chosen, a + i)
                for v, a in zip(values, size[:-1], strict=True)
                for i in range(v.transition.n_candidates)
                if v.largest and i != v.transition.chosen
            ]
        )

    def scores(self, weights):
        """D of every candidate and its derivative by the weights."""
        w1, b1 = weights[:56].reshape(8, 7), weights[56:64]
        w2, b2, w3, b3 = weights[64:96].reshape(4, 8), weights[96:100], weights[100:104], weights[104]
        hidden = np.maximum(self.features @ w1.T + b1, 0)
        summed = np.zeros((self.n, 8))
        np.add.at(summed, self.candidate, hidden)
        count = np.bincount(self.candidate, minlength=self.n)[:, None]
        embedded = summed @ w2.T + count * b2
        slope = (w3 @ w2) * (hidden > 0)
        first, bias = np.zeros((self.n, 8, 7)), np.zeros((self.n, 8))
        np.add.at(first, self.candidate, slope[:, :, None] * self.features[:, None, :])
        np.add.at(bias, self.candidate, slope)
        second = w3[None, :, None] * summed[:, None, :]
        flat = first.reshape(self.n, 56), bias, second.reshape(self.n, 32), count * w3, embedded
        d = 1 / (1 + np.exp(-np.clip(embedded @ w3 + b3, -500, 500)))
        return d, (d * (1 - d))[:, None] * np.hstack([*flat, np.ones((self.n, 1))])

    def residual(self, weights, start):
        d, slope = self.scores(weights)
        gap = d[self.pairs[:, 0]] - d[self.pairs[:, 1]]
        tight = self.pairs[gap < MARGIN]
        values = (
            (d[self.chosen] - self.d) / self.sigma,
            HINGE * (MARGIN - gap[gap < MARGIN]),
            RIDGE * (weights - start),
        )
        slopes = (
            slope[self.chosen] / self.sigma[:, None],
            -HINGE * (slope[tight[:, 0]] - slope[tight[:, 1]]),
            RIDGE * np.eye(N_WEIGHTS),
        )
        return np.concatenate(values), np.vstack(slopes)

    def run(self, start, n_iterations):
        weights, damping = start, 0.1
        residual, slope = self.residual(weights, start)
        for _ in range(n_iterations):
            normal, gradient = slope.T @ slope, slope.T @ residual
            cost = residual @ residual
            for _ in range(12):
                damped = normal + damping * (np.diag(np.diag(normal)) + 1e-6 * np.eye(N_WEIGHTS))
                trial = weights - np.linalg.solve(damped, gradient)
                new_residual, new_slope = self.residual(trial, start)
                if new_residual @ new_residual < cost:
                    break
                damping *= 4
            else:
                return weights, cost
            weights, residual, slope, damping = trial, new_residual, new_slope, max(damping / 5, 1e-12)
            if cost - residual @ residual < 1e-7 * cost:
                break
        return weights, float(residual @ residual)

    def misfit(self, weights):
        return (self.scores(weights)[0][self.chosen] - self.d) / self.sigma


def recover(cases, seed, restarts):
    transitions = {
        name: expert_transitions(c.system, c.settings, np.random.default_rng(1), PAPER)
        for name, c in cases.items()
    }
    start, _ = train(transitions["co2"], transitions["nd3"], np.random.default_rng(seed))
    first = nd3_values(cases["nd3"])
    weights, _ = Fit(first + co2_values(cases["co2"])).run(start.weights, 600)
    values = first + co2_values(cases["co2"], weights)
    kept = [v for v, e in zip(values, Fit(values).misfit(weights), strict=True) if abs(e) < OUTLIER]
    fit, rng = Fit(kept), np.random.default_rng(seed)
    weights, cost = fit.run(weights, 1500)
    for _ in range(restarts):
        other, other_cost = fit.run(weights * (1 + SHAKE * rng.standard_normal(N_WEIGHTS)), 600)
        if other_cost < cost:
            weights, cost = other, other_cost
            print(f"cost {cost:.1f}", flush=True)
    d = fit.scores(weights)[0]
    about = {
        "what": "inferred from the rewards that the authors print, not their weights",
        "recipe": f"benchmarks/term_reward.py recover --seed {seed} --restarts {restarts}",
        "logged_values": len(kept),
        "dropped_values": len(values) - len(kept),
        "rms_of_D": float(np.sqrt(np.mean((fit.misfit(weights) * fit.sigma) ** 2))),
        "rms_in_sigma": float(np.sqrt(np.mean(fit.misfit(weights) ** 2))),
        "order_constraints": len(fit.pairs),
        "order_violations": int(np.sum(d[fit.pairs[:, 0]] < d[fit.pairs[:, 1]])),
    }
    return Reward(weights, "recovered", about)


def trained(cases, seed, compat):
    rng = np.random.default_rng(seed)
    conventions = conventions_named(compat)
    transitions = {
        name: expert_transitions(c.system, c.settings, rng, conventions) for name, c in cases.items()
    }
    reward, history = train(transitions["co2"], transitions["nd3"], rng)
    best = int(np.argmin(history.validation_loss))
    about = {
        "what": "trained by the published recipe: expert transitions of Co II, validated on Nd III",
        "recipe": f"benchmarks/term_reward.py train --seed {seed}"
        + (f" --compat {compat}" if compat else ""),
        "n_training": len(transitions["co2"]),
        "n_validation": len(transitions["nd3"]),
        "median_candidates": float(np.median([t.n_candidates for t in transitions["nd3"]])),
        "best_epoch": best + 1,
        "validation_loss": float(history.validation_loss[best]),
        "fractional_rank": fractional_rank(reward.weights, transitions["nd3"]),
    }
    return Reward(reward.weights, "trained", about)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["train", "recover"])
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--compat", choices=["paper"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--restarts", type=int, default=0)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    cases = {name: read_case(options.cases / name) for name in ("co2", "nd3")}
    reward = (
        recover(cases, options.seed, options.restarts)
        if options.what == "recover"
        else trained(cases, options.seed, options.compat)
    )
    for name, value in reward.about.items():
        print(f"{name}: {value}")
    if options.write:
        reward.write(options.write)


if __name__ == "__main__":
    main()
