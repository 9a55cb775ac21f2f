"""What the layout of the packages promises: layers, homes of libraries, names, and a light import."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import spectuner_ext

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "spectuner_ext": ROOT / "spectuner_ext",
    "spectuner_tasks": ROOT / "casa_tasks" / "spectuner_tasks",
    "spectuner_widgets": ROOT / "widgets" / "spectuner_widgets",
}
SOURCES = {
    f"{package}/{path.relative_to(folder).as_posix()}": path
    for package, folder in PACKAGES.items()
    for path in sorted(folder.rglob("*.py"))
}

HOMES = {
    "astroquery": ["spectuner_ext/spectroscopy/catalogues/*"],
    "bokeh": ["spectuner_ext/pipeline/html.py", "spectuner_widgets/*"],
    "casa_formats_io": ["spectuner_ext/observation/cubes/casa.py"],
    "casadata": ["spectuner_ext/spectroscopy/*"],
    "casashell": ["spectuner_tasks/session.py"],
    "casatasks": [],
    "casatools": ["spectuner_tasks/casa_images.py", "spectuner_tasks/typecheck.py"],
    "dask": ["spectuner_ext/pipeline/cubes/schedule.py"],
    "distributed": ["spectuner_ext/pipeline/cubes/schedule.py"],
    "gymnasium": ["spectuner_ext/terms/gym.py"],
    "joblib": ["spectuner_ext/terms/evidence/repetitions.py", "spectuner_ext/terms/process_pool.py"],
    "threadpoolctl": ["spectuner_ext/blas_threads.py"],
    "matplotlib": [
        "spectuner_ext/pipeline/plots.py",
        "spectuner_ext/pipeline/posterior_plot.py",
        "spectuner_ext/pipeline/cubes/plots.py",
        "spectuner_ext/pipeline/evaluate/plots.py",
        "spectuner_ext/pipeline/xclass/comparison_plot.py",
        "spectuner_ext/terms/plots.py",
        "spectuner_ext/terms/evaluation_runs/plots.py",
    ],
    "optuna": ["spectuner_ext/terms/dqn/sweep.py"],
    "radio_beam": ["spectuner_ext/observation/cubes/beams.py"],
    "regions": ["spectuner_ext/observation/cubes/region.py", "spectuner_ext/observation/cubes/crtf.py"],
    "reproject": ["spectuner_ext/observation/cubes/grids.py"],
    "spectral_cube": ["spectuner_ext/observation/objects.py", "spectuner_ext/observation/cubes/objects.py"],
    "scipy.optimize": ["spectuner_ext/fitting/local.py"],
    "safetensors": ["spectuner_ext/learning/checkpoint.py", "spectuner_ext/policy/weights.py"],
    "torch": [
        "spectuner_ext/fitting/peak_tensor.py",
        "spectuner_ext/learning/*",
        "spectuner_ext/lte/batch.py",
        "spectuner_ext/policy/*",
        "spectuner_ext/terms/dqn/*",
        "spectuner_ext/terms/reward*.py",
    ],
    "torch_geometric": ["spectuner_ext/terms/dqn/network.py"],
    "typer": ["spectuner_ext/cli.py", "spectuner_tasks/command_line.py"],
    "yaml": ["spectuner_ext/config/*", "spectuner_ext/terms/readers/*"],
    "zarr": ["spectuner_ext/pipeline/cubes/store.py"],
}
"""The files that may import a library; the rest reach it through them."""

HEAVY = [
    "astroquery",
    "bokeh",
    "casadata",
    "casashell",
    "casatasks",
    "casatools",
    "dask",
    "gymnasium",
    "joblib",
    "matplotlib",
    "numba",
    "optuna",
    "regions",
    "reproject",
    "safetensors",
    "scipy.optimize",
    "spectral_cube",
    "specutils",
    "torch",
    "torch_geometric",
    "yaml",
    "zarr",
]
VAGUE = {"common", "helper", "helpers", "misc", "util", "utils"}


def test_contracts_between_layers_are_kept():
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run([sys.executable, "-c", lint, "--no-cache"], cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_is_light(tmp_path):
    child = """
import json, os, sys
before = os.times()
import spectuner_ext
after = os.times()
cpu = after.user + after.system - before.user - before.system
print(json.dumps({"cpu": cpu, "modules": sorted(sys.modules)}))
"""
    done = run([sys.executable, "-c", child], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "spectuner_ext" in seen["modules"]
    assert not set(HEAVY) & set(seen["modules"])
    assert seen["cpu"] < 1.0


def test_every_public_name_loads():
    public = set(spectuner_ext.__all__)
    assert public <= set(dir(spectuner_ext))
    for name in sorted(public - {"__citation__", "__version__"}):
        assert getattr(spectuner_ext, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'unobtainium'"):
        _ = spectuner_ext.unobtainium


@pytest.mark.parametrize("name", SOURCES)
def test_module_says_what_it_is_for(name):
    assert ast.get_docstring(ast.parse(SOURCES[name].read_text("utf-8")))


def test_files_are_named_for_an_idea():
    parts = {part for name in SOURCES for part in Path(name).with_suffix("").parts}
    assert not VAGUE & parts


@pytest.mark.parametrize("library", HOMES)
def test_library_has_one_home(library):
    strangers = [
        f"{name}:{line}"
        for name, path in SOURCES.items()
        if not any(fnmatch(name, home) for home in HOMES[library])
        for line, imported in imports(path.read_text("utf-8"))
        if f"{imported}.".startswith(f"{library}.")
    ]
    assert not strangers


@pytest.mark.parametrize(
    "source",
    [
        "import scipy.optimize",
        "import scipy.optimize as so",
        "from scipy import optimize",
        "from scipy.optimize import minimize",
        "def f():\n    from scipy.optimize import minimize",
        "so = importlib.import_module('scipy.optimize')",
        "so = require('scipy.optimize', extra='all')",
    ],
)
def test_every_way_to_import_is_seen(source):
    assert any(f"{name}.".startswith("scipy.optimize.") for _, name in imports(source))


def test_every_dependency_is_pinned_within_its_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    # CASA comes in an environment of its own; the tools of the documentation are not pinned.
    pinned = [
        project["dependencies"],
        *(extras[name] for name in extras if name not in ("casa", "docs", "all")),
    ]
    lines = (
        line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    )
    pins = [Requirement(line) for line in lines if line]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    # An extra may bring another one: "spectuner-ext[rl]".
    outside = (
        Requirement(text) for group in pinned for text in group if text.split("[")[0] != project["name"]
    )
    for wanted in outside:
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), wanted


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run to the end and keep what was printed."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that `source` imports from elsewhere, by statement or by call."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="require" | "import_module" | "__import__")
                | ast.Attribute(attr="require" | "import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name
