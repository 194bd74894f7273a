"""Claims of what a model does on any input.

A method is a callable `method(subject, *, seed=0, **parameters) -> Predictor` on a
`PredictionSubject`. Black boxes look at answers alone; `circuit_predictor` makes a predictor of any
circuit, and `of_circuits` has one for each of our methods of circuits.
"""

from groundtruth.methods.prediction import of_circuits
from groundtruth.methods.prediction.circuit_predictor import by_circuit, circuit_predictor
from groundtruth.methods.prediction.surrogates import majority, nearest_neighbour, random_forest

__all__ = [
    "by_circuit",
    "circuit_predictor",
    "majority",
    "nearest_neighbour",
    "of_circuits",
    "random_forest",
]
