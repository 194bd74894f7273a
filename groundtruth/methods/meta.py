"""Meta-SAE: a dictionary of the rows of a dictionary, for latents that are compositions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from groundtruth import arrays, seeds
from groundtruth.adapters import as_explanation
from groundtruth.errors import InputError, reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.batchtopk import BatchTopK, batchtopk
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.fit import Options, fit, training_of
from groundtruth.methods.sae import SAE, check_l0, check_width, given_rows
from groundtruth.methods.topk import topk
from groundtruth.outputs import codes_of
from groundtruth.testbed import BLOCK, ActivationSubject

LIVING_SAMPLES = 10_000
BASES = {"batchtopk": batchtopk, "topk": topk}


class MetaDictionary(Dictionary):
    """What a meta-SAE claims of the activations, and what it says of the rows.

    Fields:
        weights: (k, m) row j of the dictionary is about weights[j] @ decoder; zeros for a row
            that was left out.
        explained: 1 - sum |w_j - w_hat_j|^2 / sum |w_j - mean|^2 over the rows w_j of length 1.
    """

    def __init__(
        self, base: Dictionary, atoms: np.ndarray, weights: np.ndarray, explained: float
    ) -> None:
        encode = None if base.encode is None else self._encode
        super().__init__(atoms, encode, bias=base.bias, signed=base.signed, name="meta-sae")
        self.base, self.weights, self.explained = base, weights, explained

    def _encode(self, x: Any) -> np.ndarray:
        lengths = np.linalg.norm(self.base.decoder, axis=1, keepdims=True)
        return codes_of(self.base, arrays.to_numpy("x", x)) @ (lengths * self.weights)


class Unbiased(SAE):
    """An `SAE` without b_dec: no mean of the rows is taken out of them."""

    def start(self, x: torch.Tensor) -> None:
        self.sparsity.begin(self, x)


def meta_sae(
    dictionary: Any,
    *,
    seed: int,
    width: int | None = None,
    l0: float = 2.0,
    subject: ActivationSubject | None = None,
    starts: int = 4,
    n_samples: int = 200_000,
    device: str | None = None,
) -> MetaDictionary:
    """A BatchTopK trained on the decoder rows of a dictionary: of which parts are they made?

    With w_j the rows at length 1, w_j ~ weights_j M and loss = sum_j |w_j - weights_j M|^2, codes
    as in `batchtopk`. The rows of M are the claimed atoms. Their codes on activations follow from
    the dictionary's own, f: x_hat = f(x) diag(|w|) weights M + bias, so that atom i has code
    sum_j f_j(x) |w_j| weights_ji. A dictionary without codes gives a claim of rows alone.

    It has no decoder bias: the mean of rows x_a + y_b holds a part of every atom, and what is
    left after taking it out is no sum of atoms with weights >= 0. Rows that are all sums of one
    x_a and one y_b do not determine their atoms (x_a + c and y_b - c give the same rows); rows
    that hold some atom alone do.

    It splits what is one, too: where `l0` exceeds the parts that rows have, it makes parts up.
    What `explained` says of such rows is what it says of any: compare with random rows.

    Args:
        dictionary: what `gt.evaluate` takes as an explanation, with k rows; its reconstruction
            must be codes @ decoder + bias.
        seed: of starting weights and of the order of rows.
        width: meta-latents m; None is half of the rows, for as many as rows would copy them.
        l0: mean parts of a row. Default: 2, the least for a row to be more than one.
        subject: where given, rows whose latents never fire on 10,000 samples are left out.
        starts: trainings from other weights, of which the one that explains most is kept: single
            ones end in local minima.
        n_samples: rows that each training sees, drawn with replacement.
        device: where to train; None is the CPU.

    Raises:
        InputError: a parameter out of range, fewer than 2 rows, or a reconstruction of its own.
        ExplanationError: `dictionary` is none.
        MethodError: training diverged.

    Example:
        >>> import numpy as np
        >>> atoms = np.eye(8)
        >>> pairs = [x + y for x in atoms[:4] for y in atoms[4:]]
        >>> claim = meta_sae(Dictionary(np.array([*atoms, *pairs])), seed=0, width=8, l0=1.7)
        >>> claim.weights.shape, bool((claim.decoder.max(axis=0) > 0.9).all())
        ((24, 8), True)

    Source: Leask, Bussmann et al., "Sparse Autoencoders Do Not Find Canonical Units of Analysis",
    2025, https://arxiv.org/abs/2502.04878 (the authors' BatchTopK has a decoder bias)
    """
    base = as_explanation(dictionary)
    used = _in_use(base, subject, seed)
    rows = given_rows(base.decoder[used], base.d)
    width = check_width(len(rows) // 2 if width is None else width, base.d)
    active = check_l0(l0, base.d, width)
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise reject("starts", starts, "a whole number >= 1")
    root = seeds.root_of("meta-sae", seed)
    options: Options = {"n_samples": n_samples, "device": device}
    trained = [
        _trained(rows, width, active, options, seeds.derive(root, "start", i))
        for i in range(starts)
    ]
    atoms, parts, explained = max(trained, key=lambda found: found[2])
    weights = np.zeros((base.k, width))
    weights[used] = parts
    return MetaDictionary(base, atoms, weights, explained)


def _in_use(base: Dictionary, subject: ActivationSubject | None, seed: int) -> np.ndarray:
    """(k,) whether the row has a length and, where there is a subject, its latent ever fires."""
    if base.decode is not None:
        raise InputError(
            "dictionary: expected one that reconstructs by codes @ decoder + bias, got one with "
            "decode=, whose rows may be no parts of the activations."
        )
    used = np.asarray(base.decoder.any(axis=1))
    if subject is not None:
        fired = codes_of(base, subject.sample(LIVING_SAMPLES, seed=seed).numpy())
        used &= np.diff(fired.tocsc().indptr) > 0
    if used.sum() < 2:
        raise reject("dictionary", f"{used.sum()} rows in use", "two or more")
    return used


def _trained(
    rows: torch.Tensor, width: int, l0: float, options: Options, key: bytes
) -> tuple[np.ndarray, np.ndarray, float]:
    """Atoms (width, d), weights (k, width) of the rows (k, d), and how much these explain."""
    claim = fit(
        _subject_of(rows, key),
        BatchTopK(l0, DeadLatents(width)),
        training_of(options, frozen=("b_dec",)),
        options,
        seed=int.from_bytes(key[:7], "little"),
        width=width,
        name="meta-sae",
        model=Unbiased,
    )
    assert claim.encode is not None
    weights = arrays.to_numpy("weights", claim.encode(rows.to(options.get("device"))))
    wide = rows.double().numpy()
    wrong = np.square(wide - weights @ claim.decoder).sum()
    return claim.decoder, weights, float(1 - wrong / np.square(wide - wide.mean(axis=0)).sum())


def _subject_of(rows: torch.Tensor, key: bytes) -> ActivationSubject:
    """Rows drawn at random, each as often as any other."""

    def draw(seed: int, block: int) -> np.ndarray:
        drawn = seeds.generator(key, "rows", seed, block).integers(len(rows), size=BLOCK)
        return rows.numpy()[drawn]

    return ActivationSubject(rows.shape[1], draw)


def meta(
    subject: ActivationSubject,
    *,
    seed: int,
    width: int | None = None,
    l0: int | None = None,
    base: Literal["batchtopk", "topk"] = "batchtopk",
    meta_width: int | None = None,
    meta_l0: float = 2.0,
    n_samples: int = 500_000,
) -> MetaDictionary:
    """A meta-SAE on the living rows of a sparse autoencoder.

    Args:
        seed: of both trainings.
        width, l0: of the autoencoder; None as for `batchtopk`.
        base: its variant.
        meta_width, meta_l0: of the meta-SAE, as `width` and `l0` of `meta_sae`.
        n_samples: activations that the autoencoder sees.

    Raises, Source: as for `meta_sae`.
    """
    if base not in BASES:
        raise reject("base", base, '"batchtopk" or "topk"')
    claim = BASES[base](subject, seed=seed, width=width, l0=l0, n_samples=n_samples)
    return meta_sae(claim, seed=seed, width=meta_width, l0=meta_l0, subject=subject)
