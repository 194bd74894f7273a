"""Hierarchical equality by hand: whether W = X is what Y = Z is, with both equalities planted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from groundtruth import seeds
from groundtruth.errors import reject
from groundtruth.generators.analytic_transformers import (
    BOS,
    CONTENT,
    PAD,
    SHARP,
    head,
    reading,
    spaces,
    writing,
)
from groundtruth.models.transformer import Transformer
from groundtruth.models.weights import MLP, Block, Weights
from groundtruth.testbed import Recipe
from groundtruth.variable_pairs import Answers
from groundtruth.variable_testbed import Sequences, VariableTestbed
from groundtruth.variable_truth import CausalVariable, VariableTruth

SOURCE = (
    'the task of Geiger et al., "Finding Alignments Between Interpretable Causal Variables and '
    'Distributed Neural Representations", 2023, https://arxiv.org/abs/2303.02536, and the '
    "hand-made network of pyvene's introduction to DAS"
)
INPUTS = ("W", "X", "Y", "Z")


@dataclass(frozen=True)
class HierarchicalEquality:
    """same = (WX = YZ), WX = (W = X), YZ = (Y = Z); all as if computed at each position.

    Example:
        >>> model = HierarchicalEquality()
        >>> model.run([1, 1, 2, 3])["same"][-1]
        False
        >>> model.run([1, 1, 2, 3], {"WX": {3: False}})["same"]
        [False, False, False, True]
    """

    def run(
        self,
        sequence: Sequence[Any],
        interventions: Mapping[str, Mapping[int, Any]] | None = None,
    ) -> dict[str, list[Any]]:
        """The value of each variable at each position."""
        given = interventions or {}
        found: dict[str, list[Any]] = {}
        rules = {name: lambda p, k=k: sequence[k] for k, name in enumerate(INPUTS)} | {
            "WX": lambda p: found["W"][p] == found["X"][p],
            "YZ": lambda p: found["Y"][p] == found["Z"][p],
            "same": lambda p: found["WX"][p] == found["YZ"][p],
        }
        for name, rule in rules.items():
            changed = given.get(name, {})
            found[name] = [changed[p] if p in changed else rule(p) for p in range(len(sequence))]
        return found

    def take(
        self, name: str, source: Sequence[Any], positions: Iterable[int] | None = None
    ) -> dict[int, Any]:
        """The values of a variable on another input."""
        row = self.run(source)[name]
        return {p: row[p] for p in (range(len(row)) if positions is None else positions)}


def hierarchical_equality(
    n_objects: int = 16, *, rotated: bool = True, seed: int = 0
) -> VariableTestbed:
    """The testbed: bos W X Y Z, each one of `n_objects` random vectors of two dimensions.

    Four heads bring the vectors to every position. Of the 8 neurons of the first block 0 to 3 make
    |w - x|, the 1-norm, and 4 to 7 |y - z|; each sum is one direction of the residual stream. The
    closest two objects are 1 apart, so WX is |w - x| = 0 and else at least 1. The second block adds

        same = 1 - ReLU(1 - |w - x|) - ReLU(1 - |y - z|) + 2 ReLU(1 - |w - x| - |y - z|)

    and 1 less that. A pair is equal with chance 1/2, interchange and answers are at the last
    position.

    Args:
        n_objects: at least 2.
        rotated: the residual stream is turned at random, so that no axis of it means anything.
            Neurons are never turned: ReLU fixes their axes.
        seed: of the objects, the rotation and all streams.

    Example:
        >>> testbed = hierarchical_equality(4)
        >>> tokens = testbed.encode([[0, 0, 2, 2], [0, 0, 2, 1]])
        >>> testbed.model(tokens)[:, -1].round().tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if n_objects < 2:
        raise reject("n_objects", n_objects, "at least 2")
    rng = seeds.generator(seeds.root_of("hierarchical_equality", seed))
    objects = _kept_apart(rng, n_objects)
    d, part = spaces(token=2, position=5, brought=8, apart=2, out=2)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] if rotated else np.eye(d)
    weights = _turned(_weights(objects, d, part), turn)
    rows = {name: slice(2 * k, 2 * k + 2) for k, name in enumerate(INPUTS)}
    variables = [
        CausalVariable(
            name,
            "blocks.0.hook_resid_mid",
            turn[part["brought"]][at],
            tuple(range(n_objects)),
            objects,
        )
        for name, at in rows.items()
    ]
    truths = (False, True)
    ends = np.array([[1.0], [0.0]])
    variables += [
        CausalVariable(name, "blocks.0.hook_resid_post", turn[part["apart"]][[k]], truths, ends)
        for k, name in enumerate(("WX", "YZ"))
    ]
    out = CausalVariable("same", "blocks.1.hook_resid_post", turn[part["out"]], truths, np.eye(2))

    def draw(rng: np.random.Generator, n: int) -> Sequences:
        first = rng.integers(0, n_objects, (n, 2))
        other = (first + rng.integers(1, n_objects, (n, 2))) % n_objects
        second = np.where(rng.random((n, 2)) < 0.5, first, other)
        return np.stack([first, second], axis=-1).reshape(n, 4).tolist()

    return VariableTestbed(
        Recipe(
            "variables/hierarchical_equality", {"n_objects": n_objects, "rotated": rotated}, seed
        ),
        "analytic",
        SOURCE,
        Transformer(weights, torch.float32),
        (
            "blocks.0.hook_resid_pre",
            "blocks.0.hook_resid_mid",
            "blocks.0.hook_resid_post",
            "blocks.1.hook_resid_post",
        ),
        VariableTruth((*variables, out), HierarchicalEquality()),
        "same",
        Answers(truths, np.eye(2)),
        ("WX", "YZ"),
        draw,
        lambda sequences: np.pad(
            np.asarray(sequences) + CONTENT, ((0, 0), (1, 0)), constant_values=BOS
        ),
        last_only=True,
    )


def _kept_apart(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 2) random vectors; each the farthest from those before it of many in a square, all scaled
    so that the closest two are 1 apart in the 1-norm.

    Where some are far closer than most, ReLU(1 - distance) is flat nearly everywhere, and no
    gradient finds it.
    """
    drawn = rng.uniform(-1, 1, (64 * n, 2))
    chosen, gap = drawn[:1], np.inf
    for _ in range(n - 1):
        apart = np.abs(drawn[:, None] - chosen).sum(-1).min(1)
        gap = min(gap, apart.max())
        chosen = np.concatenate([chosen, drawn[[apart.argmax()]]])
    return (chosen - chosen.mean(0)) / gap


def _weights(objects: np.ndarray, d: int, part: dict[str, slice]) -> Weights:
    W_E = np.zeros((CONTENT + len(objects), d))
    W_E[CONTENT:, part["token"]] = objects
    brought, apart, out = part["brought"], part["apart"], part["out"]
    heads = tuple(
        head(
            np.zeros((d, 1)),
            reading(d, part["position"], np.eye(5)[:, [position]]),
            reading(d, part["token"], np.eye(2)),
            writing(d, slice(brought.start + 2 * k, brought.start + 2 * k + 2), np.eye(2)),
            b_Q=SHARP,
        )
        for k, position in enumerate(range(1, 5))
    )
    # Of each pair the differences of both dimensions, in both signs.
    differences = np.kron(np.eye(2), np.concatenate([np.eye(2), -np.eye(2)]))
    signed = np.concatenate([differences, -differences], axis=1)
    order = [0, 1, 4, 5, 2, 3, 6, 7]
    distance = MLP(
        reading(d, brought, signed[:, order]),
        np.zeros(8),
        writing(d, apart, np.kron(np.eye(2), np.ones((4, 1)))),
        np.zeros(d),
    )
    says = np.array([1.0, 1.0, -2.0])[:, None] * np.array([1.0, -1.0])
    one = np.zeros(d)
    one[out.start + 1] = 1
    answer = MLP(
        reading(d, apart, np.array([[-1.0, 0, -1], [0, -1, -1]])),
        np.ones(3),
        writing(d, out, says),
        one,
    )
    return Weights(
        W_E=W_E,
        W_pos=writing(d, part["position"], np.eye(5)),
        blocks=(Block(heads, np.zeros(d), distance), Block((), np.zeros(d), answer)),
        W_U=reading(d, out, np.eye(2)),
        b_U=np.zeros(2),
        bos=BOS,
        pad=PAD,
    )


def _turned(weights: Weights, turn: np.ndarray) -> Weights:
    """The same model on the residual stream x `turn`, an orthogonal matrix."""

    def block(old: Block) -> Block:
        heads = tuple(
            replace(
                h,
                W_Q=turn.T @ h.W_Q,
                W_K=turn.T @ h.W_K,
                W_V=turn.T @ h.W_V,
                W_O=h.W_O @ turn,
            )
            for h in old.heads
        )
        assert old.mlp is not None
        mlp = replace(
            old.mlp,
            W_in=turn.T @ old.mlp.W_in,
            W_out=old.mlp.W_out @ turn,
            b_out=old.mlp.b_out @ turn,
        )
        return replace(old, heads=heads, b_O=old.b_O @ turn, mlp=mlp)

    return replace(
        weights,
        W_E=weights.W_E @ turn,
        W_pos=weights.W_pos @ turn,
        blocks=tuple(block(old) for old in weights.blocks),
        W_U=turn.T @ weights.W_U,
    )
