import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.lte.parameters import BOUNDS, PARAMETERS, ParameterSpace, Tie

LOG = np.array([True, False, True, True, False])
TABLE_1 = {  # of Spectuner-D1, as printed
    "filling_factor": (-3.0, -0.00043),
    "T_ex": (1.0, 1000.0),
    "N_tot": (12.0, 22.0),
    "fwhm": (-0.5, 1.5),
    "v_off": (-12.0, 12.0),
}


def test_default_bounds_are_those_of_the_paper():
    space = ParameterSpace.build(["a"])
    assert space.names == tuple(f"a {p}" for p in PARAMETERS)
    assert_allclose(
        np.stack([space.lower, space.upper], axis=1), [TABLE_1[p] for p in PARAMETERS], atol=1e-12
    )


def test_fitted_on_logarithmic_scales_where_table_1_says_so():
    space = ParameterSpace.build(["a"])
    theta = space.components(np.array([-1.0, 100.0, 15.0, 0.5, -3.0]))
    assert_allclose(theta, [[0.1, 100.0, 1e15, 10**0.5, -3.0]])


physical = st.tuples(
    *(
        st.floats(np.log10(lo), np.log10(hi)) if log else st.floats(lo, hi)
        for (lo, hi), log in zip(BOUNDS.values(), LOG, strict=True)
    )
)


@settings(max_examples=100, deadline=None)
@given(st.lists(physical, min_size=1, max_size=3), st.data())
def test_round_trip_between_vector_and_components(rows, data):
    theta = np.array(rows)
    theta[:, LOG] = 10.0 ** theta[:, LOG]
    held = [
        {p: float(theta[c, k]) for k, p in enumerate(PARAMETERS) if data.draw(st.booleans())}
        for c in range(len(rows))
    ]
    space = ParameterSpace.build([str(c) for c in range(len(rows))], fixed=held)
    assert space.n_free == 5 * len(rows) - sum(map(len, held))
    x = space.vector(theta)
    assert np.all((x >= space.lower) & (x <= space.upper))
    assert_allclose(space.components(x), theta, rtol=1e-12)
    assert_allclose(space.vector(space.components(x)), x, rtol=0, atol=1e-12 * 1000)


def test_a_vector_is_moved_inside_the_bounds():
    space = ParameterSpace.build(["a"], bounds=[{"T_ex": (10.0, 50.0)}])
    x = space.vector(np.array([[0.5, 500.0, 1e30, 1.0, 0.0]]))
    assert x[1] == 50.0
    assert x[2] == pytest.approx(22.0)


def test_slope_is_the_derivative_of_the_parameters():
    space = ParameterSpace.build(["a"])
    x = np.array([-0.7, 80.0, 16.2, 0.4, 1.0])
    slope, step = space.slope(space.components(x)), 1e-6
    for k in range(5):
        moved = [x.copy(), x.copy()]
        moved[0][k] += step
        moved[1][k] -= step
        central = (space.components(moved[0]) - space.components(moved[1]))[0] / (2 * step)
        assert_allclose(central[k], slope[0, k], rtol=1e-8)
        assert_array_equal(np.delete(central, k), 0.0)


def test_tied_parameters_move_together():
    ties = [Tie("N_tot", (0, 2), (1.0, 1 / 60)), Tie("v_off", (0, 1, 2))]
    space = ParameterSpace.build(["12C", "other", "13C"], ties=ties)
    assert space.n_free == 15 - 1 - 2
    x = 0.5 * (space.lower + space.upper)
    x[space.names.index("12C N_tot")] = 17.0
    x[space.names.index("12C v_off")] = 3.25
    theta = space.components(x)
    assert_allclose(theta[[0, 2], 2], [1e17, 1e17 / 60])
    assert_array_equal(theta[:, 4], 3.25)
    assert theta[1, 2] == pytest.approx(1e17)  # the middle of the bounds: not tied
    assert_allclose(space.vector(theta), x)


def test_tie_to_a_fixed_master():
    space = ParameterSpace.build(
        ["a", "b"], fixed=[{"N_tot": 3e16}, {}], ties=[Tie("N_tot", (0, 1), (1.0, 0.01))]
    )
    assert space.n_free == 8
    theta = space.components(0.5 * (space.lower + space.upper))
    assert_allclose(theta[:, 2], [3e16, 3e14])


def test_everything_fixed():
    held = dict(zip(PARAMETERS, (0.5, 100.0, 1e15, 3.0, 1.0), strict=True))
    space = ParameterSpace.build(["a"], fixed=[held])
    assert space.n_free == 0
    assert_allclose(space.components(np.zeros(0)), [list(held.values())])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bounds": [{"Tex": (1, 2)}]}, ["Tex", "T_ex", "choose"]),
        ({"fixed": [{"width": 1.0}]}, ["width", "fwhm"]),
        ({"bounds": [{"T_ex": (50, 50)}]}, ["T_ex", "50", "fixed"]),
        ({"bounds": [{"T_ex": (80, 20)}]}, ["T_ex", "80", "20"]),
        ({"bounds": [{"T_ex": (float("nan"), 20)}]}, ["T_ex", "nan"]),
        ({"bounds": [{"N_tot": (0.0, 1e15)}]}, ["N_tot", "positive", "0"]),
        ({"bounds": [{"v_off": (-np.inf, 3.0)}]}, ["v_off", "finite"]),
        ({"fixed": [{"fwhm": -3.0}]}, ["fwhm", "positive", "-3"]),
        ({"fixed": [{"v_off": float("nan")}]}, ["v_off", "finite"]),
        ({"ties": [Tie("v_off", (0, 1), (1.0, 2.0))]}, ["ratio", "v_off"]),
        ({"ties": [Tie("size", (0, 1))]}, ["size", "choose"]),
    ],
)
def test_what_cannot_be_is_said(arguments, words):
    with pytest.raises(InputError) as error:
        ParameterSpace.build(
            ["a", "b"],
            **{k: list(v) + [{}] * (2 - len(v)) if k != "ties" else v for k, v in arguments.items()},
        )
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "tie",
    [
        Tie("N_tot", (0, 1), (1.0, -2.0)),  # no logarithm
        Tie("N_tot", (0, 1), (1.0, 0.0)),
        Tie("N_tot", (0, 1), (1.0,)),  # one ratio short
        Tie("N_tot", (0, 5)),  # no such component
    ],
)
def test_a_tie_that_cannot_be_is_an_input_error(tie):
    with pytest.raises(InputError):
        ParameterSpace.build(["a", "b"], ties=[tie])


def test_a_tied_and_fixed_parameter_is_contradictory():
    with pytest.raises(InputError):
        ParameterSpace.build(["a", "b"], fixed=[{}, {"N_tot": 1e14}], ties=[Tie("N_tot", (0, 1))])
