import numpy as np
import pytest
from numpy.testing import assert_allclose

from spectuner_ext.constants import H_OVER_K
from spectuner_ext.errors import InputError
from spectuner_ext.spectroscopy import PartitionFunction
from spectuner_ext.spectroscopy.extension import on_grid
from spectuner_ext.spectroscopy.schema import PF_TEMPERATURES


def rotor(b: float, d: float, temperature: float) -> float:
    """Level sum of a linear rotor; constants in MHz."""
    j = np.arange(400.0)
    x = j * (j + 1)
    energy = (b * x - d * x**2)[: np.argmax(np.diff(b * x - d * x**2, append=np.inf) <= 0) or None]
    return float(np.sum((2 * j[: energy.size] + 1) * np.exp(-H_OVER_K * energy / temperature)))


# B and D in MHz: CDMS documentation of each entry
@pytest.mark.parametrize(
    ("name", "b", "d"),
    [
        ("CO", 57635.968, 0.18350),
        ("CS", 24495.556, 0.040140),
        ("OCS", 6081.492, 0.0013014),
        ("HCO+", 44594.42, 0.08284),
        ("SiO", 21711.98, 0.02943),
    ],
)
@pytest.mark.parametrize("temperature", [9.375, 37.5, 75.0])
def test_level_sums_of_linear_molecules(database, name, b, d, temperature):
    # Below 100 K no excited vibrational state adds 0.1 %; tables print four digits of lg Q (1e-4 * ln 10).
    assert_allclose(database.partition(name)(temperature), rotor(b, d, temperature), rtol=2e-3)


def test_published_values_of_co(database):
    # CDMS tag 28503: Q(300 K) = 108.865, Q(150 K) = 54.581
    assert_allclose(database.partition("CO")([300.0, 150.0]), [108.865, 54.581], rtol=2.5e-4)


def test_power_law_stays_a_power_law():
    t = np.array([9.375, 37.5, 300.0])
    grid = on_grid(t, np.log10(4 * t**1.5))
    assert_allclose(grid, 4 * PF_TEMPERATURES**1.5, rtol=1e-12)


def test_extrapolation_does_not_fall_below_one():
    grid = on_grid(np.array([9.375, 18.75, 300.0]), np.array([0.1, 0.6, 1.9]))
    assert grid.min() >= 1.0
    assert np.all(np.diff(grid) >= 0)


def test_extrapolation_is_flagged(database):
    formate = database.partition("CH3OCHO")
    assert (formate.t_min, formate.t_max) == (9.375, 300.0)
    assert list(formate.is_extrapolated([5.0, 9.375, 150.0, 300.0, 301.0])) == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert np.isfinite(formate(1000.0))


def test_methanol_reaches_1000_k_through_the_other_catalogue(database):
    partition, entry = database.partition("CH3OH"), database.entry("CH3OH")
    assert (partition.t_min, partition.t_max) == (2.725, 1000.0)
    assert entry.origin.tag == 32003
    assert "CDMS 32504" in entry.extended_with
    # JPL: lg Q(300 K) = 3.9765. CDMS: lg Q(1000 K) - lg Q(300 K) = 5.5413 - 4.5685
    assert_allclose(np.log10(partition([300.0, 1000.0])), [3.9765, 3.9765 + 5.5413 - 4.5685], atol=1e-6)


@pytest.mark.parametrize(
    ("t", "q"),
    [
        ([1.0], [1.0]),
        ([2.0, 1.0], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, 0.0]),
        ([1.0, 2.0], [1.0, np.nan]),
        ([0.0, 1.0], [1.0, 1.0]),
    ],
)
def test_bad_tables_are_refused(t, q):
    with pytest.raises(InputError):
        PartitionFunction(np.array(t), np.array(q), 1.0, 2.0)
