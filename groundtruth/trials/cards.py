"""What is stored of a testbed beside every run on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groundtruth import catalogue, hashing


def card_of(
    testbed: Any, *, view: str, group: str, facts: Sequence[str], **more: Any
) -> dict[str, Any]:
    """Plain JSON about a testbed.

    Args:
        view: what a report shows of runs on it; see `groundtruth.reporting.views`.
        group: testbeds of one group may be averaged, each then a task.
        facts: what a reader of a score needs to know of it, in a few words each.
    """
    return {
        "name": testbed.name,
        "view": view,
        "group": group,
        "hash": testbed.hash,
        "recipe": hashing.jsonable(testbed.recipe.description()),
        "truth_class": testbed.truth_class,
        "summary": catalogue.testbed_summary(testbed.name),
        "source": testbed.source,
        "facts": list(facts),
        **more,
    }
