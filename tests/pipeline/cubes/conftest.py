"""Maps of known functions, as a fit of a cube would leave them."""

import numpy as np
import pytest
from astropy.wcs import WCS

from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.lte.parameters import ParameterSpace
from spectuner_ext.observation import Beam, Observation, Window
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.outcome import PixelFlag, Sizes, empty_outcome

SPECIES = ("CH3OH;v=0;", "CH3OCHO;v=0;", "C2H5CN;v=0;", "C-13-H3OH;v=0;", "CH3CN;v8=1;", "HC-13-O+;v=0;")


def frame_of(beam=True, windows=2):
    start = (216_000.0, 230_000.0, 100_000.0)
    return Observation(
        tuple(
            Window(
                nu=start[w] + 0.5 * np.arange(40 + w),
                intensity=np.zeros(40 + w),
                sigma=np.ones(40 + w),
                mask=np.ones(40 + w, dtype=bool),
                t_continuum=np.zeros(40 + w),
                beam=Beam(major=0.6 - 0.1 * w, minor=0.4) if beam else None,
                name=f"spw {25 + w}",
            )
            for w in range(windows)
        ),
        v_lsr=-45.0,
    )


def wcs_of(pixel=0.1):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---SIN", "DEC--SIN"]
    wcs.wcs.crval = [238.2826, -54.6193]
    wcs.wcs.cdelt = [-pixel / 3600, pixel / 3600]
    wcs.wcs.crpix = [8.0, 9.0]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    return wcs


def theta_of(ny, nx, n, seed=0):
    """A hot core: filling factor, T_ex, N_tot, FWHM and v_off of n components, (ny, nx, n, 5)."""
    y, x = np.mgrid[:ny, :nx]
    r = np.hypot((y - 0.5 * (ny - 1)) / ny, (x - 0.5 * (nx - 1)) / nx)
    rng = np.random.default_rng(seed)
    theta = np.empty((ny, nx, n, 5))
    for c in range(n):
        shade = np.exp(-8.0 * r**2 * (1 + 0.3 * c))
        theta[..., c, 0] = 0.1 + 0.6 * shade
        theta[..., c, 1] = 60.0 + 150.0 * shade + rng.normal(0, 3, (ny, nx))
        theta[..., c, 2] = 10 ** (15.0 + 0.3 * c + 2.5 * shade + rng.normal(0, 0.05, (ny, nx)))
        theta[..., c, 3] = 3.0 + 3.0 * shade + rng.normal(0, 0.1, (ny, nx))
        theta[..., c, 4] = 4.0 * (x / max(nx - 1, 1) - 0.5) + 0.5 * c + rng.normal(0, 0.1, (ny, nx))
    return theta


@pytest.fixture(scope="session")
def make_maps():
    """Function that makes maps: ``make_maps(ny, nx, n_species, ...)``; see the arguments."""

    def make(ny=16, nx=18, n=2, *, wcs=True, beam=True, offsets=False, fixed=None, second=False, **changes):
        labels = [(s, 1) for s in SPECIES[:n]] + ([(SPECIES[0], 2)] if second else [])
        n = len(labels)
        space = ParameterSpace.build([f"{s} #{k}" for s, k in labels], fixed=[fixed or {}] * n)
        frame = frame_of(beam)
        n_window = len(frame.windows)
        free = space.names + (tuple(f"offset {i + 1}" for i in range(n_window)) if offsets else ())
        extra = len(free) - space.n_free
        out = empty_outcome((ny, nx), Sizes(n, n_window, len(free)))
        theta = theta_of(ny, nx, n)
        y, x = np.mgrid[:ny, :nx]
        r = np.hypot((y - 0.5 * (ny - 1)) / ny, (x - 0.5 * (nx - 1)) / nx)
        rng = np.random.default_rng(3)
        out["x"][..., : space.n_free] = [[space.vector(theta[j, i]) for i in range(nx)] for j in range(ny)]
        out["x"][..., space.n_free :] = 0.01 * rng.standard_normal((ny, nx, extra))
        out["error_x"][...] = 0.02
        index = space.layout.index
        for c in range(n):
            for k in np.flatnonzero(index[c] < 0):
                theta[..., c, k] = space.components(np.zeros(space.n_free))[c, k]
        out["theta"][...] = theta
        out["error"][...] = np.abs(theta) * 0.03 + 0.01
        out["error"][..., index < 0] = np.nan
        out["n_beam_error"][...] = theta[..., 0] * theta[..., 2] * 0.04
        out["tau_max"][...] = theta[..., 2] / 1e17
        out["significance"][...] = 10.0 + 30.0 * rng.random((ny, nx, n))
        out["loss"][...] = out["chi2"][...] = 80.0 + rng.chisquare(20, (ny, nx))
        out["n_data"][...], out["n_evaluations"][...] = 81, rng.integers(20, 200, (ny, nx))
        out["status"][...] = rng.integers(0, 2, (ny, nx))
        out["sigma"][...] = [0.1, 0.2]
        out["n_peaks"][...] = rng.integers(0, 9, (ny, nx, n_window))
        own = out["component_flags"]
        own[r > 0.38] |= FitFlag.SIZE_N_DEGENERATE
        own[(r > 0.3) & (x < nx / 2)] |= FitFlag.T_EX_UNCONSTRAINED
        own[r < 0.06] |= FitFlag.OPAQUE
        lost = (r > 0.42)[..., None] & (np.arange(n) > 0)
        own[lost] |= FitFlag.NOT_DETECTED
        out["n_tot_limit"][lost] = 3e14
        gone = lost[..., None] & (index >= 0)
        out["theta"][gone] = out["error"][gone] = np.nan
        out["n_beam_error"][lost] = np.nan
        region = np.ones((ny, nx), dtype=bool)
        region[0, :] = False
        reasons = np.zeros((ny, nx), dtype=np.int32)
        reasons[~region] = PixelFlag.OUTSIDE_REGION
        reasons[(r > 0.55) & region] = PixelFlag.FEW_PEAKS
        empty = empty_outcome((ny, nx), Sizes(n, n_window, len(free)))
        for name in out:
            out[name][reasons > 0] = empty[name][reasons > 0]
        out["flags"][...] = reasons | np.bitwise_or.reduce(own, axis=-1)
        out["flags"][ny // 2, nx // 2] |= PixelFlag.FROM_NEIGHBOUR
        given = {
            "free": free,
            "lower": np.append(space.lower, np.full(extra, -0.1)),
            "upper": np.append(space.upper, np.full(extra, 0.1)),
            "wcs": wcs_of() if wcs else None,
            "beam": {"BMAJ": 0.55 / 3600, "BMIN": 0.4 / 3600, "BPA": 71.3} if beam else None,
            "region": region,
            "meta": {
                "call": {"infile": "cube.fits", "species": ["CH3OH"], "note": "spaces   in a row " * 9},
                "provenance": {"created": "2026-01-01T00:00:00", "seed": 3},
                "label": "G327",
                "counts": {"fitted": 12, "share": 1 / 3},
            },
        }
        return CubeMaps.build(out, frame, space, labels, **{**given, **changes})

    return make
