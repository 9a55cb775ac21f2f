"""Small cubes whose every value is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

N_CHANNEL, NY, NX = 24, 7, 9


@pytest.fixture
def cube_header() -> Callable[..., fits.Header]:
    """Header of a cube at 100 GHz with 1 arcsec pixels; keywords replace or (None) remove entries."""

    def make(**changes: Any) -> fits.Header:
        header = fits.Header()
        header.update(
            CTYPE1="RA---SIN", CRVAL1=83.8, CDELT1=-1 / 3600, CRPIX1=5.0, CUNIT1="deg",
            CTYPE2="DEC--SIN", CRVAL2=-5.4, CDELT2=1 / 3600, CRPIX2=4.0, CUNIT2="deg",
            CTYPE3="FREQ", CRVAL3=100e9, CDELT3=1e6, CRPIX3=1.0, CUNIT3="Hz",
            RADESYS="ICRS", SPECSYS="LSRK", RESTFRQ=100.01e9, BUNIT="K",
            BMAJ=3 / 3600, BMIN=2 / 3600, BPA=40.0,
        )  # fmt: skip
        for key, value in changes.items():
            if value is None:
                header.remove(key)
            else:
                header[key] = value
        return header

    return make


@pytest.fixture
def cube_values() -> np.ndarray:
    """Values (channel, y, x) that differ everywhere and are exact in float32."""
    return np.arange(N_CHANNEL * NY * NX, dtype=np.float32).reshape(N_CHANNEL, NY, NX) / 64 - 3


@pytest.fixture
def write_cube(tmp_path: Path, cube_values: np.ndarray, cube_header: Any) -> Callable[..., Path]:
    """Write a FITS cube: values (default those of `cube_values`) and changes of its header."""

    def write(name: str = "line.fits", values: np.ndarray | None = None, **changes: Any) -> Path:
        path = tmp_path / name
        data = cube_values if values is None else values
        fits.writeto(path, data, cube_header(**changes), overwrite=True)
        return path

    return write
