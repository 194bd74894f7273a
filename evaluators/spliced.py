"""What a model still does where a dictionary's reconstruction stands in for its activations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from groundtruth.errors import reject
from groundtruth.evaluators.registry import REAL
from groundtruth.explanation import Dictionary
from groundtruth.latent_edits import reconstructed
from groundtruth.result import Metric, Result, undefined

if TYPE_CHECKING:
    import torch

    from groundtruth.models.site_edits import Edit
    from groundtruth.models.transformer import Transformer

Ablation = Literal["zero", "mean"]

CE_RECOVERED = Metric(
    "model.ce_recovered",
    1,
    "(H_abl - H_dictionary) / (H_abl - H_clean), H the cross-entropy of the outputs in nats",
    "max",
    REAL,
    "position",
)
KL = Metric(
    "model.kl",
    1,
    "mean KL(clean outputs, outputs with the dictionary) in nats",
    "min",
    (0.0, math.inf),
    "position",
)
METRICS = {metric.id: metric for metric in (CE_RECOVERED, KL)}
"""Every metric of spliced dictionaries, by id."""

_NOISE = 3.0
"""Standard errors by which ablation has to raise the cross-entropy."""


def score_spliced(
    model: Transformer,
    dictionary: Dictionary,
    site: str,
    tokens: Any,
    *,
    targets: Any = None,
    ablation: Ablation = "mean",
) -> dict[str, Result]:
    """Cross-entropy recovered, and divergence, with a dictionary spliced into a model.

    Args:
        model: its outputs are read as logits.
        dictionary: with codes, as wide as the site.
        site: without heads.
        tokens: (batch, position). Activations are replaced, and outputs count, at tokens: not at
            begin-of-sequence, nor at padding.
        targets: (batch, position) which output is right; what the model says most, if None.
        ablation: what stands there for H_abl: "zero", or the "mean" over tokens. Zero is far from
            all that the model has seen, which flatters every dictionary.

    Returns:
        Results by id. The floor of each is that of the ablation, the ceiling that of the model
        itself. Recovery is a ratio of means, undefined where ablation raises the cross-entropy by
        less than 3 standard errors (over inputs).

    Raises:
        InputError: another ablation, targets of another shape, or no token.
        UnknownName: no such site.
        ExplanationError: no codes are claimed, or another width.

    Not a measure of which features were found: a rotation of the right ones recovers everything.

    Source: Bricken et al., "Towards Monosemanticity", 2023,
    https://transformer-circuits.pub/2023/monosemantic-features

    Example, a dictionary that is the identity:
        >>> from groundtruth.compiled_models import compile_program, library
        >>> compiled = compile_program(library.program("reverse"), vocab="ab", max_length=4)
        >>> site, tokens = "blocks.0.hook_resid_post", compiled.testbed.subject.tokens(20)
        >>> eye = np.eye(compiled.model.W_E.shape[1])
        >>> identity = Dictionary(eye, lambda x: x, signed=True)
        >>> scores = score_spliced(compiled.model, identity, site, tokens)
        >>> round(scores["model.ce_recovered"].value, 6), round(scores["model.kl"].value, 6)
        (1.0, 0.0)
    """
    import torch

    if ablation not in ("zero", "mean"):
        raise reject("ablation", ablation, '"zero" or "mean"')
    tokens = model.as_tokens(tokens)
    counted = (tokens != model.pad) & (tokens != model.bos)
    if not counted.any():
        raise reject("tokens", tuple(tokens.shape), "rows with a token after begin-of-sequence")

    def removed(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x) if ablation == "zero" else x.mean(0).expand_as(x)

    edits = (lambda x: x, reconstructed(dictionary), removed)
    clean, spliced, ablated = (_outputs(model, site, tokens, counted, edit) for edit in edits)
    right = clean.argmax(-1) if targets is None else torch.as_tensor(targets, device=tokens.device)
    if targets is not None:
        if right.shape != tokens.shape:
            raise reject("targets", tuple(right.shape), f"shape {tuple(tokens.shape)}")
        right = right[counted]
    row = counted.nonzero()[:, 0]
    parameters = {"site": site, "ablation": ablation, "targets": _named(targets)}
    return {
        "model.ce_recovered": _recovered((clean, spliced, ablated), right, row, parameters),
        "model.kl": _divergence((clean, spliced, ablated), parameters),
    }


def _named(targets: Any) -> str:
    return "what the model says" if targets is None else "given"


def _outputs(
    model: Transformer, site: str, tokens: torch.Tensor, counted: torch.Tensor, edit: Edit
) -> torch.Tensor:
    """(counted position, n_outputs) log-probabilities in float64."""
    import torch

    def hook(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        edited = activation.clone()
        edited[counted] = edit(activation[counted]).to(edited)
        return edited

    with torch.no_grad():
        logits = model.run_with_hooks(tokens, [(site, hook)])
    return logits[counted].double().log_softmax(-1)


def _recovered(
    outputs: tuple[torch.Tensor, ...],
    right: torch.Tensor,
    row: torch.Tensor,
    parameters: dict[str, Any],
) -> Result:
    losses = [-said.gather(1, right[:, None])[:, 0].cpu().numpy() for said in outputs]
    clean, spliced, ablated = (float(loss.mean()) for loss in losses)
    raised = losses[2] - losses[0]
    # Positions of an input go together, so inputs are what is independent.
    _, inputs = np.unique(row.cpu().numpy(), return_inverse=True)
    sums = np.bincount(inputs, raised - raised.mean())
    error = float(np.sqrt((sums**2).sum()) / len(raised))
    entropies = {"H_clean": clean, "H_dictionary": spliced, "H_abl": ablated}
    if not ablated - clean > _NOISE * error or not ablated > clean:
        reason = (
            f"ablation raises the cross-entropy by {ablated - clean:.3g} nats, with a standard "
            f"error of {error:.2g}: there is nothing to recover"
        )
        return undefined(CE_RECOVERED, reason, **parameters, **entropies)
    value = (ablated - spliced) / (ablated - clean)
    result = Result(CE_RECOVERED, value, n_units=len(raised), parameters=parameters | entropies)
    kind = f"{parameters['ablation']} ablation"
    return result.between(0.0, kind, 1.0, "the model itself")


def _divergence(outputs: tuple[torch.Tensor, ...], parameters: dict[str, Any]) -> Result:
    clean, spliced, ablated = outputs

    def kl(said: torch.Tensor) -> float:
        return max(0.0, float((clean.exp() * (clean - said)).sum(-1).mean()))

    result = Result(KL, kl(spliced), n_units=len(clean), parameters=parameters)
    kind = f"{parameters['ablation']} ablation"
    return result.between(kl(ablated), kind, 0.0, "the model itself")
