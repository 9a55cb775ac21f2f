"""The example scripts run, and find what they simulate."""

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
