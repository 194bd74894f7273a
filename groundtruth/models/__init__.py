"""The small transformer that every model testbed runs on: weights, and what runs them."""

from groundtruth.models.weights import MLP, Block, Head, Norm, Weights

__all__ = ["MLP", "Block", "Head", "Norm", "Weights"]
