"""Trained networks that a call asks for: found, read and checked before any work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spectuner_ext.errors import InputError
from spectuner_ext.pipeline.trained_policy import POLICY, TrainedPolicy, trained_policy
from spectuner_ext.spectroscopy import LineDatabase

from .json_values import is_unset
from .parameter import SPECTRA

__all__ = ["NO_POSTERIOR", "Networks", "networks_of"]

NO_POSTERIOR = "none"
"""Value of ``posterior`` that leaves the samples out."""


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """Networks of a call.

    Parameters
    ----------
    policy : TrainedPolicy or None
        Where fits start.
    posterior : TrainedPolicy or None
        Of which samples are wanted.
    """

    policy: TrainedPolicy | None
    posterior: TrainedPolicy | None

    @property
    def provenance(self) -> dict[str, Any]:
        """JSON-like: entry ``networks`` with the digest and the notes of each, if there are any."""
        found = {"weights": self.policy, "posterior": self.posterior}
        told = {name: dict(network.origin) for name, network in found.items() if network is not None}
        return {"networks": told} if told else {}

    @property
    def words(self) -> list[str]:
        """One line for the log on each."""
        lines = []
        for name, network in (("starts", self.policy), ("posterior", self.posterior)):
            if network is not None:
                o = network.origin
                lines.append(
                    f"{name}: network {o['file'] or 'as given'}, SHA-256 {o['sha256']}, on {o['device']}"
                )
        return lines


def networks_of(values: Mapping[str, Any], data: str, database: LineDatabase) -> Networks:
    """Load the networks that a call asks for.

    Raises
    ------
    InputError
        If weights are missing or damaged, there is no such device, or a parameter is for ``initial='policy'`` only.
    """
    by_policy = isinstance(values["initial"], str) and values["initial"] == POLICY
    wanted = values["posterior"]
    if not by_policy:
        for name in ("weights", "policy_every"):
            if not is_unset(values[name]) and values[name] != 1:
                raise InputError(f"{name}: is for initial='policy'; add that, or leave {name} out")
    policy = posterior = None
    if by_policy:
        policy = trained_policy(values["weights"] or None, values["device"], database, key="weights")
    if data == SPECTRA and wanted != NO_POSTERIOR and (by_policy or not is_unset(wanted)):
        named = None if is_unset(wanted) else wanted
        posterior = trained_policy(named, values["device"], database, key="posterior", shipped="posterior")
    return Networks(policy, posterior)
