"""The files of XCLASS, read and written without losing a comment, a blank or an element that is not known.

Each file is a document: `parse_*` and `read_*` give it, ``with_*`` functions give a changed one, `new_*` make one,
and ``to_bytes`` gives the contents to write. Numbers are in the units of the files: MHz, K, arcsec, km/s, cm-2.
"""

from .algorithm_xml import (
    Algorithm,
    AlgorithmXml,
    new_algorithm_xml,
    parse_algorithm_xml,
    read_algorithm_xml,
    with_algorithm_value,
)
from .ascii_data import AsciiData, new_ascii_data, parse_ascii_data, read_ascii_data, with_datum
from .chi2_log import Chi2Log, parse_chi2_log, read_chi2_log
from .database_limits import DatabaseLimits
from .document_bytes import write_bytes
from .iso_ratio import (
    IsoRatio,
    IsoRatioTable,
    new_iso_ratios,
    parse_iso_ratios,
    read_iso_ratios,
    with_ratio,
)
from .isotopologue_ties import (
    IsotopologueTie,
    IsotopologueTies,
    isotopologue_columns,
    resolve_isotopologues,
    with_isotopologues,
)
from .job_directory import (
    ComponentSpectrum,
    FitFile,
    JobDirectory,
    ParameterMap,
    job_started,
    molecule_of_label,
    parse_map_name,
    read_job_directory,
)
from .molfit import Molfit, MolfitBlock, MolfitRow, molfit_components, parse_molfit, read_molfit
from .molfit_component import MolfitComponent, MolfitParameter
from .molfit_edit import (
    with_component,
    with_components,
    with_database_limit,
    with_foreground,
    with_parameter,
    without_component,
)
from .molfit_new import new_molfit
from .observation_edit import (
    new_observation_xml,
    with_file,
    with_file_value,
    with_iso_table,
    with_range_value,
    without_file,
)
from .observation_xml import (
    FrequencyRange,
    ObservationFile,
    ObservationXml,
    parse_observation_xml,
    read_observation_xml,
)
from .transitions_table import ModelTransition, parse_transitions, read_transitions, transitions_of_rows

__all__ = [
    "Algorithm",
    "AlgorithmXml",
    "AsciiData",
    "Chi2Log",
    "ComponentSpectrum",
    "DatabaseLimits",
    "FitFile",
    "FrequencyRange",
    "IsoRatio",
    "IsoRatioTable",
    "IsotopologueTie",
    "IsotopologueTies",
    "JobDirectory",
    "ModelTransition",
    "Molfit",
    "MolfitBlock",
    "MolfitComponent",
    "MolfitParameter",
    "MolfitRow",
    "ObservationFile",
    "ObservationXml",
    "ParameterMap",
    "isotopologue_columns",
    "job_started",
    "molecule_of_label",
    "molfit_components",
    "new_algorithm_xml",
    "new_ascii_data",
    "new_iso_ratios",
    "new_molfit",
    "new_observation_xml",
    "parse_algorithm_xml",
    "parse_ascii_data",
    "parse_chi2_log",
    "parse_iso_ratios",
    "parse_map_name",
    "parse_molfit",
    "parse_observation_xml",
    "parse_transitions",
    "read_algorithm_xml",
    "read_ascii_data",
    "read_chi2_log",
    "read_iso_ratios",
    "read_job_directory",
    "read_molfit",
    "read_observation_xml",
    "read_transitions",
    "resolve_isotopologues",
    "transitions_of_rows",
    "with_algorithm_value",
    "with_component",
    "with_components",
    "with_database_limit",
    "with_datum",
    "with_file",
    "with_file_value",
    "with_foreground",
    "with_iso_table",
    "with_isotopologues",
    "with_parameter",
    "with_range_value",
    "with_ratio",
    "without_component",
    "without_file",
    "write_bytes",
]
