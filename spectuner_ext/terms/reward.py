"""The published preference score D: seven numbers of each matched line, a network of 105 weights, one score.

Ding et al. (TAG-DQN), equation 8 and section 4.3.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from ..errors import InputError
from .arrays import FloatArray

if TYPE_CHECKING:
    from .calibration import Problem
    from .candidates import Candidates
    from .knowledge import Knowledge

__all__ = [
    "JUDGES",
    "N_FEATURES",
    "N_WEIGHTS",
    "Judge",
    "Reward",
    "load_reward",
    "preference",
    "scored_candidates",
]

Judge = Callable[["Problem", "Knowledge", "Candidates"], FloatArray]
"""Gives every candidate of a level a preference between 0 and 1, by all that is known; (n_candidate,)."""

JUDGES: dict[str, str] = {
    "evidence": "spectuner_ext.terms.evidence.judge:hand_made",
    "learned": "spectuner_ext.terms.evidence.judge:learned",
}
"""Name of a reward that is no network of 105 weights to ``module:function``, which makes its judge."""

N_FEATURES = 7
SHAPES: dict[str, tuple[int, ...]] = {
    "hidden.weight": (8, 7),
    "hidden.bias": (8,),
    "embed.weight": (4, 8),
    "embed.bias": (4,),
    "score.weight": (1, 4),
    "score.bias": (1,),
}
N_WEIGHTS = sum(int(np.prod(shape)) for shape in SHAPES.values())
"""105."""

UNIT_OF_UNCERTAINTY = 1e-4
"""cm^-1; uncertainties and distances enter as ``-log10(x / unit) / 4``."""
DISTANCE_FLOOR = 1e-3
"""cm^-1, added to the distance between implied energies before its logarithm."""


@dataclass(frozen=True, slots=True, eq=False)
class Reward:
    """Weights of the preference score.

    Parameters
    ----------
    weights : array, (105,)
        Layers 7-8 and 8-4 and 4-1 in order, each row by row with its biases behind it.
    source : str
        Where they come from.
    about : dict
        How they were obtained.
    judge : Judge or None
        Gives the preferences in place of the weights, which count for nothing then.
    """

    weights: FloatArray
    source: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    judge: Judge | None = None

    def __post_init__(self) -> None:
        """Check number and finiteness."""
        weights = np.ascontiguousarray(self.weights, dtype=np.float64)
        if weights.shape != (N_WEIGHTS,) or not np.isfinite(weights).all():
            raise InputError(
                f"{self.source or 'reward'}: {N_WEIGHTS} finite weights are needed, got shape {weights.shape}"
                f" with {np.count_nonzero(~np.isfinite(weights))} that are not finite"
            )
        object.__setattr__(self, "weights", weights)

    def write(self, path: str | Path) -> None:
        """Write as JSON."""
        if self.judge is not None:
            raise InputError(
                f"reward: {self.source!r} is a score and no set of weights; name it where it is used"
            )
        rounded = [float(f"{w:.9g}") for w in self.weights]
        Path(path).write_text(json.dumps({"about": self.about, "weights": rounded}, indent=1) + "\n", "utf-8")


def load_reward(which: str | Path) -> Reward:
    """Load weights: a name of those shipped, a JSON file, or the authors' own ``reward.pth``; or another score.

    Parameters
    ----------
    which : str or path
        ``"trained"``, a path ending in ``.json``, or a path of a PyTorch state dictionary, whose six tensors are
        recognised by their shapes. ``"evidence"`` and ``"learned"`` prefer candidates by their posterior
        probability (`JUDGES`).

    Raises
    ------
    InputError
        No such name or file, or tensors of other shapes.
    """
    if isinstance(which, str) and which in JUDGES:
        module, function = JUDGES[which].split(":")
        return Reward(np.zeros(N_WEIGHTS), which, judge=getattr(import_module(module), function)())
    if isinstance(which, str) and which in _shipped():
        text = files(__package__).joinpath("data", f"reward_{which}.json").read_text("utf-8")
        return _from_json(text, which)
    path = Path(which)
    if not path.is_file():
        raise InputError(
            f"reward {str(which)!r} is neither a file nor one of those shipped: {', '.join([*_shipped(), *JUDGES])}"
        )
    if path.suffix == ".json":
        return _from_json(path.read_text("utf-8"), str(path))
    return _from_torch(path)


def _shipped() -> list[str]:
    folder = files(__package__).joinpath("data")
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(n[7:-5] for n in names if n.startswith("reward_") and n.endswith(".json"))


def _from_json(text: str, source: str) -> Reward:
    try:
        found = json.loads(text)
        return Reward(np.asarray(found["weights"], dtype=np.float64), source, dict(found.get("about", {})))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{source}: a JSON object with 'weights' is needed: {error}") from error


def _from_torch(path: Path) -> Reward:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        tensors = {str(name): np.asarray(value.double().numpy()) for name, value in state.items()}
    except Exception as error:  # unpickling raises many kinds
        raise InputError(f"{path}: cannot be read as a PyTorch state dictionary: {error}") from error
    by_shape = {tensor.shape: tensor for tensor in tensors.values()}
    if len(tensors) != len(SHAPES) or set(by_shape) != set(SHAPES.values()):
        came = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
        need = ", ".join(str(shape) for shape in SHAPES.values())
        raise InputError(f"{path}: tensors of shapes {need} are needed ({N_WEIGHTS} weights), got {came}")
    return Reward(np.concatenate([by_shape[shape].ravel() for shape in SHAPES.values()]), str(path))


@njit(cache=True, nogil=True)
def log_uncertainty(x):  # type: ignore[no-untyped-def]
    """U(x) = -log10(x / 1e-4 cm^-1) / 4."""
    return -np.log10(x / UNIT_OF_UNCERTAINTY) / 4.0


@njit(cache=True, nogil=True)
def line_features(  # type: ignore[no-untyped-def]
    implied, uncertainty, log_i, log_i_calc, density, log_ratios, in_order, out
):
    """Fill the seven numbers of each matched line of one candidate.

    Parameters
    ----------
    implied : array, (n,), in cm^-1
        Energy of the level that each line implies after the level optimisation.
    uncertainty : array, (n,), in cm^-1
    log_i, log_i_calc : array, (n,), in dex
    density : array, (n,), in lines per 1000 cm^-1
    log_ratios, in_order : bool
        Conventions B7 and B8.
    out : array, (n, 7)
    """
    n = implied.size
    top_i = log_i[0]
    top_calc = log_i_calc[0]
    for i in range(1, n):
        top_i = max(top_i, log_i[i])
        top_calc = max(top_calc, log_i_calc[i])
    for i in range(n):
        nearest = np.inf
        for j in range(n):
            if j != i and (not in_order or abs(j - i) == 1):
                nearest = min(nearest, abs(implied[j] - implied[i]))
        u = log_uncertainty(uncertainty[i])
        d = log_uncertainty(nearest + DISTANCE_FLOOR)
        if log_ratios:
            a = log_i[i] / top_i
            b = log_i_calc[i] / top_calc
        else:
            a = log_i[i] - top_i
            b = log_i_calc[i] - top_calc
        out[i, 0] = u
        out[i, 1] = d
        out[i, 2] = u - abs(d)
        out[i, 3] = a
        out[i, 4] = b
        out[i, 5] = -abs(a - b)
        out[i, 6] = -np.log10(density[i]) / 3.0


@njit(cache=True, nogil=True)
def preference_kernel(features, weights):  # type: ignore[no-untyped-def]
    """Logit of the preference of one candidate from its line features, (n_match, 7)."""
    embedded = np.zeros(4)
    hidden = np.empty(8)
    for line in range(features.shape[0]):
        for i in range(8):
            value = weights[56 + i]
            for j in range(7):
                value += weights[7 * i + j] * features[line, j]
            hidden[i] = max(value, 0.0)
        for i in range(4):
            value = weights[96 + i]
            for j in range(8):
                value += weights[64 + 8 * i + j] * hidden[j]
            embedded[i] += value
    logit = weights[104]
    for i in range(4):
        logit += weights[100 + i] * embedded[i]
    return logit


def preference(features: FloatArray, weights: FloatArray) -> float:
    """Preference D of one candidate.

    ``sigmoid(w . sum_lines [ W2 relu(W1 x + b1) + b2 ] + b)``.

    Parameters
    ----------
    features : array, (n_match, 7)
    weights : array, (105,)
    """
    logit = float(preference_kernel(np.asarray(features, dtype=np.float64), weights))
    return float(1.0 / (1.0 + np.exp(-logit))) if logit >= 0 else float(np.exp(logit) / (1.0 + np.exp(logit)))


@njit(cache=True, nogil=True)
def scored_candidates(  # type: ignore[no-untyped-def]
    offset, implied, uncertainty, log_i, log_i_calc, density, weights, log_ratios, in_order
):
    """Line features and preferences of many candidates, each the part of the arrays between two offsets.

    Without weights the preference is 0.5.
    """
    score = np.full(offset.size - 1, 0.5)
    features = np.empty((implied.size, N_FEATURES))
    for i in range(score.size):
        a, b = offset[i], offset[i + 1]
        line_features(
            implied[a:b],
            uncertainty[a:b],
            log_i[a:b],
            log_i_calc[a:b],
            density[a:b],
            log_ratios,
            in_order,
            features[a:b],
        )
        if weights.size:
            score[i] = 1.0 / (1.0 + np.exp(-preference_kernel(features[a:b], weights)))
    return features, score
