"""Parameters of LTE components: names, scales, bounds, ties, and the map between fit vector and components."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["BOUNDS", "PARAMETERS", "Layout", "ParameterSpace", "Tie"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PARAMETERS = ("filling_factor", "T_ex", "N_tot", "fwhm", "v_off")
"""Order of the five parameters of a component: -, K, cm^-2, km/s, km/s."""

LOGARITHMIC = np.array([True, False, True, True, False])
"""Fitted as log10; Table 1 of Spectuner-D1."""

BOUNDS: dict[str, tuple[float, float]] = {
    "filling_factor": (1e-3, 10.0**-0.00043),
    "T_ex": (1.0, 1000.0),
    "N_tot": (1e12, 1e22),
    "fwhm": (10.0**-0.5, 10.0**1.5),
    "v_off": (-12.0, 12.0),
}
"""Default bounds in physical units; Table 1 of Spectuner-D1."""


class Layout(NamedTuple):
    """How a fit vector becomes component parameters (arrays, for the kernels).

    ``y[c, k] = offset[c, k] + x[index[c, k]]`` (without x where the index is -1), and the parameter is ``10^y``
    where `logarithmic`, else y. Tied parameters share an index.
    """

    index: IntArray  # type: ignore[assignment]  # (n_component, 5); hides tuple.index, which no one needs
    offset: FloatArray  # (n_component, 5)
    logarithmic: NDArray[np.bool_]  # (5,)


@dataclass(frozen=True, slots=True)
class Tie:
    """One parameter of several components varies as one; ``ratio`` scales it (logarithmic parameters only).

    Parameters
    ----------
    parameter : str
    components : tuple of int
        The first is the master.
    ratio : tuple of float
        Value of each component over the master's, such as (1, 1/60) for a carbon-13 isotopologue's N_tot.
    """

    parameter: str
    components: tuple[int, ...]
    ratio: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ParameterSpace:
    """Free parameters of a fit with their bounds, in the fit's own scales.

    Build it with `ParameterSpace.build`.

    Parameters
    ----------
    layout : Layout
    lower, upper : array, (n_free,)
        Bounds of the fit vector (log10 where the parameter is logarithmic).
    names : tuple of str, (n_free,)
    position : tuple of (int, int), (n_free,)
        Component and parameter number of the (first) owner of each free parameter.
    """

    layout: Layout
    lower: FloatArray
    upper: FloatArray
    names: tuple[str, ...]
    position: tuple[tuple[int, int], ...]

    @classmethod
    def build(
        cls,
        labels: Sequence[str],
        *,
        bounds: Sequence[Mapping[str, tuple[float, float]]] | None = None,
        fixed: Sequence[Mapping[str, float]] | None = None,
        ties: Sequence[Tie] = (),
    ) -> "ParameterSpace":
        """Lay out the free parameters of components.

        Parameters
        ----------
        labels : sequence of str, (n_component,)
            For the names of free parameters.
        bounds : sequence of mapping, (n_component,), optional
            Parameter name to (low, high) in physical units; the rest as in `BOUNDS`.
        fixed : sequence of mapping, (n_component,), optional
            Parameter name to the value it is held at.
        ties : sequence of Tie

        Raises
        ------
        InputError
            If a name is unknown, bounds are not increasing, or a value cannot be on its scale.
        """
        n = len(labels)
        bounds = bounds or [{}] * n
        fixed = fixed or [{}] * n
        index = np.full((n, 5), -1, dtype=np.int64)
        offset = np.zeros((n, 5))
        lower: list[float] = []
        upper: list[float] = []
        names: list[str] = []
        position: list[tuple[int, int]] = []
        for tie in ties:
            _check_tie(tie, n, fixed)
        slaves = {(c, _number(t.parameter)): t for t in ties for c in t.components[1:]}
        for c in range(n):
            for given in (*bounds[c], *fixed[c]):
                _number(given)
            for k, name in enumerate(PARAMETERS):
                if name in fixed[c]:
                    offset[c, k] = to_scale(fixed[c][name], k, f"fixed {name}")
                    continue
                if (c, k) in slaves:
                    continue
                low, high = bounds[c].get(name, BOUNDS[name])
                if not low < high:
                    raise InputError(
                        f"bounds: {name} of {labels[c]} has lower bound {low:g} and upper bound {high:g}; "
                        "give (low, high) with low < high, or use fixed to hold it"
                    )
                index[c, k] = len(names)
                lower.append(to_scale(low, k, f"bounds: lower bound of {name}"))
                upper.append(to_scale(high, k, f"bounds: upper bound of {name}"))
                names.append(f"{labels[c]} {name}")
                position.append((c, k))
        for (c, k), tie in slaves.items():
            master = tie.components[0]
            ratio = tie.ratio[tie.components.index(c)] if tie.ratio else 1.0
            index[c, k] = index[master, k]
            offset[c, k] = offset[master, k] + np.log10(ratio)
        layout = Layout(index, offset, LOGARITHMIC.copy())
        return cls(layout, np.array(lower), np.array(upper), tuple(names), tuple(position))

    @property
    def n_free(self) -> int:
        """Number of free parameters."""
        return len(self.names)

    def components(self, x: FloatArray) -> FloatArray:
        """Physical parameters, (n_component, 5), of a fit vector."""
        index, offset, logarithmic = self.layout
        y = offset + np.where(index >= 0, np.append(x, 0.0)[index], 0.0)
        y[:, logarithmic] = 10.0 ** y[:, logarithmic]
        return np.asarray(y)

    def component_batch(self, x: FloatArray, component: int) -> FloatArray:
        """Physical parameters (5, n) of one component for n fit vectors, x of shape (n, n_free)."""
        index, offset = self.layout.index[component], self.layout.offset[component]
        padded = np.column_stack([x, np.zeros(len(x))])  # index -1, held, takes the zeros
        y = offset[:, None] + padded[:, index].T
        y[self.layout.logarithmic] = 10.0 ** y[self.layout.logarithmic]
        return np.asarray(y)

    def vector(self, theta: FloatArray) -> FloatArray:
        """Fit vector of physical parameters `theta`, (n_component, 5), moved inside the bounds."""
        x = np.array([to_scale(theta[c, k], k, PARAMETERS[k]) for c, k in self.position])
        return np.asarray(np.clip(x, self.lower, self.upper))

    def slope(self, theta: FloatArray) -> FloatArray:
        """D parameter / d fit variable at `theta`, (n_component, 5)."""
        return np.asarray(np.where(self.layout.logarithmic, theta * np.log(10.0), 1.0))


def _check_tie(tie: Tie, n_component: int, fixed: Sequence[Mapping[str, float]]) -> None:
    """Refuse a tie that cannot hold."""
    what = f"ties: {tie.parameter} of components {tie.components}"
    number = _number(tie.parameter)
    if len(set(tie.components)) != len(tie.components) or len(tie.components) < 2:
        raise InputError(f"{what} needs two or more different components")
    if min(tie.components) < 0 or max(tie.components) >= n_component:
        raise InputError(f"{what} names a component that is not fitted; there are {n_component}")
    if tie.ratio:
        if len(tie.ratio) != len(tie.components):
            raise InputError(f"{what} has {len(tie.ratio)} ratios; give one per component, 1 for the first")
        if not all(r > 0 for r in tie.ratio):
            raise InputError(f"{what} needs positive ratios, got {tie.ratio}")
        if not LOGARITHMIC[number] and any(r != 1.0 for r in tie.ratio):
            raise InputError(f"{what}: a ratio can tie {', '.join(np.array(PARAMETERS)[LOGARITHMIC])} only")
    held = [c for c in tie.components[1:] if tie.parameter in fixed[c]]
    if held:
        raise InputError(f"{what}: component {held[0]} is also fixed; fix the first one, the others follow")


def to_scale(value: float, number: int, what: str) -> float:
    """A physical value on the scale it is fitted on."""
    if not np.isfinite(value) or (LOGARITHMIC[number] and value <= 0):
        need = "a positive number" if LOGARITHMIC[number] else "a finite number"
        raise InputError(f"{what} must be {need}, got {value!r}")
    return float(np.log10(value)) if LOGARITHMIC[number] else float(value)


def _number(name: str) -> int:
    """Position of a parameter name."""
    if name not in PARAMETERS:
        raise InputError(f"unknown parameter {name!r}; choose from {', '.join(PARAMETERS)}")
    return PARAMETERS.index(name)
