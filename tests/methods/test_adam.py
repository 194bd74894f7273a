"""Adam against torch's own."""

from __future__ import annotations

import torch

from groundtruth.methods.adam import Adam


def test_steps_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 2, generator=generator, dtype=torch.float64), torch.zeros(()).double()]
    ours, theirs = ([p.clone().requires_grad_() for p in start] for _ in range(2))
    adam, reference = Adam(ours), torch.optim.Adam(theirs, 0.1)
    for step in range(50):
        rate = 0.1 / (1 + step)
        slopes = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in start]
        adam.step(slopes, rate)
        for parameter, slope in zip(theirs, slopes):
            parameter.grad = slope
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for one, other, begin in zip(ours, theirs, start):
        # Fifty steps, a few operations each, in float64.
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12) and not torch.equal(one, begin)
