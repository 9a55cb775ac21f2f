"""The learned score: the evidence of a candidate, corrected by a small network on the terms that it is made of.

    s_i = ln W_i + a . z_i + v . tanh(U z_i + b)          for every candidate
    s_0 = ln(rest) + c . y + d                            for "none of these"

z are the terms of a candidate (`inputs.TERMS`, and shares of them), y what is told of the level, both standardised;
rest is what the total of the evidence holds beside the candidates. With all weights zero it is the hand-made score.
The posterior of a candidate is its share in the sum of exp(s).
"""

import hashlib
import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..arrays import BoolArray, FloatArray, IntArray
from .inputs import TERMS, Scores

__all__ = [
    "CONTEXT",
    "FEATURES",
    "N_HIDDEN",
    "LearnedScore",
    "context",
    "features",
    "load_score",
    "rest",
    "slices",
]

SHARES = ("place_per_line", "intensity_per_line", "chance_per_line", "strength_per_line", "share_matched")
FEATURES = (*TERMS, *SHARES)
CONTEXT = ("expected", "known", "expected_sd", "rest")
"""Of a level: ln of 1 + its expected transitions, ln of the number of known levels, ln of the standard deviation of
its expected energy in cm^-1, and the evidence of everything but the candidates."""

NUMBERS = ("weights", "centre", "spread", "context_centre", "context_spread")

N_HIDDEN = 12
FARTHEST = 4.0
"""Standard deviations at which features are held: beyond the training ions nothing is learned."""


def slices(n_hidden: int = N_HIDDEN) -> dict[str, tuple[slice, tuple[int, ...]]]:
    """Place and shape of each part of the weights."""
    shapes = {
        "linear": (len(FEATURES),),
        "hidden": (n_hidden, len(FEATURES)),
        "hidden_bias": (n_hidden,),
        "output": (n_hidden,),
        "none": (len(CONTEXT),),
        "none_bias": (1,),
    }
    parts, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        parts[name] = (slice(start, start + size), shape)
        start += size
    return parts


def features(terms: FloatArray) -> FloatArray:
    """Features of candidates, (..., n_feature), from their terms, (..., n_term)."""
    at = {name: terms[..., i] for i, name in enumerate(TERMS)}
    lines = np.maximum(at["lines"], 1.0)
    shares = [
        at["place"] / lines,
        at["intensity"] / lines,
        at["chance"] / lines,
        at["strength"] / lines,
        at["foreseen_matched"] / np.maximum(at["foreseen"], 0.1),
    ]
    return np.concatenate([terms, np.stack(shares, axis=-1)], axis=-1)


def rest(log_evidence: FloatArray, log_total: FloatArray, log_elsewhere: float) -> FloatArray:
    """Logarithm of what the total holds beside the candidates: other ones, that nothing is seen or it is elsewhere.

    Parameters
    ----------
    log_evidence : array, (n, n_kept)
    log_total : array, (n,)
    log_elsewhere : float
        Part of every total, so the least that can be left.
    """
    share = np.exp(np.where(np.isfinite(log_evidence), log_evidence - log_total[:, None], -np.inf))
    left = np.maximum(1.0 - np.minimum(share, 1.0).sum(axis=1), 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(log_total + np.log(left), log_elsewhere))


def context(n_expected: IntArray, n_known: int, expected_sd: FloatArray, left: FloatArray) -> FloatArray:
    """What is told of levels, (n, n_context); see `CONTEXT`."""
    n = n_expected.size
    return np.column_stack([np.log1p(n_expected), np.full(n, np.log(n_known)), np.log(expected_sd), left])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LearnedScore:
    """Weights of the learned score.

    Parameters
    ----------
    weights : array, (n_weight,)
        Parts as in `slices`.
    centre, spread : array, (n_feature,)
        By which features are standardised.
    context_centre, context_spread : array, (n_context,)
    source : str
        Where they come from.
    about : dict
        How they were obtained.
    """

    weights: FloatArray
    centre: FloatArray
    spread: FloatArray
    context_centre: FloatArray
    context_spread: FloatArray
    source: str = ""
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and numbers."""
        n_weight = max(part.stop for part, _ in slices().values())
        need = (n_weight, len(FEATURES), len(FEATURES), len(CONTEXT), len(CONTEXT))
        for name, n in zip(NUMBERS, need, strict=True):
            values = np.ascontiguousarray(getattr(self, name), dtype=np.float64)
            if values.shape != (n,) or not np.isfinite(values).all():
                raise InputError(
                    f"{self.source or 'learned score'}: {n} finite numbers are needed as {name}, got shape "
                    f"{values.shape}; train it anew for this version of the features"
                )
            object.__setattr__(self, name, values)
        if np.any(self.spread <= 0) or np.any(self.context_spread <= 0):
            raise InputError(f"{self.source or 'learned score'}: spreads must be positive")

    def __repr__(self) -> str:
        """Tell two scores apart by their numbers."""
        digest = hashlib.sha256()
        for name in NUMBERS:
            digest.update(getattr(self, name).tobytes())
        return f"LearnedScore({digest.hexdigest()[:16]})"

    def standardised(self, terms: FloatArray) -> FloatArray:
        """Features about their centre, in spreads."""
        z = (features(terms) - self.centre) / self.spread
        return np.asarray(np.clip(z, -FARTHEST, FARTHEST))

    def standardised_context(self, given: FloatArray) -> FloatArray:
        """Context about its centre, in spreads."""
        return np.asarray(np.clip((given - self.context_centre) / self.context_spread, -FARTHEST, FARTHEST))

    def of_candidates(self, log_evidence: FloatArray, terms: FloatArray) -> FloatArray:
        """Score of candidates, (...,), from their evidence and terms, (..., n_term)."""
        z = self.standardised(terms)
        parts = {name: self.weights[part].reshape(shape) for name, (part, shape) in slices().items()}
        hidden = np.tanh(z @ parts["hidden"].T + parts["hidden_bias"])
        return np.asarray(log_evidence + z @ parts["linear"] + hidden @ parts["output"])

    def of_none(self, left: FloatArray, given: FloatArray) -> FloatArray:
        """Score of "none of these", (n,), from `rest` and `context`."""
        parts = {name: self.weights[part] for name, (part, _) in slices().items()}
        return np.asarray(left + self.standardised_context(given) @ parts["none"] + parts["none_bias"][0])

    def rescore(
        self,
        scores: Scores,
        n_known: int,
        expected_sd: FloatArray,
        log_elsewhere: float,
        *,
        reorder: bool = True,
    ) -> BoolArray:
        """Replace evidence and total by the learned ones and put the candidates of every level in their new order.

        Parameters
        ----------
        scores : Scores
            With terms; changed.
        n_known : int
        expected_sd : array, (n_id,), in cm^-1
        log_elsewhere : float
        reorder : bool
            False leaves the candidates in their old order.

        Returns
        -------
        array of bool, (n_id,)
            Whether another candidate is the best now.
        """
        left = rest(scores.log_evidence, scores.log_total, log_elsewhere)
        none = self.of_none(left, context(scores.n_expected, n_known, expected_sd, left))
        there = np.isfinite(scores.log_evidence)
        terms = np.where(there[:, :, None], scores.terms, 0.0)
        new = np.where(there, self.of_candidates(np.where(there, scores.log_evidence, 0.0), terms), -np.inf)
        scores.log_total[:] = np.logaddexp.reduce(np.column_stack([new, none]), axis=1)
        if not reorder:
            scores.log_evidence[:] = new
            return np.zeros(left.size, dtype=np.bool_)
        order = np.argsort(-new, axis=1, kind="stable")
        for column in (scores.energy, scores.energy_sd, scores.n_lines):
            column[:] = np.take_along_axis(column, order, axis=1)
        scores.terms[:] = np.take_along_axis(scores.terms, order[:, :, None], axis=1)
        scores.log_evidence[:] = np.take_along_axis(new, order, axis=1)
        return np.asarray((order[:, 0] != 0) & there.any(axis=1))

    def write(self, path: str | Path) -> None:
        """Write as JSON."""
        rounded = {name: [float(f"{x:.7g}") for x in getattr(self, name)] for name in NUMBERS}
        text = json.dumps(
            {"about": self.about, "features": FEATURES, "context": CONTEXT, **rounded}, indent=1
        )
        Path(path).write_text(text + "\n", "utf-8")


def load_score(which: str | Path) -> LearnedScore:
    """Load a learned score: ``"learned"`` is the one that is shipped, anything else a JSON file.

    Raises
    ------
    InputError
        No such file, or one with other features.
    """
    if which == "learned":
        text, source = (
            files("spectuner_ext.terms").joinpath("data", "score_learned.json").read_text("utf-8"),
            "learned",
        )
    else:
        path = Path(which)
        if not path.is_file():
            raise InputError(f"score: {str(which)!r} is neither 'learned' nor a file; give one of these")
        text, source = path.read_text("utf-8"), str(path)
    try:
        found = json.loads(text)
        numbers = {name: np.asarray(found[name], dtype=np.float64) for name in NUMBERS}
        told = tuple(found["features"]), tuple(found["context"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"score: {source} is no learned score ({error}); write one with `LearnedScore.write`"
        ) from error
    if told != (FEATURES, CONTEXT):
        raise InputError(f"score: {source} was trained on other features; train it anew")
    return LearnedScore(**numbers, source=source, about=dict(found.get("about", {})))
