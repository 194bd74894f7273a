"""Methods of circuits as methods of prediction: what each finds is asked to predict.

`size` cuts a ranking after so many edges; None: where it predicts best what was asked for, within
half of the edges. All else carries its mean.
"""

from __future__ import annotations

from groundtruth.methods import circuits
from groundtruth.methods.prediction.circuit_predictor import by_circuit
from groundtruth.prediction_testbed import PredictionSubject
from groundtruth.predictor import Predictor

Subject = PredictionSubject


def acdc(subject: Subject, *, seed: int = 0, size: int | None = None) -> Predictor:
    """The circuit that ACDC leaves, as a predictor."""
    return by_circuit(circuits.acdc, subject, seed, size)


def eap(subject: Subject, *, seed: int = 0, size: int | None = None) -> Predictor:
    """The circuit of edge attribution patching, as a predictor."""
    return by_circuit(circuits.eap, subject, seed, size)


def eap_ig_inputs(subject: Subject, *, seed: int = 0, size: int | None = None) -> Predictor:
    """The circuit of EAP with integrated gradients of inputs, as a predictor."""
    return by_circuit(circuits.eap_ig_inputs, subject, seed, size)


def edge_patching(subject: Subject, *, seed: int = 0, size: int | None = None) -> Predictor:
    """The circuit of single-edge patching, as a predictor."""
    return by_circuit(circuits.edge_patching, subject, seed, size)


def information_flow(subject: Subject, *, seed: int = 0, size: int | None = None) -> Predictor:
    """The circuit of information flow routes, as a predictor."""
    return by_circuit(circuits.information_flow, subject, seed, size)


def random_circuit(subject: Subject, *, seed: int = 0, size: int | None = None) -> Predictor:
    """Edges in a random order, as a predictor: the control."""
    return by_circuit(circuits.random_circuit, subject, seed, size)
