"""The tables of docs/reproductions/peers_scores.md: one set of models, two evaluators.

    python -m reproductions.peers_scores --out DIR

trains the autoencoders (`trained`), makes specimens of known weights (`specimens`), scores each
with SAELens's `eval_sae_on_synthetic_data` and with ours on the same samples (`scored`), and writes
DIR/peers_scores_tables.md and, with every number and where it comes from, DIR/peers_scores.json.
About 80 seconds of one core. Needs sae-lens.

Source: Chanin and Garriga-Alonso, "SynthSAEBench", 2026, https://arxiv.org/abs/2602.14687
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

import groundtruth as gt
from groundtruth import evaluators, methods, provenance
from groundtruth.adapters import as_explanation, saelens
from groundtruth.evaluators import floors
from groundtruth.ladder.detectors import linear_ceiling
from groundtruth.outputs import take_outputs
from groundtruth.references import References
from groundtruth.result import Result
from groundtruth.score_data import ScoreData
from groundtruth.testbed import BLOCK, Testbed

SEED = 0
"""Of worlds, starting weights and streams."""


@dataclass(frozen=True)
class World:
    """A testbed and what is trained on it. Penalties were set so that L0 is near the planted 5."""

    name: str
    width: int
    l1: float
    l0_penalty: float


WORLDS = (World("sparse/small", 128, 1.0, 0.15), World("sparse/zipf", 256, 0.6, 0.1))
ACTIVE = 5
WEAK_L1 = 0.1


@dataclass(frozen=True)
class Budget:
    """How much is trained and scored; `n_batched` samples are scored batch by batch."""

    n_samples: int = 300_000
    scoring: gt.Scoring = field(default_factory=lambda: gt.Scoring(10_000, 20_000))
    n_batched: int = 8_192
    batches: tuple[int, ...] = (1, 16, 1024)


@dataclass(frozen=True)
class Model:
    """One model on both sides.

    Fields:
        saved: SAELens's inference object; what its evaluator is given.
        claim: what ours is given.
        training: SAELens's training object, if there is one.
    """

    name: str
    saved: Any
    claim: Any
    training: Any = None


@dataclass(frozen=True)
class Scored:
    """What is said of a model: SAELens's scores by its names, ours by id, and what follows.

    Fields:
        how: "both sides", or how SAELens alone scored it.
    """

    world: str
    name: str
    how: str
    values: dict[str, float]


@dataclass(frozen=True)
class Metric:
    """SAELens's score, ours of the same definition, our own nearest, and how that one differs."""

    peer: str
    same: str
    own: str
    why: str


METRICS = (
    Metric(
        "mcc",
        "recover.mcc_all",
        "recover.mcc",
        "sum of cosines / F, not / min(F, k); signed; live latents",
    ),
    Metric("uniqueness", "recover.uniqueness_all", "recover.uniqueness", "live latents; signed"),
    Metric(
        "precision",
        "act.latent_precision",
        "act.precision",
        "mean over F, one-to-one, signed, unmatched 0; theirs over k, many-to-one, sign ignored",
    ),
    Metric("recall", "act.latent_recall", "act.recall", "the same"),
    Metric("f1_score", "act.latent_f1_all", "act.f1", "the same"),
    Metric(
        "accuracy", "act.latent_accuracy", "act.matthews", "chance is 0; theirs rewards silence"
    ),
    Metric("explained_variance", "recon.ev_total", "recon.ev_total", "none: centred by both"),
    Metric("sae_l0", "recon.l0", "recon.l0", "none"),
    Metric(
        "dead",
        "recon.dead_score",
        "recon.dead_frac",
        "other samples, and some in which rare features were made to fire",
    ),
    Metric(
        "shrinkage",
        "recon.norm_ratio",
        "recon.shrinkage",
        "the rescaling of x_hat that fits best, not a mean of ratios of norms",
    ),
)
FURTHER = (
    "recover.mcc_min",
    "recover.recall",
    "recover.joint",
    "act.latent_f1",
    "recon.ev_uncentred",
    "recon.ev_biasblind",
)
WANTED = tuple(dict.fromkeys([*(i for m in METRICS for i in (m.same, m.own)), *FURTHER]))

TABLES = {
    "Decoders": (
        *("k", "dead", "mcc", "recover.mcc_min", "recover.mcc", "recover.recall"),
        *("uniqueness", "uniqueness of random rows", "recover.uniqueness"),
    ),
    "Codes": (
        *("accuracy", "precision", "recall", "f1_score", "f1_score of firing"),
        *("act.latent_f1", "act.f1", "recover.joint"),
    ),
    "Reconstructions": (
        *("sae_l0", "explained_variance", "recon.ev_uncentred", "recon.ev_biasblind"),
        *("shrinkage", "recon.shrinkage"),
    ),
}
RANKED = (
    *("mcc", "uniqueness", "precision", "recall", "f1_score", "accuracy", "explained_variance"),
    *("recover.mcc", "recover.uniqueness", "act.f1"),
)
BATCHED_TABLE = ("sae_l0", "explained_variance", "precision", "recall", "f1_score", "dead")
"""Columns. Names without a dot are SAELens's, but for k and the two that `scored` adds."""

SHOWN = ("sparse/zipf", "BatchTopK")
"""The model whose values stand in the first table."""
BATCHED = ("TopK", "BatchTopK", "Matryoshka")
SPECIMENS = ("planted", "planted, flipped", "planted, quarter", "random")


def main() -> None:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # rounding, and with it training, depends on it
    models, batched = run(Budget(n_samples=options.samples))
    (options.out / "peers_scores_tables.md").write_text(tables(models, batched))
    record = {
        "seed": SEED,
        "n_samples": options.samples,
        "worlds": {w.name: gt.build(w.name, seed=SEED).hash for w in WORLDS},
        "sae-lens": metadata.version("sae-lens"),
        "provenance": provenance.collect(),
        "scores": [vars(s) for s in [*models, *batched]],
    }
    (options.out / "peers_scores.json").write_text(json.dumps(record, indent=1) + "\n")


def run(budget: Budget, worlds: tuple[World, ...] = WORLDS) -> tuple[list[Scored], list[Scored]]:
    """Train and score everything."""
    models: list[Scored] = []
    batched: list[Scored] = []
    for world in worlds:
        testbed = gt.build(world.name, seed=SEED)
        data = ScoreData(testbed, budget.scoring)
        made = [*specimens(data, world), *trained(testbed, world, budget.n_samples)]
        reference = linear_reference(data, made[0].claim)
        models += [scored(data, world, model, reference) for model in made]
        for model in made:
            if model.name in BATCHED:
                batched += by_batch(data, world, model, budget)
    return models, batched


# Models


def trained(testbed: Testbed, world: World, n_samples: int) -> Iterator[Model]:
    """SAELens's variants by its own trainer, then two of ours."""
    for name, kind, extra in (
        ("Standard", "Standard", {"l1_coefficient": world.l1}),
        ("Standard, weak", "Standard", {"l1_coefficient": WEAK_L1}),
        ("TopK", "TopK", {"k": ACTIVE}),
        ("BatchTopK", "BatchTopK", {"k": ACTIVE}),
        ("Matryoshka", "MatryoshkaBatchTopK", {"k": ACTIVE, "matryoshka_widths": _nested(world)}),
        ("JumpReLU", "JumpReLU", {"l0_coefficient": world.l0_penalty}),
        ("MatchingPursuit", "MatchingPursuit", {"max_iterations": ACTIVE, "decoder_init_norm": 1}),
    ):
        yield _peer(testbed, world, name, kind, extra, n_samples)
    for name, kind, extra, method in (
        ("our topk", "TopK", {"k": ACTIVE}, methods.topk),
        ("our relu", "Standard", {}, methods.relu),
    ):
        claim = method(
            testbed.subject, seed=SEED, width=world.width, l0=ACTIVE, n_samples=n_samples
        )
        yield Model(name, _exported(claim, kind, **extra), claim)


def specimens(data: ScoreData, world: World) -> Iterator[Model]:
    """The planted dictionary with the best linear detectors; flipped; a quarter; random rows."""
    truth, rng = data.truth, np.random.default_rng(SEED)
    found = linear_ceiling(data, rng)
    b_enc = found.offset + found.weights @ (truth.bias - found.centre)
    threshold = found.thresholds + found.offset
    rows = rng.standard_normal((world.width, truth.d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    level = np.quantile((data.x - truth.bias) @ rows.T, 1 - ACTIVE / world.width)
    planted = {"W_dec": truth.directions, "W_enc": found.weights}
    planted |= {"b_enc": b_enc, "threshold": threshold}
    chance = {"W_dec": rows, "W_enc": rows, "threshold": np.full(world.width, level)}
    made = (
        planted,
        {**planted, "W_dec": -truth.directions},
        {key: w[: truth.n_features // 4] for key, w in planted.items()},
        {**chance, "b_enc": np.zeros(world.width)},
    )
    for name, weights in zip(SPECIMENS, made, strict=True):
        saved = _empty("JumpReLU", weights["W_dec"].shape)
        given = {**weights, "W_enc": weights["W_enc"].T, "b_dec": truth.bias}
        _fill(saved, **{key: torch.tensor(w) for key, w in given.items()})
        yield Model(name, saved, as_explanation(saved))


def _peer(
    testbed: Testbed, world: World, name: str, kind: str, extra: dict[str, Any], n_samples: int
) -> Model:
    """Trained through the adapter, and read back from the two files that SAELens writes."""
    library = _library()
    given = {"d_in": testbed.truth.features.d, "d_sae": world.width, **extra}
    config = getattr(library, f"{kind}TrainingSAEConfig")(**given)
    with tempfile.TemporaryDirectory() as folder:
        claim = saelens.train(
            testbed.subject,
            config=config,
            seed=SEED,
            n_samples=n_samples,
            checkpoint_path=folder,
            save_final_checkpoint=True,
        )
        (final,) = Path(folder).iterdir()
        training = library.TrainingSAE.load_from_disk(final)
        training.save_inference_model(Path(folder) / "saved")
        return Model(name, library.SAE.load_from_disk(Path(folder) / "saved"), claim, training)


def _exported(claim: gt.Dictionary, kind: str, **extra: Any) -> Any:
    """One of our autoencoders as SAELens's inference object of the same function."""
    ours: Any = getattr(claim.encode, "__self__")  # noqa: B009 - the claim's model
    theirs = _empty(kind, ours.W_dec.shape, **extra)
    _fill(theirs, W_dec=ours.W_dec, W_enc=ours.W_enc.T, b_enc=ours.b_enc, b_dec=ours.b_dec)
    return theirs


def _empty(kind: str, shape: tuple[int, ...], **extra: Any) -> Any:
    library = _library()
    config = getattr(library, f"{kind}SAEConfig")(d_sae=shape[0], d_in=shape[1], **extra)
    return getattr(library, f"{kind}SAE")(config)


@torch.no_grad()
def _fill(sae: Any, **weights: torch.Tensor) -> None:
    for name, value in weights.items():
        getattr(sae, name).copy_(value)


def _nested(world: World) -> list[int]:
    return [width for width in (32, 64, 128) if width < world.width] + [world.width]


# Scores


class Samples:
    """The first `n` scoring samples, in order, in the place of SAELens's generator and dictionary.

    x is handed out as it is. Made again from activity, as SAELens does it, it would lack the noise
    of sparse/zipf, which SAELens's worlds do not have.
    """

    def __init__(self, data: ScoreData, n: int) -> None:
        self.feature_vectors = torch.tensor(data.truth.directions).float()
        self._x, self._activity = torch.from_numpy(data.x[:n].copy()), data.score[:n]
        self._at = 0

    def sample(self, batch_size: int) -> torch.Tensor:
        start, self._at = self._at, self._at + batch_size
        return torch.from_numpy(self._activity[start : self._at].toarray())

    def __call__(self, activity: torch.Tensor) -> torch.Tensor:
        return self._x[self._at - len(activity) : self._at]


def theirs(data: ScoreData, sae: Any, *, n: int, batch_size: int) -> dict[str, float]:
    """SAELens's scores by name; dead latents as a share."""
    evaluate = importlib.import_module("sae_lens.synthetic").eval_sae_on_synthetic_data
    samples = Samples(data, n)
    given = evaluate(sae, samples, samples, n, batch_size).to_dict()
    dead = given.pop("dead_latents") / len(sae.W_dec)
    return {**given.pop("classification"), **given, "dead": dead}


def ours(data: ScoreData, claim: Any, reference: np.ndarray) -> dict[str, Result]:
    """Our results by id."""
    outputs = take_outputs(claim, data)
    comparison = evaluators.Comparison(data.truth, outputs, data, References(reference))
    return evaluators.score(comparison, WANTED)


def linear_reference(data: ScoreData, planted: Any) -> np.ndarray:
    """(n_features,) F1 of the linear detectors, to which recover.joint compares."""
    empty = References(np.zeros(data.truth.n_features))
    comparison = evaluators.Comparison(data.truth, take_outputs(planted, data), data, empty)
    f1, live = np.zeros(data.truth.n_features), comparison.live
    f1[live] = np.nan_to_num(comparison.firing.rates(live, np.arange(len(live))).f1)
    return f1


def scored(data: ScoreData, world: World, model: Model, reference: np.ndarray) -> Scored:
    """Both sides on the same samples, in the same blocks."""
    peer = theirs(data, model.saved, n=data.scoring.n_score, batch_size=BLOCK)
    found = ours(data, model.claim, reference)
    values = {i: float("nan") if r.value is None else float(r.value) for i, r in found.items()}
    k, firing = len(model.saved.W_dec), 1 - peer["dead"]
    more = {
        "k": k,
        "uniqueness of random rows": floors.random_uniqueness(data.truth.n_features, k),
        "f1_score of firing": peer["f1_score"] / firing if firing else float("nan"),
    }
    return Scored(world.name, model.name, "both sides", {**peer, **values, **more})


def by_batch(data: ScoreData, world: World, model: Model, budget: Budget) -> list[Scored]:
    """The training object at each batch size, then the saved one, by SAELens."""
    n = budget.n_batched
    ways = [(f"training, batches of {size:,}", model.training, size) for size in budget.batches]
    return [
        Scored(world.name, model.name, how, theirs(data, sae, n=n, batch_size=size))
        for how, sae, size in (*ways, ("saved", model.saved, BLOCK))
    ]


# Tables


def tables(models: list[Scored], batched: list[Scored]) -> str:
    """Every table, as Markdown."""
    parts = ["### Same definitions", equal_table(models)]
    for title, columns in TABLES.items():
        for world in dict.fromkeys(s.world for s in models):
            here = [s for s in models if s.world == world]
            parts += [f"### {title}, {world}", _rows(here, ("name",), columns)]
    parts += ["### Rank correlation with recover.joint", rank_table(models)]
    parts += ["### Training mode", _rows(batched, ("world", "name", "how"), BATCHED_TABLE)]
    return "\n\n".join(parts) + "\n"


def equal_table(models: list[Scored]) -> str:
    """Metric by metric: equal where defined equally, and our own definition beside it."""
    shown = next((s for s in models if (s.world, s.name) == SHOWN), models[-1]).values
    head = ("SAELens", "value", "ours, same definition", "value", "largest difference", "our own")
    rows = [
        (
            f"`{m.peer}`",
            f"{shown[m.peer]:.6f}",
            f"`{m.same}`",
            f"{shown[m.same]:.6f}",
            f"{largest_difference(models, m):.0e}",
            f"`{m.own}`",
            f"{shown[m.own]:.3f}",
            m.why,
        )
        for m in METRICS
    ]
    return _table((*head, "value", "what differs"), rows)


def largest_difference(models: list[Scored], m: Metric) -> float:
    """Over all models: |SAELens - ours| of one definition."""
    return max(abs(s.values[m.peer] - s.values[m.same]) for s in models)


def rank_table(models: list[Scored]) -> str:
    """Spearman's rank correlation of each score with recover.joint over the trained models."""
    rows = []
    for world in dict.fromkeys(s.world for s in models):
        here = [s.values for s in models if s.world == world and s.name not in SPECIMENS]
        joint = [values["recover.joint"] for values in here]
        found = [rank_correlation([v[name] for v in here], joint) for name in RANKED]
        rows.append((world, str(len(here)), *map(_number, found)))
    return _table(("world", "models", *map(_heading, RANKED)), rows)


def rank_correlation(first: list[float], second: list[float]) -> float:
    """Spearman's; NaN where either does not vary."""
    if len(set(first)) == 1 or len(set(second)) == 1:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])


def _heading(name: str) -> str:
    return f"`{name}`" if "." in name else name


def _rows(scores: list[Scored], labels: tuple[str, ...], columns: tuple[str, ...]) -> str:
    """A row for each of `scores`: the fields `labels`, then the scores `columns`."""
    rows = [
        (*(getattr(s, label) for label in labels), *(_number(s.values[c]) for c in columns))
        for s in scores
    ]
    return _table((*labels, *map(_heading, columns)), rows)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    first = tuple(head)
    lines = [first, ("---",) * len(first), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _library() -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"  # before the import: nothing is fetched
    return importlib.import_module("sae_lens")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reproductions.peers_scores")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and numbers")
    parser.add_argument("--samples", type=int, default=Budget().n_samples, help="trained on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
