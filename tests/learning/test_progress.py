"""Progress: what each listener hears, and when."""

import io

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.learning.early_stop import EarlyStop
from spectuner_ext.learning.progress import Progress, duration


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_a_function_hears_speed_and_time_to_go_and_can_cancel():
    clock, heard = Clock(), []

    def listen(report):
        heard.append(report)
        return report["step"] >= 60

    progress = Progress(100, listen, stage="learning", done=40, clock=clock)
    for step in range(41, 71):
        clock.now += 0.125  # reports are at least 0.2 s apart: every second step
        progress.update(step, {"loss": 1 / step})
    assert [report["step"] for report in heard] == [*range(41, 60, 2), 61]
    assert heard[1] == {
        "stage": "learning",
        "step": 43,
        "n_steps": 100,
        "loss": 1 / 43,
        "elapsed_s": 0.375,
        "eta_s": 57 * 0.125,
    }
    assert progress.cancelled
    assert progress.update(99)


def test_the_end_is_always_told():
    clock, heard = Clock(), []
    progress = Progress(3, heard.append, clock=clock)
    for step in (1, 2, 3):
        progress.update(step)
    assert [report["step"] for report in heard] == [1, 3]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("file", "start"), [(Terminal(), "\r"), (io.StringIO(), "")])
def test_lines(file, start):
    clock = Clock()
    progress = Progress(400, file=file, clock=clock)
    clock.now += 2
    assert not progress.update(4, {"loss": 0.12345})
    progress.close()
    assert file.getvalue() == f"{start}training: 4/400 (1 %), 2 steps/s, 3 min 18 s left  loss 0.1235\n"


def test_a_shorter_line_leaves_nothing_of_a_longer_one():
    clock, file = Clock(), Terminal()
    progress = Progress(10, file=file, clock=clock)
    for step, scalars in ((1, {"a_long_name": 1.0}), (2, {})):
        clock.now += 1
        progress.update(step, scalars)
    first, second = file.getvalue().split("\r")[1:]
    assert len(second) == len(first)


def test_silence(capsys):
    for show in ("silent", None):
        progress = Progress(2, show)
        progress.update(1)
        progress.update(2)
        progress.close()
    assert capsys.readouterr() == ("", "")


def test_unknown_listener_is_refused():
    with pytest.raises(InputError, match=r"^progress: must be auto"):
        Progress(1, "loud")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3725, "1 h 02 min"),
        (90000, "1 d 1 h"),
        (float("inf"), "unknown time"),
    ],
)
def test_words_for_a_time(seconds, words):
    assert duration(seconds) == words


def test_early_stop_waits_its_patience_out():
    watch = EarlyStop(2, min_gain=0.1)
    assert [watch.update(v) for v in (3.0, 2.95, 2.8, float("nan"))] == [True, False, True, False]
    assert not watch.is_over
    other = EarlyStop(2, min_gain=0.1)
    other.restore(watch.arrays())
    other.update(2.75)
    assert other.is_over
    assert not watch.is_over
    with pytest.raises(InputError, match=r"^patience, min_gain: "):
        EarlyStop(0)
