"""Input of the level optimiser LOPT (Kramida 2011, Comput. Phys. Commun. 182, 419), and its output, read back.

Three text files: the lines in fixed columns, the fixed levels, and a parameter file that says where the columns are,
one ``value ; NAME of the parameter`` a line. Level labels must be distinct in LOPT and are free text here, so that
they get the id in front: ``12_3d7.(4F).4s_5F``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError, OutputExistsError
from ..arrays import IntArray, where
from ..levels import Levels
from ..system import ClassifiedLines, KnownLevels, TermSystem

__all__ = ["LoptFiles", "read_lopt", "read_lopt_levels", "write_lopt"]

LABEL_WIDTH = 24

LAYOUT = {
    "LINE INTENSITY": (1, 11),
    "WAVELENGTH": (13, 27),
    "wavelength UNITS": (29, 32),
    "wavelength UNCERTAINTY": (34, 45),
    "line WEIGHT": (47, 52),
    "LOWER LEVEL LABEL": (54, 53 + LABEL_WIDTH),
    "UPPER LEVEL LABEL": (79, 78 + LABEL_WIDTH),
    "LINE FLAGS": (104, 108),
}
"""First and last column of each field of the lines file, from 1, by the name in the parameter file."""

ONLY_FIRST = ("wavelength UNITS", "UPPER LEVEL LABEL", "LINE FLAGS")
"""Fields of which LOPT wants no last column; their width is fixed or that of the lower label."""

SMALLEST_UNCERTAINTY = 1e-4
"""cm^-1, for fixed levels without one; LOPT divides by it, and takes the same for levels that it fixes itself."""

OPTIONS = (
    ("N", "OMIT calc. wavelengths in ANGSTROMS in the output (Y/N)?"),
    ("N", "TUNE single-line levels (Y/N)?"),
    ("N", "Print listing of correlated-lines uncert. effects (Y/N)?"),
    ("Y", "CALCULATE predicted line UNCERTAINTIES (Y/N)?"),
    ("N", "Write virtual lines (Y/N)?"),
    ("N", "Divide levels into independent groups (Y/N)?"),
    ("5000", "MIN. wavenumber for AIR wavelength [cm-1]"),
    ("50000", "MAX. wavenumber for AIR wavelength [cm-1]"),
    ("99.9999", "ROUND-OFF threshold for output LEVELS"),
    ("99.9999", "ROUND-OFF threshold for output LINES"),
)

_LEADING_NUMBERS = re.compile(r"^(?:[+-]?\d+(?:\.\d*)?\s+)+(?=\S)")


@dataclass(frozen=True, slots=True)
class LoptFiles:
    """The input files of one run, and where its output will be."""

    parameters: Path
    lines: Path
    fixed_levels: Path
    levels_output: Path
    lines_output: Path


def write_lopt(
    system: TermSystem,
    folder: str | Path,
    *,
    fixed: IntArray | None = None,
    name: str = "lopt",
    overwrite: bool = False,
) -> LoptFiles:
    """Write the classified lines and the fixed levels, so that LOPT optimises the other levels.

    Parameters
    ----------
    system : TermSystem
        Its classified lines are the input; a finished analysis has its own lines among them.
    folder : path
    fixed : array of int, optional
        Ids of known levels that LOPT holds; the ground level only when left out.
    name : str
        Of the files: ``name.par``, ``name.inp``, ``name.fixed``; run ``perl lopt.pl name.par`` in the folder.
    overwrite : bool

    Raises
    ------
    InputError
        If a fixed level is not known.
    OutputExistsError
        If one of the files is there and may not be replaced.
    """
    target = Path(folder)
    files = _files(target, name)
    there = [file.name for file in (files.parameters, files.lines, files.fixed_levels) if file.exists()]
    if there and not overwrite:
        raise OutputExistsError(
            f"{target} already has {', '.join(there)}; choose another name or overwrite=True"
        )
    held = np.unique(
        np.append(np.zeros(1, dtype=np.int64), np.empty(0, np.int64) if fixed is None else fixed)
    )
    unknown = np.setdiff1d(held, system.known.level)
    if unknown.size:
        raise InputError(f"level {unknown[0]} is to be fixed but not known; fix known levels only")
    target.mkdir(parents=True, exist_ok=True)
    files.parameters.write_text(_parameter_text(files), encoding="ascii")
    files.lines.write_text(_lines_text(system), encoding="ascii")
    files.fixed_levels.write_text(_fixed_text(system, held), encoding="ascii")
    return files


def read_lopt(parameters: str | Path) -> tuple[ClassifiedLines, KnownLevels]:
    """Read back the lines and the fixed levels that a parameter file names.

    Wavenumbers in cm^-1 with both labels beginning with an id are understood, as `write_lopt` writes them. S/N, which
    LOPT does not have, comes back as 1.

    Raises
    ------
    InputError
        With file and row.
    """
    file = Path(parameters)
    values = _parameters(file)
    columns = {name: _columns(values, name, file.name) for name in LAYOUT}
    line_file = file.parent / values.get("TRANSITIONS INPUT FILE NAME", "")
    fixed_file = file.parent / values.get("FIXED LEVELS INPUT FILE NAME", "")
    for needed in (line_file, fixed_file):
        if not needed.is_file():
            raise InputError(
                f"{file.name} names {needed.name or 'no file'}, which is not in {file.parent.absolute()}"
            )
    source = line_file.name
    found: dict[str, list[float]] = {"intensity": [], "wavenumber": [], "uncertainty": []}
    ids: dict[str, list[int]] = {"lower": [], "upper": []}
    unit = "A"
    for row, text in enumerate(line_file.read_text(encoding="latin-1").splitlines()):
        unit = text[columns["wavelength UNITS"]].strip() or unit
        if unit.lower() != "cm-1":
            raise InputError(
                f"{where(source, row)}: the unit is {unit!r}; only lines in cm-1 can be read back"
            )
        for name, column in (
            ("intensity", "LINE INTENSITY"),
            ("wavenumber", "WAVELENGTH"),
            ("uncertainty", "wavelength UNCERTAINTY"),
        ):
            found[name].append(_float(text[columns[column]], name, source, row))
        for name in ids:
            ids[name].append(_id(text[columns[f"{name.upper()} LEVEL LABEL"]], source, row))
    n = len(found["wavenumber"])
    lines = ClassifiedLines(
        np.array(ids["lower"], dtype=np.int64),
        np.array(ids["upper"], dtype=np.int64),
        np.array(found["wavenumber"]),
        np.array(found["uncertainty"]),
        np.array(found["intensity"]),
        np.ones(n),
        np.full(n, source),
        source=source,
    )
    width = columns["LOWER LEVEL LABEL"].stop - columns["LOWER LEVEL LABEL"].start
    return lines, _fixed_levels(fixed_file, width)


def read_lopt_levels(path: str | Path) -> KnownLevels:
    """Read the optimised levels from the tab-delimited levels output of LOPT.

    The uncertainty is that of column D2, relative to the ground level; NaN where LOPT gives none.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"no file {file.name} in {file.parent.absolute()}; run LOPT first")
    text = file.read_text(encoding="latin-1").splitlines()
    headings = text[0].split("\t") if text else []
    if headings[:4] != ["Designation", "Energy", "D1", "D2"]:
        raise InputError(
            f"{file.name}: the columns Designation, Energy, D1, D2 are needed, "
            f"got {', '.join(headings[:4]) or 'nothing'}; set 'tab-delimited output' to Y in the parameter file"
        )
    level, energy, uncertainty = [], [], []
    for row, line in enumerate(text[1:]):
        if line.strip():
            fields = line.split("\t")
            level.append(_id(fields[0], file.name, row))
            energy.append(_float(fields[1], "Energy", file.name, row))
            given = fields[3].strip()
            uncertainty.append(np.nan if given in ("", "_") else _float(given, "D2", file.name, row))
    provenance = np.full(len(level), f"LOPT {file.name}")
    return KnownLevels(
        np.array(level, dtype=np.int64), np.array(energy), np.array(uncertainty), provenance, source=file.name
    )


def _files(folder: Path, name: str) -> LoptFiles:
    return LoptFiles(*(folder / f"{name}.{suffix}" for suffix in ("par", "inp", "fixed", "lev", "lin")))


def _label(level: int, levels: Levels) -> str:
    """Distinct label of a level; a semicolon would begin a comment."""
    words = _LEADING_NUMBERS.sub("", str(levels.label[level]).strip())
    text = re.sub(r"[^!-~]+", "_", words).replace(";", ",")
    return f"{level}_{text}"[:LABEL_WIDTH].rstrip("_") + ("_" if not text else "")


def _lines_text(system: TermSystem) -> str:
    lines = system.classified
    rows = []
    for k in np.argsort(lines.wavenumber, kind="stable"):
        fields = {
            "LINE INTENSITY": f"{lines.intensity[k]:11.5g}",
            "WAVELENGTH": f"{lines.wavenumber[k]:15.7f}",
            "wavelength UNITS": "cm-1",
            "wavelength UNCERTAINTY": f"{lines.uncertainty[k]:12.7f}",
            "LOWER LEVEL LABEL": _label(int(lines.lower[k]), system.levels),
            "UPPER LEVEL LABEL": _label(int(lines.upper[k]), system.levels),
        }
        text = [" "] * max(last for _, last in LAYOUT.values())
        for name, value in fields.items():
            first, last = LAYOUT[name]
            if len(value) > last - first + 1:
                raise InputError(
                    f"{where(lines.source, int(k))}: {name.lower()} {value.strip()} does not fit into "
                    "its columns of LOPT"
                )
            text[first - 1 : first - 1 + len(value)] = value
        rows.append("".join(text).rstrip())
    return "".join(f"{row}\n" for row in rows)


def _fixed_text(system: TermSystem, held: IntArray) -> str:
    place = {int(level): k for k, level in enumerate(system.known.level)}
    rows = []
    for level in held:
        k = place[int(level)]
        given = system.known.uncertainty[k]
        uncertainty = given if np.isfinite(given) and given > SMALLEST_UNCERTAINTY else SMALLEST_UNCERTAINTY
        comment = " ground" if level == 0 else ""
        label = _label(int(level), system.levels)
        error = 0.0 if level == 0 else uncertainty
        rows.append(f"{label:<{LABEL_WIDTH}} {system.known.energy[k]:15.7f} {error:11.7f}{comment}")
    return "".join(f"{row}\n" for row in rows)


def _parameter_text(files: LoptFiles) -> str:
    rows = [
        (files.lines.name, "TRANSITIONS input file name"),
        (files.fixed_levels.name, "FIXED LEVELS input file name"),
        (files.levels_output.name, "Levels OUTPUT file name"),
        (files.lines_output.name, "Transitions OUTPUT file name"),
        *OPTIONS,
    ]
    for name, (first, last) in LAYOUT.items():
        rows.append((str(first), f"1st column of {name} in the transitions-input file"))
        if name not in ONLY_FIRST:
            rows.append((str(last), f"LAST column of {name} in the transitions-input file"))
    rows = [
        (value, text.replace("1st column of LINE FLAGS", "1st column for LINE FLAGS")) for value, text in rows
    ]
    rows += [("Y", "tab-delimited output [Y/N] ?"), ("N", "Round input (Y/N)?")]
    return "".join(f"{value:<16}; {text}\n" for value, text in rows)


def _parameters(file: Path) -> dict[str, str]:
    """Values by the upper-case text after the semicolon."""
    if not file.is_file():
        raise InputError(
            f"no file {file.name} in {file.parent.absolute()}; give the name of a LOPT parameter file"
        )
    values = {}
    for line in file.read_text(encoding="latin-1").splitlines():
        value, semicolon, text = line.partition(";")
        if semicolon:
            name = re.sub(r"\s+", " ", text).strip().upper().replace("FIRST COLUMN", "1ST COLUMN")
            values[name.replace("LEVEL NAME", "LEVEL LABEL")] = value.strip()
    return {_without_tail(name): value for name, value in values.items()}


def _without_tail(name: str) -> str:
    """Drop explanations after the part of a parameter's name that LOPT looks at."""
    return re.split(r" IN THE TRANSITIONS-INPUT| IN (?:CM|ANG)|;|\(", name)[0].strip()


def _columns(values: dict[str, str], name: str, source: str) -> slice:
    key = name.upper()
    first = values.get(f"1ST COLUMN OF {key}") or values.get(f"1ST COLUMN FOR {key}")
    last = values.get(f"LAST COLUMN OF {key}")
    if key == "UPPER LEVEL LABEL" and first:
        lower = _columns(values, "LOWER LEVEL LABEL", source)
        last = str(int(first) + lower.stop - lower.start - 1)
    if key in ("WAVELENGTH UNITS", "LINE FLAGS") and first:
        last = str(int(first) + (3 if key == "WAVELENGTH UNITS" else 4))
    if not first or not last or not (first.isdigit() and last.isdigit()):
        if key in ("LINE WEIGHT", "LINE FLAGS"):
            return slice(0, 0)
        raise InputError(
            f"{source}: the columns of {name} are not given; it is no complete LOPT parameter file"
        )
    return slice(int(first) - 1, int(last))


def _fixed_levels(file: Path, width: int) -> KnownLevels:
    level, energy, uncertainty = [], [], []
    for row, line in enumerate(file.read_text(encoding="latin-1").splitlines()):
        text = line.partition(";")[0]
        if text.strip():
            fields = text[width:].split()
            level.append(_id(text[:width], file.name, row))
            energy.append(_float(fields[0] if fields else "", "energy", file.name, row))
            uncertainty.append(_float(fields[1] if len(fields) > 1 else "", "uncertainty", file.name, row))
    provenance = np.full(len(level), file.name)
    return KnownLevels(
        np.array(level, dtype=np.int64), np.array(energy), np.array(uncertainty), provenance, source=file.name
    )


def _id(label: str, source: str, row: int) -> int:
    found = re.match(r"\s*(\d+)(?:_|\s*$)", label)
    if not found:
        raise InputError(
            f"{where(source, row)}: the label {label.strip()!r} does not begin with a level id and '_'; "
            "only files that were written from here can be read back"
        )
    return int(found[1])


def _float(text: str, name: str, source: str, row: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where(source, row)}: {name} is {text.strip()!r}; a number is needed") from None
