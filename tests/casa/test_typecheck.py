import numpy as np
import pytest

from spectuner_tasks import typecheck
from spectuner_tasks.definitions import DEFINITIONS
from spectuner_tasks.schema import document, rule
from spectuner_tasks.typecheck import complaint, own_errors

SDFIT_LTE = DEFINITIONS["sdfit_lte"]


@pytest.fixture
def without_casa(monkeypatch):
    monkeypatch.setattr(typecheck, "_casa_validator", lambda: None)


# what CASA's validator of casatools 6.7.0.31 says of the same
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"joint": "yes"}, "{'joint': ['must be of cBool type']}"),
        ({"components": 1.5}, "{'components': ['must be of cInt type', 'must be of cDict type']}"),
        ({"ninit": "a"}, "{'ninit': ['must be of cInt type', 'unallowed value a']}"),
        ({"min_peaks": "a"}, "{'min_peaks': ['must be of cFloat type', 'unallowed value a']}"),
        ({"loss": "chi3"}, "{'loss': ['unallowed value chi3']}"),
        ({"loss": 3}, "{'loss': ['must be of cStr type']}"),
        ({"outfile": 3}, "{'outfile': ['must be of cStr type']}"),
        ({"chans": 3}, "{'chans': ['must be of cStr type', 'must be of cStrVec type']}"),
        (
            {"seed": [1], "bounds": 3},
            "{'bounds': ['must be of cDict type', 'must be of cStr type'], 'seed': ['must be of cInt type']}",
        ),
        (
            {"infile": "/no/such.image"},
            "the infile parameter must be a path that exists ('/no/such.image' does not exist)",
        ),
        (
            {"infile": ["/", "/no/such.fits"]},
            "the infile parameter must be a path that exists ('/no/such.fits' does not exist)",
        ),
        ({"infile": ""}, "the infile parameter must be a path that exists ('' does not exist)"),
    ],
)
def test_messages_are_those_of_casa(without_casa, given, message):
    assert complaint(SDFIT_LTE.parameters, given) == message


@pytest.mark.parametrize(
    "given",
    [
        {
            "joint": True,
            "components": 2,
            "loss": "pm",
            "outfile": "a",
            "chans": ["1~2", "3"],
            "noise_factor": 5,
        },
        {"ninit": None, "bounds": "", "min_peaks": 0},
        {
            "components": {"CH3OH": 2},
            "bounds": {"T_ex": (10, 300)},
            "vlsr": 3.5,
            "continuum": np.ones((2, 2)),
        },
        {"infile": {"observation": "products.fits"}},
        {"infile": ["/", "/"], "species": [["CH3OH", "CH3CN"]]},
        {"infile": object(), "species": {"CH3OH"}},
        {"seed": np.int64(3)},
    ],
)
def test_what_the_function_takes_is_right(without_casa, given):
    assert complaint(SDFIT_LTE.parameters, given) == ""


def test_pattern_stands_for_the_files_that_match(without_casa, tmp_path):
    (tmp_path / "spw1.fits").touch()
    assert not complaint(SDFIT_LTE.parameters, {"infile": str(tmp_path / "spw*.fits")})
    assert "path that exists" in complaint(SDFIT_LTE.parameters, {"infile": str(tmp_path / "x*.fits")})


def test_every_default_is_right(without_casa):
    for definition in DEFINITIONS.values():
        defaults = {p.name: p.unset for p in definition.parameters if not p.required}
        assert complaint(definition.parameters, defaults) == ""
        for p in definition.parameters:
            if not p.mustexist:
                assert own_errors({p.name: p.unset}, {p.name: rule(p)}) == {}


def test_unknown_fields_are_errors():
    assert own_errors({"a": 1}, {}) == {"a": ["unknown field"]}


def test_validator_of_casa_is_asked_first(monkeypatch):
    class Stub:
        def validate(self, values, rules):
            self.errors = {name: ["as CASA says"] for name in values}
            return False

    monkeypatch.setattr(typecheck, "_casa_validator", Stub)
    assert complaint(SDFIT_LTE.parameters, {"joint": True}) == "{'joint': ['as CASA says']}"


def test_casatools_that_cannot_be_loaded_is_done_without(monkeypatch):
    def broken(name):
        raise RuntimeError("measures data is not available")

    typecheck._casa_validator.cache_clear()
    monkeypatch.setattr(typecheck, "find_spec", lambda name: object())
    monkeypatch.setattr(typecheck, "import_module", broken)
    assert complaint(SDFIT_LTE.parameters, {"joint": 1}) == "{'joint': ['must be of cBool type']}"
    typecheck._casa_validator.cache_clear()


def test_unset_values_are_left_out_unless_required():
    values, rules = document(SDFIT_LTE.parameters, {"infile": "", "ninit": "", "noise": None, "joint": False})
    assert values == {"infile": "", "joint": False}
    assert rules["infile"] == {"type": "cReqPath"}


@pytest.mark.casa
def test_same_errors_as_casa_for_every_rule_and_kind_of_value(in_casa):
    report = in_casa("""
import numpy as np
from casatools.errors import create_error_string
from casatools.typecheck import CasaValidator
from spectuner_tasks import schema, typecheck
from spectuner_tasks.definitions import DEFINITIONS
values = [
    True, 1, 1.5, -1, "a", "", "chi2", "/", "/no/such", [], ["a"], [1], ["a", 1], {}, {"a": 1}, (1, 2), {"a"}, print,
    np.int32(3), np.int64(3), np.int16(3), np.uint8(3), np.float64(3), np.float32(3), np.bool_(True), np.str_("a"),
    np.array(["a"]), np.array([1.0]), np.array("a"), np.array(1), 1j, b"a", float("nan"), ["/", "/no/such"],
]
validator, n, differing = CasaValidator(), 0, []
for definition in DEFINITIONS.values():
    for p in definition.parameters:
        for value in values:
            rules = {p.name: schema.rule(p, value)}
            theirs = {} if validator.validate({p.name: value}, rules) else dict(validator.errors)
            ours = typecheck.own_errors({p.name: value}, rules)
            said = typecheck._words(ours) if ours else ""
            if ours != theirs or said != (create_error_string(theirs) if theirs else ""):
                differing.append(f"{rules} {value!r}: {ours} {theirs}")
            n += 1
report.update(n=n, differing=differing, found=typecheck.casa_errors({"a": 1}, {"a": {"type": "cStr"}}))
""")
    assert report["differing"] == []
    assert report["n"] > 1000
    assert report["found"] == {"a": ["must be of cStr type"]}  # by CASA's validator, as it is there
