"""Cubes at the command line: options, summary, interrupts, and repeating a recorded call."""

import errno
import json
import os
import signal
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext import cli
from spectuner_ext.pipeline.cubes import layout
from spectuner_ext.pipeline.cubes.map_files import read_maps
from spectuner_ext.pipeline.cubes.outcome import FIELDS, PixelFlag
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_tasks import sdfit_lte, task_cube
from spectuner_tasks.progress import CubeReporter, cube_words, progress_line

SHAPE = (10, 8)
METHANOL = {"species": "CH3OH", "T_ex": 150, "N_tot": 1e18, "fwhm": 5, "source_size": 1.0, "v_off": 0.5}
FIT = ("--species", "CH3OH", "--fixed", '{"T_ex": 150, "source_size": 1}', "--no-plots")


@pytest.fixture(scope="module")
def cube_file(database, tmp_path_factory):
    made = simulate_cube(
        tmp_path_factory.mktemp("blob") / "blob", [(218_400.0, 218_500.0, 0.488)], [METHANOL], database,
        shape=SHAPE, noise=0.05, beam="1.9arcsec", seed=3,
    )  # fmt: skip
    return made.files[0]


@pytest.fixture
def spectuner(monkeypatch, capsys):
    """Run the command with the entry points of the distribution; returns exit code, stdout and stderr."""
    names = {name: f"spectuner_tasks.command_line:{name}" for name in ("sdfit_lte", "rerun")}
    points = [EntryPoint(name, value, cli.GROUP) for name, value in names.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["spectuner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def same_maps(one, other):
    for name in FIELDS:
        assert_array_equal(read_maps(one).outcome[name], read_maps(other).outcome[name], err_msg=name)


def test_help(spectuner):
    code, out, _ = spectuner("sdfit_lte", "--help")
    text = " ".join(out.split())
    assert code == 0
    for option in (
        "--region",
        "--chans",
        "--spw",
        "--redo",
        "--resume",
        "--client",
        "--modelcube",
        "--max-sweeps",
    ):
        assert option in text
    assert "{local, cube}" in text
    assert "Cubes only. Pixels to fit" in text
    assert "Spectra only. Solver" in text


def test_prints_a_summary_and_writes(spectuner, cube_file, tmp_path):
    region = tmp_path / "core.reg"
    region.write_text("# Region file format: DS9\nimage\ncircle(4,5,1.5)\n")
    code, out, err = spectuner(
        "sdfit_lte", cube_file, *FIT, "--region", region, "--outfile", tmp_path / "maps", "--residualcube"
    )
    assert (code, err) == (0, "")
    pixels, component, *written = out.splitlines()
    assert pixels == "9 of 9 pixels of the region fitted"
    assert component.startswith(
        "CH3OH;v=0; #1: detected in 9 of 9 pixels; determined, median (quartiles): N_tot "
    )
    assert [w.split("maps.", 1)[1] for w in written] == [
        "fits", "ecsv", "json", "log", "residual.blob_spw1.fits", "zarr",
    ]  # fmt: skip


def test_json(spectuner, cube_file):
    code, out, _ = spectuner("sdfit_lte", cube_file, *FIT, "--region", "1,1,2,2", "--json")
    answer = json.loads(out)
    assert code == 0
    (row,) = answer["rows"]
    assert row["species"] == "CH3OH;v=0;"
    assert row["n_fitted"] == 4
    assert answer["units"]["N_tot_median"] in ("1 / cm2", "cm-2")


def test_warnings_go_to_stderr(spectuner, cube_file):
    code, _, err = spectuner(
        "sdfit_lte", cube_file, "--species", "CH3OH", "--region", "1,1,2,2", "--no-plots"
    )
    assert code == 0
    assert err.startswith("spectuner: CH3OH: only one line is in range")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--region", "nowhere.reg"), "spectuner: region: there is no file "),
        (("--redo", "[[1, 2"), "spectuner: redo: '[[1, 2' is not JSON"),
        (("--redo", "[[1, 2]]"), "spectuner: redo: needs the outfile"),
        (("--chans", "0~1000"), "spectuner: chans: "),
        (("--client", "here"), "spectuner: client: "),
        (("--optimizer", "slsqp"), "spectuner: optimizer: is for spectra"),
    ],
)
def test_errors_are_one_line(spectuner, cube_file, options, message):
    code, out, err = spectuner("sdfit_lte", cube_file, *FIT, *options)
    assert (code, out) == (1, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_redo(spectuner, cube_file, tmp_path):
    spectuner("sdfit_lte", cube_file, *FIT, "--outfile", tmp_path / "maps")
    code, _, err = spectuner(
        "sdfit_lte", cube_file, *FIT, "--outfile", tmp_path / "maps", "--redo", "[[3, 4]]"
    )
    assert (code, err) == (0, "")
    assert_array_equal(np.argwhere(read_maps(tmp_path / "maps").flagged(PixelFlag.REDONE)), [(4, 3)])


# ----------------------------------------------------------------------------------------- Ctrl-C


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks in a small cube."""
    monkeypatch.setattr(layout, "LEAST_PIXELS", 8)


@pytest.fixture
def interrupted(monkeypatch):
    """An interrupt, as from a terminal, comes after the first block."""
    original = CubeReporter.__call__

    def with_interrupt(reporter, report):
        if not os.environ.get("INTERRUPTED"):
            monkeypatch.setenv("INTERRUPTED", "yes")
            signal.raise_signal(signal.SIGINT)
        return original(reporter, report)

    monkeypatch.setattr(CubeReporter, "__call__", with_interrupt)


def test_interrupt_keeps_what_is_done(spectuner, cube_file, small_blocks, interrupted, tmp_path):
    whole = sdfit_lte(
        cube_file, "CH3OH", str(tmp_path / "whole"), fixed={"T_ex": 150, "source_size": 1}, plots=False
    )
    call = ("sdfit_lte", cube_file, *FIT, "--workers", 1, "--outfile", tmp_path / "maps")
    code, out, err = spectuner(*call)
    assert code == 130
    assert ": the run was cancelled before this pixel's turn" in out
    assert "stopping, what is found is kept" in err
    assert "cancelled; the same call with --resume goes on" in err
    left = read_maps(tmp_path / "maps").flagged(PixelFlag.NOT_REACHED).sum()
    assert 0 < left < SHAPE[0] * SHAPE[1]
    code, out, err = spectuner(*call, "--resume")
    assert (code, err) == (0, "")
    assert "80 of 80 pixels of the region fitted" in out
    same_maps(tmp_path / "maps", whole["files"]["maps"])


# ------------------------------------------------------------------------------------------ rerun


def test_rerun(spectuner, cube_file, tmp_path):
    spectuner("sdfit_lte", cube_file, *FIT, "--outfile", tmp_path / "a", "--store", tmp_path / "kept.zarr")
    os.utime(cube_file, ns=(0, Path(cube_file).stat().st_mtime_ns + 1))
    code, out, err = spectuner("rerun", tmp_path / "a.json", "--outfile", tmp_path / "b")
    assert code == 0
    assert "blob_spw1.fits has changed since the call was recorded" in err
    assert f"wrote {tmp_path / 'b.zarr'}" in out
    same_maps(tmp_path / "a", tmp_path / "b")


def test_rerun_without_products(spectuner, cube_file, tmp_path):
    spectuner("sdfit_lte", cube_file, *FIT, "--outfile", tmp_path / "a", "--modelcube")
    before = sorted(tmp_path.iterdir())
    code, out, _ = spectuner("rerun", tmp_path / "a.json")
    assert code == 0
    assert "80 of 80 pixels of the region fitted" in out
    assert sorted(tmp_path.iterdir()) == before


def test_rerun_of_a_redo_repeats_all_that_came_before(spectuner, cube_file, tmp_path):
    call = ("sdfit_lte", cube_file, *FIT, "--outfile", tmp_path / "a")
    spectuner(*call)
    spectuner(*call, "--redo", "[[3, 4]]", "--initial", '{"fwhm": 9}', "--replace")
    spectuner(*call, "--redo", "[[5, 6]]")
    code, _, err = spectuner("rerun", tmp_path / "a.json", "--outfile", tmp_path / "b")
    assert (code, err) == (0, "")
    same_maps(tmp_path / "a", tmp_path / "b")
    code, _, err = spectuner("rerun", tmp_path / "a.json")
    assert code == 1
    assert err.startswith("spectuner: outfile: is needed")


def test_a_result_that_was_read_back_from_its_store_still_knows_what_was_redone(
    spectuner, cube_file, tmp_path
):
    call = ("sdfit_lte", cube_file, *FIT, "--outfile", tmp_path / "a")
    spectuner(*call)
    spectuner(*call, "--redo", "[[3, 4]]", "--initial", '{"fwhm": 9}', "--replace")
    before = read_maps(tmp_path / "a")
    spectuner(*call, "--resume")
    same_maps(tmp_path / "a", tmp_path / "a")
    resumed = read_maps(tmp_path / "a")
    assert resumed.meta["redone"] == before.meta["redone"]
    for name, array in before.outcome.items():
        assert_array_equal(resumed.outcome[name], array)
    assert spectuner("rerun", tmp_path / "a.json", "--outfile", tmp_path / "b")[0] == 0
    same_maps(tmp_path / "a", tmp_path / "b")
    spectuner(*call, "--redo", "[[5, 6]]")
    assert spectuner("rerun", tmp_path / "a.json", "--outfile", tmp_path / "c")[0] == 0
    same_maps(tmp_path / "a", tmp_path / "c")
    redone = [
        entry.get("redo") for entry in json.loads((tmp_path / "a.json").read_text())["provenance"]["earlier"]
    ]
    assert redone == [None, [[3, 4]]]


def test_a_full_disk_is_told_with_the_way_out(spectuner, cube_file, tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    call = ("sdfit_lte", cube_file, *FIT, "--outfile", tmp_path / "a")
    with monkeypatch.context() as patched:
        patched.setattr(task_cube, "write_maps", full)
        code, _, err = spectuner(*call)
    assert code == 1
    assert err.startswith(
        f"spectuner: outfile: the products {tmp_path / 'a'}.* cannot be written: No space left on device"
    )
    assert f"The fit is in {tmp_path / 'a.zarr'}: make room, and call again with resume=True" in err
    assert spectuner(*call, "--resume")[0] == 0
    assert read_maps(tmp_path / "a").fitted.all()


def test_rerun_of_cubes_in_memory(spectuner, cube_file, tmp_path):
    from spectral_cube import SpectralCube

    sdfit_lte(SpectralCube.read(cube_file), "CH3OH", str(tmp_path / "a"), region="1,1,2,2", plots=False)
    code, out, err = spectuner("rerun", tmp_path / "a.json", "--outfile", tmp_path / "b")
    assert (code, out) == (1, "")
    assert err.startswith("spectuner: infile: was a SpectralCube in memory when the call was recorded")
    assert not list(tmp_path.glob("b*"))


# --------------------------------------------------------------------------------------- progress


def test_progress_in_words(monkeypatch):
    seen = []
    reporter = CubeReporter(seen.append, ["CH3OH", "CH3CN"])
    reporter.start()
    report = {"stage": "fit", "done": 100, "total": 400, "elapsed_s": 0.0, "eta_s": None, "restored": True}
    assert reporter(report) is False
    reporter({**report, "done": 200, "elapsed_s": 2.0, "eta_s": 4.0, "restored": False})
    reporter({**report, "stage": "sweep_1", "done": 10, "total": 20, "elapsed_s": 1.0, "restored": False})
    reporter.start()
    reporter({**report, "restored": False, "elapsed_s": 1.0})
    assert [r["rate"] for r in seen] == [None, 50.0, 10.0, 100.0]  # what was stored is not counted
    assert [r["species"] for r in seen] == ["CH3OH"] * 3 + ["CH3CN"]
    assert cube_words(seen[1]) == "1/2 CH3OH: fit 200/400 pixels, 50 per s"
    assert cube_words(seen[2]) == "1/2 CH3OH: sweep 1 10/20 pixels, 10 per s"
    assert cube_words({**seen[1], "n_fits": 1}) == "CH3OH: fit 200/400 pixels, 50 per s"


def test_line_on_a_terminal(monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    show = CubeReporter(progress_line(terminal, cube_words), ["CH3OH"])
    show.start()
    show({"stage": "fit", "done": 5, "total": 10, "elapsed_s": 1.0, "eta_s": 1.0, "restored": False})
    assert terminal.getvalue().endswith("CH3OH: fit 5/10 pixels, 5 per s, about 1 s left")
