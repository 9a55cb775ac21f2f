"""Values in working units from numbers, quantities and strings."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.units import to_arcsec, to_array, to_kelvin, to_kms, to_metre, to_mhz


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (to_mhz, 230538.0, 230538.0),
        (to_mhz, 230.538 * u.GHz, 230538.0),
        (to_mhz, "230.538GHz", 230538.0),
        (to_mhz, "230538", 230538.0),
        (to_mhz, 1.0 * u.m, 299.792458),
        (to_kelvin, "300 mK", 0.3),
        (to_kelvin, np.float32(2.0), 2.0),
        (to_kms, "-5.5km/s", -5.5),
        (to_kms, 1500 * u.m / u.s, 1.5),
        (to_kms, 3, 3.0),
        (to_arcsec, 1 * u.deg, 3600.0),
        (to_metre, "1e1 m", 10.0),
    ],
)
def test_conversion(function, value, expected):
    found = function(value, "x")
    assert isinstance(found, float)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("function", "value", "message"),
    [
        (to_mhz, -1.0, "line must be positive, got -1.0 MHz"),
        (to_mhz, "5 km/s", "line must be convertible to MHz, got the unit 'km / s'"),
        (to_mhz, [1.0, 2.0], "single value"),
        (to_kelvin, "hot", "line: cannot read 'hot'"),
        (to_kelvin, None, "line must be a number in K"),
        (to_kelvin, True, "line must be a number in K"),
        (to_kelvin, object(), "line must be a number in K"),
        (to_kms, float("nan"), "line must be finite"),
        (to_kms, 5 * u.dimensionless_unscaled, "dimensionless"),
        (to_arcsec, 1 * u.m, "line must be convertible to arcsec"),
    ],
)
def test_errors_name_the_parameter(function, value, message):
    with pytest.raises(InputError, match=message):
        function(value, "line")


def test_arrays_become_native_and_keep_their_shape():
    values = u.Quantity(np.array([[1.0, 2.0]], dtype=">f4"), u.GHz)
    found = to_array(values, u.MHz, "x")
    assert found.dtype == np.dtype("=f8")
    assert found.flags.c_contiguous
    assert_allclose(found, [[1000.0, 2000.0]])
    assert to_array(3.0, u.MHz, "x").shape == ()
