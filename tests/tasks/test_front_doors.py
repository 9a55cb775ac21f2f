import importlib.util

import pytest

import spectuner_tasks
import spectuner_widgets


def test_tasks_are_listed():
    assert "sdfit_lte" in dir(spectuner_tasks)
    with pytest.raises(AttributeError, match="no attribute 'specfit'"):
        spectuner_tasks.specfit  # noqa: B018


def test_widgets_name_their_extra(monkeypatch):
    monkeypatch.setattr(spectuner_widgets, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"SpectrumView needs anywidget and ipywidgets.*spectuner-ext\[widgets\]"
    ):
        spectuner_widgets.SpectrumView  # noqa: B018


def test_widgets_say_what_there_is(monkeypatch):
    monkeypatch.setattr(spectuner_widgets, "find_spec", lambda name: importlib.util.find_spec("json"))
    with pytest.raises(AttributeError, match="no widget 'Nonsense'"):
        spectuner_widgets.Nonsense  # noqa: B018
