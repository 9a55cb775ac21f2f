import json

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.pipeline.evaluate.store import ResultStore, read_content

FACTS = {"pair": "a", "fingerprint": "1"}


def result(method: str, loss: float) -> dict:
    return {"pair": "a", "method": method, "loss": loss}


def test_what_is_put_is_read_back(tmp_path):
    with ResultStore(tmp_path / "s.jsonl", 1, {"policy": "x"}) as store:
        store.put(FACTS, [result("pso", 1.0)])
        store.put(FACTS, [result("slsqp/policy/5", 0.1 + 0.2)])
    content = read_content(tmp_path / "s.jsonl")
    assert content.results["a", "slsqp/policy/5"]["loss"] == 0.1 + 0.2
    assert content.pairs == {"a": FACTS}
    assert sum('"pair","pair"' in line for line in (tmp_path / "s.jsonl").read_text().splitlines()) == 1


def test_a_line_that_was_cut_off_is_left_out_and_written_over(tmp_path):
    path = tmp_path / "s.jsonl"
    with ResultStore(path, 1, {}) as store:
        store.put(FACTS, [result("pso", 1.0), result("evolution", 2.0)])
    path.write_bytes(path.read_bytes()[:-9])
    with ResultStore(path, 1, {}) as store:
        assert store.is_done("a", "pso")
        assert not store.is_done("a", "evolution")
        store.put(FACTS, [result("evolution", 3.0)])
    assert read_content(path).results["a", "evolution"]["loss"] == 3.0
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_what_failed_is_not_done_and_the_later_line_holds(tmp_path):
    with ResultStore(tmp_path / "s.jsonl", 1, {}) as store:
        store.put(FACTS, [{"pair": "a", "method": "pso", "error": "ValueError: no"}])
        assert not store.is_done("a", "pso")
        store.put(FACTS, [result("pso", 4.0)])
        assert store.is_done("a", "pso")
    assert read_content(tmp_path / "s.jsonl").results["a", "pso"]["loss"] == 4.0


def test_results_of_another_run_are_not_mixed_in(tmp_path):
    path = tmp_path / "s.jsonl"
    with ResultStore(path, 1, {"policy": "sha256 a"}) as store:
        store.put(FACTS, [result("pso", 1.0)])
    with pytest.raises(InputError, match=r"seed is 2, but .* holds results of 1"):
        ResultStore(path, 2, {})
    with pytest.raises(InputError, match="proposers: policy is 'sha256 b'"):
        ResultStore(path, 1, {"policy": "sha256 b"})
    with pytest.raises(InputError, match="pairs: fingerprint of a is '2'"):
        ResultStore(path, 1, {"other": "c"}).check_pair({"pair": "a", "fingerprint": "2"})


@pytest.mark.parametrize(
    "text", ["hello\n", '{"kind":"result"}\n', "[1]\n", '{"kind":"else"}\n', '{"a":1}\n']
)
def test_a_foreign_file_is_refused_by_line(tmp_path, text):
    path = tmp_path / "s.jsonl"
    path.write_text('{"kind":"run","seed":1,"proposers":{}}\n' + text)
    with pytest.raises(InputError, match=r"store: line 2 of .* is not a result"):
        read_content(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"store: .*none\.jsonl cannot be read"):
        read_content(tmp_path / "none.jsonl")
