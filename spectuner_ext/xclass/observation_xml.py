"""Observation XML files: the data files of a fit with their frequency ranges, backgrounds and telescopes.

The root is ``ExpFiles``; each ``file`` in it has one or more ``FrequencyRange``. Tags are read by name; unknown
ones stay in the document and are listed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .document_bytes import read_bytes
from .xml_document import LIMIT, XmlDocument, XmlElement, parse_xml
from .xml_values import Tag, Value, other_tags, read_values

__all__ = [
    "FrequencyRange",
    "ObservationFile",
    "ObservationXml",
    "parse_observation_xml",
    "read_observation_xml",
]

KIND = "observation_xml"

RANGE_TAGS: Mapping[str, Tag] = {
    "minimum": Tag("MinExpRange", "number", above=0),
    "maximum": Tag("MaxExpRange", "number", above=0),
    "step": Tag("StepFrequency", "number", above=0),
    "t_back_flag": Tag("t_back_flag", "truth"),
    "background_temperature": Tag("BackgroundTemperature", "number"),
    "temperature_slope": Tag("TemperatureSlope", "number"),
    "hydrogen_column": Tag("HydrogenColumnDensity", "number", least=0),
    "dust_beta": Tag("DustBeta", "number"),
    "kappa": Tag("Kappa", "number", least=0),
}
FILE_TAGS: Mapping[str, Tag] = {
    "path": Tag("FileNamesExpFiles", "text"),
    "import_filter": Tag("ImportFilter", "text"),
    "v_lsr": Tag("GlobalvLSR", "number"),
    "telescope_size": Tag("TelescopeSize", "number", above=0),
    "interferometer": Tag("Inter_Flag", "truth"),
    "error_column": Tag("ErrorY", "truth", words=("yes", "no")),
    "header_lines": Tag("NumberHeaderLines", "whole", least=0),
    "separator": Tag("SeparatorColumns", "exact"),
}
ROOT_TAGS: Mapping[str, Tag] = {
    "iso_flag": Tag("iso_flag", "truth"),
    "iso_table": Tag("IsoTableFileName", "text"),
}
N_FILE = Tag("NumberExpFiles", "whole", least=0)
N_RANGE = Tag("NumberExpRanges", "whole", least=0)
FILE, RANGE, ROOT = "file", "FrequencyRange", "ExpFiles"


@dataclass(frozen=True, slots=True)
class FrequencyRange:
    """A range of a data file that is modelled; None where the file says nothing."""

    minimum: float  # MHz
    maximum: float  # MHz
    step: float | None = None  # channel width, MHz
    t_back_flag: bool | None = None  # whether temperature and slope are the whole continuum
    background_temperature: float | None = None  # K, at `minimum`
    temperature_slope: float | None = None  # exponent of its dependence on frequency
    hydrogen_column: float | None = None  # of the dust, cm-2
    dust_beta: float | None = None  # exponent of the opacity
    kappa: float | None = None  # opacity at 1.3 mm, cm2 g-1
    others: tuple[tuple[str, str], ...] = ()  # tag and text of elements that are not known


@dataclass(frozen=True, slots=True)
class ObservationFile:
    """A data file; None where the observation file says nothing."""

    path: str  # as written
    ranges: tuple[FrequencyRange, ...]
    import_filter: str | None = None  # such as "xclassASCII"
    v_lsr: float | None = None  # km/s
    telescope_size: float | None = None  # dish in m, or width of the beam in arcsec if `interferometer`
    interferometer: bool | None = None
    error_column: bool | None = None  # whether the third column holds errors
    header_lines: int | None = None
    separator: str | None = None  # between columns; blank: any blanks
    others: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ObservationXml:
    """An observation file: its text, and what stands in it."""

    document: XmlDocument
    files: tuple[ObservationFile, ...]
    iso_flag: bool | None  # whether isotopologues are used
    iso_table: str | None  # path of the iso-ratio file, as written
    others: tuple[tuple[str, str], ...]

    def to_bytes(self) -> bytes:
        """Contents of the file; of an untouched document, the very bytes that were read."""
        return self.document.to_bytes()


def read_observation_xml(path: str | Path) -> ObservationXml:
    """Read an observation file.

    Raises
    ------
    InputError
        With file and line, if it is no well-formed XML, has another root, the numbers of files or ranges are not
        those that it states, or a value is impossible.
    """
    return parse_observation_xml(read_bytes(path, KIND, LIMIT), str(path))


def parse_observation_xml(data: bytes | str, name: str = "observation file") -> ObservationXml:
    """Observation document of the contents of a file.

    Raises
    ------
    InputError
        As for `read_observation_xml`.
    """
    return observation_of(parse_xml(data, KIND, name))


def observation_of(document: XmlDocument) -> ObservationXml:
    """Observation document of an XML document."""
    root = document.root
    if root.tag != ROOT:
        raise document.refusal(root.line, f"the root is <{root.tag}>", f"an observation file has <{ROOT}>")
    files = tuple(_file(document, element) for element in root.named(FILE))
    _check_count(document, root, N_FILE, len(files), FILE)
    values = read_values(document, root, ROOT_TAGS)
    others = other_tags(root, {FILE, N_FILE.name, *(tag.name for tag in ROOT_TAGS.values())})
    return ObservationXml(document, files, others=others, **values)  # type: ignore[arg-type]  # typed by the tags


def _file(document: XmlDocument, element: XmlElement) -> ObservationFile:
    ranges = tuple(_range(document, item) for item in element.named(RANGE))
    _check_count(document, element, N_RANGE, len(ranges), RANGE)
    values = read_values(document, element, FILE_TAGS)
    _need(document, element, values, FILE_TAGS, ("path",))
    others = other_tags(element, {RANGE, N_RANGE.name, *(tag.name for tag in FILE_TAGS.values())})
    return ObservationFile(ranges=ranges, others=others, **values)  # type: ignore[arg-type]


def _range(document: XmlDocument, element: XmlElement) -> FrequencyRange:
    values = read_values(document, element, RANGE_TAGS)
    _need(document, element, values, RANGE_TAGS, ("minimum", "maximum"))
    found = FrequencyRange(
        others=other_tags(element, {tag.name for tag in RANGE_TAGS.values()}),
        **values,  # type: ignore[arg-type]
    )
    if not found.minimum < found.maximum:
        raise document.refusal(
            element.line,
            f"a range from {found.minimum:g} to {found.maximum:g} MHz",
            "<MinExpRange> must be below <MaxExpRange>",
        )
    return found


def _check_count(document: XmlDocument, parent: XmlElement, tag: Tag, n_found: int, what: str) -> None:
    """Refuse a number of elements that is not the stated one, and none at all."""
    stated = read_values(document, parent, {"n": tag})["n"]
    if stated is not None and stated != n_found:
        raise document.refusal(
            parent.named(tag.name)[0].line,
            f"<{tag.name}> says {stated}, but <{parent.tag}> holds {n_found} <{what}>",
            "correct the number or the elements",
        )
    if not n_found:
        raise document.refusal(parent.line, f"no <{what}> in <{parent.tag}>", "at least one is needed")


def _need(
    document: XmlDocument,
    element: XmlElement,
    values: Mapping[str, Value],
    tags: Mapping[str, Tag],
    names: tuple[str, ...],
) -> None:
    for name in names:
        if values[name] is None:
            raise document.refusal(
                element.line, f"no <{tags[name].name}> in <{element.tag}>, or it is empty", "it is needed"
            )
