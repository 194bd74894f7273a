"""The training loop: schedule, errors, determinism, units, frozen weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundtruth.errors import InputError, MethodError
from groundtruth.generators.presets import BUILDERS
from groundtruth.generators.sparse import sparse
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.sae import SAE, unit_rows
from groundtruth.methods.support import reconstruct, support_of
from groundtruth.methods.topk import TopK
from groundtruth.methods.trainer import Training, train
from groundtruth.testbed import ActivationSubject

# About 2.6 features at a time, so that short training recovers a good share.
SPARSER = {"law": "log-uniform", "low": 0.004, "high": 0.06}
SHORT = Training(n_samples=20_000, batch_size=256)


def model(d: int = 32, k: int = 64, l0: int = 3) -> SAE:
    rows = unit_rows(torch.randn(k, d, generator=torch.Generator().manual_seed(1)))
    return SAE(rows, TopK(l0, DeadLatents(k)))


def constant_subject(value: float) -> ActivationSubject:
    return ActivationSubject(4, lambda seed, block: np.full((1024, 4), value, np.float32))


@pytest.fixture(scope="module")
def subject():
    return BUILDERS["sparse/small"](seed=0, firing=SPARSER).subject


@pytest.mark.parametrize(
    ("field", "value"),
    [("n_samples", 0), ("batch_size", 2.5), ("lr", 0.0), ("lr", float("nan")), ("warmup", 1.5)],
)
def test_training_refuses_a_field_out_of_range_by_name(field, value):
    with pytest.raises(InputError, match=f"^{field}: expected"):
        Training(**{field: value})


def test_warmup_and_decay_may_not_overlap():
    with pytest.raises(InputError, match=r"^warmup \+ decay: expected at most 1"):
        Training(warmup=0.6, decay=0.6)


def test_the_rate_rises_stays_and_falls():
    training = Training(n_samples=1000, batch_size=10, lr=1.0, warmup=0.1, decay=0.5)
    rates = [training.rate(step) for step in range(training.n_steps)]
    assert np.all(np.diff(rates[:10]) > 0)
    assert rates[10:50] == [1.0] * 40
    assert np.all(np.diff(rates[51:]) < 0)
    assert rates[-1] == pytest.approx(1 / 50)


def test_training_lowers_the_loss_and_reports_progress(subject):
    seen: list[tuple[int, int, float]] = []
    last = train(model(), subject, SHORT, seed=0, progress=lambda *call: seen.append(call))
    assert last < seen[0][2] / 2
    assert seen[-1] == (SHORT.n_steps - 1, SHORT.n_steps, last)
    assert {total for _, total, _ in seen} == {SHORT.n_steps}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(subject):
    def weights(seed: int) -> bytes:
        sae = model()
        train(sae, subject, SHORT, seed=seed)
        return b"".join(p.detach().numpy().tobytes() for p in sae.parameters())

    assert weights(0) == weights(0)
    assert weights(0) != weights(1)


def test_global_random_state_and_thread_count_are_left_alone(subject):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    train(model(), subject, SHORT, seed=0)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == torch.get_num_threads()


def test_decoder_rows_end_with_length_one(subject):
    sae = model()
    start = sae.W_dec.detach().clone()
    train(sae, subject, SHORT, seed=0)
    lengths = torch.linalg.vector_norm(sae.W_dec.detach(), dim=1)
    assert torch.allclose(lengths, torch.ones(64), atol=1e-6)
    assert not torch.allclose(start, sae.W_dec)


@pytest.mark.parametrize("name", ["W_dec", "W_enc", "b_enc"])
def test_a_frozen_parameter_keeps_its_bytes_and_others_move(subject, name):
    sae = model()
    start = {n: p.detach().clone() for n, p in sae.named_parameters()}
    # b_enc and b_dec change units at the end, so a frozen b_enc of zeros stays zero.
    train(sae, subject, Training(n_samples=5000, frozen=(name,)), seed=0)
    end = dict(sae.named_parameters())
    assert torch.equal(start[name], end[name])
    assert all(not torch.equal(start[n], end[n]) for n in start if n != name)


def test_an_unknown_frozen_name_is_refused(subject):
    with pytest.raises(InputError, match=r"^frozen: expected names among W_enc, b_enc, W_dec"):
        train(model(), subject, Training(n_samples=100, frozen=("W_out",)), seed=0)


def test_units_are_folded_back_so_scale_only_scales_the_codes():
    law = {"n_features": 32, "d": 16, "bias": 1.0}
    small, large = (sparse(seed=0, scale=s, **law).subject for s in (1.0, 1024.0))
    codes = []
    for subject, size in ((small, 1.0), (large, 1024.0)):
        sae = model(16, 32, 2)
        train(sae, subject, SHORT, seed=0)
        x = subject.sample(500, seed=9)
        codes.append(sae.encode(x) / size)
        assert (x - sae.decode(codes[-1] * size)).square().sum() < 0.5 * x.square().sum()
    # A power of two scales float32 exactly up to one rounding per division of the batch.
    assert torch.allclose(codes[0], codes[1], atol=1e-3)


def test_a_nan_loss_names_the_step(subject):
    class Breaks(TopK):
        calls = 0

        def loss(self, sae, x):
            self.calls += 1
            return super().loss(sae, x) * (float("nan") if self.calls == 4 else 1.0)

    sae = model()
    sae.sparsity = Breaks(3, DeadLatents(64))
    with pytest.raises(MethodError, match=r"^The loss became nan at step 3 of 79. Lower the lea"):
        train(sae, subject, SHORT, seed=0)


def test_constant_activations_are_refused():
    with pytest.raises(InputError, match="expected activations that vary"):
        train(model(4, 8, 1), constant_subject(2.0), Training(n_samples=100), seed=0)


def test_sparse_reconstruction_has_the_values_and_slopes_of_the_dense_one():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 5, generator=generator)
    weights = [torch.randn(s, generator=generator).requires_grad_() for s in ((7, 5), (7,), (7, 5))]
    pre = torch.nn.functional.linear(x, weights[0], weights[1])
    chosen = (pre > 0.5) & (torch.arange(9)[:, None] != 4)  # row 4 is empty
    target = torch.randn(9, 5, generator=generator)

    def slopes(x_hat):
        return torch.autograd.grad((x_hat - target).square().sum(), weights, retain_graph=True)

    support = support_of(chosen.view(-1).nonzero().view(-1), 9, 7)
    sparse_x = reconstruct(x, pre.detach(), support, tuple(weights))
    dense_x = (pre.relu() * chosen) @ weights[2]
    assert torch.allclose(sparse_x, dense_x, atol=1e-5)
    for got, want in zip(slopes(sparse_x), slopes(dense_x)):
        assert torch.allclose(got, want, atol=1e-4)


def test_dead_latents_get_a_slope_only_after_their_patience():
    sae, x = model(), torch.randn(50, 32, generator=torch.Generator().manual_seed(2))
    dead = DeadLatents(64, patience=100)
    for seen, expected in ((100, None), (50, 63)):
        dead.see(torch.tensor([5]), seen)
        loss = dead.loss(x, x, sae)
        if expected is None:
            assert loss is None
    assert loss is not None
    (slope,) = torch.autograd.grad(loss, sae.W_dec)
    moved = slope.abs().sum(1) > 0
    assert not moved[5]
    assert moved.sum() > 30
