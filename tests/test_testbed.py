"""The subject shows samples and nothing else; samples are the same however they are asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtruth.errors import InputError
from groundtruth.generators.sparse import sparse
from groundtruth.testbed import BLOCK, ActivationSubject, Recipe, Testbed
from groundtruth.truth import FeatureTruth, Truth

WORLD = sparse(seed=1, n_features=6, d=4, noise=0.1, bias=1.0)
SECRET = (Testbed, Truth, FeatureTruth, Recipe)


def reachable(value: Any) -> Iterator[tuple[str, Any]]:
    """(path, object) of all that `__slots__`, `__dict__` and containers lead to.

    What a function closes over is not walked: Python can hide nothing there.
    """
    seen: set[int] = set()
    pending = [("subject", value)]
    while pending:
        path, current = pending.pop()
        if id(current) in seen or isinstance(current, (str, int, float, type)):
            continue
        seen.add(id(current))
        yield path, current
        names = set(getattr(current, "__dict__", ()))
        for kind in type(current).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            names |= {slots} if isinstance(slots, str) else set(slots)
        pending += [(f"{path}.{n}", getattr(current, n)) for n in names if hasattr(current, n)]
        if isinstance(current, Mapping):
            pending += [(f"{path}[{k!r}]", v) for k, v in current.items()]
        elif isinstance(current, (list, tuple, set, frozenset)):
            pending += [(f"{path}[{i}]", v) for i, v in enumerate(current)]


def leaks(value: Any, testbed: Testbed) -> list[str]:
    """Paths by which an attribute of `value` leads to the truth, its arrays or the root."""
    truth = testbed.truth.features
    arrays = {id(truth.directions), id(truth.firing_probability), id(truth.bias)}
    return [
        path
        for path, found in reachable(value)
        if isinstance(found, SECRET)
        or id(found) in arrays
        or (isinstance(found, bytes) and found == testbed.root)
    ]


def test_no_attribute_of_the_subject_leads_to_the_truth():
    assert leaks(WORLD.subject, WORLD) == []
    # All public names: two numbers of ways to draw, and a width.
    assert {n for n in dir(WORLD.subject) if not n.startswith("_")} == {"batches", "d", "sample"}


class _Leaky(ActivationSubject):
    """A subject that keeps its world deep in an attribute."""

    def __init__(self, testbed: Testbed) -> None:
        super().__init__(testbed.truth.features.d, lambda seed, block: np.zeros((1, 1)))
        self.notes = {"made": [("by", testbed)]}


class _Slotted(ActivationSubject):
    """A subject that keeps the directions in a slot."""

    __slots__ = ("hint",)

    def __init__(self, testbed: Testbed) -> None:
        super().__init__(testbed.truth.features.d, lambda seed, block: np.zeros((1, 1)))
        self.hint = testbed.truth.features.directions


@pytest.mark.parametrize(
    ("kind", "path"), [(_Leaky, "subject.notes['made'][0][1]"), (_Slotted, "subject.hint")]
)
def test_the_walk_finds_a_subject_that_leaks(kind, path):
    assert path in leaks(kind(WORLD), WORLD)


def test_a_subject_takes_no_new_attributes():
    with pytest.raises(AttributeError):
        WORLD.subject.truth = WORLD.truth


def test_samples_do_not_alias_each_other_or_the_world():
    x = WORLD.subject.sample(10)
    x.zero_()
    assert WORLD.subject.sample(10).abs().sum() > 0


@settings(max_examples=30)
@given(st.integers(1, 3000), st.integers(1, 2500), st.integers(0, 3))
def test_batches_of_every_size_join_to_the_same_samples(n, batch_size, seed):
    parts = list(WORLD.subject.batches(batch_size, n=n, seed=seed))
    assert torch.equal(torch.cat(parts), WORLD.subject.sample(n, seed=seed))
    assert all(len(p) == batch_size for p in parts[:-1]) and 0 < len(parts[-1]) <= batch_size


@pytest.mark.parametrize("batch_size", [1, 7, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_the_first_batches_of_an_endless_stream_are_those_of_a_finite_one(batch_size):
    endless = WORLD.subject.batches(batch_size, seed=2)
    finite = WORLD.subject.batches(batch_size, n=3 * batch_size, seed=2)
    for expected in finite:
        assert torch.equal(next(endless), expected)


@settings(max_examples=30)
@given(st.integers(0, 3000), st.integers(1, 2500), st.integers(1, 1500), st.integers(0, 3))
def test_batches_from_a_later_row_are_the_rest_of_the_stream(start, n, batch_size, seed):
    parts = list(WORLD.subject.batches(batch_size, n=n, seed=seed, start=start))
    assert torch.equal(torch.cat(parts), WORLD.subject.sample(start + n, seed=seed)[start:])
    assert all(len(p) == batch_size for p in parts[:-1]) and 0 < len(parts[-1]) <= batch_size


def test_a_loop_that_stopped_anywhere_goes_on_with_the_same_batches():
    undisturbed = list(WORLD.subject.batches(300, n=4000))
    for done in (0, 1, 3, 4, 13):
        rest = WORLD.subject.batches(300, n=4000 - 300 * done, start=300 * done)
        assert all(torch.equal(a, b) for a, b in zip(undisturbed[done:], rest, strict=True))


def test_skipped_blocks_are_not_drawn():
    drawn: list[int] = []

    def draw(seed, block):
        drawn.append(block)
        return np.full((BLOCK, 1), block, dtype=np.float32)

    next(ActivationSubject(1, draw).batches(10, start=10**9))
    assert drawn == [10**9 // BLOCK]


@pytest.mark.parametrize("start", [0, 5, BLOCK])
def test_batches_arrive_on_the_device(start):
    batches = WORLD.subject.batches(3, n=7, device="meta", start=start)
    assert [(b.device.type, len(b)) for b in batches] == [("meta", 3), ("meta", 3), ("meta", 1)]


@pytest.mark.parametrize("batch_size", [7, 100, BLOCK, 1500])
def test_editing_a_batch_does_not_alter_later_ones(batch_size):
    kept = list(WORLD.subject.batches(batch_size, n=4000))
    found = []
    for batch in WORLD.subject.batches(batch_size, n=4000):
        found.append(batch.clone())
        batch.fill_(float("nan"))
    assert all(torch.equal(a, b) for a, b in zip(kept, found, strict=True))


def test_the_edit_check_rejects_a_stream_that_hands_out_views():
    def views(n):
        rows = WORLD.subject.sample(n)
        yield rows[: n // 2 + 1]
        yield rows[n // 2 :]

    stream = views(10)
    next(stream).fill_(float("nan"))
    assert torch.isnan(next(stream)).any()


@given(st.integers(1, 2000), st.integers(1, 2000))
@settings(max_examples=20)
def test_fewer_samples_are_the_first_of_more(few, more):
    few, more = sorted((few, more))
    assert torch.equal(WORLD.subject.sample(few), WORLD.subject.sample(more)[:few])


def test_seeds_are_different_streams():
    first, second = WORLD.subject.sample(50, seed=0), WORLD.subject.sample(50, seed=1)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("n", [1, BLOCK, BLOCK + 5])
def test_the_testbeds_samples_are_the_subjects_with_their_codes(n):
    x, codes = WORLD.sample(n, seed=4)
    assert torch.equal(x, WORLD.subject.sample(n, seed=4))
    truth = WORLD.truth.features
    rest = x.numpy() - codes.toarray() @ truth.directions - truth.bias
    # What is left is noise of deviation .1: six standard errors of its spread.
    assert rest.std() == pytest.approx(0.1, rel=6 / np.sqrt(2 * rest.size))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.sample(0), "n: expected a whole number >= 1, got 0."),
        (lambda s: s.sample(2.0), "n: expected a whole number >= 1, got 2.0."),
        (lambda s: s.sample(True), "n: expected a whole number >= 1, got True."),
        (lambda s: next(s.batches(0)), "batch_size: expected a whole number >= 1, got 0."),
        (lambda s: next(s.batches(3, n=0)), "n: expected a whole number >= 1, got 0."),
        (
            lambda s: next(s.batches(3, start=-1)),
            "start: expected a whole number >= 0, got -1.",
        ),
        (
            lambda s: s.sample(3, seed=-1),
            "seed: expected a non-negative whole number, got -1. Pass for example seed=0.",
        ),
    ],
)
def test_sizes_and_seeds_that_are_none_are_refused(call, message):
    with pytest.raises(InputError) as error:
        call(WORLD.subject)
    assert str(error.value) == message


def test_unknown_streams_are_refused():
    with pytest.raises(InputError) as error:
        WORLD.sample(3, stream="test")
    assert str(error.value) == "stream: expected one of train, select, score, got 'test'."


def test_the_hash_is_that_of_content_not_of_names():
    renamed = replace(WORLD, name="other", source="elsewhere")
    assert renamed.hash == WORLD.hash
    other = replace(WORLD, root=b"0" * 16)
    assert other.hash != WORLD.hash
    assert len(WORLD.hash) == 64
    truth = replace(WORLD.truth.features, noise=0.2)
    assert replace(WORLD, truth=Truth(truth)).hash != WORLD.hash


def test_the_representation_names_the_world_without_its_truth():
    assert repr(WORLD) == f"Testbed('sparse', seed=1, n_features=6, d=4, hash={WORLD.hash[:12]})"
    assert repr(WORLD.subject) == "ActivationSubject(d=4)"
    assert copy.copy(WORLD.subject).d == 4
