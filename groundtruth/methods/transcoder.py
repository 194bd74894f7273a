"""Transcoder: reads one part of the activations and writes another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, Unpack

import torch

from groundtruth.errors import reject
from groundtruth.explanation import Dictionary
from groundtruth.methods.dead import dead_latents
from groundtruth.methods.fit import Options, covariance_rows, fit, training_of
from groundtruth.methods.penalty import penalty_of
from groundtruth.methods.relu import Relu
from groundtruth.methods.sae import SAE, Sparsity, check_parts, check_width, unit_rows
from groundtruth.testbed import ActivationSubject

PATTERN_SAMPLES = 20_000
ROWS = 2048  # at a time
RIDGE = 1e-9  # of the mean square of a code: a latent that never fires gets a row of zeros


class Transcoder(SAE):
    """codes = sparsity((x_1 - mean) W_enc^T + b_enc); x_hat_2 = codes W_dec + b_dec.

    Args:
        rows: (k, d) starting rows over both parts; the encoder starts as their first part, the
            decoder as their second.
        read: width of the first part.
        sample: (n, d) activations to which the patterns are fitted.
    """

    def __init__(
        self,
        rows: torch.Tensor,
        sparsity: Sparsity,
        *,
        tied: bool,
        hold: float | None,
        read: int,
        sample: torch.Tensor,
    ) -> None:
        super().__init__(unit_rows(rows[:, read:]), sparsity, tied=tied, hold=hold)
        self.W_enc = torch.nn.Parameter(unit_rows(rows[:, :read]))
        self.read, self.sample = read, sample
        self.mean: torch.Tensor
        self.register_buffer("mean", rows.new_zeros(read))

    def centred(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, : self.read] - self.mean

    def target(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self.read :]

    def start(self, x: torch.Tensor) -> None:
        self.mean.copy_(x[:, : self.read].mean(0))
        self.b_dec.data.copy_(self.target(x).mean(0))
        self.sparsity.begin(self, x)

    def rescale(self, factor: float) -> None:
        super().rescale(factor)
        self.mean.mul_(factor)

    def dictionary(self, name: str | None = None) -> Dictionary:
        pattern, offset = self._patterns()
        rows = torch.cat([pattern, self.W_dec.detach()], dim=1)
        bias = torch.cat([offset, self.b_dec.detach()])
        return Dictionary(rows, self.encode, bias=bias, name=name)

    def _patterns(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A (k, read) and c (read,) of the least squares fit x_1 ~ codes A + c."""
        k = len(self.W_enc)
        gram = self.W_dec.new_zeros(k + 1, k + 1, dtype=torch.float64)
        cross = gram.new_zeros(k + 1, self.read)
        for x in self.sample.to(self.W_dec.device).split(ROWS):
            codes = torch.cat([self.encode(x), x.new_ones(len(x), 1)], dim=1).double()
            gram += codes.T @ codes
            cross += codes.T @ x[:, : self.read].double()
        gram.diagonal().add_(RIDGE * gram.diagonal().mean())
        fit = torch.linalg.solve(gram, cross).to(self.W_dec.dtype)
        return fit[:-1], fit[-1]


def transcoder(
    subject: ActivationSubject,
    *,
    seed: int,
    parts: Sequence[int] | None = None,
    width: int | None = None,
    l0: float | None = None,
    l1: float | None = None,
    dead: Literal["auxiliary", "none"] = "none",
    **options: Unpack[Options],
) -> Dictionary:
    """A transcoder with the L1 penalty of its source: sees the first part, explains the second.

    codes = relu((x_1 - mean) W_enc^T + b_enc), x_hat_2 = codes W_dec + b_dec;
    loss = E |x_2 - x_hat_2|^2 + l1 E sum codes, with rows of W_dec of length 1.

    The explanation spans both parts: row j is (A_j, W_dec_j), where A is the least squares fit
    x_1 ~ codes A + c on 20,000 samples, made when training is over. A says what the first part
    holds when a latent fires. W_enc says no such thing: it is a filter, which turns away from
    other features and is the shorter, the longer the feature. Of a feature (alpha u, v) it has
    u / alpha, where A has alpha u. So recovery asks whether a latent stands for a feature in both
    parts, and `recon.*` counts the fit of the first part too, which nothing was trained for.

    A feature that lives in one part only is not for a transcoder to find: it is not written, or
    cannot be read. Recall is at most the share of features that live in both. A linear path past
    the latents (a skip transcoder) is left out, as its reconstruction is no function of codes.

    Args:
        seed: of starting weights and stream.
        parts: widths of what is read and what is written, in this order; two halves if None.
        width, l0, l1, options: as `relu`; weights cannot be tied.
        dead: "auxiliary" loss or "none"; see `dead.py`.

    Raises:
        InputError: a parameter out of range, or parts that do not sum to the subject's width.
        MethodError: training diverged.

    Example:
        >>> import groundtruth as gt
        >>> world = gt.build("pair/models", n_features=6, dictionary={"law": "pair", "shared": 6})
        >>> claim = transcoder(world.subject, seed=0, width=12, l1=0.3, n_samples=50_000)
        >>> rows = claim.decoder / (claim.decoder**2).sum(axis=1, keepdims=True) ** 0.5
        >>> bool(((world.truth.features.directions @ rows.T).max(axis=1) > 0.9).all())
        True

    Source: Dunefsky, Chlenski and Nanda, "Transcoders Find Interpretable LLM Feature Circuits",
    2024, https://arxiv.org/abs/2406.11944; filters and patterns: Haufe et al., "On the
    interpretation of weight vectors of linear models in multivariate neuroimaging", 2014,
    https://doi.org/10.1016/j.neuroimage.2013.10.067
    """
    given = check_parts(parts, subject.d)
    if len(given) != 2:
        raise reject("parts", parts, "two widths: of what is read, and of what is written")
    if options.get("tied"):
        raise reject("tied", True, "False: encoder and decoder are of different parts")
    if dead == "resample":
        raise reject("dead", dead, '"auxiliary" or "none"')
    width = check_width(width, subject.d)
    training = training_of(options, batch_size=256)
    penalty = penalty_of(l0, l1, subject.d, width, training.n_steps)
    sample = subject.sample(PATTERN_SAMPLES, seed=seed)
    return fit(
        subject,
        Relu(penalty, dead_latents(dead, width, seed)),
        training,
        options,
        seed=seed,
        width=width,
        name="transcoder",
        rows=covariance_rows(subject, width, seed=seed),
        model=partial(Transcoder, read=given[0], sample=sample),
        parts=given,
        l0=l0,
        l1=l1,
        dead=dead,
    )
