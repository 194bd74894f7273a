"""Oracles and controls: what knowing everything and knowing nothing score on a testbed."""

from groundtruth.ladder.ladder import (
    CORE,
    N_TRAIN,
    Ladder,
    LadderRow,
    decoder_references,
    ladder,
    references,
    row_ids,
)

__all__ = [
    "CORE",
    "N_TRAIN",
    "Ladder",
    "LadderRow",
    "decoder_references",
    "ladder",
    "references",
    "row_ids",
]
