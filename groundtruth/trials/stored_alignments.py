"""Alignments as arrays. Subspaces are stored as they are; decoders and maps, which are functions,
by what they said on all that scores, which is all that scores depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from groundtruth.alignment import Alignment, Subspace
from groundtruth.evaluators.variable_probes import read_values
from groundtruth.evaluators.variable_runs import VariableRuns
from groundtruth.trials.sites import Tensors, recalled
from groundtruth.variable_subject import activations
from groundtruth.variable_testbed import VariableTestbed

if TYPE_CHECKING:
    import torch


def stored(testbed: VariableTestbed, alignment: Alignment, n: int) -> Tensors:
    """What is claimed; `n` pairs, or inputs, score each variable."""
    claims = alignment.subspaces
    places = {v: {"site": c.site, "positions": c.positions} for v, c in claims.items()}
    tensors = {"places": text_array(json.dumps(places))}
    for name, claim in claims.items():
        tensors[f"{name}.basis"] = claim.basis
        if name not in testbed.hypothesis:  # nobody asks for its values
            continue
        if claim.decode is not None:
            tensors[f"{name}.read"] = _numbers(testbed, name, claim, n)
        if claim.featurizer is not None:
            to, back = (_Recorded(part) for part in claim.featurizer)
            heard = replace(claim, featurizer=(to, back))
            VariableRuns(testbed, name, n, 0).outcome(heard)
            tensors |= {f"{name}.to.{key}": rows for key, rows in to.rows().items()}
            tensors |= {f"{name}.back.{key}": rows for key, rows in back.rows().items()}
    return tensors


def restored(testbed: VariableTestbed, tensors: Mapping[str, np.ndarray], n: int) -> Alignment:
    """An alignment that scores as the one did that was stored."""
    return Alignment(
        {
            name: _subspace(testbed, name, place, tensors, n)
            for name, place in json.loads(array_text(tensors["places"])).items()
        }
    )


def text_array(text: str) -> np.ndarray:
    """A text as its bytes."""
    return np.frombuffer(text.encode(), np.uint8)


def array_text(array: np.ndarray) -> str:
    """The text that `text_array` was given."""
    return array.tobytes().decode()


def _subspace(
    testbed: VariableTestbed,
    name: str,
    place: dict[str, Any],
    tensors: Mapping[str, np.ndarray],
    n: int,
) -> Subspace:
    site, positions = place["site"], place["positions"]
    decode = featurizer = None
    if f"{name}.read" in tensors:
        values = (*testbed.values(name), _NO_VALUE)
        look = recalled(_seen(testbed, name, site, n), tensors[f"{name}.read"])
        decode = lambda x: [values[k] for k in look(x)]  # noqa: E731
    if f"{name}.to.given" in tensors:
        to, back = (
            _map(tensors[f"{name}.{which}.given"], tensors[f"{name}.{which}.said"])
            for which in ("to", "back")
        )
        featurizer = (to, back)
    return Subspace(
        site,
        tensors[f"{name}.basis"],
        None if positions is None else tuple(positions),
        decode,
        featurizer,
    )


_NO_VALUE = object()
"""What a decoder says that says no value of the variable."""


def _numbers(testbed: VariableTestbed, name: str, claim: Subspace, n: int) -> np.ndarray:
    """Which value is read off each row of what scores; -1: none."""
    values = testbed.values(name)
    found = read_values(claim, _seen(testbed, name, claim.site, n))
    matches = ((k for k, value in enumerate(values) if value == one) for one in found)
    return np.array([next(match, -1) for match in matches])


def _seen(testbed: VariableTestbed, name: str, site: str, n: int) -> np.ndarray:
    return activations(testbed.model, testbed.labelled(name, n), site)


class _Recorded:
    """A map that keeps what it was given, and what it said."""

    def __init__(self, told: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.told, self._kept = told, ([], [])

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        said = self.told(x)
        for kept, tensor in zip(self._kept, (x, said)):
            kept.append(tensor.detach().cpu().numpy().reshape(-1, tensor.shape[-1]))
        return said

    def rows(self) -> Tensors:
        """Each row that was given, once."""
        given, said = (np.concatenate(kept) for kept in self._kept)
        given, first = np.unique(given, axis=0, return_index=True)
        return {"given": given, "said": said[first]}


def _map(given: np.ndarray, said: np.ndarray) -> Callable[[torch.Tensor], torch.Tensor]:
    import torch

    look = recalled(given, said)

    def told(x: torch.Tensor) -> torch.Tensor:
        found = look(x.detach().cpu().numpy().reshape(-1, x.shape[-1]))
        return torch.tensor(found, dtype=x.dtype, device=x.device).reshape(x.shape)

    return told
