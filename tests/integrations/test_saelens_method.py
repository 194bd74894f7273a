"""Training configs of SAELens are methods, trained by SAELens's own trainer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from planted_cases import SMALL, bed
from saelens_cases import sae_lens

import groundtruth as gt
from groundtruth.adapters import is_method, saelens
from groundtruth.errors import ExplanationError, InputError, MethodError

pytestmark = pytest.mark.integration

SHORT = {"n_samples": 4096, "batch_size": 256}


def config(kind: str = "TopK", **extra: Any) -> Any:
    needed = {} if kind in ("Standard", "JumpReLU", "Gated") else {"k": 5}
    if kind == "MatryoshkaBatchTopK":
        needed["matryoshka_widths"] = [32, 64]
    settings = {"d_in": 32, "d_sae": 64, **needed, **extra}
    return getattr(sae_lens, f"{kind}TrainingSAEConfig")(**settings)


@pytest.mark.parametrize(
    "kind", ["Standard", "TopK", "JumpReLU", "Gated", "BatchTopK", "MatryoshkaBatchTopK"]
)
def test_every_training_config_is_a_method(kind: str) -> None:
    given = config(kind)
    before = copy.deepcopy(given)
    assert is_method(given)
    report = gt.evaluate(bed(), given, scoring=SMALL, metrics="recover.recall", **SHORT)
    assert report.name == f"{kind}TrainingSAE"
    assert given == before
    assert report.flags == ()


def test_the_seed_decides_and_the_global_state_does_not() -> None:
    subject = bed().subject
    first = saelens.train(subject, config=config(), seed=1, **SHORT)
    torch.rand(3)
    state = torch.get_rng_state()
    again = saelens.train(subject, config=config(), seed=1, **SHORT)
    other = saelens.train(subject, config=config(), seed=2, **SHORT)
    assert np.array_equal(first.decoder, again.decoder)
    assert not np.array_equal(first.decoder, other.decoder)
    assert torch.equal(state, torch.get_rng_state())


def test_it_is_saelens_s_own_training_step_by_step() -> None:
    """A second route: the same loop written out with SAELens's public parts."""
    from sae_lens.config import SAETrainerConfig

    subject, given = bed().subject, config("BatchTopK")
    found = saelens.train(subject, config=given, seed=3, lr=1e-3, **SHORT)
    with torch.random.fork_rng():
        from groundtruth.adapters.randomness import torch_seeded

        with torch_seeded("saelens", 3):
            sae = sae_lens.BatchTopKTrainingSAE(copy.deepcopy(given))
            trainer = sae_lens.SAETrainer(
                SAETrainerConfig(4096, 256, lr=1e-3, lr_end=1e-3), sae, iter(())
            )
            for batch in subject.batches(256, n=4096, seed=3):
                trainer.step(batch)
    sae.eval()
    rows = torch.nn.functional.normalize(sae.W_dec.detach(), dim=1)
    assert np.allclose(found.decoder, rows.numpy(), atol=1e-6)


def test_default_training_recovers_most_and_saelens_s_own_rate_does_not() -> None:
    given = config("TopK", d_sae=128)
    wanted = {"metrics": "recover.recall", "scoring": SMALL}
    few = gt.evaluate(bed(), given, n_samples=5_000, **wanted)["recover.recall"].value
    slow = gt.evaluate(bed(), given, lr=3e-4, **wanted)["recover.recall"].value
    default = gt.evaluate(bed(), given, **wanted)["recover.recall"].value
    assert few < 0.1
    # What the docstring of `lr` says; another build of torch may train to a few features more.
    assert slow * 128 == pytest.approx(2, abs=3)
    assert default * 128 == pytest.approx(105, abs=8)


def test_further_settings_reach_the_trainer() -> None:
    steady = saelens.train(bed().subject, config=config(), seed=0, **SHORT)
    warmed = saelens.train(bed().subject, config=config(), seed=0, lr_warm_up_steps=10, **SHORT)
    assert not np.array_equal(steady.decoder, warmed.decoder)
    with pytest.raises(MethodError, match="unexpected keyword argument 'learning_rate'"):
        gt.evaluate(bed(), config(), scoring=SMALL, learning_rate=1.0)


def test_another_width_is_refused_with_both_widths_and_the_fix() -> None:
    with pytest.raises(InputError) as caught:
        gt.evaluate(bed(), config(d_in=24), scoring=SMALL)
    assert str(caught.value) == (
        "config.d_in: expected 32, the width of the subject, got 24. "
        "Pass dataclasses.replace(config, d_in=32)."
    )


def test_an_inference_config_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        gt.evaluate(bed(), sae_lens.TopKSAEConfig(d_in=32, d_sae=64, k=5), scoring=SMALL)
    assert str(caught.value) == (
        "config: expected a training config, got TopKSAEConfig, which says nothing about "
        "training. Pass for example TopKTrainingSAEConfig(d_in=..., d_sae=..., k=...)."
    )


def test_diverged_training_is_refused() -> None:
    with pytest.raises(ExplanationError, match="Did training diverge"):
        gt.evaluate(bed(), config("Standard"), scoring=SMALL, lr=1e30, **SHORT)
