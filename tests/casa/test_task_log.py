import sys
from types import SimpleNamespace

import pytest

from spectuner_ext.errors import InputError
from spectuner_tasks import sdfit_lte, termanalysis_rl
from spectuner_tasks.log import TaskLog


class Log:
    """Stands in for casalog."""

    def __init__(self):
        self.posts, self.task = [], ""

    def origin(self, task):
        self.task = task

    def post(self, text, priority="INFO"):
        self.posts.append((priority, self.task, text))


@pytest.fixture
def casalog(monkeypatch):
    log = Log()
    monkeypatch.setitem(sys.modules, "casatasks", SimpleNamespace(casalog=log))
    return log


def test_lines_go_to_the_log_of_casa(casalog):
    with TaskLog("sdfit_lte") as log:
        log.begin()
        log.info("one\ntwo")
        log.end()
    assert [(p, t) for p, t, _ in casalog.posts] == [("INFO", "sdfit_lte")] * 4
    assert [text for *_, text in casalog.posts][1:3] == ["one", "two"]
    assert "Begin Task: sdfit_lte" in casalog.posts[0][2]
    assert "End Task: sdfit_lte" in casalog.posts[-1][2]


def test_failure_is_severe_and_ends_the_task(casalog, tmp_path):
    def task():
        with TaskLog("sdfit_lte") as log:
            log.path = str(tmp_path / "log.txt")
            log.begin()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        task()
    assert [p for p, *_ in casalog.posts] == ["INFO", "SEVERE", "INFO"]
    assert casalog.posts[1][2] == "ValueError: broken"
    assert "End Task" in casalog.posts[2][2]
    assert "SEVERE\tsdfit_lte\tValueError: broken" in (tmp_path / "log.txt").read_text()


def test_what_is_refused_before_any_work_is_severe_too(casalog):
    with pytest.raises(InputError):
        sdfit_lte(infile="", species="CH3OH")
    assert [p for p, *_ in casalog.posts] == ["SEVERE"]
    assert casalog.posts[0][2].startswith("InputError: infile: is required")


def test_call_is_noted_before_the_data_are_read(casalog, tmp_path):
    with pytest.raises(InputError):
        termanalysis_rl(infile=str(tmp_path / "nothing"), nlevels=3)
    texts = [text for *_, text in casalog.posts]
    assert texts[0] == "##### Begin Task: termanalysis_rl #####"
    assert texts[1].startswith("termanalysis_rl( infile='")
    assert "nlevels=3" in texts[1]
    assert casalog.posts[-2][0] == "SEVERE"
    assert "End Task" in texts[-1]


def test_plain_python_needs_no_casa(monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, "casatasks", raising=False)
    with caplog.at_level("INFO"), TaskLog("sdfit_lte") as log:
        log.begin()
    assert caplog.records[0].name == "spectuner_tasks.sdfit_lte"
