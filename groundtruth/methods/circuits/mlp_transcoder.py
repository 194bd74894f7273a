"""What stands in for an MLP: latents that read what it reads, and write what it writes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from groundtruth.errors import InputError
from groundtruth.models.transformer import Transformer


@dataclass(frozen=True, eq=False)
class MLPTranscoder:
    """codes = ReLU(x W_enc + b_enc), written = codes W_dec + b_dec, x what the MLP reads after its
    norm.

    Fields:
        W_enc: (d_model, latent).
        b_enc: (latent,).
        W_dec: (latent, d_model).
        b_dec: (d_model,).

    Raises:
        InputError: shapes that do not fit.

    Source: Dunefsky, Chlenski and Nanda, "Transcoders Find Interpretable LLM Feature Circuits",
    2024, https://arxiv.org/abs/2406.11944
    """

    W_enc: torch.Tensor
    b_enc: torch.Tensor
    W_dec: torch.Tensor
    b_dec: torch.Tensor

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, torch.as_tensor(getattr(self, field.name)))
        d, k = self.W_enc.shape if self.W_enc.ndim == 2 else (-1, -1)
        expected = {"W_enc": (d, k), "b_enc": (k,), "W_dec": (k, d), "b_dec": (d,)}
        for name, shape in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise InputError(f"{name}: expected shape {shape}, got {found}.")

    def pre(self, x: torch.Tensor) -> torch.Tensor:
        """(..., latent) what is rectified."""
        return x @ self.W_enc.to(x) + self.b_enc.to(x)

    def write(self, codes: torch.Tensor) -> torch.Tensor:
        return codes @ self.W_dec.to(codes) + self.b_dec.to(codes)


def neurons_of(model: Transformer) -> dict[int, MLPTranscoder]:
    """By block, the exact transcoder of each MLP: its own neurons.

    Raises:
        InputError: the activation is no ReLU, so that neurons are no codes.
    """
    if model.activation != "relu":
        raise InputError(
            f"transcoders: expected them for a model with {model.activation} neurons, got none. "
            "Neurons are codes where they are rectified: pass transcoders= by block."
        )
    return {
        i: MLPTranscoder(*(p.detach() for p in (mlp.W_in, mlp.b_in, mlp.W_out, mlp.b_out)))
        for i, block in enumerate(model.each_block())
        if (mlp := block.mlp) is not None
    }
