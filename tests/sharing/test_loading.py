import json
from pathlib import Path

import pytest
from transformers import BertForSequenceClassification, BertModel

from hf_scratch import ScratchConfig, ScratchForPreTraining
from hf_scratch.errors import UserError
from hf_scratch.sharing.loading import auto_classes, load, load_classifier


def test_a_checkpoint_opens_as_the_class_that_saved_it(tiny_bert, tmp_path):
    model, tokenizer = load(tiny_bert)
    assert type(model) is BertModel and not model.training and tokenizer("a film")["input_ids"]
    config = ScratchConfig(vocab_size=13, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17)
    ScratchForPreTraining(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert type(load(str(tmp_path))[0]) is ScratchForPreTraining


def test_the_auto_classes_are_those_that_are_declared_or_mapped():
    scratch, bert = auto_classes(ScratchConfig()), auto_classes(BertModel.config_class())
    assert scratch == bert and "AutoModel" in bert and "AutoModelForMultipleChoice" in bert and len(bert) == 8


def test_a_classifier_is_asked_for_where_one_is_needed(tiny_bert, tmp_path):
    with pytest.raises(UserError, match="holds BertModel, but a classifier is needed; fine-tune it first"):
        load_classifier(tiny_bert)
    BertForSequenceClassification.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    load(tiny_bert)[1].save_pretrained(tmp_path)
    assert type(load_classifier(str(tmp_path))[0]) is BertForSequenceClassification


def test_a_class_that_nobody_gives_is_refused(tiny_bert, tmp_path):
    config = json.loads(Path(tiny_bert, "config.json").read_text()) | {"architectures": ["BertForEverything"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="was saved by BertForEverything, but its configuration gives BertModel, "):
        load(str(tmp_path))


def test_a_tokenizer_that_transformers_made_up_is_refused(tiny_bert, tmp_path):
    BertForSequenceClassification.from_pretrained(tiny_bert).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"knows no words, .*\(tokenizer.json, .*; put the files .* beside them"):
        load(str(tmp_path))
