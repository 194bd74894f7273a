"""What a method gets of a model at one site: activations, and the outputs where they are edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from groundtruth import seeds
from groundtruth.errors import InputError
from groundtruth.testbed import BLOCK, ActivationSubject

if TYPE_CHECKING:
    import torch

    from groundtruth.models.site_edits import Edit
    from groundtruth.models.transformer import Transformer

Labels = Callable[[np.ndarray], np.ndarray]


class LabelledSubject(ActivationSubject):
    """Activations, some of which show a concept that the method is asked about.

    Methods for dictionaries take it as it is. It holds functions; no truth, seed or recipe can be
    reached through its attributes.
    """

    __slots__ = ("_pair",)

    def __init__(self, d: int, pair: Callable[[int, int], tuple[np.ndarray, np.ndarray]]) -> None:
        super().__init__(d, lambda seed, block: pair(seed, block)[0].astype(np.float32))
        self._pair = pair

    def labelled(self, n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Training activations (n, d) float64, and (n,) whether each shows the concept.

        The activations are those of `sample(n, seed=seed)`.
        """
        _check_count(n)
        seed = seeds.check_seed(seed)
        blocks = [self._pair(seed, block) for block in range(-(-n // BLOCK))]
        x, y = (np.concatenate(parts)[:n] for parts in zip(*blocks))
        return x.astype(np.float64), y


class SiteSubject(LabelledSubject):
    """A model, the site whose activations are asked about, and its inputs.

    Args:
        tokens: (seed, block) -> the training inputs of a block of 1,024.
        labels: inputs -> whether each shows the concept.
        rows: inputs -> what `activations` gives for them, where that is known without a run.

    Fields:
        model: the transformer, in torch and float64.
        site: a hook site of the residual stream; activations are those of the last position.
        target: which output is the behaviour in question; the others should be left alone.
    """

    __slots__ = ("_labels", "_tokens", "model", "site", "target")

    def __init__(
        self,
        model: Transformer,
        site: str,
        target: int,
        tokens: Callable[[int, int], np.ndarray],
        labels: Labels,
        rows: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        def pair(seed: int, block: int) -> tuple[np.ndarray, np.ndarray]:
            given = tokens(seed, block)
            x = self.activations(given).cpu().numpy() if rows is None else rows(given)
            return x, labels(given)

        super().__init__(model.W_E.shape[1], pair)
        self.model, self.site, self.target = model, site, target
        self._tokens, self._labels = tokens, labels

    def tokens(self, n: int, *, seed: int = 0) -> np.ndarray:
        """(n, position) training inputs; `sample` has their activations, row by row."""
        _check_count(n)
        seed = seeds.check_seed(seed)
        return np.concatenate([self._tokens(seed, block) for block in range(-(-n // BLOCK))])[:n]

    def labels(self, tokens: np.ndarray) -> np.ndarray:
        """(n,) whether each input shows the concept."""
        return self._labels(np.asarray(tokens))

    def activations(self, tokens: Any) -> torch.Tensor:
        """(n, d) of the site at the last position."""
        from groundtruth.models.site_edits import read_site

        return read_site(self.model, self.site, tokens)

    def outputs(self, tokens: Any, edit: Edit | None = None) -> torch.Tensor:
        """(n, n_outputs) at the last position; with the activations (n, d) edited if asked."""
        from groundtruth.models.site_edits import run_edited

        return run_edited(self.model, self.site, tokens, _same if edit is None else edit)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.site}, d={self.d})"


def _check_count(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n: expected a whole number >= 1, got {n!r}.")


def _same(x: torch.Tensor) -> torch.Tensor:
    return x
