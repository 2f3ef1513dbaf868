"""Tools that others wrote take the scratch checkpoint as it is."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hf_scratch import ScratchConfig, ScratchForSequenceClassification, ScratchModel

# Theirs, about the names that transformers is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning", "ignore:.*deprecated:DeprecationWarning")
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 17}


@pytest.fixture
def tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


def test_sentence_transformers_takes_the_mean_of_our_real_tokens(tokenizer, tmp_path):
    tool = pytest.importorskip("sentence_transformers")
    torch.manual_seed(0)
    model = ScratchModel(ScratchConfig(vocab_size=len(tokenizer), **SIZES)).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = ["a lovely film", "an awful film of some length"]
    theirs = tool.SentenceTransformer(str(tmp_path), device="cpu").encode(texts)
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    weights = inputs["attention_mask"].unsqueeze(-1)
    ours = (hidden * weights).sum(1) / weights.sum(1)
    assert np.allclose(theirs, ours.numpy(), atol=1e-6)


def test_peft_trains_few_weights_and_merges_them(tokenizer, tmp_path):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    model = ScratchForSequenceClassification(ScratchConfig(vocab_size=len(tokenizer), **SIZES))
    frozen = model.scratch.layers[0].attention.query.weight.detach().clone()
    lora = peft.LoraConfig(task_type="SEQ_CLS", r=3, target_modules=["query", "value"], modules_to_save=["classifier"])
    tuned = peft.get_peft_model(model, lora)
    trained = [name for name, weight in tuned.named_parameters() if weight.requires_grad]
    assert len(trained) == 2 * 2 * 2 + 2 and all("lora_" in name or "classifier" in name for name in trained)
    inputs = tokenizer(["a lovely film", "an awful film"], padding=True, return_tensors="pt")
    optimizer = torch.optim.AdamW([weight for weight in tuned.parameters() if weight.requires_grad], lr=0.1)
    losses = []
    for _ in range(61):
        optimizer.zero_grad()
        losses.append(tuned(**inputs, labels=torch.tensor([1, 0])).loss)
        losses[-1].backward()
        optimizer.step()
    assert min(losses[-5:]) < 0.8 * losses[0]
    tuned.eval()
    with torch.no_grad():
        logits = tuned(**inputs).logits
        merged = tuned.merge_and_unload()
        assert torch.allclose(merged(**inputs).logits, logits, atol=1e-5)
    assert not torch.equal(merged.scratch.layers[0].attention.query.weight, frozen)
    merged.save_pretrained(tmp_path)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.allclose(again(**inputs).logits, logits, atol=1e-5)
