import inspect
import logging
import sys

import pytest

from spectuner_ext.errors import InputError
from spectuner_tasks import session
from spectuner_tasks.definitions import DEFINITIONS
from spectuner_tasks.gotasks import commands
from spectuner_tasks.task_object import TaskObject


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Variables of a session in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.fits").touch()
    return {"unrelated": 1}


@pytest.fixture
def calls():
    return []


@pytest.fixture
def task(shell, calls):
    def function(**given):
        calls.append(given)
        return {"n": len(calls)}

    return TaskObject(DEFINITIONS["sdfit_lte"], lambda: shell, function)


@pytest.fixture
def analysis(shell, calls):
    return TaskObject(DEFINITIONS["termanalysis_rl"], lambda: shell, lambda **given: calls.append(given))


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def value_of(shown, name):
    """What `inp` shows behind the name of a parameter."""
    row = next(line for line in shown if line.split("=")[0].strip() == name)
    return row.partition("=")[2].partition("  #")[0].strip()


def test_go_takes_the_variables_of_the_session(task, shell, calls):
    shell.update(infile="data.fits", species="CH3OH", components=2)
    assert task() == {"n": 1}
    assert calls == [{"infile": "data.fits", "species": "CH3OH", "components": 2}]


def test_call_with_arguments_leaves_the_session_alone(task, shell, calls):
    shell.update(infile="data.fits", species="CH3OH", components=2)
    task("data.fits", species="CH3CN", ninit=None, noise="")
    assert calls == [{"infile": "data.fits", "species": "CH3CN"}]


def test_whole_numbers_stand_for_floating_ones(task, calls):
    task("data.fits", "CH3OH", noise_factor=5)
    assert isinstance(calls[0]["noise_factor"], float)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"infile": "nope.fits", "species": "CH3OH"}, "infile parameter must be a path that exists"),
        ({"species": "CH3OH"}, r"the infile parameter must be a path that exists \('' does not exist\)"),
        ({"infile": "data.fits", "components": "two"}, "'components': .'must be of cInt type"),
        ({"infile": "data.fits", "loss": "chi3"}, "'loss': .'unallowed value chi3'"),
    ],
)
def test_wrong_values_are_assertion_errors_and_severe(task, calls, caplog, given, message):
    with caplog.at_level(logging.INFO), pytest.raises(AssertionError, match=message):
        task(**given)
    assert calls == []
    assert caplog.records[-1].message.startswith("SEVERE: ")


def test_unknown_keywords_are_type_errors(task):
    with pytest.raises(TypeError, match=r"sdfit_lte\(\) got an unexpected keyword argument 'imagename'"):
        task(imagename="data.fits")


def test_errors_of_the_function_come_through(shell):
    def function(**given):
        raise InputError("species: unknown")

    with pytest.raises(InputError, match="species: unknown"):
        TaskObject(DEFINITIONS["sdfit_lte"], lambda: shell, function)("data.fits", "X")


def test_signature_and_help_are_those_of_the_parameters(task):
    assert list(inspect.signature(task).parameters) == [p.name for p in DEFINITIONS["sdfit_lte"].parameters]
    assert task.__doc__.startswith("sdfit_lte -- fit LTE models")
    assert "filling_factor, T_ex [K]" in task.__doc__


def test_inp_shows_values_and_marks_wrong_ones(task, shell, capsys):
    shell.update(species="CH3OH", components="two", noise_factor=-3.0)
    task.inp()
    shown = lines(capsys)
    assert shown[0] == f"# sdfit_lte -- {DEFINITIONS['sdfit_lte'].title}"
    assert value_of(shown, "species") == "'CH3OH'"
    assert value_of(shown, "loss") == "'chi2'"
    wrong = [line.split("=")[0].strip() for line in shown if line.startswith("!")]
    assert wrong == ["!components", "!noise_factor"]


def test_inp_colours_a_terminal(task, shell, capsys, monkeypatch):
    shell.update(species="CH3OH", components="two", outfile="a")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    task.inp()
    shown = lines(capsys)
    coloured = {name: next(line for line in shown if f"{name} " in line.split("=")[0]) for name in
                ("species", "components", "plots", "loss")}  # fmt: skip
    assert "\x1b[34m'CH3OH'" in coloured["species"]
    assert "\x1b[91m'two'" in coloured["components"]
    assert coloured["plots"].startswith("\x1b[92m   plots")
    assert "\x1b" not in coloured["loss"]
    assert not any(line.startswith("!") for line in shown)


@pytest.mark.parametrize(
    ("variables", "shown", "hidden"),
    [
        ({}, {"offset"}, {"plots", "weights", "replace"}),
        ({"outfile": "a"}, {"plots", "modelcube", "casaimages"}, set()),
        ({"loss": "pm"}, set(), {"offset"}),
        ({"initial": "policy"}, {"weights", "policy_every"}, set()),
        ({"initial": {"T_ex": 50}}, set(), {"weights"}),
        ({"redo": [(1, 2)]}, {"replace"}, set()),
    ],
)
def test_subparameters_are_shown_when_they_count(task, shell, capsys, variables, shown, hidden):
    shell.update(variables)
    task.inp()
    there = {line.split("=")[0].strip() for line in lines(capsys)}
    assert shown <= there
    assert not hidden & there


def test_subparameters_that_do_not_count_are_not_taken(task, analysis, shell, calls):
    shell.update(infile="data.fits", species="CH3OH", loss="pm", offset=0.5, plots=False)
    task()
    assert calls[-1] == {"infile": "data.fits", "species": "CH3OH", "loss": "pm"}
    shell.clear()
    shell.update(infile="ion", agent="mcts", episodes=5, depth=3)
    analysis()
    assert calls[-1] == {"infile": "ion", "agent": "mcts", "depth": 3}


def test_default_takes_back_what_is_set(task, shell):
    shell.update(species="CH3OH", components=2)
    task.set_global_defaults()
    assert shell == {"unrelated": 1}


def test_inputs_are_written_and_read_again(task, shell, tmp_path):
    shell.update(infile="data.fits", species=["CH3OH", "it's"], bounds={"T_ex": (10, 300.5)}, seed=3)
    assert task.tput()
    before = dict(shell)
    task.set_global_defaults()
    shell["components"] = 7
    task.tget()
    assert {name: shell[name] for name in before} == before
    assert shell["components"] == 1
    assert (
        (tmp_path / "sdfit_lte.last")
        .read_text()
        .splitlines()[-1]
        .startswith("#sdfit_lte( infile='data.fits'")
    )


def test_inputs_go_to_a_file_of_any_name(task, shell):
    shell["species"] = "CH3CN"
    task.tput("mine.txt")
    task.set_global_defaults()
    task.tget("mine.txt")
    assert shell["species"] == "CH3CN"


def test_objects_have_no_form_in_a_file(task, shell, capsys):
    shell.update(species="CH3OH", noise=object())
    assert task.tput()
    assert "as objects have no form in it: noise" in capsys.readouterr().out
    task.tget()
    assert shell["species"] == "CH3OH"
    assert "noise" not in shell


def test_inputs_that_cannot_be_written_are_told(task, capsys):
    assert task.tput("no/such/folder/x") is False
    assert "could not be written" in capsys.readouterr().out


def test_without_a_file_the_defaults_are_set(task, shell, capsys):
    shell["species"] = "CH3OH"
    task.tget()
    assert "there is no file sdfit_lte.saved" in capsys.readouterr().out
    assert shell == {"unrelated": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os", "line 1 is not name = value"),
        ("seed = 1\nspecies = __import__('os').getcwd()", "the value of species is not a plain one"),
        ("seed = 1\nuid = 2", "'uid' in line 2 is no parameter"),
        ("seed = = 1", "cannot be read as inputs"),
        ("a.seed = 1", "line 1 is not name = value"),
    ],
)
def test_files_of_inputs_are_read_not_run(task, shell, tmp_path, text, message):
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(InputError, match=f"savefile: bad.txt: .*{message}"):
        task.tget("bad.txt")
    assert shell == {"unrelated": 1}


def test_last_inputs_are_kept_in_casashell_only(task, tmp_path, monkeypatch):
    task("data.fits", "CH3OH")
    assert not (tmp_path / "sdfit_lte.last").exists()
    monkeypatch.setattr("spectuner_tasks.task_object.in_casashell", lambda: True)
    task("data.fits", "CH3OH", seed=4)
    assert "seed            = 4" in (tmp_path / "sdfit_lte.last").read_text()


def test_variables_are_those_of_the_prompt_without_casashell(monkeypatch):
    monkeypatch.delitem(sys.modules, "casashell", raising=False)
    assert session.session_variables() is sys.modules["__main__"].__dict__
    assert not session.in_casashell()


def test_variables_are_those_of_casashell_where_it_runs(monkeypatch):
    found = {"__casashell_state__": object()}

    class Finder:
        @staticmethod
        def find_frame():
            return found

    monkeypatch.setitem(sys.modules, "casashell", object())
    monkeypatch.setitem(sys.modules, session.FINDER[0], Finder)
    assert session.session_variables() is found
    assert session.in_casashell()


@pytest.mark.parametrize("finder", [object(), None])
def test_casashell_of_another_layout_is_done_without(monkeypatch, finder):
    monkeypatch.setitem(sys.modules, "casashell", object())
    monkeypatch.setitem(sys.modules, session.FINDER[0], finder)
    assert session.session_variables() is sys.modules["__main__"].__dict__


def test_commands_remember_the_task(task, shell, calls, capsys):
    with pytest.raises(TypeError, match="give one, such as inp"):
        commands.go()
    commands.inp(task)
    shell.update(infile="data.fits", species="CH3OH")
    assert commands.go() == {"n": 1}
    assert commands.tput()
    commands.default()
    assert "species" not in shell
    commands.tget()
    assert shell["species"] == "CH3OH"
    with pytest.raises(TypeError, match="is no task"):
        commands.inp("sdfit_lte")


@pytest.fixture(autouse=True)
def _no_task_named_yet(monkeypatch):
    monkeypatch.setattr(commands, "_LAST", [])


def test_both_ways_to_import_give_the_object():
    from spectuner_tasks.gotasks import sdfit_lte, termanalysis_rl
    from spectuner_tasks.gotasks.sdfit_lte import sdfit_lte as direct

    assert sdfit_lte is direct
    assert repr(termanalysis_rl).startswith("<task termanalysis_rl: determine")
