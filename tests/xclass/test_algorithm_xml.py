"""Algorithm files: hand-written variants, the chain of optimisers, one value changed at a time."""

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.xclass import (
    Algorithm,
    new_algorithm_xml,
    parse_algorithm_xml,
    read_algorithm_xml,
    with_algorithm_value,
)

FULL = b"""\
<?xml version="1.0" encoding="UTF-8"?>
<FitControl>
    <!-- first far, then near -->
    <NumberOfFitAlgorithms>2</NumberOfFitAlgorithms>
    <algorithm>
        <FitAlgorithm>genetic</FitAlgorithm>
        <UseNewRange>yes</UseNewRange>
        <NumberChromosomes>automatic</NumberChromosomes>
        <BestSiteCounter>1</BestSiteCounter>
        <number_iterations>50</number_iterations>
        <NumberProcessors>4</NumberProcessors>
        <MPIHostFileName> </MPIHostFileName>
        <limit_of_chi2>1e-7</limit_of_chi2>
        <RenormalizedChi2>yes</RenormalizedChi2>
        <DeterminationChi2>default</DeterminationChi2>
        <SaveChi2>no</SaveChi2>
        <PlotAxisX>Rest Frequency [MHz]</PlotAxisX>
        <PlotAxisY>T_mb [K]</PlotAxisY>
        <PlotIteration>no</PlotIteration>
    </algorithm>
    <algorithm>
        <number_iterations>20</number_iterations><!-- few -->
        <FitAlgorithm>Levenberg-Marquardt</FitAlgorithm>
    </algorithm>
    <Later>1</Later>
</FitControl>
"""
SHORT = b"<FitControl><algorithm><FitAlgorithm>trf</FitAlgorithm></algorithm></FitControl>"

VARIANTS = {
    "full": FULL,
    "short": SHORT,
    "windows": FULL.replace(b"\n", b"\r\n"),
    "no line end at the end": FULL.rstrip(b"\n"),
    "tabs": FULL.replace(b"    ", b"\t"),
    "no indentation": FULL.replace(b"    ", b""),
    "no declaration": FULL.split(b"\n", 1)[1],
    "no count": FULL.replace(b"    <NumberOfFitAlgorithms>2</NumberOfFitAlgorithms>\n", b""),
    "empty tags": FULL.replace(b"<MPIHostFileName> </MPIHostFileName>", b"<MPIHostFileName/>"),
    "latin-1": FULL.replace(b"UTF-8", b"latin-1").replace(b"far", b"f\xe4r"),
    "utf-8": FULL.replace(b"far", "fär".encode()),
    "byte-order mark": b"\xef\xbb\xbf" + FULL,
    "comments outside": b"<!-- a -->" + SHORT + b"\n<!-- z -->\n",
}


@pytest.mark.parametrize("data", VARIANTS.values(), ids=VARIANTS)
def test_untouched_file_keeps_its_bytes(data):
    assert parse_algorithm_xml(data).to_bytes() == data


def test_file_says_what_a_person_reads():
    read = parse_algorithm_xml(FULL)
    assert read.algorithms == (
        Algorithm(
            name="genetic",
            n_iteration=50,
            n_processor=4,
            chi2_limit=1e-7,
            renormalized_chi2=True,
            determination_chi2="default",
            save_chi2=False,
            plot_axis_x="Rest Frequency [MHz]",
            plot_axis_y="T_mb [K]",
            plot_iteration=False,
            options=(("UseNewRange", "yes"), ("NumberChromosomes", "automatic"), ("BestSiteCounter", "1")),
        ),
        Algorithm("Levenberg-Marquardt", n_iteration=20),
    )
    assert read.others == (("Later", "1"),)
    assert parse_algorithm_xml(SHORT).algorithms == (Algorithm("trf"),)


REFUSED = {
    "other root": (b"<ExpFiles/>", "the root is <ExpFiles>"),
    "no algorithm": (b"<FitControl/>", "no <algorithm>"),
    "wrong number": (
        FULL.replace(b"Algorithms>2", b"Algorithms>1"),
        "line 4: <NumberOfFitAlgorithms> says 1",
    ),
    "no name": (SHORT.replace(b"trf", b""), "no <FitAlgorithm>, or it is empty"),
    "half an iteration": (FULL.replace(b">50<", b">50.5<"), r"line 10: '50\.5' in <number_iterations>"),
    "no iteration": (FULL.replace(b">50<", b">0<"), "line 10: '0' in <number_iterations>"),
    "no number": (FULL.replace(b"1e-7", b"small"), "line 13: 'small' in <limit_of_chi2>"),
    "maybe": (FULL.replace(b"SaveChi2>no", b"SaveChi2>maybe"), "'maybe' in <SaveChi2>"),
    "twice": (SHORT.replace(b"</algorithm>", b"<FitAlgorithm>b</FitAlgorithm></algorithm>"), "a second time"),
    "not closed": (FULL[:-10], "no well-formed XML"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(data, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_algorithm_xml(data, "alg.xml")
    assert str(caught.value).startswith("algorithm_xml: alg.xml, line ")


@pytest.mark.parametrize(
    ("algorithm", "field", "value", "old", "new"),
    [
        (0, "n_iteration", 60, b">50<", b">60<"),
        (0, "save_chi2", True, b"SaveChi2>no", b"SaveChi2>yes"),
        (0, "save_chi2", False, b"", b""),
        (0, "chi2_limit", 1e-5, b"1e-7", b"1.0e-05"),
        (0, "mpi_host_file", "hosts", b"> </MPI", b">hosts</MPI"),
        (0, "NumberChromosomes", "30", b"automatic", b"30"),
        (1, "name", "trf", b"Levenberg-Marquardt", b"trf"),
        (1, "n_iteration", 5, b">20<", b">5<"),
    ],
)
def test_one_value_changes(algorithm, field, value, old, new):
    changed = with_algorithm_value(parse_algorithm_xml(FULL), algorithm, field, value)
    assert changed.to_bytes() == FULL.replace(old, new, 1)


def test_missing_value_comes_behind_its_siblings():
    changed = with_algorithm_value(parse_algorithm_xml(FULL), 1, "n_processor", 2)
    line = b"<FitAlgorithm>Levenberg-Marquardt</FitAlgorithm>\n"
    assert changed.to_bytes() == FULL.replace(
        line, line + b"        <NumberProcessors>2</NumberProcessors>\n"
    )


def test_changes_are_checked():
    read = parse_algorithm_xml(FULL)
    with pytest.raises(InputError, match=r"^algorithm: 2"):
        with_algorithm_value(read, 2, "name", "a")
    with pytest.raises(InputError, match=r"^field: 'BestSite'"):
        with_algorithm_value(read, 0, "BestSite", "a")
    with pytest.raises(InputError, match=r"^value: 0"):
        with_algorithm_value(read, 0, "n_iteration", 0)


def test_new_file_holds_what_was_given(tmp_path):
    chain = parse_algorithm_xml(FULL).algorithms
    new = new_algorithm_xml(chain)
    path = tmp_path / "alg.xml"
    path.write_bytes(new.to_bytes())
    assert read_algorithm_xml(path).algorithms == chain
    assert b"<NumberOfFitAlgorithms>2</NumberOfFitAlgorithms>" in new.to_bytes()
    with pytest.raises(InputError, match=r"^algorithms: none"):
        new_algorithm_xml([])
