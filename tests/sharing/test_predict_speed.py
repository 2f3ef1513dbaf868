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


def test_the_lengths_are_spread_as_those_of_reviews_and_sentences():
    lengths = sorted(len(text.split()) for text in predict_speed.mixed_texts(2000))
    assert 80 < lengths[1000] < 100 and 300 < lengths[1900] < 420
    lengths = sorted(len(text.split()) for text in predict_speed.mixed_texts(2000, "sentences"))
    assert 16 < lengths[1000] < 20 and 40 < lengths[1900] < 52
    both = [len(text.split()) for text in predict_speed.mixed_texts(2000, "both")]
    assert 30 < sorted(both)[1000] < 55 and len(set(both[::2])) > 100 and min(both[::2]) < 10 > min(both[1::2])


def test_no_way_passes_the_machines_own_products(tiny_bert, monkeypatch):
    class Timed:
        """A machine that needs half a second for 2,048 tokens times the widest matrix."""

        times = (0.7, 0.5, 0.6)

        def __init__(self, *args, **kwargs):
            pass

        def blocked_autorange(self, min_run_time):
            return self

    monkeypatch.setattr(predict_speed, "Timer", Timed)
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    texts = predict_speed.mixed_texts(17, "sentences")
    tokens = sum(min(len(ids), 512) for ids in tokenizer(texts)["input_ids"])
    seconds = 0.5 / (2048 * 384 * 1536) * tokens * 6 * (4 * 384**2 + 2 * 384 * 1536)
    assert predict_speed.most_rows(predict_speed.random_bert(tokenizer), tokenizer, texts) == pytest.approx(17 / seconds)


def test_the_precisions_are_those_of_the_device(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert predict_speed.precisions("cpu") == [torch.float32, torch.bfloat16] == predict_speed.precisions("cuda")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True}, raising=False)
    assert predict_speed.precisions("cpu") == [torch.float32]
