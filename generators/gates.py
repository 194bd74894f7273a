"""Boolean gates as one-block transformers, to tell circuit methods' failures apart.

Tokens are bos, pad, 0 and 1; every sequence is bos, a, b. Heads bring a or b to every position; an
MLP of one neuron computes the gate. Effects on the output of patching a = b = 1 to 0, head by head
and all together, and what the gradient at the clean run times the change (EAP) says of each head:

    gate        output                 heads alone   together   EAP
    and         ReLU(a + b - 1)        1, 1          1          1, 1: their sum counts double
    or          1 - ReLU(1 - a - b)    0, 0          1          0, 0
    backup      a + ReLU(a' - 2a)      0, 0          1          1, 0: the backup a' is missed
    saturated   1 - ReLU(1 - 2a)       1             1          0, and 2 at the other run
    cancelling  a - a'                 1, -1         0          1, -1
    decoy       a; a' is never read    1, 0          1          1, 0

a' is a second head's copy of a. A method that scores otherwise than its column has a fault of its
own: so a scorer's fault is told from a method's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from groundtruth.errors import UnknownName
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
from groundtruth.models.weights import MLP, Block, Weights

N_POSITIONS = 3
Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Gate:
    """output = read . x + sign ReLU(hidden . x + bias) + constant, x being what the heads bring.

    Fields:
        formula: the output of (a, b), written out.
        positions: which position each head brings: 1 for a, 2 for b.
        roles: of the nodes that have an effect.
        read: how the output reads each head.
        hidden, bias: how the neuron reads each head; None: no MLP.
        sign, constant: as above.
    """

    formula: Formula
    positions: tuple[int, ...]
    roles: dict[str, str]
    read: tuple[float, ...]
    hidden: tuple[float, ...] | None = None
    bias: float = 0.0
    sign: float = 1.0
    constant: float = 0.0


_A_B = {"a0.h0": "brings a", "a0.h1": "brings b"}

GATES = {
    "and": Gate(
        lambda a, b: a * b,
        (1, 2),
        _A_B | {"m0": "a and b"},
        read=(0, 0),
        hidden=(1, 1),
        bias=-1,
    ),
    "or": Gate(
        lambda a, b: np.maximum(a, b),
        (1, 2),
        _A_B | {"m0": "neither a nor b"},
        read=(0, 0),
        hidden=(-1, -1),
        bias=1,
        sign=-1,
        constant=1,
    ),
    "backup": Gate(
        lambda a, b: a,
        (1, 1),
        {"a0.h0": "brings a", "a0.h1": "backup of a", "m0": "backup where a is gone"},
        read=(1, 0),
        hidden=(-2, 1),
    ),
    "saturated": Gate(
        lambda a, b: a,
        (1,),
        {"a0.h0": "brings a", "m0": "not a"},
        read=(0,),
        hidden=(-2,),
        bias=1,
        sign=-1,
        constant=1,
    ),
    "cancelling": Gate(
        lambda a, b: 0 * a,
        (1, 1),
        {"a0.h0": "brings a", "a0.h1": "brings a, read as -a"},
        read=(1, -1),
    ),
    "decoy": Gate(lambda a, b: a, (1, 1), {"a0.h0": "brings a"}, read=(1, 0)),
}


def gate(name: str) -> AnalyticTransformer:
    """One of `GATES`; the output is the same at every position.

    Raises:
        UnknownName: no gate is called so.

    Example:
        >>> a_and_b = gate("and")
        >>> a_and_b.outputs(np.array([[0, 3, 3], [0, 3, 2]]))[:, -1, 0].tolist()
        [1.0, 0.0]
    """
    if name not in GATES:
        raise UnknownName("gate", name, GATES)
    spec = GATES[name]

    def outputs(tokens: np.ndarray) -> np.ndarray:
        a, b = (tokens[:, [i]] == CONTENT + 1 for i in (1, 2))
        value = spec.formula(a.astype(float), b.astype(float))
        return np.repeat(value, tokens.shape[1], axis=1)[:, :, None]

    return AnalyticTransformer(f"gate/{name}", _weights(spec), outputs, spec.roles)


def _weights(spec: Gate) -> Weights:
    n = len(spec.positions)
    d, part = spaces(bit=1, position=N_POSITIONS, brought=n, out=1)
    W_E = np.zeros((CONTENT + 2, d))
    W_E[CONTENT + 1, part["bit"]] = 1
    one = np.ones((1, 1))
    heads = tuple(
        head(
            np.zeros((d, 1)),
            reading(d, part["position"], np.eye(N_POSITIONS)[:, [position]]),
            reading(d, part["bit"], one),
            writing(d, part["brought"], np.eye(n)[[i]]),
            b_Q=SHARP,
        )
        for i, position in enumerate(spec.positions)
    )
    mlp = None
    if spec.hidden is not None:
        W_in = reading(d, part["brought"], np.array(spec.hidden, dtype=float)[:, None])
        W_out = writing(d, part["out"], spec.sign * one)
        mlp = MLP(W_in, np.array([float(spec.bias)]), W_out, np.zeros(d))
    read = np.array(spec.read, dtype=float)[:, None]
    return Weights(
        W_E=W_E,
        W_pos=writing(d, part["position"], np.eye(N_POSITIONS)),
        blocks=(Block(heads, np.zeros(d), mlp),),
        W_U=reading(d, part["brought"], read) + reading(d, part["out"], one),
        b_U=np.array([float(spec.constant)]),
        bos=BOS,
        pad=PAD,
    )
