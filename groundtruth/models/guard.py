"""What a method leaves behind on a model: found, said, and put right.

with guarded(model) as damage:
    method(model)
damage.hooks, damage.weights_changed       # both empty or False for a method that cleans up
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from groundtruth import hashing
from groundtruth.errors import MethodError

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
_OF_HOOKS = (
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
)


@dataclass
class Damage:
    """What was found and put right.

    Fields:
        hooks: modules that still had hooks, or a `forward` of their own.
        weights_changed: the weights were not those from before; they are again.
    """

    hooks: tuple[str, ...] = ()
    weights_changed: bool = False

    def __bool__(self) -> bool:
        return bool(self.hooks) or self.weights_changed

    def __str__(self) -> str:
        found = [f"hooks left at {', '.join(self.hooks)}"] if self.hooks else []
        found += ["weights changed"] if self.weights_changed else []
        return "; ".join(found) if found else "nothing left behind"


def fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 over every parameter and buffer with its name, dtype and shape.

    Two models with equal fingerprints compute the same, if they are of one class.
    """
    state = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    return hashing.content_hash(None, state)


def check_clean(model: torch.nn.Module) -> tuple[str, ...]:
    """Take off every hook, and every `forward` set on a module itself; names of what had one.

    Hooks of the caller's own are taken off as well: call it where none should be.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Identity())
        >>> handle = model[0].register_forward_hook(lambda *_: None)
        >>> check_clean(model), check_clean(model)
        (('0',), ())
    """
    return tuple(name or "the model" for name, module in model.named_modules() if _clean(module))


def _clean(module: torch.nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    found = any(getattr(module, name) for name in _HOOKS) or "forward" in vars(module)
    found = found or any(parameter._backward_hooks for parameter in own)
    for name in (*_HOOKS, *_OF_HOOKS):
        getattr(module, name).clear()
    for parameter in own:
        if parameter._backward_hooks:
            parameter._backward_hooks.clear()
    vars(module).pop("forward", None)
    return found


@contextmanager
def guarded(model: torch.nn.Module) -> Iterator[Damage]:
    """Run a method on a model and put the model back as it was: hooks, weights, gradients, mode.

    What was found is in the `Damage` once the block is left, by an error too.

    Raises:
        MethodError: parameters were added or taken away; build the model anew.
    """
    damage, before = Damage(), fingerprint(model)
    held = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    trainable = {name: p.requires_grad for name, p in model.named_parameters()}
    training = model.training
    try:
        yield damage
    finally:
        damage.hooks = check_clean(model)
        damage.weights_changed = fingerprint(model) != before
        if held.keys() != model.state_dict().keys():
            changed = ", ".join(sorted(held.keys() ^ model.state_dict().keys()))
            raise MethodError(
                f"the method changed which parameters the model has ({changed}). Give it a copy, "
                "and build this model anew."
            )
        if damage.weights_changed:
            model.load_state_dict(held)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trainable[name])
            parameter.grad = None
        model.train(training)
