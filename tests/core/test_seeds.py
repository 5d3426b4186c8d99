"""Streams are found by name: the same name the same numbers, another name others."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nearfield.core.rng import entropy, stream, torch_stream

names = st.text(min_size=1, max_size=12)


@given(st.integers(0, 2**40), names, st.integers(0, 10**6))
def test_the_same_name_gives_the_same_numbers(seed: int, name: str, number: int) -> None:
    one, other = stream(seed, name, number), stream(seed, name, number)
    assert (one.random(5) == other.random(5)).all()
    ours, theirs = torch_stream(seed, name, number), torch_stream(seed, name, number)
    assert torch.equal(torch.rand(5, generator=ours), torch.rand(5, generator=theirs))


def test_other_names_and_numbers_give_other_streams() -> None:
    found = {
        entropy(seed, name, *n) for seed in range(20) for name in ("a", "b") for n in ((), (0,), (1,), (0, 0))
    }
    assert len(found) == 20 * 2 * 4


def test_streams_are_frozen() -> None:
    """The numbers themselves, so that an upgrade cannot change every run in silence."""
    assert entropy(7, "batches", 3) == 2500809625731149165
    assert np.round(stream(7, "batches", 3).random(2), 6).tolist() == [0.764977, 0.702801]
