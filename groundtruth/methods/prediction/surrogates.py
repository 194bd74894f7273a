"""Black boxes: what can be predicted from a model's answers alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from groundtruth.prediction_testbed import Inputs, PredictionSubject
from groundtruth.predictor import Interchange, Predictor


def nearest_neighbour(subject: PredictionSubject, *, seed: int = 0) -> Predictor:
    """The answer at the position that looks most alike, of all that were asked for.

    Features of a position: its token, those beside it, the first and last, how often each token
    stands in the sequence and up to here, where it is from either end; and all of this for the
    partner, where a subspace is interchanged, with which one it is.

    Args:
        seed: of the queries, half of which are under interventions if the tests have any.
    """
    from sklearn.neighbors import KNeighborsRegressor

    return _fitted(subject, seed, KNeighborsRegressor(1), "nearest_neighbour")


def random_forest(subject: PredictionSubject, *, seed: int = 0, trees: int = 100) -> Predictor:
    """A forest of regression trees on the features of `nearest_neighbour`.

    Args:
        seed: of the queries and the trees.
        trees: how many.
    """
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(trees, random_state=seed, n_jobs=1)
    return _fitted(subject, seed, forest, "random_forest")


def _fitted(subject: PredictionSubject, seed: int, model: Any, name: str) -> Predictor:
    plain = subject.queries // 2 if subject.interchanges else subject.queries
    asked: list[Inputs] = subject.inputs(plain, seed=seed)
    if subject.interchanges:
        asked += subject.inputs(subject.queries - plain, seed=seed, interchanged=True)
    features = _Features(asked, subject)
    rows = [features(tokens, given) for tokens, given in asked]
    counted = [_there(subject, tokens) for tokens, _ in asked]
    answers = [subject.ask(tokens, given) for tokens, given in asked]
    model.fit(
        np.concatenate([row[there] for row, there in zip(rows, counted)]),
        np.concatenate([answer[there] for answer, there in zip(answers, counted)]),
    )

    def predict(tokens: np.ndarray, interchange: Interchange | None) -> np.ndarray:
        found = np.zeros((*tokens.shape, subject.n_outputs))
        there = _there(subject, tokens)
        found[there] = model.predict(features(tokens, interchange)[there]).reshape(
            -1, subject.n_outputs
        )
        return found

    return Predictor(predict, name=name)


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
