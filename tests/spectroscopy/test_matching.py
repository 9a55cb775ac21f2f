from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.errors import CatalogueError
from spectuner_ext.spectroscopy import cross_match
from spectuner_ext.spectroscopy.catalogues.intensity import einstein_a
from spectuner_ext.spectroscopy.catalogues.splatalogue_rows import Rows
from spectuner_ext.spectroscopy.match_rules import Derived, derive, read_decisions
from spectuner_ext.spectroscopy.matches import Match, read_matches
from spectuner_ext.spectroscopy.matching import compare, report


def derived_of(match: Match, rule: str = "Q300") -> Derived:
    return Derived(
        match.species_id, match.line_list, match.name, match.q_source, match.q_tag, match.q_factor,
        match.quality, rule, np.nan, np.nan,
    )  # fmt: skip


def linear_rows(frequency, a_g, e_lower):
    n = len(frequency)
    return Rows(
        np.asarray(frequency), np.asarray(a_g), np.ones(n), np.asarray(e_lower), np.full(n, np.nan),
        [""] * n, np.zeros(n, dtype=bool), n, 0,
    )  # fmt: skip


def test_decisions_state_the_table_and_a_reason():
    table = {(m.species_id, m.line_list): m for m in read_matches()}
    decisions = read_decisions()
    assert len(decisions) == 23
    for key, decision in decisions.items():
        match = table[key]
        assert (decision.q_source, decision.q_tag, decision.quality) == (
            match.q_source,
            match.q_tag,
            match.quality,
        )
        assert abs(np.log10(decision.q_factor / match.q_factor)) < 1e-6
        assert len(decision.reason) > 40


@pytest.fixture(scope="module")
def derived():
    return derive()


@pytest.mark.catalogues
class TestTable:
    def test_every_match_has_an_origin(self, derived):
        found = compare(derived, read_matches())
        assert found.n_matches == 317
        assert found.reproduced == {
            "Q300": 205, "xmatch": 43, "state": 26, "comp+scale": 15, "shared": 4, "xmatch-dipole": 1,
        }  # fmt: skip
        assert {(d.species_id, d.line_list) for d in found.decided} == set(read_decisions())
        assert found.undecided == ()
        assert len(found.quality) == 10
        assert len(found.left_out) == 36

    def test_no_rule_contradicts_the_table(self, derived):
        assert compare(derived, read_matches()).contradicted == ()

    def test_report_names_what_differs(self):
        text = report()
        assert text.startswith("317 matches: 294 reproduced by a rule")
        assert "0 contradicted by a rule" in text
        assert "CH3OH;v=0; (SLAIM): no rule decides" in text

    def test_intensities_of_a_list_imply_one_partition_function(self, derived):
        by_rule = [d for d in derived if d.rule in ("Q300", "comp+scale")]
        assert max(d.scatter for d in by_rule) < 0.01
        water = next(d for d in derived if d.name == "H2O v=0")
        assert (water.q_source, water.q_tag, water.q_factor, water.rule) == ("JPL", 18003, 1.0, "Q300")

    def test_jpl_rows_of_casa(self):
        rows = cross_match.read_jpl_rows()
        assert rows.frequency.size == 183829
        assert rows.frequency.max() < cross_match.F_MAX
        # CO 1-0 as JPL prints it
        co = rows.of(28001)
        assert (co.frequency[0], co.intensity[0], co.e_lower[0]) == (115271.2018, -5.0105, 0.0)

    def test_spin_factor_agrees_with_an_independent_table(self, derived):
        # CDMS tabulates PN without the spin of N: lg Q(300 K) = 2.4266
        pn = next(d for d in derived if d.name == "PN v=0")
        assert pn.log_q300 == pytest.approx(2.4266, abs=0.001)


@pytest.mark.catalogues
def test_compare_sorts_every_match():
    first, second, third = read_matches()[:3]
    wrong = replace(derived_of(second), q_factor=second.q_factor * 2)
    other = replace(derived_of(first), species_id=-1)
    found = compare([derived_of(first), wrong, other], [first, second, third])
    assert found.reproduced == {"Q300": 1}
    assert [d.match for d in found.contradicted] == [second]
    assert found.contradicted[0].largest == pytest.approx(0.3010)
    assert found.undecided == (third,)
    assert found.left_out == (other,)


class TestCrossMatch:
    nu = np.array([40e3, 80e3, 110e3])
    energy = np.array([0.0, 2.0, 6.0])
    intensity = np.array([-5.0, -4.2, -3.8])

    def jpl(self, nu, intensity, energy):
        return cross_match.JplRows(nu, intensity, energy, np.full(nu.size, 7001))

    def a_g(self, q300):
        return einstein_a(self.intensity, self.nu, self.energy, np.ones(3), q300)

    def test_returns_the_partition_function_of_a_g(self):
        rows = linear_rows(self.nu, self.a_g(50.0), self.energy)
        found = cross_match.cross_match(rows, 7001, self.jpl(self.nu, self.intensity, self.energy))
        assert (found.n_groups, found.agreeing) == (3, 1.0)
        assert found.log_q300 == pytest.approx(np.log10(50.0), abs=1e-9)

    def test_hyperfine_components_are_added_up(self):
        nu = np.concatenate([self.nu - 1.5, self.nu + 1.5])
        half = np.tile(self.intensity - np.log10(2.0), 2)
        rows = linear_rows(self.nu, self.a_g(50.0), self.energy)
        found = cross_match.cross_match(rows, 7001, self.jpl(nu, half, np.tile(self.energy, 2)))
        assert found.log_q300 == pytest.approx(np.log10(50.0), abs=1e-6)

    def test_nothing_in_common(self):
        rows = linear_rows(self.nu, self.a_g(50.0), self.energy + 1.0)
        jpl = self.jpl(self.nu, self.intensity, self.energy)
        assert cross_match.cross_match(rows, 7001, jpl) is None
        assert cross_match.cross_match(rows, 7002, jpl) is None

    def test_refuses_another_file(self, tmp_path):
        with pytest.raises(CatalogueError, match="no CASA table"):
            cross_match.read_jpl_rows(tmp_path)
        (tmp_path / "table.f0").write_bytes(bytes(1000))
        with pytest.raises(CatalogueError, match="buckets of 0 bytes"):
            cross_match.read_jpl_rows(tmp_path)
