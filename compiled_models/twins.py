"""Twins: models of the same behaviour on other directions, with fewer of them, and with decoys.

A twin is planned anew, since reading a direction that is no axis is not exact: how far off it is
(`twin_bounds.py`) depends on the weights, and the weights on how far off readings may be (a plan's
`Tolerance`), so that both are computed in turn until they agree. Then its margins are proven as
those of any compiled model, and agreement with the interpreter is tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from groundtruth import seeds
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
from groundtruth.compiled_models.placement import Placement, placed
from groundtruth.compiled_models.plan import Plan, Tolerance
from groundtruth.compiled_models.transport import Coding, transported
from groundtruth.compiled_models.twin_bounds import Bounds, Held, derived
from groundtruth.errors import ProgramError, reject
from groundtruth.models import Weights

BLUR = 2.0**-17
"""How far off directions are first taken to be read."""

SPARE = 1.2
"""How much more than what is needed the next plan is made to bear."""

ROUNDS = 12
"""Plans until a twin is refused."""


@dataclass(frozen=True)
class Request:
    """The arguments of `Compiled.twin`, checked."""

    superpose: float | None
    rotate: bool
    decoys: int
    seed: int
    n_sequences: int | None

    def __post_init__(self) -> None:
        share = self.superpose
        if share is not None and not (isinstance(share, (int, float)) and 0 < share < 1):
            raise reject("superpose", share, "a number between 0 and 1, or None")
        if isinstance(self.decoys, bool) or not isinstance(self.decoys, int) or self.decoys < 0:
            raise reject("decoys", self.decoys, "a whole number >= 0")
        seeds.check_seed(self.seed)

    def rng(self, what: str) -> np.random.Generator:
        return seeds.generator(seeds.root_of("compiled.twin", self.seed), what)


@dataclass(frozen=True)
class Draft:
    """A twin whose margins are proven, and that has not been tried yet."""

    layout: Layout
    placement: Placement
    weights: Weights
    coding: Coding
    decoys: tuple[Decoy, ...]
    held: dict[str, Held]


def twin_of(compiled: Compiled, request: Request) -> Compiled:
    """The twin that `request` asks for; see `Compiled.twin`."""
    analysis = compiled.analysis
    if request.superpose is None:
        draft = _kept_if_needed(analysis, request, None, None)
    else:
        draft = _superposed(analysis, request, int(request.superpose * compiled.layout.d_model))
    if isinstance(draft, str):
        raise _refusal(analysis, [draft])
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
    )


def _superposed(analysis: Analysis, request: Request, size: int) -> Draft | str:
    """The draft on at most `size` coordinates, with as many frequencies as they allow."""
    plan = planned(analysis, Tolerance(default=BLUR))
    period = longest_period(plan.components)
    codes: list[Harmonics | None] = [None]
    codes += [harmonics(period, m, request.rng("codes")) for m in range(period // 2 - 1, 0, -1)]
    sizes = [_sizes(analysis, plan, code, request) for code in codes]
    why = "no code is small enough"
    for code, fewest in zip(codes, sizes):
        if 1 + sum(fewest.values()) <= size:
            draft = _kept_if_needed(analysis, request, size, code)
            if isinstance(draft, Draft):
                return draft
            why = draft
    least = 1 + sum(sizes[-1].values())
    reasons = [f"it cannot lie on {size} of {plan.layout().d_model} coordinates: {why}"]
    for code, fewest in sorted(zip(codes, sizes), key=lambda pair: sum(pair[1].values())):
        least = 1 + sum(fewest.values())
        if least > size and isinstance(
            _kept_if_needed(analysis, request, least, code), Draft
        ):
            share = np.ceil(1000 * least / plan.layout().d_model) / 1000
            reasons.append(
                f"the smallest that can be proven is superpose={share:g}, {least} of "
                f"{plan.layout().d_model}"
            )
            reasons += _large(plan, fewest)
            break
    raise _refusal(analysis, reasons)


def _large(plan: Plan, fewest: dict[Variable, int]) -> list[str]:
    """Which variables need all of their directions, and who reads them."""
    return [
        f"{v.name} needs {k} coordinates for {len(v.labels)} values, for what "
        + ", ".join(part.writes.name for part in plan.components if v in part.reads)
        + " reads"
        for v, k in fewest.items()
        if k > 2 and k >= len(v.labels) - 1
    ]


def _sizes(
    analysis: Analysis, plan: Plan, code: Harmonics | None, request: Request
) -> dict[Variable, int]:
    layout, placement, weights = _assembled(analysis, plan, code)
    return smallest(layout, placement, weights, frozenset(), request.rng("codes"))


def _assembled(
    analysis: Analysis, plan: Plan, code: Harmonics | None
) -> tuple[Layout, Placement, Weights]:
    components: list[Component] = plan.components
    if code is not None:
        components = compared_by(code, components)
    layout, placement = plan.layout(), placed(components)
    return layout, placement, assembled(analysis, layout, placement)


def _kept_if_needed(
    analysis: Analysis, request: Request, size: int | None, code: Harmonics | None
) -> Draft | str:
    """A draft in which, if need be, what heads compare by order stays on its axes."""
    draft = _draft(analysis, request, size, code, frozenset())
    if isinstance(draft, Draft):
        return draft
    kept = ordering(planned(analysis).components)
    again = _draft(analysis, request, size, code, kept) if kept else draft
    return draft if isinstance(again, str) else again


def _draft(
    analysis: Analysis,
    request: Request,
    size: int | None,
    code: Harmonics | None,
    kept: frozenset[str],
) -> Draft | str:
    """A twin that bears how far off it is read, or why there is none."""
    stretch = 1.0 if code is None else code.stretch
    tolerance = Tolerance({}, BLUR, stretch, exact=kept)
    for _ in range(ROUNDS):
        try:
            plan = planned(analysis, tolerance)
        except ProgramError as error:
            return "; ".join(error.reasons)
        layout, placement, weights = _assembled(analysis, plan, code)
        codes = {v: np.eye(len(v.labels)) for v in layout.variables}
        if size is not None:
            found = chosen_codes(layout, placement, weights, size, kept, request.rng("codes"))
            if found is None:
                return "copies that it needs to be exact do not fit"
            codes = found
        coding = _coding(layout, codes, kept, request)
        made = transported(weights, placement, coding)
        made, decoys = with_decoys(made, placement, coding, request.decoys, request.rng("decoys"))
        bounds = derived(
            weights,
            layout,
            placement,
            coding,
            names=analysis.program.names,
            kept=kept,
            n_keys=plan.n_keys,
            extra=sum(decoy.largest for decoy in decoys),
            extra_roundings=len(decoys),
        )
        shifted = frozenset(v.name for v, c in codes.items() if c.shape[0] != c.shape[1])
        if shifted <= tolerance.shifted and all(need <= tolerance.of(*key) for key, need in bounds.blur.items()):
            return _proven(layout, placement, made, coding, decoys, bounds)
        blur = {key: SPARE * need for key, need in bounds.blur.items()}
        tolerance = Tolerance(blur, 0.0, stretch, shifted, kept)
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
    if not request.rotate:
        return coding
    fixed = {BOS, *(k for v, s in coding.places.items() if v.name in kept for k in _range(s))}
    turned = [k for k in range(size) if k not in fixed]
    q, r = np.linalg.qr(request.rng("rotation").normal(size=(len(turned), len(turned))))
    basis = np.eye(size)
    basis[np.ix_(turned, turned)] = q * np.sign(np.diag(r))
    return Coding(layout, codes, free, basis)


def _range(place: slice) -> range:
    return range(place.start, place.stop)


def _refusal(analysis: Analysis, reasons: list[str]) -> ProgramError:
    what = f"program {analysis.program.name!r} has no such twin"
    return ProgramError(what, reasons)
