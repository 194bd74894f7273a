"""Methods we ship: sparse autoencoders, linear baselines and controls.

A method is a callable `method(subject, *, seed, **parameters) -> Dictionary`.
"""

from groundtruth.methods.batchtopk import batchtopk
from groundtruth.methods.controls import data_rows, random_directions
from groundtruth.methods.linear import dictionary_learning, ica, kmeans, nmf, pca
from groundtruth.methods.relu import relu
from groundtruth.methods.topk import topk

__all__ = [
    "batchtopk",
    "data_rows",
    "dictionary_learning",
    "ica",
    "kmeans",
    "nmf",
    "pca",
    "random_directions",
    "relu",
    "topk",
]
