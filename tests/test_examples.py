"""The example scripts run, and find what they simulate."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_fit_methanol(tmp_path, capsys):
    script = runpy.run_path(str(EXAMPLES / "fit_methanol.py"))
    script["main"](tmp_path)
    printed = capsys.readouterr().out
    assert "CH3OH;v=0;: detected" in printed
    assert "C-13-H3OH;v=0;: not detected, N_tot <" in printed
    assert (tmp_path / "methanol.html").exists()


def test_analyse_ion(tmp_path, capsys):
    script = runpy.run_path(str(EXAMPLES / "analyse_ion.py"))
    script["main"](tmp_path)
    printed = capsys.readouterr().out
    counts = {
        name: (int(right), int(n))
        for name, right, n in re.findall(r"^(\w+): (\d+) of (\d+) right", printed, re.M)
    }
    assert counts.keys() == {"first", "second"}
    right, n = map(sum, zip(*counts.values(), strict=True))
    # Of some 75 levels the probabilities let 96 % be right; 90 % is more than two standard deviations below.
    assert n >= 40
    assert right >= 0.9 * n
    assert "HORIZON: 22 levels determined" in printed
    assert "  left: level " in printed
    assert (tmp_path / "second.png").exists()


def test_hot_core_cube(tmp_path, capsys):
    script = runpy.run_path(str(EXAMPLES / "hot_core_cube.py"))
    script["main"](tmp_path, size=12)
    printed = capsys.readouterr().out
    assert "simulated 12 x 12 pixels" in printed
    assert int(re.search(r"CH3OH: T_ex measured in (\d+) pixels", printed)[1]) > 50
    widths = {
        name: float(width)
        for name, width in re.findall(r"CH3OH;v=0; +1 +(\w+) .* (\S+) +\d+$", printed, re.M)
    }
    assert widths.keys() == {"filling_factor", "T_ex", "N_tot", "fwhm", "v_off"}
    # some 15 to 50 pulls: widths scatter by 0.1 to 0.2
    assert all(0.5 < w < 1.7 for w in widths.values())
    assert (tmp_path / "simulated_truth.fits").exists()
    assert (tmp_path / "hot_core.fits").exists()


@pytest.mark.shared_data
def test_iras16293b_cube(shared, tmp_path, capsys):
    script = runpy.run_path(str(EXAMPLES / "iras16293b_cube.py"))
    script["main"](shared / "data" / "iras16293b", tmp_path, size=4)
    printed = capsys.readouterr().out
    assert "wrote 10 cubes of 4 x 4 pixels. Artificial arrangement of a real spectrum" in printed
    assert "methanol detected in 16 of 16 pixels" in printed
    middle, scatter = map(
        float, re.search(r"shift that was made: (\S+) km/s, scatter (\S+) km/s", printed).groups()
    )
    # Lines of this source lie at 2.5 to 2.8 km/s, here counted from 2.7; a channel is 0.155 km/s.
    assert -0.3 < middle < 0.2
    assert scatter < 0.05
    low, high = map(float, re.search(r"T_ex: median \S+ K, from (\S+) to (\S+) in", printed).groups())
    assert high < 1.4 * low  # the same gas everywhere
    assert "not an image" in (tmp_path / "README.txt").read_text()


def test_iras16293b_cube_says_what_is_missing(tmp_path):
    script = runpy.run_path(str(EXAMPLES / "iras16293b_cube.py"))
    with pytest.raises(
        SystemExit, match=r"no file iras16293b_b6_w\*.fits.gz in .* needs the ten real spectra"
    ):
        script["main"](tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
