"""The training loop: schedule, errors, determinism, units, frozen weights."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from groundtruth.errors import Diverged, InputError, StoreError
from groundtruth.generators.presets import BUILDERS
from groundtruth.generators.sparse import sparse
from groundtruth.methods.batchtopk import batchtopk
from groundtruth.methods.dead import DeadLatents
from groundtruth.methods.sae import SAE, unit_rows
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
    with pytest.raises(InputError, match=r"^frozen: expected names among W_dec, W_enc, b_enc"):
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


def test_a_nan_loss_is_recorded_as_diverged_with_its_step(subject):
    class Breaks(TopK):
        calls = 0

        def loss(self, sae, x):
            self.calls += 1
            return super().loss(sae, x) * (float("nan") if self.calls == 4 else 1.0)

    sae = model()
    sae.sparsity = Breaks(3, DeadLatents(64))
    with pytest.raises(
        Diverged, match=r"^Training diverged: the loss became nan at step 3 of 79"
    ) as e:
        train(sae, subject, SHORT, seed=0)
    assert e.value.step == 3


def test_a_learning_rate_far_too_large_diverges_before_it_overflows(subject):
    with pytest.raises(Diverged, match=r"^Training diverged: .* Lower the learning rate: lr=3.3e"):
        train(model(), subject, Training(n_samples=50_000, lr=1000.0, warmup=0.0), seed=0)


def test_nan_in_a_batch_names_the_row_and_not_the_learning_rate():
    def draw(seed, block):
        x = np.random.default_rng([seed, block]).standard_normal((1024, 4)).astype(np.float32)
        if block == 5:
            x[7, 2] = np.nan
        return x

    with pytest.raises(
        InputError, match=r"NaN or infinity in 1 rows of the batch at step 20, first"
    ):
        train(model(4, 8, 1), ActivationSubject(4, draw), Training(10_000, 256), seed=0)
    bad = ActivationSubject(4, lambda seed, block: np.full((1024, 4), np.nan, np.float32))
    with pytest.raises(InputError, match=r"^subject: expected finite activations, got NaN"):
        train(model(4, 8, 1), bad, Training(10_000, 256), seed=0)


def test_constant_activations_are_refused():
    with pytest.raises(InputError, match="expected activations that vary"):
        train(model(4, 8, 1), constant_subject(2.0), Training(n_samples=100), seed=0)


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


def weights(sae: SAE) -> bytes:
    return b"".join(p.detach().numpy().tobytes() for p in sae.parameters())


@pytest.mark.parametrize("stop", [1, 30, 78])
def test_an_interrupted_training_ends_with_the_bytes_of_an_undisturbed_one(subject, tmp_path, stop):
    path = tmp_path / "run.pt"

    def interrupt(step, total, loss):
        if step == stop:
            raise KeyboardInterrupt

    whole, cut = model(), model()
    train(whole, subject, SHORT, seed=0)
    with pytest.raises(KeyboardInterrupt):
        train(cut, subject, SHORT, seed=0, progress=interrupt, checkpoint=path)
    assert path.exists()
    again = model()
    train(again, subject, SHORT, seed=0, checkpoint=path)
    assert weights(again) == weights(whole)
    assert not path.exists()
    # The check can fail: without what Adam remembers, the same stream ends elsewhere.
    other = model()
    train(other, subject, Training(SHORT.n_samples, SHORT.batch_size, lr=1e-2), seed=0)
    assert weights(other) != weights(whole)


def test_a_checkpoint_of_another_run_is_refused_and_one_that_is_damaged_is_named(subject, tmp_path):
    path = tmp_path / "run.pt"

    def interrupt(step, total, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model(), subject, SHORT, seed=0, progress=interrupt, checkpoint=path)
    with pytest.raises(
        InputError, match=r"^checkpoint run.pt: expected a run with seed=1, got one"
    ):
        train(model(), subject, SHORT, seed=1, checkpoint=path)
    with pytest.raises(InputError, match=r"^checkpoint run.pt: expected the weights of this model"):
        train(model(k=65), subject, SHORT, seed=0, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"^run.pt: expected a checkpoint .* Delete it"):
        train(model(), subject, SHORT, seed=0, checkpoint=path)


def test_watch_sees_the_model_in_units_of_the_activations_and_does_not_disturb_it(subject):
    seen: list[tuple[int, SAE]] = []
    watched, alone = model(), model()
    train(alone, subject, SHORT, seed=0)
    train(
        watched,
        subject,
        SHORT,
        seed=0,
        watch=lambda n, sae: seen.append((n, sae)),
        watch_at=(1000, 10_000, 20_000),
    )
    assert [n for n, _ in seen] == [1024, 10_240, 20_000]
    assert weights(watched) == weights(alone) == weights(seen[-1][1])
    x = subject.sample(500, seed=9)
    errors = [(x - sae.decode(sae.encode(x))).square().sum().item() for _, sae in seen]
    assert errors[0] > errors[1] > errors[2]


def test_clipping_shortens_the_step_and_none_does_not(subject):
    # Adam does not see the size of a gradient, but its first steps see the ratio between them.
    free, tight = model(), model()
    train(free, subject, SHORT, seed=0)
    train(tight, subject, Training(SHORT.n_samples, SHORT.batch_size, clip=1e-3), seed=0)
    assert weights(free) != weights(tight)
    with pytest.raises(InputError, match=r"^clip: expected a finite number > 0"):
        Training(clip=0.0)


def test_a_point_that_was_interrupted_is_watched_again_and_none_is_lost(subject, tmp_path):
    path, seen = tmp_path / "run.pt", []

    def watch(n, sae):
        if n == 10_240 and "interrupted" not in seen:
            seen.append("interrupted")
            raise KeyboardInterrupt
        seen.append(n)

    for _ in range(2):
        with contextlib.suppress(KeyboardInterrupt):
            train(
                model(),
                subject,
                SHORT,
                seed=0,
                watch=watch,
                watch_at=(5000, 10_000, 20_000),
                checkpoint=path,
            )
    assert seen == [5120, "interrupted", 10_240, 20_000]


def test_numpy_numbers_can_be_resumed_and_another_decoder_is_refused(subject, tmp_path):
    path = tmp_path / "run.pt"
    rows = np.eye(32)

    def interrupt(step, total, loss):
        raise KeyboardInterrupt

    common = {"seed": np.int64(0), "l0": np.float64(3), "n_samples": 20_000, "checkpoint": path}
    with pytest.raises(KeyboardInterrupt):
        batchtopk(subject, **common, decoder=rows, progress=interrupt)
    with pytest.raises(InputError, match=r"^checkpoint run.pt: expected a run with start="):
        batchtopk(subject, **common, decoder=-rows)
    claim = batchtopk(subject, **common, decoder=rows)
    assert np.allclose(claim.decoder, rows)


def test_weights_that_became_nan_are_seen_though_the_loss_is_finite(subject):
    class Poisoned(TopK):
        def after_step(self, sae, optimizer):
            sae.W_enc.data.fill_(float("nan"))

    sae = model()
    sae.sparsity = Poisoned(3, None)
    with pytest.raises(Diverged, match=r"^Training diverged: W_enc held NaN"):
        train(sae, subject, SHORT, seed=0)
