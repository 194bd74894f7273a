"""Seeds for libraries that draw from torch's global state."""

from __future__ import annotations

import torch

from groundtruth.adapters.randomness import torch_seeded


def draws(name, seed):
    with torch_seeded(name, seed):
        return torch.rand(4)


def test_name_and_seed_decide_and_the_state_outside_does_not():
    first = draws("a", 0)
    torch.rand(1)
    assert torch.equal(first, draws("a", 0))
    assert not torch.equal(first, draws("a", 1))
    assert not torch.equal(first, draws("b", 0))


def test_the_state_comes_back_after_an_error():
    before = torch.get_rng_state()
    try:
        with torch_seeded("a", 0):
            torch.rand(1)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(before, torch.get_rng_state())
