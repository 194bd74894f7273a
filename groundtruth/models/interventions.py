"""What to put in an activation's place: hooks for `Transformer.run_with_hooks`.

    zero, set_to(value), add(vector), patch(source), mean_of(reference)   over the whole site
    only(hook, positions=, heads=, neurons=, basis=)                      over a part of it

Example, the first entry of the last position's residual vector taken from another run:
    >>> from groundtruth.models import Weights
    >>> from groundtruth.models.transformer import Transformer
    >>> eye = np.eye(3)
    >>> model = Transformer(Weights(eye, 0 * eye, (), eye, np.zeros(3), bos=0, pad=1))
    >>> _, other = model.run_with_cache([[0, 0]], "hook_embed")
    >>> hook = only(patch(other["hook_embed"]), positions=1, neurons=0)
    >>> model.run_with_hooks([[0, 2]], [("hook_embed", hook)])[0, 1].tolist()
    [1.0, 0.0, 1.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from groundtruth.errors import InputError, reject
from groundtruth.models.hooks import Hook, HookPoint

_BY_HEAD_FIRST = ("hook_attn_scores", "hook_pattern")
_ORTHONORMAL = 1e-4


def zero(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
    """0 everywhere."""
    return torch.zeros_like(activation)


def set_to(value: Any) -> Hook:
    """`value`, a number or what broadcasts to the activation.

    Raises:
        InputError: when it runs on an activation that `value` does not broadcast to.
    """

    def replace(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        return _fitting(value, activation, f"{hook.name}: value").expand_as(activation)

    return replace


def add(vector: Any) -> Hook:
    """The activation plus `vector`, as in steering.

    Raises:
        InputError: when it runs on an activation that `vector` does not broadcast to.
    """
    return lambda activation, hook: (
        activation + _fitting(vector, activation, f"{hook.name}: vector")
    )


def patch(source: torch.Tensor) -> Hook:
    """What stood at the site in another run.

    Raises:
        InputError: when it runs on an activation of another shape: the runs differ in length.
    """

    def replace(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        if source.shape != activation.shape:
            raise InputError(
                f"{hook.name}: source: expected shape {tuple(activation.shape)}, got "
                f"{tuple(source.shape)}. Patch between batches of equal size and length."
            )
        return source

    return replace


def mean_of(reference: torch.Tensor, counted: Any = None) -> Hook:
    """The mean over a reference batch, at each position.

    Args:
        reference: (batch, position, ...) activations of the site, from a run.
        counted: (batch, position) which entries count, `tokens != pad`; all if None.

    Raises:
        InputError: `counted` of another shape; a position at which no entry counts.
    """
    counted = np.ones(reference.shape[:2], dtype=bool) if counted is None else counted
    weight = torch.as_tensor(counted, device=reference.device).to(reference.dtype)
    if weight.shape != reference.shape[:2]:
        raise reject("counted", tuple(weight.shape), f"shape {tuple(reference.shape[:2])}")
    n = weight.sum(0)
    if bool((n == 0).any()):
        at = torch.nonzero(n == 0).flatten().tolist()
        raise InputError(f"counted: expected an entry at every position, got none at {at}.")
    return set_to(torch.einsum("bp,bp...->p...", weight / n, reference))


def only(
    hook: Hook,
    *,
    positions: Any = None,
    heads: int | Sequence[int] | None = None,
    neurons: int | Sequence[int] | None = None,
    basis: Any = None,
) -> Hook:
    """`hook` on a part of the activation; the rest stays.

    Args:
        hook: what to do there.
        positions: their numbers, or (batch, position) booleans; at hook_attn_scores and
            hook_pattern, those of the query.
        heads: their numbers, at sites that have heads.
        neurons: entries of the last axis.
        basis: (k, width) orthonormal rows: only the component in their span changes, as in an
            interchange intervention.

    Raises:
        InputError: rows that are not orthonormal; when it runs, numbers that the site does not
            have, and booleans or rows of another shape.
    """
    rows = None if basis is None else check_basis(basis)

    def restricted(activation: torch.Tensor, hook_point: HookPoint) -> torch.Tensor | None:
        new = hook(activation, hook=hook_point)
        if new is None:
            return None
        if rows is not None:
            if rows.shape[1] != activation.shape[-1]:
                given, expected = tuple(rows.shape), f"width {activation.shape[-1]}"
                raise reject(f"{hook_point.name}: basis", given, expected)
            span = _like(rows, activation)
            new = activation + (new - activation) @ span.T @ span
        part = _part(activation, hook_point.name, positions, heads, neurons)
        return torch.where(part, new, activation)

    return lambda activation, hook: restricted(activation, hook)


def check_basis(basis: Any) -> torch.Tensor:
    """Orthonormal rows (k, width) as a float64 tensor.

    Raises:
        InputError: they are not, to 1e-4, which float32 decompositions keep.
    """
    # A copy: torch warns of arrays that are read-only, and truth is.
    given = basis.copy() if isinstance(basis, np.ndarray) else basis
    rows = torch.as_tensor(given).double()
    if rows.ndim != 2 or rows.shape[0] > rows.shape[1]:
        raise InputError(f"basis: expected shape (k, width), k <= width, got {tuple(rows.shape)}.")
    error = float((rows @ rows.T - torch.eye(len(rows), device=rows.device)).abs().max())
    if not error <= _ORTHONORMAL:
        raise InputError(
            f"basis: expected orthonormal rows, got products off by {error:.3g}. "
            "Make them so: torch.linalg.qr(basis.T).Q.T."
        )
    return rows


def _part(
    activation: torch.Tensor, site: str, positions: Any, heads: Any, neurons: Any
) -> torch.Tensor:
    """Which entries are meant, in a shape that broadcasts to the activation."""
    head_first = site.endswith(_BY_HEAD_FIRST)
    part = torch.ones([1] * activation.ndim, dtype=torch.bool, device=activation.device)
    if positions is not None:
        part = part & _along(activation, positions, 2 if head_first else 1, f"{site}: positions")
    if heads is not None:
        if activation.ndim != 4:
            raise InputError(f"{site}: heads: expected a site with heads, such as attn.hook_z.")
        part = part & _along(activation, heads, 1 if head_first else 2, f"{site}: heads")
    if neurons is not None:
        part = part & _along(activation, neurons, activation.ndim - 1, f"{site}: neurons")
    return part


def _along(activation: torch.Tensor, given: Any, axis: int, what: str) -> torch.Tensor:
    """True at the numbers `given` on `axis`; (batch, axis) booleans are taken as they are."""
    numbers = torch.as_tensor(given, device=activation.device)
    batch, n = activation.shape[0], activation.shape[axis]
    shape = [1] * activation.ndim
    shape[axis] = n
    if numbers.dtype == torch.bool:
        if numbers.shape != (batch, n):
            raise reject(what, tuple(numbers.shape), f"numbers, or booleans of shape {(batch, n)}")
        shape[0] = batch
        return numbers.reshape(shape)
    numbers = numbers if numbers.numel() else numbers.long()
    if numbers.is_floating_point() or not bool(((-n <= numbers) & (numbers < n)).all()):
        raise reject(what, given, f"whole numbers from 0 to {n - 1}")
    flags = torch.zeros(n, dtype=torch.bool, device=activation.device)
    flags[numbers] = True
    return flags.reshape(shape)


def _fitting(value: Any, activation: torch.Tensor, what: str) -> torch.Tensor:
    """`value` as a tensor that broadcasts to the activation."""
    tensor, shape = _like(value, activation), activation.shape
    n = len(shape) - tensor.ndim
    if n < 0 or any(k not in (1, m) for k, m in zip(tensor.shape, shape[n:], strict=True)):
        raise reject(what, tuple(tensor.shape), f"what broadcasts to {tuple(shape)}")
    return tensor


def _like(value: Any, activation: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(value, dtype=activation.dtype, device=activation.device)
