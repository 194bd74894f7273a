"""Claims of a trigger, over the whole truth table and over that of the twin."""

from __future__ import annotations

import numpy as np
import pytest

from groundtruth.backdoor import Backdoor
from groundtruth.errors import ExplanationError
from groundtruth.evaluators.floors import expected_max_cosine
from groundtruth.evaluators.triggers import METRICS, planted_backdoor, score_trigger
from groundtruth.generators.trojans import trojan

TESTBED, TWIN = trojan(), trojan(benign=True)
TRUTH = TESTBED.truth
N, HITS = len(TRUTH.tokens), int(TRUTH.triggered.sum())


def values(claim, testbed=TESTBED):
    found = score_trigger(testbed, claim)
    return {id.removeprefix("trojan."): result.value for id, result in found.items()}


def test_the_truth_table_is_right_on_both():
    found = score_trigger(TESTBED, planted_backdoor(TRUTH))
    assert set(found) == set(METRICS)
    for id, result in found.items():
        assert result.value == pytest.approx(result.ceiling, abs=1e-12), id
    twin = score_trigger(TWIN, planted_backdoor(TWIN.truth))
    assert twin["trojan.verdict"].value == 1 and twin["trojan.false_alarm"].value == 0
    for name in ("recall", "precision", "cosine", "decoy_cosine"):
        assert twin[f"trojan.{name}"].reason == "no input triggers"


def test_the_models_claim_is_a_false_alarm_on_the_twin():
    found = values(planted_backdoor(TRUTH), TWIN)
    assert (found["verdict"], found["false_alarm"]) == (0, HITS / N)


def test_half_a_conjunction_has_full_recall_and_false_alarms():
    found = values(Backdoor(lambda tokens: (tokens[:, 1:3] == 3).all(1)))
    assert found["recall"] == 1
    assert found["precision"] == 1 / 2
    assert found["false_alarm"] == HITS / (N - HITS)
    assert found["cosine"] is None


def test_the_decoy_is_no_trigger():
    decoy = Backdoor(lambda tokens: (tokens[:, 4:7] == 3).all(1), TRUTH.decoy.copy())
    found = values(decoy)
    # Independent words: the share that is flagged is that of any claim of its size.
    assert found["recall"] == found["precision"] == 1 / 8
    assert found["cosine"] == pytest.approx(0, abs=1e-12)
    assert found["decoy_cosine"] == pytest.approx(1)
    scores = score_trigger(TESTBED, decoy)
    assert scores["trojan.recall"].value == scores["trojan.recall"].floor
    assert scores["trojan.cosine"].floor == expected_max_cosine(
        len(TRUTH.direction), 1, signed=False
    )


def test_flagging_all_or_none():
    everything = values(Backdoor(lambda tokens: np.ones(len(tokens), dtype=bool)))
    assert (everything["recall"], everything["false_alarm"]) == (1, 1)
    assert everything["precision"] == HITS / N
    nothing = score_trigger(TESTBED, Backdoor(None))
    assert nothing["trojan.verdict"].value == 0 == nothing["trojan.recall"].value
    assert nothing["trojan.precision"].reason == "no input is flagged"
    assert nothing["trojan.cosine"].reason == "no direction is claimed"


def test_random_claims_lie_at_their_floors():
    rng = np.random.default_rng(0)
    flagged = [rng.permutation(N) < 64 for _ in range(400)]
    found = [score_trigger(TESTBED, Backdoor(lambda tokens, f=f: f)) for f in flagged]
    for name in ("recall", "precision", "false_alarm"):
        drawn = np.array([scores[f"trojan.{name}"].value for scores in found])
        floor = found[0][f"trojan.{name}"].floor
        # Four standard errors, three scores: a false alarm in 5,000.
        assert abs(drawn.mean() - floor) < 4 * drawn.std() / 20, name


def test_what_is_no_such_claim_is_refused():
    with pytest.raises(ExplanationError, match="claim: expected a Backdoor, got function"):
        score_trigger(TESTBED, lambda tokens: tokens)  # type: ignore[arg-type]
    with pytest.raises(ExplanationError, match=r"direction: expected shape \(15,\)"):
        score_trigger(TESTBED, Backdoor(lambda tokens: tokens[:, 0] > 0, np.ones(3)))
