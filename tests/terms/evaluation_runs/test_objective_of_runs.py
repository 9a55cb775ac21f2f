from dataclasses import replace

import numpy as np
import pytest

from spectuner_ext.terms.evaluation_runs.objective import objective_of
from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.greedy import greedy
from spectuner_ext.terms.request import Request
from spectuner_ext.terms.simulate import simulate_ion


@pytest.fixture(scope="module")
def ion():
    return simulate_ion(n_levels=100, seed=5)


@pytest.fixture(scope="module")
def found(ion):
    return evidence(ion.system, ion.settings, Request(min_probability=0.0))


def subset(run, keep):
    """The run with some of its levels and the lines that do not hang on others."""
    levels = replace(run.levels, **{n: getattr(run.levels, n)[keep] for n in run.levels.__dataclass_fields__})
    known = np.concatenate([run.system.known.level, levels.level])
    rows = np.isin(run.lines.lower, known) & np.isin(run.lines.upper, known)
    lines = replace(run.lines, **{n: getattr(run.lines, n)[rows] for n in run.lines.__dataclass_fields__})
    return replace(run, levels=levels, lines=lines)


def test_is_the_agents_own_objective(found):
    # The energies went through one refit more, and the scale of the prior began elsewhere.
    assert objective_of(found) == pytest.approx(found.score, rel=1e-3)


def test_nothing_found_is_worth_nothing(found):
    assert objective_of(subset(found, np.zeros(len(found.levels), dtype=bool))) == 0.0


def test_wrong_lines_are_worth_less(found):
    moved = replace(found, lines=replace(found.lines, line=found.lines.line + 3))
    assert objective_of(moved) < 0.2 * objective_of(found)


def test_fewer_levels_are_worth_less(found):
    assert objective_of(subset(found, np.arange(len(found.levels)) < 5)) < objective_of(found)


def test_order_of_the_rows_does_not_matter(found):
    turned = subset(found, np.arange(len(found.levels))[::-1])
    assert objective_of(turned) == pytest.approx(objective_of(found), rel=1e-9)


def test_agents_of_the_decision_process_have_one_too(ion):
    run = greedy(ion.system, ion.settings, Request(n_levels=8))
    assert len(run.levels) > 0
    assert objective_of(run) > 0.0
