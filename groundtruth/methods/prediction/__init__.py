"""Claims of what a model does on any input.

A method is a callable `method(subject, *, seed=0, **parameters) -> Predictor` on a
`PredictionSubject`.
"""

from groundtruth.methods.prediction.circuit_predictor import circuit_predictor
from groundtruth.methods.prediction.surrogates import nearest_neighbour, random_forest

__all__ = ["circuit_predictor", "nearest_neighbour", "random_forest"]
