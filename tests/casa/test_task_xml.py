import inspect
import json
from xml.etree import ElementTree as ET

import pytest

import spectuner_tasks
from spectuner_tasks.definitions import DEFINITIONS
from spectuner_tasks.options_termanalysis import AGENT_PARAMETERS
from spectuner_tasks.task_xml import FOLDER, write_all

NAMESPACE = "{http://casa.nrao.edu/schema/psetTypes.html}"
CHILDREN = {
    "casaxml": {"task"},
    "task": {"shortdescription", "description", "input", "returns", "example"},
    "input": {"param", "constraints"},
    "param": {"shortdescription", "description", "type", "value", "allowed"},
    "allowed": {"value"},
    "constraints": {"when"},
    "when": {"equals", "notequals"},
    "equals": {"default"},
    "notequals": {"default"},
    "default": {"value"},
}
ATTRIBUTES = {
    "casaxml": {"{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"},
    "task": {"type", "name", "category"},
    "param": {"type", "name", "subparam", "mustexist", "units", "required"},
    "value": {"type"},
    "allowed": {"kind"},
    "when": {"param"},
    "equals": {"type", "value"},
    "notequals": {"type", "value"},
    "default": {"param"},
    "returns": {"type"},
}
"""Elements of a definition of CASA 6.7 that ours use, their children and attributes."""

WORDS = {"any", "bool", "int", "double", "path", "pathVec", "record", "string", "stringVec", "variant"}
KINDS = {
    "bool": lambda text: {"True": True, "False": False}[text],
    "int": int,
    "double": float,
    "string": str,
}

names = pytest.mark.parametrize("name", DEFINITIONS)


def root_of(name):
    return ET.parse(FOLDER / f"{name}.xml").getroot()


def plain(element):
    return element.tag.removeprefix(NAMESPACE)


def params(name):
    return root_of(name).findall(f".//{NAMESPACE}input/{NAMESPACE}param")


def default_of(param):
    value = param.find(f"{NAMESPACE}value")
    return KINDS[value.get("type")](value.text or "")


def test_shipped_files_are_up_to_date(tmp_path):
    for made in write_all(tmp_path):
        assert (FOLDER / made.name).read_text("utf-8") == made.read_text("utf-8"), (
            "run: python -m spectuner_tasks.task_xml"
        )
    assert {p.stem for p in FOLDER.glob("*.xml")} == set(spectuner_tasks.__all__)


@names
def test_structure_is_that_of_casa(name):
    for element in root_of(name).iter():
        assert element.tag.startswith(NAMESPACE)
        tag = plain(element)
        assert {plain(child) for child in element} <= CHILDREN.get(tag, set())
        assert set(element.attrib) <= ATTRIBUTES.get(tag, set())
    words = {t.text for t in root_of(name).iter(f"{NAMESPACE}type")} | {p.get("type") for p in params(name)}
    assert words <= WORDS


@names
def test_parameters_are_those_of_the_function(name):
    called = inspect.signature(getattr(spectuner_tasks, name)).parameters
    assert [p.get("name") for p in params(name)] == list(called)
    for param in params(name):
        default = called[param.get("name")].default
        assert default_of(param) == ("" if default is None else default)
        assert type(default_of(param)) is type("" if default is None else default)


@names
def test_defaults_are_of_a_type_that_is_allowed(name):
    for param in params(name):
        value = param.find(f"{NAMESPACE}value")
        kinds = {t.text for t in param.findall(f"{NAMESPACE}type")} or {param.get("type")}
        is_path = "path" in kinds and value.get("type") == "string"
        assert param.get("type") == "variant" or value.get("type") in kinds or is_path
        allowed = [v.text or "" for v in param.findall(f"{NAMESPACE}allowed/{NAMESPACE}value")]
        assert not allowed or default_of(param) in allowed


@names
def test_subparameters_are_opened_by_conditions(name):
    opened = {d.get("param") for d in root_of(name).iter(f"{NAMESPACE}default")}
    assert opened == {p.get("name") for p in params(name) if p.get("subparam") == "true"}
    by_name = {p.get("name"): p for p in params(name)}
    for default in root_of(name).iter(f"{NAMESPACE}default"):
        assert default_of(default) == default_of(by_name[default.get("param")])
    assert {w.get("param") for w in root_of(name).iter(f"{NAMESPACE}when")} <= set(by_name)


def test_agents_open_what_they_understand():
    when = root_of("termanalysis_rl").find(f".//{NAMESPACE}when[@param='agent']")
    opened = {e.get("value"): {d.get("param") for d in e} for e in when}
    for p in AGENT_PARAMETERS:
        assert {agent for agent, those in opened.items() if p.name in those} == set(p.agents)


def test_paths_that_must_exist_say_so():
    assert {p.get("name") for p in params("sdfit_lte") if p.get("mustexist")} == {"infile", "catalogue"}
    assert {p.get("name") for p in params("termanalysis_rl") if p.get("mustexist")} == {"config"}


@names
def test_examples_can_be_pasted(name):
    text = root_of(name).find(f".//{NAMESPACE}example").text
    compile(text, name, "exec")
    assert "doctest" not in text


@pytest.mark.casa
def test_structure_occurs_in_casas_own_definitions(in_casa):
    theirs = in_casa("""
from pathlib import Path
from xml.etree import ElementTree as ET
import casatasks
children, attributes, orders = set(), set(), set()
for file in Path(casatasks.__file__).parent.glob("__xml__/*.xml"):
    for element in ET.parse(file).iter():
        children |= {(element.tag, child.tag) for child in element}
        attributes |= {(element.tag, key) for key in element.attrib}
        orders.add((element.tag, *dict.fromkeys(child.tag for child in element)))
report.update(children=sorted(children), attributes=sorted(attributes), orders=sorted(orders))
""")
    children, attributes, orders = (
        {tuple(row) for row in theirs[key]} for key in ("children", "attributes", "orders")
    )
    for name in DEFINITIONS:
        for element in root_of(name).iter():
            assert {(element.tag, child.tag) for child in element} <= children
            assert {(element.tag, key) for key in element.attrib} <= attributes
            order = tuple(dict.fromkeys(child.tag for child in element))
            # some definition of CASA has all of these, in this order, perhaps with others between
            assert any(
                own[0] == element.tag and [tag for tag in own[1:] if tag in order] == list(order)
                for own in orders
            ), json.dumps(order)
