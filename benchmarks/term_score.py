"""Train the learned score on simulated ions and the known levels of published cases, and test it on other ions.

    python benchmarks/term_score.py train --cases DIR --write spectuner_ext/terms/data/score_learned.json
    python benchmarks/term_score.py rank --cases DIR [--score FILE]
    python benchmarks/term_score.py search [--score FILE] [--ions 20]

DIR holds the folders `nd3` and `co2`; their keys are not read. `train` makes the examples (levels hidden with their
lines, and levels of forward searches on simulated ions), holds a fifth of the ions back for the choice of the epoch
and prints the loss on simulated ions of further seeds. `rank` hides levels and ranks the candidates of the decision
process by the published score D, the hand-made evidence and the learned score; on the published cases the learned
score should be one that was trained without them. `search` runs the evidence agent with both scores on ions of
further seeds.
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from term_confidence import draw

from spectuner_ext.terms.conventions import PAPER, RIGHT
from spectuner_ext.terms.evaluation import evaluate, key_of_truth
from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.evidence.hidden_levels import Examples, hidden_examples, joined
from spectuner_ext.terms.evidence.judge import EvidenceJudge
from spectuner_ext.terms.evidence.learned_score import LearnedScore, load_score
from spectuner_ext.terms.evidence.ranking import Ranks, ranks_of_hidden
from spectuner_ext.terms.evidence.score_training import hand_made, log_loss, probabilities, train_score
from spectuner_ext.terms.readers.case_folder import Case, read_case
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.reward import N_WEIGHTS, Reward, load_reward

SIZES = (100, 150, 200, 300)
TRAINING, TESTING = 30_000, 40_000
HELD_BACK = 5
"""Every so many ions, one chooses the epoch."""

CASES = ("nd3", "co2")
N_HIDDEN_SETS = 40


def simulated(first: int, n: int) -> list[Examples]:
    """Examples of simulated ions, good and poor, with many and few known levels."""
    parts = []
    for i in range(n):
        ion = draw(first + i, SIZES[i % len(SIZES)])
        stream = np.random.default_rng([first + i, 2])
        parts.append(
            hidden_examples(ion.system, ion.settings, ion.truth_energy, stream, n_depths=3, forward=True)
        )
    return parts


def published(case: Case, seed: int) -> Examples:
    """Examples of the known levels of a published case."""
    stream = np.random.default_rng([seed, 3])
    parts = [
        hidden_examples(
            case.system, case.settings, case.system.known_energy, stream, n_depths=8, whole_list=True
        )
        for _ in range(4)
    ]
    every = joined(parts)
    return every.select(np.arange(len(every)))


def told(name: str, score: LearnedScore, examples: list[Examples]) -> None:
    """Loss and share of the truth in the first place, over examples whose truth is among the candidates."""
    every = joined(examples)
    for what, which in (("hand-made", hand_made()), ("learned", score)):
        p = probabilities(which, every)
        first = np.argmax(p[:, :-1], axis=1) == every.target
        there = every.target < p.shape[1] - 1
        best = p[:, :-1].max(axis=1)
        sure = best > 0.9
        right = (np.argmax(p, axis=1) == every.target) & sure & there
        print(
            f"{name}, {what}: {len(every)} examples, loss {log_loss(which, every):.4f}, right candidate first "
            f"{first[there].mean():.4f}, above 0.9: {sure.sum()}, of these right {right.sum() / sure.sum():.4f}",
            flush=True,
        )


def trained(parts: list[Examples], seed: int, n_epochs: int) -> tuple[LearnedScore, dict[str, float]]:
    """Train with every fifth ion held back."""
    held = [part for i, part in enumerate(parts) if i % HELD_BACK == HELD_BACK - 1]
    used = [part for i, part in enumerate(parts) if i % HELD_BACK != HELD_BACK - 1]
    score, history = train_score(joined(used), joined(held), np.random.default_rng(seed), n_epochs=n_epochs)
    return score, {
        "n_training": sum(map(len, used)),
        "n_validation": sum(map(len, held)),
        "epoch": history.best_epoch,
        "validation_loss_of_hand_made": float(history.validation_loss[0]),
        "validation_loss": float(history.validation_loss[history.best_epoch]),
    }


def train(cases: Path | None, n_ions: int, seed: int, n_epochs: int, write: Path | None) -> None:
    """Train, test on other simulated ions, and write."""
    began = time.process_time()
    parts = simulated(TRAINING, n_ions)
    real = [published(read_case(cases / name), seed) for name in CASES] if cases else []
    print(f"{sum(map(len, parts))} examples of {n_ions} ions, {[len(r) for r in real]} of the cases, "
          f"{time.process_time() - began:.0f} s CPU", flush=True)  # fmt: skip
    score, about = trained([*real, *parts], seed, n_epochs)
    print(about, f"{time.process_time() - began:.0f} s CPU", flush=True)
    others = simulated(TESTING, max(n_ions // 4, 4))
    told("simulated ions of other seeds", score, others)
    alone, _ = trained(parts, seed, n_epochs)
    for name, examples in zip(CASES, real, strict=False):
        told(f"{name}, trained without the cases", alone, [examples])
    if write:
        recipe = f"benchmarks/term_score.py train --ions {n_ions} --seed {seed} --epochs {n_epochs}"
        text = "corrects the evidence; simulated ions and hidden start levels of Nd III and Co II"
        LearnedScore(
            score.weights, score.centre, score.spread, score.context_centre, score.context_spread, "learned",
            {"what": text, "recipe": recipe, **about},
        ).write(write)  # fmt: skip
        LearnedScore(
            alone.weights, alone.centre, alone.spread, alone.context_centre, alone.context_spread
        ).write(write.with_name(write.stem + "_simulated_only.json"))


def judged_by(score: LearnedScore) -> Reward:
    """Reward that prefers by a learned score."""
    return Reward(np.zeros(N_WEIGHTS), "learned", judge=EvidenceJudge(score))


def show(name: str, ranks: Ranks) -> None:
    """Mean fractional rank and share in the first place, by reward."""
    for reward in ranks.rank:
        print(
            f"{name}: {reward}: {ranks.level.size} levels, median {np.median(ranks.n_candidates):.0f} candidates, "
            f"fractional rank {ranks.fractional(reward).mean():.4f}, first {ranks.first(reward).mean():.3f}",
            flush=True,
        )


def rank(cases: Path, score: LearnedScore, n_ions: int) -> None:
    """Rank candidates of the decision process."""
    rewards = [load_reward("trained"), load_reward("evidence"), judged_by(score)]
    for name in CASES:
        case = read_case(cases / name)
        known = case.system.known.level
        hidden = [np.array([k]) for k in known[known > 0][:N_HIDDEN_SETS]]
        for conventions, these in ((RIGHT, rewards), (PAPER, [load_reward("recovered")])):
            show(name, ranks_of_hidden(
                case.system, case.settings, case.system.known_energy, these, hidden, np.random.default_rng(0),
                conventions=conventions, whole_list=True,
            ))  # fmt: skip
    parts = []
    for i in range(n_ions):
        ion = draw(TESTING + i, SIZES[i % len(SIZES)])
        parts.append(ranks_of_hidden(
            ion.system, ion.settings, ion.truth_energy, rewards, [np.empty(0, dtype=np.int64)],
            np.random.default_rng(0),
        ))  # fmt: skip
    show("simulated ions", Ranks(
        np.concatenate([p.level for p in parts]),
        np.concatenate([p.n_candidates for p in parts]),
        {r.source: np.concatenate([p.rank[r.source] for p in parts]) for r in rewards},
    ))  # fmt: skip


def search(score: LearnedScore, n_ions: int) -> None:
    """Evidence search with both scores."""
    totals = {name: np.zeros(5) for name in ("hand", "learned")}
    for i in range(n_ions):
        ion = draw(TESTING + i, SIZES[i % len(SIZES)])
        line = [f"{i}: {len(ion.system.levels)} levels, {len(ion.system.known)} known"]
        for name, which in (("hand", "hand"), ("learned", score)):
            began = time.process_time()
            result = evidence(ion.system, ion.settings, Request(options={"score": which}))
            seconds = time.process_time() - began
            verdict = evaluate(result, key_of_truth(ion.truth_energy), ion.settings.tolerance, by="level")
            right, sure = np.asarray(verdict.right), result.levels.probability > 0.9
            row = np.array([right.sum(), right.size, right[sure].sum(), sure.sum(), seconds])
            totals[name] += row
            line.append(f"{name} {row[0]:.0f}/{row[1]:.0f} ({row[2]:.0f}/{row[3]:.0f})")
        print("; ".join(line), flush=True)
    for name, row in totals.items():
        print(
            f"{name}: {row[0]:.0f} right of {row[1]:.0f} ({row[0] / row[1]:.4f}); P > 0.9: {row[2]:.0f} of "
            f"{row[3]:.0f} ({row[2] / row[3]:.4f}); {row[4] / n_ions:.1f} s CPU an ion"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "rank", "search"))
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--ions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--score", default="learned")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    if given.what == "train":
        train(given.cases, given.ions, given.seed, given.epochs, given.write)
    elif given.what == "rank":
        rank(given.cases, load_score(given.score), given.ions)
    else:
        search(load_score(given.score), given.ions)
