"""What is fitted to every pixel of a cube: components, bounds, loss, and templates; the same for all blocks."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...errors import InputError
from ...fitting import LOSSES
from ...fitting.batch.bank import N_TEMPLATE, Bank, build_bank
from ...fitting.batch.peak_bank import PeakBank
from ...fitting.batch.peak_search import build_banks as build_peak_banks
from ...fitting.batch.problem import BatchProblem
from ...lte.model import LTEModel
from ...lte.parameters import BOUNDS, PARAMETERS, ParameterSpace, to_scale
from ...observation.observation import Observation
from ...spectroscopy import LineDatabase
from ..judgement import LIMIT_FWHM, LIMIT_T_EX
from ..request import Component, components_for, reach, resolved_names, ties_between, transitions_for
from .outcome import Sizes

__all__ = ["CubeWork", "HeldMap"]

FloatArray = NDArray[np.float64]

DESCENTS = 3
"""Descents of each pixel and component on chi2, times the effort. With two of CH3OCHO 98.6 % of all pixels of a cube,
three quarters of them noise, ended at the best known minimum; with three, 99.2 %. Neighbours do the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldMap:
    """A parameter of one component that is held at another value in every pixel.

    Parameters
    ----------
    component, parameter : int
        Positions; the parameter in `PARAMETERS`.
    value : array, (ny, nx)
        In physical units; the parameter is free where it is not finite.
    """

    component: int
    parameter: int
    value: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class CubeWork:
    """A fit to be made of every pixel. Build it with `CubeWork.build`.

    Parameters
    ----------
    asked : tuple of Component
    labels : tuple of (str, int)
        Catalogue name and number within its species of each component.
    joint : BatchProblem
        Of all components.
    alone : tuple of BatchProblem
        Of each component by itself; that of a single component is `joint`.
    banks : tuple of Bank
        Of each of `alone`.
    peak_banks : tuple of PeakBank
        Of each component, for peak matching; empty for chi2.
    loss : str
        ``chi2`` or ``pm``.
    assumed : array, (n_component, 5)
        Filling factor, T_ex, (ignored), FWHM, v_off for upper limits.
    effort : int
        How many times as many starts as usual are followed.
    settings : mapping
        JSON-like: all that decides the outcome besides the data and the catalogue.
    held : tuple of HeldMap
    """

    asked: tuple[Component, ...]
    labels: tuple[tuple[str, int], ...]
    joint: BatchProblem
    alone: tuple[BatchProblem, ...]
    banks: tuple[Bank, ...]
    peak_banks: tuple[PeakBank, ...]
    loss: str
    assumed: FloatArray
    effort: int
    settings: Mapping[str, Any]
    held: tuple[HeldMap, ...] = field(default=())

    @classmethod
    def build(
        cls,
        frame: Observation,
        species: Sequence[str],
        database: LineDatabase,
        *,
        components: Mapping[str, int] | int | None = None,
        loss: str = "chi2",
        ninit: int | None = None,
        effort: int | None = None,
        initial: Mapping[str, object] | None = None,
        bounds: Mapping[str, object] | None = None,
        fixed: Mapping[str, object] | None = None,
        held: Sequence[HeldMap] = (),
        ties: Sequence[Mapping[str, object]] = (),
        offset: float = 0.0,
        noise_factor: float = 4.0,
        rel_height: float = 0.25,
        clip_negative: bool = False,
        smoothing: FloatArray | None = None,
        seed: int = 0,
    ) -> "CubeWork":
        """Find the lines, lay out the parameters, and compute the templates.

        Parameters
        ----------
        frame : Observation
            Channels, beams and selection of the cube, see `ObservedCube`.
        species, database, components, loss, bounds, fixed, ties, offset : see `fit_spectrum`
        ninit : int, optional
            Templates of each component; about 1000.
        effort : int, optional
            How many times as many starts as usual are followed in each pixel; 1.
        initial : mapping, optional
            Only what upper limits may assume; starts come with the blocks.
        held : sequence of HeldMap
        noise_factor, rel_height, clip_negative : see `fit_spectrum`
        smoothing : array, (n_window,), optional
            How neighbouring channels share their noise, see `Window`.
        seed : int
            Of the spread of templates.

        Raises
        ------
        InputError, SpeciesError
        """
        if not species:
            raise InputError("species: give at least one name")
        if loss not in LOSSES:
            raise InputError(f"loss: unknown loss {loss!r}; choose from {', '.join(LOSSES)}")
        if offset < 0 or not np.isfinite(offset):
            raise InputError(f"offset: needs a limit of 0 K or more, got {offset}")
        if offset > 0 and loss != "chi2":
            raise InputError(
                "offset: a baseline is fitted with loss='chi2' only; subtract it first, or use chi2"
            )
        for name, value in (("ninit", ninit), ("effort", effort)):
            if value is not None and value < 1:
                raise InputError(f"{name}: needs at least 1, got {value}")
        resolved = resolved_names(species, database)
        options: dict[str, Any] = {
            "components": components, "bounds": bounds, "fixed": fixed, "initial": initial,
        }  # fmt: skip
        asked = components_for(frame, species, resolved, **options)
        transitions = transitions_for(frame, species, database, *reach(asked))
        model = LTEModel.bind(frame, transitions, margin=reach(asked)[1])
        peaks: dict[str, Any] = {
            "noise_factor": noise_factor,
            "rel_height": rel_height,
            "clip_negative": clip_negative,
        }

        def problem_of(members: Sequence[Component], tied: Sequence[Any] = ()) -> BatchProblem:
            space = ParameterSpace.build(
                [m.label for m in members],
                bounds=[m.bounds for m in members],
                fixed=[m.fixed for m in members],
                ties=tied,
            )
            return BatchProblem.build(
                frame, model, space, [m.species for m in members], offset=offset, smoothing=smoothing, **peaks
            )

        joint = problem_of(asked, ties_between(asked, species, resolved, ties))
        if joint.n_free == 0:
            raise InputError("fixed: every parameter is held, so there is nothing to fit; leave one free")
        alone = tuple(problem_of([m]) for m in asked) if len(asked) > 1 else (joint,)
        banks = tuple(build_bank(p, ninit or N_TEMPLATE, seed) for p in alone)
        settings = {
            "species": list(resolved),
            "loss": loss,
            "ninit": ninit or N_TEMPLATE,
            "effort": effort or 1,
            "bounds": [{k: list(v) for k, v in m.bounds.items()} for m in asked],
            "fixed": [dict(m.fixed) for m in asked],
            "held": [[h.component, PARAMETERS[h.parameter], _digest(h.value)] for h in held],
            "ties": [dict(t) for t in ties],
            "offset": offset,
            **peaks,
            "smoothing": joint.smoothing.tolist(),
            "seed": seed,
            "catalogue": database.checksum,
        }
        return cls(
            asked=tuple(asked),
            labels=tuple((resolved[m.species], m.number) for m in asked),
            joint=joint,
            alone=alone,
            banks=banks,
            peak_banks=build_peak_banks(joint) if loss == "pm" else (),
            loss=loss,
            assumed=np.array([_assumed(m) for m in asked]),
            effort=int(settings["effort"]),
            settings=settings,
            held=tuple(held),
        )

    @property
    def sizes(self) -> Sizes:
        """Lengths of the axes of an outcome."""
        return Sizes(len(self.asked), self.joint.n_window, self.joint.n_free)

    @property
    def names(self) -> tuple[str, ...]:
        """Free parameters, such as ``CH3OH;v=0; #1 T_ex``."""
        return self.joint.names

    @property
    def space(self) -> ParameterSpace:
        """Layout of the fit vector."""
        return self.joint.space

    @property
    def model(self) -> LTEModel:
        """Forward model on the channels of the cube."""
        return self.joint.model

    def fingerprint(self) -> str:
        """Digest of all that decides the outcome besides the data: settings, catalogue, version."""
        text = json.dumps([__version__, self.settings], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def limits(self, pixel: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Bounds of the fit vector in given pixels (n, 2), as two arrays (n, n_free); equal where held."""
        shape = (pixel.shape[0], self.joint.n_free)
        lower = np.array(np.broadcast_to(self.joint.lower, shape))
        upper = np.array(np.broadcast_to(self.joint.upper, shape))
        layout = self.space.layout
        for h in self.held:
            i = layout.index[h.component, h.parameter]
            value = h.value[pixel[:, 0], pixel[:, 1]]
            known = np.isfinite(value)
            if i < 0 or not known.any():
                continue
            scaled = [to_scale(v, h.parameter, PARAMETERS[h.parameter]) for v in value[known]]
            lower[known, i] = upper[known, i] = np.array(scaled) - layout.offset[h.component, h.parameter]
        return lower, upper


def _digest(values: FloatArray) -> str:
    """Short digest of a map."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def _assumed(component: Component) -> list[float]:
    """What an upper limit on the column density takes for the other parameters: fixed, guessed, or typical."""
    typical = (BOUNDS["filling_factor"][1], LIMIT_T_EX, 0.0, LIMIT_FWHM, 0.0)
    values = []
    for name, usual in zip(PARAMETERS, typical, strict=True):
        value = component.fixed.get(name, component.initial.get(name, usual))
        if name in component.bounds and name != "N_tot":
            value = float(np.clip(value, *component.bounds[name]))
        values.append(float(value))
    return values
