"""The weights of a plan: each direction is an axis of the residual stream.

Begin-of-sequence. It attends to itself, so what heads write there is known, and what later heads
read of it is taken off again by the weights of direction `BOS`; neurons are kept off there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from groundtruth.compiled_models import components
from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.expressions import Constant, Indices, Tokens
from groundtruth.compiled_models.layout import BOS, Layout
from groundtruth.compiled_models.placement import Placement
from groundtruth.compiled_models.pointwise import target_of
from groundtruth.models import MLP, Block, Head, Weights


def assembled(analysis: Analysis, layout: Layout, placement: Placement) -> Weights:
    """Weights whose tokens are those of the vocabulary in its order, then begin-of-sequence, then
    padding, and whose outputs are the directions of the program's output."""
    d, n_tokens = layout.d_model, len(analysis.vocab)
    output = layout[analysis.program.names[analysis.program.output]]
    at_bos = np.zeros(d)
    blocks = []
    for block in placement.blocks:
        heads = tuple(_head(head, d, at_bos) for head in block.heads)
        for head in block.heads:
            at_bos[head.writes.span] = head.writes.at_bos
        units = [unit for neurons in block.neurons for unit in neurons.units]
        blocks.append(Block(heads, np.zeros(d), _mlp(units, d, at_bos) if units else None))
    W_E, W_pos = _embeddings(analysis, layout)
    W_U = np.eye(d)[:, output.directions]
    return Weights(
        W_E=W_E,
        W_pos=W_pos,
        blocks=tuple(blocks),
        W_U=W_U,
        b_U=np.zeros(W_U.shape[1]),
        bos=n_tokens,
        pad=n_tokens + 1,
        causal=analysis.program.causal,
    )


def _embeddings(analysis: Analysis, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and constants by token, indices by position."""
    n_tokens = len(analysis.vocab)
    W_E = np.zeros((n_tokens + 2, layout.d_model))
    W_pos = np.zeros((analysis.max_length + 1, layout.d_model))
    W_E[n_tokens, BOS] = 1
    for variable in layout.values():
        domain = analysis.domains[variable.expression]
        match variable.expression:
            case Tokens():
                for row, token in enumerate(analysis.vocab):
                    W_E[row, variable.direction(domain.code[token])] = 1
            case Indices():
                W_pos[1:, variable.directions] = np.eye(analysis.max_length)
            case Constant():
                for direction, weight in target_of(domain, variable.start)(0).items():
                    W_E[:n_tokens, direction] = weight
            case _:
                pass
    return W_E, W_pos


def _mlp(units: Sequence[components.Unit], d: int, at_bos: np.ndarray) -> MLP:
    W_in, W_out = np.zeros((d, len(units))), np.zeros((len(units), d))
    for column, unit in enumerate(units):
        W_in[list(unit.reads), column] = list(unit.reads.values())
        W_out[column, list(unit.writes)] = list(unit.writes.values())
    b_in = np.array([unit.bias for unit in units])
    W_in[BOS] -= np.maximum(at_bos @ W_in + b_in + 1, 0)
    return MLP(W_in, b_in, W_out, np.zeros(d))


def _head(head: components.Head, d: int, at_bos: np.ndarray) -> Head:
    targets = head.targets
    W_V, W_O = np.zeros((d, len(targets))), np.zeros((len(targets), d))
    for source, to, factor in head.moves:
        W_V[source, targets.index(to)] += factor
    W_O[range(len(targets)), targets] = 1
    W_V[BOS] = [head.from_bos.get(to, 0.0) for to in targets] - at_bos @ W_V
    W_Q, b_Q, W_K, b_K = scores(head, d)
    W_Q[BOS] -= at_bos @ W_Q
    W_K[BOS] -= at_bos @ W_K
    W_K[BOS, 0] += head.bos
    return Head(W_Q, b_Q, W_K, b_K, W_V, np.zeros(len(targets)), W_O)


def scores(head: components.Head, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Queries and keys; their first coordinate is for what does not depend on the query."""
    parts = [_factors(term) for term in head.terms]
    width = 1 + (sum(keys.shape[1] for keys, _ in parts) if parts else 1)
    W_Q, W_K = np.zeros((2, d, width))
    b_Q, b_K = np.zeros((2, width))
    b_Q[0] = 1
    for direction, score in head.preferences.items():
        W_K[direction, 0] += score
    if not parts:
        b_Q[1], W_Q[BOS, 1] = 1, -1
        b_K[1], W_K[BOS, 1] = head.scale, -head.scale
    at = 1
    for term, (keys, queries) in zip(head.terms, parts):
        columns = slice(at, at + keys.shape[1])
        W_K[term.keys.span, columns] += keys
        W_Q[term.queries.span, columns] += head.scale * queries
        at = columns.stop
    return W_Q, b_Q, W_K, b_K


def _factors(term: components.Term) -> tuple[np.ndarray, np.ndarray]:
    """(keys, width) and (queries, width) with wanted = keys @ queries', of the least width that
    tells apart keys that are wanted by different queries, or the reverse."""
    if term.factors is not None:
        return term.factors
    by_key, key_of = _distinct(term.wanted)
    by_query, query_of = _distinct(term.wanted.T)
    if len(by_key) <= len(by_query):
        return key_of, by_key.T
    return by_query.T, query_of


def _distinct(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of `table` other than 0, and (row, distinct row) which it is."""
    rows, which = np.unique(table, axis=0, return_inverse=True)
    kept = rows.any(axis=1)
    return rows[kept], np.eye(len(rows))[which.reshape(-1)][:, kept]
