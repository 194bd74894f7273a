"""A trial: a testbed together with all that is particular to scoring claims about its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from groundtruth.result import Metric, Result

Tell = Callable[[str], None] | None


@dataclass(frozen=True)
class Terms:
    """How claims are scored; None is the default of the kind of testbed.

    Fields:
        scoring: a `Scoring` (how much data) or `CircuitScoring`, by the kind, or its fields.
        n_train, threshold, share: of dictionaries alone; see `evaluate`.
    """

    scoring: Any = None
    n_train: int | None = None
    threshold: float | None = None
    share: float | None = None


@dataclass(frozen=True)
class ScoredRow:
    """An oracle or a control that is made from the testbed, scored as a claim is."""

    kind: Literal["oracle", "control"]
    summary: str
    note: str
    results: dict[str, Result]


class Report(Protocol):
    """What a scored claim comes to."""

    @property
    def results(self) -> dict[str, Result]: ...

    @property
    def flags(self) -> tuple[str, ...]: ...

    @property
    def verdict(self) -> str: ...


class Trial(Protocol):
    """What evaluation, runner, store and report need to know of one kind of testbed.

    A new kind is a class with these, and a line in `trials.TRIALS`. It is constructed from a
    testbed and `Terms`.

    Attributes:
        explains: the kind of explanation, as methods declare it and records say it.
        metrics: every metric that may be among the results, by id.
        terms: which of n_train, threshold and share it is scored by.
        primary: the metric that a single run is judged by.
        rows: reference rows that a single run is shown with.
        testbed: with `name`, `recipe`, `hash`, `subject`.
    """

    explains: ClassVar[str]
    metrics: ClassVar[Mapping[str, Metric]]
    terms: ClassVar[tuple[str, ...]]
    primary: ClassVar[str]
    rows: ClassVar[tuple[str, ...]]

    @property
    def testbed(self) -> Any: ...

    def description(self) -> dict[str, Any]:
        """Plain JSON of the terms, on which every score depends."""
        ...

    def card(self) -> dict[str, Any]:
        """Plain JSON about the testbed, stored with every run."""
        ...

    def prepare(self) -> None:
        """Make what all scores need, so that no method's time is charged for it."""
        ...

    def read(self, found: Any) -> Any:
        """What a method returned, or a user brought, as an explanation that fits the testbed.

        Raises:
            ExplanationError: it cannot be read so.
        """
        ...

    def report(
        self,
        explanation: Any,
        *,
        name: str,
        seed: int,
        flags: tuple[str, ...] = (),
        metrics: Any = None,
    ) -> Any:
        """The `Report` on an explanation."""
        ...

    def tensors(self, report: Any) -> dict[str, np.ndarray]:
        """The explanation as it was scored."""
        ...

    def again(self, tensors: Mapping[str, np.ndarray], *, name: str, seed: int) -> Any:
        """The `Report` on an explanation that `tensors` gave."""
        ...

    def row(self, row: str, tell: Tell = None) -> ScoredRow:
        """One of the reference rows."""
        ...

    def bounds(self) -> dict[str, Result]:
        """A result of every metric whose floor a failed run is counted at."""
        ...


@runtime_checkable
class TwinnedTrial(Protocol):
    """A trial whose scores compare a method with itself: it is run on further subjects as well."""

    def twins(self, explanation: Any, *, seed: int) -> Mapping[str, Any]:
        """Subjects by name, given what was found on the testbed's."""
        ...

    def beside(self, explanation: Any, found: Mapping[str, Any], *, seed: int) -> Any:
        """The explanation together with what the same method found on the twins; where it broke
        there, `found` has the `GroundtruthError`."""
        ...
