"""Hypothesis tests of a circuit, after Shi et al.: p-values, and whether the circuit passes.

Three nulls describe a good circuit, which passes if they are not rejected:

    equivalence         it is better and worse than the model about equally often
    independence        what is left without it does nothing that goes with what the model does
    minimality          each of its candidates matters more than one of a random detour

and two a circuit that is nothing special, which passes if they are rejected:

    sufficiency         random circuits of its size are as faithful
    partial necessity   what is outside it does as much damage when it is cut

Minimality, sufficiency and partial necessity compare with random draws, and hold for the inputs as
they are; equivalence and independence take the inputs for a sample. Half of a circuit is often more
faithful than random ones, and passes sufficiency.

Ties go against the circuit: it has to be better than a random one, not as good. Differences within
rounding are none. An exact circuit differs from the model on no input, and has no equivalence test.

What is left does something where it differs from nothing, s(M - C) - s(0). The source has s(M - C)
itself, which is the same wherever s(0) is one number; where the metric asks for other answers on
other inputs, s(0) goes with s(M) by itself, and the exact circuit would fail.

Source: Shi et al., "Hypothesis Testing the Circuit Hypothesis in LLMs", 2024,
https://arxiv.org/abs/2410.13032
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from groundtruth.circuit import Circuit
from groundtruth.errors import Undefined, reject
from groundtruth.evaluators.circuit_runs import CircuitRuns
from groundtruth.evaluators.random_circuits import detour, of_size
from groundtruth.evaluators.registry import UNIT
from groundtruth.evaluators.statistics import holm
from groundtruth.model_subject import ModelSubject
from groundtruth.result import Direction, Metric, Result, undefined

_FEWEST_INPUTS = 8  # 8! orders, so that p can go far below any level


def _entry(name: str, summary: str, direction: Direction, unit: str, *, version: int = 1) -> Metric:
    return Metric(f"circuit.test_{name}", version, summary, direction, UNIT, unit)


EQUIVALENCE = _entry(
    "equiv", "p of: |P(s(C) > s(M)) - 1/2| < epsilon, where they differ", "max", "input"
)
INDEPENDENCE = _entry(
    "indep", "p of: s(M - C) - s(0) and s(M) are independent (HSIC)", "max", "input", version=2
)
MINIMALITY = _entry(
    "min", "least Holm-adjusted p of: v of C matters more than a random detour", "max", "draw"
)
SUFFICIENCY = _entry(
    "suff", "p of: C is more faithful than no more than a share of random circuits", "min", "draw"
)
PARTIAL_NECESSITY = _entry(
    "partial_nec",
    "p of: cutting C hurts more than cutting a share of others at most",
    "min",
    "draw",
)
OF_TESTS = (EQUIVALENCE, INDEPENDENCE, MINIMALITY, SUFFICIENCY, PARTIAL_NECESSITY)


def score_circuit_tests(
    subject: ModelSubject,
    circuit: Circuit,
    *,
    size: int | None = None,
    alpha: float = 0.05,
    epsilon: float = 0.1,
    share: float = 0.9,
    draws: int = 100,
    permutations: int = 1000,
    seed: int = 0,
) -> dict[str, Result]:
    """The five tests of a circuit; s is the subject's metric of each input.

    Args:
        subject: model, inputs, ablation and metric; the condition must be the circuit's, if that
            names one.
        circuit: a set, or a ranking.
        size: cut a ranking after so many; the claimed set if None.
        alpha: level of each test. Five tests at .05 pass a good circuit in .77 of all cases at
            least.
        epsilon: how far from 1/2 still counts as equivalent.
        share: of random circuits that have to be beaten.
        draws: random circuits for each test, and detours for each candidate of the circuit.
        permutations: of the independence test.
        seed: of the draws.

    Returns:
        p-values by id; `parameters` say what the `null` is, whether the circuit `passes` at level
        `alpha`, over how many units `n`, and how often it beat random ones. Floors are those of a
        circuit that fails, or of random ones.

    Raises:
        ExplanationError: a circuit over another model's graph.
        InputError: another condition; a parameter out of range.

    Not the chance that the circuit is right: a null that is retained is not shown.

    Example, what AND needs:
        >>> import torch
        >>> from groundtruth.generators.gates import gate
        >>> from groundtruth.models.transformer import Transformer
        >>> model = Transformer(gate("and").weights, torch.float64)
        >>> subject = ModelSubject(
        ...     model, [[0, 3, 3]], lambda out: out[..., -1, 0], "resample", [[0, 2, 2]], "both 0"
        ... )
        >>> heads = [(f"a0.h{h}", "m0") for h in (0, 1)]
        >>> heads += [("embed", f"a0.h{h}.v") for h in (0, 1)]
        >>> claim = Circuit(subject.universe("edge"), members=[*heads, ("m0", "logits")])
        >>> scores = score_circuit_tests(subject, claim)
        >>> [scores[f"circuit.test_{t}"].parameters["passes"] for t in ("min", "suff")]
        [True, True]
        >>> scores["circuit.test_equiv"].reason
        'the circuit does what the model does on every input, so that none is better or worse'
    """
    circuit.check_universe(subject.universe(circuit.universe.unit))
    if circuit.condition is not None:
        subject.condition.check_same(circuit.condition)
    if size is not None and size not in range(len(circuit.universe) + 1):
        raise reject("size", size, f"0 to {len(circuit.universe)}")
    for name, value, low, high in (
        ("alpha", alpha, 0, 1),
        ("epsilon", epsilon, 0, 0.5),
        ("share", share, 0, 1),
    ):
        if not low < value < high:
            raise reject(name, value, f"a number between {low} and {high}")
    for name, value in (("draws", draws), ("permutations", permutations)):
        if value < 1:
            raise reject(name, value, "at least 1")
    runs = CircuitRuns(subject, circuit, size, epsilon, True, seed)
    tests: dict[Metric, Callable[[], _Test]] = {
        EQUIVALENCE: lambda: _equivalence(runs, epsilon),
        INDEPENDENCE: lambda: _independence(runs, permutations),
        MINIMALITY: lambda: _minimality(runs, share, draws),
        SUFFICIENCY: lambda: _sufficiency(runs, share, draws),
        PARTIAL_NECESSITY: lambda: _partial_necessity(runs, share, draws),
    }
    found = [_result(runs, entry, test, alpha) for entry, test in tests.items()]
    return {result.metric.id: result for result in found}


class _Test(NamedTuple):
    """A p-value, those of a circuit that fails and of one that cannot do better, and evidence."""

    null: str
    p: float
    floor: float
    floor_kind: str
    ceiling: float
    ceiling_kind: str
    n_units: int
    parameters: dict[str, Any]
    evidence: dict[str, np.ndarray]


def _result(runs: CircuitRuns, entry: Metric, test: Callable[[], _Test], alpha: float) -> Result:
    try:
        found, kept = test(), int(runs.kept.sum())
    except Undefined as reason:
        return undefined(entry, str(reason), **runs.parameters)
    passes = found.p <= alpha if entry.direction == "min" else found.p > alpha
    return Result(
        entry,
        float(found.p),
        n_units=found.n_units,
        floor=found.floor,
        floor_kind=found.floor_kind,
        ceiling=found.ceiling,
        ceiling_kind=found.ceiling_kind,
        parameters=runs.parameters
        | {"null": found.null, "n": found.n_units, "alpha": alpha}
        | {"size": kept, "passes": passes}
        | found.parameters,
        evidence=found.evidence,
    )


def _equivalence(runs: CircuitRuns, epsilon: float) -> _Test:
    _check_equal_weights(runs)
    difference = runs.metrics(runs.kept[None])[0] - runs.ends[1]
    differs = np.abs(difference) > runs.rounding
    n, better = int(differs.sum()), int((difference[differs] > 0).sum())
    if not n:
        raise Undefined(
            "the circuit does what the model does on every input, so that none is better or worse"
        )
    return _Test(
        "where they differ, it is the better one with a chance within epsilon of 1/2",
        equivalence_p(better, n, epsilon),
        equivalence_p(n, n, epsilon),
        "better on every input, or worse",
        1.0,
        "as often better as worse",
        n,
        {"epsilon": epsilon, "better": better, "ties": len(differs) - n},
        {"difference": difference},
    )


def equivalence_p(better: int, n: int, epsilon: float) -> float:
    """Largest chance, over |pi - 1/2| <= epsilon, of a count as far from n / 2 as `better`.

    Example:
        >>> round(equivalence_p(16, 20, 0.1), 4), equivalence_p(10, 20, 0.1)
        (0.0513, 1.0)
    """
    far = abs(2 * better - n)
    low, high = (n - far) // 2, (n + far) // 2
    if not far:
        return 1.0
    law = stats.binom(n, 0.5 + epsilon)
    return float(law.cdf(low) + law.sf(high - 1))


def _independence(runs: CircuitRuns, permutations: int) -> _Test:
    _check_equal_weights(runs)
    nothing, whole = runs.ends
    left = runs.metrics(~runs.kept[None])[0] - nothing
    if len(whole) < _FEWEST_INPUTS:
        raise Undefined(
            f"{len(whole)} inputs are too few to be permuted: {_FEWEST_INPUTS} at least"
        )
    if np.ptp(whole) <= runs.rounding:
        raise Undefined("the model's metric is the same on every input")
    p = 1.0  # What does not vary is independent of all.
    if np.ptp(left) > runs.rounding:
        p = hsic_p(left, whole, permutations, runs.draws("permutations"))
    return _Test(
        "what is left without it does is independent of what the model does",
        p,
        1 / (permutations + 1),
        "what is left is the model",
        1.0,
        "what is left does the same everywhere",
        len(whole),
        {"permutations": permutations},
        {"left": left, "whole": whole},
    )


def hsic_p(x: np.ndarray, y: np.ndarray, permutations: int, rng: np.random.Generator) -> float:
    """Permutation p-value of the Hilbert-Schmidt independence criterion of two numbers.

    HSIC = tr(K H L H) / n^2 with Gaussian kernels K of x and L of y, H centring; the width of each
    is the median distance between different values. p = (1 + #{permuted >= seen}) / (1 + all).

    Args:
        x, y: (n,).

    Source: Gretton et al., "A Kernel Statistical Test of Independence", 2007,
    https://papers.nips.cc/paper/3201-a-kernel-statistical-test-of-independence

    Example:
        >>> x = np.linspace(-1, 1, 40)
        >>> hsic_p(x, x**2, 99, np.random.default_rng(0))
        0.01
    """
    kernel_x, kernel_y = _gaussian(x), _gaussian(y)
    # Centring one of them centres the product.
    kernel_x = kernel_x - kernel_x.mean(0) - kernel_x.mean(1)[:, None] + kernel_x.mean()
    seen = (kernel_x * kernel_y).sum()
    orders = (rng.permutation(len(x)) for _ in range(permutations))
    permuted = np.array([(kernel_x * kernel_y[np.ix_(o, o)]).sum() for o in orders])
    # A permutation among equal values gives the same up to the order of summation.
    reached = permuted >= seen - 1e-9 * abs(seen)
    return float((1 + reached.sum()) / (1 + permutations))


def _gaussian(x: np.ndarray) -> np.ndarray:
    distance = pdist(x[:, None])
    width = np.median(distance[distance > 0])
    return np.exp(-(squareform(distance) ** 2) / (2 * width**2))


def _minimality(runs: CircuitRuns, share: float, draws: int) -> _Test:
    members = np.flatnonzero(runs.kept)
    if not len(members):
        raise Undefined("the circuit is empty")
    without = np.repeat(runs.kept[None], len(members), 0)
    without[np.arange(len(members)), members] = False
    own = _moved(runs, runs.kept[None], without)
    rng = runs.draws("detours")
    detours = [detour(runs.circuit.universe, runs.kept, rng) for _ in range(draws)]
    inflated = runs.kept | np.array([added for added, _ in detours])
    cut = inflated.copy()
    cut[np.arange(draws), [candidate for _, candidate in detours]] = False
    others = _moved(runs, inflated, cut)
    beaten = (own[:, None] > others + runs.rounding).sum(1)
    p = holm(stats.binom.cdf(beaten, draws, share))
    return _Test(
        "each candidate matters more than a random detour with a chance of share at least",
        float(p.min()),
        float(min(1.0, len(members) * (1 - share) ** draws)),
        "a candidate that does nothing",
        1.0,
        "all matter more than every detour",
        draws,
        {"share": share, "draws": draws, "correction": "Holm", "least_beaten": int(beaten.min())},
        {"adjusted_p": p, "effect": own, "detour_effect": others},
    )


def _sufficiency(runs: CircuitRuns, share: float, draws: int) -> _Test:
    kept, rng = runs.kept, runs.draws("sufficiency")
    if kept.all() or not kept.any():
        raise Undefined("there is one circuit of its size, so that none is random")
    others = of_size(np.ones_like(kept), int(kept.sum()), draws, rng)
    own, *found = _moved(runs, np.ones_like(kept)[None], np.stack([kept, *others]))
    beaten = int((own < np.array(found) - runs.rounding).sum())
    null = "it is more faithful than random circuits of its size with a chance of share at most"
    return _beating(null, beaten, share, draws, own, found)


def _partial_necessity(runs: CircuitRuns, share: float, draws: int) -> _Test:
    kept, rng = runs.kept, runs.draws("necessity")
    size = int(kept.sum())
    if not size:
        raise Undefined("the circuit is empty")
    if size > len(kept) - size:
        raise Undefined("there are fewer candidates outside the circuit than in it")
    others = of_size(~kept, size, draws, rng)
    own, *found = _moved(runs, np.ones_like(kept)[None], ~np.stack([kept, *others]))
    beaten = int((own > np.array(found) + runs.rounding).sum())
    null = "cutting it hurts more than cutting others with a chance of share at most"
    return _beating(null, beaten, share, draws, own, found)


def _beating(
    null: str, beaten: int, share: float, draws: int, own: float, found: list[float]
) -> _Test:
    return _Test(
        null,
        beating_p(beaten, draws, share),
        (draws * share + 1) / (draws + 1),
        "mean of random circuits without ties",
        share**draws,
        "all are beaten",
        draws,
        {"share": share, "draws": draws, "beaten": beaten},
        {"own": np.array([own]), "random": np.array(found)},
    )


def beating_p(beaten: int, draws: int, share: float) -> float:
    """P(count >= beaten) of `draws`, each won with chance `share`.

    Example:
        >>> round(beating_p(96, 100, 0.9), 4), beating_p(0, 100, 0.9)
        (0.0237, 1.0)
    """
    return float(stats.binom.sf(beaten - 1, draws, share))


def _moved(runs: CircuitRuns, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(set,) weighted mean of |s before - s after| over inputs."""
    return np.abs(runs.metrics(before) - runs.metrics(after)) @ runs.weights


def _check_equal_weights(runs: CircuitRuns) -> None:
    if np.ptp(runs.weights) > 1e-6 / len(runs.weights):
        raise Undefined("inputs of unequal weight are no sample")
