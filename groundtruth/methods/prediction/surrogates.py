"""Black boxes: what can be predicted from a model's answers alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from groundtruth.prediction import Prediction
from groundtruth.prediction_testbed import Inputs, PredictionSubject
from groundtruth.predictor import Interchange, Predictor


def nearest_neighbour(subject: PredictionSubject, *, seed: int = 0) -> Predictor:
    """The answer at the position that looks most alike, of all that were asked for.

    Features of a position: its token, those beside it, the first and last, how often each token
    stands in the sequence and up to here, where it is from either end; and all of this for the
    partner, where a subspace is interchanged, with which one it is. It is the surer, the nearer.

    Args:
        seed: of the queries, half of which are under interventions if the tests have any.
    """
    from sklearn.neighbors import NearestNeighbors

    x, y, features = _asked(subject, seed)
    index = NearestNeighbors(n_neighbors=1).fit(x)

    def predict(rows: np.ndarray) -> Prediction:
        distance, nearest = (found[:, 0] for found in index.kneighbors(rows))
        return Prediction(y[nearest], confidence=-distance)

    return _predictor(subject, features, predict, "nearest_neighbour")


def random_forest(subject: PredictionSubject, *, seed: int = 0, trees: int = 100) -> Predictor:
    """A forest of regression trees on the features of `nearest_neighbour`.

    Of categories its means are chances, and it is as sure as the largest; of numbers it has the
    interval that nine of ten trees are in, and is the surer, the shorter that is.

    Args:
        seed: of the queries and the trees.
        trees: how many.
    """
    from sklearn.ensemble import RandomForestRegressor

    x, y, features = _asked(subject, seed)
    forest = RandomForestRegressor(trees, random_state=seed, n_jobs=1)
    forest.fit(x, y[:, 0] if y.shape[1] == 1 else y)

    def predict(rows: np.ndarray) -> Prediction:
        said = np.stack([tree.predict(rows).reshape(len(rows), -1) for tree in forest.estimators_])
        mean = said.mean(0)
        if subject.kind == "categorical":
            return Prediction(mean, distribution=True, confidence=mean.max(-1))
        low, high = np.quantile(said, [0.05, 0.95], axis=0)
        return Prediction(mean, low=low, high=high, confidence=-(high - low).mean(-1))

    return _predictor(subject, features, predict, "random_forest")


def majority(subject: PredictionSubject, *, seed: int = 0) -> Predictor:
    """The most frequent answer of all that were asked for: the control.

    Of categories it says how frequent each was; numbers are alike if they are up to 0.001, and nine
    of ten are in its interval.

    Args:
        seed: of the queries.
    """
    _, y, features = _asked(subject, seed)
    values, counts = np.unique(np.round(y, 3), axis=0, return_counts=True)
    answer = values[counts.argmax()]
    shares, low, high = y.mean(0), *np.quantile(y, [0.05, 0.95], axis=0)

    def predict(rows: np.ndarray) -> Prediction:
        def everywhere(one: np.ndarray) -> np.ndarray:
            return np.broadcast_to(one, (len(rows), len(one)))

        if subject.kind == "categorical":
            return Prediction(everywhere(shares), distribution=True)
        return Prediction(everywhere(answer), low=everywhere(low), high=everywhere(high))

    return _predictor(subject, features, predict, "majority")


def _asked(subject: PredictionSubject, seed: int) -> tuple[np.ndarray, np.ndarray, _Features]:
    """Features and answers of the positions that all queries are spent on; of categories, 1 for
    what is answered."""
    plain = subject.queries // 2 if subject.interchanges else subject.queries
    asked: list[Inputs] = subject.inputs(plain, seed=seed)
    if subject.interchanges:
        asked += subject.inputs(subject.queries - plain, seed=seed, interchanged=True)
    features = _Features(asked, subject)
    counted = [_there(subject, tokens) for tokens, _ in asked]
    x = [features(*given)[there] for given, there in zip(asked, counted)]
    y = np.concatenate([subject.ask(*given)[there] for given, there in zip(asked, counted)])
    if subject.kind == "categorical":
        y = np.eye(subject.n_outputs)[y.argmax(-1)]
    return np.concatenate(x), y, features


def _predictor(
    subject: PredictionSubject,
    features: _Features,
    predict: Callable[[np.ndarray], Prediction],
    name: str,
) -> Predictor:
    """`predict`, which says something of rows of features, as a predictor."""

    def everywhere(tokens: np.ndarray, interchange: Interchange | None) -> Prediction:
        there = _there(subject, tokens)
        said = predict(features(tokens, interchange)[there])

        def spread(found: np.ndarray | None) -> np.ndarray | None:
            if found is None:
                return None
            full = np.zeros((*tokens.shape, *found.shape[1:]))
            full[there] = found
            return full

        outputs = spread(said.outputs)
        assert outputs is not None
        return replace(
            said,
            outputs=outputs,
            low=spread(said.low),
            high=spread(said.high),
            confidence=spread(said.confidence),
        )

    return Predictor(everywhere, name=name)


def _there(subject: PredictionSubject, tokens: np.ndarray) -> np.ndarray:
    there = tokens != subject.model.pad
    there[:, 0] = False
    return there


class _Features:
    """(tokens, interchange) -> (n, position, feature)."""

    def __init__(self, asked: list[Inputs], subject: PredictionSubject) -> None:
        self.subject, self.eye = subject, np.eye(subject.model.n_tokens)
        given = [interchange for _, interchange in asked if interchange is not None]
        self.known = list(dict.fromkeys((i.site, i.basis.tobytes()) for i in given))

    def __call__(self, tokens: np.ndarray, interchange: Interchange | None) -> np.ndarray:
        which = np.zeros((*tokens.shape, len(self.known)))
        own = self._of(tokens)
        if not self.known:
            return own
        partner = own
        if interchange is not None:
            partner = self._of(interchange.source)
            key = interchange.site, interchange.basis.tobytes()
            if key in self.known:
                which[..., self.known.index(key)] = 1
        return np.concatenate([own, partner, which], axis=-1)

    def _of(self, tokens: np.ndarray) -> np.ndarray:
        n, width = tokens.shape
        there = _there(self.subject, tokens)
        one_hot = self.eye[tokens]
        seen = one_hot * there[..., None]
        before = np.pad(one_hot, ((0, 0), (1, 0), (0, 0)))[:, :-1]
        after = np.pad(one_hot, ((0, 0), (0, 1), (0, 0)))[:, 1:]
        length = there.sum(1)
        ends = np.concatenate([one_hot[:, 1], one_hot[np.arange(n), length]], axis=-1)
        place = np.arange(width) - 1
        return np.concatenate(
            [
                one_hot,
                before,
                after,
                seen.cumsum(1),
                np.repeat(np.concatenate([ends, seen.sum(1)], axis=-1)[:, None], width, 1),
                np.broadcast_to(place, (n, width))[..., None],
                (length[:, None] - place)[..., None],
                seen[:, 1:].reshape(n, 1, -1).repeat(width, 1),
            ],
            axis=-1,
        )
