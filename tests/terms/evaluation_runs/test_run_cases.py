import json
from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms.evaluation_runs.cases import (
    FolderCase,
    IonCase,
    case_from_plain,
    fingerprint,
    folder_cases,
    plain_case,
    reduced_start,
    simulated_cases,
)
from spectuner_ext.terms.simulate import simulate_ion


@pytest.mark.parametrize("case", [FolderCase("/data/nd3", 20, 3), IonCase(300, 12, 5), IonCase(120)])
def test_cases_survive_json(case):
    assert case_from_plain(json.loads(json.dumps(plain_case(case)))) == case


def test_names_tell_cases_apart():
    cases = [FolderCase("/data/nd3"), *(FolderCase("/data/nd3", k, d) for k in (20, 12) for d in range(3))]
    cases += [IonCase(n, k, s) for n in (120, 300) for k in (None, 12) for s in range(2)]
    assert len({case.name for case in cases}) == len(cases)
    assert {case.group for case in cases} == {
        "nd3", "nd3_keep20", "nd3_keep12", "simulated", "simulated_few_known",
    }  # fmt: skip


def test_ion_is_that_of_the_simulator(small):
    ion = simulate_ion(n_levels=60, seed=1)
    material = small.read()
    np.testing.assert_array_equal(material.system.lines.wavenumber, ion.system.lines.wavenumber)
    np.testing.assert_array_equal(small.key().energy, ion.truth_energy)
    assert material.limit == ion.settings.horizon // 2


def test_reduced_start_keeps_the_ground_level_and_lines_between_what_is_kept():
    system = simulate_ion(n_levels=150, seed=5).system
    for seed in range(5):
        less = reduced_start(system, 9, seed)
        assert len(less.known) == 9
        assert 0 in less.known.level
        assert set(less.known.level) <= set(system.known.level)
        assert less.known.energy.tolist() == [
            system.known.energy[system.known.level == k][0] for k in less.known.level
        ]
        inside = np.isin(system.classified.lower, less.known.level) & np.isin(
            system.classified.upper, less.known.level
        )
        np.testing.assert_array_equal(less.classified.wavenumber, system.classified.wavenumber[inside])
    draws = {tuple(reduced_start(system, 9, seed).known.level) for seed in range(5)}
    assert len(draws) == 5


def test_reduced_case_can_lose_levels_again(keyed_folder):
    whole = FolderCase(str(keyed_folder)).read().system
    less = FolderCase(str(keyed_folder), 5, 2).read().system
    np.testing.assert_array_equal(less.known.level, reduced_start(whole, 5, 2).known.level)


def test_folder_cases(keyed_folder):
    names = [case.name for case in folder_cases([keyed_folder], [0, 5, 4], 2)]
    assert names == ["ion", "ion_keep5_draw0", "ion_keep5_draw1", "ion_keep4_draw0", "ion_keep4_draw1"]
    limit = folder_cases([keyed_folder])[0].read().limit
    assert limit == simulate_ion(n_levels=60, seed=1).settings.horizon // 2
    (keyed_folder / "config.yaml").unlink()
    assert FolderCase(str(keyed_folder)).read().limit is None


@pytest.mark.parametrize(
    ("folder", "keep", "draws", "message"),
    [
        ("nowhere", [0], 1, "^cases: there is no folder .*nowhere"),
        ("ion", [1], 1, "^keep: cannot keep 1 of the"),
        ("ion", [900], 1, "^keep: cannot keep 900 of the .* levels known in ion"),
        ("ion", [0], 0, "^draws: needs at least 1"),
    ],
)
def test_folders_that_cannot_be_used(keyed_folder, folder, keep, draws, message):
    with pytest.raises(InputError, match=message):
        folder_cases([keyed_folder.parent / folder], keep, draws)


def test_folder_without_key(keyed_folder):
    (keyed_folder / "all_known_levels.csv").unlink()
    with pytest.raises(InputError, match=r"^cases: ion has no key to score with"):
        folder_cases([keyed_folder])


def test_simulated_cases_repeat_and_differ():
    cases = simulated_cases(10, 3, seed=4)
    assert cases == simulated_cases(10, 3, seed=4)
    assert len({case.name for case in cases}) == 10
    assert [case.n_known is None for case in cases] == [True] * 7 + [False] * 3
    assert all(120 <= case.n_levels <= 600 for case in cases)
    assert not {c.seed for c in cases} & {c.seed for c in simulated_cases(10, 3, seed=5)}
    for case in cases[7:]:
        usual = len(replace(case, n_known=None).read().system.known)
        assert 8 <= case.n_known <= max(8, 0.6 * usual)
    with pytest.raises(InputError, match=r"^few_known: must lie between 0 and the 2"):
        simulated_cases(2, 3)


def test_fingerprint_notices_data_settings_and_key(folder_case, keyed_folder):
    before = fingerprint(folder_case)
    assert before == fingerprint(folder_case)
    key = keyed_folder / "all_known_levels.csv"
    config, lines = keyed_folder / "config.yaml", keyed_folder / "line_list.csv"
    for file, edit in (
        (key, lambda t: t[: t.rindex("\n", 0, -1) + 1]),
        (config, lambda t: t.replace("int_tol: 1", "int_tol: 2")),
        (lines, lambda t: t[: t.rindex("\n", 0, -1) + 1]),
    ):
        text = file.read_text()
        file.write_text(edit(text))
        assert file.read_text() != text
        assert fingerprint(folder_case) != before
        file.write_text(text)
    assert fingerprint(folder_case) == before
