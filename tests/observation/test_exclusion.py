"""The forms of the mask argument."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.observation.exclusion import as_exclusion

SKY = np.array([100.0, 101.0, 102.0, 103.0, 104.0])


@pytest.mark.parametrize(
    "form",
    [
        "101~102MHz",
        "101MHz~0.102GHz",
        "101~102",
        (101.0, 102.0),
        [(101.0, 102.0)],
        [[101.0, 102.0]],
        (101 * u.MHz, 102 * u.MHz),
        [0.101, 0.102] * u.GHz,
        ["101~101.5MHz", (101.5, 102.0)],
        "101~101.5MHz; 101.5~102MHz",
        np.array([[101.0, 101.5], [101.5, 102.0]]),
    ],
    ids=str,
)
def test_ranges_are_left_out_with_their_ends(form):
    assert_array_equal(as_exclusion(form).keeps(SKY), [True, False, False, True, True])


def test_none_keeps_all():
    assert as_exclusion(None).keeps(SKY).all()


@pytest.mark.parametrize("form", [SKY > 101, list(SKY > 101), [SKY > 101]], ids=["array", "list", "nested"])
def test_boolean_arrays(form):
    (array,) = as_exclusion(form).arrays
    assert_array_equal(array, [False, False, True, True, True])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("101MHz", "is not a range"),
        ((102.0, 101.0), "ends before it begins"),
        ("101~102K", "convertible to MHz"),
        ([SKY > 101, (101.0, 102.0)], "not both"),
        ([101.0, 102.0], "101.0 is not a range"),
        (3, "cannot read 3"),
    ],
    ids=str,
)
def test_broken_forms(form, message):
    with pytest.raises(InputError, match=message):
        as_exclusion(form)
