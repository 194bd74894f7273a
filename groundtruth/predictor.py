"""What claims to understand a model without it: `Predictor`, from inputs to outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from groundtruth.errors import ExplanationError, GroundtruthError, reject
from groundtruth.prediction import Prediction


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
            (n, position), or a `Prediction`, which may hold intervals and confidence as well. What
            stands at padding positions does not count.
        guaranteed: claims that every answer is right on every sequence of up to so many tokens;
            None: nothing is guaranteed.
        name: shown in tables.

    Raises:
        ExplanationError: `predict` is not callable, or a guarantee is no number of tokens.

    Example:
        >>> always = Predictor(lambda tokens, interchange: np.ones((*np.shape(tokens), 1)))
        >>> always(np.array([[0, 2]]), n_outputs=1).tolist()
        [[[1.0], [1.0]]]
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray, Interchange | None], Any],
        *,
        guaranteed: int | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(predict):
            raise ExplanationError(
                f"predict: expected a function of tokens and interchange, got {predict!r}."
            )
        whole = isinstance(guaranteed, int) and not isinstance(guaranteed, bool)
        if guaranteed is not None and not (whole and guaranteed >= 1):
            raise ExplanationError(
                f"guaranteed: expected a number of tokens, or None, got {guaranteed!r}."
            )
        self._predict, self.guaranteed, self.name = predict, guaranteed, name

    def __call__(
        self, tokens: np.ndarray, interchange: Interchange | None = None, *, n_outputs: int
    ) -> np.ndarray:
        """The outputs that are claimed, in float64.

        Raises:
            ExplanationError: `predict` failed, or they have another shape, or numbers that are not
                finite.
        """
        return self.claim(tokens, interchange, n_outputs=n_outputs).outputs

    def claim(
        self, tokens: np.ndarray, interchange: Interchange | None = None, *, n_outputs: int
    ) -> Prediction:
        """All that is claimed, in float64.

        Raises:
            ExplanationError: `predict` failed; or as `Prediction`.
        """
        try:
            found = self._predict(tokens, interchange)
        except GroundtruthError:
            raise
        except Exception as error:
            raise ExplanationError(
                f"predict: expected outputs for tokens of shape {tokens.shape} and an interchange "
                f"or None, got {type(error).__name__}: {error}."
            ) from error
        if not isinstance(found, Prediction):
            found = Prediction(found)
        return found.checked(tokens.shape, n_outputs)

    def __repr__(self) -> str:
        return f"Predictor({'' if self.name is None else repr(self.name)})"


def check_queries(used: int, asked: int, budget: int) -> None:
    """Raise if `asked` more queries exceed the budget.

    Raises:
        InputError: they do.
    """
    if used + asked > budget:
        raise reject("queries", asked, f"at most {budget - used} more of {budget}")
