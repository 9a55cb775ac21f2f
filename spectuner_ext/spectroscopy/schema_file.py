"""An SQLite file in the VAMDC/XCLASS schema: opened read-only, validated, queried from any thread."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

from ..errors import CatalogueError
from .schema import temperature_of

__all__ = ["NEEDED", "SchemaFile"]

NEEDED = {
    "partitionfunctions": ("pf_name",),
    "transitions": ("t_name", "t_frequency", "t_einsteina", "t_energylower", "t_upperstatedegeneracy"),
}
"""Tables and columns, in lower case, without which a file is not a line database."""


class SchemaFile:
    """A validated file; names of tables and columns are compared in lower case.

    Raises
    ------
    CatalogueError
        When the file is missing, corrupt or in another layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection = _connect(path)
        try:
            self.columns = {table: self.columns_of(table) for table in NEEDED}
            self._validate()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise CatalogueError(_damaged(path, error)) from error
        except CatalogueError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises
        ------
        CatalogueError
            When the file was closed or is damaged.
        """
        try:
            with self._lock:
                return self._connection.execute(query, values).fetchall()
        except sqlite3.ProgrammingError as error:
            raise CatalogueError(f"{self.path} was closed; open it again with LineDatabase.open") from error
        except sqlite3.DatabaseError as error:
            raise CatalogueError(_damaged(self.path, error)) from error

    def columns_of(self, table: str) -> dict[str, str]:
        """Columns of `table` (any case), lower case to name as stored; empty when there is no such table."""
        with self._lock:
            found = self._connection.execute(f"PRAGMA table_info('{table}')").fetchall()
        return {str(r[1]).lower(): str(r[1]) for r in found}

    def _validate(self) -> None:
        missing = [f"table {t}" for t, c in self.columns.items() if not c]
        missing += [
            f"column {column} of {table}"
            for table, columns in NEEDED.items()
            for column in columns
            if self.columns[table] and column not in self.columns[table]
        ]
        q_columns = [c for c in self.columns["partitionfunctions"] if temperature_of(c) is not None]
        if self.columns["partitionfunctions"] and len(q_columns) < 2:
            missing.append("columns PF_<temperature> of partitionfunctions")
        if missing:
            raise CatalogueError(
                f"{self.path} is an SQLite file but not a line database: it lacks {', '.join(missing)}. The "
                "VAMDC/XCLASS layout is needed: download cdms_sqlite__official*.db, or run "
                "'spectuner catalogue build'"
            )


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise CatalogueError(
            f"there is no line database at {path}; give the path of an SQLite file in the VAMDC/XCLASS "
            "layout, or no path for the one that the package ships"
        )
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error}") from error
    if head != b"SQLite format 3\x00":
        raise CatalogueError(
            f"{path} is not an SQLite file (it begins with {head!r}); if it is a .cat file, read it with "
            "spectuner_ext.spectroscopy.catalogues, if it is compressed, unpack it first"
        )
    return sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True, check_same_thread=False)


def _damaged(path: Path, error: Exception) -> str:
    return (
        f"{path} cannot be read as an SQLite database ({error}); the file is damaged, fetch or build it again"
    )
