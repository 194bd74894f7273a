"""Testbeds whose truth is a planted dictionary or a toy model's weights."""

from groundtruth.generators.polytopes import (
    factors,
    feature_dimensionality,
    tegum_product,
    vertices,
)
from groundtruth.generators.presets import PRESETS, Preset
from groundtruth.generators.sampling import SparseSampler
from groundtruth.generators.sparse import from_recipe, sparse
from groundtruth.generators.structured import StructuredSampler
from groundtruth.generators.toy_certificate import Certificate, CertificateError
from groundtruth.generators.toy_examination import certify, examine
from groundtruth.generators.toy_files import load_toy_model, save_toy_model
from groundtruth.generators.toy_inputs import ToyInputs
from groundtruth.generators.toy_model import ToyModel
from groundtruth.generators.toy_trained import toy_testbed, trained_toy
from groundtruth.generators.toy_training import ToyTraining, TrainedToy, train_toy_model
from groundtruth.generators.toy_worlds import polytope, toy_weights

__all__ = [
    "PRESETS",
    "Certificate",
    "CertificateError",
    "Preset",
    "SparseSampler",
    "StructuredSampler",
    "ToyInputs",
    "ToyModel",
    "ToyTraining",
    "TrainedToy",
    "certify",
    "examine",
    "factors",
    "feature_dimensionality",
    "from_recipe",
    "load_toy_model",
    "polytope",
    "save_toy_model",
    "sparse",
    "tegum_product",
    "toy_testbed",
    "toy_weights",
    "train_toy_model",
    "trained_toy",
    "vertices",
]
