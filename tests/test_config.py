"""Settings: round trips, and a word for every mistake."""

import math
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spectuner_ext import config
from spectuner_ext.errors import InputError


@dataclass(frozen=True)
class Schedule:
    peak: float = 7.5e-5
    n_up: int = 4000
    rise: Literal["linear", "cosine"] = "linear"


@dataclass(frozen=True)
class Training:
    n_steps: int
    name: str = "first"
    schedule: Schedule = field(default_factory=Schedule)
    second: Schedule | None = None
    limit: float | None = None
    start: float | None = 1.0
    shuffle: bool = True
    bands: tuple[int, ...] = (3, 6, 7)
    span: tuple[float, str] = (1.0, "km/s")
    windows: tuple[tuple[float, float], ...] = ()
    folder: Path | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    stages: tuple[Schedule, ...] = ()
    mode: Literal["fast", 2] | None = None

    def __post_init__(self):
        if self.n_steps < 1:
            raise InputError(f"n_steps: must be at least 1, got {self.n_steps}")


floats = st.floats(allow_nan=False)
words = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "no",
        "1e-3",
        "null",
        "~",
        "",
        "1:30",
        "0o7",
        "2020-01-01",
        ".inf",
        "a: b",
        "'",
        '"',
        "\n",
        "\x7f",
        "#",
        "true",
    ]
)
schedules = st.builds(Schedule, peak=floats, n_up=st.integers(), rise=st.sampled_from(["linear", "cosine"]))
trainings = st.builds(
    Training,
    n_steps=st.integers(1),
    name=words,
    schedule=schedules,
    second=st.none() | schedules,
    limit=st.none() | floats,
    start=floats,
    shuffle=st.booleans(),
    bands=st.lists(st.integers()).map(tuple),
    span=st.tuples(floats, words),
    windows=st.lists(st.tuples(floats, floats), max_size=3).map(tuple),
    folder=st.none() | st.sampled_from([Path("a/b c"), Path("1")]),
    weights=st.dictionaries(words, floats, max_size=3),
    stages=st.lists(schedules, max_size=2).map(tuple),
    mode=st.sampled_from([None, "fast", 2]),
)


@settings(deadline=None)
@given(made=trainings, form=st.sampled_from(["yaml", "toml"]))
def test_what_is_written_is_read(made, form):
    text = config.dumps(made, form)
    again = config.loads(text, Training, form)
    assert again == made
    assert type(again.schedule.peak) is float
    assert config.difference(again, made) == ()
    if form == "toml":
        tomllib.loads(text)


@pytest.mark.parametrize("ending", ["yaml", "yml", "toml", "YAML"])
def test_files(tmp_path, ending):
    made = Training(n_steps=5, schedule=Schedule(n_up=2), windows=((1.0, 2.0),))
    path = tmp_path / f"settings.{ending}"
    config.dump(made, path)
    assert config.read(path, Training) == made


def test_fields_left_out_keep_their_default():
    assert config.loads("n_steps: 3\nschedule: {n_up: 7}", Training) == Training(3, schedule=Schedule(n_up=7))
    assert config.loads("", Schedule) == Schedule()
    assert config.loads("", Schedule, "toml") == Schedule()


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1E5", 1e5), (".5", 0.5), ("3", 3.0), ("-.inf", -math.inf), ("+7.", 7.0)],
)
def test_numbers_as_people_write_them(text, value):
    found = config.loads(f"peak: {text}", Schedule).peak
    assert found == value
    assert type(found) is float


@pytest.mark.parametrize("word", ["no", "on", "yes", "2020-01-01", "1:30", "0x1F", "o"])
def test_words_stay_words(word):
    assert config.loads(f"n_steps: 1\nname: {word}", Training).name == word


def test_leading_zeros_are_decimal():
    assert config.loads("n_up: 010", Schedule).n_up == 10


MISTAKES = {
    "n_steps: 1\nshuffel: true": r"^shuffel: is not a setting here \(did you mean shuffle\?\); there are n_steps",
    "n_steps: 1\nschedule: {nup: 3}": r"^schedule.nup: is not a setting here \(did you mean n_up\?\); there are peak",
    "n_steps: 1\nstages: [{}, {peek: 3}]": r"^stages\[1\].peek: is not a setting",
    "name: a": r"^n_steps: is missing and has no default",
    "n_steps: 0": r"^n_steps: must be at least 1, got 0",
    "n_steps: 1.0": r"^n_steps: needs an integer, got 1.0",
    "n_steps: true": r"^n_steps: needs an integer, got True",
    "n_steps: 1\nlimit: true": r"^limit: needs a number, got True",
    "n_steps: 1\nlimit: high": r"^limit: needs a number, got 'high'",
    "n_steps: 1\nname: 3": r"^name: needs a text, got 3",
    "n_steps: 1\nname: null": r"^name: needs a text, got None",
    "n_steps: 1\nshuffle: 1": r"^shuffle: needs true or false, got 1",
    "n_steps: 1\nschedule: {rise: linaer}": r"^schedule.rise: must be one of linear, cosine, got 'linaer' \(did you",
    "n_steps: 1\nmode: 2.0": r"^mode: must be one of fast, 2, got 2.0",
    "n_steps: 1\nmode: true": r"^mode: must be one of fast, 2, got True",
    "n_steps: 1\nbands: 3": r"^bands: needs a list, got 3",
    "n_steps: 1\nbands: [3, a]": r"^bands\[1\]: needs an integer, got 'a'",
    "n_steps: 1\nspan: [1, a, 3]": r"^span: needs 2 values, got 3",
    "n_steps: 1\nschedule: 3": r"^schedule: needs names and values, got 3",
    "n_steps: 1\nweights: {a: b}": r"^weights.a: needs a number",
    "n_steps: 1\nweights: {3: 1}": r"^weights: key 3: needs a text",
    "n_steps: 1\nn_steps: 2": r"not YAML.* 'n_steps' is given twice",
    "n_steps: [1": r"not YAML",
    "- 1": r"^settings: needs names and values",
    "n_steps: !!python/object/apply:os.getcwd []": r"not YAML",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named(text, tmp_path):
    with pytest.raises(InputError, match=MISTAKES[text]):
        config.loads(text, Training)
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"my.yaml: "):
        config.read(path, Training)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InputError, match=r"missing.toml: cannot be read"):
        config.read(tmp_path / "missing.toml", Training)
    with pytest.raises(InputError, match=r"^path: settings are files that end in .yaml, .yml, .toml"):
        config.read(tmp_path / "settings.json", Training)
    (tmp_path / "a.toml").write_text("n_steps = 1\nn_steps = 2\n")
    with pytest.raises(InputError, match=r"a.toml: not TOML"):
        config.read(tmp_path / "a.toml", Training)
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"a.yaml: is not a text file"):
        config.read(tmp_path / "a.yaml", Training)


def test_toml_cannot_say_nothing_where_the_default_is_something():
    with pytest.raises(InputError, match=r"^start: TOML has no word for nothing; write YAML"):
        config.dumps(Training(1, start=None), "toml")
    assert config.loads(config.dumps(Training(1, start=None)), Training).start is None


def test_only_plain_values_are_written():
    with pytest.raises(InputError, match=r"^name: a file of settings cannot hold <object"):
        config.dumps(Training(1, name=object()))
    with pytest.raises(InputError, match=r"^settings: must be an instance of a dataclass"):
        config.dumps({"a": 1})
    assert config.to_plain(Schedule(peak=np.float64(0.5), n_up=np.int64(3))) == {
        "peak": 0.5,
        "n_up": 3,
        "rise": "linear",
    }


def test_single_values_are_replaced():
    made = Training(1)
    assert config.override(made, ["schedule.peak=1e-4", "bands=[1, 2]", "name=007", "limit = 3"]) == replace(
        made, schedule=Schedule(peak=1e-4), bands=(1, 2), name="007", limit=3.0
    )
    assert config.override(made, {"schedule.n_up": 3, "windows": ((1, 2),)}) == replace(
        made, schedule=Schedule(n_up=3), windows=((1.0, 2.0),)
    )
    assert config.override(made, ["limit=null", "second={n_up: 2}"]).second == Schedule(n_up=2)
    assert config.override(made, ["name=null"]).name == "null"
    assert made == Training(1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["schedule.nup=3"], r"^schedule.nup: is not a setting here \(did you mean n_up"),
        (["schedule.n_up=a"], r"^schedule.n_up: needs an integer, got 'a'"),
        (["second.n_up=1"], r"^second.n_up: second has no named values of its own"),
        (["n_steps"], r"^n_steps: needs a value, as in n_steps=3"),
        (["n_steps=0"], r"^n_steps: must be at least 1"),
        ({"n_steps": 1.5}, r"^n_steps: needs an integer"),
    ],
)
def test_wrong_replacements_are_named(values, message):
    with pytest.raises(InputError, match=message):
        config.override(Training(1), values)


def test_differences_are_named_with_dots():
    a = Training(1, limit=math.nan)
    assert config.difference(a, a) == ()
    b = replace(a, n_steps=2, schedule=Schedule(n_up=1), second=Schedule())
    assert config.difference(a, b) == ("n_steps", "schedule.n_up", "second")
    assert config.difference(config.to_plain(a), {**config.to_plain(a), "more": 1}) == ("more",)


def test_yaml_is_what_other_readers_expect():
    text = config.dumps(Training(1, limit=2.5, windows=((1.0, 2.0),)))
    assert yaml.safe_load(text) == config.to_plain(Training(1, limit=2.5, windows=((1.0, 2.0),)))


def test_settings_need_no_yaml_until_a_file_is_read():
    child = "import sys; import spectuner_ext.config; print('yaml' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
