"""What a model is said to do, as a number per input: metrics for a `ModelSubject`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from groundtruth.errors import InputError
from groundtruth.model_subject import ModelSubject, OutputMetric


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


def answer_difference(right: Any, wrong: Any, counted: Any) -> OutputMetric:
    """sum over outputs of sign(right - wrong) output, averaged over the counted positions.

    Of logits that is the logit of the right answer less that of the wrong one, of a number how far
    it lies on the side of the right one; where both answers agree it is 0.

    Args:
        right, wrong: (batch, position, n_outputs) of the whole model, and of it ablated as a whole.
        counted: (batch, position), one of them True in each row.

    Raises:
        InputError: shapes that differ, a row without a counted position.

    Not a measure of how wrong an answer is: a third answer is as far from the right one as its own
    logit leaves the other two.

    Example:
        >>> metric = answer_difference([[[0.0, 1.0]]], [[[1.0, 0.0]]], [[True]])
        >>> metric(torch.tensor([[[[0.5, 3.0]]]])).tolist()
        [[2.5]]
    """
    right, wrong, counted = map(torch.as_tensor, (right, wrong, counted))
    if right.ndim != 3 or right.shape != wrong.shape or counted.shape != right.shape[:2]:
        raise InputError(
            f"right, wrong, counted: expected (batch, position, n_outputs) twice and (batch, "
            f"position), got {tuple(right.shape)}, {tuple(wrong.shape)}, {tuple(counted.shape)}."
        )
    if not bool(counted.any(1).all()):
        raise InputError("counted: expected one position or more of each input.")
    difference = right - wrong
    # What rounding leaves of equal answers is no direction.
    sign = torch.where(difference.abs() < 1e-6, 0, difference.sign())
    weights = sign * (counted / counted.sum(1, keepdim=True))[..., None]

    def along(outputs: torch.Tensor) -> torch.Tensor:
        return (outputs * weights.to(outputs)).sum((-2, -1))

    return along


def answering(subject: ModelSubject) -> ModelSubject:
    """`subject` with the `answer_difference` of the whole model and of it ablated as a whole as its
    metric.

    Example:
        >>> from groundtruth.generators.gates import gate
        >>> from groundtruth.models.transformer import Transformer
        >>> model = Transformer(gate("and").weights, torch.float64)
        >>> last = logit_difference([0], [0])
        >>> plain = ModelSubject(model, [[0, 3, 3]], last, "resample", [[0, 2, 2]], "both 0")
        >>> subject = answering(plain)
        >>> subject.value(subject.outputs()).item() > 0
        True
    """
    nothing = np.zeros((1, len(subject.universe("edge"))), dtype=bool)
    right, wrong = subject.outputs()[0], subject.ablated("edge", nothing)[0]
    return replace(subject, metric=answer_difference(right, wrong, subject.counted))
