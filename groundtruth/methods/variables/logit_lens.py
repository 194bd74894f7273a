"""The logit lens: what the outputs would be if the computation ended here."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from groundtruth.alignment import Alignment, Subspace
from groundtruth.methods.variables.choosing import each_variable, spanned, split
from groundtruth.methods.variables.nearest_mean import share_read
from groundtruth.variable_subject import VariableSubject


def logit_lens(
    subject: VariableSubject, *, seed: int = 0, site: str | None = None, n: int = 1000
) -> Alignment:
    """The span of the unembedding, read by the final norm and the unembedding.

    It speaks of the output variable, and of others as far as they have the same values.

    Args:
        seed: of the inputs.
        site: of the claim; None: the residual site where it reads best.
        n: inputs, a quarter of which choose the site.

    Source: nostalgebraist, "interpreting GPT: the logit lens", 2020,
    https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens
    """
    unembedding = subject.model.W_U.detach().double().cpu().numpy().T
    basis = spanned(unembedding, len(unembedding))

    def decode(x: np.ndarray) -> list[Any]:
        residual = torch.as_tensor(np.asarray(x)).to(subject.model.W_U)
        with torch.no_grad():
            found = subject.answers.scores(subject.model.unembed(residual)).argmax(-1)
        return [subject.answers.values[k] for k in found.tolist()]

    def claim(variable: str, at: str) -> tuple[float, Subspace]:
        x, labels = subject.labelled_activations(variable, at, n, seed=seed)
        _, held = split(len(x))
        score = share_read(decode, x[held], labels[held], subject.values[variable])
        return score, Subspace(at, basis, decode=decode)

    return each_variable(subject, site, claim, "logit_lens")
