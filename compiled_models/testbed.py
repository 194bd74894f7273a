"""A compiled model as a testbed: the model for methods that open it, any site for those that do
not, and what is known of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from groundtruth import hashing, seeds
from groundtruth.compiled_models.batches import encode
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.features import site_truth
from groundtruth.compiled_models.inputs import N_INPUTS, Inputs, uniform_inputs
from groundtruth.compiled_models.mechanisms import mechanism_truth
from groundtruth.compiled_models.outputs import model_tokens
from groundtruth.compiled_models.sites import sites
from groundtruth.compiled_models.values import Value
from groundtruth.compiled_models.variables import residual_sites, variable_truth
from groundtruth.errors import reject
from groundtruth.mechanism_truth import MechanismTruth
from groundtruth.testbed import ActivationSubject, Recipe, Testbed
from groundtruth.truth import Truth
from groundtruth.variable_truth import VariableTruth

if TYPE_CHECKING:
    from groundtruth.model_subject import ModelSubject
    from groundtruth.models.transformer import Transformer

SOURCE = "compiled from a RASP-style program (Weiss et al., 2021, https://arxiv.org/abs/2106.06981)"


class CompiledSubject:
    """All that a method may see of a compiled model: the model, its inputs and its sites.

    It holds functions; no truth, seed or recipe can be reached through its attributes.

    Fields:
        model: the transformer, in torch and float32.
        sites: where activations can be read as a dictionary world.
    """

    __slots__ = ("_at", "_encode", "_tokens", "model", "sites")

    def __init__(
        self,
        model: Transformer,
        sites: Sequence[str],
        tokens: Callable[[int, int], np.ndarray],
        encode: Callable[[Sequence[Sequence[Value]]], np.ndarray],
        at: Callable[[str], ActivationSubject],
    ) -> None:
        self.model, self.sites = model, tuple(sites)
        self._tokens, self._encode, self._at = tokens, encode, at

    def tokens(self, n: int, *, seed: int = 0) -> np.ndarray:
        """(n, 1 + max_length) token ids of random inputs, begin-of-sequence first.

        Raises:
            InputError: `n` or the seed is no whole number >= 0.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
            raise reject("n", n, "a whole number >= 0")
        return self._tokens(n, seeds.check_seed(seed))

    def encode(self, sequences: Sequence[Sequence[Value]]) -> np.ndarray:
        """(n, 1 + width) token ids of `sequences`."""
        return self._encode(sequences)

    def at(self, site: str) -> ActivationSubject:
        """The activations of `site` on random inputs.

        Raises:
            UnknownName: no such site.
        """
        return self._at(site)

    def __repr__(self) -> str:
        return f"CompiledSubject({len(self.sites)} sites)"


@dataclass(frozen=True, eq=False)
class CompiledTestbed:
    """A compiled model with its inputs, its truths and where it comes from.

    Fields:
        compiled: the model with its certificate.
        inputs: what truth about activations holds for.
        recipe: from which a library program's testbed is built again; of other programs it names
            what they were.

    Example:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> testbed = compile_program(library.program("hist"), vocab="ab", max_length=4).testbed
        >>> testbed.at("blocks.0.hook_resid_post").truth.features.names[:3]
        ("tokens='a'", "tokens='b'", 'hist.share[1 / (width + 1)]')
        >>> testbed.subject.at("hook_embed").sample(2).shape
        torch.Size([2, 8])
    """

    compiled: Compiled
    inputs: Inputs
    recipe: Recipe
    truth_class: str = field(default="compiled", init=False)
    source: str = field(default=SOURCE, init=False)

    @property
    def name(self) -> str:
        return self.recipe.name

    @cached_property
    def hash(self) -> str:
        """Of the weights, what they compute, and the inputs."""
        program = str(self.compiled.program)
        return hashing.content_hash(
            {"program": program, "weights": self.compiled.weights.hash, "inputs": self.inputs.hash},
            {},
        )

    @cached_property
    def variables(self) -> VariableTruth:
        """Every expression as a causal variable."""
        return variable_truth(self.compiled)

    @cached_property
    def mechanisms(self) -> MechanismTruth:
        """A parameter component for each expression, and on which inputs each is necessary."""
        return mechanism_truth(self.compiled, self.inputs)

    @property
    def sites(self) -> list[str]:
        """Where `at` can be."""
        return sites(self.compiled)

    @property
    def last_site(self) -> str:
        """Where the residual stream carries every expression."""
        return residual_sites(self.compiled.placement)[-1]

    @cached_property
    def subject(self) -> CompiledSubject:
        """What a method may see."""
        compiled, batch, weights = self.compiled, self.inputs.batch, self.inputs.weights
        root = seeds.root_of(self.name, self.recipe.seed)
        tokens = model_tokens(batch, compiled.weights)

        def drawn(n: int, seed: int) -> np.ndarray:
            rng = seeds.generator(root, "train", "tokens", seed)
            return tokens[rng.choice(len(tokens), n, p=weights)]

        def encoded(sequences: Sequence[Sequence[Value]]) -> np.ndarray:
            return model_tokens(encode(sequences, compiled.analysis.vocab), compiled.weights)

        return CompiledSubject(
            compiled.model, self.sites, drawn, encoded, lambda site: self.at(site).subject
        )

    def at(self, site: str) -> Testbed:
        """The activations of `site` as a dictionary testbed.

        Its samples are the model's own activations at a random token of a random input; begin-of-
        sequence and padding are left out. Training and scoring draw from one list of inputs.

        Raises:
            UnknownName: no such site, or none whose features are known.
            InputError: nothing is ever written there.
        """
        if site not in self._sites:
            found = site_truth(self.compiled, site, self.inputs)
            recipe = Recipe(
                self.recipe.name, {**self.recipe.parameters, "site": site}, self.recipe.seed
            )
            self._sites[site] = Testbed(
                self.name,
                recipe,
                Truth(found.truth),
                found,
                seeds.root_of(f"{self.name} at {site}", self.recipe.seed),
                truth_class=self.truth_class,
                source=self.source,
            )
        return self._sites[site]

    @cached_property
    def _sites(self) -> dict[str, Testbed]:
        return {}

    def circuit_subject(self, **condition: Any) -> ModelSubject:
        """What a circuit method may see of the model, under the condition that
        `circuit_subjects.circuit_subject` takes; `circuit_truth` of it is the truth."""
        from groundtruth.compiled_models.circuit_subjects import circuit_subject  # loads torch

        return circuit_subject(self.compiled, **condition)

    def __repr__(self) -> str:
        return f"<CompiledTestbed {self.name}: {self.compiled.sizes}, {self.hash[:12]}>"


def model_testbed(
    compiled: Compiled, *, seed: int = 0, n_inputs: int = N_INPUTS
) -> CompiledTestbed:
    """The testbed of a compiled model, on `uniform_inputs`.

    Args:
        seed: of the inputs, where not all are listed, and of all streams.
        n_inputs: how many sequences are listed, or all if there are no more.
    """
    analysis = compiled.analysis
    parameters = {
        "program": str(compiled.program),
        "vocab": list(analysis.vocab),
        "max_length": analysis.max_length,
        "closed": analysis.closed,
        "n_inputs": n_inputs,
        "twin": None if compiled.request is None else compiled.request.description(),
    }
    inputs = uniform_inputs(len(analysis.vocab), analysis.max_length, n=n_inputs, seed=seed)
    recipe = Recipe(f"compiled/{compiled.program.name}", parameters, seeds.check_seed(seed))
    return CompiledTestbed(compiled, inputs, recipe)
