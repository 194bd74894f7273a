"""What a model is said to do, as a number per input: metrics for a `ModelSubject`."""

from __future__ import annotations

from typing import Any

import torch

from groundtruth.errors import InputError
from groundtruth.model_subject import OutputMetric


def logit_difference(right: Any, wrong: Any, position: int = -1) -> OutputMetric:
    """output[right] - output[wrong] at one position.

    Args:
        right, wrong: (batch,) which output, for each input.
        position: counted from the end if negative.

    Raises:
        InputError: lists that differ in length.

    Example:
        >>> outputs = torch.tensor([[[[0.5, 3.0, 1.0]]]])
        >>> logit_difference([1], [2])(outputs).tolist()
        [[2.0]]
    """
    right, wrong = torch.as_tensor(right), torch.as_tensor(wrong)
    if right.ndim != 1 or right.shape != wrong.shape:
        raise InputError(
            f"right, wrong: expected one output each for every input, got shapes "
            f"{tuple(right.shape)} and {tuple(wrong.shape)}."
        )

    def difference(outputs: torch.Tensor) -> torch.Tensor:
        at, rows = outputs[..., position, :], torch.arange(len(right))
        return at[..., rows, right] - at[..., rows, wrong]

    return difference
