"""The report on a claim about a model: every score between its floor and its ceiling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from groundtruth.errors import UnknownName
from groundtruth.report import results_table
from groundtruth.result import Result


@dataclass(frozen=True)
class ClaimReport:
    """Results of one explanation on one testbed; `report["circuit.edge_f1"]` is a `Result`.

    Fields:
        testbed: what was explained.
        name, seed: of the method.
        results: by metric id.
        explanation: as it was scored.
        flags: what was odd about the method.
        headline: metrics that are shown first, the primary one before the others.
        about: what a reader needs to know of the testbed, in a sentence.
    """

    testbed: Any
    name: str
    seed: int
    results: dict[str, Result]
    explanation: Any = field(repr=False)
    flags: tuple[str, ...]
    headline: tuple[str, ...]
    about: str

    def __getitem__(self, metric: str) -> Result:
        if metric not in self.results:
            raise UnknownName("computed metric of this report", metric, self.results)
        return self.results[metric]

    def __contains__(self, metric: object) -> bool:
        return metric in self.results

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @property
    def verdict(self) -> str:
        """Where the claim stands between chance and the truth, by the primary metric."""
        primary, text = self.headline[0], f"{self.name} on {self.testbed.name}:"
        result = self.results.get(primary)
        if result is None:
            return f"{text} {primary} was not asked for."
        if result.value is None:
            return f"{text} no {primary}, {result.reason}."
        text += f" {primary} {result.value:.3f}"
        if result.floor is not None and result.ceiling is not None:
            text += f", between chance {result.floor:.3f} and the truth {result.ceiling:.3f}"
        if result.normalised is not None:
            text += f" ({round(result.normalised, 2) + 0.0:.0%} of the way)"
        return f"{text}."

    def __str__(self) -> str:
        warnings = [f"warning: {flag}" for flag in self.flags]
        lines = [self.verdict, "", *warnings, *results_table(self.results, self.headline)]
        return "\n".join([*lines, "", f"{self.testbed.name}: {self.about}"])
