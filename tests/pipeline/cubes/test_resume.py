"""Runs that are killed, cancelled, or lose workers or the scheduler, and what is left to do afterwards."""

import os
import subprocess
import sys
import threading
from collections import Counter
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from spectuner_ext.errors import InputError, SpectunerError, SpectunerWarning
from spectuner_ext.pipeline.cubes.layout import Layout
from spectuner_ext.pipeline.cubes.outcome import FIELDS, PixelFlag
from spectuner_ext.pipeline.cubes.run import redo_pixels, run_stages, stored_maps
from spectuner_ext.pipeline.cubes.store import MemoryStore, ZarrStore

sys.path.append(str(Path(__file__).parent))
import stand_in
from stand_in import SIZES, StandInCube, fitter

HERE = Path(__file__).parent
CUBE = StandInCube()
LAYOUT = Layout(CUBE.shape, (4, 5))


def opened(path, **how):
    return ZarrStore.open(path, LAYOUT, SIZES, {"cube": "a"}, {}, **how)


def run(path=None, cube=CUBE, resume=False, behaviour=None, **settings):
    store = MemoryStore() if path is None else opened(path, resume=resume)
    try:
        return run_stages(
            cube, fitter(**(behaviour or {})), SIZES, LAYOUT, store, **{"workers": 1, **settings}
        )
    finally:
        store.close()


def files_of(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def same(a, b):
    assert [name for name in FIELDS if a[name].tobytes() != b[name].tobytes()] == []


def recorded(path):
    """Stage and number of the blocks that have a record."""
    return {
        (p.parts[-3], p.name)
        for p in path.glob("*/done/*.*")
        if p.name[0].isdigit() and "partial" not in p.name
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run that nothing disturbs."""
    path = tmp_path_factory.mktemp("reference")
    return path / "s", run(path / "s", behaviour={"calls": path / "calls"}), path / "calls"


def test_a_stored_run_has_the_numbers_of_one_in_memory(reference):
    same(reference[1].maps, run().maps)
    with opened(reference[0], resume=True) as store:
        same(stored_maps(CUBE.region, SIZES, LAYOUT, store), reference[1].maps)


def test_a_finished_run_is_not_fitted_again(reference):
    path, done, calls = reference
    before = files_of(path), calls.read_text()
    told = []
    again = run(path, resume=True, behaviour={"calls": calls}, progress=told.append)
    same(again.maps, done.maps)
    assert again.stages == done.stages
    assert all(report["restored"] for report in told)
    assert {report["eta_s"] for report in told} == {None}
    assert (files_of(path), calls.read_text()) == before


KILLER = """
import os, signal, sys
sys.path.append(sys.argv[1])
from pathlib import Path
import zarr
import test_resume
# Each run is a fork of this process, which has imported everything and has no threads yet.
def child(path, moment):
    seen = [0]
    def hook(event, arguments):
        if event == "os.rename":  # a file is about to get its name: its content is there under another
            seen[0] += 1
            if seen[0] == moment:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    test_resume.run(path, resume=True, behaviour={"calls": path.parent / "calls"})
    (path.parent / "renames").write_text(str(seen[0]))
for number, moments in enumerate(eval(sys.argv[3])):
    path = Path(sys.argv[2]) / str(number) / "s"
    path.parent.mkdir()
    for moment in (*moments, 0):
        pid = os.fork()
        if pid == 0:
            child(path, moment)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        print(number, moment, "killed" if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
"""


@pytest.mark.slow
def test_kill_at_any_moment_then_resume(tmp_path, reference):
    """Killed as a file gets its name, from the first of the store to one of the last; some are killed twice."""
    path, _, calls = reference
    moments = [(1,), (2,), (18,), (19,), (37,), (250,), (25, 3, 30)]
    child = subprocess.run(
        [sys.executable, "-c", KILLER, str(HERE), str(tmp_path), repr(moments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 0, child.stderr
    ends = Counter(line.split()[-1] for line in child.stdout.splitlines())
    print(child.stdout)
    assert ends == {"killed": sum(map(len, moments)), "0": len(moments)}, child.stdout + child.stderr
    once = Counter(calls.read_text().splitlines())
    for number, own in enumerate(moments):
        assert files_of(tmp_path / str(number) / "s") == files_of(path), own
        # a block that was under way is fitted again, no other
        twice = Counter((tmp_path / str(number) / "calls").read_text().splitlines()) - once
        assert sum(twice.values()) <= len(own) * 20, own


def test_what_was_stored_at_the_kill_is_not_fitted_again(tmp_path, reference):
    """Remove the records of some blocks: their pixels, and no others, are fitted."""
    path = reference[0]
    run(tmp_path / "s")
    gone = ["fit/done/0.0", "fit/done/3.1", "sweep_1/done/1.0"]
    for name in gone:
        (tmp_path / "s" / name).unlink()
    run(tmp_path / "s", resume=True, behaviour={"calls": tmp_path / "calls"})
    lines = (tmp_path / "calls").read_text().split("\n")[:-1]
    fitted = {tuple(map(int, line.split()[1:])) for line in lines if line.startswith("fit")}
    expected = {
        (y, x) for y, x in np.argwhere(CUBE.region).tolist() if (y < 4 and x < 5) or (y >= 12 and x >= 5)
    }
    assert fitted == expected
    assert {tuple(int(v) for v in line.split()[1:]) for line in lines if line.startswith("again")} <= {
        (y, x) for y in range(4, 8) for x in range(5)
    }
    assert files_of(tmp_path / "s") == files_of(path)


@pytest.mark.parametrize(("after", "seeds"), [(2, False), (13, False), (9, True)])
def test_cancel_and_resume(tmp_path, after, seeds):
    told = []
    stopped = run(tmp_path / "s", from_seeds=seeds, progress=lambda r: told.append(r) or len(told) == after)
    assert not stopped.complete
    assert len(recorded(tmp_path / "s")) == after
    done = run(tmp_path / "s", resume=True, from_seeds=seeds)
    same(done.maps, run(from_seeds=seeds).maps)


def test_a_cancel_while_blocks_are_restored_fits_nothing(tmp_path):
    run(tmp_path / "s", progress=lambda report: True)
    run(tmp_path / "s", resume=True, behaviour={"calls": tmp_path / "calls"}, progress=lambda report: True)
    assert not (tmp_path / "calls").exists()


def test_resume_goes_on_to_more_sweeps(tmp_path, reference):
    run(tmp_path / "s", max_sweeps=1)
    run(tmp_path / "s", resume=True)
    assert files_of(tmp_path / "s") == files_of(reference[0])


def test_a_disk_that_fills_up_stops_the_run_and_nothing_is_lost(tmp_path, reference, monkeypatch):
    unhindered, stored = ZarrStore.put, []

    def full(self, stage, number, outcome):
        if len(stored) == 5:
            with monkeypatch.context() as patch:
                import errno

                def no_room(*_):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

                patch.setattr(Path, "replace", no_room)
                unhindered(self, stage, number, outcome)
        stored.append((stage, number))
        unhindered(self, stage, number, outcome)

    monkeypatch.setattr(ZarrStore, "put", full)
    with pytest.raises(
        SpectunerError, match=r"^store: storing block .* No space left on device.*resume=True"
    ):
        run(tmp_path / "s", workers=2)
    monkeypatch.undo()
    assert len(recorded(tmp_path / "s")) == 5
    run(tmp_path / "s", resume=True)
    assert files_of(tmp_path / "s") == files_of(reference[0])


def test_failed_blocks_stay_failed_until_they_are_redone(tmp_path):
    with pytest.warns(SpectunerWarning, match="these data are bad"):
        first = run(tmp_path / "s", behaviour={"failing": ((9, 1),)})
    with pytest.warns(SpectunerWarning, match="these data are bad"):
        again = run(tmp_path / "s", resume=True, behaviour={"calls": tmp_path / "calls"})
    same(first.maps, again.maps)
    assert again.errors == first.errors
    assert not (tmp_path / "calls").exists()
    failed = (again.maps["flags"] & PixelFlag.FAILED) != 0
    with opened(tmp_path / "s", resume=True) as store:
        redo_pixels(CUBE, fitter(), again.maps, failed, LAYOUT, store)
    with opened(tmp_path / "s", resume=True) as store:
        with pytest.warns(SpectunerWarning, match="these data are bad"):
            mended = run_stages(CUBE, fitter(), SIZES, LAYOUT, store)
        same(mended.maps, stored_maps(CUBE.region, SIZES, LAYOUT, store))
    np.testing.assert_array_equal((mended.maps["flags"] & PixelFlag.REDONE) != 0, failed)
    y, x = np.indices(CUBE.shape)
    assert np.isfinite(mended.maps["theta"][failed & ~stand_in.faint(y, x) & ~stand_in.bad(y, x)]).all()


def test_a_run_where_all_failed_keeps_nothing(tmp_path):
    everywhere = tuple((int(y), int(x)) for y, x in np.argwhere(CUBE.region))
    with pytest.raises(ValueError, match="these data are bad"):
        run(tmp_path / "s", behaviour={"failing": everywhere})
    assert recorded(tmp_path / "s") == set()
    same(run(tmp_path / "s", resume=True).maps, run().maps)


class Elsewhere(StandInCube):
    """A cube whose files only this process can read."""

    def block(self, *box):
        assert os.getpid() == OWN
        return super().block(*box)


OWN = os.getpid()


@pytest.fixture
def cluster():
    """Makes clusters of this machine, and ends them."""
    distributed = import_module("distributed")
    made = []

    def make(n_workers, threads=1, **settings):
        made.append(
            distributed.LocalCluster(
                n_workers=n_workers,
                threads_per_worker=threads,
                dashboard_address=None,
                silence_logs=50,
                memory_limit=0,
                **settings,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(("n_workers", "threads"), [(1, 1), (1, 3), (2, 1)])
def test_a_cluster_gives_the_same_bits(cluster, reference, n_workers, threads):
    from distributed import Client

    own = cluster(n_workers, threads)
    same(run(client=own.scheduler_address if threads > 1 else own).maps, reference[1].maps)
    with Client(own, set_as_default=False) as client:
        if n_workers > 1:
            same(run(client=client, from_seeds=True).maps, run(from_seeds=True).maps)
        same(run(cube=Elsewhere(is_portable=False), client=client).maps, reference[1].maps)
        with pytest.warns(SpectunerWarning, match="these data are bad"):
            failed = run(client=client, behaviour={"failing": ((9, 1),)})
        assert client.status == "running"  # who opens closes
    with pytest.warns(SpectunerWarning, match="these data are bad"):
        same(failed.maps, run(behaviour={"failing": ((9, 1),)}).maps)


@pytest.mark.parametrize(("n_workers", "portable"), [(1, True), (2, False)])
def test_a_worker_is_killed(cluster, tmp_path, reference, n_workers, portable):
    """Its nanny starts another, which has nothing of what was sent before."""
    own = cluster(n_workers)
    deadly = {"fatal": ((5, 7),), "marker": tmp_path / "killed"}
    done = run(tmp_path / "s", StandInCube(is_portable=portable), client=own, behaviour=deadly)
    assert (tmp_path / "killed").exists()
    same(done.maps, reference[1].maps)
    assert files_of(tmp_path / "s") == files_of(reference[0])


@pytest.mark.slow
def test_a_block_that_kills_every_worker_is_left_out_and_told(cluster, tmp_path, reference):
    """Those that waited on the same workers are not blamed."""
    dask = import_module("dask")
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        own = cluster(2)
    with pytest.raises(SpectunerError, match=r"^client: 1 block\(s\) ended their workers.*resume=True"):
        run(tmp_path / "s", client=own, behaviour={"fatal": ((5, 7),)})
    assert len(recorded(tmp_path / "s")) == LAYOUT.n_block - 1
    run(tmp_path / "s", resume=True)
    assert files_of(tmp_path / "s") == files_of(reference[0])


def test_a_worker_without_a_nanny_is_killed(tmp_path, reference):
    import_module("distributed")
    with machines(2) as (address, _, workers):
        deadly = {"fatal": ((5, 7),), "marker": tmp_path / "killed"}
        done = run(tmp_path / "s", client=address, behaviour=deadly)
        assert sorted(w.poll() is None for w in workers) == [False, True]
    same(done.maps, reference[1].maps)


def test_the_scheduler_is_killed_then_the_run_goes_on_without(tmp_path, reference):
    import_module("distributed")
    with machines(1) as (address, scheduler, _):
        told = []

        def progress(report):
            told.append(report)
            if len(told) == 3:
                scheduler.kill()

        with pytest.raises(
            SpectunerError, match=r"^client: the connection to the dask scheduler is lost.*resume=True"
        ):
            run(tmp_path / "s", client=address, progress=progress, behaviour={"pause": 0.05})
    kept = recorded(tmp_path / "s")
    assert 3 <= len(kept) < LAYOUT.n_block
    run(tmp_path / "s", resume=True, behaviour={"calls": tmp_path / "calls"})
    assert files_of(tmp_path / "s") == files_of(reference[0])
    fits = [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("fit")]
    assert len(fits) < CUBE.region.sum() - 3 * 12


def test_cancel_on_a_cluster(cluster, tmp_path, reference):
    own, told = cluster(2), []

    def progress(report):
        told.append(report)
        return len(told) >= 2

    stopped = run(tmp_path / "s", client=own, progress=progress, behaviour={"pause": 0.1})
    assert not stopped.complete
    assert len(recorded(tmp_path / "s")) == len(told) <= 4
    run(tmp_path / "s", resume=True, client=own)
    assert files_of(tmp_path / "s") == files_of(reference[0])


def test_no_scheduler_answers():
    dask = import_module("dask")
    import_module("distributed")
    silence = pytest.raises(InputError, match=r"^client: no dask scheduler answers at tcp://127.0.0.1:9")
    with dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}), silence:
        run(client="tcp://127.0.0.1:9")


class machines:  # noqa: N801
    """A scheduler and workers in processes of their own, as a cluster has them."""

    def __init__(self, n_workers):
        self.n_workers, self.processes = n_workers, []

    def __enter__(self):
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path}

        def start(*arguments):
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", *arguments],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE if not self.processes else subprocess.DEVNULL,
                    text=True,
                )
            )
            return self.processes[-1]

        scheduler = start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        for line in scheduler.stderr:
            if "Scheduler at:" in line:
                address = line.split()[-1]
                break
        self.reader = threading.Thread(target=scheduler.stderr.read, daemon=True)
        self.reader.start()
        workers = [
            start("distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
            for _ in range(self.n_workers)
        ]
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(self.n_workers, timeout=60)
        return address, scheduler, workers

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(10)
        self.reader.join(10)
        self.processes[0].stderr.close()
