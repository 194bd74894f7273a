"""What the models read: rows of token ids that begin with `bos` and may end with `pad`."""

from __future__ import annotations

from typing import Any, Protocol

from groundtruth.errors import InputError


class Vocabulary(Protocol):
    """What a model knows of its tokens; `Weights` and every form of them have it."""

    @property
    def n_tokens(self) -> int: ...
    @property
    def n_positions(self) -> int: ...
    @property
    def bos(self) -> int: ...


def check_tokens(vocabulary: Vocabulary, tokens: Any) -> None:
    """Refuse what is not rows of known ids that begin with `bos`.

    Args:
        tokens: (batch, position) whole numbers, a numpy array or a torch tensor.

    Raises:
        InputError: any of that does not hold.
    """
    if tokens.ndim != 2 or 0 in tokens.shape:
        raise _refuse("shape (batch, position), neither 0", f"{tuple(tokens.shape)}")
    if "int" not in str(tokens.dtype):
        raise _refuse("whole numbers", f"{tokens.dtype}")
    if tokens.shape[1] > vocabulary.n_positions:
        raise _refuse(f"at most {vocabulary.n_positions} positions", f"{tokens.shape[1]}")
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocabulary.n_tokens:
        raise _refuse(f"ids from 0 to {vocabulary.n_tokens - 1}", f"{low} to {high}")
    if not bool((tokens[:, 0] == vocabulary.bos).all()):
        first = sorted({int(t) for t in tokens[:, 0]})
        raise _refuse(f"the begin-of-sequence id {vocabulary.bos} at position 0", f"{first}")


def _refuse(expected: str, got: str) -> InputError:
    return InputError(f"tokens: expected {expected}, got {got}.")
