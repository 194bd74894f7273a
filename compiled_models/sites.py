"""The sites of a compiled model, and what activations carry there: by its plan, not by its weights.

Twins turn and superpose the residual stream. Queries, keys and neurons are those of the plan,
whatever the twin; values are moved in the words of what the head writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from groundtruth.compiled_models.assembly import scores
from groundtruth.compiled_models.compiled import Compiled
from groundtruth.compiled_models.components import Head, Unit
from groundtruth.compiled_models.decoys import Decoy
from groundtruth.compiled_models.expressions import Indices
from groundtruth.compiled_models.layout import Variable
from groundtruth.compiled_models.placement import Placement
from groundtruth.compiled_models.variables import embedded, residual_sites, site_of
from groundtruth.errors import UnknownName

EMBEDDINGS: tuple[str, ...] = ("hook_embed", "hook_pos_embed")

IN_HEADS: tuple[str, ...] = ("hook_q", "hook_k", "hook_v", "hook_z")


@dataclass(frozen=True, eq=False)
class Carried:
    """What an activation is: `bias`, and what variables, neurons and decoys add to it.

    Fields:
        words: (direction of the layout, width) what each direction adds where it holds 1.
        bias: (width,) what is always there.
        units: of the plan, that neurons are; the first axes.
        decoys: index of each that writes here -> (width,) the direction that it writes to.
    """

    words: np.ndarray
    bias: np.ndarray
    units: tuple[Unit, ...] = ()
    decoys: Mapping[int, np.ndarray] = field(default_factory=dict)


def sites(compiled: Compiled) -> list[str]:
    """Sites whose features are known, in the order of the computation.

    At hook_q to hook_z heads lie side by side, without the zeros that end the narrower ones;
    where there are several, each is a site too, by its index: blocks.0.attn.hook_z.1.
    """
    found = list(EMBEDDINGS)
    for b, block in enumerate(compiled.weights.blocks):
        found += [f"blocks.{b}.hook_resid_pre"]
        if block.heads:
            for hook in IN_HEADS:
                found += [f"blocks.{b}.attn.{hook}"]
                if len(block.heads) > 1:
                    found += [f"blocks.{b}.attn.{hook}.{h}" for h in range(len(block.heads))]
            found += [f"blocks.{b}.hook_attn_out"]
        found += [f"blocks.{b}.hook_resid_mid"]
        if block.mlp is not None:
            found += [f"blocks.{b}.mlp.hook_post", f"blocks.{b}.hook_mlp_out"]
        found += [f"blocks.{b}.hook_resid_post"]
    return found


def carried_at(compiled: Compiled, site: str) -> Carried:
    """What activations of `site` carry.

    Raises:
        UnknownName: no such site, or none whose features are known.
    """
    if site not in sites(compiled):
        raise UnknownName("site", site, sites(compiled))
    if site.endswith("mlp.hook_post"):
        return _in_mlp(compiled, int(site.split(".")[1]))
    if ".attn." in site:
        hook, heads = heads_of(compiled, site)
        return _in_heads(compiled, int(site.split(".")[1]), hook.rpartition(".")[2], heads)
    return _in_stream(compiled, site)


def heads_of(compiled: Compiled, site: str) -> tuple[str, list[int]]:
    """The hook of a site inside heads, as the model names it, and which heads it is of."""
    hook, _, head = site.rpartition(".")
    if head.isdigit():
        return hook, [int(head)]
    return site, list(range(len(compiled.weights.blocks[int(site.split(".")[1])].heads)))


# --- inside heads and MLPs ---------------------------------------------------------------------


def _in_heads(compiled: Compiled, block: int, hook: str, heads: list[int]) -> Carried:
    decoys = {d.head: n for n, d in enumerate(compiled.decoys) if d.block == block}
    parts, places, width = [], {}, 0
    for h in heads:
        if h in decoys:
            parts.append(_in_decoy(compiled, hook, compiled.decoys[decoys[h]]))
        else:
            parts.append(_in_head(compiled, hook, compiled.placement.blocks[block].heads[h]))
        if h in decoys and hook == "hook_z":
            places[decoys[h]] = width
        width += len(parts[-1].bias)
    return Carried(
        np.concatenate([part.words for part in parts], axis=1),
        np.concatenate([part.bias for part in parts]),
        decoys={n: np.eye(width)[k] for n, k in places.items()},
    )


def _in_head(compiled: Compiled, hook: str, head: Head) -> Carried:
    if hook in ("hook_q", "hook_k"):
        W_Q, b_Q, W_K, b_K = scores(head, compiled.layout.d_model)
        return Carried(W_Q, b_Q) if hook == "hook_q" else Carried(W_K, b_K)
    written = _written(compiled, head)
    if hook == "hook_z":
        return Carried(written, np.zeros(written.shape[1]))
    moved = np.zeros_like(written)
    for source, to, factor in head.moves:
        moved[source] += factor * written[to]
    return Carried(moved, np.zeros(written.shape[1]))


def _in_decoy(compiled: Compiled, hook: str, decoy: Decoy) -> Carried:
    """Of a decoy head: it attends as another does, and moves one number."""
    if hook in ("hook_q", "hook_k"):
        assert decoy.like is not None
        return _in_head(compiled, hook, compiled.placement.blocks[decoy.block].heads[decoy.like])
    moved = np.zeros((compiled.layout.d_model, 1))
    if hook == "hook_v":
        moved[list(decoy.weights), 0] = list(decoy.weights.values())
    return Carried(moved, np.zeros(1))


def _written(compiled: Compiled, head: Head) -> np.ndarray:
    """(direction of the layout, d_value) where what `head` writes lies inside it: an axis for each
    direction that is ever written; in twins the words of its code."""
    d = compiled.layout.d_model
    if compiled.request is None:
        return np.eye(d)[:, head.targets]
    code = compiled.coding.codes[head.writes]
    found = np.zeros((d, code.shape[1]))
    found[head.writes.span] = code
    return found


def _in_mlp(compiled: Compiled, block: int) -> Carried:
    groups = compiled.placement.blocks[block].neurons
    mlp = compiled.weights.blocks[block].mlp
    assert mlp is not None
    axes = np.eye(len(mlp.b_in))
    decoys = {
        n: axes[d.neuron]
        for n, d in enumerate(compiled.decoys)
        if d.block == block and d.neuron is not None
    }
    return Carried(
        np.zeros((compiled.layout.d_model, len(axes))),
        np.zeros(len(axes)),
        tuple(unit for group in groups for unit in group.units),
        decoys,
    )


# --- the residual stream -----------------------------------------------------------------------


def _in_stream(compiled: Compiled, site: str) -> Carried:
    """Embeddings, the residual stream, and what is added to it."""
    words = np.zeros_like(compiled.directions)
    for variable in _variables_at(compiled, site):
        words[variable.span] = compiled.directions[variable.span]
    upto = _upto(site, compiled.placement)
    ballast = compiled.coding.ballast
    if ballast is None or not (site == "hook_embed" or upto):
        ballast = np.zeros(words.shape[1])
    decoys = {
        n: decoy.direction
        for n, decoy in enumerate(compiled.decoys)
        if {site, *upto} & set(_first_sites(decoy))
    }
    return Carried(words, ballast, decoys=decoys)


def _first_sites(decoy: Decoy) -> tuple[str, str]:
    """Where what a decoy writes is first: added to the residual stream, and in it."""
    added, stream = ("attn_out", "mid") if decoy.neuron is None else ("mlp_out", "post")
    return f"blocks.{decoy.block}.hook_{added}", f"blocks.{decoy.block}.hook_resid_{stream}"


def _variables_at(compiled: Compiled, site: str) -> list[Variable]:
    variables, placement = compiled.layout.variables, compiled.placement
    if site in EMBEDDINGS:
        position = site == "hook_pos_embed"
        found = embedded(compiled.layout, placement)
        return [v for v in found if isinstance(v.expression, Indices) == position]
    block, hook = int(site.split(".")[1]), site.rpartition(".")[2]
    if hook in ("hook_attn_out", "hook_mlp_out"):
        parts = placement.blocks[block]
        parts = parts.heads if hook == "hook_attn_out" else parts.neurons
        return [part.writes for part in parts]
    upto = _upto(site, placement)
    return [v for v in variables if site_of(v, placement) in upto]


def _upto(site: str, placement: Placement) -> list[str]:
    """Sites of the residual stream whose variables are there at `site`; none if it is no such."""
    if site in EMBEDDINGS:
        return []
    order, (_, block, hook) = residual_sites(placement), site.split(".")
    if hook == "hook_resid_pre" and int(block):
        site = f"blocks.{int(block) - 1}.hook_resid_post"
    return order[: order.index(site) + 1] if site in order else []
