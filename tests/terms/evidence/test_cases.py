"""The two published cases; their keys are opened here, for scoring, and nowhere else."""

import numpy as np
import pytest

from spectuner_ext.terms.evidence import evidence
from spectuner_ext.terms.readers.case_folder import read_case
from spectuner_ext.terms.request import Request

KEY_TOLERANCE = 0.05


def key_energies(path):
    """Energies in cm^-1 of a key without a header, in kK."""
    return np.loadtxt(path) * 1000.0


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "least", "most"), [("nd3", 52, 64), ("co2", 64, 64)])
def test_published_case(shared, name, least, most):
    case = read_case(shared / "data" / "term_analysis" / name)
    analysis = evidence(case.system, case.settings, Request(n_levels=most))
    assert len(analysis.levels) <= most
    key = key_energies(case.key)
    right = np.array([np.min(np.abs(key - e)) <= KEY_TOLERANCE for e in analysis.levels.energy])
    assert np.count_nonzero(right) >= least
    sure = analysis.levels.probability > 0.9
    assert sure.sum() >= 30
    assert right[sure].mean() >= 0.95
    assert np.all(analysis.levels.n_lines >= 2)
