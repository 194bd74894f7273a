"""Twins: models of the same behaviour on other directions, with fewer of them, and with decoys.

A twin is planned anew, since reading a direction that is no axis is not exact: how far off it is
(`twin_bounds.py`) depends on the weights, and the weights on how far off readings may be (a plan's
`Tolerance`), so that both are computed in turn until they agree. Then its margins are proven as
those of any compiled model, and agreement with the interpreter is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from groundtruth.compiled_models.analysis import Analysis
from groundtruth.compiled_models.assembly import assembled
from groundtruth.compiled_models.certificate import Readout, certified
from groundtruth.compiled_models.codes import (
    Harmonics,
    chosen_codes,
    compared_by,
    harmonics,
    longest_period,
    ordering,
    smallest,
)
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.components import Component
from groundtruth.compiled_models.decoys import Decoy, with_decoys
from groundtruth.compiled_models.layout import BOS, Layout, Variable
from groundtruth.compiled_models.lowering import planned
from groundtruth.compiled_models.noise import noisy
from groundtruth.compiled_models.norms import RELATIVE, normed
from groundtruth.compiled_models.placement import Placement, placed
from groundtruth.compiled_models.plan import Plan, Tolerance
from groundtruth.compiled_models.request import Request
from groundtruth.compiled_models.transport import Coding, transported
from groundtruth.compiled_models.twin_bounds import Bounds, Held, derived
from groundtruth.errors import ProgramError
from groundtruth.models import Weights

BLUR = 2.0**-17
"""How far off directions are first taken to be read."""

SPARE = 1.5
"""How much more than what is needed the next plan is made to bear."""

LEAST_NOISE = 2.0**-24
"""Noise that float32 cannot hold."""

MOST_FREQUENCIES = 8
"""Frequencies that heads compare by."""

ROUNDS = 12
"""Plans until a twin is refused."""


@dataclass(frozen=True)
class Draft:
    """A twin whose margins are proven, and that has not been tried yet."""

    layout: Layout
    placement: Placement
    weights: Weights
    coding: Coding
    decoys: tuple[Decoy, ...]
    held: dict[str, Held]


@dataclass(frozen=True)
class _Way:
    """A way to make a twin.

    Fields:
        code: what heads compare for equality by; None for all values.
        kept: names of variables that stay on axes.
        numbers: whether all numbers stay on axes too, where they are as exact as they are written.
        steps: see `Tolerance`.
    """

    code: Harmonics | None
    kept: frozenset[str]
    numbers: bool
    steps: bool

    def on_axes(self, layout: Layout) -> frozenset[str]:
        """Names of the variables that stay on axes."""
        numbers = (v.name for v in layout.variables if self.numbers and not v.one_hot)
        return self.kept.union(numbers)


def twin_of(compiled: Compiled, request: Request) -> Compiled:
    """The twin that `request` asks for; see `Compiled.twin`."""
    analysis = compiled.analysis
    if request.superpose is None:
        draft = _plain(analysis, request)
    else:
        size = coordinates(request.superpose, compiled.layout.d_model)
        draft = _superposed(compiled, request, size)
    certificate = certified(
        analysis,
        draft.layout,
        draft.weights,
        n=request.n_sequences,
        seed=request.seed,
        readout=Readout(draft.coding, draft.held),
    )
    return Compiled(
        analysis,
        draft.layout,
        draft.placement,
        draft.weights,
        certificate,
        draft.coding,
        draft.decoys,
        request,
    )


def coordinates(share: float, whole: int) -> int:
    """How many of `whole` coordinates a share allows; 0.58 of 50 are 29, though less in floats."""
    return int(share * whole + 1e-9)


def _plain(analysis: Analysis, request: Request) -> Draft:
    """The draft on as many coordinates as directions."""
    reasons = []
    for way in _ways([None], planned(analysis), request):
        draft = _draft(analysis, request, way, "all")
        if isinstance(draft, Draft):
            return draft
        if draft not in reasons:
            reasons.append(draft)
    reasons += _quieter(request, lambda quiet: _plain(analysis, quiet))
    reasons += _fewer_decoys(request, lambda fewer: _plain(analysis, fewer))
    raise _refusal(analysis, reasons)


def _superposed(compiled: Compiled, request: Request, size: int) -> Draft:
    """The draft on at most `size` coordinates, with as many frequencies as they allow."""
    analysis, plan = compiled.analysis, planned(compiled.analysis)
    period = longest_period(plan.components)
    most = min(period // 2 - 1, MOST_FREQUENCIES)
    codes: list[Harmonics | None] = [None]
    codes += [harmonics(period, m, request.rng("codes")) for m in range(most, 0, -1)]
    ways = _ways(codes, plan, request)
    least = [1 + sum(_fewest(analysis, way, request).values()) for way in ways]
    reasons = [f"{size} of {compiled.layout.d_model} coordinates: no code is small enough"]
    for way, fewest in zip(ways, least):
        if fewest <= size:
            draft = _draft(analysis, request, way, size)
            if isinstance(draft, Draft):
                return draft
            reasons[0] = f"{size} of {compiled.layout.d_model} coordinates: {draft}"
    found = [_draft(analysis, request, way, None) for way in ways]
    drafts = [draft for draft in found if isinstance(draft, Draft)]
    if drafts:
        smallest_draft = min(drafts, key=lambda draft: draft.coding.size)
        # Where there is room to spare it may have gone to what then needed more elsewhere.
        if smallest_draft.coding.size <= size:
            return smallest_draft
        reasons += _nearest(compiled, smallest_draft)
    else:
        reasons += _fewer_decoys(request, lambda fewer: _superposed(compiled, fewer, size))
    reasons += _quieter(request, lambda quiet: _superposed(compiled, quiet, size))
    raise _refusal(analysis, reasons)


def _quieter(request: Request, draft: Callable[[Request], Draft]) -> list[str]:
    """How much noise could be borne, within a factor of 2."""
    noise = request.noise / 2
    if noise < LEAST_NOISE:
        return []
    try:
        draft(replace(request, noise=noise))
    except ProgramError as error:
        return [reason for reason in error.reasons if "noise" in reason]
    return [f"with noise={noise:.1e} it can be proven"]


def _fewer_decoys(request: Request, draft: Callable[[Request], Draft]) -> list[str]:
    """How many decoys could be borne, within a factor of 2; noise is reduced first."""
    decoys = request.decoys // 2
    if request.noise or decoys == 0:
        return []
    try:
        draft(replace(request, decoys=decoys))
    except ProgramError as error:
        return [reason for reason in error.reasons if "decoys=" in reason]
    return [f"with decoys={decoys} it can be proven"]


def _nearest(compiled: Compiled, draft: Draft) -> list[str]:
    """What the smallest twin is, and which variables make it as large as that."""
    size, whole = draft.coding.size, compiled.layout.d_model
    parts = [part for block in draft.placement.blocks for part in (*block.heads, *block.neurons)]
    if size >= whole:
        reasons = ["none on fewer coordinates than directions can be proven"]
    else:
        share = np.ceil(1000 * size / whole) / 1000
        reasons = [
            f"the smallest that can be proven is superpose={share:g}, {size} of {whole} coordinates"
        ]
    return reasons + [
        f"{v.name} needs {code.shape[1]} coordinates for {len(code)} values, for what "
        + ", ".join(part.writes.name for part in parts if v in part.reads)
        + " reads of it"
        for v, code in draft.coding.codes.items()
        if code.shape[1] > 2 and code.shape[1] >= len(code) - 1
    ]


def _ways(codes: Sequence[Harmonics | None], plan: Plan, request: Request) -> list[_Way]:
    """All ways to be tried, in order. What may have to stay on axes is nothing, or what heads
    compare by order, or that and numbers.

    Under a norm nothing is exact on an axis either.
    """
    ordered = ordering(plan.components)
    kept = [frozenset(), ordered] if ordered and request.norm is None else [frozenset()]
    found = [_Way(c, k, False, steps) for c, k, steps in product(codes, kept, (True, False))]
    if request.norm is None:
        found += [_Way(c, ordered, True, steps) for c, steps in product(codes, (True, False))]
    return found


def _fewest(analysis: Analysis, way: _Way, request: Request) -> dict[Variable, int]:
    plan = planned(analysis, Tolerance(steps=way.steps))
    layout, placement, weights = _assembled(analysis, plan, way.code)
    return smallest(layout, placement, weights, way.kept, request.rng("codes"))


def _assembled(
    analysis: Analysis, plan: Plan, code: Harmonics | None
) -> tuple[Layout, Placement, Weights]:
    components: list[Component] = plan.components
    if code is not None:
        components = compared_by(code, components)
    layout, placement = plan.layout(), placed(components)
    return layout, placement, assembled(analysis, layout, placement)


def _draft(
    analysis: Analysis, request: Request, way: _Way, size: int | Literal["all"] | None
) -> Draft | str:
    """A twin that bears how far off it is read, or why there is none.

    Args:
        size: how many coordinates it may have; None for as few as can be, "all" for as many as
            directions.
    """
    code = way.code
    stretch = 1.0 if code is None else code.stretch
    tolerance = Tolerance({}, BLUR, stretch, exact=way.kept, steps=way.steps)
    for _ in range(ROUNDS):
        try:
            plan = planned(analysis, tolerance)
        except ProgramError as error:
            return "; ".join(error.reasons)
        layout, placement, weights = _assembled(analysis, plan, code)
        kept = way.on_axes(layout)
        if size == "all":
            codes = {v: np.eye(len(v.labels)) for v in layout.variables}
        else:
            rng = request.rng("codes")
            codes = chosen_codes(layout, placement, weights, size, kept, rng)
        if codes is None:
            return "copies that it needs to be exact do not fit"
        coding = _coding(layout, codes, kept, request)
        made = transported(weights, placement, coding)
        made, decoys = with_decoys(made, placement, coding, request.decoys, request.rng("decoys"))
        made = noisy(made, coding, request.noise, request.rng("noise"))
        bounds = derived(
            weights,
            layout,
            placement,
            coding,
            names=analysis.program.names,
            kept=kept,
            n_keys=plan.n_keys,
            extra=sum(decoy.largest for decoy in decoys),
            n_extra=len(decoys),
            noise=request.noise,
            norm=0.0 if request.norm is None else RELATIVE,
        )
        shifted = frozenset(v.name for v, c in codes.items() if c.shape[0] != c.shape[1])
        if shifted <= tolerance.shifted and all(
            need <= tolerance.of(*key) for key, need in bounds.blur.items()
        ):
            if request.norm is not None:
                made, placed_anew = normed(made, coding, request.norm, bounds.length)
                moved = coding.basis.T @ placed_anew.basis
                decoys = tuple(replace(d, direction=d.direction @ moved) for d in decoys)
                coding = placed_anew
            return _proven(layout, placement, made, coding, decoys, bounds)
        blur = {key: SPARE * need for key, need in bounds.blur.items()}
        tolerance = Tolerance(blur, 0.0, stretch, shifted, way.kept, way.steps)
    return "what it reads is off by more the more it can bear"


def _proven(
    layout: Layout,
    placement: Placement,
    weights: Weights,
    coding: Coding,
    decoys: tuple[Decoy, ...],
    bounds: Bounds,
) -> Draft | str:
    held = dict(bounds.held())
    for name, found in held.items():
        if not found.error < found.margin:
            return f"the values of {name} are too close to be told apart"
    return Draft(layout, placement, weights, coding, decoys, held)


def _coding(
    layout: Layout, codes: dict[Variable, np.ndarray], kept: frozenset[str], request: Request
) -> Coding:
    free = (request.decoys + 1) // 2
    size = 1 + sum(code.shape[1] for code in codes.values()) + free
    coding = Coding(layout, codes, free, np.eye(size))
    fixed = {BOS, *(k for v, s in coding.places.items() if v.name in kept for k in _range(s))}
    if not request.rotate:
        return replace(coding, fixed=tuple(sorted(fixed)))
    turned = [k for k in range(size) if k not in fixed]
    q, r = np.linalg.qr(request.rng("rotation").normal(size=(len(turned), len(turned))))
    basis = np.eye(size)
    basis[np.ix_(turned, turned)] = q * np.sign(np.diag(r))
    return Coding(layout, codes, free, basis, tuple(sorted(fixed)))


def _range(place: slice) -> range:
    return range(place.start, place.stop)


def _refusal(analysis: Analysis, reasons: list[str]) -> ProgramError:
    what = f"program {analysis.program.name!r} has no such twin"
    return ProgramError(what, reasons)
