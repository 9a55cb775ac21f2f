"""Partition functions of CDMS and JPL, from the tables that astroquery ships."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import CatalogueError, require

__all__ = ["QTable", "read_tables"]

FloatArray = NDArray[np.float64]

CDMS_T = (1000.0, 500.0, 300.0, 225.0, 150.0, 75.0, 37.5, 18.75, 9.375, 5.0, 2.725)
JPL_T = (300.0, 225.0, 150.0, 75.0, 37.5, 18.75, 9.375)


@dataclass(frozen=True, slots=True, eq=False)
class QTable:
    """Tabulated partition function of one catalogue tag, without its missing values."""

    catalogue: str
    tag: int
    name: str
    temperature: FloatArray  # (n,) K, increasing
    log_q: FloatArray  # (n,) log10 Q

    def at(self, temperature: float) -> float:
        """Log10 Q at a tabulated temperature [K]; NaN where the catalogue gives none."""
        found = np.flatnonzero(np.abs(self.temperature - temperature) < 1e-6)
        return float(self.log_q[found[0]]) if found.size else float("nan")


def _table(catalogue: str, tag: int, name: str, t: tuple[float, ...], text: list[str]) -> QTable:
    values = np.array([_number(x) for x in text])
    order = np.argsort(t)
    keep = order[np.isfinite(values[order])]
    return QTable(catalogue, tag, name, np.asarray(t)[keep], values[keep])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _read_cdms(path: Path) -> dict[tuple[str, int], QTable]:
    out = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) != 3 + len(CDMS_T):
            raise CatalogueError(
                f"{path}: a row has {len(cells)} columns, the partition-function table of CDMS has "
                f"{3 + len(CDMS_T)}; use astroquery 0.4.10 or a later version with the same table"
            )
        tag = int(cells[0])
        out["CDMS", tag] = _table("CDMS", tag, cells[1], CDMS_T, cells[3:])
    return out


def _read_jpl(path: Path) -> dict[tuple[str, int], QTable]:
    out = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            continue
        # tag (6), blank, name (13), number of lines (6), seven values of lg Q (7 each), version
        numbers = [line[26 + 7 * i : 33 + 7 * i] for i in range(len(JPL_T))]
        tag = int(line[:6])
        out["JPL", tag] = _table("JPL", tag, line[6:20].strip(), JPL_T, numbers)
    return out


@cache
def read_tables() -> dict[tuple[str, int], QTable]:
    """All tables by catalogue (``CDMS`` or ``JPL``) and tag.

    Raises
    ------
    ImportError
        When astroquery is not installed.
    CatalogueError
        When its files have another form.
    """
    root = Path(str(require("astroquery").__file__)).parent
    cdms, jpl = (
        root / "linelists" / "cdms" / "data" / "partfunc.cat",
        root / "jplspec" / "data" / "catdir.cat",
    )
    for path in (cdms, jpl):
        if not path.is_file():
            raise CatalogueError(f"astroquery has no file {path}; install astroquery 0.4.10 or later")
    return _read_cdms(cdms) | _read_jpl(jpl)
