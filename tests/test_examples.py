"""The example scripts run, and find what they simulate."""

import re
import runpy
from pathlib import Path

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
