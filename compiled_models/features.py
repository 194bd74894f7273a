"""Which direction of an activation carries which value of which expression, and how often.

An activation is drawn as an input, and a position of it that holds a token, all positions alike.
Codes of expressions are their values by the interpreter, codes of what is on the way to them are
what the model writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from groundtruth.compiled_models.batch_interpreter import BatchInterpreter
from groundtruth.compiled_models.columns import Column
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.domains import repr_of
from groundtruth.compiled_models.expressions import Indices
from groundtruth.compiled_models.inputs import Inputs
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.placement import Placement
from groundtruth.compiled_models.transport import Coding
from groundtruth.compiled_models.variables import embedded, residual_sites, site_of
from groundtruth.errors import InputError, UnknownName
from groundtruth.population import Population
from groundtruth.testbed import Block
from groundtruth.truth import FeatureTruth

EMBEDDINGS: tuple[str, ...] = ("hook_embed", "hook_pos_embed")

_SEQUENCES = 512  # that are run at a time


@dataclass(frozen=True)
class Site:
    """A place where activations are read, with all that can be drawn there.

    Fields:
        truth: the dictionary, with the population of its codes.
        activations: (n_rows, d_model) float32, the model's, in the rows of the population.
    """

    truth: FeatureTruth
    activations: np.ndarray

    @property
    def population(self) -> Population:
        assert self.truth.population is not None
        return self.truth.population

    @cached_property
    def codes(self) -> sp.csr_array:
        """The population's codes in float32."""
        return sp.csr_array(self.population.codes.astype(np.float32))

    def draw(self, rng: np.random.Generator, n: int) -> Block:
        """`n` rows, each with its weight as chance."""
        return self._rows(_chosen(rng, self.population.weights, n))

    def draw_active(self, rng: np.random.Generator, features: np.ndarray) -> Block:
        """One row for each entry of `features`, given that this feature fires."""
        rows = np.zeros(len(features), dtype=np.int64)
        for feature in np.unique(features):
            at = np.flatnonzero(features == feature)
            firing = sp.coo_array(self.population.codes[:, [feature]]).coords[0]
            rows[at] = firing[_chosen(rng, self.population.weights[firing], len(at))]
        return self._rows(rows)

    def _rows(self, rows: np.ndarray) -> Block:
        return self.activations[rows], sp.csr_array(self.codes[rows])


def site_truth(compiled: Compiled, site: str, inputs: Inputs) -> Site:
    """The activations of `site` on `inputs`, with their dictionary.

    Each value of a categorical expression is a feature that fires with 1, or in a superposed twin
    with the length of its word; of a numerical one what is above 0 and what is below 0 are features
    in opposite directions, and so is None. What a decoy writes is a feature too. What never fires
    on the inputs is left out.

    Raises:
        UnknownName: no such site, or none whose features are known.
        InputError: nothing is ever written there.
    """
    variables = variables_at(compiled, site)
    x = _activations(compiled, site, inputs)
    columns, weights = _values(compiled, inputs)
    names, directions, codes, groups = [], [], [], []
    planted = [list(_features(compiled.coding, v, columns.get(v.name), x)) for v in variables]
    exclusive = [v.name in columns and not v.numerical for v in variables]
    planted.append(list(_of_decoys(compiled, site, inputs)))
    for found, one_of_them in zip(planted, [*exclusive, False]):
        # A value whose word is 0 has no direction, and shows in the absence of the others.
        firing = [entry for entry in found if entry[2].any() and entry[1].any()]
        if one_of_them and len(firing) > 1:
            groups.append(len(names) + np.arange(len(firing)))
        for name, direction, code in firing:
            length = np.linalg.norm(direction)
            names.append(name)
            directions.append(direction / length)
            codes.append(sp.csc_array(code[:, None] * length))
    if not names:
        raise InputError(f"{site}: nothing is written there on these inputs.")
    population = Population(sp.csr_array(sp.hstack(codes)), weights, tuple(groups))
    truth = FeatureTruth(
        np.array(directions),
        population.firing_probability,
        population.magnitude,
        _bias(compiled, site),
        names=tuple(names),
        site=site,
        population=population,
    )
    return Site(truth, x)


def _bias(compiled: Compiled, site: str) -> np.ndarray:
    """What every activation of `site` holds."""
    ballast = compiled.coding.ballast
    if ballast is None or not (site == "hook_embed" or _upto(site, compiled.placement)):
        return np.zeros(compiled.weights.d_model)
    return ballast


def sites(compiled: Compiled) -> list[str]:
    """Sites whose features are known: embeddings, the residual stream, and what is added to it."""
    found = list(EMBEDDINGS)
    for b, block in enumerate(compiled.placement.blocks):
        found += [f"blocks.{b}.hook_resid_pre"]
        found += [f"blocks.{b}.hook_attn_out"] if block.heads else []
        found += [f"blocks.{b}.hook_resid_mid"]
        found += [f"blocks.{b}.hook_mlp_out"] if block.neurons else []
        found += [f"blocks.{b}.hook_resid_post"]
    return found


def variables_at(compiled: Compiled, site: str) -> list[Variable]:
    """What activations of `site` carry.

    Raises:
        UnknownName: no such site, or none whose features are known.
    """
    if site not in sites(compiled):
        raise UnknownName("site", site, sites(compiled))
    variables, placement = compiled.layout.variables, compiled.placement
    if site in EMBEDDINGS:
        position = site == "hook_pos_embed"
        found = embedded(compiled.layout, placement)
        return [v for v in found if isinstance(v.expression, Indices) == position]
    block, hook = int(site.split(".")[1]), site.rpartition(".")[2]
    if hook in ("hook_attn_out", "hook_mlp_out"):
        parts = placement.blocks[block]
        parts = parts.heads if hook == "hook_attn_out" else parts.neurons
        return [part.writes for part in parts]
    upto = _upto(site, placement)
    return [v for v in variables if site_of(v, placement) in upto]


def _upto(site: str, placement: Placement) -> list[str]:
    """Sites of the residual stream whose variables are there at `site`; none if it is no such."""
    if site in EMBEDDINGS:
        return []
    order, (_, block, hook) = residual_sites(placement), site.split(".")
    if hook == "hook_resid_pre" and int(block):
        site = f"blocks.{int(block) - 1}.hook_resid_post"
    return order[: order.index(site) + 1] if site in order else []


def _activations(compiled: Compiled, site: str, inputs: Inputs) -> np.ndarray:
    """(token, ...) the activations of `site`, one row for each token of each input."""
    from groundtruth.compiled_models import running  # loads torch

    tokens, there = model_tokens(inputs.batch, compiled.weights), _there(inputs)
    parts = []
    for start in range(0, len(tokens), _SEQUENCES):
        rows = slice(start, start + _SEQUENCES)
        parts.append(running.activations(compiled.model, tokens[rows], site)[there[rows]])
    return np.concatenate(parts)


def _values(compiled: Compiled, inputs: Inputs) -> tuple[dict[str, Column], np.ndarray]:
    """The values of expressions, and weights: one row for each token."""
    there = _there(inputs)
    columns = BatchInterpreter(compiled.analysis).run(inputs.batch)
    share = inputs.weights / inputs.batch.lengths
    weights = np.broadcast_to(share[:, None], there.shape)[there]
    return {name: column.at(there) for name, column in columns.items()}, weights


def _there(inputs: Inputs) -> np.ndarray:
    """(input, position) where there is a token."""
    return np.arange(inputs.batch.ids.shape[1]) < inputs.batch.lengths[:, None]


Feature = tuple[str, np.ndarray, np.ndarray]
"""Name, direction (d_model,) and codes (n_rows,)."""


def _features(
    coding: Coding, variable: Variable, column: Column | None, x: np.ndarray
) -> Iterator[Feature]:
    """The features that a variable is at a site."""
    held = coding.held(variable, x.astype(np.float64)) if column is None else None
    for k, (label, axis) in enumerate(zip(variable.labels, coding.directions[variable.span])):
        name = f"{variable.name}={repr_of(label)}"
        if column is None:
            assert held is not None
            code = held[:, k]
            # What is off by no more than was proven may be off from 0.
            code[np.abs(code) <= variable.error] = 0.0
            name = f"{variable.name}[{label}]"
            yield from _halves((name, f"-{name}"), axis, code)
        elif not variable.numerical:
            yield name, axis, (column.codes() == k).astype(np.float64)
        elif label is None:
            yield name, axis, column.gone().astype(np.float64)
        else:
            number = np.where(column.gone(), 0, column.array) / column.domain.denominator
            names = (f"{variable.name}>0", f"{variable.name}<0")
            yield from _halves(names, axis, number.astype(np.float64))


def _of_decoys(compiled: Compiled, site: str, inputs: Inputs) -> Iterator[Feature]:
    """What decoys have written at `site`."""
    for number, decoy in enumerate(compiled.decoys):
        block = f"blocks.{decoy.block}"
        added, stream, hook = ("attn_out", "mid", "attn.hook_result")
        if decoy.head is None:
            added, stream, hook = ("mlp_out", "post", "mlp.hook_post")
        places = (f"{block}.hook_{added}", f"{block}.hook_resid_{stream}")
        if not set(places) & {site, *_upto(site, compiled.placement)}:
            continue
        x = _activations(compiled, f"{block}.{hook}", inputs).astype(np.float64)
        code = x[:, decoy.neuron] if decoy.head is None else x[:, decoy.head] @ decoy.direction
        yield from _halves((f"decoy {number}", f"-decoy {number}"), decoy.direction, code)


def _halves(names: tuple[str, str], axis: np.ndarray, code: np.ndarray) -> Iterator[Feature]:
    yield names[0], axis, np.maximum(code, 0.0)
    yield names[1], -axis, np.maximum(-code, 0.0)


def _chosen(rng: np.random.Generator, weights: np.ndarray, n: int) -> np.ndarray:
    """`n` rows, drawn by their weights."""
    upto = np.cumsum(weights)
    return np.minimum(np.searchsorted(upto, rng.random(n) * upto[-1], side="right"), len(upto) - 1)
