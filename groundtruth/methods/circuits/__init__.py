"""Circuit discovery on the small transformers.

A method is a callable `method(subject, *, seed=0, **parameters) -> Circuit` on a `ModelSubject`,
from which no truth can be reached.
"""

from groundtruth.methods.circuits.acdc import acdc, acdc_sweep
from groundtruth.methods.circuits.attribution_graph import attribution_circuit
from groundtruth.methods.circuits.eap import attribution_patching, eap
from groundtruth.methods.circuits.eap_ig import eap_ig_activations, eap_ig_inputs
from groundtruth.methods.circuits.edge_pruning import edge_pruning
from groundtruth.methods.circuits.group_ablation import group_ablation
from groundtruth.methods.circuits.information_flow import information_flow
from groundtruth.methods.circuits.patching import activation_patching, edge_patching
from groundtruth.methods.circuits.random_circuit import random_circuit

__all__ = [
    "acdc",
    "acdc_sweep",
    "activation_patching",
    "attribution_circuit",
    "attribution_patching",
    "eap",
    "eap_ig_activations",
    "eap_ig_inputs",
    "edge_patching",
    "edge_pruning",
    "group_ablation",
    "information_flow",
    "random_circuit",
]
