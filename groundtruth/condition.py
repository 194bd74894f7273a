"""What a circuit is a circuit of: on which inputs, and what stands where it is cut away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from groundtruth.errors import InputError

AblationKind = Literal["zero", "mean", "resample"]


@dataclass(frozen=True)
class Condition:
    """A circuit under one condition says nothing of another: which edges matter depends on it.

    Fields:
        inputs: hash of the weighted list of inputs, with the positions whose outputs count.
        ablation: what an edge outside the circuit carries: nothing, its writer's mean over the
            inputs at each position, or what its writer wrote on a paired input.
        pairing: how inputs were paired; "" where they are not.

    Source: Miller, Chughtai and Saunders, "Transformer Circuit Faithfulness Metrics Are Not
    Robust", 2024, https://arxiv.org/abs/2407.08734
    """

    inputs: str
    ablation: AblationKind
    pairing: str = ""

    def check_same(self, other: Condition) -> None:
        """Refuse to compare what was found under another condition.

        Raises:
            InputError: inputs, ablation or pairing differ.
        """
        if self != other:
            raise InputError(
                f"condition: expected {self}, got {other}. Circuits are comparable under one "
                "condition only: find the circuit under the truth's, or enumerate the truth anew."
            )

    def __str__(self) -> str:
        paired = f" with {self.pairing}" if self.pairing else ""
        return f"{self.ablation} ablation{paired} on inputs {self.inputs[:8]}"
