"""What a dictionary's latents stand for, taken out of a model's activations or put in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from groundtruth.errors import ExplanationError, reject
from groundtruth.explanation import Dictionary
from groundtruth.outputs import codes_of

if TYPE_CHECKING:
    import torch

    from groundtruth.models.site_edits import Edit


def ablate_latent(dictionary: Dictionary, latent: int) -> Edit:
    """x -> x - z_j W_j, for activations (..., d).

    Only what the latent writes is taken out; the dictionary's error stays where it is.

    Raises:
        ExplanationError: no codes are claimed.
        InputError: no such latent.

    Example, on the residual stream of a model:
        >>> import torch
        >>> relu = Dictionary(np.eye(2), lambda x: np.maximum(x, 0))
        >>> ablate_latent(relu, 0)(torch.tensor([[3.0, 1.0], [-2.0, 1.0]])).tolist()
        [[0.0, 1.0], [-2.0, 1.0]]
    """
    _check(dictionary, latent)
    if dictionary.encode is None:
        raise ExplanationError("encode: expected a function, got None: no codes are claimed.")
    row = dictionary.decoder[latent]

    def edit(x: torch.Tensor) -> torch.Tensor:
        codes = codes_of(dictionary, _rows(dictionary, x))[:, [latent]].toarray().astype(np.float64)
        return x - _like(codes * row, x).reshape(x.shape)

    return edit


def steer_latent(dictionary: Dictionary, latent: int, amount: float) -> Edit:
    """x -> x + amount W_j / |W_j|, for activations (..., d).

    Raises:
        InputError: no such latent, or one whose row is 0.

    Example:
        >>> import torch
        >>> steer_latent(Dictionary(3 * np.eye(2)), 0, 0.5)(torch.zeros(1, 2)).tolist()
        [[0.5, 0.0]]
    """
    _check(dictionary, latent)
    row = dictionary.decoder[latent]
    if not row.any():
        raise reject("latent", latent, "one whose decoder row is not 0")
    step = amount * row / np.linalg.norm(row)
    return lambda x: x + _like(step, x)


def reconstructed(dictionary: Dictionary) -> Edit:
    """x -> z W + b, for activations (..., d): the dictionary stands in the model's place.

    Raises:
        ExplanationError: no codes are claimed.

    Example:
        >>> import torch
        >>> relu = Dictionary(np.eye(2), lambda x: np.maximum(x, 0))
        >>> reconstructed(relu)(torch.tensor([[3.0, 1.0], [-2.0, 1.0]])).tolist()
        [[3.0, 1.0], [0.0, 1.0]]
    """
    if dictionary.encode is None:
        raise ExplanationError("encode: expected a function, got None: no codes are claimed.")

    def edit(x: torch.Tensor) -> torch.Tensor:
        found = codes_of(dictionary, _rows(dictionary, x)) @ dictionary.decoder + dictionary.bias
        return _like(np.asarray(found), x).reshape(x.shape)

    return edit


def _check(dictionary: Dictionary, latent: int) -> None:
    if not 0 <= latent < dictionary.k:
        raise reject("latent", latent, f"0 to {dictionary.k - 1}")


def _rows(dictionary: Dictionary, x: torch.Tensor) -> np.ndarray:
    if x.shape[-1] != dictionary.d:
        raise ExplanationError(
            f"decoder: expected rows as wide as the activations, {x.shape[-1]}, got {dictionary.d}."
        )
    return x.detach().reshape(-1, dictionary.d).double().cpu().numpy()


def _like(array: np.ndarray, x: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.from_numpy(array).to(x)
