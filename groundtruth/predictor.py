"""What claims to understand a model without it: `Predictor`, from inputs to outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from groundtruth.errors import ExplanationError, reject


@dataclass(frozen=True, eq=False)
class Interchange:
    """An intervention: a subspace of the residual stream holds what it holds on another input,
    wherever both have a token.

    Fields:
        site: of the residual stream, from which on it does.
        basis: (k, d_model) orthonormal rows.
        source: (n, position) token ids, a partner for each input.
    """

    site: str
    basis: np.ndarray
    source: np.ndarray

    def where(self, tokens: np.ndarray, pad: int) -> np.ndarray:
        """(n, position) where both have a token, begin-of-sequence left out."""
        both = (tokens != pad) & (self.source != pad)
        return both & (np.arange(tokens.shape[1]) > 0)


class Predictor:
    """A claim of what a model puts out.

    Args:
        predict: (tokens, interchange or None) -> (n, position, n_outputs), for token ids
            (n, position). What stands at padding positions does not count.
        name: shown in tables.

    Raises:
        ExplanationError: `predict` is not callable.

    Example:
        >>> always = Predictor(lambda tokens, interchange: np.ones((*np.shape(tokens), 1)))
        >>> always(np.array([[0, 2]]), n_outputs=1).tolist()
        [[[1.0], [1.0]]]
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray, Interchange | None], Any],
        *,
        name: str | None = None,
    ) -> None:
        if not callable(predict):
            raise ExplanationError(
                f"predict: expected a function of tokens and interchange, got {predict!r}."
            )
        self._predict, self.name = predict, name

    def __call__(
        self, tokens: np.ndarray, interchange: Interchange | None = None, *, n_outputs: int
    ) -> np.ndarray:
        """The claim, in float64.

        Raises:
            ExplanationError: it has another shape, or numbers that are not finite.
        """
        found = np.asarray(self._predict(tokens, interchange), dtype=np.float64)
        wanted = (*tokens.shape, n_outputs)
        if found.shape != wanted:
            raise ExplanationError(f"predict: expected shape {wanted}, got {found.shape}.")
        if not np.isfinite(found).all():
            n = int((~np.isfinite(found)).sum())
            raise ExplanationError(f"predict: expected finite numbers, got {n} that are not.")
        return found

    def __repr__(self) -> str:
        return f"Predictor({'' if self.name is None else repr(self.name)})"


def check_queries(used: int, asked: int, budget: int) -> None:
    """Raise if `asked` more queries exceed the budget.

    Raises:
        InputError: they do.
    """
    if used + asked > budget:
        raise reject("queries", asked, f"at most {budget - used} more of {budget}")
