"""Training of the learned score: weighted cross-entropy over candidates and "none of these", by Adam."""

from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..arrays import BoolArray, FloatArray
from ..reward_training import ADAM
from .hidden_levels import Examples
from .learned_score import CONTEXT, FEATURES, N_HIDDEN, LearnedScore, features, slices

__all__ = ["ScoreLog", "hand_made", "log_loss", "probabilities", "train_score"]

LEARNING_RATE = 3e-3
BATCH = 64
DECAY = 1e-3
"""Of the weights in the loss: half of it times their sum of squares draws the score to the hand-made one."""

LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class ScoreLog:
    """Losses by epoch; the first entry is that of the hand-made score.

    Parameters
    ----------
    training_loss, validation_loss : array, (n_epoch + 1,)
    best_epoch : int
        Whose weights were kept: that of the lowest validation loss.
    """

    training_loss: FloatArray
    validation_loss: FloatArray
    best_epoch: int


def train_score(
    training: Examples, validation: Examples, rng: np.random.Generator, *, n_epochs: int = 60
) -> tuple[LearnedScore, ScoreLog]:
    """Train, starting from the hand-made score.

    Parameters
    ----------
    training, validation : Examples
        Of different ions.
    rng : Generator
        Of the initial weights and the order of the updates.
    n_epochs : int

    Raises
    ------
    InputError
        Without examples.
    """
    if not len(training) or not len(validation):
        raise InputError(f"training: {len(training)} and {len(validation)} examples; some of each are needed")
    score = _initial(training, rng)
    given, held_out = _Inputs(score, training), _Inputs(score, validation)
    weights = score.weights.copy()
    best, best_epoch = weights.copy(), 0
    history = [(_loss(weights, given)[0], _loss(weights, held_out)[0])]
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    n_updates = 0
    for epoch in range(1, n_epochs + 1):
        order = rng.permutation(len(training))
        for start in range(0, order.size, BATCH):
            _, gradient = _loss(weights, given.select(order[start : start + BATCH]))
            gradient += DECAY * weights
            n_updates += 1
            first = ADAM[0] * first + (1 - ADAM[0]) * gradient
            second = ADAM[1] * second + (1 - ADAM[1]) * gradient**2
            slope = first / (1 - ADAM[0] ** n_updates)
            spread = np.sqrt(second / (1 - ADAM[1] ** n_updates))
            weights = weights - LEARNING_RATE * slope / (spread + ADAM[2])
        history.append((_loss(weights, given)[0], _loss(weights, held_out)[0]))
        if history[-1][1] < history[best_epoch][1]:
            best, best_epoch = weights.copy(), epoch
    columns = np.array(history).T
    trained = LearnedScore(
        best, score.centre, score.spread, score.context_centre, score.context_spread, "trained"
    )
    return trained, ScoreLog(columns[0], columns[1], best_epoch)


def hand_made() -> LearnedScore:
    """Score with all weights zero: the evidence as it is."""
    n = max(part.stop for part, _ in slices().values())
    return LearnedScore(
        np.zeros(n), np.zeros(len(FEATURES)), np.ones(len(FEATURES)), np.zeros(len(CONTEXT)), np.ones(len(CONTEXT)),
        "hand-made",
    )  # fmt: skip


def probabilities(score: LearnedScore, examples: Examples) -> FloatArray:
    """Posterior of every candidate and of "none of these", (n, n_kept + 1)."""
    return np.asarray(np.exp(_log_posterior(score.weights, _Inputs(score, examples))[0]))


def log_loss(score: LearnedScore, examples: Examples) -> float:
    """Weighted mean of -ln of the posterior of what is true."""
    return _loss(score.weights, _Inputs(score, examples))[0]


class _Inputs:
    """Examples as the network takes them."""

    def __init__(self, score: LearnedScore, examples: Examples) -> None:
        self.there: BoolArray = np.isfinite(examples.log_evidence)
        self.evidence = np.where(self.there, examples.log_evidence, 0.0)
        self.z = score.standardised(examples.terms)
        self.y = score.standardised_context(examples.context)
        self.rest, self.target = examples.rest, examples.target
        self.weight = examples.weight / examples.weight.mean()

    def select(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> "_Inputs":
        """Some of them, with the weights that they have."""
        part = object.__new__(_Inputs)
        for name in ("there", "evidence", "z", "y", "rest", "target", "weight"):
            setattr(part, name, getattr(self, name)[rows])
        return part


def _initial(training: Examples, rng: np.random.Generator) -> LearnedScore:
    """Hand-made score with the centres and spreads of the training set and a random hidden layer."""
    there = np.isfinite(training.log_evidence)
    seen = features(training.terms)[there]
    score = LearnedScore(
        np.zeros(max(part.stop for part, _ in slices().values())),
        seen.mean(axis=0),
        np.maximum(seen.std(axis=0), LEAST_SPREAD),
        training.context.mean(axis=0),
        np.maximum(training.context.std(axis=0), LEAST_SPREAD),
        "initial",
    )
    part, _ = slices()["hidden"]
    score.weights[part] = rng.standard_normal(N_HIDDEN * len(FEATURES)) / np.sqrt(len(FEATURES))
    return score


def _log_posterior(weights: FloatArray, x: _Inputs) -> tuple[FloatArray, FloatArray]:
    """Logarithm of the posteriors, (n, n_kept + 1), and the hidden layer, (n, n_kept, n_hidden)."""
    w = {name: weights[part].reshape(shape) for name, (part, shape) in slices().items()}
    hidden = np.tanh(x.z @ w["hidden"].T + w["hidden_bias"])
    of_candidates = np.where(x.there, x.evidence + x.z @ w["linear"] + hidden @ w["output"], -np.inf)
    of_none = x.rest + x.y @ w["none"] + w["none_bias"][0]
    score = np.column_stack([of_candidates, of_none])
    return score - np.logaddexp.reduce(score, axis=1)[:, None], hidden


def _loss(weights: FloatArray, x: _Inputs) -> tuple[float, FloatArray]:
    """Weighted mean cross-entropy and its gradient."""
    w = {name: weights[part].reshape(shape) for name, (part, shape) in slices().items()}
    log_p, hidden = _log_posterior(weights, x)
    n = x.target.size
    loss = -float(np.sum(x.weight * log_p[np.arange(n), x.target])) / n
    slope = np.exp(log_p)
    slope[np.arange(n), x.target] -= 1.0
    slope *= (x.weight / n)[:, None]
    of_candidates, of_none = np.where(x.there, slope[:, :-1], 0.0), slope[:, -1]
    back = of_candidates[:, :, None] * w["output"] * (1.0 - hidden**2)
    flat = back.reshape(-1, back.shape[-1])
    gradient = np.concatenate(
        [
            np.einsum("nk,nkf->f", of_candidates, x.z),
            (flat.T @ x.z.reshape(-1, x.z.shape[-1])).ravel(),
            flat.sum(axis=0),
            np.einsum("nk,nkh->h", of_candidates, hidden),
            of_none @ x.y,
            [of_none.sum()],
        ]
    )
    return loss, gradient
