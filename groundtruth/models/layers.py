"""The MLP and the norms in torch, and how arrays become parameters and come back."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from groundtruth.models.hooks import HookPoint
from groundtruth.models.weights import MLP, Activation, Norm


class HiddenLayer(torch.nn.Module):
    """activation(x W_in + b_in) W_out + b_out."""

    def __init__(self, layer: MLP, activation: Activation) -> None:
        super().__init__()
        self.W_in, self.b_in = parameter(layer.W_in), parameter(layer.b_in)
        self.W_out, self.b_out = parameter(layer.W_out), parameter(layer.b_out)
        self.activation = activation
        self.hook_pre, self.hook_post = HookPoint(), HookPoint()

    def forward(
        self, x: torch.Tensor, given: slice = slice(None), wanted: slice = slice(None)
    ) -> torch.Tensor:
        """The `wanted` coordinates of what it writes, from the `given` ones of what it reads."""
        pre = self.hook_pre(affine(x, self.W_in[given], self.b_in))
        post = self.hook_post(self.activate(pre))
        return affine(post, self.W_out[:, wanted], self.b_out[wanted])

    def activate(self, pre: torch.Tensor) -> torch.Tensor:
        if self.activation == "gelu":
            return functional.gelu(pre)
        # In place saves the largest allocation; a hook may have kept what it saw.
        return functional.relu(pre, inplace=not self.hook_pre.hooked)

    def to_mlp(self) -> MLP:
        return MLP(
            to_array(self.W_in), to_array(self.b_in), to_array(self.W_out), to_array(self.b_out)
        )


def affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x weight + bias, (..., position, width), of `x` in any layout.

    In memory the result has the width first: products of many rows with a narrow matrix are two to
    five times as fast that way round. Whether batch or position comes last is as in `x`; where the
    batch does, it is the first of its dimensions.
    """
    batch_last = x.stride(0) <= x.stride(-2)
    x = x.transpose(0, -2) if batch_last else x
    rows = x.movedim(-1, 0).flatten(1)
    out = torch.addmm(bias.unsqueeze(1), weight.T, rows)
    out = out.view(weight.shape[1], *x.shape[:-1]).movedim(0, -1)
    return out.transpose(0, -2) if batch_last else out


class Normalisation(torch.nn.Module):
    """LayerNorm or RMSNorm."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.eps, self.center = norm.eps, norm.center
        self.scale, self.shift = parameter(norm.scale), parameter(norm.shift)
        self.hook_scale, self.hook_normalized = HookPoint(), HookPoint()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.center:
            x = x - x.mean(-1, keepdim=True)
        scale = self.hook_scale((x.square().mean(-1, keepdim=True) + self.eps).sqrt())
        return self.hook_normalized(x / scale) * self.scale + self.shift


def make_norm(norm: Norm | None) -> torch.nn.Module:
    return torch.nn.Identity() if norm is None else Normalisation(norm)


def to_norm(module: torch.nn.Module) -> Norm | None:
    if not isinstance(module, Normalisation):
        return None
    return Norm(to_array(module.scale), to_array(module.shift), module.eps, module.center)


def parameter(array: np.ndarray) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(array))


def to_array(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().cpu().double().numpy().copy()
