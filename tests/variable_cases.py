"""Testbeds of causal variables that several tests share; each is made once."""

from __future__ import annotations

from functools import cache

import numpy as np

from groundtruth.alignment import Alignment, Subspace
from groundtruth.compiled_models import compile_program, library
from groundtruth.compiled_models.variable_testbeds import variable_testbed
from groundtruth.generators.hierarchical_equality import hierarchical_equality
from groundtruth.variable_testbed import VariableTestbed

APART = "blocks.0.hook_resid_post"
"""Where hierarchical equality carries WX and YZ."""


@cache
def equality(n_objects: int = 16) -> VariableTestbed:
    return hierarchical_equality(n_objects)


@cache
def compiled(name: str, max_length: int = 4) -> VariableTestbed:
    program = library.program(name)
    return variable_testbed(
        compile_program(program, vocab="abc", max_length=max_length, closed=True, n_sequences=64)
    )


def everywhere(testbed: VariableTestbed, site: str, basis: np.ndarray) -> Alignment:
    """One subspace, claimed for every variable."""
    return Alignment({name: Subspace(site, basis) for name in testbed.hypothesis})
