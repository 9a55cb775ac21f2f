"""Who proposes parameters for a pair: nobody (uniform draws), what could be seen, or a trained policy."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fitting.proposal import propose
from ...policy.case import LOWER, UPPER, Case
from .pairs import peak_problem

__all__ = [
    "PolicyProposer",
    "Proposer",
    "RandomProposer",
    "WeightedProposer",
    "drawn",
    "identity_of",
    "log_density",
]

FloatArray = NDArray[np.float64]


class Proposer(Protocol):
    """Draws fit vectors of one free component: log10 eta, T_ex, log10 N_tot, log10 FWHM, v_off.

    It may also have ``log_prob(case, x) -> (n,)``, the log of its normalised density of fit vectors; and
    ``identity``, a text that differs where its draws would, which a store remembers. Both it and its draws must be
    picklable, to be sent to worker processes.
    """

    def propose(self, case: Case, n: int, seed: int) -> FloatArray:
        """Fit vectors, (n, 5), the same for the same seed."""
        ...


class Policy(Protocol):
    """What is asked of a trained policy; `spectuner_ext.policy.policy.FittingPolicy` is one."""

    def sample_cases(self, cases: Sequence[Case], n: int, seeds: Sequence[int]) -> FloatArray:
        """Fit vectors, (n_case, n, 5)."""
        ...

    def log_prob(self, observation: Any, species: Any, parameters: FloatArray) -> FloatArray:
        """Log density of fit vectors, (n,)."""
        ...


class RandomProposer:
    """Uniform over the bounds of Table 1 of Spectuner-D1: the start without any knowledge."""

    identity = "uniform over the bounds"

    def propose(self, case: Case, n: int, seed: int) -> FloatArray:
        """Fit vectors, (n, 5)."""
        return np.asarray(LOWER + (UPPER - LOWER) * np.random.default_rng(seed).random((n, LOWER.size)))


class WeightedProposer:
    """`spectuner_ext.fitting.proposal`: draws weighted to what could be seen, the package's own without a network."""

    identity = "weighted to what could be seen"

    def propose(self, case: Case, n: int, seed: int) -> FloatArray:
        """Fit vectors, (n, 5)."""
        return propose(peak_problem(case), n, np.random.default_rng(seed))


class PolicyProposer:
    """A trained policy.

    Parameters
    ----------
    path : path, optional
        Weights as `FittingPolicy.load` takes them; those that the package ships when not given. Every process
        loads them for itself.
    policy : Policy, optional
        A policy that is loaded already, in place of `path`.

    Raises
    ------
    InputError
        If both are given.
    """

    def __init__(self, path: str | Path | None = None, *, policy: Policy | None = None) -> None:
        if path is not None and policy is not None:
            raise InputError("policy: give the path of weights or a policy, not both")
        self.path = None if path is None else str(path)
        self._given, self._loaded = policy, policy

    def propose(self, case: Case, n: int, seed: int) -> FloatArray:
        """Fit vectors, (n, 5)."""
        return np.asarray(self.policy.sample_cases([case], n, [seed])[0])

    def log_prob(self, case: Case, x: FloatArray) -> FloatArray:
        """Log density of fit vectors, (n,)."""
        return self.policy.log_prob(case.observation, case.transitions, x)

    @property
    def identity(self) -> str:
        """Checksum of the weights, or what a policy that was given says of itself."""
        if self._given is not None:
            return str(getattr(self._given, "identity", type(self._given).__qualname__))
        from ...policy.weights import SHIPPED  # loads torch

        name = self.path or "proposal"
        file = SHIPPED.get(name, Path(name))
        try:
            return f"sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"
        except OSError as error:
            raise InputError(f"policy: weights {file} cannot be read: {error}") from error

    @property
    def policy(self) -> Policy:
        """The policy, loaded when it is first asked for."""
        if self._loaded is None:
            from ...policy.policy import FittingPolicy  # loads torch

            self._loaded = FittingPolicy.load(self.path)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: not a policy that can be loaded again."""
        return {**self.__dict__, "_loaded": self._given}


def drawn(proposer: Proposer, case: Case, n: int, seed: int) -> FloatArray:
    """Draws of a proposer, checked, and moved inside the bounds.

    Raises
    ------
    InputError
        If they are not (n, 5) finite numbers.
    """
    x = np.asarray(proposer.propose(case, n, seed), dtype=np.float64)
    if x.shape != (n, LOWER.size) or not np.all(np.isfinite(x)):
        raise InputError(
            f"proposer: {type(proposer).__name__} was asked for {n} fit vectors of {LOWER.size} finite numbers and "
            f"gave an array of shape {x.shape} with {np.count_nonzero(~np.isfinite(x))} that are not finite"
        )
    return np.clip(x, LOWER, UPPER)


def log_density(proposer: Proposer, case: Case, x: FloatArray) -> FloatArray | None:
    """Log density of fit vectors, (n,), or None where a proposer has none."""
    function = getattr(proposer, "log_prob", None)
    return None if function is None else np.asarray(function(case, x), dtype=np.float64)


def identity_of(proposer: Proposer) -> str:
    """What tells a proposer from another of the same name."""
    return str(getattr(proposer, "identity", type(proposer).__name__))
