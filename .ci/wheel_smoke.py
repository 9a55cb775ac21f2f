"""Try an installed wheel from a folder outside the source tree: ``wheel_smoke.py WHEEL TREE``."""

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGES = {"spectuner_ext": "", "spectuner_tasks": "casa_tasks", "spectuner_widgets": "widgets"}


def check_contents(wheel: Path, tree: Path) -> None:
    """Check that the wheel holds the three packages, whole, and nothing else at its top level."""
    names = set(zipfile.ZipFile(wheel).namelist())
    top = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert top == set(PACKAGES), f"top-level names of the wheel: {sorted(top)}"
    for package, folder in PACKAGES.items():
        assert f"{package}/py.typed" in names, f"{package}/py.typed is not in the wheel"
        for file in (tree / folder / package).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                name = file.relative_to(tree / folder).as_posix()
                assert name in names, f"{name} is in the tree but not in the wheel"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "the licence is missing"


def check_imports(tree: Path) -> None:
    """Check that each package comes from the wheel, and its version from the distribution."""
    for package in PACKAGES:
        origin = Path(__import__(package).__file__).resolve()
        assert Path(sys.prefix).resolve() in origin.parents, f"{package} was imported from {origin}"
    leaks = [
        path for path in sys.path if Path(path).resolve() in (tree, tree / "casa_tasks", tree / "widgets")
    ]
    assert not leaks, f"the source tree is on the path: {leaks}"
    import spectuner_ext

    version = importlib.metadata.version("spectuner-ext")
    assert spectuner_ext.__version__ == version, f"{spectuner_ext.__version__} is not {version}"


def check_database() -> None:
    """Open the embedded catalogue."""
    from spectuner_ext.spectroscopy import LineDatabase

    with LineDatabase.open() as database:
        assert database.checksum


def check_commands() -> None:
    """Ask the command for its version, and run the demonstration."""
    run = [str(Path(sys.executable).with_name("spectuner"))]
    version = subprocess.run([*run, "--version"], check=True, capture_output=True, text=True).stdout
    assert importlib.metadata.version("spectuner-ext") in version, f"spectuner --version says {version!r}"
    subprocess.run([*run, "demo", "--outdir", "products"], check=True)
    products = sorted(path.name for path in Path("products").iterdir())
    assert products, "spectuner demo left no product"
    print("products:", ", ".join(products))


if __name__ == "__main__":
    wheel, tree = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    check_contents(wheel, tree)
    check_imports(tree)
    check_database()
    check_commands()
    print(f"{wheel.name}: passed")
