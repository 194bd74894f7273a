"""The small transformer that every model testbed runs on: weights, and what runs them.

What is here needs only NumPy. The forms that run are in `transformer` (torch), `jax_forward` and
`numpy_reference`; interventions in `interventions` and `edge_patching`.
"""

from groundtruth.models.dense import dense
from groundtruth.models.graph import Edge, Node, edges, nodes
from groundtruth.models.weights import MLP, Block, Head, Norm, Weights

__all__ = ["MLP", "Block", "Edge", "Head", "Node", "Norm", "Weights", "dense", "edges", "nodes"]
