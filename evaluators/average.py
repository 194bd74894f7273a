"""The mean over units of which some may be undefined, as a result that says how many were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from groundtruth.evaluators import statistics
from groundtruth.result import Metric, Result, undefined

DEGENERATE_ABOVE = 0.05


def average(entry: Metric, values: np.ndarray, parameters: Mapping[str, object]) -> Result:
    """Mean of the units that are defined (not NaN), with a t interval over units.

    Undefined units are left out and counted; above 5 % of them the result is "degenerate". The
    interval holds the matching fixed: it says how the mean would vary if the units were
    exchangeable, not how it varies over worlds or training seeds.
    """
    defined = values[np.isfinite(values)]
    n_undefined = len(values) - len(defined)
    parameters = {**parameters, "n_undefined": n_undefined}
    if len(defined) == 0:
        return undefined(entry, f"undefined for all {len(values)} {entry.unit}s", **parameters)
    share = n_undefined / len(values)
    mean, low, high = statistics.t_interval(defined)
    return Result(
        entry,
        mean,
        status="degenerate" if share > DEGENERATE_ABOVE else "ok",
        reason=f"undefined for {share:.0%} of {entry.unit}s" if n_undefined else "",
        n_units=len(defined),
        low=None if math.isnan(low) else low,
        high=None if math.isnan(high) else high,
        interval_method="t over units, matching fixed" if not math.isnan(low) else "",
        parameters=dict(parameters),
        evidence={"per_unit": values},
    )


def resolved(result: Result, unresolved: np.ndarray) -> Result:
    """The result, "degenerate" if over 5 % of features fire too rarely for their F1 to be told.

    Args:
        unresolved: (n_features,) bool, see `Comparison.unresolved`.
    """
    share = float(unresolved.mean())
    parameters = {**result.parameters, "n_unresolved": int(unresolved.sum())}
    if result.status != "ok" or share <= DEGENERATE_ABOVE:
        return replace(result, parameters=parameters)
    reason = (
        f"{share:.0%} of features fire in fewer than 3 of the score samples, too rarely to see "
        "their false positives: their F1 reads too high. Raise n_score"
    )
    return replace(result, status="degenerate", reason=reason, parameters=parameters)
