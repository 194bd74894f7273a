"""What can be claimed of variables, and what is refused with a way out."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from groundtruth.alignment import Alignment, Subspace
from groundtruth.errors import ExplanationError, UnknownName

SITE = "blocks.0.hook_resid_post"


@pytest.mark.parametrize(
    ("basis", "message"),
    [
        (
            np.array([[1.0, 0, 0], [0.5, 1, 0]]),
            f"basis at {SITE}: expected orthonormal rows, got products off by 0.5. Make them so: "
            "np.linalg.qr(basis.T)[0].T, which spans the same.",
        ),
        (
            2 * np.eye(3)[:1],
            f"basis at {SITE}: expected orthonormal rows, got products off by 3. Make them so: "
            "np.linalg.qr(basis.T)[0].T, which spans the same.",
        ),
        (
            np.eye(3)[:, :2],
            f"basis at {SITE}: expected shape (dim, width), dim <= width, got (3, 2). Is it "
            "transposed? Pass basis.T.",
        ),
        (np.zeros((0, 3)), f"basis at {SITE}: expected shape (dim, width)"),
        (
            np.array([[np.nan, 0.0]]),
            f"basis at {SITE}: expected finite numbers, got 1 NaN or infinite, first at (0, 0).",
        ),
    ],
)
def test_what_spans_no_subspace_as_it_stands_is_refused(basis, message):
    with pytest.raises(ExplanationError, match=re.escape(message)):
        Subspace(SITE, basis)


def test_the_fix_that_the_message_names_is_one():
    skew = np.random.default_rng(0).normal(size=(3, 5))
    with pytest.raises(ExplanationError, match="orthonormal"):
        Subspace(SITE, skew)
    rows = Subspace(SITE, np.linalg.qr(skew.T)[0].T).basis
    assert np.allclose(skew @ rows.T @ rows, skew)


def test_rows_of_a_float32_decomposition_are_taken():
    drawn = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))
    assert Subspace(SITE, torch.linalg.qr(drawn).Q.T).dim == 12


def test_what_is_no_alignment_is_refused():
    with pytest.raises(ExplanationError, match="expected a subspace for a variable, got none"):
        Alignment({})
    with pytest.raises(ExplanationError, match=r"WX: expected a Subspace, got ndarray\. Pass Subs"):
        Alignment({"WX": np.eye(3)})  # pyright: ignore[reportArgumentType]
    for positions in ((-1,), (), (1.5,)):
        with pytest.raises(ExplanationError, match=r"positions at .*: expected whole numbers from"):
            Subspace(SITE, np.eye(3), positions=positions)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ExplanationError, match=r"decode at .*: expected a function or None"):
        Subspace(SITE, np.eye(3), decode=3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownName, match="No variable of this alignment is called 'XW'"):
        _ = Alignment({"WX": Subspace(SITE, np.eye(3))})["XW"]


def test_a_claim_cannot_be_changed_by_the_array_it_was_made_from():
    rows = np.eye(3)[:1]
    claim = Subspace(SITE, rows)
    rows[0, 0] = 7
    assert claim.basis[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        claim.basis[0, 0] = 7
