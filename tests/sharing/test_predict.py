from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.data.arguments import DataArguments
from hf_scratch.data.long_text import settle_policy, truncate
from hf_scratch.sharing.predict import Predictor, in_windows
from hf_scratch.training.padding_free import PaddingFree
from tests.conftest import make_reviews

TEXTS = [text for text, _ in make_reviews(97)]


@pytest.fixture
def tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


@pytest.fixture
def bert(tiny_bert, tokenizer):
    """A classifier of three classes whose answers differ."""
    torch.manual_seed(1)
    model = BertForSequenceClassification.from_pretrained(tiny_bert, num_labels=3).eval()
    torch.nn.init.normal_(model.classifier.weight, std=3.0)
    with torch.no_grad():
        model.classifier.bias -= model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits.mean(0)
    model.config.id2label = {0: "bad", 1: "fair", 2: "good"}
    return model


def ask(model, tokenizer, texts, size=41, **options):
    return [answer for window in Predictor(model, tokenizer, **options).answers(in_windows(texts, size)) for answer in window]


def test_answers_are_those_of_pipeline_in_the_order_of_the_texts(bert, tokenizer):
    classify = pipeline("text-classification", model=bert, tokenizer=tokenizer)
    theirs = classify(TEXTS, truncation=True, max_length=37, top_k=None)
    ours = ask(bert, tokenizer, TEXTS, max_tokens=60)
    assert [answer.text for answer in ours] == TEXTS
    assert [answer.label for answer in ours] == [shares[0]["label"] for shares in theirs]
    assert len({answer.label for answer in ours}) > 1
    for answer, shares in zip(ours, theirs, strict=True):
        for share in shares:
            assert answer.probabilities[share["label"]] == pytest.approx(share["score"], abs=1e-6)


def test_windows_and_batches_change_nothing(bert, tokenizer):
    whole = ask(bert, tokenizer, TEXTS, size=1000)
    for size, max_tokens in ((1, None), (7, 1), (97, 50)):
        parts = ask(bert, tokenizer, TEXTS, size=size, max_tokens=max_tokens)
        assert [answer.text for answer in parts] == TEXTS
        assert np.allclose(
            [[*a.probabilities.values()] for a in parts], [[*a.probabilities.values()] for a in whole], atol=1e-6
        )


def test_answers_are_the_same_where_padding_is_computed(bert, tokenizer, monkeypatch):
    free = Predictor(bert, tokenizer)
    assert isinstance(free.execution, PaddingFree)
    asked = []
    monkeypatch.setattr(
        "hf_scratch.sharing.predict.why_not_proven", lambda config, device, half: asked.append((config, device, half)) or "so"
    )
    padded = Predictor(bert.double(), tokenizer)
    assert isinstance(padded.execution, nullcontext) and asked == [(bert.config, bert.device, False)]
    Predictor(bert.bfloat16(), tokenizer)
    assert asked[-1][2] is True
    bert.float()
    ours, theirs = ([[*a.probabilities.values()] for a in next(p.answers([TEXTS]))] for p in (free, padded))
    assert np.allclose(ours, theirs, atol=1e-6)


def test_a_text_that_holds_nothing_gets_no_label_and_keeps_its_place(bert, tokenizer):
    answers = ask(bert, tokenizer, ["a film", "", "  \t", "an awful film"])
    assert [answer.label is None for answer in answers] == [False, True, True, False]
    assert answers[1].probabilities == {} and answers[3].label == ask(bert, tokenizer, ["an awful film"])[0].label
    assert [answer.label for answer in ask(bert, tokenizer, ["", ""])] == [None, None]
    assert ask(bert, tokenizer, []) == []


def test_pairs_and_texts_of_any_length_are_answered(bert, tokenizer):
    pairs = [("a film", "its end"), ("a film " * 500, "fine " * 500), ("fine", "")]
    answers = ask(bert, tokenizer, pairs)
    assert [answer.text for answer in answers] == pairs
    with torch.no_grad():
        logits = bert(**tokenizer("a film", "its end", return_tensors="pt")).logits
    assert list(answers[0].probabilities.values()) == pytest.approx(logits.softmax(-1)[0].tolist(), abs=1e-6)


@pytest.mark.parametrize("policy", ["head", "tail", "head_tail"])
def test_long_texts_are_cut_as_in_training(bert, tokenizer, tmp_path, policy):
    """The tokens of `tokenize`, from what is saved; a pipeline can do it but for both ends."""
    settle_policy(DataArguments(long_text=policy), tokenizer)
    tokenizer.model_max_length = 13
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    texts = [f"{one} {two}" for one, two in pairwise(TEXTS)]
    encoded = tokenizer(texts, verbose=False)
    assert sum(truncate(encoded, 13, policy)) > 0
    with torch.inference_mode():
        logits = torch.cat([bert(input_ids=torch.tensor([ids])).logits for ids in encoded["input_ids"]])
    ours = [list(answer.probabilities.values()) for answer in ask(bert, loaded, texts)]
    assert np.allclose(ours, logits.softmax(-1), atol=1e-6)
    theirs = pipeline("text-classification", model=bert, tokenizer=loaded)(texts, truncation=True, top_k=None)
    theirs = [
        [{share["label"]: share["score"] for share in shares}[name] for name in ("bad", "fair", "good")] for shares in theirs
    ]
    assert np.allclose(ours, theirs, atol=1e-6) == (policy != "head_tail")


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression", None])
def test_other_heads_answer_in_their_own_way(problem_type, tokenizer):
    torch.manual_seed(2)
    num_labels = 3 if problem_type == "multi_label_classification" else 1
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 17}
    config = ScratchConfig(vocab_size=len(tokenizer), **sizes, num_labels=num_labels, problem_type=problem_type)
    model = ScratchForSequenceClassification(config).eval()
    torch.nn.init.normal_(model.classifier.weight, std=3.0)
    with torch.no_grad():
        logits = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0]
    (answer,) = ask(model, tokenizer, TEXTS[:1])
    if num_labels == 1:
        assert answer.label == pytest.approx(logits.item(), abs=1e-6) and answer.probabilities == {}
    else:
        assert list(answer.probabilities.values()) == pytest.approx(logits.sigmoid().tolist(), abs=1e-6)
        assert answer.label == [name for name, share in answer.probabilities.items() if share >= 0.5]


def test_no_more_texts_are_read_than_two_windows_ahead(bert, tokenizer):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "a film"

    answers = Predictor(bert, tokenizer).answers(in_windows(endless(), 11))
    for count in range(1, 6):
        assert len(next(answers)) == 11 and read <= 11 * (count + 1)
    answers.close()
