"""Testbeds whose truth is a planted dictionary or chosen weights."""

from groundtruth.generators.analytic_transformers import AnalyticTransformer
from groundtruth.generators.attention_circuits import (
    induction,
    max_of_k,
    ov_incoherent,
    skip_trigrams,
)
from groundtruth.generators.beliefs import belief
from groundtruth.generators.cause_worlds import causal_dictionary, steering
from groundtruth.generators.concept_shift import concept_shift
from groundtruth.generators.gates import GATES, gate
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
from groundtruth.generators.trojans import trojan

__all__ = [
    "GATES",
    "PRESETS",
    "AnalyticTransformer",
    "Certificate",
    "CertificateError",
    "Preset",
    "SparseSampler",
    "StructuredSampler",
    "ToyInputs",
    "ToyModel",
    "ToyTraining",
    "TrainedToy",
    "belief",
    "causal_dictionary",
    "certify",
    "concept_shift",
    "examine",
    "factors",
    "feature_dimensionality",
    "from_recipe",
    "gate",
    "induction",
    "load_toy_model",
    "max_of_k",
    "ov_incoherent",
    "polytope",
    "save_toy_model",
    "skip_trigrams",
    "sparse",
    "steering",
    "tegum_product",
    "toy_testbed",
    "toy_weights",
    "train_toy_model",
    "trained_toy",
    "trojan",
    "vertices",
]
