"""Algorithm XML files: the chain of optimisers of a fit.

The root is ``FitControl``; each ``algorithm`` in it is run after the one before. Tags are read by name; those of
single optimisers stay in the document and are listed as options.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .document_bytes import read_bytes
from .xml_document import LIMIT, XmlDocument, XmlElement, parse_xml
from .xml_values import Tag, Value, line_of, other_tags, read_values, with_value

__all__ = [
    "Algorithm",
    "AlgorithmXml",
    "new_algorithm_xml",
    "parse_algorithm_xml",
    "read_algorithm_xml",
    "with_algorithm_value",
]

KIND = "algorithm_xml"

_YES = ("yes", "no")
_TAGS: Mapping[str, Tag] = {
    "name": Tag("FitAlgorithm", "text"),
    "n_iteration": Tag("number_iterations", "whole", above=0),
    "n_processor": Tag("NumberProcessors", "whole", above=0),
    "mpi_host_file": Tag("MPIHostFileName", "text"),
    "chi2_limit": Tag("limit_of_chi2", "number", least=0),
    "renormalized_chi2": Tag("RenormalizedChi2", "truth", words=_YES),
    "determination_chi2": Tag("DeterminationChi2", "text"),
    "save_chi2": Tag("SaveChi2", "truth", words=_YES),
    "plot_axis_x": Tag("PlotAxisX", "text"),
    "plot_axis_y": Tag("PlotAxisY", "text"),
    "plot_iteration": Tag("PlotIteration", "truth", words=_YES),
}
_COUNT = Tag("NumberOfFitAlgorithms", "whole", least=0)
_ROOT, _ALGORITHM = "FitControl", "algorithm"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One optimiser; None where the file says nothing."""

    name: str  # such as "Levenberg-Marquardt" or "genetic"
    n_iteration: int | None = None
    n_processor: int | None = None
    mpi_host_file: str | None = None
    chi2_limit: float | None = None  # the fit ends below it
    renormalized_chi2: bool | None = None
    determination_chi2: str | None = None
    save_chi2: bool | None = None
    plot_axis_x: str | None = None
    plot_axis_y: str | None = None
    plot_iteration: bool | None = None
    options: tuple[tuple[str, str], ...] = ()  # tag and text of all other elements


@dataclass(frozen=True, slots=True, eq=False)
class AlgorithmXml:
    """An algorithm file: its text, and what stands in it."""

    document: XmlDocument
    algorithms: tuple[Algorithm, ...]  # in the order in which they run
    others: tuple[tuple[str, str], ...]

    def to_bytes(self) -> bytes:
        """Contents of the file; of an untouched document, the very bytes that were read."""
        return self.document.to_bytes()


def read_algorithm_xml(path: str | Path) -> AlgorithmXml:
    """Read an algorithm file.

    Raises
    ------
    InputError
        With file and line, if it is no well-formed XML, has another root, the number of algorithms is not the one
        that it states, or a value is impossible.
    """
    return parse_algorithm_xml(read_bytes(path, KIND, LIMIT), str(path))


def parse_algorithm_xml(data: bytes | str, name: str = "algorithm file") -> AlgorithmXml:
    """Algorithm document of the contents of a file.

    Raises
    ------
    InputError
        As for `read_algorithm_xml`.
    """
    return _algorithms_of(parse_xml(data, KIND, name))


def with_algorithm_value(algorithms: AlgorithmXml, algorithm: int, field: str, value: Value) -> AlgorithmXml:
    """Same document with another value of one algorithm.

    Parameters
    ----------
    algorithms : AlgorithmXml
    algorithm : int
        Counted from 0, as in `AlgorithmXml.algorithms`.
    field : str
        Field of `Algorithm`, or the tag of one of its options.
    value : str, float, int, bool or None
        Options are texts; None empties the tag.

    Raises
    ------
    InputError
        If there is no such algorithm or field, or the value is impossible.
    """
    elements = algorithms.document.root.named(_ALGORITHM)
    if not 0 <= algorithm < len(elements):
        raise InputError(f"algorithm: {algorithm}, but there are {len(elements)}, counted from 0")
    options = {tag: Tag(tag, "text") for tag, _ in algorithms.algorithms[algorithm].options}
    document = with_value(algorithms.document, elements[algorithm], {**options, **_TAGS}, field, value)
    return _algorithms_of(document)


def new_algorithm_xml(algorithms: Sequence[Algorithm], *, name: str = "new algorithm file") -> AlgorithmXml:
    """Algorithm document with the given chain.

    Raises
    ------
    InputError
        If there is no algorithm, or a value is impossible.

    Examples
    --------
    >>> chain = [Algorithm("genetic", 50), Algorithm("Levenberg-Marquardt", 20)]
    >>> [item.n_iteration for item in new_algorithm_xml(chain).algorithms]
    [50, 20]
    """
    if not algorithms:
        raise InputError("algorithms: none; an algorithm file needs at least one")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<{_ROOT}>",
        f"    {line_of(_COUNT, len(algorithms))}",
    ]
    for item in algorithms:
        values = {field: getattr(item, field) for field in _TAGS}
        inner = [line_of(_TAGS[field], value) for field, value in values.items() if value is not None]
        inner += [line_of(Tag(tag, "text"), text) for tag, text in item.options]
        lines += [f"    <{_ALGORITHM}>", *(f"        {line}" for line in inner), f"    </{_ALGORITHM}>"]
    lines.append(f"</{_ROOT}>")
    return _algorithms_of(parse_xml("".join(f"{line}\n" for line in lines), KIND, name))


def _algorithms_of(document: XmlDocument) -> AlgorithmXml:
    root = document.root
    if root.tag != _ROOT:
        raise document.refusal(root.line, f"the root is <{root.tag}>", f"an algorithm file has <{_ROOT}>")
    found = tuple(_algorithm(document, element) for element in root.named(_ALGORITHM))
    stated = read_values(document, root, {"n": _COUNT})["n"]
    if stated is not None and stated != len(found):
        raise document.refusal(
            root.named(_COUNT.name)[0].line,
            f"<{_COUNT.name}> says {stated}, but there are {len(found)} <{_ALGORITHM}>",
            "correct the number or the elements",
        )
    if not found:
        raise document.refusal(root.line, f"no <{_ALGORITHM}>", "at least one is needed")
    return AlgorithmXml(document, found, other_tags(root, {_COUNT.name, _ALGORITHM}))


def _algorithm(document: XmlDocument, element: XmlElement) -> Algorithm:
    values = read_values(document, element, _TAGS)
    if values["name"] is None:
        raise document.refusal(element.line, f"no <{_TAGS['name'].name}>, or it is empty", "it is needed")
    options = other_tags(element, {tag.name for tag in _TAGS.values()})
    return Algorithm(options=options, **values)  # type: ignore[arg-type]  # typed by the tags
