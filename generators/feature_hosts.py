"""Transformers that compute a planted network, and the law of their inputs.

A sequence is bos, one token for each brought feature, and an empty token, where everything is read.
Token 2 + l says that the feature of its position has the magnitude of level l. Head i attends to
position i and writes magnitude times d_i; MLP l is layer l of the network. So at the last position
the residual stream is sum_i a_i d_i and nothing else, and what follows from editing it is the
network's closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from groundtruth import hashing, seeds
from groundtruth.errors import InputError, reject
from groundtruth.generators.analytic_transformers import BOS, CONTENT, PAD, SHARP, head, spaces
from groundtruth.generators.dictionaries import random_rotation
from groundtruth.models.weights import MLP, Block, Weights
from groundtruth.planted_network import PlantedNetwork

CERTIFIED = 1e-9
"""Largest difference between model and closed form, of outputs of size about 10: sums of a hundred
terms in double precision are off by about 1e-13."""


@dataclass(frozen=True)
class InputLaw:
    """How brought features fire: independently, but for those that copy an earlier one.

    Fields:
        magnitudes: (n_levels,) increasing from 0.
        chances: (n_brought, n_levels) of each level.
        parent: (n_brought,) an earlier feature with the same chances, or -1.
        copied: (n_brought,) the chance of having the parent's level, else its own draw. This is the
            correlation of the two, exactly.
    """

    magnitudes: np.ndarray
    chances: np.ndarray
    parent: np.ndarray
    copied: np.ndarray

    def __post_init__(self) -> None:
        if self.magnitudes[0] != 0 or (np.diff(self.magnitudes) <= 0).any():
            raise reject("magnitudes", self.magnitudes, "increasing numbers from 0")
        if (self.chances < 0).any() or np.abs(self.chances.sum(1) - 1).max() > 1e-9:
            raise InputError("chances: expected rows that sum to 1.")
        for i in np.flatnonzero(self.parent >= 0):
            j = self.parent[i]
            if j >= i or not np.array_equal(self.chances[i], self.chances[j]):
                raise InputError(f"parent: expected one before feature {i}, of the same chances.")

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """(n, n_brought) levels."""
        ends = self.chances.cumsum(1)
        drawn = (rng.random((n, len(ends)))[:, :, None] >= ends[None, :, :-1]).sum(-1)
        copies = rng.random((n, len(ends))) < self.copied
        for i in np.flatnonzero(self.parent >= 0):
            drawn[:, i] = np.where(copies[:, i], drawn[:, self.parent[i]], drawn[:, i])
        return drawn

    def every(self) -> tuple[np.ndarray, np.ndarray]:
        """All (n, n_brought) levels that can be, and (n,) their chances."""
        levels = np.array(list(product(*(np.flatnonzero(row) for row in self.chances))))
        chance = np.ones(len(levels))
        for i, (j, copied) in enumerate(zip(self.parent, self.copied)):
            own = self.chances[i, levels[:, i]]
            chance *= own if j < 0 else copied * (levels[:, i] == levels[:, j]) + (1 - copied) * own
        return levels, chance

    def arrays(self) -> dict[str, np.ndarray]:
        """What a content hash covers."""
        return {
            "magnitudes": self.magnitudes,
            "chances": self.chances,
            "parent": self.parent.astype(np.int64),
            "copied": self.copied,
        }


@dataclass(frozen=True, eq=False)
class FeatureHost:
    """A planted network as a transformer.

    Fields:
        names: of all features, brought and computed.
        directions: (n_features, d) unit rows; at each site, those of the features that are there.
        readouts: (d, n_features) with directions @ readouts = 1.
        weights: of the transformer.
    """

    network: PlantedNetwork
    law: InputLaw
    names: tuple[str, ...]
    directions: np.ndarray
    readouts: np.ndarray
    weights: Weights

    def tokens(self, levels: np.ndarray) -> np.ndarray:
        """(n, 2 + n_brought) of levels (n, n_brought)."""
        ends = np.full((len(levels), 1), CONTENT)
        return np.concatenate([0 * ends + BOS, CONTENT + levels, ends], axis=1)

    def brought(self, tokens: np.ndarray) -> np.ndarray:
        """(n, n_brought) magnitudes that tokens stand for."""
        return self.law.magnitudes[np.asarray(tokens)[:, 1:-1] - CONTENT]

    def hash(self, root: bytes, level: int, tokens: np.ndarray) -> str:
        """Of the weights, the law of the inputs, the stream that methods see, the site behind
        `level` layers, and the inputs that score."""
        return hashing.content_hash(
            {
                "weights": self.weights.hash,
                "root": seeds.derive(root, "identity").hex(),
                "level": level,
            },
            {**self.law.arrays(), "tokens": tokens.astype(np.int64)},
        )

    def certify(self, tokens: np.ndarray) -> None:
        """Run the model: outputs and every site's features are those of the closed form.

        Raises:
            AssertionError: they are not, which would be a fault of the construction.
        """
        import torch

        from groundtruth.models.site_edits import read_site
        from groundtruth.models.transformer import Transformer

        model = Transformer(self.weights, torch.float64)
        brought = self.brought(tokens)
        found = model(tokens)[:, -1].detach().numpy()
        worst = np.abs(found - self.network.outputs(brought)).max()
        for level in range(len(self.network.layers) + 1):
            codes = self.network.codes(brought, level)
            x = read_site(model, site_of(level), tokens).numpy()
            worst = max(worst, np.abs(x - codes @ self.directions[: codes.shape[1]]).max())
        if not worst <= CERTIFIED:
            raise AssertionError(f"model and closed form differ by {worst:.3g}")


def site_of(level: int) -> str:
    """The hook site behind `level` layers."""
    return f"blocks.{level - 1}.hook_resid_post" if level else "blocks.0.hook_resid_mid"


def feature_host(
    network: PlantedNetwork, law: InputLaw, names: Sequence[str], root: bytes, cosine: float = 0.0
) -> FeatureHost:
    """The transformer of a network, in a random basis of the residual stream.

    Args:
        network: with at least one layer.
        names: of all features.
        root: of the basis.
        cosine: between any two directions. They stay linearly independent, so every readout exists;
            above 0 it differs from the direction: what reads a feature is not what writes it.

    Raises:
        InputError: a network without layers, other numbers of names or chances, a cosine out of
            range.
    """
    n, m = network.n_features, network.n_brought
    if not network.layers:
        raise InputError("network: expected at least one layer, got none.")
    if len(names) != n or law.chances.shape[0] != m:
        raise InputError(f"names, law: expected {n} names and {m} brought features.")
    if not 0 <= cosine < 1:
        raise reject("cosine", cosine, "0 or more, below 1")
    d, part = spaces(level=1, position=2, feature=n)
    basis = random_rotation(d, seeds.generator(root, "basis"))
    mixed = np.linalg.cholesky(np.full((n, n), cosine) + (1 - cosine) * np.eye(n))
    directions = mixed @ basis[part["feature"]]
    readouts = basis[part["feature"]].T @ np.linalg.inv(mixed)
    weights = _weights(network, law, basis, part, directions, readouts)
    return FeatureHost(network, law, tuple(names), directions, readouts, weights)


def _weights(
    network: PlantedNetwork,
    law: InputLaw,
    basis: np.ndarray,
    part: dict[str, slice],
    directions: np.ndarray,
    readouts: np.ndarray,
) -> Weights:
    d, m = len(basis), network.n_brought
    level, circle = basis[part["level"]], basis[part["position"]]
    W_E = np.zeros((CONTENT + len(law.magnitudes), d))
    W_E[CONTENT:] = law.magnitudes[:, None] * level
    # Positions stand on a circle, which takes two dimensions whatever their number; the first and
    # the last stand at its centre, so that nothing but features is there.
    angles = 2 * np.pi * np.arange(1, m + 1) / (m + 1)
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ circle
    W_pos = np.zeros((m + 2, d))
    W_pos[1:-1] = places
    # A head's own position scores `sharp`, its neighbours SHARP less.
    sharp = SHARP / (1 - np.cos(2 * np.pi / (m + 1)))
    heads = tuple(
        head(np.zeros((d, 1)), places[[i]].T, level.T, directions[[i]], b_Q=sharp) for i in range(m)
    )
    blocks, width = [], m
    for layer in network.layers:
        new = layer.write.shape[1]
        mlp = MLP(
            readouts[:, :width] @ layer.read,
            layer.bias,
            layer.write @ directions[width : width + new],
            np.zeros(d),
        )
        blocks.append(Block(heads if not blocks else (), np.zeros(d), mlp))
        width += new
    return Weights(
        W_E=W_E,
        W_pos=W_pos,
        blocks=tuple(blocks),
        W_U=readouts @ network.out,
        b_U=network.constant,
        bos=BOS,
        pad=PAD,
    )
