"""Compiled code is dropped when any source that went into it has changed, and only then."""

from types import SimpleNamespace

import pytest

from spectuner_ext.lte import kernel_cache


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two kernel sources, and the folder where compiled code is kept."""
    monkeypatch.setattr(kernel_cache, "_PACKAGE", tmp_path)
    (tmp_path / "inner.py").write_text("1")
    (tmp_path / "outer.py").write_text("2")
    kept = tmp_path / "__pycache__"
    kept.mkdir()
    compiled = SimpleNamespace(stats=SimpleNamespace(cache_path=str(kept)))

    def look():
        kernel_cache.drop_stale(compiled, ("inner.py", "outer.py"))
        return sorted(f.name for f in kept.glob("*.nb?"))

    look()
    for name in ("inner.f-1.py311.nbi", "outer.g-1.py311.1.nbc", "other.h-1.py311.nbi"):
        (kept / name).write_bytes(b"compiled")
    return tmp_path, look


def test_nothing_changed_nothing_is_dropped(package):
    assert len(package[1]()) == 3


def test_a_change_in_one_source_drops_what_it_was_compiled_into(package):
    folder, look = package
    (folder / "inner.py").write_text("3")
    assert look() == ["other.h-1.py311.nbi"]


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    compiled = SimpleNamespace(stats=SimpleNamespace(cache_path=str(blocked / "inside")))
    kernel_cache.drop_stale(compiled, kernel_cache._LTE)


@pytest.mark.parametrize(
    "part", ["lte", "fitting", "fitting/batch", "observation", "pipeline/cubes", "policy", "policy/scenes"]
)
def test_all_kernel_sources_are_named(part):
    folder = kernel_cache._PACKAGE
    compiled = {f for f in (folder / part).glob("*.py") if "@njit" in f.read_text()}
    patterns = kernel_cache._SOURCES[part.split("/")[-1]]
    assert compiled
    assert compiled <= {f for pattern in patterns for f in folder.glob(pattern)}
