"""CPU seconds to score 4,096 latents against 16,384 features on 10,000 samples, sampling included.

    python -m benchmarks.scoring [--repetitions 3] [--preset]

SAELens's `eval_sae_on_synthetic_data` against our scoring of the metrics that both define, on one
JumpReLU autoencoder whose decoder is half true and half random. One thread, one run. Samples
differ between the two, so the last digits printed differ; on the same samples they are the same
(tests/integrations/test_saelens_parity.py).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks.saelens_world import (
    Laws,
    cpu_seconds,
    laws,
    one_thread,
    our_testbed,
    synthsaebench,
    their_sides,
)
from groundtruth import evaluators
from groundtruth.adapters import as_explanation
from groundtruth.outputs import take_outputs
from groundtruth.references import References
from groundtruth.score_data import ScoreData, Scoring
from groundtruth.testbed import Testbed

N_LATENTS, N_SAMPLES, ACTIVE = 4096, 10_000, 30
METRICS = {
    "recover.mcc_all": lambda r: r.mcc,
    "recover.uniqueness_all": lambda r: r.uniqueness,
    "act.latent_precision": lambda r: r.classification.precision,
    "act.latent_recall": lambda r: r.classification.recall,
    "act.latent_f1_all": lambda r: r.classification.f1_score,
    "act.latent_accuracy": lambda r: r.classification.accuracy,
    "recon.ev_total": lambda r: r.explained_variance,
    "recon.l0": lambda r: r.sae_l0,
    "recon.dead_score": lambda r: r.dead_latents / N_LATENTS,
    "recon.norm_ratio": lambda r: r.shrinkage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--preset", action="store_true", help="also on SynthSAEBench-16k's draws")
    options = parser.parse_args()
    one_thread()
    law = laws()
    testbed, (dictionary, generator) = our_testbed(law), their_sides(law)
    sae = autoencoder(law, testbed)
    from sae_lens.synthetic import eval_sae_on_synthetic_data

    found: dict[str, object] = {}

    def ours() -> None:
        found["ours"] = scored(testbed, sae)

    def theirs() -> None:
        found["theirs"] = eval_sae_on_synthetic_data(sae, dictionary, generator, N_SAMPLES)

    our_time, their_time = cpu_seconds(ours, theirs, options.repetitions)
    for name, read in METRICS.items():
        print(f"{name}: {found['ours'][name].value:.4f}, SAELens {read(found['theirs']):.4f}")
    print(f"groundtruth: {our_time:.2f} CPU-seconds; SAELens: {their_time:.2f}")
    print(f"ratio: {their_time / our_time:.1f}")
    if options.preset:
        model = synthsaebench()
        parts = (model.feature_dict, model.activation_generator)
        spent, _ = cpu_seconds(
            lambda: eval_sae_on_synthetic_data(sae, *parts, N_SAMPLES), lambda: None, 1
        )
        print(f"SAELens on SynthSAEBench-16k with correlation and hierarchy: {spent:.2f}")
        print(f"ratio to that, another law: {spent / our_time:.1f}")


def scored(testbed: Testbed, sae):
    """The metrics that both define; no training data, ladder or reference rows are involved."""
    data = ScoreData(testbed, Scoring(n_select=2, n_score=N_SAMPLES, n_positives=0))
    outputs = take_outputs(as_explanation(sae), data)
    unknown = References(np.ones(data.truth.n_features))
    return evaluators.score(evaluators.Comparison(data.truth, outputs, data, unknown), METRICS)


def autoencoder(law: Laws, testbed: Testbed):
    """A JumpReLU autoencoder of tied weights, half of them true; about `ACTIVE` latents fire."""
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig

    rng = np.random.default_rng(1)
    rows = law.directions[:N_LATENTS].copy()
    wrong = rng.permutation(N_LATENTS)[: N_LATENTS // 2]
    rows[wrong] = rng.standard_normal((len(wrong), rows.shape[1]))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sae = JumpReLUSAE(JumpReLUSAEConfig(d_in=rows.shape[1], d_sae=N_LATENTS))
    decoder = torch.from_numpy(rows).float()
    sae.W_dec.data, sae.W_enc.data = decoder, decoder.T.contiguous()
    x = torch.from_numpy(testbed.block("select", 0, 0)[0][:256])
    kept = (x @ sae.W_enc).flatten().topk(256 * ACTIVE).values
    sae.threshold.data.fill_(kept[-1].item())
    return sae


if __name__ == "__main__":
    main()
