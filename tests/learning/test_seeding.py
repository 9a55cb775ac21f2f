"""Streams: independent, named, restorable."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from spectuner_ext.errors import InputError
from spectuner_ext.learning import seeding


def draw(stream, n=4):
    return (
        stream.random(n)
        if isinstance(stream, np.random.Generator)
        else torch.rand(n, generator=stream).numpy()
    )


def test_a_stream_does_not_depend_on_its_neighbours():
    alone = draw(seeding.streams(5, "scenes")["scenes"])
    among = seeding.streams(5, "noise", "scenes", "draws")
    draw(among["noise"], 100)
    np.testing.assert_array_equal(draw(among["scenes"]), alone)


def test_seed_name_rank_and_library_make_different_streams():
    all_streams = [
        seeding.streams(seed, name, rank=rank)[name] for seed in (0, 1) for name in "ab" for rank in (0, 1)
    ] + [
        seeding.torch_generator(seed, name, rank=rank) for seed in (0, 1) for name in "ab" for rank in (0, 1)
    ]
    first = [float(draw(stream, 1)[0]) for stream in all_streams]
    assert len(set(first)) == len(first)


def test_streams_of_different_names_are_uncorrelated():
    a, b = seeding.streams(3, "a", "b").values()
    assert stats.pearsonr(a.random(4000), b.random(4000)).pvalue > 1e-3


@pytest.mark.parametrize(
    "make", [lambda: seeding.streams(2, "x")["x"], lambda: seeding.torch_generator(2, "x")]
)
def test_state_goes_through_json(make):
    stream = make()
    draw(stream, 7)  # an odd number of draws leaves half a word behind
    if isinstance(stream, np.random.Generator):
        stream.integers(0, 10, dtype=np.int32)
    state = json.loads(json.dumps(seeding.state_of(stream)))
    expected = draw(stream, 50)
    other = make()
    seeding.restore(other, state)
    np.testing.assert_array_equal(draw(other, 50), expected)


def test_children_are_restored_too():
    stream = seeding.streams(2, "x")["x"]
    stream.spawn(3)
    state = seeding.state_of(stream)
    expected = stream.spawn(1)[0].random()
    other = seeding.streams(2, "x")["x"]
    seeding.restore(other, state)
    assert other.spawn(1)[0].random() == expected
    with pytest.raises(InputError, match="spawned 1 streams more"):
        seeding.restore(other, state)


def test_derived_seeds_stay_when_more_are_asked_for():
    assert seeding.derived_seeds(1, "members", 8)[:3] == seeding.derived_seeds(1, "members", 3)
    assert len(set(seeding.derived_seeds(1, "members", 64))) == 64


@pytest.mark.parametrize("seed", [-1, 1.5, True, None, "1"])
def test_seed_must_be_a_natural_number(seed):
    with pytest.raises(InputError, match=r"^seed: "):
        seeding.streams(seed, "a")


def test_two_streams_of_one_name_are_refused():
    with pytest.raises(InputError, match=r"^names: "):
        seeding.streams(1, "a", "a")


def test_state_of_another_kind_is_refused():
    numpy_state = seeding.state_of(seeding.streams(1, "a")["a"])
    generator = seeding.torch_generator(1, "a")
    with pytest.raises(InputError, match="kind is 'numpy'"):
        seeding.restore(generator, numpy_state)
    elsewhere = seeding.state_of(generator) | {"device": "cuda"}
    with pytest.raises(InputError, match="device is 'cuda'"):
        seeding.restore(generator, elsewhere)


def test_only_the_known_bit_generator_is_saved():
    with pytest.raises(InputError, match="PCG64"):
        seeding.state_of(np.random.Generator(np.random.MT19937(1)))
