"""Dictionaries, on a testbed of activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from groundtruth import evaluators, ladder
from groundtruth.adapters import as_explanation
from groundtruth.cards import describe_testbed
from groundtruth.errors import ExplanationError, GroundtruthError, reject
from groundtruth.evaluators import METRICS
from groundtruth.evaluators.comparison import SHARE, THRESHOLD
from groundtruth.explanation import Dictionary
from groundtruth.outputs import Outputs, linear_outputs, take_outputs
from groundtruth.report import Report
from groundtruth.result import Metric, Result
from groundtruth.score_data import ScoreData, as_scoring
from groundtruth.testbed import Testbed
from groundtruth.trials.trial import ScoredRow, Tell, Terms


class DictionaryTrial:
    """A testbed whose truth is a planted dictionary, with the data that scores."""

    explains: ClassVar[str] = "dictionary"
    metrics: ClassVar[Mapping[str, Metric]] = METRICS
    terms: ClassVar[tuple[str, ...]] = ("n_train", "threshold", "share")
    primary: ClassVar[str] = "recover.joint"
    rows: ClassVar[tuple[str, ...]] = ("O0-identity", "O1-prior", "O2*-linear", "C0-random")

    def __init__(self, testbed: Testbed, terms: Terms) -> None:
        self.testbed = testbed
        self.data = ScoreData(testbed, as_scoring(terms.scoring))
        self.threshold = THRESHOLD if terms.threshold is None else terms.threshold
        self.share = SHARE if terms.share is None else terms.share
        self.n_train = ladder.N_TRAIN if terms.n_train is None else terms.n_train

    def description(self) -> dict[str, Any]:
        return {
            "scoring": self.data.scoring.description(),
            "threshold": self.threshold,
            "share": self.share,
            "n_train": self.n_train,
        }

    def card(self) -> dict[str, Any]:
        return describe_testbed(self.testbed)

    def prepare(self) -> None:
        ladder.references(self.data, n_train=self.n_train)

    def read(self, found: Any) -> Dictionary:
        return read_dictionary(found, self.testbed.truth.features.d)

    def report(
        self,
        explanation: Dictionary,
        *,
        name: str,
        seed: int,
        flags: tuple[str, ...] = (),
        metrics: Iterable[str] | str | None = None,
    ) -> Report:
        taken = take_outputs(explanation, self.data)
        return self._report(taken, name=name, seed=seed, flags=flags, metrics=metrics)

    def tensors(self, report: Report) -> dict[str, np.ndarray]:
        return explanation_tensors(report)

    def again(self, tensors: Mapping[str, np.ndarray], *, name: str, seed: int) -> Report:
        return self._report(_outputs(tensors), name=name, seed=seed)

    def row(self, row: str, tell: Tell = None) -> ScoredRow:
        made = ladder.ladder(self.data, [row], n_train=self.n_train, tell=tell)[row]
        return ScoredRow(made.kind, made.summary, made.note, made.results)

    def bounds(self) -> dict[str, Result]:
        """The floor is that of the identity row's width."""
        return self.row("O0-identity").results

    def _report(self, taken: Outputs, **settings: Any) -> Report:
        return score_outputs(
            self.data,
            taken,
            n_train=self.n_train,
            threshold=self.threshold,
            share=self.share,
            **settings,
        )


def read_dictionary(found: Any, d: int) -> Dictionary:
    """What a method returned, or a user brought, as a dictionary of width d.

    Raises:
        ExplanationError: it cannot be read so.
    """
    try:
        explanation = as_explanation(found)
    except GroundtruthError:
        raise
    except Exception as error:
        raise ExplanationError(
            f"{type(found).__name__}: reading it as a Dictionary raised "
            f"{type(error).__name__}: {error}. Return gt.Dictionary(decoder=directions, "
            "encode=function) instead."
        ) from error
    explanation.check_width(d)
    return explanation


def score_outputs(
    data: ScoreData,
    outputs: Outputs,
    *,
    name: str,
    seed: int = 0,
    metrics: Iterable[str] | str | None = None,
    n_train: int | None = None,
    threshold: float = THRESHOLD,
    share: float = SHARE,
    flags: tuple[str, ...] = (),
) -> Report:
    """The report on outputs that are already at hand."""
    if outputs.k == 0:
        raise ExplanationError("decoder: expected at least one latent, got k = 0.")
    budget = ladder.N_TRAIN if n_train is None else n_train
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 0:
        raise reject("n_train", budget, "a whole number >= 0, in samples")
    if outputs.score is None:
        known = ladder.decoder_references(data, metrics, n_train=budget, threshold=threshold)
    else:
        known = ladder.references(data, n_train=budget)
        if (threshold, share) != (THRESHOLD, SHARE):
            # Reference rows were scored at the defaults: their values are no ceiling here.
            known = replace(known, ceilings={})
    outputs = replace(outputs, flags=(*outputs.flags, *flags))
    comparison = evaluators.Comparison(
        data.truth, outputs, data, known, threshold=threshold, share=share
    )
    results = evaluators.score(comparison, metrics)
    return Report(data.testbed, name, seed, results, comparison)


def explanation_tensors(report: Report) -> dict[str, np.ndarray]:
    """The explanation as scored: decoder, bias, and sparse codes on every part of the data.

    With the testbed's recipe, all scores can be computed again from these.
    """
    out = report.comparison.outputs
    tensors = {
        "decoder": _compact(out.decoder),
        "bias": out.bias,
        "signed": np.array(out.signed),
    }
    for part in ("select", "score", "positives"):
        codes = getattr(out, part)
        if codes is not None:
            tensors[f"{part}.values"] = _compact(codes.data)
            tensors[f"{part}.latents"] = codes.indices.astype(np.int32)
            tensors[f"{part}.starts"] = codes.indptr.astype(np.int64)
    if out.reconstruction is not None and not _is_linear(out):
        tensors["reconstruction"] = _compact(out.reconstruction)
    for metric in ("recover.joint", "recover.recall"):
        for name, array in report.results[metric].evidence.items():
            tensors[f"{metric}.{name}"] = np.ascontiguousarray(array)
    return tensors


def _is_linear(out: Outputs) -> bool:
    """Whether the reconstruction is codes @ decoder + bias, and so need not be stored."""
    assert out.score is not None and out.reconstruction is not None
    linear = out.score.astype(np.float64) @ out.decoder + out.bias
    scale = np.abs(linear).max(initial=0.0)
    return bool(np.abs(linear - out.reconstruction).max(initial=0.0) <= 1e-6 * scale)


def _compact(array: np.ndarray) -> np.ndarray:
    """`array` in float32 where that changes no number by more than rounding, else in float64."""
    with np.errstate(over="ignore", under="ignore"):
        short = array.astype(np.float32)
        near = np.abs(short - array) <= 1e-6 * np.abs(array)
    return short if near.all() else array.astype(np.float64)


def _outputs(tensors: Mapping[str, np.ndarray]) -> Outputs:
    """What `explanation_tensors` wrote."""
    decoder, bias = tensors["decoder"].astype(np.float64), tensors["bias"]
    signed = bool(tensors["signed"])
    if "score.values" not in tensors:
        return Outputs(decoder, bias, signed)
    codes = {
        part: sp.csr_array(
            (tensors[f"{part}.values"], tensors[f"{part}.latents"], tensors[f"{part}.starts"]),
            (len(tensors[f"{part}.starts"]) - 1, len(decoder)),
        )
        for part in ("select", "score", "positives")
    }
    out = linear_outputs(decoder, bias, **codes, signed=signed)
    if "reconstruction" in tensors:
        out = replace(out, reconstruction=tensors["reconstruction"].astype(np.float64))
    return out
