from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError


@pytest.fixture(scope="module")
def lines(database):
    return database.select("CO")


def test_upper_energy_is_lower_energy_plus_photon(lines):
    # E of J=1: 2B h/k = 5.532 K
    assert_allclose(lines.e_upper[0], 5.532, atol=5e-4)
    assert_allclose(lines.e_upper[:-1], lines.e_lower[1:], atol=0.01)


def test_selection_keeps_the_columns_together(lines):
    chosen = lines.select(lines.frequency > 300e3)
    assert len(chosen) == np.sum(lines.frequency > 300e3)
    assert chosen.partition is lines.partition
    assert len(lines.select(slice(0, 0))) == 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("einstein_a", -1.0), ("g_upper", 0.0), ("frequency", np.nan), ("e_lower", -1.0), ("frequency", 1e9)],
)
def test_impossible_values_are_refused(lines, column, value):
    bad = getattr(lines, column).copy()
    bad[0] = value
    with pytest.raises(InputError):
        replace(lines, **{column: bad})


def test_columns_have_one_length(lines):
    with pytest.raises(InputError, match="equally long"):
        replace(lines, g_upper=lines.g_upper[1:])
