"""Every form of a beam gives the same beam."""

import astropy.units as u
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.observation import Beam
from spectuner_ext.observation.beams import as_beam, header_beam


def radio_beam():
    from radio_beam import Beam as RadioBeam

    return RadioBeam(0.5 * u.arcsec, 0.4 * u.arcsec, 30 * u.deg)


@pytest.mark.parametrize(
    "form",
    [
        Beam(0.5, 0.4),
        (0.5, 0.4),
        (0.5, 0.4, 30.0),
        (0.5 * u.arcsec, 400 * u.mas),
        [0.5, 0.4] * u.arcsec,
        {"major": 0.5, "minor": "400mas"},
        "0.5arcsec,0.4arcsec",
        "0.5arcsec, 0.4arcsec, 30deg",
    ],
    ids=str,
)
def test_forms_of_a_synthesised_beam(form):
    beam = as_beam(form)
    assert (beam.major, beam.minor) == (pytest.approx(0.5), pytest.approx(0.4))


def test_radio_beam():
    beam = as_beam(radio_beam())
    assert (beam.major, beam.minor) == (pytest.approx(0.5), pytest.approx(0.4))


@pytest.mark.parametrize("form", [0.5 * u.arcsec, "0.5arcsec", {"major": 0.5}], ids=str)
def test_one_angle_is_a_round_beam(form):
    assert as_beam(form) == Beam(0.5, 0.5)


@pytest.mark.parametrize(
    "form", [12 * u.m, "12m", "1200 cm", {"diameter": 12}, {"diameter": 12 * u.m}], ids=str
)
def test_forms_of_a_dish(form):
    assert as_beam(form) == Beam(diameter=12.0)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (0.5, "cannot tell a beam from 0.5"),
        ("0.5", "cannot tell a beam from '0.5'"),
        ("12 K", "cannot tell a beam"),
        ("a dish", "cannot read 'a dish'"),
        ((0.5,), "two axes"),
        ((-0.5, 0.4), "must be positive"),
        ("-12m", "must be positive"),
        ((0.5 * u.m, 0.4 * u.m), "convertible to arcsec"),
        ({"diameter": 12, "major": 1}, "either a dish diameter or the axes"),
        ({"size": 12}, "unknown keys"),
        ({"minor": 1.0}, "major axis is missing"),
        ((float("nan"), 1.0), "must be finite"),
    ],
    ids=str,
)
def test_what_is_no_beam(form, message):
    with pytest.raises(InputError, match=message):
        as_beam(form)


def test_header_beam_is_in_degrees():
    beam = header_beam({"BMAJ": 1 / 3600, "BMIN": 0.5 / 3600}, "header")
    assert (beam.major, beam.minor) == (pytest.approx(1.0), pytest.approx(0.5))
    assert header_beam({}, "header") is None
    assert header_beam({"BMAJ": 0.0, "BMIN": 0.0}, "header") is None


@pytest.mark.parametrize("header", [{"BMAJ": -1e-4, "BMIN": 1e-4}, {"BMAJ": "wide", "BMIN": 1e-4}], ids=str)
def test_broken_header_beams(header):
    with pytest.raises(InputError):
        header_beam(header, "header")
