"""Draws of a policy as fit vectors: bounds, held and tied values, and the product that spectra tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from spectuner_ext.errors import InputError
from spectuner_ext.lte.parameters import ParameterSpace, Tie
from spectuner_ext.pipeline.policy_draws import check_known, fit_vectors
from spectuner_ext.pipeline.request import Component
from spectuner_ext.policy.case import LOWER, UPPER


def vectors(space, draws):
    return fit_vectors(space, draws, space.lower, space.upper)


def table_1(n, seed=0, components=1):
    rng = np.random.default_rng(seed)
    return LOWER + (UPPER - LOWER) * rng.random((n, components, 5))


def test_free_parameters_are_the_draws():
    draws = table_1(50)
    assert_allclose(vectors(ParameterSpace.build(["x"]), draws), draws[:, 0], atol=1e-12)


@given(
    st.floats(0.002, 0.9),
    st.tuples(st.floats(12.5, 17.0), st.floats(17.1, 21.0)),
    st.integers(0, 1000),
)
@settings(max_examples=50, deadline=None)
def test_vectors_are_inside_the_bounds_and_keep_the_beam_averaged_column(eta, columns, seed):
    draws = table_1(20, seed)
    bounds = {"N_tot": (10.0 ** columns[0], 10.0 ** columns[1]), "T_ex": (20.0, 60.0)}
    for fixed in ({}, {"filling_factor": eta}):
        space = ParameterSpace.build(["x"], bounds=[bounds], fixed=[fixed])
        x = vectors(space, draws)
        assert np.all((x >= space.lower) & (x <= space.upper))
        theta = space.component_batch(x, 0)
        if fixed:
            assert_allclose(theta[0], eta)
        product = np.log10(theta[0] * theta[2])
        wanted = draws[:, 0, 0] + draws[:, 0, 2]
        # what can be made of it inside the bounds
        eta_range = (np.log10(eta),) * 2 if fixed else (-3.0, UPPER[0])
        possible = np.clip(wanted, columns[0] + eta_range[0], columns[1] + eta_range[1])
        assert_allclose(product, possible, atol=1e-9)


def test_tied_parameters_come_from_the_first():
    ties = [Tie("v_off", (0, 1)), Tie("N_tot", (0, 1), (1.0, 0.01))]
    space = ParameterSpace.build(["x", "y"], ties=ties)
    draws = table_1(10, components=2)
    theta = np.array([space.components(x) for x in vectors(space, draws)])
    assert_allclose(theta[:, 1, 4], theta[:, 0, 4])
    assert_allclose(theta[:, 1, 2], 0.01 * theta[:, 0, 2])
    assert_allclose(theta[:, 0, 4], draws[:, 0, 4])
    assert_allclose(theta[:, 1, 1], draws[:, 1, 1])


def test_bounds_may_differ_from_pixel_to_pixel_and_offsets_begin_at_zero():
    space = ParameterSpace.build(["x"])
    draws = table_1(12).reshape(3, 4, 1, 5)
    lower, upper = (np.tile(np.append(b, o), (3, 1)) for b, o in ((space.lower, -1.0), (space.upper, 1.0)))
    lower[1, 1] = upper[1, 1] = 42.0
    x = fit_vectors(space, draws, lower[:, None], upper[:, None])
    assert x.shape == (3, 4, 6)
    assert np.all(x[..., 5] == 0)
    assert np.all(x[1, :, 1] == 42.0)
    assert_allclose(x[[0, 2], :, :5], draws[[0, 2], :, 0], atol=1e-12)


def component(**changes):
    return Component(0, 1, "x #1", **{"bounds": {}, "fixed": {}, "initial": {}, **changes})


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"bounds": {"v_off": (20.0, 40.0)}}, "bounds: v_off of x #1"),
        ({"bounds": {"T_ex": (2000.0, 4000.0)}}, "bounds: T_ex"),
        ({"bounds": {"N_tot": (1e8, 1e11)}}, "bounds: N_tot"),
        ({"fixed": {"v_off": -30.0}}, "fixed: v_off"),
    ],
)
def test_what_a_policy_cannot_propose_is_refused(changes, begins):
    with pytest.raises(InputError, match=f"^{begins}.*lies outside"):
        check_known([component(), component(**changes)])


def test_wider_bounds_and_held_values_are_fine():
    check_known(
        [
            component(
                bounds={"v_off": (-40.0, 40.0), "N_tot": (1e8, 1e13)},
                fixed={"T_ex": 3000.0, "filling_factor": 1.0},
            )
        ]
    )
