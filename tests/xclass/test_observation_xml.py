"""Observation files: hand-written variants, values by name, one value changed at a time, new files."""

import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.xclass import (
    FrequencyRange,
    ObservationFile,
    new_observation_xml,
    parse_observation_xml,
    read_observation_xml,
    with_file,
    with_file_value,
    with_iso_table,
    with_range_value,
    without_file,
)

FULL = b"""\
<?xml version="1.0" encoding="UTF-8"?>
<ExpFiles>
    <!-- two bands -->
    <NumberExpFiles>2</NumberExpFiles>

    <file>
        <FileNamesExpFiles>data/band6.dat</FileNamesExpFiles>
        <ImportFilter>xclassASCII</ImportFilter>
        <NumberExpRanges>2</NumberExpRanges>
        <FrequencyRange>
            <MinExpRange>219530.0</MinExpRange> <!-- MHz -->
            <MaxExpRange>219590.0</MaxExpRange>
            <StepFrequency>0.5</StepFrequency>
            <t_back_flag>False</t_back_flag>
            <BackgroundTemperature>1.1</BackgroundTemperature>
            <TemperatureSlope>0.0</TemperatureSlope>
            <HydrogenColumnDensity>0.e+0</HydrogenColumnDensity>
            <DustBeta>1.8</DustBeta>
            <Kappa>0.42</Kappa>
            <NoiseOfRange>0.02</NoiseOfRange>
        </FrequencyRange>
        <FrequencyRange>
            <MaxExpRange>220100</MaxExpRange>
            <MinExpRange>220000</MinExpRange>
        </FrequencyRange>
        <GlobalvLSR>-17.4</GlobalvLSR>
        <TelescopeSize>0.33</TelescopeSize>
        <Inter_Flag>True</Inter_Flag>
        <ErrorY>no</ErrorY>
        <NumberHeaderLines>0</NumberHeaderLines>
        <SeparatorColumns> </SeparatorColumns>
    </file>
    <file>
        <TelescopeSize>12</TelescopeSize><Inter_Flag>false</Inter_Flag>
        <FileNamesExpFiles>
            band7.csv
        </FileNamesExpFiles>
        <SeparatorColumns>,</SeparatorColumns>
        <ErrorY>YES</ErrorY>
        <FrequencyRange><MinExpRange>3.3e5</MinExpRange><MaxExpRange>3.4e5</MaxExpRange></FrequencyRange>
    </file>
    <iso_flag>True</iso_flag>
    <IsoTableFileName>iso.dat</IsoTableFileName>
    <Unknown attribute="1"><Nested/></Unknown>
</ExpFiles>
"""
SHORT = (
    b"<ExpFiles><file><FileNamesExpFiles>a.dat</FileNamesExpFiles><FrequencyRange>"
    b"<MinExpRange>1</MinExpRange><MaxExpRange>2</MaxExpRange></FrequencyRange></file></ExpFiles>"
)

VARIANTS = {
    "full": FULL,
    "short": SHORT,
    "windows": FULL.replace(b"\n", b"\r\n"),
    "no line end at the end": FULL.rstrip(b"\n"),
    "no indentation": FULL.replace(b"    ", b""),
    "tabs": FULL.replace(b"    ", b"\t"),
    "no declaration": FULL.split(b"\n", 1)[1],
    "comment first and last": b"<!-- a -->\n" + FULL.split(b"\n", 1)[1] + b"<!-- z -->",
    "latin-1": FULL.replace(b"UTF-8", b"ISO-8859-1").replace(b"data/", b"d\xe4ta/"),
    "utf-8": FULL.replace(b"data/", "dätä/".encode()),
    "byte-order mark": b"\xef\xbb\xbf" + FULL,
    "empty tags": FULL.replace(b"<DustBeta>1.8</DustBeta>", b"<DustBeta/>"),
    "empty value": FULL.replace(b"<StepFrequency>0.5", b"<StepFrequency>"),
    "attribute": FULL.replace(b"<Kappa>", b'<Kappa unit="cm2/g">'),
    "escaped path": FULL.replace(b"data/", b"a&amp;b/"),
    "no counts": FULL.replace(b"<NumberExpFiles>2</NumberExpFiles>", b"").replace(
        b"<NumberExpRanges>2</NumberExpRanges>", b""
    ),
    "processing instruction": FULL.replace(b"<!-- two bands -->", b"<?mark here?>"),
}


@pytest.mark.parametrize("data", VARIANTS.values(), ids=VARIANTS)
def test_untouched_file_keeps_its_bytes(data):
    assert parse_observation_xml(data).to_bytes() == data


def test_file_says_what_a_person_reads():
    observation = parse_observation_xml(FULL)
    assert observation.files == (
        ObservationFile(
            path="data/band6.dat",
            ranges=(
                FrequencyRange(
                    minimum=219530.0,
                    maximum=219590.0,
                    step=0.5,
                    t_back_flag=False,
                    background_temperature=1.1,
                    temperature_slope=0.0,
                    hydrogen_column=0.0,
                    dust_beta=1.8,
                    kappa=0.42,
                    others=(("NoiseOfRange", "0.02"),),
                ),
                FrequencyRange(220000.0, 220100.0),
            ),
            import_filter="xclassASCII",
            v_lsr=-17.4,
            telescope_size=0.33,
            interferometer=True,
            error_column=False,
            header_lines=0,
            separator=" ",
        ),
        ObservationFile(
            path="band7.csv",
            ranges=(FrequencyRange(3.3e5, 3.4e5),),
            telescope_size=12.0,
            interferometer=False,
            error_column=True,
            separator=",",
        ),
    )
    assert (observation.iso_flag, observation.iso_table) == (True, "iso.dat")
    assert observation.others == (("Unknown", ""),)


def test_short_file_says_nothing_of_the_rest():
    observation = parse_observation_xml(SHORT)
    assert observation.files == (ObservationFile("a.dat", (FrequencyRange(1.0, 2.0),)),)
    assert (observation.iso_flag, observation.iso_table, observation.others) == (None, None, ())


@pytest.mark.parametrize("name", ["empty tags", "empty value"])
def test_empty_tags_say_nothing(name):
    found = parse_observation_xml(VARIANTS[name]).files[0].ranges[0]
    assert None in (found.dust_beta, found.step)


def test_path_is_unescaped():
    assert parse_observation_xml(VARIANTS["escaped path"]).files[0].path == "a&b/band6.dat"
    assert parse_observation_xml(VARIANTS["latin-1"]).files[0].path == "däta/band6.dat"


REFUSED = {
    "other root": (b"<FitControl/>", "line 1: the root is <FitControl>"),
    "no file": (b"<ExpFiles></ExpFiles>", "line 1: no <file>"),
    "wrong number of files": (FULL.replace(b"Files>2<", b"Files>3<"), "line 4: <NumberExpFiles> says 3"),
    "wrong number of ranges": (FULL.replace(b"Ranges>2<", b"Ranges>1<"), "line 9: <NumberExpRanges> says 1"),
    "no range": (SHORT.replace(b"FrequencyRange", b"Other"), "no <FrequencyRange>"),
    "no path": (SHORT.replace(b"a.dat", b" "), "no <FileNamesExpFiles> in <file>, or it is empty"),
    "no minimum": (FULL.replace(b"MinExpRange>220000</Min", b"Mix>220000</Mix").replace(b"</MixExpRange", b"</Mix"),
                   "line 22: no <MinExpRange>"),
    "range the wrong way": (FULL.replace(b"220100", b"210000"), "line 22: a range from 220000 to 210000"),
    "not a number": (FULL.replace(b"0.33", b"big"), "line 27: 'big' in <TelescopeSize>"),
    "nan": (FULL.replace(b"-17.4", b"nan"), "line 26: 'nan' in <GlobalvLSR>"),
    "no telescope": (FULL.replace(b"0.33", b"0"), "'0' in <TelescopeSize>; a finite number above 0"),
    "negative column": (FULL.replace(b"0.e+0", b"-1e22"), "'-1e22' in <HydrogenColumnDensity>"),
    "half a header line": (FULL.replace(b"Lines>0<", b"Lines>0.5<"), r"'0\.5' in <NumberHeaderLines>"),
    "perhaps": (FULL.replace(b"Flag>True", b"Flag>perhaps"), "'perhaps' in <Inter_Flag>"),
    "twice": (FULL.replace(b"<ErrorY>no</ErrorY>", b"<ErrorY>no</ErrorY><ErrorY>yes</ErrorY>"),
              "<ErrorY> comes a second time"),
    "nested": (FULL.replace(b">1.8<", b"><b>1.8</b><"), "<DustBeta> holds other elements"),
    "document type": (b"<!DOCTYPE ExpFiles>" + SHORT, "document type"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(data, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_observation_xml(data, "obs.xml")
    assert str(caught.value).startswith("observation_xml: obs.xml, line ")


@pytest.mark.parametrize(
    ("file", "frequency_range", "field", "value", "old", "new"),
    [
        (0, 0, "minimum", 219540.25, b"219530.0", b"219540.25"),
        (0, 0, "minimum", 219530, b"", b""),
        (0, 0, "t_back_flag", True, b"k_flag>False", b"k_flag>True"),
        (0, 0, "hydrogen_column", 1e24, b"0.e+0", b"1.0e+24"),
        (0, 1, "maximum", 220200.0, b"220100", b"220200.0"),
        (0, None, "v_lsr", 3.5, b"-17.4", b"3.5"),
        (0, None, "path", "x & y.dat", b"data/band6.dat", b"x &amp; y.dat"),
        (0, None, "error_column", True, b"ErrorY>no", b"ErrorY>yes"),
        (0, None, "separator", ",", b"> </Sep", b">,</Sep"),
        (0, None, "header_lines", 4, b"Lines>0<", b"Lines>4<"),
        (1, None, "path", "other.csv", b"band7.csv", b"other.csv"),
        (1, None, "interferometer", True, b"Flag>false", b"Flag>true"),
        (1, None, "error_column", False, b"YES", b"NO"),
        (1, None, "error_column", True, b"", b""),
        (0, None, "telescope_size", None, b">0.33<", b"><"),
    ],
)
def test_one_value_changes(file, frequency_range, field, value, old, new):
    observation = parse_observation_xml(FULL)
    if frequency_range is None:
        changed = with_file_value(observation, file, field, value)
        assert getattr(changed.files[file], field) == value
    else:
        changed = with_range_value(observation, file, frequency_range, field, value)
        assert getattr(changed.files[file].ranges[frequency_range], field) == value
    assert changed.to_bytes() == FULL.replace(old, new, 1)


def test_missing_value_comes_behind_its_siblings():
    changed = with_range_value(parse_observation_xml(FULL), 0, 1, "step", 0.25)
    line = b"            <MinExpRange>220000</MinExpRange>\n"
    assert changed.to_bytes() == FULL.replace(
        line, line + b"            <StepFrequency>0.25</StepFrequency>\n"
    )
    assert with_range_value(parse_observation_xml(FULL), 0, 1, "step", None).to_bytes() == FULL


def test_iso_table_is_set_and_switched_off():
    observation = parse_observation_xml(FULL)
    assert with_iso_table(observation, "new.dat").to_bytes() == FULL.replace(b"iso.dat", b"new.dat")
    assert with_iso_table(observation, None).to_bytes() == FULL.replace(b"iso_flag>True", b"iso_flag>False")
    added = with_iso_table(parse_observation_xml(SHORT), "new.dat")
    assert (added.iso_flag, added.iso_table) == (True, "new.dat")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: with_file_value(o, 2, "path", "a"), "^file: 2"),
        (lambda o: with_file_value(o, -1, "path", "a"), "^file: -1"),
        (lambda o: with_range_value(o, 0, 2, "step", 1.0), "^frequency_range: 2"),
        (lambda o: with_file_value(o, 0, "colour", "a"), "^field: 'colour'"),
        (lambda o: with_file_value(o, 0, "telescope_size", -1.0), "^value: -1"),
        (lambda o: with_file_value(o, 0, "telescope_size", "big"), "^value: 'big'"),
        (lambda o: with_file_value(o, 0, "telescope_size", float("nan")), "^value: nan"),
        (lambda o: with_file_value(o, 0, "header_lines", 1.5), "^value: 1.5"),
        (lambda o: with_file_value(o, 0, "interferometer", 1), "^value: 1"),
        (lambda o: with_file_value(o, 0, "path", " a"), "^value: ' a'"),
        (lambda o: with_file_value(o, 0, "path", None), "no <FileNamesExpFiles>"),
        (lambda o: with_range_value(o, 0, 0, "minimum", 3e5), "line 10: a range from 300000"),
    ],
)
def test_changes_are_checked(change, message):
    with pytest.raises(InputError, match=message):
        change(parse_observation_xml(FULL))


def test_file_is_added_and_taken_away_again():
    observation = parse_observation_xml(FULL)
    new = ObservationFile("c.dat", (FrequencyRange(1.0, 2.0, step=0.5),), v_lsr=1.0)
    more = with_file(observation, new)
    assert more.files == (*observation.files, new)
    assert b"<NumberExpFiles>3</NumberExpFiles>" in more.to_bytes()
    assert b"<!-- two bands -->" in more.to_bytes()
    assert without_file(more, 2).to_bytes() == FULL
    assert [file.path for file in without_file(observation, 0).files] == ["band7.csv"]
    with pytest.raises(InputError, match=r"^file: a\.dat is the only one"):
        without_file(parse_observation_xml(SHORT), 0)


def test_new_file_holds_what_was_given(tmp_path):
    files = parse_observation_xml(FULL).files
    new = new_observation_xml(files, iso_table="iso & co.dat")
    path = tmp_path / "obs.xml"
    path.write_bytes(new.to_bytes())
    read = read_observation_xml(path)
    assert read.files == files
    assert (read.iso_flag, read.iso_table) == (True, "iso & co.dat")
    assert b"<ErrorY>no</ErrorY>" in new.to_bytes()
    assert b"<Inter_Flag>True</Inter_Flag>" in new.to_bytes()
    assert new_observation_xml(files).iso_flag is False


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "^files: none"),
        ([ObservationFile("a", ())], "no <FrequencyRange>"),
        ([ObservationFile("", (FrequencyRange(1.0, 2.0),))], "^value: ''"),
        ([ObservationFile("a", (FrequencyRange(2.0, 1.0),))], "a range from 2 to 1"),
        ([ObservationFile("a", (FrequencyRange(1.0, float("inf")),))], "^value: inf"),
        ([ObservationFile("a", (FrequencyRange(1.0, 2.0),), others=(("a b", "1"),))], "^tag: 'a b'"),
    ],
)
def test_new_file_refuses_what_it_could_not_read_back(files, message):
    with pytest.raises(InputError, match=message):
        new_observation_xml(files)
