import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.sharing.certificate import certify
from tests.conftest import make_reviews

TEXTS = [text for text, _ in make_reviews(97)]


@pytest.fixture
def saved(tmp_path):
    """A folder with a tiny scratch classifier, the model and its tokenizer."""
    tokenizer = train_wordpiece(TEXTS, vocab_size=151, max_length=37)
    torch.manual_seed(0)
    config = ScratchConfig(vocab_size=151, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17)
    model = ScratchForSequenceClassification(config)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path, model, tokenizer


@pytest.mark.slow
def test_what_was_saved_passes_and_a_changed_weight_does_not(saved):
    folder, model, tokenizer = saved
    result = certify(str(folder), model, tokenizer, TEXTS[:5])
    assert result == json.loads((folder / "roundtrip.json").read_text())
    assert result["weights_equal"] and result["tokens_equal"] and result["logits_equal"] and result["texts"] == 5
    with torch.no_grad():
        model.classifier.bias[0] += 1e-6
    with pytest.raises(RuntimeError, match=r"answers differently when it is loaded elsewhere.*classifier.bias"):
        certify(str(folder), model, tokenizer, TEXTS[:5])
    assert (folder / "model.safetensors").exists()


@pytest.mark.slow
def test_a_folder_that_lacks_a_file_of_its_code_cannot_be_loaded_elsewhere(saved):
    folder, model, tokenizer = saved
    (folder / "attention.py").unlink()
    with pytest.raises(RuntimeError, match=r"(?s)cannot be loaded elsewhere.*attention"):
        certify(str(folder), model, tokenizer, TEXTS[:5])


@pytest.mark.slow
def test_a_model_of_transformers_passes_too(tiny_bert, tmp_path):
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(tiny_bert), AutoTokenizer.from_pretrained(tiny_bert)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert certify(str(tmp_path), model, tokenizer, TEXTS[:3])["logits_equal"]
