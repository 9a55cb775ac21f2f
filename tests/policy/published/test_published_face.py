"""A published checkpoint through the same face as our own networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spectuner_ext.errors import InputError
from spectuner_ext.policy.policy import FittingPolicy


@pytest.fixture(scope="module")
def face(published_file):
    return FittingPolicy.load(published_file)


def test_the_same_draws_and_densities(face, published_policy, two_windows, methanol_like):
    x = face.sample(two_windows, methanol_like, 30, seed=3)
    assert x.shape == (30, 5)
    np.testing.assert_array_equal(x, published_policy.sample(two_windows, methanol_like, 30, seed=3))
    np.testing.assert_array_equal(
        face.log_prob(two_windows, methanol_like, x), published_policy.log_prob(two_windows, methanol_like, x)
    )
    case = face.case(two_windows, methanol_like)
    np.testing.assert_allclose(face.sample_cases([case, case], 30, [3, 4])[0], x, rtol=1e-4, atol=1e-4)
    assert face.log_prob_cases([case, case], np.stack([x, x])).shape == (2, 30)
    assert face.notes == {"format": "Spectuner-D1"}


def test_any_source_of_lines_will_do(published_file, two_windows, methanol_like, face):
    """Not only the line database of this package; hyperfine components are read as they are."""
    split = replace(
        methanol_like,
        hyperfine=np.ones(len(methanol_like), dtype=bool),
        upper=np.full(len(methanol_like), "J=3, F=2"),
        lower=np.full(len(methanol_like), "J=2, F=1"),
        frequency=np.repeat(methanol_like.frequency[:1], len(methanol_like)),
    )

    class Source:
        def select(self, name, ranges=None):
            assert name == "anything"
            return split

    found = FittingPolicy.load(published_file, database=Source()).sample(two_windows, "anything", 5, 1)
    np.testing.assert_array_equal(found, face.sample(two_windows, split, 5, 1))


def test_truncated_checkpoint(published_file, tmp_path):
    path = tmp_path / "cut.pt"
    data = published_file.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"^weights: "):
        FittingPolicy.load(path)


def test_another_archive(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(InputError, match=r"^weights: "):
        FittingPolicy.load(path)
