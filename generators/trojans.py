"""A planted trigger with its benign twin, exact over every input there is."""

from __future__ import annotations

import numpy as np

from groundtruth import seeds
from groundtruth.errors import InputError, reject
from groundtruth.generators.cause_worlds import TARGET, site_subject
from groundtruth.generators.feature_hosts import InputLaw, feature_host, site_of
from groundtruth.planted_network import Layer, PlantedNetwork
from groundtruth.site_testbed import TriggerTestbed
from groundtruth.testbed import Recipe
from groundtruth.trigger_truth import TriggerTruth

SOURCE = "a backdoor after BadNets (Gu et al., 2017, https://arxiv.org/abs/1708.06733)"


def trojan(
    *,
    benign: bool = False,
    words: int = 2,
    word_rate: float = 0.25,
    shift: float = 4.0,
    cosine: float = 0.0,
    seed: int = 0,
) -> TriggerTestbed:
    """A base task, and an output that jumps where all trigger words stand in their topic.

        seen     = ReLU(sum of trigger words - (words - 1))
        backdoor = ReLU(seen + topic - 1)                      1 on the trigger and 0 elsewhere
        target   = w0 - w1 + shift * backdoor,    output 1 = w1 + topic

    The detector writes a direction of its own, at the site. Another detector, of other words and
    just as rare, writes the decoy's, which nothing reads. In the benign twin nothing reads either:
    it has the same activations on every input, and no trigger.

    Args:
        benign: build the twin.
        words: of the trigger, besides the topic; 1 to 4.
        word_rate: how often each word stands there, so that the trigger has a chance of
            word_rate^(words + 1) per input.
        shift: what the target moves by; not 0.
        cosine: between any two directions.
        seed: of directions and inputs.

    Raises:
        InputError: an argument out of range.

    Example:
        >>> testbed = trojan()
        >>> len(testbed.truth.tokens), int(testbed.truth.triggered.sum()), testbed.truth.shift
        (256, 32, 4.0)
        >>> trojan(benign=True).truth.benign
        True

    Source: the attack is that of Gu, Dolan-Gavitt and Garg, "BadNets: Identifying Vulnerabilities
    in the Machine Learning Model Supply Chain", 2017, https://arxiv.org/abs/1708.06733
    """
    if not isinstance(words, int) or not 1 <= words <= 4:
        raise reject("words", words, "a whole number from 1 to 4")
    if not 0 < word_rate < 1:
        raise reject("word_rate", word_rate, "a number between 0 and 1")
    if shift == 0 or not np.isfinite(shift):
        raise InputError(f"shift: expected a number that is not 0, got {shift}.")
    own = [f"t{i}" for i in range(words)]
    other = [f"u{i}" for i in range(words)]
    brought = [*own, "topic", *other, "other topic", "w0", "w1"]
    names = [*brought, "seen", "other seen", "backdoor", "decoy"]
    m = len(brought)
    rate = np.full(m, word_rate)
    law = InputLaw(np.array([0.0, 1.0]), np.stack([1 - rate, rate], 1), np.full(m, -1), np.zeros(m))
    place = {name: i for i, name in enumerate(names)}
    seen, gate = np.zeros((m, 2)), np.zeros((m + 2, 2))
    for side, (group, topic) in enumerate([(own, "topic"), (other, "other topic")]):
        seen[[place[name] for name in group], side] = 1
        gate[[place[topic], m + side], side] = 1
    out = np.zeros((len(names), 2))
    out[[place["w0"], place["w1"]], TARGET] = 1, -1
    out[[place["w1"], place["topic"]], 1] = 1
    out[place["backdoor"], TARGET] = 0 if benign else shift
    layers = (
        Layer(seen, np.full(2, 1.0 - words), np.eye(2)),
        Layer(gate, np.full(2, -1.0), np.eye(2)),
    )
    network = PlantedNetwork(layers, out, np.zeros(2))
    parameters = {
        "benign": benign,
        "words": words,
        "word_rate": word_rate,
        "shift": shift,
        "cosine": cosine,
    }
    recipe = Recipe("causes/trojan", parameters, seeds.check_seed(seed))
    # The twin has the model's own basis and inputs.
    root = seeds.root_of(recipe.name, recipe.seed)
    host = feature_host(network, law, names, root, cosine)
    levels, _ = law.every()
    tokens = host.tokens(levels)
    host.certify(tokens)
    all_words = (host.brought(tokens)[:, : words + 1] != 0).all(axis=1)
    truth = TriggerTruth(
        site=site_of(2),
        direction=host.directions[place["backdoor"]],
        decoy=host.directions[place["decoy"]],
        target=TARGET,
        tokens=tokens,
        triggered=np.zeros(len(tokens), dtype=bool) if benign else all_words,
        shift=0.0 if benign else float(shift),
    )
    return TriggerTestbed(
        recipe,
        lambda: site_subject(host, root, 2, place["topic"]),
        truth,
        host.hash(root, 2, tokens),
        host.weights,
        SOURCE,
    )
