"""Pixels asked for by regions in all their forms."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.testing import assert_array_equal
from regions import (
    CirclePixelRegion,
    CircleSkyRegion,
    LinePixelRegion,
    PixCoord,
    PointPixelRegion,
    PointSkyRegion,
    RectanglePixelRegion,
    Regions,
)

from spectuner_ext.errors import InputError, SpectunerWarning
from spectuner_ext.observation.cubes import observe_cube

CENTRE = SkyCoord(83.8, -5.4, unit="deg")  # of pixel x 4, y 3; pixels are 1 arcsec
Y, X = np.mgrid[:7, :9]
DISC = (X - 4) ** 2 + (Y - 3) ** 2 <= 2.2**2
BOX = (Y >= 1) & (Y <= 4) & (X >= 2) & (X <= 5)
WHERE = r"x 0 to 8, y 0 to 6, centre 05h35m12.0s -05d24m00.0s \(icrs\)"
CIRCLE = CirclePixelRegion(PixCoord(4, 3), 2.2)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (None, np.ones((7, 9), bool)),
        ("", np.ones((7, 9), bool)),
        (CIRCLE, DISC),
        (CircleSkyRegion(CENTRE, 2.2 * u.arcsec), DISC),
        (CircleSkyRegion(CENTRE.galactic, 2.2 * u.arcsec), DISC),
        ([CIRCLE, RectanglePixelRegion(PixCoord(3.5, 2.5), 4, 4)], DISC | BOX),
        (Regions([CIRCLE]), DISC),
        (CIRCLE & RectanglePixelRegion(PixCoord(3.5, 2.5), 4, 4), DISC & BOX),
        ("image; circle(5,4,2.2)", DISC),
        ('icrs; circle(83.8,-5.4,2.2")', DISC),
        ("image\ncircle(5,4,2.2)\n-box(4.5,3.5,4,4,0)", DISC & ~BOX),
        ("image\n-circle(5,4,2.2)", ~DISC),
        ("circle[[4pix, 3pix], 2.2pix]", DISC),
        ("#CRTFv0\ncircle[[83.8deg, -5.4deg], 2.2arcsec], coord=ICRS\n", DISC),
        ("#CRTFv0\ncircle[[4pix, 3pix], 2.2pix]\n-box[[1.5pix,0.5pix],[5.5pix,4.5pix]]\n", DISC & ~BOX),
        ("box[[1.5pix,0.5pix],[5.5pix,4.5pix]]", BOX),
        # edges belong to a shape
        ("box[[2pix,1pix],[5pix,4pix]]", BOX),
        ("box[[5pix,4pix],[2pix,1pix]]", BOX),
        ("#CRTFv0\n-box[[2pix,1pix],[5pix,4pix]]\n", ~BOX),
        ("centerbox[[3.5pix,2.5pix],[3pix,3pix]]", BOX),
        (RectanglePixelRegion(PixCoord(3.5, 2.5), 3, 3), BOX),
        ("circle[[4pix, 3pix], 2pix]", (X - 4) ** 2 + (Y - 3) ** 2 <= 4),
        ("poly[[2pix,1pix],[5pix,1pix],[5pix,4pix],[2pix,4pix]]", BOX),
        # without coord= the frame is that of the image
        ("circle[[83.8deg, -5.4deg], 2.2arcsec]", DISC),
        ("circle[[5h35m12s, -5d24m00s], 2.2arcsec]", DISC),
        ("circle[[05:35:12.0, -05.24.00.0], 2.2arcsec]", DISC),
        (
            "#CRTFv0 CASA Region Text Format version 0\ncircle [[83.8deg, -5.4deg], 2.2arcsec], linewidth=1\n",
            DISC,
        ),
        ("#CRTFv0\nglobal coord=ICRS\ncircle[[83.8deg, -5.4deg], 2.2arcsec]\n", DISC),
        ("#CRTFv0\ncircle[[4pix, 3pix], 2.2pix], corr=[I]\nann line[[1pix,1pix],[2pix,2pix]]\n", DISC),
        ("rotbox[[3.5pix,2.5pix],[3pix,3pix],0deg]", BOX),
        ('fk5; circle(83.8,-5.4,2.2")\n# a comment\n', DISC),
        ("2,1,5,4", BOX),
        (" 5, 4, 2, 1 ", BOX),
        (BOX, BOX),
        (BOX.astype(int), BOX),
        (PointPixelRegion(PixCoord(4.4, 2.6)), (X == 4) & (Y == 3)),
        (PointSkyRegion(CENTRE), (X == 4) & (Y == 3)),
    ],
)
def test_regions(write_cube, region, expected):
    cube = observe_cube(write_cube(), region=region)
    assert_array_equal(cube.region, expected)
    assert cube.notes["n_region"] == expected.sum()


@pytest.mark.parametrize(("name", "form"), [("a.reg", "ds9"), ("a.crtf", "crtf"), ("odd", "ds9")])
@pytest.mark.parametrize("as_path", [True, False])
def test_region_files(write_cube, tmp_path, name, form, as_path):
    path = tmp_path / name
    Regions([CircleSkyRegion(CENTRE, 2.2 * u.arcsec)]).write(path, format=form)
    assert_array_equal(observe_cube(write_cube(), region=path if as_path else str(path)).region, DISC)


def test_mask_image(write_cube, tmp_path, cube_header):
    values = np.where(BOX, 1.0, 0.0)
    values[1, 2] = np.nan
    path = tmp_path / "mask.fits"
    fits.writeto(path, values[None, None])
    expected = BOX & np.isfinite(values)
    assert_array_equal(observe_cube(write_cube(), region=path).region, expected)
    moved = cube_header(BUNIT=None, CRPIX1=7.0)
    for key in [k for k in moved if k.endswith("3")]:
        moved.remove(key)
    fits.writeto(path, values, moved, overwrite=True)
    with pytest.raises(
        InputError,
        match=r"region: .*mask.fits: the image lies on another grid than the cube: its centre lies -2.00 pixels in x",
    ):
        observe_cube(write_cube(), region=path)
    shifted = np.zeros_like(expected)
    shifted[:, :-2] = expected[:, 2:]
    assert_array_equal(observe_cube(write_cube(), region=path, reproject=True).region, shifted)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("image; circle(50,40,2)", r"region: holds no pixel centre of the image, which has " + WHERE),
        ('icrs; circle(10,20,5")', "region: holds no pixel centre of the image"),
        ('icrs; circle(263.8,5.4,5")', "region: holds no pixel centre of the image"),  # opposite on the sky
        (CirclePixelRegion(PixCoord(4.5, 3.5), 0.2), "for a region smaller than a pixel give a point"),
        ("20,20,30,30", "region: holds no pixel centre"),
        (np.zeros((7, 9), bool), "region: holds no pixel centre"),
        (np.ones((9, 7), bool), r"region: the array has the shape \(9, 7\), the image \(7, 9\)"),
        (np.full((7, 9), 0.5), r"region: an array must be boolean \(True = use\), got float64"),
        ("nothing.reg", "region: 'nothing.reg' is neither a file nor a region that is understood"),
        ("circle[[4pix, 3pix]", "region: cannot read"),
        ("circle[[4pix, 3pix], 2arcsec]", r"region: 'circle\[\[4pix.* mixes pixels and angles"),
        ("box(4,3,2,2)", r"region: 'box\(4,3,2,2\)' is neither .*understood \(A coordinate frame was not found"),
        (LinePixelRegion(PixCoord(0, 0), PixCoord(3, 3)), "region: a line has no area"),
        (3.0, "region: cannot read a float"),
        ({}, "region: cannot read a dict"),
    ],
)  # fmt: skip
def test_bad_regions(write_cube, region, message):
    with pytest.raises(InputError, match=message):
        observe_cube(write_cube(), region=region)


def test_the_frame_of_a_text_without_one_is_that_of_the_image(write_cube):
    galactic = CENTRE.galactic
    path = write_cube(
        CTYPE1="GLON-SIN", CTYPE2="GLAT-SIN", CRVAL1=galactic.l.deg, CRVAL2=galactic.b.deg, RADESYS=None
    )  # fmt: skip
    text = f"circle[[{galactic.l.deg:.9f}deg, {galactic.b.deg:.9f}deg], 2.2arcsec]"
    assert_array_equal(observe_cube(path, region=text).region, DISC)
    assert_array_equal(observe_cube(path, region=f"{text}, coord=GALACTIC").region, DISC)
    other = write_cube(CTYPE1="GLON-SIN", CTYPE2="GLAT-SIN", RADESYS=None)
    with pytest.raises(InputError, match="region: holds no pixel centre"):
        observe_cube(other, region=text)


def test_the_frame_has_no_name_in_casa(write_cube):
    path = write_cube(RADESYS="FK5", EQUINOX=1975.0)
    with pytest.raises(InputError, match=r"region: .*names no frame.*add coord="):
        observe_cube(path, region="circle[[83.8deg, -5.4deg], 2.2arcsec]")


@pytest.mark.parametrize("ra", [83.8, 0.0])
def test_a_box_on_the_sky_ends_at_its_corners(write_cube, ra):
    """Far from the equator a difference of longitudes is no angle; and longitude 0 lies within the second box."""
    path = write_cube(CRVAL1=ra, CRVAL2=-70.0)
    wcs = observe_cube(path).wcs
    ends = [wcs.pixel_to_world(x, y).to_string("hmsdms", precision=7) for x, y in ((2, 1), (5, 4))]
    text = ",".join(f"[{end.replace(' ', ', ')}]" for end in ends)
    assert_array_equal(observe_cube(path, region=f"box[{text}]").region, BOX)
    assert_array_equal(observe_cube(path, region=f"box[{text}], coord=ICRS").region, BOX)


def test_what_is_not_understood_in_a_file_is_told(write_cube, tmp_path):
    path = tmp_path / "two.reg"
    path.write_text("image\ncircle(5,4,2.2)\nvector(1,1,3,0)\n")
    with pytest.warns(SpectunerWarning, match=r"^region: .*two.reg: .*vector.*skipping"):
        cube = observe_cube(write_cube(), region=path)
    assert_array_equal(cube.region, DISC)
    path.write_text("nonsense\n")
    with pytest.raises(InputError, match=r"^region: .*two.reg: 'nonsense' is neither"):
        observe_cube(write_cube(), region=path)


def test_nothing_is_printed_beside_an_error(write_cube, capfd):
    with pytest.raises(InputError, match=r"region: 'gone.reg' is neither"):
        observe_cube(write_cube(), region="gone.reg")
    assert capfd.readouterr() == ("", "")


def test_missing_file(write_cube, tmp_path):
    with pytest.raises(InputError, match=r"region: .*gone.reg: no such file"):
        observe_cube(write_cube(), region=tmp_path / "gone.reg")


def test_sky_region_without_a_sky(write_cube):
    changes = {f"{key}{i}": None for key in ("CTYPE", "CUNIT", "CRVAL") for i in (1, 2)}
    path = write_cube(**changes)
    assert_array_equal(observe_cube(path, region="image; circle(5,4,2.2)").region, DISC)
    with pytest.raises(
        InputError, match=r"region: is given on the sky, but the cube has no celestial coordinates"
    ):
        observe_cube(path, region='icrs; circle(83.8,-5.4,2.2")')
    assert_array_equal(observe_cube(path, region="circle[[4pix, 3pix], 2.2pix]").region, DISC)
    for text in (
        "circle[[83.8deg, -5.4deg], 2.2arcsec]",
        "box[[83.8deg, -5.4deg], [83.9deg, -5.3deg]], coord=ICRS",
    ):
        with pytest.raises(InputError, match=r"region: .*given on the sky, but the cube has no celestial"):
            observe_cube(path, region=text)
