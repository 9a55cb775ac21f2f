"""Files of maps: what every FITS reader sees, what comes back, and what happens when writing or reading fails."""

import builtins
import errno
import json
import pickle
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.testing import assert_array_equal

from spectuner_ext.call_record import read_call_record
from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.fitting.result import FitFlag
from spectuner_ext.pipeline.cubes import map_files, map_images, plots
from spectuner_ext.pipeline.cubes.map_files import existing_maps, read_maps, write_maps
from spectuner_ext.pipeline.cubes.maps import CubeMaps
from spectuner_ext.pipeline.cubes.outcome import FIELDS, PixelFlag

VARIANTS = {
    "plain": {},
    "offsets": {"offsets": True},
    "no sky": {"wcs": False, "beam": False},
    "two components": {"second": True},
    "held": {"fixed": {"T_ex": 10.0, "filling_factor": 0.5}},
    "all held": {
        "fixed": {"T_ex": 10.0, "filling_factor": 0.5, "N_tot": 1e15, "fwhm": 3.0, "v_off": 0.1},
        "n": 1,
    },
    "one pixel": {"ny": 2, "nx": 1},
    "held by a map": {"n": 1, "pinned": np.arange(7 * 9 * 5).reshape(7, 9, 5) % 7 == 1},
}


def same_bits(mine, theirs):
    for name in FIELDS:
        a, b = mine.outcome[name], theirs.outcome[name]
        assert a.dtype == b.dtype, name
        assert a.shape == b.shape, name
        assert a.tobytes() == b.tobytes(), name
    assert (mine.pinned is None) == (theirs.pinned is None)
    if mine.pinned is not None:
        assert_array_equal(mine.pinned, theirs.pinned)
    for name in ("lower", "upper", "region"):
        assert getattr(mine, name).tobytes() == getattr(theirs, name).tobytes(), name
    for name in ("components", "free", "windows", "beam", "meta"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert repr(mine.beam_scale) == repr(theirs.beam_scale)
    assert repr(mine.celestial) == repr(theirs.celestial)
    assert mine.space.names == theirs.space.names
    assert mine.space.position == theirs.space.position
    for a, b in zip(mine.space.layout, theirs.space.layout, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    for name in ("lower", "upper"):
        assert getattr(mine.space, name).tobytes() == getattr(theirs.space, name).tobytes()


@pytest.mark.parametrize("variant", VARIANTS)
def test_maps_come_back_bit_for_bit(make_maps, tmp_path, variant):
    maps = make_maps(**{"ny": 7, "nx": 9, **VARIANTS[variant]})
    files = write_maps(tmp_path / "fit", maps, plots=False)
    same_bits(read_maps(files["maps"]), maps)
    same_bits(pickle.loads(pickle.dumps(maps)), maps)


def test_any_of_the_names_will_do(make_maps, tmp_path):
    maps = make_maps(4, 5, 1)
    files = write_maps(tmp_path / "hot.core", maps, plots=False)
    assert list(files) == ["maps", "ecsv", "json", "log"]
    for name in (tmp_path / "hot.core", *files.values()):
        same_bits(read_maps(name), maps)


def test_the_name_of_the_store_beside_the_maps_will_do(make_maps, tmp_path):
    maps = make_maps(4, 5, 1)
    write_maps(tmp_path / "m", maps, plots=False)
    same_bits(read_maps(tmp_path / "m.zarr"), maps)


def test_numbers_that_json_does_not_know(make_maps, tmp_path):
    maps = make_maps(4, 5, 1, meta={"call": {"a": np.float64(0.1), "b": np.arange(3), "c": tmp_path}})
    write_maps(tmp_path / "fit", maps, plots=False)
    call = read_maps(tmp_path / "fit").meta["call"]
    assert call == {"a": 0.1, "b": [0, 1, 2], "c": str(tmp_path)}


# ------------------------------------------------------------------------------- what others can read


@pytest.fixture(scope="module")
def written(make_maps, tmp_path_factory):
    maps = make_maps(12, 14, 2, second=True, offsets=True)
    return maps, write_maps(tmp_path_factory.mktemp("maps") / "fit", maps, plots=False)


def test_every_image_is_there_with_unit_beam_and_place(written):
    maps, files = written
    units = {"T_EX": "K", "N_TOT": "cm-2", "FWHM": "km s-1", "V_OFF": "km s-1", "ETA": None, "SIZE": "arcsec"}
    with fits.open(files["maps"]) as hdus:
        hdus.verify("exception")
        names = [hdu.name for hdu in hdus]
        assert len(set(names)) == len(names)
        for plain, label in zip(("CH3OH", "CH3OCHO", "CH3OH_2"), maps.components, strict=True):
            for ending, unit in units.items():
                for error in ("", "_ERR"):
                    header = hdus[f"{plain}_{ending}{error}"].header
                    assert (header["SPECIES"], header["COMPNUM"]) == label
                    assert header.get("BUNIT") == unit
                    if unit:
                        u.Unit(header["BUNIT"], format="fits")
            for ending in ("N_TOT_LIM", "TAU", "SIGNIF", "FLAGS"):
                assert hdus[f"{plain}_{ending}"].data.shape == maps.shape
        for name in (
            *("LOSS", "CHI2", "STATUS", "FLAGS", "NDATA", "NEVAL"),
            *("NOISE_SPW_25", "NOISE_SPW_26", "NPEAKS_SPW_25"),
        ):
            assert hdus[name].data.shape == maps.shape
        for hdu in hdus:
            if isinstance(hdu, fits.ImageHDU) and hdu.data.ndim == 2:
                sky = WCS(hdu.header).pixel_to_world(7.0, 8.0)
                assert abs(sky.ra.deg - 238.2826) < 1e-9
                assert abs(sky.dec.deg + 54.6193) < 1e-9
                assert hdu.header["BMAJ"] == pytest.approx(0.55 / 3600)
                assert hdu.header["BPA"] == 71.3
        assert hdus["NOISE_SPW_25"].header["WINNAME"] == "spw 25"
        assert hdus["NOISE_SPW_25"].header["BUNIT"] == "K"


def test_images_hold_what_their_names_say(written):
    maps, files = written
    with fits.open(files["maps"]) as hdus:
        assert_array_equal(hdus["CH3OH_2_T_EX"].data, maps.quantity("CH3OH", "T_ex", 2).value)
        assert_array_equal(hdus["CH3OCHO_N_TOT_ERR"].data, maps.error("CH3OCHO", "N_tot").value)
        assert_array_equal(hdus["CH3OCHO_N_TOT_LIM"].data, maps.outcome["n_tot_limit"][..., 1])
        assert_array_equal(hdus["CH3OH_SIZE"].data, maps.quantity("CH3OH", "source_size").value)
        assert_array_equal(hdus["NPEAKS_SPW_26"].data, maps.outcome["n_peaks"][..., 1])
        assert_array_equal(hdus["X"].data[3], maps.outcome["x"][..., 3])


def test_flags_explain_themselves(written):
    _, files = written
    header = fits.getheader(files["maps"], "FLAGS")
    for flag in (*FitFlag, *PixelFlag):
        if flag:
            assert header[f"BIT{int(np.log2(int(flag))):02d}"] == flag.name
    assert "few peaks above the noise of the whole cube" in " ".join(header["COMMENT"])
    own = fits.getheader(files["maps"], "CH3OH_FLAGS")
    assert own["BIT06"] == "NOT_DETECTED"
    assert "BIT16" not in own


def test_the_call_is_in_history_and_record(written):
    maps, files = written
    with fits.open(files["maps"]) as hdus:
        assert hdus[0].data is None
        history = [str(line).ljust(70) for line in hdus[0].header["HISTORY"]]
        assert hdus[0].header["CREATOR"].startswith("spectuner-ext ")
        assert hdus[0].header["NFITTED"] == np.count_nonzero(maps.fitted)
    assert json.loads("".join(history[1:])) == maps.meta["call"]
    record = read_call_record(files["json"], ("sdfit_lte",))
    assert record["call"] == maps.meta["call"]
    assert record["provenance"] == maps.meta["provenance"]


def test_tables_of_parameters_and_windows(make_maps, tmp_path):
    maps = make_maps(5, 5, 2, fixed={"T_ex": 12.5}, offsets=True)
    files = write_maps(tmp_path / "fit", maps, plots=False)
    with fits.open(files["maps"]) as hdus:
        parameters, fit, windows = (hdus[n].data for n in ("PARAMETERS", "FIT", "WINDOWS"))
        rows = {(str(r["species"]), str(r["name"])): r for r in parameters}
        held, free = rows["CH3OH;v=0;", "T_ex"], rows["CH3OCHO;v=0;", "N_tot"]
        assert held["fixed"] == 12.5
        assert np.isnan(held["lower"])
        assert (free["scale"], free["unit"]) == ("log10", "cm-2")
        np.testing.assert_allclose([free["lower"], free["upper"]], [1e12, 1e22], rtol=1e-12)
        assert list(fit["name"]) == list(maps.free)
        assert fit["name"][free["free"]] == "CH3OCHO;v=0; #1 N_tot"
        assert list(fit["name"][-2:]) == ["offset 1", "offset 2"]
        assert list(windows["extension"]) == ["SPW_25", "SPW_26"]
        assert windows["low_MHz"][0] == 216_000.0 - 0.25


def test_parameters_that_a_map_held_do_not_look_free(make_maps, tmp_path):
    pinned = np.zeros((6, 7, 10), dtype=bool)
    pinned[:3, :, 6] = True  # T_ex of the second component
    maps = make_maps(6, 7, 2, pinned=pinned)
    files = write_maps(tmp_path / "m", maps, plots=False)
    with fits.open(files["maps"]) as hdus:
        assert_array_equal(hdus["HELD"].data.astype(bool), np.moveaxis(pinned, -1, 0))
        by_map = hdus["PARAMETERS"].data["by_map"].reshape(2, 5)
    expected = np.zeros((2, 5), dtype=int)
    expected[1, 1] = np.count_nonzero(maps.fitted[:3])
    assert 0 < expected[1, 1] < np.count_nonzero(maps.fitted)
    assert_array_equal(by_map, expected)
    for one in (maps, read_maps(tmp_path / "m")):
        assert_array_equal(one.held_where("CH3OCHO", "T_ex"), pinned[..., 6])
        assert not one.held_where("CH3OH", "T_ex").any()
        assert one.held("CH3OCHO", "T_ex") is None
    with pytest.raises(InputError, match=r"^pinned: has shape \(6, 7, 3\)"):
        make_maps(6, 7, 2, pinned=pinned[..., 6:9])


def test_summary_is_a_table_with_units(written):
    maps, files = written
    table = QTable.read(files["ecsv"], format="ascii.ecsv")
    assert table["T_ex_median"].unit == u.K
    assert table["n_detected"][0] == np.count_nonzero(maps.good("CH3OH"))
    assert Path(files["log"]).read_text().startswith(f"{np.count_nonzero(maps.fitted)} of")


# --------------------------------------------------------------------------------- when writing fails


def all_bytes(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_full_disk_leaves_what_was_there(make_maps, tmp_path, monkeypatch):
    """Every file is in turn the one that no longer fits."""
    write_maps(tmp_path / "fit", make_maps(5, 6, 1), plots=False)
    before = all_bytes(tmp_path)
    real = builtins.open
    for full_at in ("fits", "ecsv", "json", "log"):

        class Full:
            def __init__(self, file):
                self.file = file

            def write(self, data):
                raise OSError(errno.ENOSPC, "No space left on device")

            def __getattr__(self, name):
                return getattr(self.file, name)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

        def limited(path, *arguments, full_at=full_at, full=Full, **options):
            file = real(path, *arguments, **options)
            return full(file) if str(path).endswith(f"/{full_at}") and file.writable() else file

        monkeypatch.setattr(builtins, "open", limited)
        monkeypatch.setattr("io.open", limited)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(OSError, match="No space left"):
                write_maps(tmp_path / "fit", make_maps(8, 8, 2), plots=False)
        monkeypatch.undo()
        assert all_bytes(tmp_path) == before, full_at


def test_a_picture_that_fails_costs_only_the_picture(make_maps, tmp_path, monkeypatch):
    maps = make_maps(3, 3, 1)
    assert "png" in write_maps(tmp_path / "fit", maps)

    def broken(*_):
        raise ValueError("no font")

    monkeypatch.setattr(plots, "write_maps_png", broken)
    with pytest.warns(SpectunerWarning, match=r"fit.png was not drawn: no font"):
        files = write_maps(tmp_path / "fit", maps)
    assert list(files) == ["maps", "ecsv", "json", "log"]
    assert not (tmp_path / "fit.png").exists()  # the old one would show another fit


def test_older_products_of_that_name_go(make_maps, tmp_path):
    """A page of a single spectrum and our model cubes would contradict the new maps; what is not ours stays."""
    (tmp_path / "fit.html").write_text("of a spectrum")
    ours, other = tmp_path / "fit.model.spw_25.fits", tmp_path / "fit.model.mine.fits"
    fits.PrimaryHDU(header=fits.Header({"CREATOR": "spectuner-ext 0.1"})).writeto(ours)
    fits.PrimaryHDU().writeto(other)
    neighbour = tmp_path / "fit2.model.spw_25.fits"
    neighbour.write_bytes(ours.read_bytes())
    assert existing_maps(tmp_path / "fit") == [tmp_path / "fit.html", ours]
    write_maps(tmp_path / "fit", make_maps(3, 3, 1), plots=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["fit.ecsv", "fit.fits", "fit.json", "fit.log", other.name, neighbour.name]
    )


def test_nothing_is_left_beside(make_maps, tmp_path):
    write_maps(tmp_path / "fit.fits", make_maps(3, 3, 1), plots=False, log=["one", "two"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fit.ecsv", "fit.fits", "fit.json", "fit.log"]
    assert (tmp_path / "fit.log").read_text() == "one\ntwo\n"


# --------------------------------------------------------------------------------- when reading fails


def spoiled(kind, path):
    if kind == "missing":
        path.unlink()
    elif kind == "text":
        path.write_text("no maps")
    elif kind == "other FITS":
        fits.PrimaryHDU(np.zeros((3, 3))).writeto(path, overwrite=True)
    elif kind == "cut off":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "an image is gone":
        with fits.open(path) as hdus:
            kept = fits.HDUList([h.copy() for h in hdus if h.name != "CH3OH_T_EX"])
        kept.writeto(path, overwrite=True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file; maps of a fitted cube are in name.fits"),
        ("text", "cannot be read as FITS"),
        ("other FITS", "does not hold the maps of a fitted cube"),
        ("cut off", "cannot be read as FITS|does not hold the maps"),
        ("an image is gone", r"does not hold the maps of a fitted cube: .*CH3OH_T_EX"),
    ],
)
def test_files_that_are_not_maps(make_maps, tmp_path, kind, message):
    write_maps(tmp_path / "fit", make_maps(20, 20, 1), plots=False)
    spoiled(kind, tmp_path / "fit.fits")
    with pytest.raises(InputError, match=message):
        read_maps(tmp_path / "fit")


def test_maps_of_another_version(make_maps, tmp_path, monkeypatch):
    monkeypatch.setattr(map_images, "FORMAT", 99)
    write_maps(tmp_path / "fit", make_maps(3, 3, 1), plots=False)
    monkeypatch.undo()
    with pytest.raises(InputError, match="written in format 99, but this version reads format 1"):
        read_maps(tmp_path / "fit")


def test_maps_can_be_changed_and_written_again(make_maps, tmp_path):
    """As a redo of some pixels does."""
    write_maps(tmp_path / "fit", make_maps(6, 6, 1), plots=False)
    maps = read_maps(tmp_path / "fit")
    maps.outcome["theta"][3, 3, 0, 1] = 77.0
    maps.outcome["flags"][3, 3] |= PixelFlag.REDONE
    again = CubeMaps(**{name: getattr(maps, name) for name in CubeMaps.__slots__})
    write_maps(tmp_path / "fit", again, plots=False)
    assert read_maps(tmp_path / "fit").quantity("CH3OH", "T_ex")[3, 3] == 77.0 * u.K
    assert read_maps(tmp_path / "fit").flagged("REDONE")[3, 3]
    assert map_files.existing_maps(tmp_path / "fit")
