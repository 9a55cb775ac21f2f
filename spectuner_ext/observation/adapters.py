"""`observe`: from whatever holds spectra to an `Observation` in working units."""

from collections.abc import Sequence
from typing import Any

from ..constants import C_KMS, T_CMB
from ..errors import InputError
from ..units import to_kelvin, to_kms, to_mhz
from .assembly import Given, assemble
from .beams import as_beam
from .exclusion import as_exclusion
from .observation import Observation, Window
from .pieces import at_rows, choose, name_of, pieces, used_channels
from .sources import read_sources

__all__ = ["observe"]


def observe(
    source: Any,
    *,
    vlsr: Any = None,
    beam: Any = None,
    continuum: Any = None,
    noise: Any = None,
    mask: Any = None,
    t_cmb: Any = T_CMB,
    names: Sequence[str] | None = None,
    rest_frequency: Any = None,
) -> Observation:
    """Read spectra into an observation.

    A source may hold one or many spectra, and one spectrum becomes several windows where its frequency axis
    has gaps of more than 8 channels. Data must be continuum-subtracted. Where an argument may be a list, it
    has one element for each spectrum of the source or one for each window; anything else holds for all of
    them.

    Parameters
    ----------
    source : str, Path, Table, Spectrum, OneDSpectrum, tuple, Observation or list
        - Path or glob pattern of text files (two columns, MHz and K, below any header; a third column is the
          noise), ECSV or FITS tables with units, or one-dimensional FITS images with world coordinates;
        - `~astropy.table.Table` or `~astropy.table.QTable` with units;
        - `specutils.Spectrum`; `OneDSpectrum` of spectral-cube;
        - tuple (axis, intensity) of Quantities, perhaps with the noise as a third;
        - a list of any of these;
        - an `Observation`, given back as it is if no other argument is given.

        The axis may be frequency, (vacuum) wavelength or velocity, in either direction; the intensity in K,
        Jy/beam or Jy/sr.
    vlsr : float [km/s], Quantity or str, optional
        Radial velocity of the source by the radio convention: frequencies are divided by ``1 - vlsr / c``.
        None leaves the axis as it is, for data already in the rest frame of the source. Never read from a
        header.
    beam : optional
        None takes the one of the source, if any. Otherwise a `radio_beam.Beam`, a tuple (major, minor) of
        angles or numbers in arcsec, one angle, a dish diameter as a length, ``{"diameter": 12}``, ``{"major":
        0.5, "minor": 0.4}``, or a string such as ``"0.5arcsec,0.4arcsec"`` or ``"12m"``; or a list.
    continuum : float [K], Quantity, array, Spectrum or list, optional
        Brightness temperature of the continuum behind the lines without the CMB, in K or Jy/beam; one value,
        or one for each channel in the order of the source. Default 0.
    noise : float [K], Quantity, array or list, optional
        As `continuum`. None takes the noise of the source (column, uncertainty) where it is finite, and
        otherwise estimates it; see `~spectuner_ext.observation.estimate_noise`.
    mask : str, tuple, boolean array or list, optional
        Sky frequencies to leave out, as (low, high) in MHz or Quantity, or strings such as
        ``"232100~232110MHz"``; or boolean arrays, True where a channel is used, in the order of the source. A
        window that is left out altogether is dropped. The mask of a source object keeps its own (astropy's)
        meaning, True for bad.
    t_cmb : float [K] or Quantity
        Temperature of the microwave background; 0 leaves it out.
    names : list of str, optional
    rest_frequency : float [MHz], Quantity or str, optional
        Zero point of velocity axes; wins over the one of the source.

    Returns
    -------
    Observation
        Windows in the order of the source, each with increasing rest-frame frequencies. Channels that are not
        finite are masked and counted in ``notes["n_nan"]``.

    Raises
    ------
    InputError
        If anything cannot be read or used; the message names the file or spectrum and the cure.

    Examples
    --------
    >>> import numpy as np, astropy.units as u
    >>> frequency = np.linspace(100.0, 100.1, 64) * u.GHz
    >>> spectrum = (frequency, np.random.default_rng(1).normal(size=64) * u.mK)
    >>> observe(spectrum, vlsr=5.0, beam="30m", noise="1 mK").n_channel
    64
    """
    if isinstance(source, Observation):
        others = (vlsr, beam, continuum, noise, mask, names, rest_frequency)
        if any(value is not None for value in others) or t_cmb != T_CMB:
            raise InputError(
                "the source is an Observation already, so vlsr, beam, noise ... cannot be given any more; "
                "give them when it is made, or change a window with dataclasses.replace"
            )
        return source
    velocity = 0.0 if vlsr is None else to_kms(vlsr, "vlsr")
    if abs(velocity) >= C_KMS:
        raise InputError(f"vlsr must be slower than light, got {velocity} km/s")
    background = to_kelvin(t_cmb, "t_cmb")
    if background < 0:
        raise InputError(f"t_cmb must not be negative, got {background} K")
    rest = None if rest_frequency is None else to_mhz(rest_frequency, "rest_frequency")
    exclusion = as_exclusion(mask)

    spectra = read_sources(source)
    parts = [piece for i, spectrum in enumerate(spectra) for piece in pieces(spectrum, i, rest, velocity)]
    count = (len(spectra), len(parts))
    windows: list[Window] = []
    dropped: list[str] = []
    for k, piece in enumerate(parts):
        keep = exclusion.keeps(piece.stretch.sky)
        if exclusion.arrays:
            use = used_channels(choose(list(exclusion.arrays), k, piece, count, "mask"), piece)
            keep &= at_rows(use, piece.stretch.rows, False)
        name = name_of(names, k, piece, count)
        if not keep.any():
            dropped.append(name)
            continue
        given = Given(
            beam=as_beam(choose(beam, k, piece, count, "beam"), f"{piece.spectrum.label}: beam"),
            continuum=choose(continuum, k, piece, count, "continuum"),
            noise=choose(noise, k, piece, count, "noise"),
            keep=keep,
        )
        windows.append(assemble(piece, given, name, velocity, background))
    if not windows:
        raise InputError("mask leaves no channel in any window")
    files = tuple(dict.fromkeys(str(s.notes["file"]) for s in spectra if "file" in s.notes))
    return Observation(tuple(windows), velocity, {"files": files, "dropped": tuple(dropped)})
