"""The tasks between tasks of CASA, in processes with the real casatools and casatasks."""

import pytest

pytestmark = pytest.mark.casa

PREPARED = """
import numpy as np
from pathlib import Path
from casatools import image
from casatasks import casalog, exportfits, imhead, imhistory, importfits, imstat
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_ext.spectroscopy import LineDatabase

casalog.setlogfile("casa.log")
y, x = np.mgrid[:6, :8]
methanol = {"species": "CH3OH", "T_ex": 150, "N_tot": np.full((6, 8), 1e18), "fwhm": 5, "source_size": 1.0,
            "v_off": 0.2 * (x - 4)}
with LineDatabase.open() as database:
    simulated = simulate_cube("blob", [(218_400.0, 218_500.0, 0.488)], [methanol], database, shape=(6, 8), noise=0.05,
                              beam="1.9arcsec", seed=3)
importfits(fitsimage=simulated.files[0], imagename="blob.image")
FIT = dict(infile="blob.image", species="CH3OH", fixed={"T_ex": 150, "source_size": 1.0}, plots=False)
"""


def test_importfits_fit_exportfits_imhistory(in_casa):
    report = in_casa(f"""{PREPARED}
from astropy.io import fits
from spectuner_tasks import sdfit_lte

result = sdfit_lte(**FIT, outfile="maps", region="box[[1pix, 1pix], [6pix, 4pix]]", chans="10~190")
name = "maps.images/CH3OH_V_OFF.image"
exportfits(imagename=name, fitsimage="v_off.fits")
sky, ours = fits.open("v_off.fits")[0], fits.open("maps.fits")["CH3OH_V_OFF"]
report.update(
    fitted=result["counts"]["fitted"],
    worst=float(np.nanmax(abs(sky.data - 0.2 * (x - 4)))),
    same=bool(np.array_equal(sky.data, np.float32(ours.data), equal_nan=True)),
    header=[abs(sky.header[k] - ours.header[k]) for k in ("CRVAL1", "CRVAL2", "CDELT2", "CRPIX1", "BMAJ")],
    unit=imhead(name, mode="get", hdkey="bunit"),
    npts=int(imstat(name)["npts"][0]),
    history=imhistory(name, mode="list", verbose=False)[-2:],
    fits_history=" ".join(map(str, fits.getheader("maps.fits")["HISTORY"])),
    log=Path("casa.log").read_text(),
)
""")
    assert report["fitted"] == 24
    assert report["npts"] == 24  # what is NaN is masked
    assert report["worst"] < 0.3  # km/s; noise of 0.05 K on lines of some K, in pixels of the fit alone
    assert report["same"]
    assert max(report["header"]) < 1e-6
    assert report["unit"] in ("km.s-1", "km s-1", "km/s")
    version, call = report["history"]
    assert version.startswith("version: spectuner-ext ")
    assert call.startswith("sdfit_lte( infile='")
    assert "chans='10~190'" in call
    assert "sdfit_lte, call as JSON" in report["fits_history"]
    lines = [line.split("\t", 3)[-1] for line in report["log"].splitlines() if "\tsdfit_lte::" in line]
    assert "Begin Task: sdfit_lte" in lines[0]
    assert lines[1].startswith("sdfit_lte( infile='")
    assert "End Task: sdfit_lte" in lines[-1]


def test_images_are_read_as_casa_has_them(in_casa):
    """Values, default mask and a beam for each plane, against what the image tool gives."""
    report = in_casa(f"""{PREPARED}
from spectuner_ext.observation.cubes import observe_cube

ia = image()
ia.open("blob.image")
ia.calcmask("'blob.image' > -0.05", name="bright", asdefault=True)
ia.setrestoringbeam(remove=True)
n = int(ia.shape()[-1])
for channel in range(n):
    ia.setrestoringbeam(major=f"{{1.8 + 0.001 * channel}}arcsec", minor="1.7arcsec", pa="10deg", channel=channel)
theirs, mask = np.squeeze(ia.getchunk()).T, np.squeeze(ia.getchunk(getmask=True)).T
ia.done()
cube = observe_cube("blob.image")
block = cube.block(0, 6, 0, 8)
ours = block.value.reshape(6, 8, -1).transpose(2, 0, 1)
good = block.good.reshape(6, 8, -1).transpose(2, 0, 1)
if cube.windows[0].rows[0] > cube.windows[0].rows[-1]:
    ours, good = ours[::-1], good[::-1]
beam = cube.frame.windows[0].beam
report.update(masked=int((~mask).sum()), same_mask=bool(np.array_equal(good, mask)),
              same=bool(np.array_equal(ours[good], np.float32(theirs)[mask])), beam=[beam.major, beam.minor], n=n)
""")
    assert report["masked"] > 100
    assert report["same_mask"]
    assert report["same"]
    assert report["beam"] == pytest.approx([1.8 + 0.001 * (report["n"] - 1) / 2, 1.7], rel=1e-6)


def test_failures_are_those_of_tasks_of_casa(in_casa):
    report = in_casa(f"""{PREPARED}
from casatasks import immoments
from spectuner_tasks.gotasks import sdfit_lte

def failure(task, **given):
    try:
        task(**given)
    except Exception as error:
        return [type(error).__name__, str(error)]

fit = {{**FIT, "infile": "nope.image"}}
report.update(
    theirs=failure(immoments, imagename="nope.image"),
    path=failure(sdfit_lte, **fit),
    kind=failure(sdfit_lte, **{{**FIT, "components": "two"}}),
    keyword=failure(sdfit_lte, **FIT, imagename="blob.image")[0],
    species=failure(sdfit_lte, **{{**FIT, "species": "Unobtainium"}}),
    log=Path("casa.log").read_text(),
)
""")
    kind, message = report["theirs"]
    assert kind == "AssertionError"
    assert report["path"] == [kind, message.replace("imagename", "infile")]
    assert report["kind"] == [
        "AssertionError",
        "{'components': ['must be of cInt type', 'must be of cDict type']}",
    ]
    assert report["keyword"] == "TypeError"
    assert report["species"][0] == "SpeciesError"
    assert "Unobtainium" in report["species"][1]
    severe = [line for line in report["log"].splitlines() if "\tSEVERE\tsdfit_lte::" in line]
    assert [any(word in line for line in severe) for word in ("nope.image", "cInt", "Unobtainium")] == [
        True
    ] * 3


def test_plain_function_does_not_load_casa(in_casa):
    report = in_casa("""
import sys
from spectuner_tasks import sdfit_lte
try:
    sdfit_lte(infile="nope.fits", species="CH3OH")
except Exception as error:
    report["error"] = type(error).__name__
report["loaded"] = [name for name in ("casatools", "casatasks", "casashell") if name in sys.modules]
""")
    assert report == {"error": "InputError", "loaded": []}
