"""SAELens: trained objects and folders as dictionaries, training configs as methods."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from groundtruth.adapters.randomness import torch_seeded
from groundtruth.adapters.torch_module import from_module
from groundtruth.errors import ExplanationError, InputError, reject
from groundtruth.explanation import Dictionary
from groundtruth.testbed import ActivationSubject

WEIGHTS = "sae_weights.safetensors"


def from_saelens(sae: Any, *, name: str | None = None) -> Dictionary:
    """What a SAELens autoencoder claims: `W_dec`, `b_dec`, and `encode` in inference mode.

    A training object is scored as the inference object that SAELens would save: BatchTopK and
    Matryoshka by their threshold instead of by batch, TopK with decoder norms folded in. Scores
    are of the weights as they are now; training on does not change them. Codes of AbsTopK are
    signed.

    Args:
        sae: a `SAE` or `TrainingSAE`.
        name: shown in tables; None is the class name.

    Raises:
        ExplanationError: a transcoder or a temporal autoencoder, whose codes do not explain the
            activations that they are read from; or weights that cannot be scored.
    """
    name = type(sae).__name__ if name is None else name
    architecture = sae.cfg.architecture()
    if "transcoder" in architecture:
        raise ExplanationError(
            f"{name}: expected an autoencoder, got a transcoder: it explains other activations "
            "than it reads. Pass gt.Dictionary(decoder=W, encode=encode) if they are the same."
        )
    if architecture == "temporal":
        raise ExplanationError(
            f"{name}: expected codes of single activations, got an autoencoder of sequences. "
            "Pass gt.Dictionary(decoder=sae.W_dec) to score the decoder alone."
        )
    if isinstance(sae, _library().TrainingSAE):
        sae = _deployed(sae)
    return from_module(sae, signed=architecture == "abstopk", name=name)


def load(folder: str | Path, *, device: str = "cpu") -> Dictionary:
    """What an autoencoder saved by SAELens claims; inference and training saves alike.

    Args:
        folder: holds `cfg.json` and `sae_weights.safetensors`.

    Raises:
        ExplanationError: a file is missing, or see `from_saelens`.
        InputError: sae-lens is not installed.
    """
    folder = Path(folder)
    missing = [file for file in ("cfg.json", WEIGHTS) if not (folder / file).is_file()]
    if missing:
        raise ExplanationError(
            f"{folder}: expected a folder saved by SAELens, but it has no "
            f"{' and no '.join(missing)}. Write one with sae.save_model(folder)."
        )
    config = json.loads((folder / "cfg.json").read_text())
    sae_lens = _library()
    # Every training config has this field, and no inference config has it.
    kind = sae_lens.TrainingSAE if "decoder_init_norm" in config else sae_lens.SAE
    return from_saelens(kind.load_from_disk(folder, device=device))


def train(
    subject: ActivationSubject,
    *,
    config: Any,
    seed: int,
    n_samples: int = 500_000,
    batch_size: int = 512,
    lr: float = 1e-2,
    **trainer: Any,
) -> Dictionary:
    """A method: train an autoencoder of `config` with SAELens's own trainer on fresh samples.

    Args:
        config: a `TrainingSAEConfig`; it stays as it is.
        seed: of starting weights and of the stream of activations.
        n_samples: activations seen in all, each once.
        batch_size: activations per step.
        lr: of Adam, constant unless `trainer` says otherwise. SAELens's own default, 3e-4, is for
            far more samples: in these 500,000 of sparse/small, TopK with k = 5 and 128 latents
            then finds 2 of 128 directions; at 1e-2 it finds 105.
        trainer: further fields of SAELens's `SAETrainerConfig`, such as lr_warm_up_steps.

    Raises:
        InputError: `config.d_in` is not the width of the subject, or a config without training.
    """
    sae_lens = _library()
    if not isinstance(config, sae_lens.TrainingSAEConfig):
        raise InputError(
            f"config: expected a training config, got {type(config).__name__}, which says nothing "
            "about training. Pass for example TopKTrainingSAEConfig(d_in=..., d_sae=..., k=...)."
        )
    if config.d_in != subject.d:
        raise reject(
            "config.d_in",
            config.d_in,
            f"{subject.d}, the width of the subject",
            f"Pass dataclasses.replace(config, d_in={subject.d}).",
        )
    settings = importlib.import_module("sae_lens.config").SAETrainerConfig(
        total_training_samples=n_samples,
        train_batch_size_samples=batch_size,
        lr=lr,
        device=config.device,
        **({"lr_end": lr} | trainer),
    )
    with torch_seeded("saelens", seed):
        sae = sae_lens.TrainingSAE.from_dict(config.to_dict())
        batches = subject.batches(batch_size, seed=seed)
        sae_lens.SAETrainer(settings, sae, batches).fit()
    return from_saelens(sae)


def _deployed(sae: Any) -> Any:
    """The inference object that SAELens would save, without going through a file."""
    weights = {name: value.clone() for name, value in sae.state_dict().items()}
    sae.process_state_dict_for_saving_inference(weights)
    with torch_seeded("saelens", 0):  # it draws starting weights, which are then overwritten
        found = _library().SAE.from_dict(sae.cfg.get_inference_sae_cfg_dict())
    found.process_state_dict_for_loading(weights)
    found.load_state_dict(weights)
    return found


def _library() -> Any:
    try:
        return importlib.import_module("sae_lens")
    except ImportError as error:
        raise InputError(
            f"sae_lens: expected SAELens to be installed, but importing it raised: {error}. "
            'Install it with pip install "groundtruth[saelens]".'
        ) from error
