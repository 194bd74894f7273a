"""Which direction of an activation carries which value of which expression, and how often.

An activation is drawn as an input, and a position of it that holds a token, all positions alike.
Codes follow from the program and the plan (`held_values.py`), and no activation is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from groundtruth.compiled_models.batches import Batch
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.feature_names import any_of, detected, named
from groundtruth.compiled_models.held_values import HeldValues
from groundtruth.compiled_models.inputs import Inputs
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.sites import Carried, carried_at, heads_of
from groundtruth.errors import InputError
from groundtruth.population import Population
from groundtruth.testbed import Block
from groundtruth.truth import FeatureTruth

_SEQUENCES = 512  # that are run at a time


@dataclass(frozen=True)
class Site:
    """A place where activations are read, with all that can be drawn there.

    Fields:
        truth: the dictionary, with the population of its codes.
        activations: (n_rows, d) float32, the model's, in the rows of the population.
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
    in opposite directions, and so is None. Inside a head values that it does not tell apart are one
    feature. A hidden neuron is a feature, called what it detects, that fires with its activation.
    What a decoy writes is a feature too. What never fires on the inputs is left out.

    Raises:
        UnknownName: no such site, or none whose features are known.
        InputError: nothing is ever written there.
    """
    carried, features, codes, x = carried_at(compiled, site), [], [], []
    for start in range(0, len(inputs.batch), _SEQUENCES):
        rows = slice(start, start + _SEQUENCES)
        batch = Batch(inputs.batch.ids[rows], inputs.batch.lengths[rows])
        held = HeldValues(compiled, batch)
        features = list(_planted(compiled, carried, held))
        found = np.array([feature.code for feature in features])
        codes.append(sp.csr_array(found.reshape(len(features), np.count_nonzero(held.there)).T))
        x.append(_activations(compiled, site, batch)[held.there])
    every = sp.csc_array(sp.vstack(codes))
    firing = np.flatnonzero(np.diff(every.indptr))
    if not len(firing):
        always = " but a bias" if carried.bias.any() else ""
        raise InputError(f"{site}: nothing is written there on these inputs{always}.")
    population = Population(
        sp.csr_array(every[:, firing]),
        _weights(inputs),
        tuple(_one_of_them([features[k].one_of for k in firing], every[:, firing])),
    )
    truth = FeatureTruth(
        np.array([features[k].direction for k in firing]),
        population.firing_probability,
        population.magnitude,
        carried.bias,
        names=tuple(features[k].name for k in firing),
        site=site,
        population=population,
    )
    return Site(truth, np.concatenate(x))


def _activations(compiled: Compiled, site: str, batch: Batch) -> np.ndarray:
    """(sequence, position, d) the activations of `site`."""
    from groundtruth.compiled_models import running  # loads torch

    tokens = model_tokens(batch, compiled.weights)
    if ".attn." not in site:
        return running.activations(compiled.model, tokens, site)
    hook, heads = heads_of(compiled, site)
    x = running.activations(compiled.model, tokens, hook)
    array = "W_Q" if hook.endswith(("hook_q", "hook_k")) else "W_V"
    every = compiled.weights.blocks[int(site.split(".")[1])].heads
    return np.concatenate([x[:, :, h, : getattr(every[h], array).shape[1]] for h in heads], -1)


def _weights(inputs: Inputs) -> np.ndarray:
    """The probability of each token of each input."""
    lengths = inputs.batch.lengths
    return np.repeat(inputs.weights / lengths, lengths)


def _one_of_them(names: list[str], codes: sp.csc_array) -> Iterator[np.ndarray]:
    """The features of each expression of which always one fires, with one value of its own."""
    for name in dict.fromkeys(filter(None, names)):
        group = np.flatnonzero(np.array(names) == name)
        part = codes[:, group]
        once = np.diff(sp.csr_array(part).indptr) == 1
        greatest, total, counts = part.max(axis=0).toarray(), part.sum(axis=0), np.diff(part.indptr)
        if len(group) > 1 and once.all() and np.allclose(greatest * counts, total, rtol=1e-12):
            yield group


@dataclass
class _Feature:
    """A feature.

    Fields:
        direction: (d,) a unit vector.
        code: (row,) none negative.
        one_of: the name of the categorical expression of which it is a value; "" of what is none.
    """

    name: str
    direction: np.ndarray
    code: np.ndarray
    one_of: str = ""


def _planted(compiled: Compiled, carried: Carried, held: HeldValues) -> Iterator[_Feature]:
    """The features of a site, whether or not they ever fire."""
    for variable in compiled.layout.variables:
        words = carried.words[variable.span]
        if words.any():
            yield from _of_variable(variable, words, held.of(variable))
    axes = np.eye(len(carried.bias))
    for k, unit in enumerate(carried.units):
        code = np.maximum(held.read(unit.reads) + unit.bias, 0)
        yield _Feature(f"neuron {k}: {detected(unit, compiled.layout)}", axes[k], code)
    for number, direction in carried.decoys.items():
        code = held.of_decoy(compiled.decoys[number])
        yield from _halves((f"decoy {number}", f"-decoy {number}"), direction, code)


def _of_variable(variable: Variable, words: np.ndarray, held: np.ndarray) -> Iterator[_Feature]:
    """The features that a variable is: values on one ray are one, in proportion to their words."""
    one_of = variable.name if variable.domain is not None and not variable.numerical else ""
    rays: dict[bytes, list[_Feature]] = {}
    for label, word, code in zip(variable.labels, words, held.T):
        length = np.linalg.norm(word)
        # A value whose word is 0 has no direction, and shows in the absence of the others.
        for value in _of_label(variable, label, word / length, code * length) if length else ():
            ray = np.round(value.direction / np.abs(value.direction).max(), 9) + 0.0  # no -0.0
            rays.setdefault(ray.tobytes(), []).append(value)
    for values in rays.values():
        name = any_of([value.name for value in values])
        code = np.sum([value.code for value in values], axis=0)
        yield _Feature(name, values[0].direction, code, one_of)


def _of_label(
    variable: Variable, label: object, direction: np.ndarray, code: np.ndarray
) -> Iterator[_Feature]:
    name = named(variable, label)
    if variable.domain is None:
        yield from _halves((name, f"-{name}"), direction, code)
    elif name == variable.name:
        yield from _halves((f"{name}>0", f"{name}<0"), direction, code)
    else:
        yield _Feature(name, direction, code)


def _halves(names: tuple[str, str], direction: np.ndarray, code: np.ndarray) -> Iterator[_Feature]:
    yield _Feature(names[0], direction, np.maximum(code, 0.0))
    yield _Feature(names[1], -direction, np.maximum(-code, 0.0))


def _chosen(rng: np.random.Generator, weights: np.ndarray, n: int) -> np.ndarray:
    """`n` rows, drawn by their weights."""
    upto = np.cumsum(weights)
    return np.minimum(np.searchsorted(upto, rng.random(n) * upto[-1], side="right"), len(upto) - 1)
