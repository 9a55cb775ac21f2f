"""Schedules: known values, limits, and torch's own where it has the same."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spectuner_ext.errors import InputError
from spectuner_ext.learning.schedules import cosine, exponential, geometric, linear, one_cycle

PAPER = {"n_up": 4000, "n_total": 35000, "peak": 7.5e-5, "start": 7.5e-7, "end": 7.5e-9}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 7.5e-7),
        (2000, (7.5e-7 + 7.5e-5) / 2),
        (4000, 7.5e-5),
        (19500, (7.5e-5 + 7.5e-9) / 2),
        (35000, 7.5e-9),
    ],
)
def test_one_cycle_of_the_paper(step, expected):
    assert one_cycle(step, **PAPER) == pytest.approx(expected, rel=1e-12)


def test_one_cycle_continues_at_its_joint_and_stays_at_its_end():
    assert one_cycle(4000 - 1e-6, **PAPER) == pytest.approx(7.5e-5, rel=1e-8)
    assert one_cycle(10**6, **PAPER) == PAPER["end"]
    assert one_cycle(0, **PAPER | {"n_up": 0}) == PAPER["peak"]


def test_cosine_rise_is_torch_s_one_cycle():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    # torch has its peak at step pct_start * total - 1 and its end at the last step.
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=41,
        pct_start=11 / 41,
        div_factor=25,
        final_div_factor=1e3,
        cycle_momentum=False,
    )
    for step in range(41):
        mine = one_cycle(step, n_up=10, n_total=40, peak=1.0, start=1 / 25, end=1 / 25e3, rise="cosine")
        assert mine == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < 40:
            theirs.step()


def test_cosine_is_flat_at_both_ends_and_halfway_in_the_middle():
    values = [cosine(s, n_total=1000, start=2.0, end=1.0) for s in (0, 1, 250, 500, 999, 1000, 5000)]
    assert values[0] == 2.0
    assert values[-2:] == [1.0, 1.0]
    assert values[1] == pytest.approx(2.0, abs=3e-6)
    assert values[4] == pytest.approx(1.0, abs=3e-6)
    assert values[2] == pytest.approx(1.5 + math.sqrt(2) / 4)
    assert values[3] == pytest.approx(1.5)


def test_geometric_has_a_constant_factor():
    values = [geometric(s, n_total=4, start=16.0, end=1.0) for s in range(6)]
    assert values == pytest.approx([16, 8, 4, 2, 1, 1])


def test_exponential_falls_to_one_over_e():
    assert exponential(0, scale=200, start=1.0, end=0.05) == 1.0
    assert exponential(200, scale=200, start=1.0, end=0.05) == pytest.approx(0.05 + 0.95 / math.e)
    assert exponential(10**6, scale=200, start=1.0, end=0.05) == 0.05


@given(step=st.floats(0, 1e5), n=st.floats(1e-3, 1e5), start=st.floats(1e-9, 1e3), end=st.floats(1e-9, 1e3))
def test_schedules_stay_between_start_and_end(step, n, start, end):
    low, high = min(start, end), max(start, end)
    slack = 1e-12 * high
    for schedule in (linear, cosine, geometric):
        assert low - slack <= schedule(step, n_total=n, start=start, end=end) <= high + slack
        assert schedule(n, n_total=n, start=start, end=end) == pytest.approx(end, rel=1e-12)


def test_nonsense_is_refused():
    with pytest.raises(InputError, match=r"^step: "):
        linear(-1, n_total=10, start=0, end=1)
    with pytest.raises(InputError, match=r"^step: "):
        cosine(math.nan, n_total=10, start=0, end=1)
    with pytest.raises(InputError, match=r"^n_total: "):
        cosine(0, n_total=0, start=0, end=1)
    with pytest.raises(InputError, match=r"^scale: "):
        exponential(0, scale=0, start=0, end=1)
    with pytest.raises(InputError, match=r"^n_up: "):
        one_cycle(0, n_up=10, n_total=10, peak=1, start=0, end=0)
    with pytest.raises(InputError, match=r"^rise: "):
        one_cycle(0, n_up=1, n_total=10, peak=1, start=0, end=0, rise="cubic")
    with pytest.raises(InputError, match=r"^start, end: "):
        geometric(0, n_total=10, start=0, end=1)
