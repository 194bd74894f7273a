"""pyvene trains on our model, and what it has found is scored; each kind of intervention does to
activations what the claimed subspace does."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pyvene

from groundtruth.adapters.pyvene import pyvene_subspace, to_pyvene
from groundtruth.alignment import Alignment
from groundtruth.errors import ExplanationError
from groundtruth.evaluators.variables import score_variables
from groundtruth.generators.hierarchical_equality import hierarchical_equality
from groundtruth.variable_pairs import interchanging

pytestmark = pytest.mark.integration

SITE, COMPONENT, LAST = "blocks.0.hook_resid_post", "blocks[0].hook_resid_post.output", 4


def made(kind, **settings):
    # pyvene draws its start from torch's global stream.
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        return getattr(pyvene, kind)(embed_dim=12, **settings)


def vectors(seed):
    return torch.randn(7, 12, generator=torch.Generator().manual_seed(seed))


def agree(intervention, subspaces=None, **settings):
    """What pyvene does and what the claim does, on the same vectors."""
    base, source = vectors(0), vectors(1)
    claim = pyvene_subspace(intervention, SITE, **settings)
    kwargs = {} if subspaces is None else {"subspaces": [subspaces] * len(base)}
    theirs = intervention(base, source, **kwargs).detach()
    ours = interchanging(claim.basis)(base, source)
    return claim, float((theirs - ours).abs().max())


def test_a_low_rank_rotation():
    claim, gap = agree(made("LowRankRotatedSpaceIntervention", low_rank_dimension=3))
    assert claim.dim == 3 and gap < 1e-5


def test_the_first_dimensions_of_a_rotation():
    intervention = made("RotatedSpaceIntervention")
    intervention.set_interchange_dim(5)
    claim, gap = agree(intervention)
    assert claim.dim == 5 and gap < 1e-5


def test_a_part_of_a_partition():
    intervention = made("RotatedSpaceIntervention", subspace_partition=[[0, 2], [2, 6], [6, 12]])
    for part, dim in enumerate((2, 4, 6)):
        claim, gap = agree(intervention, [part], parts=[part])
        assert claim.dim == dim and gap < 1e-5
    with pytest.raises(ExplanationError, match="parts: expected None without a partition"):
        pyvene_subspace(made("RotatedSpaceIntervention"), SITE, parts=[0])


def test_a_mask_in_a_rotated_space():
    intervention = made("SigmoidMaskRotatedSpaceIntervention")
    intervention.masks.data = torch.tensor([1.0, -1.0] * 6)
    intervention.set_temperature(torch.tensor(1e-3))
    claim, gap = agree(intervention)
    assert claim.dim == 6 and gap < 1e-5
    intervention.masks.data -= 2
    with pytest.raises(ExplanationError, match="its mask leaves no dimension to interchange"):
        pyvene_subspace(intervention, SITE)


def test_a_boundary_but_for_half_of_dimension_0():
    intervention = made("BoundlessRotatedSpaceIntervention")
    intervention.set_intervention_boundaries(0.3)  # 3.6 of 12
    intervention.set_temperature(torch.tensor(1e-3))
    claim, gap = agree(intervention)
    assert claim.dim == 4 and gap > 0.1
    weight = intervention.rotate_layer.weight.detach()
    base, source = vectors(0), vectors(1)
    half = 0.5 * torch.outer((source - base) @ weight[:, 0], weight[:, 0])
    theirs = intervention(base, source).detach()
    ours = interchanging(claim.basis)(base, source)
    assert float((theirs + half - ours).abs().max()) < 1e-5


def test_neurons_without_a_rotation():
    claim, gap = agree(made("VanillaIntervention"))
    assert claim.dim == 12 and gap < 1e-6
    masked = made("SigmoidMaskIntervention")
    masked.mask.data = torch.tensor([1.0] * 4 + [-1.0] * 8)
    assert (pyvene_subspace(masked, SITE).basis == np.eye(12)[:4]).all()


def test_another_object_is_refused_with_a_way_out():
    with pytest.raises(ExplanationError, match=r"intervenable\.interventions\[key\]"):
        pyvene_subspace(torch.nn.Linear(3, 3), SITE)


def test_das_by_pyvene_on_our_model_is_scored_as_ours_is():
    testbed = replace(hierarchical_equality(8), hypothesis=("WX",))
    model, subject = to_pyvene(testbed.model), testbed.subject
    rotation = pyvene.LowRankRotatedSpaceIntervention
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        intervention = rotation(embed_dim=model.W_E.shape[1], low_rank_dimension=1)
    place = {"component": COMPONENT, "intervention": intervention}
    intervenable = pyvene.IntervenableModel(place, model=model)
    intervenable.disable_model_gradients()
    optimizer = torch.optim.Adam(intervention.parameters(), 0.05)
    pairs = subject.pairs("WX", 1000)
    wanted = torch.tensor(pairs.expected)[:, LAST]
    rng = np.random.default_rng(0)

    def answers(rows):
        _, outputs = intervenable(
            base={"tokens": torch.tensor(pairs.base[rows])},
            sources=[{"tokens": torch.tensor(pairs.source[rows])}],
            unit_locations={"sources->base": LAST},
        )
        return outputs[:, LAST]

    for _ in range(300):
        rows = rng.choice(1000, 128, replace=False)
        loss = torch.nn.functional.cross_entropy(answers(rows), wanted[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    (trained,) = intervenable.interventions.values()
    claim = pyvene_subspace(trained, SITE)
    theirs = (answers(np.arange(1000)).argmax(-1) == wanted).double().mean()
    assert subject.accuracy(pairs, claim) == pytest.approx(float(theirs))
    alignment = Alignment({"WX": claim}, name="pyvene")
    results = score_variables(testbed, alignment, n=300)
    assert results["cv.iia"].value > 0.97
    assert results["cv.subspace_angle"].value < 10
    assert results["cv.iia"].floor < 0.5
