"""Methods we ship: sparse autoencoders, linear baselines and controls.

A method is a callable `method(subject, *, seed, **parameters) -> Dictionary`.
"""

from groundtruth.methods.batchtopk import batchtopk
from groundtruth.methods.controls import data_rows, random_directions
from groundtruth.methods.crosscoder import crosscoder
from groundtruth.methods.frozen import frozen_decoder, frozen_encoder, soft_frozen_decoder
from groundtruth.methods.gated import gated
from groundtruth.methods.jumprelu import jumprelu
from groundtruth.methods.ksvd import ksvd
from groundtruth.methods.linear import dictionary_learning, ica, kmeans, nmf, pca
from groundtruth.methods.matching_pursuit import matching_pursuit
from groundtruth.methods.matryoshka import matryoshka
from groundtruth.methods.meta import meta, meta_sae
from groundtruth.methods.mod import mod
from groundtruth.methods.p_annealing import p_annealing
from groundtruth.methods.relu import relu
from groundtruth.methods.topk import topk
from groundtruth.methods.transcoder import transcoder

__all__ = [
    "batchtopk",
    "crosscoder",
    "data_rows",
    "dictionary_learning",
    "frozen_decoder",
    "frozen_encoder",
    "gated",
    "ica",
    "jumprelu",
    "kmeans",
    "ksvd",
    "matching_pursuit",
    "matryoshka",
    "meta",
    "meta_sae",
    "mod",
    "nmf",
    "p_annealing",
    "pca",
    "random_directions",
    "relu",
    "soft_frozen_decoder",
    "topk",
    "transcoder",
]
