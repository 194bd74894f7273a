"""What causes a behaviour: rankings of latents, steering vectors, probes, triggers, and tracing.

A method is a callable `method(subject, *, seed=0, **parameters) -> claim`, on a `SiteSubject` (for
probes any `LabelledSubject`, for tracing a `ModelSubject`), from which no truth can be reached.
"""

from groundtruth.methods.causes.probes import probe_latents, probe_raw, random_probe
from groundtruth.methods.causes.ranking import correlation, random_ranking, targeted_ablation
from groundtruth.methods.causes.steering import mean_difference, probe_vector, random_vector
from groundtruth.methods.causes.tracing import causal_tracing
from groundtruth.methods.causes.triggers import spectral_signature, trigger_search

__all__ = [
    "causal_tracing",
    "correlation",
    "mean_difference",
    "probe_latents",
    "probe_raw",
    "probe_vector",
    "random_probe",
    "random_ranking",
    "random_vector",
    "spectral_signature",
    "targeted_ablation",
    "trigger_search",
]
