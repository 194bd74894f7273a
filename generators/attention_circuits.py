"""Attention-only transformers by hand: induction, the largest of k, and what one head cannot do."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from groundtruth.errors import reject
from groundtruth.generators.analytic_transformers import (
    BOS,
    CONTENT,
    PAD,
    SHARP,
    AnalyticTransformer,
    head,
    reading,
    spaces,
    writing,
)
from groundtruth.models.weights import Block, Head, Weights

_ELHAGE = "https://transformer-circuits.pub/2021/framework/index.html"


def induction(n_tokens: int, max_length: int, sharpness: float = SHARP) -> AnalyticTransformer:
    """After A B ... A, say B: a previous-token head and an induction head.

    The first head attends to the position before and writes its token. The second looks for
    positions whose previous token is the current one and copies what stands there:

        logits[p, t] = sum over j <= p of w_j [token_j = t] / sum of w_j,
        w_j = exp(sharpness [token_(j-1) = token_p])

    which, sharp, is how often t has followed the current token so far. A token that is new is
    answered with how often each token has stood so far.

    Args:
        n_tokens: contents, ids from 2.
        max_length: of a sequence, without bos.
        sharpness: of the second head; the first is always sharp.

    Source: Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021,
    https://transformer-circuits.pub/2021/framework/index.html
    """
    V, P = n_tokens + CONTENT, max_length + 1
    d, part = spaces(token=V, position=P, previous=V, out=V)
    eye = np.eye(V)
    previous = head(
        reading(d, part["position"], SHARP * np.eye(P, k=-1)),
        reading(d, part["position"], np.eye(P)),
        reading(d, part["token"], eye),
        writing(d, part["previous"], eye),
    )
    copying = head(
        reading(d, part["token"], sharpness * eye),
        reading(d, part["previous"], eye),
        reading(d, part["token"], eye),
        writing(d, part["out"], eye),
    )

    def outputs(tokens: np.ndarray) -> np.ndarray:
        before = np.concatenate([tokens[:, :1], tokens[:, :-1]], axis=1)
        match = before[:, None, :] == tokens[:, :, None]
        seen = np.tri(tokens.shape[1], dtype=bool)
        return softmax(np.where(seen, sharpness * match, -np.inf), axis=-1) @ eye[tokens]

    roles = {"a0.h0": "previous token", "a1.h0": "induction"}
    weights = _attention_only(d, part, [[previous], [copying]], P, causal=True)
    return AnalyticTransformer("induction", weights, outputs, roles, _ELHAGE)


def max_of_k(n_tokens: int, k: int, sharpness: float) -> AnalyticTransformer:
    """The largest of k tokens, by a head that attends more to larger ones and copies:

        logits[p, t] = sum over j of exp(sharpness token_j) [token_j = t] / sum of them

    It is right on every sequence exactly if sharpness > ln(k - 1): the worst is one largest token
    among k - 1 copies of the next.

    Args:
        n_tokens: contents, ids from 2; larger ids are larger.
        k: the longest sequence, without bos.
        sharpness: what the next larger token scores more.
    """
    V = n_tokens + CONTENT
    d, part = spaces(token=V, out=V)
    score = sharpness * (np.arange(V) - float(V))
    score[BOS] = -SHARP - sharpness * V
    eye = np.eye(V)
    largest = head(
        np.zeros((d, 1)),
        reading(d, part["token"], score[:, None]),
        reading(d, part["token"], eye),
        writing(d, part["out"], eye),
        b_Q=1.0,
    )

    def outputs(tokens: np.ndarray) -> np.ndarray:
        share = np.exp(score[tokens]) * (tokens >= CONTENT)
        mean = (share / share.sum(-1, keepdims=True))[:, None, :] @ eye[tokens]
        return np.repeat(mean, tokens.shape[1], axis=1)

    weights = _attention_only(d, part, [[largest]], k + 1)
    return AnalyticTransformer("max_of_k", weights, outputs, {"a0.h0": "largest token"})


def skip_trigrams(heads: int = 1, max_length: int = 10) -> AnalyticTransformer:
    """keep ... in -> mind and keep ... at -> bay, by one head, which has the bug, or by two.

    Tokens from 2 on: keep, in, at, mind, bay, other. What one head adds is a product, whether it
    attends from the destination times what it copies from the source: to say mind after keep ... in
    and bay after keep ... at, it must say both after both. Two heads, one for each destination, say
    what they should. Each says it with logit 1, and 0 where there is no keep.

    Args:
        heads: 1 or 2.
        max_length: of a sequence, without bos.

    Source: "Skip-trigram bugs" in Elhage et al., 2021, as for `induction`.
    """
    if heads not in (1, 2):
        raise reject("heads", heads, "1 or 2")
    keep, into, at, mind, bay = range(CONTENT, CONTENT + 5)
    V = CONTENT + 6
    says = [({into}, [mind]), ({at}, [bay])] if heads == 2 else [({into, at}, [mind, bay])]
    said = np.array([np.isin(np.arange(V), words) for _, words in says], dtype=float)
    shares = [dict.fromkeys(destinations, 1.0) for destinations, _ in says]
    names = {into: "in", at: "at"}
    roles = {
        f"a0.h{h}": "keep ... " + " or ".join(names[t] for t in sorted(destinations))
        for h, (destinations, _) in enumerate(says)
    }
    name = f"skip_trigrams/{heads}"
    return _from_source(name, keep, shares, said, roles, max_length, _ELHAGE)


def ov_incoherent(n: int, max_length: int = 10) -> AnalyticTransformer:
    """One source token that means something else to each of n destinations, in two heads.

    Tokens from 2 on: the source, n destinations, n outputs, other. Destination k attends to the
    source with cos t_k of one head and sin t_k of the other, t_k = pi k / 2(n - 1); the heads copy
    cos t_j and sin t_j to output j:

        logit of output j at destination k = cos(t_j - t_k)

    which is largest at j = k. No head alone can be right at two destinations, so neither head is a
    feature: the n of them are in superposition. Holds where the source stands once.

    Args:
        n: destinations, at least 2.
        max_length: of a sequence, without bos.

    Source: the question is that of Jermyn, Olah and Henighan, "Attention Head Superposition", 2023,
    https://transformer-circuits.pub/2023/may-update/index.html
    """
    if n < 2:
        raise reject("n", n, "at least 2")
    source, first = CONTENT, CONTENT + 1
    V = first + 2 * n + 1
    angles = np.linspace(0, np.pi / 2, n)
    attended = np.clip([np.cos(angles), np.sin(angles)], 0, 1)
    said = np.zeros((2, V))
    said[:, first + n : first + 2 * n] = attended
    shares = [{first + k: float(share) for k, share in enumerate(row)} for row in attended]
    roles = {"a0.h0": "cosine part", "a0.h1": "sine part"}
    origin = "https://transformer-circuits.pub/2023/may-update/index.html"
    return _from_source(f"ov_incoherent/{n}", source, shares, said, roles, max_length, origin)


def _from_source(
    name: str,
    source: int,
    shares: list[dict[int, float]],
    said: np.ndarray,
    roles: dict[str, str],
    max_length: int,
    origin: str,
) -> AnalyticTransformer:
    """Heads that attend from destination t to one `source` by shares[head][t], to bos by the rest,
    and copy said[head] from it.

    The odds of the share are the exponential of what the source scores more than bos; several
    sources each have those odds.
    """
    V = said.shape[1]
    d, part = spaces(token=V, out=V)
    ends = np.eye(V)[:, [source, BOS]]
    scores = np.array([[_log_odds(share.get(t, 0.0)) for t in range(V)] for share in shares])
    heads = [
        head(
            reading(d, part["token"], np.stack([score + SHARP, np.zeros(V)], axis=1)),
            reading(d, part["token"], ends),
            reading(d, part["token"], ends[:, :1]),
            writing(d, part["out"], said[[h]]),
            b_Q=np.array([0.0, SHARP]),
        )
        for h, score in enumerate(scores)
    ]

    def outputs(tokens: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log_count = np.log(np.cumsum(tokens == source, axis=1))
        return np.moveaxis(expit(scores[:, tokens] + log_count), 0, -1) @ said

    weights = _attention_only(d, part, [heads], max_length + 1, causal=True)
    return AnalyticTransformer(name, weights, outputs, roles, origin)


def _log_odds(share: float) -> float:
    """ln(share / (1 - share)), at most `SHARP` either way."""
    with np.errstate(divide="ignore"):
        return float(np.clip(np.log(share) - np.log1p(-share), -SHARP, SHARP))


def _attention_only(
    d: int, part: dict[str, slice], blocks: list[list[Head]], n_positions: int, causal: bool = False
) -> Weights:
    """One-hot tokens, and positions if the residual stream has a part for them; `out` is read."""
    V = part["token"].stop - part["token"].start
    W_pos = np.zeros((n_positions, d))
    if "position" in part:
        W_pos = writing(d, part["position"], np.eye(n_positions))
    return Weights(
        W_E=writing(d, part["token"], np.eye(V)),
        W_pos=W_pos,
        blocks=tuple(Block(tuple(heads), np.zeros(d), None) for heads in blocks),
        W_U=reading(d, part["out"], np.eye(V)),
        b_U=np.zeros(V),
        bos=BOS,
        pad=PAD,
        causal=causal,
    )
