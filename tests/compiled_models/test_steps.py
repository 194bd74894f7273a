"""Steps and gates in float32: never further off than their bounds, which are not far above."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundtruth.compiled_models.findings import Problem
from groundtruth.compiled_models.steps import Reading, gate, stairs, step_between


def run(units, held: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """What `units` write, by direction, in float32 and one term after another."""
    written: dict[int, np.ndarray] = {}
    for unit in units:
        pre = np.float32(unit.bias) + np.zeros_like(next(iter(held.values())))
        for direction, weight in unit.reads.items():
            pre = pre + np.float32(weight) * held[direction]
        post = np.maximum(pre, np.float32(0))
        for direction, weight in unit.writes.items():
            written[direction] = written.get(direction, 0) + np.float32(weight) * post
    return written


def shares(n: int) -> list[float]:
    return [1 / (width + 1) for width in range(n, -1, -1)]


@given(
    n=st.integers(1, 60),
    error=st.sampled_from([0.0, 1e-7, 1e-5]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_stairs_tell_shares_apart_within_their_bound(n, error, seed):
    points = shares(n)
    reading = Reading({0: 1.0}, 1.0 + error, 1)
    made = stairs(reading, points, [error] * len(points), range(n + 1), lambda c: {1 + c: 1.0})
    noise = np.random.default_rng(seed).uniform(-error, error, n + 1)
    written = run(made.units, {0: (np.array(points) + noise).astype(np.float32)})
    for code in range(n + 1):
        wanted = np.arange(n + 1) == code
        assert np.abs(written[1 + code] - wanted).max() <= made.errors[1 + code] + 1e-12
        assert made.errors[1 + code] < 1e-2


def test_stairs_have_a_step_only_where_something_changes():
    codes = [0] * 5 + [1] * 4
    target = lambda code: {1: 1.0} if code else {}  # noqa: E731
    made = stairs(Reading({0: 1.0}, 9.0, 1), range(9), [0.1] * 9, codes, target)
    assert len(made.units) == 2


def test_stairs_are_off_where_a_flag_says_so():
    made = stairs(
        Reading({0: 1.0}, 5.0, 1), [-5, -4, -3], [0.01] * 3, range(3), lambda c: {1 + c: 1.0}, [9]
    )
    none = {0: np.zeros(1, np.float32), 9: np.ones(1, np.float32)}
    assert all(not values.any() for values in run(made.units, none).values())


def test_neighbours_within_the_error_are_refused():
    with pytest.raises(Problem, match="lie within its error"):
        stairs(Reading({0: 1.0}, 1, 1), [0.0, 0.1], [0.06] * 2, [0, 1], lambda c: {1: 1.0})


def test_a_threshold_too_fine_for_float32_is_refused():
    with pytest.raises(Problem, match="float32 is too coarse"):
        step_between(Reading({0: 1.0}, 1, 1), 0.5, 0.5 + 1e-8, (0.0, 1.0), up=True)


@pytest.mark.parametrize("error", [0.0, 1e-6, 1e-3, 0.19])
@pytest.mark.parametrize("needed", [1, 2, 3])
def test_a_gate_is_exactly_0_when_off_and_within_its_bound_when_on(needed, error):
    reads = list(range(needed))
    made = gate(reads, needed, error, needed, {9: 1.0})
    for wiggle in (-error, 0.0, error):
        on = {d: np.full(1, 1 + wiggle / needed, np.float32) for d in reads}
        assert abs(run(made.units, on)[9][0] - 1) <= made.error
        off = on | {0: np.full(1, wiggle / needed, np.float32)}
        assert run(made.units, off)[9][0] == 0


def test_a_gate_of_exact_inputs_is_exact_and_one_neuron():
    made = gate([3, 4], 2, 0.0, 2, {9: 1.0})
    assert made.error == 0 and len(made.units) == 1


def test_a_gate_that_could_not_tell_is_refused():
    with pytest.raises(Problem, match="too much to tell on from off"):
        gate([0], 1, 0.3, 1, {9: 1.0})
