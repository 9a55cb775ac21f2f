"""The state of a search: energies, who claims which line, and all that is fitted to them."""

from collections.abc import Sequence
from copy import copy

import numpy as np

from ...errors import InputError
from ..arrays import BoolArray, FloatArray, IntArray
from ..labels import LabelGroups
from ..level_fit import fit_levels
from ..request import ByHand
from ..settings import AnalysisSettings
from ..system import TermSystem
from .density import log_line_density
from .inputs import NO_TERMS, TERMS, Graph, Numbers, Scores, Spectrum, State
from .intensity import DetectionLimit, Offsets, detection_limit, fit_offsets, fit_population
from .kernel import score_levels
from .model import EvidenceModel
from .prior import EnergyPrior, energy_prior

__all__ = ["N_KEPT", "SearchState"]

N_KEPT = 8
"""Candidates that are kept of each level."""

MARGIN_DEX = 1.0
"""Offsets of configurations and levels may make a line this much brighter than it is expected without them."""

USUAL_LOG_GA = 5.0
"""Decimal logarithm of gA in s^-1 of a known line that the calculation does not have."""

_OWN = ("energy", "energy_sd", "claimed", "transition_of", "_line", "order", "log_odds", "first_odds")
"""What a branch of a search changes."""


class SearchState:
    """Energies and claims, changed by `accept` and `take_back`; `refit` brings everything fitted up to date.

    Parameters
    ----------
    system : TermSystem
    settings : AnalysisSettings
    groups : LabelGroups
    model : EvidenceModel
    by_hand : ByHand
    """

    def __init__(
        self,
        system: TermSystem,
        settings: AnalysisSettings,
        groups: LabelGroups,
        model: EvidenceModel,
        by_hand: ByHand,
    ) -> None:
        self.system, self.settings, self.groups, self.model, self.by_hand = (
            system, settings, groups, model, by_hand,
        )  # fmt: skip
        self.n_levels = len(system.levels)
        self._slots()
        lines = system.lines
        self.wavenumber = lines.wavenumber
        self.log_intensity = np.log10(lines.intensity)
        self.line_sd = np.hypot(model.uncertainty_factor * lines.uncertainty, model.uncertainty_floor)
        self.limit: DetectionLimit = detection_limit(lines, snr=model.snr_limit)
        self.claimed: BoolArray = self._claimed_at_start()
        self.transition_of: IntArray = np.full(len(lines), -1, dtype=np.int64)
        self.energy: FloatArray = system.known_energy.copy()
        self.energy_sd: FloatArray = np.full(self.n_levels, np.nan)
        given = system.known.uncertainty
        self.energy_sd[system.known.level] = np.where(given > 0, given, model.known_sd)
        self.by_hand_levels: set[int] = set()
        self.order: dict[int, int] = {}
        self.log_odds: dict[int, float] = {}
        self.first_odds: dict[int, float] = {}
        self.fixed: FloatArray = self._fixed_at_start()
        self.prior: EnergyPrior | None = None
        self._line = np.full(self.graph.partner.size, -2, dtype=np.int64)
        self._classified_log_ga = self._log_ga_of_classified()
        self._classified_sd = np.hypot(
            model.uncertainty_factor * system.classified.uncertainty, model.uncertainty_floor
        )
        self._forbidden = (
            np.array([k for k, _ in by_hand.reject_energies], dtype=np.int64),
            np.array([e for _, e in by_hand.reject_energies], dtype=np.float64),
        )
        self.pinned_lines: BoolArray = np.zeros(len(lines), dtype=np.bool_)
        self._accept_by_hand()
        self.refit()
        self._lines_of_pinned()

    def branch(self) -> "SearchState":
        """Return a copy whose changes leave this one as it is; what never changes is shared."""
        other = copy(self)
        for name in _OWN:
            setattr(other, name, getattr(self, name).copy())
        return other

    def _slots(self) -> None:
        """Every transition from both of its levels."""
        t = self.system.transitions
        use = np.flatnonzero(t.g_a > 0)
        level = np.concatenate([t.upper[use], t.lower[use]])
        partner = np.concatenate([t.lower[use], t.upper[use]])
        is_upper = np.repeat([True, False], use.size)
        order = np.argsort(level, kind="stable")
        self.slot_transition = np.concatenate([use, use])[order]
        unknown = self.groups.configuration < 0
        configuration = np.where(
            unknown, self.groups.configuration.max(initial=-1) + 1, self.groups.configuration
        )
        self.n_configurations = int(configuration.max()) + 1
        self.graph = Graph(
            np.searchsorted(level[order], np.arange(self.n_levels + 1)),
            partner[order],
            is_upper[order],
            np.log10(t.g_a[use])[np.concatenate([np.arange(use.size)] * 2)[order]],
            configuration.astype(np.int64),
        )

    def _log_ga_of_classified(self) -> FloatArray:
        t, c = self.system.transitions, self.system.classified
        log_ga = {
            (int(u), int(low)): np.log10(g)
            for u, low, g in zip(t.upper, t.lower, t.g_a, strict=True)
            if g > 0
        }
        pairs = zip(c.upper, c.lower, strict=True)
        return np.array([log_ga.get((int(u), int(low)), USUAL_LOG_GA) for u, low in pairs], dtype=np.float64)

    def _claimed_at_start(self) -> BoolArray:
        """Lines of the list that are classified already, and those that a person rejected."""
        claimed = np.zeros(self.wavenumber.size, dtype=np.bool_)
        claimed[list(self.by_hand.reject_lines)] = True
        c = self.system.classified
        if len(c):
            row = nearest(self.wavenumber, c.wavenumber)
            close = np.abs(self.wavenumber[row] - c.wavenumber) <= np.maximum(3.0 * c.uncertainty, 0.01)
            claimed[row[close]] = True
        return claimed

    def _fixed_at_start(self) -> FloatArray:
        """Energies that the level optimisation holds."""
        fixed = self.system.known_energy.copy()
        if self.settings.float_levels and len(self.system.classified):
            fixed[1:] = np.nan
            c = self.system.classified
            reached = fit_levels(
                c.lower, c.upper, c.wavenumber, c.uncertainty, n_levels=self.n_levels, fixed_energy=fixed
            ).energy
            loose = np.isnan(reached) & np.isfinite(self.system.known_energy)
            fixed[loose] = self.system.known_energy[loose]
        return np.asarray(fixed)

    def _accept_by_hand(self) -> None:
        """Lines and levels that a person decided; a line whose other level is known gives the level's energy."""
        upper, lower = self._pairs()
        pair = {(int(u), int(low)): i for i, (u, low) in enumerate(zip(upper, lower, strict=True))}
        for level, energy in self.by_hand.accept_levels:
            self.energy[level] = self.fixed[level] = energy
            self.energy_sd[level] = max(self.settings.tolerance / 2.0, self.model.known_sd)
            self._note(level)
        for line, low, up in self.by_hand.accept_lines:
            self.claimed[line] = self.pinned_lines[line] = True
            if (up, low) not in pair:
                raise InputError(
                    f"accept: the line at {self.wavenumber[line]:.4f} cm-1 is given to levels {low} and {up}, "
                    "between which the calculation has no transition"
                )
            self.transition_of[line] = pair[(up, low)]
            for level, other, sign in ((up, low, 1.0), (low, up, -1.0)):
                if np.isnan(self.energy[level]) and np.isfinite(self.energy[other]):
                    self.energy[level] = self.energy[other] + sign * self.wavenumber[line]
                    self.energy_sd[level] = self.line_sd[line]
                    self._note(level)

    def _note(self, level: int) -> None:
        self.by_hand_levels.add(level)
        self.order[level], self.log_odds[level] = len(self.order), np.inf
        self.first_odds[level] = np.inf

    def _lines_of_pinned(self) -> None:
        """Claim the lines that a level has at the energy that a person, or a line of theirs, gave."""
        for level in sorted(self.by_hand_levels):
            energy, sd = float(self.energy[level]), float(self.energy_sd[level])
            self.energy[level] = np.nan
            self.score([level], near=np.array([energy]))
            self.energy[level], self.energy_sd[level] = energy, sd
            self.claim(self.matched(level))
        if self.by_hand_levels:
            self.refit()

    def _pairs(self) -> tuple[IntArray, IntArray]:
        return self.system.transitions.upper, self.system.transitions.lower

    @property
    def found(self) -> IntArray:
        """Ids of the levels that the search accepted, in order of acceptance."""
        return np.array(sorted(self.order, key=lambda k: self.order[k]), dtype=np.int64)

    @property
    def unknown(self) -> IntArray:
        """Ids of the levels that the search may still determine."""
        ids = np.flatnonzero(np.isnan(self.energy))
        return np.asarray(ids[~np.isin(ids, list(self.by_hand.reject_levels))])

    def lines_of(self, level: int) -> IntArray:
        """Lines that are assigned to transitions of a level, from either side."""
        upper, lower = self._pairs()
        lines = np.flatnonzero(self.transition_of >= 0)
        t = self.transition_of[lines]
        return np.asarray(lines[(upper[t] == level) | (lower[t] == level)])

    def score(
        self, ids: Sequence[int] | IntArray, near: FloatArray | None = None, *, with_terms: bool = False
    ) -> Scores:
        """Score levels.

        Parameters
        ----------
        ids : array of int, (n_id,)
        near : array, (n_id,), in cm^-1, optional
            Look only at energies within the reach of these.
        with_terms : bool
            Tell what the evidence of every candidate is made of.
        """
        ids = np.asarray(ids, dtype=np.int64)
        bottom, top = self.bottom, self.top
        if near is not None:
            bottom, top = bottom.copy(), top.copy()
            bottom[ids], top[ids] = near - self.model.reach, near + self.model.reach
        shape = (ids.size, N_KEPT)
        scores = Scores(
            np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape, dtype=np.int64),
            np.empty(ids.size), np.empty(ids.size, dtype=np.int64), self._line,
            np.empty((*shape, len(TERMS))) if with_terms or self.model.learned else NO_TERMS,
        )  # fmt: skip
        assert self.prior is not None
        calc = self.system.levels.energy
        state = State(
            self.energy, self.energy_sd, calc + self.prior.mean, self.prior.sd, bottom, top,
            self.offsets.configuration, self.offsets.level, self.offsets.level_sd, *self._forbidden,
        )  # fmt: skip
        score_levels(ids, self.graph, self._spectrum(self.claimed), state, self.numbers, scores)
        for row, level in enumerate(ids if self.by_hand.accept_lines else ids[:0]):
            claimed = self.claimed.copy()
            claimed[self._own_lines(int(level))] = False
            part = slice(row, row + 1)
            one = Scores(
                scores.energy[part], scores.log_evidence[part], scores.energy_sd[part], scores.n_lines[part],
                scores.log_total[part], scores.n_expected[part], scores.line, scores.terms[part],
            )  # fmt: skip
            score_levels(ids[part], self.graph, self._spectrum(claimed), state, self.numbers, one)
        if self.model.learned is not None:
            n_known = self.n_levels - int(np.count_nonzero(np.isnan(self.energy)))
            changed = self.model.learned.rescore(
                scores, n_known, self.prior.sd[ids], self.numbers.log_elsewhere, reorder=near is None
            )
            self._look_again(ids, scores, np.flatnonzero(changed))
        return scores

    def _look_again(self, ids: IntArray, scores: Scores, rows: IntArray) -> None:
        """Find the lines of the best candidates in some rows where the score prefers another than the evidence."""
        for row in rows:
            there = self.score(ids[[row]], near=scores.energy[[row], 0])
            for name in ("energy", "energy_sd", "n_lines"):
                getattr(scores, name)[row, 0] = getattr(there, name)[0, 0]

    def _spectrum(self, claimed: BoolArray) -> Spectrum:
        return Spectrum(
            self.wavenumber,
            self.log_intensity,
            self.line_sd,
            self.log_density,
            claimed,
            self.limit.log_intensity,
        )

    def _own_lines(self, level: int) -> IntArray:
        """Lines that a person gave to an unknown level: they are claimed for all others."""
        lines = np.flatnonzero(self.pinned_lines & (self.transition_of >= 0))
        upper, lower = self._pairs()
        t = self.transition_of[lines]
        return np.asarray(lines[(upper[t] == level) | (lower[t] == level)])

    def matched(self, level: int) -> list[tuple[int, int]]:
        """(transition, line) of the best candidate of a level in the last scoring."""
        a, b = self.graph.pointer[level], self.graph.pointer[level + 1]
        line = self._line[a:b]
        return [(int(t), int(i)) for t, i in zip(self.slot_transition[a:b], line, strict=True) if i >= 0]

    def accept(
        self, level: int, energy: float, sd: float, log_odds: float, lines: Sequence[tuple[int, int]],
        *, order: int | None = None, first_odds: float | None = None,
    ) -> None:  # fmt: skip
        """Take a candidate as known and claim its (transition, line) pairs.

        A level that comes back keeps its `order` and the odds that it was first accepted with.
        """
        self.energy[level], self.energy_sd[level] = energy, max(sd, 1e-4)
        last = max(self.order.values(), default=-1)
        self.order[level] = last + 1 if order is None else order
        self.log_odds[level] = log_odds
        self.first_odds[level] = log_odds if first_odds is None else first_odds
        self.claim(lines)

    def claim(self, lines: Sequence[tuple[int, int]]) -> None:
        """Assign lines to transitions, given as (transition, line)."""
        for transition, line in lines:
            if not self.pinned_lines[line]:
                self.transition_of[line] = transition
            self.claimed[line] = True

    def partners_of(self, level: int) -> IntArray:
        """Levels that the lines of a level lead to, each once."""
        upper, lower = self._pairs()
        t = self.transition_of[self.lines_of(level)]
        return np.unique(np.where(upper[t] == level, lower[t], upper[t]))

    def dependants_of(self, level: int, n_lines: int) -> IntArray:
        """Accepted levels that would have fewer than `n_lines` lines without this one."""
        alone = [
            k for k in self.partners_of(level) if int(k) in self.order and np.isnan(self.fixed[k])
            and self.lines_of(int(k)).size - 1 < n_lines
        ]  # fmt: skip
        return np.array(alone, dtype=np.int64)

    def claims_between(self, level: int, others: IntArray) -> list[tuple[int, int]]:
        """(transition, line) pairs that lie between a level and some others."""
        upper, lower = self._pairs()
        lines = self.lines_of(level)
        t = self.transition_of[lines]
        partner = np.where(upper[t] == level, lower[t], upper[t])
        inside = np.isin(partner, others)
        return [(int(a), int(b)) for a, b in zip(t[inside], lines[inside], strict=True)]

    def release(self, lines: IntArray) -> None:
        """Give lines back to the pool, except those that a person assigned."""
        lines = lines[~self.pinned_lines[lines]]
        self.transition_of[lines] = -1
        self.claimed[lines] = False

    def take_back(self, level: int) -> None:
        """Make an accepted level unknown again and free all lines that lead to it."""
        self.release(self.lines_of(level))
        del self.order[level], self.log_odds[level], self.first_odds[level]
        self.energy[level] = self.energy_sd[level] = np.nan

    def refit(self) -> None:
        """Fit levels, populations, offsets, density of free lines and energy prior to what is accepted."""
        upper, lower = self._pairs()
        lines = np.flatnonzero(self.transition_of >= 0)
        t = self.transition_of[lines]
        both = np.isfinite(self.energy[upper[t]]) & np.isfinite(self.energy[lower[t]])
        lines, t = lines[both], t[both]
        self._fit_levels(lines, lower[t], upper[t])
        c, model = self.system.classified, self.model
        log_i = np.concatenate([np.log10(c.intensity), self.log_intensity[lines]])
        log_ga = np.concatenate([self._classified_log_ga, np.log10(self.system.transitions.g_a[t])])
        up = np.concatenate([c.upper, upper[t]])
        e_up = self.energy[up]
        if log_i.size >= 3 and np.ptp(e_up) > 0:
            intercept, slope, _ = fit_population(log_i, log_ga, e_up)
        else:
            intercept, slope = self._population_without_lines()
        self.offsets: Offsets = fit_offsets(
            log_i - log_ga - intercept - slope * e_up, up, self.graph.configuration,
            n_configuration=self.n_configurations, sd_line=model.sd_line, sd_level=model.sd_level,
            sd_configuration=model.sd_configuration,
        )  # fmt: skip
        self.log_density = log_line_density(self.wavenumber, self.log_intensity, ~self.claimed)
        known = np.flatnonzero(np.isfinite(self.energy))
        self.prior = energy_prior(
            self.system.levels, self.groups, known, self.energy[known],
            scale=model.prior_scale, last=self.prior.scales if self.prior else None,
        )  # fmt: skip
        self._set_windows()
        low = max(self.settings.spectral_range[0], float(self.wavenumber[0]) - model.reach)
        high = min(self.settings.spectral_range[1], float(self.wavenumber[-1]) + model.reach)
        self.numbers = Numbers(
            intercept, slope, low, high, self.settings.energy_window, self.limit.start, self.limit.step,
            float(np.log10(model.snr_expected / model.snr_limit)), model.sd_line, model.sd_level, model.sd_limit,
            model.listed, model.wide_share, model.wide_sd, model.reach, model.mask_reach, model.masked_by_free,
            model.core_share, model.tail_share, float(np.log(model.elsewhere)),
        )  # fmt: skip

    def _set_windows(self) -> None:
        """Energies that each level is looked for at."""
        assert self.prior is not None
        calc, window = self.system.levels.energy, self.settings.energy_window
        reach = self.model.search_sd * self.prior.sd
        self.bottom = np.maximum(calc + np.maximum(self.prior.mean - reach, -window), 0.0)
        self.top = calc + np.minimum(self.prior.mean + reach, window)

    def neighbours(self, level: int) -> IntArray:
        """Levels whose transition to a known level may be seen, so that its energy matters to them."""
        a, b = self.graph.pointer[level], self.graph.pointer[level + 1]
        partner, calc = self.graph.partner[a:b], self.system.levels.energy
        e_upper = np.where(self.graph.is_upper[a:b], self.energy[level], calc[partner])
        predicted = self.graph.log_ga[a:b] + self.numbers.intercept + self.numbers.slope * e_upper
        over = predicted - self.limit.at(np.abs(calc[partner] - self.energy[level]))
        return np.asarray(partner[over > self.numbers.log_expected - MARGIN_DEX])

    def _fit_levels(self, lines: IntArray, lower: IntArray, upper: IntArray) -> None:
        """Joint least squares; a line off by more than its uncertainty counts as one of the wide part."""
        if not lines.size:
            return
        c, model = self.system.classified, self.model
        wavenumber, sd = self.wavenumber[lines], self.line_sd[lines]
        if self.settings.float_levels:
            lower, upper = np.concatenate([lower, c.lower]), np.concatenate([upper, c.upper])
            wavenumber, sd = (
                np.concatenate([wavenumber, c.wavenumber]),
                np.concatenate([sd, self._classified_sd]),
            )
        wide = np.hypot(sd, model.wide_sd)
        residual = wavenumber - self.energy[upper] + self.energy[lower]
        for _ in range(2):
            narrow_f = (1.0 - model.wide_share) * np.exp(-0.5 * (residual / sd) ** 2) / sd
            wide_f = model.wide_share * np.exp(-0.5 * (residual / wide) ** 2) / wide + 1e-300
            weight = (narrow_f / sd**2 + wide_f / wide**2) / (narrow_f + wide_f)
            fit = fit_levels(
                lower, upper, wavenumber, weight**-0.5, n_levels=self.n_levels, fixed_energy=self.fixed
            )
            residual = np.where(np.isfinite(fit.residual), fit.residual, residual)
        levels = np.flatnonzero(np.isfinite(fit.energy) & np.isnan(self.fixed) & np.isfinite(self.energy))
        self.energy[levels] = fit.energy[levels]
        self.energy_sd[levels] = np.hypot(fit.uncertainty[levels], model.known_sd)

    def _population_without_lines(self) -> tuple[float, float]:
        """Without a classified line: as if the brightest lines were the strongest transitions, at 0.5 eV."""
        slope = -0.4343 / 4033.0
        t = self.system.transitions
        strong = np.sort(np.log10(t.g_a[t.g_a > 0]) + slope * self.system.levels.energy[t.upper[t.g_a > 0]])[
            -200:
        ]
        bright = np.sort(self.log_intensity)[-200:]
        return float(np.median(bright) - np.median(strong)), slope


def nearest(sorted_values: FloatArray, values: FloatArray) -> IntArray:
    """Index of the nearest of `sorted_values` to each of `values`."""
    right = np.clip(np.searchsorted(sorted_values, values), 1, max(sorted_values.size - 1, 1))
    left = right - 1
    right = np.minimum(right, sorted_values.size - 1)
    return np.where(values - sorted_values[left] <= sorted_values[right] - values, left, right)
