import hashlib
import lzma
import os
import stat
import subprocess
import sys
import time
from importlib.resources import files

import pytest

from spectuner_ext.errors import CatalogueError
from spectuner_ext.spectroscopy import LineDatabase, embedded


def test_shipped_file_is_small_and_has_its_checksum():
    stated = embedded.manifest()
    content = files("spectuner_ext").joinpath("data", stated.file).read_bytes()
    assert len(content) == stated.size <= 10_000_000
    inside = lzma.decompress(content)
    assert (len(inside), hashlib.sha256(inside).hexdigest()) == (stated.unpacked_size, stated.sha256)


def test_what_is_inside(database):
    stated = embedded.manifest()
    assert len(database.species) == stated.n_entries
    assert "peak optical depth within 5 dex" in database.meta["intensity_cut"]
    assert database.meta["frequency_range_MHz"] == "10000 1e+06"


def test_every_entry_can_be_used(database):
    total = 0
    for name in database.species:
        lines = database.select(name)
        entry = database.entry(name)
        total += len(lines)
        assert lines.frequency[0] >= 10e3
        assert lines.frequency[-1] <= 1e6
        assert entry.origin.quality in ("A", "B")
        assert entry.origin.tag > 0
        assert entry.origin.q_factor > 0
        assert lines.partition.temperature.size == 110
        assert lines.partition.t_min < lines.partition.t_max
    assert total == embedded.manifest().n_lines


def test_processes_that_unpack_together_get_one_whole_file(tmp_path):
    code = (
        "from spectuner_ext.spectroscopy import LineDatabase; d = LineDatabase.open(); "
        "print(d.checksum, len(d.select('CO')))"
    )
    environment = {**os.environ, "SPECTUNER_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    runs = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(answers) == 1
    assert [p.name for p in tmp_path.iterdir()] == [f"catalogue-{embedded.manifest().sha256[:16]}.db"]


def test_read_only_cache_is_enough(database, tmp_path, monkeypatch):
    path = tmp_path / database.path.name
    path.write_bytes(database.path.read_bytes())
    path.chmod(stat.S_IRUSR)
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("SPECTUNER_CACHE", str(tmp_path))
    try:
        with LineDatabase.open() as opened:
            assert len(opened.select("CO")) == len(database.select("CO"))
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("SPECTUNER_CACHE", str(blocked))
    with pytest.raises(CatalogueError, match="SPECTUNER_CACHE"):
        LineDatabase.open()


def test_a_damaged_package_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECTUNER_CACHE", str(tmp_path))
    real = embedded._data
    monkeypatch.setattr(
        embedded, "_data", lambda n: lzma.compress(b"other") if n.endswith(".xz") else real(n)
    )
    with pytest.raises(CatalogueError, match="checksum"):
        embedded.unpacked()
    monkeypatch.setattr(embedded, "_data", lambda n: b"noise" if n.endswith(".xz") else real(n))
    with pytest.raises(CatalogueError, match="damaged"):
        embedded.unpacked()
    assert list(tmp_path.iterdir()) == []


def test_ten_windows_are_selected_fast(database):
    windows = [(80e3 + 20e3 * i, 90e3 + 20e3 * i) for i in range(10)]
    database.select("CH3OCHO", windows)
    start = time.perf_counter()
    lines = database.select("CH3OCHO", windows)
    assert len(lines) > 2000
    assert time.perf_counter() - start < 0.2  # 4 ms measured; the limit leaves room for a loaded machine


def test_importing_loads_no_optional_package():
    code = (
        "import sys, spectuner_ext.spectroscopy, spectuner_ext.spectroscopy.catalogues; "
        "print({'astroquery', 'casadata', 'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
