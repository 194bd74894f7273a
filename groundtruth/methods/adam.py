"""Adam in a few lines: torch's own loads its compiler, which takes seconds and changes settings of
the process."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Adam:
    """Adam without weight decay, with decays 0.9 and 0.999, on `parameters`, in place.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014,
    https://arxiv.org/abs/1412.6980
    """

    def __init__(self, parameters: Sequence[torch.Tensor]) -> None:
        self.parameters, self._steps = parameters, 0
        self._moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]

    def step(self, slopes: Sequence[torch.Tensor], rate: float) -> None:
        """One step against `slopes`, one for each parameter."""
        self._steps += 1
        with torch.no_grad():
            for parameter, slope, (first, second) in zip(self.parameters, slopes, self._moments):
                first.lerp_(slope, 0.1)
                second.lerp_(slope.square(), 0.001)
                size = (second / (1 - 0.999**self._steps)).sqrt() + 1e-8
                parameter.sub_(rate * first / (1 - 0.9**self._steps) / size)
