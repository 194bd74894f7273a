"""Named testbeds of what features cause, and of probes against latents."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from groundtruth.errors import UnknownName, check_no_word
from groundtruth.generators.beliefs import belief
from groundtruth.generators.cause_worlds import causal_dictionary, steering
from groundtruth.generators.concept_shift import concept_shift
from groundtruth.generators.trojans import trojan
from groundtruth.site_testbed import SiteTestbed


@dataclass(frozen=True)
class CausePreset:
    """A named testbed of a site.

    Fields:
        builder: builder(seed=, **parameters) -> testbed; its defaults are the preset's.
    """

    name: str
    summary: str
    builder: Callable[..., SiteTestbed]
    version: int = 1

    @property
    def parameters(self) -> dict[str, Any]:
        """What can be changed, with defaults."""
        known = inspect.signature(self.builder).parameters
        return {name: p.default for name, p in known.items() if name != "seed"}

    @property
    def source(self) -> str:
        """Where the construction comes from, as its testbeds say it."""
        return self.build().source

    def build(self, /, *, seed: int = 0, **changes: Any) -> SiteTestbed:
        """The testbed at `seed`, with any parameter changed by name.

        Raises:
            UnknownName: no such parameter.
            InputError: one out of range.
        """
        for key, value in changes.items():
            if key not in self.parameters:
                raise UnknownName(f"parameter of {self.name}", key, self.parameters)
            check_no_word(key, value, self.parameters[key])
        return self.builder(seed=seed, **changes)


PRESETS = (
    CausePreset(
        "causes/dictionary",
        "Three causes, nine inert decoys that go along with them (.3, .6, .9), two features that "
        "act through a third, and one that never fires and acts when steered.",
        causal_dictionary,
    ),
    CausePreset(
        "causes/steering",
        "A concept whose effect is a broken line with known breaks, and a companion with a side "
        "effect.",
        steering,
    ),
    CausePreset(
        "causes/trojan",
        "A conjunction of words that moves an output by 4, a decoy detector that nothing reads; "
        "benign=True is the twin.",
        trojan,
    ),
    CausePreset(
        "causes/belief",
        "A belief and a report that agree but for a flag: probes of the one, or of the other.",
        belief,
    ),
    CausePreset(
        "causes/concept-shift",
        "A concept with a louder correlate that turns round: probes on activations, on latents, "
        "and the planted direction.",
        concept_shift,
    ),
)
