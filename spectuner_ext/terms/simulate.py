"""Invented ions with a known answer: the test bench of agents and of their confidences."""

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .arrays import BoolArray, FloatArray, IntArray
from .configurations import CORES, count_levels
from .levels import Levels
from .lines import LineList
from .settings import AnalysisSettings
from .simulated_spectrum import BANDS, Conditions, ObservedLines, observe, true_energies
from .structure import Ion, calculate_ion
from .system import ClassifiedLines, KnownLevels, TermSystem
from .transitions import Transitions

__all__ = ["Conditions", "SimulatedIon", "simulate_ion"]

SIZES = (50, 3000)
"""Fewest and most levels of a simulated ion."""

EARLIER_ERROR = 0.005
"""cm^-1; of what earlier work says of a known level, before its lines here are taken into account."""

FEWEST_KNOWN, MOST_KNOWN = 8, 0.15
"""Levels known at the start: this many at least, this share of all at most."""

CROWDED = 500.0
"""Lines per 1000 cm^-1 above which chance coincidences take over; the suggested range starts where they are fewer."""


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedIon:
    """A case and, apart from it, its truth.

    Parameters
    ----------
    system : TermSystem
        What an agent may see.
    settings : AnalysisSettings
        Suggested for it.
    truth_energy : array, (n_level,), in cm^-1
        True energies of all levels.
    truth_upper, truth_lower : array of int, (n_line,)
        The levels that made each row of the ordered line list, -1 for lines of other origin.
    blended : array of bool, (n_line,)
        Whether others contribute a tenth of the intensity or more.
    core : str
        Core of the ion.
    """

    system: TermSystem
    settings: AnalysisSettings
    truth_energy: FloatArray
    truth_upper: IntArray
    truth_lower: IntArray
    blended: BoolArray
    core: str

    @property
    def truth_line(self) -> IntArray:
        """Upper and lower level of each row of the line list, -1 for lines of other origin; (n_line, 2)."""
        return np.column_stack((self.truth_upper, self.truth_lower))


def simulate_ion(
    *,
    n_levels: int = 300,
    n_known: int | None = None,
    n_lines: int | None = None,
    seed: int | np.random.Generator = 0,
    core: str | None = None,
    adjusted: bool = False,
    conditions: Conditions | None = None,
) -> SimulatedIon:
    """Invent an ion, calculate it imperfectly, record its spectrum, and start its analysis.

    Parameters
    ----------
    n_levels : int
        Levels of the calculation, 50 to 3000.
    n_known : int, optional
        Levels known at the start. When left out, so many that as many others have two lines or more to them, but
        at most 15 % of all (Nd III case: 39 levels known, 60 such others, 571 in all; Co II case: 141, 139, 871).
    n_lines : int, optional
        Lines of the list, about; when left out 2000 and 16 a level, the density of the Nd III case.
    seed : int or Generator
        The same seed and parameters give the same ion.
    core : str, optional
        One of `configurations.CORES`; drawn among those of suitable size when left out.
    adjusted : bool
        Whether the calculation repeats the known energies, as after the usual adjustment (Nd III case).
    conditions : Conditions, optional
        Quality of calculation and spectrum.

    Raises
    ------
    InputError
        Sizes that cannot be met.

    Examples
    --------
    >>> ion = simulate_ion(n_levels=60, seed=1)
    >>> len(ion.system.levels), ion.truth_energy.shape
    (60, (60,))
    """
    if not SIZES[0] <= n_levels <= SIZES[1]:
        raise InputError(
            f"n_levels is {n_levels}; the simulator makes ions of {SIZES[0]} to {SIZES[1]} levels"
        )
    if n_known is not None and not 2 <= n_known < n_levels:
        raise InputError(f"n_known is {n_known}; at least 2 and fewer than the {n_levels} levels are needed")
    n_lines = 2000 + 16 * n_levels if n_lines is None else n_lines
    if n_lines < 1:
        raise InputError(f"n_lines is {n_lines}; a line list has at least one line")
    conditions = conditions or Conditions()
    rng = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
    core = core or _draw_core(n_levels, rng)
    ion = calculate_ion(core, n_levels, rng)
    truth = true_energies(ion, conditions, rng)
    observed = observe(ion, truth, n_lines, conditions, rng)
    known = _start_levels(ion, truth, observed, n_known, rng)
    name = f"simulated {core} ion, {n_levels} levels"
    system = _system(ion, truth, observed, known, conditions, adjusted, name, rng)
    own = observed.transition >= 0
    return SimulatedIon(
        system,
        _settings(observed, core, n_levels, conditions),
        truth,
        np.where(own, ion.upper[observed.transition], -1),
        np.where(own, ion.lower[observed.transition], -1),
        observed.blended,
        core,
    )


def _draw_core(n_levels: int, rng: np.random.Generator) -> str:
    """Draw among the cores that have enough levels, and not many times too many."""
    size = {core: count_levels(core) for core in CORES}
    enough = sorted((core for core in CORES if size[core] >= 1.02 * n_levels), key=lambda core: size[core])
    most = max(3.0 * n_levels, 1.3 * size[enough[0]])
    return str(rng.choice([core for core in enough if size[core] <= most]))


def _start_levels(
    ion: Ion, truth: FloatArray, observed: ObservedLines, n_known: int | None, rng: np.random.Generator
) -> IntArray:
    """Choose the levels that a spectroscopist finds first: low ones with several strong lines to what is known."""
    row = np.flatnonzero(observed.transition >= 0)
    weight = np.minimum(np.log10(observed.snr[row]), 2.5)
    upper, lower = ion.upper[observed.transition[row]], ion.lower[observed.transition[row]]
    ends = np.concatenate((upper, lower))
    others, weights = np.concatenate((lower, upper)), np.concatenate((weight, weight))
    order = np.argsort(ends, kind="stable")
    ends, others, weights = ends[order], others[order], weights[order]
    first = np.searchsorted(ends, np.arange(truth.size + 1))
    score = -truth / 4000.0 + rng.standard_normal(truth.size)
    links = np.zeros(truth.size, dtype=np.int64)
    known: list[int] = []
    ground_term = [int(i) for i in np.flatnonzero(ion.term == ion.term[0])]
    free = np.ones(truth.size, dtype=bool)
    most = max(FEWEST_KNOWN, round(MOST_KNOWN * truth.size)) if n_known is None else n_known
    enough = best = 0
    while len(known) < most:
        if ground_term:
            new = ground_term.pop(0)
        else:
            reach = free & (links >= 2) if np.any(free & (links >= 2)) else free & (links >= 1)
            if not reach.any():
                break
            new = int(np.argmax(np.where(reach, score, -np.inf)))
        known.append(new)
        free[new] = False
        span = slice(first[new], first[new + 1])
        np.add.at(links, others[span], 1)
        np.add.at(score, others[span], weights[span])
        balance = min(len(known), int(np.count_nonzero(free & (links >= 2))))
        if balance >= best or len(known) <= FEWEST_KNOWN:
            enough, best = len(known), balance
    if n_known is None:
        known = known[:enough]
    return np.array(sorted(known), dtype=np.int64)


def _system(
    ion: Ion,
    truth: FloatArray,
    observed: ObservedLines,
    known: IntArray,
    conditions: Conditions,
    adjusted: bool,
    name: str,
    rng: np.random.Generator,
) -> TermSystem:
    is_known = np.zeros(truth.size, dtype=bool)
    is_known[known] = True
    row = np.flatnonzero(observed.transition >= 0)
    pair = observed.transition[row]
    take = is_known[ion.upper[pair]] & is_known[ion.lower[pair]]
    take &= rng.uniform(size=row.size) < conditions.classified
    row, pair = row[take], pair[take]
    energy, uncertainty = _optimise(truth, known, ion.upper[pair], ion.lower[pair], observed, row, rng)
    full = np.zeros(truth.size)
    full[known] = energy
    residual = np.abs(observed.wavenumber[row] - full[ion.upper[pair]] + full[ion.lower[pair]])
    fits = residual < np.maximum(5.0 * observed.uncertainty[row], 0.02)
    row, pair = row[fits], pair[fits]
    calculated = np.round(ion.energy, 3)
    if adjusted:
        calculated[known] = np.round(energy, 3)
    swapped = calculated[ion.upper] < calculated[ion.lower]
    upper = np.where(swapped, ion.lower, ion.upper)
    lower = np.where(swapped, ion.upper, ion.lower)
    return TermSystem(
        Levels(calculated, ion.two_j / 2, ion.parity, ion.label, source="simulated levels"),
        Transitions(
            upper, lower, ion.g_a, calculated[upper] - calculated[lower], source="simulated transitions"
        ),
        LineList(
            observed.wavenumber,
            observed.uncertainty,
            observed.intensity,
            observed.snr,
            source="simulated line list",
        ),
        KnownLevels(
            known,
            energy,
            uncertainty,
            np.full(known.size, "simulated"),
            source="simulated known levels",
        ),
        ClassifiedLines(
            ion.lower[pair],
            ion.upper[pair],
            observed.wavenumber[row],
            observed.uncertainty[row],
            observed.intensity[row],
            observed.snr[row],
            np.full(row.size, "simulated"),
            source="simulated known lines",
        ),
        name=name,
    )


def _optimise(
    truth: FloatArray,
    known: IntArray,
    upper: IntArray,
    lower: IntArray,
    observed: ObservedLines,
    row: IntArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Energies of the known levels as an analyst would have them: robust least squares of their own lines."""
    place = np.full(truth.size, -1)
    place[known] = np.arange(known.size)
    u, w = place[upper], place[lower]
    earlier = truth[known] + EARLIER_ERROR * rng.standard_normal(known.size)
    earlier[known == 0] = 0.0
    held = np.where(known == 0, 1e12, EARLIER_ERROR**-2.0)
    energy, covariance = earlier, np.diag(1.0 / held)
    trust = np.ones(row.size)
    for _ in range(4):
        weight = trust / observed.uncertainty[row] ** 2
        normal = np.diag(held)
        np.add.at(normal, (u, u), weight)
        np.add.at(normal, (w, w), weight)
        np.add.at(normal, (u, w), -weight)
        np.add.at(normal, (w, u), -weight)
        right = held * earlier
        np.add.at(right, u, weight * observed.wavenumber[row])
        np.add.at(right, w, -weight * observed.wavenumber[row])
        covariance = np.linalg.inv(normal)
        energy = covariance @ right
        pull = (observed.wavenumber[row] - energy[u] + energy[w]) / observed.uncertainty[row]
        trust = 1.0 / (1.0 + (pull / 3.0) ** 4)
    energy = np.where(known == 0, 0.0, np.abs(energy))
    return energy, np.where(known == 0, 0.0, np.sqrt(np.diag(covariance)))


def _settings(observed: ObservedLines, core: str, n_levels: int, conditions: Conditions) -> AnalysisSettings:
    """Suggest what an analyst would choose, from the list and from the stated quality of the calculation."""
    low, high = BANDS[core[:2]]
    edges = np.arange(low, low + 0.3 * (high - low), 1000.0)
    density = np.histogram(observed.wavenumber, np.append(edges, edges[-1] + 1000.0))[0]
    crowded = np.flatnonzero(density > CROWDED)
    start = edges[crowded[-1]] + 1000.0 if crowded.size else low
    sigma = np.sqrt(
        conditions.configuration_error**2
        + conditions.parent_error**2
        + conditions.term_error**2
        + conditions.level_error**2
    )
    return AnalysisSettings(
        spectral_range=(float(start), high),
        energy_window=float(max(1500.0, 100.0 * np.ceil(0.03 * sigma))),
        intensity_window=1.1,
        horizon=2 * max(16, round(0.11 * n_levels)),
    )
