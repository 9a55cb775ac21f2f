import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("made_up_job", Path(__file__).with_name("made_up_job.py"))
made_up_job = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = made_up_job
SPEC.loader.exec_module(made_up_job)


@pytest.fixture(scope="session")
def made_up():
    """The module that makes up jobs."""
    return made_up_job


@pytest.fixture(scope="session")
def job_folder(tmp_path_factory):
    """A made-up job with the documented conventions."""
    return made_up_job.write_job(tmp_path_factory.mktemp("job"))


STAND_IN = '''"""Stand-in for XCLASS made by a test; it is not XCLASS."""
__version__ = "stand-in"
'''
STAND_IN_TASK = """
import json
from pathlib import Path
import numpy as np

def myXCLASSCore(FreqMin=1, FreqMax=1e8, FreqStep=1, TelescopeSize=None, Inter_Flag=False, t_back_flag=True,
                 tBack=0.0, tSlope=0.0, MolfitsFileName="", iso_flag=False, IsoTableFileName="", RestFreq=0.0,
                 vLSR=0.0):
    given = dict(locals())
    lines = [x for x in Path(MolfitsFileName).read_text().splitlines() if x.strip() and not x.startswith("%")]
    assert len(lines[1].split()) == 6, "the plain form has six columns"
    assert not iso_flag or "C-13-H3OH" in Path(IsoTableFileName).read_text()
    with open(Path(__file__).with_name("calls.jsonl"), "a") as file:
        file.write(json.dumps(given) + "\\n")
    nu = np.arange(FreqMin, FreqMax + 0.5 * FreqStep, FreqStep)
    spectrum = tBack * (nu / FreqMin) ** tSlope + 1.25
    return np.column_stack([nu, spectrum]), "log", [], [], "run/"
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """A folder with a package xclass on the path of every python that is started; gives its list of calls."""
    package = tmp_path / "stand_in" / "xclass"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(STAND_IN)
    (package / "task_myXCLASS.py").write_text(STAND_IN_TASK)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return package
