"""Places in a model where a tensor can be read or replaced.

A `HookPoint` passes its input on; what is attached to it are torch's own forward hooks, so other
libraries find them, and so does `guard.check_clean`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from groundtruth.errors import UnknownName

Hook = Callable[..., torch.Tensor | None]
"""fn(activation, hook): what it returns replaces the activation; None leaves it.

Called as TransformerLens does, `fn(activation, hook=point)`; `hook.name` is the site.
"""
NamesFilter = str | Sequence[str] | Callable[[str], bool] | None


class HookPoint(torch.nn.Module):
    """The identity, under a name."""

    name: str = ""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return super().__call__(x) if self.hooked else x  # most of a small model's run is calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @property
    def hooked(self) -> bool:
        """Whether anything is attached; where nothing is, a model need not lay the tensor out."""
        return bool(
            self._forward_hooks
            or self._forward_pre_hooks
            or self._backward_hooks
            or self._backward_pre_hooks
        )


def hook_points(model: torch.nn.Module) -> dict[str, HookPoint]:
    """Every hook point of `model` by name, in the order of the computation, and named so."""
    points = {n: m for n, m in model.named_modules() if isinstance(m, HookPoint)}
    for name, point in points.items():
        point.name = name
    return points


def chosen(points: Mapping[str, HookPoint], names: NamesFilter) -> list[str]:
    """The names that a filter lets through: None lets all.

    Raises:
        UnknownName: a name that no point has.
    """
    if names is None:
        return list(points)
    if callable(names):
        return [name for name in points if names(name)]
    asked = [names] if isinstance(names, str) else list(names)
    for name in asked:
        if name not in points:
            raise UnknownName("site", name, points)
    return asked


@contextmanager
def attached(points: Mapping[str, HookPoint], hooks: Iterable[tuple[str, Hook]]) -> Iterator[None]:
    """Each hook on its point, in order, until the block is left, by an error too.

    Raises:
        UnknownName: a name that no point has; then nothing is attached.
    """
    pairs = list(hooks)
    chosen(points, [name for name, _ in pairs])
    handles = [points[name].register_forward_hook(_as_torch_hook(fn)) for name, fn in pairs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _as_torch_hook(fn: Hook) -> Callable[[Any, Any, torch.Tensor], torch.Tensor | None]:
    return lambda point, _, activation: fn(activation, hook=point)
