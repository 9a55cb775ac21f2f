"""Blocks on disk: whole or not there; and stores that must be refused."""

import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import spectuner_ext
from spectuner_ext.errors import InputError, SpectunerError, SpectunerWarning
from spectuner_ext.pipeline.cubes import identity, store
from spectuner_ext.pipeline.cubes.layout import Layout
from spectuner_ext.pipeline.cubes.outcome import FIELDS, Sizes, empty_outcome
from spectuner_ext.pipeline.cubes.store import MemoryStore, ZarrStore

LAYOUT = Layout((7, 10), (3, 4))
SIZES = Sizes(component=2, window=3, free=6)
FINGERPRINTS = {"cube": "a", "fit": "b", "selection": "c", "starts": "d", "blocks": "e"}


def begin(path, *, layout=LAYOUT, sizes=SIZES, fingerprints=FINGERPRINTS, **how):
    return ZarrStore.open(path, layout, sizes, fingerprints, {"loss": "chi2"}, **how)


def block(number, seed=0):
    y0, y1, x0, x1 = LAYOUT.box(number)
    rng = np.random.default_rng([seed, number])
    outcome = empty_outcome((y1 - y0, x1 - x0), SIZES)
    for array in outcome.values():
        array[...] = (1000 * rng.random(array.shape)).astype(array.dtype)
        if array.dtype.kind == "f":
            array[0, 0] = np.nan
    return outcome


def files_of(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_a_block_comes_back_as_it_was(tmp_path):
    with begin(tmp_path / "s") as kept:
        for number in (0, 2, 5, 8):
            kept.put("fit", number, block(number))
    with begin(tmp_path / "s", resume=True) as kept:
        assert kept.stages() == ["fit"]
        assert kept.get("sweep_1", 0) is None
        for number in range(LAYOUT.n_block):
            found = kept.get("fit", number)
            if number not in (0, 2, 5, 8):
                assert found is None
                continue
            for name, array in block(number).items():
                assert found[name].dtype == array.dtype
                np.testing.assert_array_equal(found[name], array)


def test_arrays_are_maps_for_any_reader(tmp_path):
    with begin(tmp_path / "s") as kept:
        kept.put("fit", 4, block(4))
    group = zarr.open_group(tmp_path / "s", mode="r")
    y0, y1, x0, x1 = LAYOUT.box(4)
    for name, (_, _, missing) in FIELDS.items():
        array = group["fit"][name]
        assert array.shape[:2] == LAYOUT.shape
        np.testing.assert_array_equal(array[y0:y1, x0:x1], block(4)[name])
        np.testing.assert_array_equal(array[:3], np.full((3, *array.shape[1:]), missing))
    said = group.attrs["spectuner_ext"]
    assert said["version"] == spectuner_ext.__version__
    assert said["fingerprints"] == FINGERPRINTS
    assert said["settings"] == {"loss": "chi2", "shape": [7, 10], "block": [3, 4]}


@pytest.mark.parametrize("sizes", [Sizes(1, 1, 0), Sizes(1, 1, 5)])
def test_blocks_of_nothing_known_can_be_stored(tmp_path, sizes):
    nothing = empty_outcome((3, 4), sizes)
    with begin(tmp_path / "s", sizes=sizes) as kept:
        kept.put("fit", 0, nothing)
        found = kept.get("fit", 0)
    for name, array in nothing.items():
        np.testing.assert_array_equal(found[name], array)


def test_stages_do_not_touch_each_other(tmp_path):
    with begin(tmp_path / "s") as kept:
        kept.put("fit", 1, block(1))
        before = files_of(tmp_path / "s")
        kept.put("sweep_1", 1, block(1, seed=1))
        after = files_of(tmp_path / "s")
        assert {name: after[name] for name in before} == before
        np.testing.assert_array_equal(kept.get("fit", 1)["loss"], block(1)["loss"])
        np.testing.assert_array_equal(kept.get("sweep_1", 1)["loss"], block(1, seed=1)["loss"])


def test_errors_are_kept_in_order(tmp_path):
    for kept in (begin(tmp_path / "s"), MemoryStore()):
        assert kept.errors("fit") == {}
        kept.note_error("fit", 7, "seven")
        kept.note_error("fit", 1, "one")
        assert list(kept.errors("fit").items()) == [(1, "one"), (7, "seven")]
        kept.close()


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_block_is_not_taken_for_whole(tmp_path, damage):
    with begin(tmp_path / "s") as kept:
        kept.put("fit", 4, block(4))
    chunk = tmp_path / "s" / "fit" / "theta" / "1.1.0.0"
    content = bytearray(chunk.read_bytes())
    if damage == "gone":
        chunk.unlink()
    else:
        content[len(content) // 2] ^= 1
        chunk.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    told = pytest.warns(SpectunerWarning, match=r"block 4 of fit .* damaged")
    with begin(tmp_path / "s", resume=True) as kept, told:
        assert kept.get("fit", 4) is None


def test_a_block_without_its_record_is_not_there(tmp_path):
    with begin(tmp_path / "s") as kept:
        kept.put("fit", 4, block(4))
    (tmp_path / "s" / "fit" / "done" / "1.1").unlink()
    with begin(tmp_path / "s", resume=True) as kept:
        assert kept.get("fit", 4) is None


def test_what_a_kill_leaves_is_cleared(tmp_path):
    with begin(tmp_path / "s") as kept:
        kept.put("fit", 4, block(4))
    whole = files_of(tmp_path / "s")
    (tmp_path / "s" / "fit" / "x" / "0.0.abc.partial").write_bytes(b"half")
    (tmp_path / "s" / "sweep_1" / "x").mkdir(parents=True)  # begun, not to the end
    (tmp_path / "s" / "sweep_1" / "x" / "zarr.json").write_bytes(b"{")
    with begin(tmp_path / "s", resume=True) as kept:
        assert kept.stages() == ["fit"]
        assert kept.get("sweep_1", 4) is None
        kept.put("sweep_1", 4, block(4))
    with begin(tmp_path / "other") as other:
        other.put("fit", 4, block(4))
        other.put("sweep_1", 4, block(4))
    assert files_of(tmp_path / "s") == files_of(tmp_path / "other")
    assert whole.items() <= files_of(tmp_path / "s").items()


def test_an_empty_folder_and_a_killed_beginning_can_be_used(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "zarr.abc.partial").write_bytes(b"{")
    for name in "ab":
        begin(tmp_path / name, resume=True).close()
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_an_existing_run_needs_resume_or_overwrite(tmp_path):
    with begin(tmp_path / "s") as kept:
        kept.put("fit", 0, block(0))
    before = files_of(tmp_path / "s")
    with pytest.raises(InputError, match=r"^store: .* holds a run already; resume=True .* overwrite=True"):
        begin(tmp_path / "s")
    assert files_of(tmp_path / "s") == before
    with begin(tmp_path / "s", overwrite=True, fingerprints={**FINGERPRINTS, "fit": "z"}) as kept:
        assert kept.get("fit", 0) is None
    assert list(files_of(tmp_path / "s")) == ["zarr.json"]


@pytest.mark.parametrize(("part", "words"), identity.PARTS.items())
def test_another_run_is_refused_by_what_differs(tmp_path, part, words):
    with begin(tmp_path / "s") as kept:
        kept.put("fit", 0, block(0))
    before = files_of(tmp_path / "s")
    with pytest.raises(
        InputError, match=rf"^store: .* another run: {words} differ.*overwrite=True"
    ) as raised:
        begin(tmp_path / "s", resume=True, fingerprints={**FINGERPRINTS, part: "other"})
    assert not any(other in str(raised.value) for key, other in identity.PARTS.items() if key != part)
    assert files_of(tmp_path / "s") == before


@pytest.mark.parametrize("what", ["format", "version"])
def test_another_version_is_refused(tmp_path, monkeypatch, what):
    begin(tmp_path / "s").close()
    if what == "format":
        monkeypatch.setattr(identity, "FORMAT", 99)
    else:
        monkeypatch.setattr(spectuner_ext, "__version__", "99.1")
    with pytest.raises(InputError, match=r"^store: .* version .* this is version .*overwrite=True") as raised:
        begin(tmp_path / "s", resume=True)
    assert "99" in str(raised.value)
    with pytest.raises(InputError, match="version"):
        identity.read_settings(tmp_path / "s")


@pytest.mark.parametrize("kind", ["file", "folder", "zarr"])
@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_something_else_is_left_alone(tmp_path, kind, how):
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
        (path / "thesis.tex").write_text("mine")
    else:
        zarr.create_group(path, attributes={"owner": "me"})
    before = path.read_bytes() if kind == "file" else files_of(path)
    with pytest.raises(InputError, match=r"^store: .* is not a store of cube fits; .* choose another path"):
        begin(path, **how)
    assert (path.read_bytes() if kind == "file" else files_of(path)) == before


def test_nothing_there_to_read(tmp_path):
    with pytest.raises(InputError, match=r"^store: there is nothing at"):
        identity.read_settings(tmp_path / "none")


def test_two_processes_cannot_write_one_store(tmp_path):
    pytest.importorskip("fcntl", reason="this system has no locks of files by fcntl")
    with begin(tmp_path / "s"), pytest.raises(InputError, match=r"^store: .* in use by another run"):
        begin(tmp_path / "s", resume=True)
    begin(tmp_path / "s", resume=True).close()


def test_a_full_disk_is_told_and_loses_nothing(tmp_path, monkeypatch):
    """Every write fails in turn, from the first of the second block on."""
    reference = begin(tmp_path / "reference")
    for number in (0, 1):
        reference.put("fit", number, block(number))
    reference.close()
    written = len(FIELDS) + 1
    for good in range(written):
        path = tmp_path / f"s{good}"
        kept = begin(path)
        kept.put("fit", 0, block(0))
        before = files_of(path)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", full_after(good))
            with pytest.raises(
                SpectunerError, match=r"^store: storing block 1 of fit .*No space left.*resume=True"
            ):
                kept.put("fit", 1, block(1))
        kept.close()
        assert before.items() <= files_of(path).items()
        with begin(path, resume=True) as again:
            assert again.get("fit", 1) is None
            np.testing.assert_array_equal(again.get("fit", 0)["x"], block(0)["x"])
            again.put("fit", 1, block(1))
        assert files_of(path) == files_of(tmp_path / "reference")


def test_a_disk_that_is_full_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", full_after(0))
    with pytest.raises(SpectunerError, match=r"^store: beginning it .*No space left"):
        begin(tmp_path / "s")
    monkeypatch.undo()
    begin(tmp_path / "s").close()


def full_after(n):
    """`Path.open` on a disk with room for n more files; part of the next one may still be written."""
    unhindered, seen = Path.open, []

    def limited(self, mode="r", *args, **kwargs):
        if "w" in mode:
            seen.append(self)
            if len(seen) > n:
                unhindered(self, mode, *args, **kwargs).close()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return unhindered(self, mode, *args, **kwargs)

    return limited


def test_zarr_is_asked_for_when_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match="pip install"):
        begin(tmp_path / "s")
    assert store.MemoryStore().stages() == []
