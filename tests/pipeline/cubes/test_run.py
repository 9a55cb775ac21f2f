"""Runs over a map: outcome, order, workers, failures, cancel, and what the caller is told."""

import os
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from spectuner_ext.errors import InputError, SpectunerError, SpectunerWarning
from spectuner_ext.pipeline.cubes import schedule
from spectuner_ext.pipeline.cubes.layout import Layout
from spectuner_ext.pipeline.cubes.outcome import FIELDS, NOT_FITTED, PixelFlag
from spectuner_ext.pipeline.cubes.run import redo_pixels, run_stages
from spectuner_ext.pipeline.cubes.schedule import Fitter, Job, run_jobs
from spectuner_ext.pipeline.cubes.store import MemoryStore

sys.path.append(str(Path(__file__).parent))
import stand_in
from stand_in import SIZES, StandInCube, fitter

CUBE = StandInCube()


def run(cube=CUBE, block=(3, 4), store=None, behaviour=None, **settings):
    return run_stages(
        cube,
        fitter(**(behaviour or {})),
        SIZES,
        Layout(cube.shape, block),
        store or MemoryStore(),
        **{"workers": 2, **settings},
    )


def same(a, b):
    for name in FIELDS:
        assert a[name].dtype == b[name].dtype
        assert a[name].tobytes() == b[name].tobytes(), name


def t_ex(maps):
    return maps["theta"][..., 0, 1]


def test_sweeps_lead_every_pixel_to_the_lowest_minimum():
    done = run()
    np.testing.assert_array_equal(t_ex(done.maps), stand_in.expected(CUBE))
    y, x = np.indices(CUBE.shape)
    usable = CUBE.region & ~stand_in.bad(y, x)
    from_neighbour = (done.maps["flags"] & PixelFlag.FROM_NEIGHBOUR) != 0
    np.testing.assert_array_equal(from_neighbour, usable & stand_in.trapped(y, x))
    assert (done.maps["flags"][~CUBE.region] == PixelFlag.OUTSIDE_REGION).all()
    assert (done.maps["flags"][CUBE.region & stand_in.bad(y, x)] == PixelFlag.NO_DATA).all()
    assert (done.maps["status"][CUBE.region & stand_in.bad(y, x)] == NOT_FITTED).all()
    assert done.stages[0].name == "fit"
    assert len(done.stages) > 3  # the patch is two pixels deep
    assert done.complete
    assert not done.errors


def test_without_sweeps_the_first_minimum_stays():
    first = run(max_sweeps=0)
    y, x = np.indices(CUBE.shape)
    np.testing.assert_array_equal(
        t_ex(first.maps), stand_in.expected(CUBE) * np.where(stand_in.trapped(y, x), 1.5, 1.0)
    )


@pytest.mark.parametrize(
    "settings", [{}, {"from_seeds": True}, {"max_sweeps": 1}], ids=["draws", "seeds", "one sweep"]
)
@pytest.mark.parametrize(("block", "workers"), [((13, 10), 1), ((1, 10), 3), ((2, 3), 2), ((5, 1), 1)])
def test_neither_division_nor_workers_matter(settings, block, workers):
    same(run(block=block, workers=workers, **settings).maps, run(**settings).maps)


def test_the_order_of_the_blocks_does_not_matter(monkeypatch):
    reference = run()

    def backwards(layout, wanted):
        return reversed(list(unhindered(layout, wanted)))

    unhindered = Layout.blocks_with
    monkeypatch.setattr(Layout, "blocks_with", backwards)
    same(run(workers=1).maps, reference.maps)


def test_seeds_are_fitted_from_draws_and_the_rest_from_them(tmp_path):
    calls = tmp_path / "calls"
    done = run(from_seeds=True, behaviour={"calls": calls})
    np.testing.assert_array_equal(t_ex(done.maps), stand_in.expected(CUBE))
    assert [s.name for s in done.stages if s.name.startswith("fit")][:2] == ["fit_0", "fit_1"]
    first = [line.split()[1:] for line in calls.read_text().splitlines() if line.startswith("fit")]
    assert sorted(first) == sorted([str(y), str(x)] for y, x in np.argwhere(CUBE.region))  # each once


def test_given_starts_are_used(tmp_path):
    y, x = np.indices(CUBE.shape)
    starts = np.full((*CUBE.shape, 1, 5), np.nan)
    starts[..., 0, 1] = stand_in.truth(y, x)
    done = run(starts=starts, max_sweeps=0)
    np.testing.assert_array_equal(t_ex(done.maps), stand_in.expected(CUBE))


def propose(block):
    starts = np.full((block.n_pixel, 2, 5), np.nan)
    starts[:, 1, 1] = stand_in.truth(*block.pixel.T)
    return starts


def test_a_proposer_gives_starts():
    task = Fitter(stand_in.StandInTask(), stand_in.fit, stand_in.reexamine, propose)
    done = run_stages(CUBE, task, SIZES, Layout(CUBE.shape, (4, 10)), MemoryStore(), max_sweeps=0)
    np.testing.assert_array_equal(t_ex(done.maps), stand_in.expected(CUBE))


def test_progress_tells_of_every_block():
    told = []
    done = run(max_sweeps=0, progress=lambda report: told.append(report))
    assert len(told) == told[0]["n_blocks"]
    assert [r["stage"] for r in told] == ["fit"] * len(told)
    assert told[-1]["done"] == told[-1]["total"] == CUBE.region.sum()
    assert told[-1]["eta_s"] == 0.0
    assert all(a["done"] < b["done"] and a["elapsed_s"] <= b["elapsed_s"] for a, b in pairwise(told))
    for report in told:
        y0, y1, x0, x1 = report["block"]
        for name in FIELDS:
            np.testing.assert_array_equal(report["outcome"][name], done.maps[name][y0:y1, x0:x1])


@pytest.mark.parametrize("after", [1, 4, 15, 22])
def test_a_cancelled_run_keeps_what_is_done(after):
    told = []

    def progress(report):
        told.append(report)
        return len(told) >= after

    done = run(progress=progress, workers=2)
    assert not done.complete
    assert after <= len(told) <= after + 1  # at most the one that ran beside it
    full = run()
    reached = np.zeros(CUBE.shape, dtype=bool)
    for report in told:
        if report["stage"] == "fit":
            y0, y1, x0, x1 = report["block"]
            reached[y0:y1, x0:x1] = True
    not_reached = (done.maps["flags"] & PixelFlag.NOT_REACHED) != 0
    np.testing.assert_array_equal(not_reached, CUBE.region & ~reached)
    first = run(max_sweeps=0)
    if all(r["stage"] == "fit" for r in told):
        np.testing.assert_array_equal(t_ex(done.maps)[reached], t_ex(first.maps)[reached])
    assert not np.array_equal(t_ex(done.maps), t_ex(full.maps), equal_nan=True)


def test_a_block_that_raises_is_flagged_and_the_rest_goes_on():
    with pytest.warns(
        SpectunerWarning, match=r"1 block\(s\) .* rows 6 to 8, columns 4 to 7 .*these data are bad"
    ):
        done = run(behaviour={"failing": ((7, 6),)})
    failed = (done.maps["flags"] & PixelFlag.FAILED) != 0
    expected = np.zeros(CUBE.shape, dtype=bool)
    expected[6:9, 4:8] = True
    # its neighbours bring solutions to those that they reach, were it not that this raises again
    np.testing.assert_array_equal(failed, expected & np.isnan(t_ex(done.maps)) & failed)
    assert failed[7, 6]
    assert np.isnan(t_ex(done.maps)[6:9, 4:8]).all()
    outside = ~expected
    np.testing.assert_array_equal(t_ex(done.maps)[outside], stand_in.expected(CUBE)[outside])
    assert done.errors[0] == ("fit", (6, 9, 4, 8), "ValueError: these data are bad")


def test_when_all_blocks_raise_so_does_the_run():
    with pytest.raises(ValueError, match="these data are bad"):
        run(behaviour={"failing": tuple((int(y), int(x)) for y, x in np.argwhere(CUBE.region))})


def test_wrong_pixels_from_a_cube_are_noticed():
    class Shuffled(StandInCube):
        def block(self, *box):
            return super().block(*box).take(slice(None, None, -1))

    with pytest.raises(SpectunerError, match="other pixels"):
        run(Shuffled(), block=(13, 10))


def test_few_blocks_are_in_memory_however_many_there_are():
    held, most, lock = [0], [0], threading.Lock()

    class Counting(StandInCube):
        def block(self, *box):
            with lock:
                held[0] += 1
                most[0] = max(most)  # of what is running now
            return super().block(*box)

    def slow_fit(task, block, starts):
        outcome = stand_in.fit(task, block, starts)
        with lock:
            most[0] = max(most[0], held[0])
            held[0] -= 1
        return outcome

    made = []

    def jobs():
        for job in every_block():
            made.append(job.number)
            yield job

    taken = 0
    task = Fitter(stand_in.StandInTask(pause=0.002), slow_fit, stand_in.reexamine)
    for _ in run_jobs(Counting(), task, jobs(), workers=3):
        taken += 1
        assert len(made) <= taken + 3
    assert taken == CUBE.shape[0]
    assert most[0] <= 3


def every_block(cube=CUBE):
    layout = Layout(cube.shape, (1, 10))
    for number, (y0, y1, x0, x1) in layout.blocks_with(cube.region):
        yield Job(number, (y0, y1, x0, x1), cube.region[y0:y1, x0:x1])


def test_an_interrupt_ends_the_run_and_its_threads():
    def interrupted(report):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(progress=interrupted)
    assert not [t for t in threading.enumerate() if t.name.startswith("block")]


def test_cores_are_those_this_process_may_use():
    assert 1 <= schedule.available_cores() <= os.cpu_count()


@pytest.mark.parametrize("client", [3, object()])
def test_something_that_is_no_client_is_refused(client):
    with pytest.raises(InputError, match=r"^client: needs a distributed.Client, the address"):
        run(client=client)


def test_redone_pixels_keep_the_better_fit():
    first = run(max_sweeps=0)
    y, x = np.indices(CUBE.shape)
    wanted = stand_in.trapped(y, x) & CUBE.region & (y < 8)
    starts = np.full((*CUBE.shape, 1, 5), np.nan)
    starts[..., 0, 1] = stand_in.truth(y, x) * np.where(x % 2, 1.0, 1.5)
    store, layout = MemoryStore(), Layout(CUBE.shape, (3, 4))
    again = redo_pixels(CUBE, fitter(), first.maps, wanted, layout, store, starts=starts)
    redone = (again.maps["flags"] & PixelFlag.REDONE) != 0
    np.testing.assert_array_equal(redone, wanted)
    solved = wanted & (x % 2 == 1)
    np.testing.assert_array_equal(t_ex(again.maps)[solved], stand_in.expected(CUBE)[solved])
    np.testing.assert_array_equal(t_ex(again.maps)[~solved], t_ex(first.maps)[~solved])
    assert not ((first.maps["flags"] & PixelFlag.REDONE) != 0).any()  # left alone
    worse = np.full((*CUBE.shape, 1, 5), np.nan)
    worse[..., 0, 1] = 1.5 * stand_in.truth(y, x)
    kept = redo_pixels(CUBE, fitter(), again.maps, wanted, layout, store, starts=worse)
    np.testing.assert_array_equal(t_ex(kept.maps), t_ex(again.maps))
    forced = redo_pixels(CUBE, fitter(), again.maps, wanted, layout, store, starts=worse, replace=True)
    np.testing.assert_array_equal(t_ex(forced.maps)[wanted], 1.5 * stand_in.expected(CUBE)[wanted])
    evaluated = wanted & ~stand_in.bad(y, x)
    assert (forced.maps["n_evaluations"][evaluated] == first.maps["n_evaluations"][evaluated] + 20).all()
