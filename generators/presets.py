"""Named worlds. Each states its source, what it is for, and its parameters in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from groundtruth.errors import UnknownName
from groundtruth.generators.sparse import sparse
from groundtruth.testbed import Testbed

SANITY = 'Korznikov et al., "Sanity Checks for Sparse Autoencoders", 2026, arXiv 2602.14111'

SYNTHSAEBENCH = 'Chanin and Garriga-Alonso, "SynthSAEBench", 2026, https://arxiv.org/abs/2602.14687'

ABSORPTION = (
    'Chanin et al., "A is for Absorption", 2024, https://arxiv.org/abs/2409.14507; the closed form '
    "is ours"
)
HEDGING = (
    'Chanin et al., "Feature Hedging", 2025, https://arxiv.org/abs/2505.11756; the closed form is '
    "ours"
)
PAIR = (
    'Minder et al., "Robustly identifying concepts introduced during chat fine-tuning using '
    'crosscoders", 2025, https://arxiv.org/abs/2504.02922 (what breaks; the world is ours)'
)
CROSS_LAYER = (
    'Lindsey et al., "Sparse Crosscoders for Cross-Layer Features and Model Diffing", 2024, '
    "https://transformer-circuits.pub/2024/crosscoders (the idea; the world is ours)"
)
WRONG_L0 = "chanind/sparse-but-wrong-paper, notebooks/small_toy_model_experiments.ipynb"
MANIFOLD = (
    'Engels et al., "Not All Language Model Features Are One-Dimensionally Linear", 2024, '
    'https://arxiv.org/abs/2405.14860; Michaud et al., "Understanding sparse autoencoder scaling '
    'in the presence of feature manifolds", 2025, https://arxiv.org/abs/2509.02565; the worlds and '
    "the closed form are ours"
)
COMPOSED = (
    'Anders et al., "Sparse autoencoders find composed features in small toy models", 2024, '
    "https://www.lesswrong.com/posts/a5wwqza2cY3W7L9cj (the idea; the world and the closed form "
    "are ours)"
)
TREE = "noanabeshima/matryoshka-saes, tree.json"


@dataclass(frozen=True)
class Preset:
    """A named world: what it is, where it comes from, and the parameters of `sparse`."""

    name: str
    summary: str
    source: str
    version: int
    parameters: dict[str, Any] = field(default_factory=dict)

    def build(self, /, *, seed: int = 0, **changes: Any) -> Testbed:
        """The world at `seed`, with any parameter of `sparse` changed by name."""
        parameters = {**self.parameters, **changes}
        if "log_normal" in self.parameters:
            parameters["magnitude"] = _log_normal(parameters)
            del parameters["log_normal"]
        known = set(sparse.__kwdefaults__ or {}) - {"name", "source", "seed"}
        unknown = set(parameters) - known
        if unknown:
            raise UnknownName(f"parameter of {self.name}", sorted(unknown)[0], known)
        return sparse(seed=seed, name=self.name, source=self.source, **parameters)


def _log_normal(parameters: dict[str, Any]) -> Any:
    """The two readings of "LogNormal(0, 0.25)": sigma = 0.25, or variance = 0.25."""
    reading = parameters["log_normal"]
    sigmas = {"sigma": 0.25, "variance": 0.5}
    if reading not in sigmas:
        raise UnknownName("reading of log_normal", str(reading), sigmas)
    default = {"law": "log-normal", "mu": 0.0, "sigma": sigmas[reading]}
    return parameters.get("magnitude", default)


def _synthsaebench(n_features: int, d: int, roots: int) -> dict[str, Any]:
    return {
        "n_features": n_features,
        "d": d,
        "firing": {"law": "zipf-range", "exponent": 0.5, "high": 0.4, "low": 5e-4},
        "magnitude": {
            "law": "rectified-normal",
            "mean": {"law": "linear", "first": 5.0, "last": 4.0},
            "std": {"law": "folded-normal", "mean": 0.5, "std": 0.5},
        },
        "dictionary": {"law": "orthogonalised", "n_steps": 100, "lr": 3e-4},
        "bias": 0.5,
        "hierarchy": {
            "law": "as_published",
            "roots": roots,
            "branching": 4,
            "depth": 3,
            "exclusive": 1.0,
            "scale_children": True,
        },
        "correlation": {"law": "low-rank", "rank": 25, "scale": 0.1},
    }


def _wrong_l0(correlation: float) -> dict[str, Any]:
    matrix = [[float(i == j) for j in range(5)] for i in range(5)]
    for i in range(1, 5):
        matrix[0][i] = matrix[i][0] = correlation
    return {
        "n_features": 5,
        "d": 20,
        "firing": {"law": "constant", "probability": 0.4},
        "magnitude": {"law": "rectified-normal", "mean": 1.0, "std": 0.15},
        "dictionary": {"law": "orthonormal"},
        "correlation": {"law": "full", "matrix": matrix},
    }


PRESETS: tuple[Preset, ...] = (
    Preset(
        "sparse/small",
        "128 features in 32 dimensions, about 5 at a time, probabilities 0.01 to 0.1: small enough "
        "that sparse autoencoders land between floor and ceiling in seconds.",
        "groundtruth",
        1,
        {
            "n_features": 128,
            "d": 32,
            "firing": {"law": "log-uniform", "low": 0.01, "high": 0.1},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
        },
    ),
    Preset(
        "sparse/sanity-constant",
        "3,200 features in 100 dimensions, all with probability 0.00625 (20 at a time).",
        SANITY,
        1,
        {
            "n_features": 3200,
            "d": 100,
            "firing": {"law": "constant", "probability": 0.00625},
            "log_normal": "sigma",
        },
    ),
    Preset(
        "sparse/sanity-variable",
        "3,200 features in 100 dimensions, log-uniform probabilities from 10^-5.5 to 10^-1.2 "
        "(about 20 at a time).",
        SANITY,
        1,
        {
            "n_features": 3200,
            "d": 100,
            "firing": {"law": "log-uniform", "low": 10**-5.5, "high": 10**-1.2},
            "log_normal": "sigma",
        },
    ),
    Preset(
        "sparse/orthonormal",
        "64 orthonormal features in 64 dimensions: no superposition; the easy limit.",
        "groundtruth",
        1,
        {
            "n_features": 64,
            "d": 64,
            "firing": {"law": "constant", "probability": 0.05},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
            "dictionary": {"law": "orthonormal"},
        },
    ),
    Preset(
        "sparse/zipf",
        "512 features in 64 dimensions, firing probability 0.25 / rank^0.7 (a true power law, "
        "about 5 at a time), with bias and a little noise: many rare features.",
        "groundtruth",
        1,
        {
            "n_features": 512,
            "d": 64,
            "firing": {"law": "zipf", "exponent": 0.7, "first": 0.25},
            "magnitude": {"law": "rectified-normal", "mean": 1.0, "std": 0.25},
            "dictionary": {"law": "low-coherence", "n_steps": 60},
            "noise": 0.01,
            "bias": 0.5,
        },
    ),
    Preset(
        "synthsaebench-16k",
        "16,384 features in 768 dimensions, about 34 at a time: 128 trees, exclusive children "
        "scaled by their parents, a copula of rank 25, an affinely rescaled Zipf law. The "
        "published distribution, its first-order compensation included.",
        SYNTHSAEBENCH,
        1,
        _synthsaebench(16_384, 768, 128),
    ),
    Preset(
        "synthsaebench-1k",
        "1,024 features in 96 dimensions, 8 trees: the laws of synthsaebench-16k for two cores.",
        SYNTHSAEBENCH,
        1,
        _synthsaebench(1024, 96, 8),
    ),
    Preset(
        "failure/absorption",
        "8 orthonormal features in 8 dimensions, 1 at a time: four parents, each with a child that "
        "fires in a quarter of its firings. A latent for parent and child together, at cosine "
        "0.7071 to each, saves 2 - sqrt 2 of the L1 penalty per firing of a child: sparsity "
        "prefers it to the planted dictionary.",
        ABSORPTION,
        1,
        {
            "n_features": 8,
            "d": 8,
            "firing": {"law": "given", "values": [0.2] * 4 + [0.05] * 4},
            "magnitude": {"law": "constant", "value": 1.0},
            "dictionary": {"law": "orthonormal"},
            "hierarchy": {"parents": [-1, -1, -1, -1, 0, 1, 2, 3]},
        },
    ),
    Preset(
        "failure/hedging",
        "2 orthonormal features in 50 dimensions: a parent (probability 0.25) and its child (0.2 "
        "given the parent), for a dictionary of one latent, whose optimum has cosines 0.9699 and "
        "0.2434 to the two: it mixes a part of the child into the parent.",
        HEDGING,
        1,
        {
            "n_features": 2,
            "d": 50,
            "firing": {"law": "given", "values": [0.25, 0.05]},
            "magnitude": {"law": "constant", "value": 1.0},
            "dictionary": {"law": "orthonormal"},
            "hierarchy": {"parents": [-1, 0]},
        },
    ),
    Preset(
        "failure/wrong-l0",
        "5 orthonormal features in 20 dimensions, 2 at a time, the first correlated with the "
        "others at 0.4: below an L0 of 2, latents mix the first into the others.",
        WRONG_L0,
        1,
        _wrong_l0(0.4),
    ),
    Preset(
        "failure/wrong-l0-negative",
        "5 orthonormal features in 20 dimensions, 2 at a time, the first correlated with the "
        "others at -0.4: mixed in with the opposite sign.",
        WRONG_L0,
        1,
        _wrong_l0(-0.4),
    ),
    Preset(
        "failure/tree",
        "20 orthonormal features in 20 dimensions, 1.12 at a time: 3 parents (0.15), each with 3 "
        "exclusive children (0.2 given the parent, none 0.4), and 8 on their own (0.05).",
        TREE,
        1,
        {
            "n_features": 20,
            "d": 20,
            "firing": {"law": "given", "values": [0.15] * 3 + [0.03] * 9 + [0.05] * 8},
            "magnitude": {"law": "constant", "value": 1.0},
            "dictionary": {"law": "orthonormal"},
            "hierarchy": {
                "parents": [-1] * 3 + [0] * 3 + [1] * 3 + [2] * 3 + [-1] * 8,
                "exclusive": [[3, 4, 5], [6, 7, 8], [9, 10, 11]],
            },
        },
    ),
    Preset(
        "failure/splitting",
        "10 orthonormal features in 16 dimensions: two parents of magnitude 2, each of which "
        "always fires with one of its four children, of magnitude 1. A latent for each child "
        "together with its parent, at cosine 0.8944 to the parent, halves the L0 and costs sqrt 5 "
        "where parent and child cost 3: sparsity splits the parents in four.",
        "groundtruth",
        1,
        {
            "n_features": 10,
            "d": 16,
            "firing": {"law": "given", "values": [0.2] * 2 + [0.05] * 8},
            "magnitude": {"law": "constant", "value": [2.0] * 2 + [1.0] * 8},
            "dictionary": {"law": "orthonormal"},
            "hierarchy": {
                "parents": [-1, -1, 0, 0, 0, 0, 1, 1, 1, 1],
                "exclusive": [[2, 3, 4, 5], [6, 7, 8, 9]],
            },
        },
    ),
    Preset(
        "failure/composed",
        "8 orthonormal features in 16 dimensions, 1 at a time: in half of the samples one of the "
        "first four, and in half, independently, one of the last four. With one code a sample "
        "combinations reconstruct more than features do; what each is made of can be found, since "
        "features also fire alone.",
        COMPOSED,
        1,
        {
            "n_features": 8,
            "d": 16,
            "firing": {"law": "constant", "probability": 0.125},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
            "dictionary": {"law": "orthonormal"},
            "exclusive": [[0, 1, 2, 3], [4, 5, 6, 7]],
        },
    ),
    Preset(
        "failure/one-of-each",
        "8 orthonormal features in 16 dimensions, 2 at a time: exactly one of the first four and "
        "one of the last four. A latent for each of the 16 combinations, at cosine 0.7071 to two "
        "features, writes every sample with one code, at an L1 cost of sqrt 2 instead of 2; and "
        "no activations tell the features from ones that are shifted within both groups.",
        COMPOSED,
        1,
        {
            "n_features": 8,
            "d": 16,
            "firing": {"law": "constant", "probability": 0.25},
            "magnitude": {"law": "constant", "value": 1.0},
            "dictionary": {"law": "orthonormal"},
            "exclusive": [[0, 1, 2, 3], [4, 5, 6, 7]],
        },
    ),
    Preset(
        "failure/dark-matter",
        "10,000 features in 256 dimensions with probability 0.5 / rank, 4.89 at a time: the 10, "
        "100 and 1,000 most frequent leave 0.760, 0.513 and 0.257 of the variance unexplained.",
        "groundtruth",
        1,
        {
            "n_features": 10_000,
            "d": 256,
            "firing": {"law": "zipf", "exponent": 1.0, "first": 0.5},
            "magnitude": {"law": "constant", "value": 1.0},
        },
    ),
    Preset(
        "pair/models",
        "48 features in 64 dimensions, two models of 32 side by side: 24 shared, 8 weaker in the "
        "first, 8 turned by 20 to 160 degrees, 4 in one model only each. A crosscoder's penalty "
        "leaves the weakest out of the first model.",
        PAIR,
        1,
        {
            "n_features": 48,
            "d": 64,
            "firing": {"law": "constant", "probability": 0.05},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
            "dictionary": {
                "law": "pair",
                "shared": 24,
                "rescaled": [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9],
                "rotated": [20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0],
                "first_only": 4,
                "second_only": 4,
            },
        },
    ),
    Preset(
        "pair/layers",
        "32 features in 96 dimensions, six layers of 16 side by side: each is written at one layer "
        "and erased at a later one. A dictionary per layer needs one latent for each layer that a "
        "feature lives in, 81 in all.",
        CROSS_LAYER,
        1,
        {
            "n_features": 32,
            "d": 96,
            "firing": {"law": "constant", "probability": 0.05},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
            "dictionary": {
                "law": "lifetimes",
                "n_layers": 6,
                "lives": [[i % 6, min(5, i % 6 + i // 6)] for i in range(32)],
            },
        },
    ),
    Preset(
        "manifold/circle",
        "24 orthonormal features in 32 dimensions, and a circle beside them. With n directions "
        "spread evenly over the circle and an L1 penalty l, the best codes cost l tan(h)/h - "
        "(l / 2 cos h)^2, h = pi/n: each further latent pays, down to l - l^2/4, though two axes "
        "say all there is.",
        MANIFOLD,
        1,
        {
            "n_features": 24,
            "d": 32,
            "firing": {"law": "constant", "probability": 0.05},
            "magnitude": {"law": "constant", "value": 1.0},
            "dictionary": {"law": "orthonormal"},
            "manifolds": [{"chart": "circle", "firing": 0.2}],
        },
    ),
    Preset(
        "manifold/mixture",
        "192 features in 96 dimensions, and 12 manifolds: circles, spheres, a torus, an interval, "
        "seven points on a circle, normal vectors of two and three dimensions; all of Zipf "
        "frequency. A wide dictionary spends its latents on tiling the common manifolds.",
        MANIFOLD,
        1,
        {
            "n_features": 192,
            "d": 96,
            "firing": {"law": "zipf", "exponent": 0.8, "first": 0.15},
            "magnitude": {"law": "log-normal", "mu": 0.0, "sigma": 0.25},
            "manifolds": [
                {
                    "chart": "circle",
                    "count": 4,
                    "firing": {"law": "zipf", "exponent": 1.0, "first": 0.15},
                },
                {"chart": "sphere", "count": 2, "firing": 0.05},
                {"chart": "torus", "firing": 0.05},
                {"chart": "interval", "firing": 0.05},
                {"chart": "points", "n_points": 7, "firing": 0.1},
                {"chart": "gaussian", "dims": 2, "count": 2, "firing": 0.05},
                {"chart": "gaussian", "dims": 3, "firing": 0.05},
            ],
        },
    ),
)

BUILDERS: dict[str, Callable[..., Testbed]] = {preset.name: preset.build for preset in PRESETS}
