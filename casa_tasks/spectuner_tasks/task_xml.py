"""Definitions of tasks as CASA's XML; ``python -m spectuner_tasks.task_xml`` writes those that the package ships.

The form is that of the definitions in CASA's own package of tasks: names of elements and attributes, their order, and
how types, choices, paths and subparameters are stated.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from .definitions import DEFINITIONS, TaskDefinition
from .parameter import Parameter

__all__ = ["FOLDER", "task_xml", "write_all"]

FOLDER = Path(__file__).parent / "xml"
"""Where the files are that the package ships."""

NAMESPACE = "http://casa.nrao.edu/schema/psetTypes.html"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
LOCATION = "http://casa.nrao.edu/schema/casa.xsd file:///opt/casa/code/xmlcasa/xml/casa.xsd"
"""What the root element of every definition of CASA says of its schema."""


def task_xml(definition: TaskDefinition) -> str:
    """Definition of a task in CASA's form.

    Parameters
    ----------
    definition : TaskDefinition
    """
    root = ET.Element("casaxml", {"xmlns": NAMESPACE, "xmlns:xsi": INSTANCE, "xsi:schemaLocation": LOCATION})
    task = _added(root, "task", type="function", name=definition.name, category=definition.category)
    _added(task, "shortdescription", definition.title)
    _added(task, "description", definition.description)
    inputs = _added(task, "input")
    for p in definition.parameters:
        inputs.append(_param(p))
    whens = list(_conditions(definition.parameters))
    if whens:
        _added(inputs, "constraints").extend(whens)
    _added(task, "returns", type="record")
    _added(task, "example", _example(definition.name))
    ET.indent(root, "    ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _added(parent: ET.Element, tag: str, text: str = "", /, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def _param(p: Parameter) -> ET.Element:
    """One parameter: what it is for, its types where there are several, its default, its choices."""
    types = _types(p)
    kind = "variant" if "variant" in p.types else "any" if len(types) > 1 else types[0]
    attributes = {"type": kind, "name": p.name}
    if p.under:
        attributes["subparam"] = "true"
    if p.mustexist:
        attributes["mustexist"] = "true"
    if p.unit:
        attributes["units"] = p.unit
    if p.required:
        attributes["required"] = "true"
    element = ET.Element("param", attributes)
    _added(element, "shortdescription", p.summary)
    _added(element, "description", p.text)
    if kind in ("variant", "any"):
        for name in types:
            _added(element, "type", name)
    element.append(_value(p.unset))
    if p.choices:
        allowed = _added(element, "allowed", kind="enum")
        for choice in dict.fromkeys((p.unset, *p.choices)):
            _added(allowed, "value", choice)
    return element


def _types(p: Parameter) -> list[str]:
    """Types by name; empty text, which stands for the default, is among them where the default is none."""
    types = [name for name in p.types if name != "variant"]
    takes_text = {"string", "path"} & set(types)
    return types if takes_text or p.unset != "" else [*types, "string"]


def _value(value: Any) -> ET.Element:
    element = ET.Element("value", {"type": _KINDS[type(value)]})
    element.text = str(value) or None
    return element


_KINDS = {bool: "bool", int: "int", float: "double", str: "string"}


def _conditions(parameters: Sequence[Parameter]) -> Iterator[ET.Element]:
    """For every parameter with others under it, which of them count with which of its values."""
    for parent in parameters:
        below = [p for p in parameters if p.under == parent.name]
        if not below:
            continue
        when = ET.Element("when", {"param": parent.name})
        always = [p for p in below if not p.when]
        if always:
            _defaults(_added(when, "notequals", type="string", value=""), always)
        values = dict.fromkeys(value for p in below for value in p.when)
        for value in sorted(values, key=lambda v: parent.choices.index(v) if v in parent.choices else -1):
            own = [p for p in below if value in p.when]
            _defaults(_added(when, "equals", type=_KINDS[type(value)], value=str(value)), own)
        yield when


def _defaults(condition: ET.Element, parameters: Sequence[Parameter]) -> None:
    for p in parameters:
        _added(condition, "default", param=p.name).append(_value(p.unset))


def _example(name: str) -> str:
    """Examples of the docstring of the plain function, without what makes them doctests."""
    text = str(getattr(import_module(f".task_{name}", __package__), name).__doc__)
    lines = text.partition("Examples\n--------\n")[2].splitlines()
    lines = [re.sub(r"\s*# doctest:.*", "", line).removeprefix(">>> ").removeprefix("... ") for line in lines]
    return "\n" + "\n".join(line for line in lines if line.strip()) + "\n"


def write_all(folder: Path = FOLDER) -> list[Path]:
    """Write the definitions of all tasks and return the files.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, definition in DEFINITIONS.items():
        files.append(folder / f"{name}.xml")
        files[-1].write_text(task_xml(definition), encoding="utf-8")
    return files


if __name__ == "__main__":
    for file in write_all(*(Path(argument) for argument in sys.argv[1:2])):
        print(file)
