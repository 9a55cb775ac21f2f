"""CASA as the tests of this folder need it: configured without network, in processes of their own."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("casatools", "casatasks", "casashell", "casaconfig", "casadata", "pexpect")

CONFIGURATION = """\
measurespath = {data!r}
datapath = [{data!r}]
measures_auto_update = False
data_auto_update = False
nologger = True
logfile = "/dev/null"
"""


@pytest.fixture(scope="session")
def casa_environment(tmp_path_factory):
    """Environment of processes in which CASA finds its data, and asks nobody for newer ones."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"{', '.join(missing)} not installed; CASA is tested by: make casa"
        if os.environ.get("SPECTUNER_CASA"):  # there a skipped test would prove nothing
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    import casadata

    folder = tmp_path_factory.mktemp("casa_home")
    data = folder / "data"  # images need no more of the 800 MB than the Earth's orientation
    data.mkdir()
    (data / "geodetic").symlink_to(Path(casadata.datapath) / "geodetic")
    site = folder / "casasiteconfig.py"
    site.write_text(CONFIGURATION.format(data=str(data)), encoding="utf-8")
    single = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **single, "CASASITECONFIG": str(site), "HOME": str(folder), "MPLBACKEND": "Agg"}


@pytest.fixture
def in_casa(casa_environment, tmp_path):
    """Run a script in a process with CASA, in an empty folder; what it puts into `report` comes back."""

    def run(script):
        whole = f"import json\nreport = {{}}\n{script}\njson.dump(report, open('report.json', 'w'))\n"
        done = subprocess.run(
            [sys.executable, "-c", whole],
            cwd=tmp_path,
            env=casa_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return json.loads((tmp_path / "report.json").read_text())

    return run
