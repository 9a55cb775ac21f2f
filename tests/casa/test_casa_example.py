import runpy
from importlib import util
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "casa_reduction.py"


def test_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    script = runpy.run_path(str(EXAMPLE))
    with pytest.raises(SystemExit, match=r"casatools, casatasks is not installed: pip install .*\[casa\]"):
        script["main"](tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.casa
def test_reduction_with_tasks_of_both(in_casa, tmp_path):
    report = in_casa(f"""
import contextlib, io, re, runpy
from pathlib import Path
printed = io.StringIO()
with contextlib.redirect_stdout(printed):
    runpy.run_path({str(EXAMPLE)!r})["main"](Path("out"))
report["printed"] = printed.getvalue()
""")
    printed = report["printed"]
    assert "fitted 111 of 111 pixels" in printed
    # rotation of 0.15 km/s a pixel, over the 6 pixels on either side that the region has
    low, high = map(float, printed.split("velocity: ")[1].split(" km")[0].split(" to "))
    assert -1.0 < low < -0.6
    assert 0.6 < high < 1.0
    assert "history: version: spectuner-ext" in printed
    assert "history: sdfit_lte( infile=" in printed
    assert (tmp_path / "out" / "velocity.fits").exists()
