import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

from hf_scratch.sharing import predict_speed


def test_every_way_is_timed_and_must_agree(tiny_bert, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    model = BertForSequenceClassification.from_pretrained(tiny_bert).eval()
    texts = predict_speed.mixed_texts(17)
    assert len(texts) == 17 and texts == predict_speed.mixed_texts(17)
    rows = predict_speed.compare_speed(model, tokenizer, texts, repeats=1)
    assert [name for name, _ in rows] == ["pipeline, batch_size=1", "pipeline, batch_size=32", "hf-scratch predict"]
    assert all(speed > 0 for _, speed in rows)
    monkeypatch.setattr("hf_scratch.sharing.predict.to_probabilities", lambda kind, logits: torch.rand(logits.shape).numpy())
    with pytest.raises(RuntimeError, match="pipeline and predict disagree"):
        predict_speed.compare_speed(model, tokenizer, texts, repeats=1)


def test_the_lengths_are_spread_as_those_of_reviews():
    lengths = sorted(len(text.split()) for text in predict_speed.mixed_texts(2000))
    assert 80 < lengths[1000] < 100 and 300 < lengths[1900] < 420
