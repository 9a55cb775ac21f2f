"""Changes to an observation document, and new ones."""

from collections.abc import Mapping, Sequence

from ..errors import InputError
from .observation_xml import (
    FILE,
    FILE_TAGS,
    KIND,
    N_FILE,
    N_RANGE,
    RANGE,
    RANGE_TAGS,
    ROOT,
    ROOT_TAGS,
    FrequencyRange,
    ObservationFile,
    ObservationXml,
    observation_of,
)
from .xml_document import XmlDocument, XmlElement, parse_xml
from .xml_edit import with_child, with_text, without_element
from .xml_values import Tag, Value, line_of, with_value

__all__ = [
    "new_observation_xml",
    "with_file",
    "with_file_value",
    "with_iso_table",
    "with_range_value",
    "without_file",
]


def with_file_value(observation: ObservationXml, file: int, field: str, value: Value) -> ObservationXml:
    """Same document with another value of a data file.

    Parameters
    ----------
    observation : ObservationXml
    file : int
        Counted from 0, as in `ObservationXml.files`.
    field : str
        Field of `ObservationFile` with a value of its own.
    value : str, float, int, bool or None
        In the unit of the field; None empties the tag.

    Raises
    ------
    InputError
        If there is no such file or field, or the value is impossible.
    """
    element = _file(observation, file)
    return observation_of(with_value(observation.document, element, FILE_TAGS, field, value))


def with_range_value(
    observation: ObservationXml, file: int, frequency_range: int, field: str, value: Value
) -> ObservationXml:
    """Same document with another value of a frequency range; files and ranges are counted from 0.

    Raises
    ------
    InputError
        If there is no such range or field, or the value is impossible.
    """
    ranges = _file(observation, file).named(RANGE)
    if not 0 <= frequency_range < len(ranges):
        raise InputError(f"frequency_range: {frequency_range}, but there are {len(ranges)}, counted from 0")
    document = with_value(observation.document, ranges[frequency_range], RANGE_TAGS, field, value)
    return observation_of(document)


def with_iso_table(observation: ObservationXml, path: str | None) -> ObservationXml:
    """Same document with another iso-ratio file; with None, without isotopologues (the name stays)."""
    document = observation.document
    if path is not None:
        document = with_value(document, document.root, ROOT_TAGS, "iso_table", path)
    return observation_of(with_value(document, document.root, ROOT_TAGS, "iso_flag", path is not None))


def with_file(observation: ObservationXml, file: ObservationFile) -> ObservationXml:
    """Same document with one more data file, behind the others.

    Raises
    ------
    InputError
        If a value is impossible.
    """
    last = observation.document.root.named(FILE)[-1]
    document = with_child(observation.document, observation.document.root, _file_lines(file), last)
    return _counted(document, len(observation.files) + 1)


def without_file(observation: ObservationXml, file: int) -> ObservationXml:
    """Same document without a data file, counted from 0.

    Raises
    ------
    InputError
        If there is no such file, or it is the only one.
    """
    element = _file(observation, file)
    if len(observation.files) == 1:
        raise InputError(f"file: {observation.files[0].path} is the only one; an observation file needs one")
    document = without_element(observation.document, element)
    return _counted(document, len(observation.files) - 1)


def new_observation_xml(
    files: Sequence[ObservationFile], *, iso_table: str | None = None, name: str = "new observation file"
) -> ObservationXml:
    """Observation document with the given data files, in the layout of the 1.2 series.

    Parameters
    ----------
    files : sequence of ObservationFile
        Values that are None are left out. Elements in `others` are written, too, behind the known ones.
    iso_table : str, optional
        Path of the iso-ratio file; isotopologues are switched off without one.
    name : str, optional
        For messages.

    Raises
    ------
    InputError
        If there is no file, or a value is impossible.

    Examples
    --------
    >>> from spectuner_ext.xclass import FrequencyRange, ObservationFile
    >>> file = ObservationFile("band6.dat", (FrequencyRange(219500.0, 219600.0),))
    >>> new_observation_xml([file]).files[0].path
    'band6.dat'
    """
    if not files:
        raise InputError("files: none; an observation file needs at least one")
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<{ROOT}>", f"    {line_of(N_FILE, len(files))}"]
    lines += [f"    {line}" for file in files for line in _file_lines(file)]
    lines.append(f"    {line_of(ROOT_TAGS['iso_flag'], iso_table is not None)}")
    if iso_table is not None:
        lines.append(f"    {line_of(ROOT_TAGS['iso_table'], iso_table)}")
    lines.append(f"</{ROOT}>")
    return observation_of(parse_xml("".join(f"{line}\n" for line in lines), KIND, name))


def _file(observation: ObservationXml, file: int) -> XmlElement:
    elements = observation.document.root.named(FILE)
    if not 0 <= file < len(elements):
        raise InputError(f"file: {file}, but there are {len(elements)}, counted from 0")
    return elements[file]


def _file_lines(file: ObservationFile) -> list[str]:
    """Element of a data file, in the order in which such files are written."""
    first, last = (
        ("path", "import_filter"),
        [name for name in FILE_TAGS if name not in ("path", "import_filter")],
    )
    lines = _value_lines(file, {name: FILE_TAGS[name] for name in first})
    lines.append(line_of(N_RANGE, len(file.ranges)))
    for item in file.ranges:
        inner = [*_value_lines(item, RANGE_TAGS), *_other_lines(item.others)]
        lines += [f"<{RANGE}>", *(f"    {line}" for line in inner), f"</{RANGE}>"]
    lines += [*_value_lines(file, {name: FILE_TAGS[name] for name in last}), *_other_lines(file.others)]
    return [f"<{FILE}>", *(f"    {line}" for line in lines), f"</{FILE}>"]


def _value_lines(data: ObservationFile | FrequencyRange, tags: Mapping[str, Tag]) -> list[str]:
    values = {name: getattr(data, name) for name in tags}
    return [line_of(tags[name], value) for name, value in values.items() if value is not None]


def _other_lines(others: Sequence[tuple[str, str]]) -> list[str]:
    return [line_of(Tag(tag, "text"), text) for tag, text in others]


def _counted(document: XmlDocument, n_file: int) -> ObservationXml:
    """Observation document of an XML document in which the stated number of files is not true yet."""
    stated = document.root.named(N_FILE.name)
    return observation_of(with_text(document, stated[0], str(n_file)) if stated else document)
