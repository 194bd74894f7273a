"""The folder of a compiled model, as the Hugging Face libraries read it."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
import safetensors
from transformers import PreTrainedConfig

from groundtruth.compiled_models.compiled_files import save_compiled
from groundtruth.compiled_models.presets import CompiledPreset

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model")
    save_compiled(CompiledPreset("hist").model(max_length=4), path)
    return path


def test_the_card_is_one(folder):
    card = huggingface_hub.ModelCard.load(folder / "README.md")
    assert card.data.library_name == "groundtruth"
    assert card.data.license == "apache-2.0"
    assert "interpretability" in card.data.tags
    assert card.text.lstrip().startswith("# A transformer that computes hist")


def test_the_configuration_is_one(folder):
    values, unused = PreTrainedConfig.get_config_dict(str(folder))
    assert not unused
    read = PreTrainedConfig.from_dict(values)
    assert read.architectures == ["GroundtruthTransformer"]
    assert read.id2label == {k: str(k) for k in range(5)}  # no more than four tokens are alike
    assert (read.vocab_size, read.bos_token_id) == (values["vocab_size"], values["bos_token_id"])


def test_the_tensors_are_read_by_name(folder):
    with safetensors.safe_open(folder / "model.safetensors", "pt") as tensors:
        assert tensors.get_tensor("W_E").shape[0] == len(
            json.loads((folder / "vocab.json").read_text())
        )
