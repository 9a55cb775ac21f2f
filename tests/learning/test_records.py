"""Records: strict JSON, readable while they grow and after a kill, exact on resume."""

import json
import math

import numpy as np
import pytest
import torch

from spectuner_ext.errors import InputError
from spectuner_ext.learning.records import Records, read_records


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.jsonl"


def test_columns_come_back(path):
    records = Records(path)
    records.write(0, loss=1.5, norm=torch.tensor(2.0, requires_grad=True), ok=True)
    records.write(1, loss=np.float32(0.1), share=np.array([0.25]))
    records.write(1, loss=None, n=np.int64(3))
    columns = read_records(path)
    assert list(columns) == ["step", "loss", "norm", "ok", "share", "n"]
    assert columns["step"].dtype == np.int64
    np.testing.assert_array_equal(columns["step"], [0, 1, 1])
    np.testing.assert_array_equal(columns["loss"], [1.5, np.float32(0.1), np.nan])
    np.testing.assert_array_equal(columns["norm"], [2, np.nan, np.nan])
    np.testing.assert_array_equal(columns["n"], [np.nan, np.nan, 3])


def test_what_is_not_finite_is_strict_json_and_comes_back(path):
    records = Records(path)
    records.write(0, a=math.nan, b=math.inf, c=-math.inf)

    def refuse(word):
        raise AssertionError(f"a browser does not know {word}")

    json.loads(path.read_text(), parse_constant=refuse)
    columns = read_records(path)
    assert math.isnan(columns["a"][0])
    assert (columns["b"][0], columns["c"][0]) == (math.inf, -math.inf)


def test_floats_come_back_to_the_last_bit(path):
    values = np.random.default_rng(1).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    records = Records(path)
    for step, value in enumerate(values):
        records.write(step, value=value)
    np.testing.assert_array_equal(read_records(path)["value"], values)


def test_a_row_is_there_as_soon_as_it_is_written(path):
    records = Records(path)
    for step in range(3):
        records.write(step, loss=step)
        assert read_records(path)["step"].size == step + 1


def test_every_truncation_is_readable_and_resumable(path):
    records = Records(path)
    for step in range(4):
        records.write(step, loss=step / 3)
    whole = path.read_bytes()
    ends = np.cumsum([len(line) for line in whole.splitlines(keepends=True)])
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        complete = int((ends <= cut).sum())
        assert read_records(path)["step"].tolist() == list(range(complete))
        resumed = Records(path, resume_step=2)
        assert path.read_bytes() == whole[: ends[min(complete, 2) - 1] if complete else 0]
        resumed.write(2, loss=2 / 3)
        assert read_records(path)["step"].tolist() == [*range(min(complete, 2)), 2]


def test_an_empty_file_has_no_rows(path):
    Records(path)
    assert read_records(path)["step"].shape == (0,)


def test_existing_records_are_not_written_over(path):
    Records(path).write(0, loss=1)
    with pytest.raises(InputError, match="resume_step"):
        Records(path)
    assert read_records(path)["step"].tolist() == [0]


@pytest.mark.parametrize(
    "line", [b"\x00\x00\n", b'{"loss": 1}\n', b'{"step": 0.5}\n', b'{"step": 1, "a": "b"}\n', b"[]\n"]
)
def test_damage_before_the_end_is_named(path, line):
    path.write_bytes(b'{"step": 0}\n' + line + b'{"step": 2}\n')
    with pytest.raises(InputError, match=r"line 2 of .*records.jsonl"):
        read_records(path)


def test_missing_file_is_named(path):
    with pytest.raises(InputError, match=r"no records at .*records.jsonl"):
        read_records(path)


@pytest.mark.parametrize("value", ["0.5", [1, 2], np.zeros(2), torch.zeros(0), object()])
def test_only_single_numbers_are_recorded(path, value):
    with pytest.raises(InputError, match=r"^loss: must be a single number"):
        Records(path).write(0, loss=value)
