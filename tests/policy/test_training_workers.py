"""Items made by processes: the same as made at once, in order; and no failure leaves anyone waiting."""

import multiprocessing as mp
import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import islice

import numpy as np
import pytest

from spectuner_ext.errors import InputError, SpectunerError
from spectuner_ext.policy.train.workers import numbered

SOURCES = '''
import os
import signal
import time

import numpy as np


class Numbers:
    """Large enough that an item does not fit into the buffer of a pipe."""

    def batch(self, number):
        rng = np.random.default_rng(number)
        return number, rng.random(100_000), {name: os.environ.get(name) for name in ("OMP_NUM_THREADS",)}


class Failing:
    def __init__(self, kind):
        self.kind = kind

    def batch(self, number):
        if number < 3:
            return number
        if self.kind == "exit":
            os._exit(7)
        if self.kind == "unpicklable":
            return lambda: 0
        raise ValueError("there is no fourth item")


class Slow:
    def batch(self, number):
        if number:
            time.sleep(60.0)
        return number
'''


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A module that spawned processes can import too."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "sources_of_items.py").write_text(SOURCES)
    sys.path.insert(0, str(folder))
    import sources_of_items

    yield sources_of_items
    sys.path.remove(str(folder))
    del sys.modules["sources_of_items"]


def test_items_are_the_same_whoever_makes_them(sources):
    made = {}
    before = dict(os.environ)
    for n_worker in (0, 1, 3):
        with numbered(sources.Numbers(), 5, n_worker, step=2) as items:
            made[n_worker] = list(islice(items, 8))
    assert dict(os.environ) == before
    assert [number for number, _, _ in made[0]] == list(range(5, 21, 2))
    for n_worker in (1, 3):
        for (a, x, _), (b, y, environment) in zip(made[0], made[n_worker], strict=True):
            assert a == b
            np.testing.assert_array_equal(x, y)
            assert environment == {"OMP_NUM_THREADS": "1"}
    assert not mp.active_children()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raise", "workers: .* failed: ValueError: there is no fourth item"),
        ("exit", "workers: .* ended with exit code 7"),
        ("unpicklable", "workers: .* failed: .*[pP]ickle"),
    ],
)
def test_a_process_that_fails(sources, kind, message):
    got = []

    def take_all(items):
        for item in items:
            got.append(item)

    with numbered(sources.Failing(kind), 0, 2) as items, pytest.raises(SpectunerError, match=message):
        take_all(items)
    assert got == [0, 1, 2] or (
        kind == "exit" and got == [0, 1, 2][: len(got)]
    )  # what was ready is lost then
    assert not mp.active_children()


def test_without_processes_the_exception_itself_comes(sources):
    with numbered(sources.Failing("raise"), 3, 0) as items, pytest.raises(ValueError, match="no fourth"):
        next(items)


def test_a_process_that_is_killed_within_an_item(sources):
    with numbered(sources.Numbers(), 0, 1) as items:
        next(items)
        (child,) = mp.active_children()
        time.sleep(0.5)  # by then it is handing over the next item, and no one takes it
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(SpectunerError, match="exit code -9"):
            list(islice(items, 10))


def test_processes_end_with_the_context(sources):
    def use():
        with numbered(sources.Slow(), 0, 1) as items:
            next(items)
            raise KeyError("something else went wrong")

    start = time.monotonic()
    with pytest.raises(KeyError):
        use()
    assert not mp.active_children()
    assert time.monotonic() - start < 50.0  # it did not wait for the second item


def test_processes_end_with_a_parent_that_is_killed(sources, tmp_path):
    program = tmp_path / "parent.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import multiprocessing as mp, os, signal, sys
            sys.path.insert(0, {os.path.dirname(sources.__file__)!r})
            from sources_of_items import Numbers
            from spectuner_ext.policy.train.workers import numbered

            if __name__ == "__main__":
                with numbered(Numbers(), 0, 1) as items:
                    next(items)
                    print(mp.active_children()[0].pid, flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
            """
        )
    )
    parent = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    try:
        # it ends when no one has the other end of its output any more, and the child has it too
        parent.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.kill(child, signal.SIGKILL)
        raise
    assert parent.returncode == -signal.SIGKILL


def test_an_interrupt_of_everyone_is_for_the_parent_to_hear(sources):
    """Ctrl-C reaches all processes of a terminal; those that make items go on until the parent ends them."""
    before = signal.getsignal(signal.SIGINT)
    with numbered(sources.Numbers(), 0, 1) as items:
        assert signal.getsignal(signal.SIGINT) is before
        (child,) = mp.active_children()
        for _ in range(20):  # from its first moments on
            os.kill(child.pid, signal.SIGINT)
            time.sleep(0.01)
        next(items)
        os.kill(child.pid, signal.SIGINT)
        assert [number for number, _, _ in islice(items, 10)] == list(range(1, 11))


def test_fewer_than_no_processes(sources):
    with pytest.raises(InputError, match=r"^workers: .* got -1"), numbered(sources.Numbers(), 0, -1):
        pass
