"""The folder of a job: which file is which, what names of maps say, transitions and the log of chi2."""

from datetime import datetime

import pytest
from numpy.testing import assert_array_equal

from spectuner_ext.errors import InputError
from spectuner_ext.xclass import (
    job_started,
    molecule_of_label,
    parse_chi2_log,
    parse_map_name,
    parse_transitions,
    read_chi2_log,
    read_job_directory,
    read_transitions,
    transitions_of_rows,
)

TABLE = b"""\
%  frequency  shifted  intensity  integrated  E_low  g_u  A  upper  lower  name
115271.2018  115270.1  12.5  60.1   0.0   3  7.203355e-08  J=1;  J=0;  CO;v=0;
230538.0000  230535.9  30.5  99.0   5.53  5  6.910381e-07  J=2;  J=1;  CO;v=0;
220398.6842  220396.7  -0.1  0.0    5.27  10 6.073952e-07  J=2,F=1  J=1,F=2  C-13-O;v=0;#1
"""


def test_files_are_told_apart(tmp_path):
    names = [
        "band6.LM__call_1.out.dat",
        "band6.dat.Genetic__call_10.out.dat",
        "band6.LM__call_2.out.dat",
        "molecules_vLSR__LM__call_1.out.molfit",
        "a__b__LM__call_1.out.molfit",
        "fit__LM__call_1.log.chi2",
        "my-isoratios.LM__call_1.out.input",
        "BestResult___parameter__T_rot___molecule__CH3OH_v=0____component__1.fits",
        "BestResult___parameter__V_width_Gauss___molecule__CH3OH_v=0____component__2___Iter__6.fits",
        "xclass_spectrum_output.dat",
        "xclass_spectrum.log",
        "transition_energies.dat",
        "intensity__CH3OH_v=0___comp__1.dat",
        "optical_depth__CH3OH_v=0___comp__2.dat",
        "molecules.molfit",
        "band6.dat",
        "readme.txt",
        "broken.xml",
    ]
    folder = tmp_path / "job__24-12-2023__18-30-05__1234567"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("not looked at")
    (folder / "obs.xml").write_text("<ExpFiles/>")
    (folder / "alg.XML").write_text("<FitControl/>")
    (folder / "sub").mkdir()
    job = read_job_directory(folder)
    assert job.started == datetime(2023, 12, 24, 18, 30, 5)
    assert [(f.path.name, f.origin, f.algorithm, f.call) for f in job.fitted_spectra] == [
        (names[0], "band6", "LM", 1),
        (names[2], "band6", "LM", 2),
        (names[1], "band6.dat", "Genetic", 10),
    ]
    assert [(f.origin, f.algorithm, f.call) for f in job.fitted_molfits] == [
        ("a__b", "LM", 1),
        ("molecules_vLSR", "LM", 1),
    ]
    assert [(f.path.name, f.algorithm, f.call) for f in job.chi2_logs] == [(names[5], "LM", 1)]
    assert [path.name for path in job.iso_ratios] == [names[6]]
    assert [(m.parameter, m.molecule, m.component, m.iteration) for m in job.maps] == [
        ("T_rot", "CH3OH_v=0_", 1, None),
        ("V_width_Gauss", "CH3OH_v=0_", 2, 6),
    ]
    assert [path.name for path in job.model_spectra] == ["xclass_spectrum_output.dat"]
    assert [path.name for path in job.transitions] == ["transition_energies.dat"]
    assert [(item.molecule, item.component) for item in job.intensities] == [("CH3OH_v=0_", 1)]
    assert [(item.molecule, item.component) for item in job.optical_depths] == [("CH3OH_v=0_", 2)]
    assert [path.name for path in job.molfits] == ["molecules.molfit"]
    assert [path.name for path in job.observations] == ["obs.xml"]
    assert [path.name for path in job.algorithms] == ["alg.XML"]
    assert [path.name for path in job.others] == [
        "band6.dat",
        "broken.xml",
        "readme.txt",
        "xclass_spectrum.log",
    ]


def test_folder_must_be_there(tmp_path):
    with pytest.raises(InputError, match=r"^job_directory: there is no folder"):
        read_job_directory(tmp_path / "none")
    assert read_job_directory(tmp_path).others == ()


@pytest.mark.parametrize(
    "name",
    [
        "BestResult.fits",
        "BestResult___parameter__T_rot___molecule__CO_v=0____component__0.fits",
        "BestResult___parameter__T_rot___molecule__CO_v=0____component__one.fits",
        "BestResult___parameter__T_rot___molecule__CO_v=0_.fits",
        "BestResult___parameter__T_rot___molecule__CO_v=0____component__1.fits.gz",
        "BestResult___parameter__T_rot___molecule__CO_v=0____component__" + "1" * 5000 + ".fits",
    ],
)
def test_other_names_are_no_maps(name):
    assert parse_map_name(name) is None


def test_label_means_one_molecule():
    names = ["CO;v=0;", "CO(v=0)", "CH3OH;v=0;", "CH3OH;v=0;"]
    assert molecule_of_label("CH3OH_v=0_", names) == "CH3OH;v=0;"
    with pytest.raises(InputError, match=r"^label: 'CO_v=0_' means CO;v=0; or CO\(v=0\)"):
        molecule_of_label("CO_v=0_", names)
    with pytest.raises(InputError, match=r"^label: 'SO_v=0_' means none"):
        molecule_of_label("SO_v=0_", names)


@pytest.mark.parametrize("name", ["job__1", "job__32-12-2023__18-30-05__1", "x", ""])
def test_other_folders_do_not_say_when(name):
    assert job_started(name) is None


def test_transitions_say_what_a_person_reads(tmp_path):
    path = tmp_path / "transition_energies.dat"
    path.write_bytes(TABLE)
    first, second, third = read_transitions(path)
    assert (first.frequency, first.shifted_frequency) == (115271.2018, 115270.1)
    assert (second.lower_energy, second.upper_degeneracy, second.einstein_a) == (5.53, 5.0, 6.910381e-07)
    assert (second.intensity, second.integrated_intensity) == (30.5, 99.0)
    assert (second.molecule, second.upper, second.lower) == ("CO;v=0;", "J=2;", "J=1;")
    assert third.molecule == "C-13-O;v=0;#1"


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        TABLE.replace(b"\n", b"\r\n"),
        TABLE.replace(b"%", b"#"),
        TABLE.replace(b"%", b" "),
        TABLE.replace(b"  ", b"\t"),
        b"title\n\n" + TABLE,
        TABLE.rstrip(b"\n"),
        TABLE.replace(b"J=1;  J=0;  ", b"").replace(b"J=2;  J=1;  ", b"").replace(b"J=2,F=1  J=1,F=2  ", b""),
        TABLE.replace(b"J=1;", b"J = 1;"),
    ],
)
def test_variants_hold_the_same_transitions(data):
    numbers = [(item.frequency, item.lower_energy, item.molecule) for item in parse_transitions(data)]
    assert numbers == [
        (115271.2018, 0.0, "CO;v=0;"),
        (230538.0, 5.53, "CO;v=0;"),
        (220398.6842, 5.27, "C-13-O;v=0;#1"),
    ]


def test_states_are_left_out_where_they_cannot_be_told_apart():
    found = parse_transitions(TABLE.replace(b"J=1;", b"J = 1;"))
    assert (found[0].upper, found[0].lower) == (None, None)
    assert (found[2].upper, found[2].lower) == ("J=2,F=1", "J=1,F=2")


def test_table_may_be_empty():
    assert parse_transitions(b"") == ()
    assert parse_transitions(TABLE.splitlines()[0]) == ()


def test_rows_of_a_call_are_read():
    rows = [line.split() for line in TABLE.decode().splitlines()]
    rows[0] = rows[0][1:]
    assert transitions_of_rows(rows) == parse_transitions(TABLE)
    numbers = [*(float(word) for word in rows[1][:7]), *rows[1][7:]]
    assert transitions_of_rows([rows[0], numbers]) == parse_transitions(TABLE)[:1]
    assert transitions_of_rows([]) == ()
    with pytest.raises(InputError, match=r"^transitions: TransEnergies, line 1: 9 items"):
        transitions_of_rows([rows[0], rows[1][:-1]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"CO;v=0;\n", b"CO\n", "line 2: 10 words, the last 'CO'"),
        (b"60.1", b"nan", "line 2: 'nan' for the integrated intensity"),
        (b"115270.1", b"-1", "line 2: -1 for the Doppler-shifted frequency"),
        (b"  5  6.9", b"  0  6.9", "line 3: 0 for the degeneracy"),
        (b"7.203355e-08", b"-7e-8", "line 2: -7e-08 for the Einstein A"),
        (b"   5.53", b"   -50", "line 3: -50 K for the energy"),
        (b"60.1   0.0   3  7.203355e-08  J=1;  J=0; ", b"", "line 2: 4 words"),
        (b"  60.1 ", b"", "line 2: 'J=1;' for the Einstein A"),
    ],
)
def test_broken_tables_are_refused(old, new, message):
    assert old in TABLE
    with pytest.raises(InputError, match=message) as caught:
        parse_transitions(TABLE.replace(old, new, 1), "t.dat")
    assert str(caught.value).startswith("transitions: t.dat, line ")


LOG = b" n  chi2  T  N\n 1  250.5  100.0  1e15\n 2  101.5  90.0  2E15\n 3  nan  90 2e15\n 4  99.25  88.5  2.5D15\n"


def test_log_of_chi2(tmp_path):
    path = tmp_path / "fit__LM__call_1.log.chi2"
    path.write_bytes(LOG)
    log = read_chi2_log(path, 2)
    assert_array_equal(log.chi2, [250.5, 101.5, 99.25])
    assert_array_equal(log.parameters, [[100.0, 1e15], [90.0, 2e15], [88.5, 2.5e15]])
    assert log.n_unread == 1
    assert parse_chi2_log(LOG + b" 5  98", 2).n_unread == 2


@pytest.mark.parametrize(
    ("data", "n_fitted", "message"),
    [
        (LOG, 3, "0 rows with 5 numbers and 4 others"),
        (LOG, 1, "0 rows with 3 numbers"),
        (b"", 2, "0 rows"),
        (LOG.replace(b"250.5", b"-1"), 2, "line 2: a chi2 of -1"),
    ],
)
def test_other_logs_are_refused(data, n_fitted, message):
    with pytest.raises(InputError, match=message):
        parse_chi2_log(data, n_fitted)
