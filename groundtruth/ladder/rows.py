"""The rows of the ladder: every oracle and control, by id, with how it is made.

Oracles (O) are made from the truth and bound what a method can score; controls (C) know nothing,
or are built to game a score, and bound what a score is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from groundtruth import methods, seeds
from groundtruth.errors import Undefined
from groundtruth.explanation import Dictionary
from groundtruth.ladder import detectors, planted, probes, solvers
from groundtruth.outputs import Outputs, take_outputs
from groundtruth.score_data import ScoreData, Scoring

Tick = Callable[[], None] | None

MOST_INFERRED = 8192
"""Features up to which rows O1 are made. At 16,384 in 768 dimensions each of thousands of samples
takes a quarter of a second of every solver tried."""


@dataclass(frozen=True)
class Made:
    """Outputs of a row, the data they are on, and a note on how they came about."""

    outputs: Outputs
    data: ScoreData
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One row: id ("O1-blind"), kind, what it is, and the function that makes it, which raises
    Undefined where a testbed has no such row."""

    id: str
    kind: Literal["oracle", "control"]
    summary: str
    make: Callable[[ScoreData, int, Tick], Made]


def _identity(data: ScoreData, n_train: int, tick: Tick) -> Made:
    return Made(planted.identity(data), data)


def _blind(data: ScoreData, n_train: int, tick: Tick) -> Made:
    return _inference(data, solvers.blind_candidates(data.truth), tick)


def _prior(data: ScoreData, n_train: int, tick: Tick) -> Made:
    return _inference(data, solvers.prior_candidates(data.truth), tick)


def _inference(data: ScoreData, candidates: list[solvers.Candidate], tick: Tick) -> Made:
    if data.truth.n_features > MOST_INFERRED:
        raise Undefined(
            f"inference on the true dictionary is not made above {MOST_INFERRED:,} features, "
            "where it takes hours"
        )
    scoring = solvers.solver_scoring(data)
    data = data if scoring == data.scoring else ScoreData(data.testbed, scoring)
    outputs, note = solvers.best_inference(data, candidates, tick)
    return Made(outputs, data, note)


def _linear(data: ScoreData, n_train: int, tick: Tick) -> Made:
    found = detectors.linear_ceiling(data, _rng(data, "O2*-linear"))
    truth = data.truth
    return Made(found.outputs(data, truth.directions, truth.bias, tick), data)


def _encoder(data: ScoreData, n_train: int, tick: Tick) -> Made:
    truth = data.truth
    claim = methods.batchtopk(
        data.testbed.subject,
        seed=0,
        decoder=truth.decoder,
        l0=max(1.0, truth.decoder_l0),
        n_samples=n_train,
        # The decoder is right from the start: small steps keep what the encoder starts with.
        lr=1e-3,
        clip=None,
    )
    note = f"BatchTopK encoder on the true decoder, {n_train:,} training samples"
    return Made(take_outputs(claim, data, tick=tick), data, note)


def _probes(data: ScoreData, n_train: int, tick: Tick) -> Made:
    directions, found = probes.probes(data.testbed, n_train)
    note = f"labels on {min(n_train, probes.MOST_ROWS):,} training samples"
    return Made(found.outputs(data, directions, data.truth.bias, tick), data, note)


def _capacity(data: ScoreData, n_train: int, tick: Tick) -> Made:
    width = max(1, data.truth.n_features // 2)
    return Made(planted.capacity(data, width), data, f"the {width} features of most variance")


def _shuffled(data: ScoreData, n_train: int, tick: Tick) -> Made:
    return Made(planted.shuffled(data, _rng(data, "C4-shuffled")), data)


def _null(data: ScoreData, n_train: int, tick: Tick) -> Made:
    return Made(planted.null(data, _rng(data, "C5-null")), data)


def _always_on(data: ScoreData, n_train: int, tick: Tick) -> Made:
    # Every latent fires on every row, so rows times latents are held: a few thousand suffice.
    small = ScoreData(data.testbed, Scoring(n_select=1000, n_score=2000, n_positives=2))
    width = min(data.truth.n_features, 256)
    kept = np.argsort(-data.truth.variance, kind="stable")[:width]
    return Made(planted.always_on(small, kept), small, f"{width} latents")


def _planted(make: Callable[[ScoreData], Outputs]) -> Callable[[ScoreData, int, Tick], Made]:
    return lambda data, n_train, tick: Made(make(data), data)


def _method(name: str) -> Callable[[ScoreData, int, Tick], Made]:
    def make(data: ScoreData, n_train: int, tick: Tick) -> Made:
        claim = _run_control(name, data)
        return Made(take_outputs(claim, data, tick=tick), data)

    return make


def _run_control(name: str, data: ScoreData) -> Dictionary:
    subject, width = data.testbed.subject, data.truth.n_features
    if name == "pca":
        return methods.pca(subject, seed=0, width=min(width, subject.d))
    if name == "ica":
        return methods.ica(subject, seed=0, width=min(width, subject.d))
    if name == "kmeans":
        return methods.kmeans(subject, seed=0, width=width)
    l0 = max(1.0, data.truth.expected_l0)
    control = {"random": methods.random_directions, "rows": methods.data_rows}[name]
    return control(subject, seed=0, width=width, l0=l0)


def _rng(data: ScoreData, row: str) -> np.random.Generator:
    return seeds.generator(data.testbed.root, "ladder", row)


ROWS: tuple[Row, ...] = (
    Row("O0-identity", "oracle", "the planted dictionary with the planted codes", _identity),
    Row("O1-prior", "oracle", "true dictionary, best inference knowing the prior", _prior),
    Row("O1-blind", "oracle", "true dictionary, best inference without the prior", _blind),
    Row("O2*-linear", "oracle", "best linear-threshold detector of each feature", _linear),
    Row("O2-encoder", "oracle", "true decoder, trained encoder", _encoder),
    Row("O3-probes", "oracle", "supervised difference-of-means probes", _probes),
    Row("O4-capacity", "oracle", "O0 with half the latents, by variance", _capacity),
    Row("C0-random", "control", "uniform random directions", _method("random")),
    Row("C1-rows", "control", "random training samples as directions", _method("rows")),
    Row("C2-pca", "control", "principal components", _method("pca")),
    Row("C2-ica", "control", "independent components", _method("ica")),
    Row("C2-kmeans", "control", "k-means centres", _method("kmeans")),
    Row("C4-shuffled", "control", "true decoder paired with the wrong codes", _shuffled),
    Row("C5-null", "control", "directions of another world, shuffled codes", _null),
    Row("C6-always-on", "control", "true decoder, every latent always fires", _always_on),
    Row("C6-dead", "control", "true decoder, no latent ever fires", _planted(planted.dead)),
    Row("C6-one", "control", "one perfect latent", _planted(planted.one)),
    Row("C6-copies", "control", "copies of one perfect latent", _planted(planted.copies)),
)
