"""What a circuit method gets: a model, inputs, what ablated edges carry, and a metric. No truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from groundtruth import hashing
from groundtruth.condition import AblationKind, Condition
from groundtruth.errors import InputError, reject
from groundtruth.models import graph
from groundtruth.models.clean_run import CleanRun, clean_run
from groundtruth.models.edge_patching import run_plan
from groundtruth.models.edge_plan import EdgePlan
from groundtruth.models.graph import Granularity
from groundtruth.models.transformer import Transformer
from groundtruth.universe import Unit, Universe, check_unit, universe_of

OutputMetric = Callable[[torch.Tensor], torch.Tensor]
"""Outputs (..., batch, position, n_outputs) -> a number per input (..., batch), differentiable."""

_CELLS = 1 << 24  # residual entries of a piece: 128 MB in double precision, a few times over


@dataclass(frozen=True, eq=False)
class ModelSubject:
    """A model on weighted inputs, with its edges ablated one way.

    Fields:
        model: the transformer.
        tokens: (batch, position) inputs.
        metric: what the model is said to do; see `OutputMetric`.
        ablation: "zero"; "mean", over the inputs at each position; or "resample", from `paired`.
        paired: (batch, position) for "resample", a partner of each input.
        pairing: how partners were chosen; named in the condition.
        weights: (batch,) of the inputs, which sum to 1; equal if None.
        counted: (batch, position) whose outputs count; those that are no padding if None.
        granularity: "qkv": a head's query, key and value are cut apart; "head": together.

    Raises:
        InputError: partners missing or of another shape, weights that are no distribution, a
            granularity that there is not, a metric that does not give one number per input.

    Example, AND of 1 and 1, whose partner is 0 and 0:
        >>> from groundtruth.generators.gates import gate
        >>> model = Transformer(gate("and").weights, torch.float64)
        >>> subject = ModelSubject(
        ...     model, [[0, 3, 3]], lambda out: out[..., -1, 0], "resample", [[0, 2, 2]], "both 0"
        ... )
        >>> float(subject.value(subject.outputs()))
        1.0
        >>> float(subject.value(subject.ablated("edge", np.zeros((1, 21), dtype=bool))))
        0.0
    """

    model: Transformer
    tokens: Any
    metric: OutputMetric
    ablation: AblationKind
    paired: Any = None
    pairing: str = ""
    weights: Any = None
    counted: Any = None
    granularity: Granularity = "qkv"

    def __post_init__(self) -> None:
        tokens = self.model.as_tokens(self.tokens)
        n = len(tokens)
        counted = tokens != self.model.pad if self.counted is None else self.counted
        weights = np.full(n, 1 / n) if self.weights is None else self.weights
        settled = {
            "tokens": tokens,
            "counted": torch.as_tensor(counted, device=tokens.device).bool(),
            "weights": torch.as_tensor(weights, device=tokens.device).to(self.model.W_E),
        }
        if self.paired is not None:
            settled["paired"] = self.model.as_tokens(self.paired)
        for name, value in settled.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        n = len(self.tokens)
        if self.ablation not in ("zero", "mean", "resample"):
            raise reject("ablation", self.ablation, '"zero", "mean" or "resample"')
        graph.check_granularity(self.granularity)
        if (self.ablation == "resample") != (self.paired is not None):
            got = "none" if self.paired is None else f"them for {self.ablation} ablation"
            raise InputError(f"paired: expected partners for resample ablation alone, got {got}.")
        if self.paired is not None and self.paired.shape != self.tokens.shape:
            raise InputError(
                f"paired: expected shape {tuple(self.tokens.shape)}, got "
                f"{tuple(self.paired.shape)}. Pair inputs of equal length."
            )
        if self.paired is not None and not self.pairing:
            raise reject("pairing", self.pairing, "a name that says how partners were chosen")
        if self.weights.shape != (n,) or not abs(float(self.weights.sum()) - 1) < 1e-6:
            raise InputError(f"weights: expected {n} numbers that sum to 1.")
        if bool((self.weights < 0).any()):
            raise InputError("weights: expected none below 0.")
        if self.counted.shape != self.tokens.shape or not bool(self.counted.any()):
            raise InputError("counted: expected (batch, position) booleans, one of them True.")
        outputs = self.outputs()
        wanted = f"metric: expected shape (1, {n}) for outputs {tuple(outputs.shape)}, got"
        try:
            found = self.metric(outputs)
        except Exception as error:
            raise InputError(f"{wanted} {type(error).__name__}: {error}.") from error
        if tuple(found.shape) != (1, n):
            raise InputError(
                f"{wanted} {tuple(found.shape)}. Index from the right, as in outputs[..., -1, 0]."
            )
        if not bool(found.isfinite().all()):
            raise InputError("metric: expected finite numbers of the model as it is.")

    @cached_property
    def condition(self) -> Condition:
        """Which inputs and which ablation; the same for subjects that may be compared."""
        arrays = {
            name: getattr(self, name).cpu().numpy()
            for name in ("tokens", "paired", "counted")
            if getattr(self, name) is not None
        }
        arrays["weights"] = self.weights.float().cpu().numpy()
        return Condition(hashing.content_hash("inputs", arrays), self.ablation, self.pairing)

    def universe(self, unit: Unit) -> Universe:
        """The nodes, or the edges at `granularity`, of the model.

        Raises:
            InputError: another unit.
        """
        check_unit(unit)
        return self._edges if unit == "edge" else self._nodes

    @cached_property
    def _edges(self) -> Universe:
        return universe_of(self.model.to_weights(), "edge", self.granularity)

    @cached_property
    def _nodes(self) -> Universe:
        return replace(self._edges, unit="node", candidates=tuple(graph.writers(self.model)))

    @cached_property
    def _runs(self) -> list[CleanRun]:
        """On the inputs; and on their partners, if there are any, in the same pass."""
        if self.paired is None:
            return [clean_run(self.model, self.tokens)]
        return clean_run(self.model, torch.cat([self.tokens, self.paired])).halves()

    @property
    def _clean(self) -> CleanRun:
        return self._runs[0]

    @property
    def written(self) -> dict[str, torch.Tensor]:
        """What every writer writes on the inputs: (batch, position, d_model)."""
        return self._clean.written

    @cached_property
    def source(self) -> dict[str, torch.Tensor]:
        """What ablated edges carry, by writer, broadcasting to (batch, position, d_model)."""
        if self.paired is not None:
            return self._runs[1].written
        if self.ablation == "zero":
            return {name: torch.zeros_like(value[:1]) for name, value in self.written.items()}
        return {name: self.mean(value) for name, value in self.written.items()}

    @cached_property
    def changes(self) -> torch.Tensor:
        """(writer, batch, position, d_model) what each writes less what ablated edges carry."""
        return torch.stack([self.written[name] - self.source[name] for name in self.written])

    def mean(self, written: torch.Tensor) -> torch.Tensor:
        """(1, position, d_model) mean over inputs that are no padding there."""
        weight = self.weights[:, None] * (self.tokens != self.model.pad)
        weight = weight / weight.sum(0).clamp_min(torch.finfo(weight.dtype).tiny)
        # About the first, so that the mean of equal numbers is that number.
        first = written[:1]
        return first + torch.einsum("bp,bpd->pd", weight, written - first)

    def outputs(self) -> torch.Tensor:
        """Of the model as it is: (1, batch, position, n_outputs), without gradient."""
        return self._clean.outputs[None]

    def changed(self, tolerance: float = 1e-6) -> float:
        """The share of inputs, by weight, with a counted output that changes by more than this when
        all edges are ablated. On the others an empty circuit is right."""
        nothing = np.zeros((1, len(self.universe("edge"))), dtype=bool)
        moved = (self.ablated("edge", nothing) - self.outputs())[0].abs().amax(-1) > tolerance
        return float((moved & self.counted).any(1).to(self.weights) @ self.weights)

    def ablated(self, unit: Unit, kept: np.ndarray) -> torch.Tensor:
        """Outputs (set, batch, position, n_outputs) with only `kept` (set, candidate) intact."""
        return torch.cat(list(self.ablated_pieces(unit, kept)))

    def ablated_pieces(self, unit: Unit, kept: np.ndarray) -> Iterator[torch.Tensor]:
        """The same, a few sets at a time, in order."""
        universe = self.universe(unit)
        if kept.ndim != 2 or kept.shape[1] != len(universe):
            raise reject("kept", kept.shape, f"shape (set, {len(universe)})")
        step = max(1, _CELLS // (self.tokens.numel() * self.model.W_E.shape[1]))
        with torch.no_grad():
            for start in range(0, len(kept), step):
                yield self.run(carried(universe, ~kept[start : start + step]))

    def run(self, shares: Any) -> torch.Tensor:
        """Outputs (set, batch, position, n_outputs) where edges carry `shares` (set, edge) of what
        the ablation puts in their place; differentiable."""
        return run_plan(self._plan, shares)

    @cached_property
    def _plan(self) -> EdgePlan:
        return EdgePlan(self.model, self._clean, self.source, self.universe("edge").edges)

    def value(self, outputs: torch.Tensor) -> torch.Tensor:
        """(set,) weighted mean of the metric."""
        return self.metric(outputs) @ self.weights


def carried(universe: Universe, ablated: np.ndarray) -> np.ndarray:
    """(set, edge) which edges are cut when `ablated` (set, candidate) are."""
    if universe.unit == "edge":
        return ablated
    return ablated[:, [universe.place[edge.writer] for edge in universe.edges]]
