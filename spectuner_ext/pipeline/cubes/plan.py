"""One fit of a cube: what is fitted to what, what its numbers depend on, and what its arrays mean."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...observation.cubes import ObservedCube
from ..trained_policy import POLICY
from .blocks import BlockTask, fit_block, reexamine_block
from .maps import CubeMaps
from .outcome import Outcome, PixelFlag
from .policy_starts import PolicyStarts
from .schedule import Fitter
from .selection import CubeNoise, SelectionSettings
from .starts import Starts
from .work import CubeWork

__all__ = ["Plan"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is to be fitted to what.

    Parameters
    ----------
    cube : ObservedCube
    work : CubeWork
    selection : SelectionSettings
    noise : CubeNoise
    starts : Starts
    given : array, (ny, nx, k, n_free), optional
        Starts in the scales of the fit.
    policy : PolicyStarts, optional
        Draws of a trained network.
    """

    cube: ObservedCube
    work: CubeWork
    selection: SelectionSettings
    noise: CubeNoise
    starts: Starts
    given: FloatArray | None
    policy: PolicyStarts | None = None

    @property
    def fitter(self) -> Fitter:
        """The task for the workers."""
        trust = self.starts.kind in ("neighbours", POLICY)
        task = BlockTask(self.work, self.selection, trust=trust, policy=self.policy)
        return Fitter(task, fit_block, reexamine_block, self.starts.propose)

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the numbers besides the data, for readers."""
        return {
            **self.work.settings,
            "selection": self.selection.as_dict(),
            "initial": self.starts.kind,
            **({} if self.policy is None else {"policy": dict(self.policy.settings)}),
            "components": [list(label) for label in self.work.labels],
            "free": list(self.work.names),
            "lower": self.work.joint.lower.tolist(),
            "upper": self.work.joint.upper.tolist(),
        }

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the parts that a store must share with this run."""
        proposer = self.starts.propose
        words: list[object] = [self.starts.kind]
        if self.policy is not None:
            words += self.policy.identity
        if proposer is not None:
            words.append(str(getattr(proposer, "fingerprint", lambda: _name_of(proposer))()))
        digest = hashlib.sha256(repr(words).encode())
        if self.given is not None:
            digest.update(np.ascontiguousarray(self.given).tobytes())
        return {
            "cube": self.cube.fingerprint(),
            "fit": self.work.fingerprint(),
            "selection": hashlib.sha256(repr(self.selection.as_dict()).encode()).hexdigest(),
            "starts": digest.hexdigest(),
        }

    @property
    def pinned(self) -> BoolArray | None:
        """Where entries of the fit vector are held by maps, (ny, nx, n_free)."""
        if not self.work.held:
            return None
        found = np.zeros((*self.cube.shape, len(self.work.names)), dtype=np.bool_)
        for h in self.work.held:
            i = self.work.space.layout.index[h.component, h.parameter]
            if i >= 0:
                found[..., i] |= np.isfinite(h.value)
        return found

    def maps(
        self,
        outcome: Outcome,
        run: Mapping[str, Any],
        *,
        first: Mapping[str, Any] | None = None,
        redone: Sequence[Mapping[str, Any]] = (),
    ) -> CubeMaps:
        """The arrays beside what they mean.

        Parameters
        ----------
        outcome : Outcome
        run : mapping
        first : mapping, optional
            Settings of the run that the maps began with, where this one only fitted some pixels again.
        redone : sequence of mapping
            What was different whenever pixels were fitted again.
        """
        work, cube = self.work, self.cube
        settings = self.settings if first is None else first
        lower, upper = (np.array(settings[end], dtype=np.float64) for end in ("lower", "upper"))
        n = work.space.n_free
        return CubeMaps.build(
            outcome,
            cube.frame,
            replace(work.space, lower=lower[:n], upper=upper[:n]),
            work.labels,
            free=work.names,
            lower=lower,
            upper=upper,
            wcs=cube.wcs,
            beam=cube.beam_header(),
            pinned=self.pinned,
            region=(outcome["flags"] & PixelFlag.OUTSIDE_REGION)
            == 0,  # what was redone outside is asked for, too
            meta={
                "label": cube.label,
                "settings": dict(settings),
                **({"redone": [dict(facts) for facts in redone]} if redone else {}),
                "noise": {
                    "sigma_K": [float(s) for s in self.noise.sigma],
                    "smoothing": [float(s) for s in self.noise.smoothing],
                    "origin": list(self.noise.origin),
                    "n_spectra": self.noise.n_spectra,
                },
                "run": dict(run),
            },
        )


def _name_of(function: Any) -> str:
    return (
        f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__name__)}"
    )
