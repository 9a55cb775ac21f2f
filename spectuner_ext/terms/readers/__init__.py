"""Readers and writers of the formats in which spectroscopists keep lines, levels and calculations."""

from .case_folder import Case, read_case
from .door import READERS, read_lines, read_system
from .folder_writer import write_folder
from .lopt import write_lopt
from .system_files import write_system
from .tables import to_table

__all__ = [
    "READERS",
    "Case",
    "read_case",
    "read_lines",
    "read_system",
    "to_table",
    "write_folder",
    "write_lopt",
    "write_system",
]
