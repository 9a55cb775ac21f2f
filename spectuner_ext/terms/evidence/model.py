"""The numbers of the evidence score: how lines, intensities and calculations are believed to behave."""

from dataclasses import dataclass, replace

import numpy as np

from ..settings import AnalysisSettings
from .learned_score import LearnedScore

__all__ = ["EvidenceModel", "model_for"]


@dataclass(frozen=True, slots=True)
class EvidenceModel:
    """Widths and chances of the score; the same for every ion, except where they scale with Delta I.

    Chosen on the Nd III and Co II cases of Ding et al. (TAG-DQN) and on simulated ions; docs/term_analysis.md says
    why each has its value and what changes when it is varied.

    Parameters
    ----------
    sd_line : float, in dex
        Of one line about the calculated gA, beyond what its upper level shares.
    sd_level : float, in dex
        Of the offset that the lines of an upper level share (population, lifetime).
    sd_configuration : float, in dex
        Of the offset that a configuration shares.
    sd_limit : float, in dex
        Softness of the detection limit.
    snr_limit : float
        Signal to noise at which half of the lines are in the list.
    snr_expected : float
        Transitions with a smaller expected signal to noise are not looked for.
    listed : float
        Probability that a line well above the limit is in the list and measured well.
    uncertainty_factor, uncertainty_floor : float, float in cm^-1
        The narrow part of the residuals has the stated uncertainty times the factor, and the floor, in quadrature.
    wide_share, wide_sd : float, float in cm^-1
        Share and standard deviation of the wide part: blends and poor profile fits.
    reach : float, in cm^-1
        Lines further than this from the energy of a candidate do not belong to it.
    mask_reach : float, in cm^-1
        A stronger line closer than this may hide another.
    masked_by_free : float
        Chance that an unclaimed line hides it; a claimed one does for certain.
    core_share, tail_share : float
        Shares of the prior of the energy: within 1.2 and within 3 of its standard deviations. The rest is flat.
    elsewhere : float
        Chance that a level is not where it is looked for, or that its calculation is wrong: the posterior has this
        alternative beside all candidates, so that a coincidence does not win for want of another.
    search_sd : float
        Energies further than this many standard deviations from what is expected are not looked at, nor any outside
        the window of the settings.
    known_sd : float, in cm^-1
        Uncertainty of a start level that comes without one.
    batch : int
        Levels that are accepted at once, at most, if all are surer than `batch_probability`.
    batch_share : float
        The same as a share of the levels that are known already, when that is more.
    batch_unsure : float
        Share of the levels that are known already that may be accepted at once (but always one) when not all are
        that sure.
    batch_probability : float
    sweeps : int
        Times that every level is taken back and scored again.
    temperature : float
        Of the noise on the order of acceptance (0 for the most confident first).
    prior_scale : float
        Factor on the standard deviation of the energy prior; repetitions vary it.
    learned : LearnedScore or None
        Corrects the evidence of every candidate.
    """

    sd_line: float = 0.33
    sd_level: float = 0.25
    sd_configuration: float = 0.35
    sd_limit: float = 0.15
    snr_limit: float = 3.0
    snr_expected: float = 0.7
    listed: float = 0.93
    uncertainty_factor: float = 0.7
    uncertainty_floor: float = 0.0015
    wide_share: float = 0.15
    wide_sd: float = 0.03
    reach: float = 0.10
    mask_reach: float = 0.08
    masked_by_free: float = 0.6
    core_share: float = 0.75
    tail_share: float = 0.15
    elsewhere: float = 0.1
    search_sd: float = 5.0
    known_sd: float = 0.001
    batch: int = 6
    batch_share: float = 0.05
    batch_unsure: float = 0.01
    batch_probability: float = 0.95
    sweeps: int = 3
    temperature: float = 0.0
    prior_scale: float = 1.0
    learned: LearnedScore | None = None

    def perturbed(self, stream: np.random.Generator) -> "EvidenceModel":
        """Vary what is least certain, for a repetition whose agreement is asked for."""

        def scaled(value: float, dex: float) -> float:
            return float(value * 10.0 ** (dex * stream.standard_normal()))

        return replace(
            self,
            sd_line=scaled(self.sd_line, 0.08),
            sd_level=scaled(self.sd_level, 0.08),
            listed=float(np.clip(self.listed + 0.04 * stream.standard_normal(), 0.8, 0.99)),
            wide_share=float(np.clip(scaled(self.wide_share, 0.12), 0.05, 0.6)),
            wide_sd=scaled(self.wide_sd, 0.08),
            prior_scale=scaled(self.prior_scale, 0.08),
        )


def model_for(settings: AnalysisSettings) -> EvidenceModel:
    """Make the model of an analysis: intensity widths scale with Delta I, reaches with the tolerance.

    A user who allows a factor of ten between observed and calculated intensity (Delta I = 1) believes in a
    standard deviation of about a third of it. The tolerance of 0.05 cm^-1 that suits Fourier-transform spectra
    goes with the reaches given above.
    """
    usual = EvidenceModel()
    d_i, width = settings.intensity_window, settings.tolerance / 0.05
    return replace(
        usual,
        sd_line=usual.sd_line * d_i,
        sd_level=usual.sd_level * d_i,
        wide_sd=usual.wide_sd * width,
        reach=usual.reach * width,
        mask_reach=usual.mask_reach * width,
    )
