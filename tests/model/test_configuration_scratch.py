import pytest
from transformers import AutoConfig, BertConfig
from transformers.models.auto import modeling_auto

import hf_scratch
from hf_scratch import ScratchConfig
from hf_scratch.model.configuration_scratch import AUTO_MAP


def test_the_defaults_are_the_size_of_bert_base_cased():
    ours, bert = ScratchConfig(), BertConfig(vocab_size=28996)
    for name in bert.to_dict().keys() & ours.to_dict().keys() - {"model_type", "transformers_version", "use_cache"}:
        assert getattr(ours, name) == getattr(bert, name), name
    assert (ours.vocab_size, ours.num_hidden_layers, ours.hidden_size) == (28996, 12, 768)
    assert (ours.norm_first, ours.position_embedding_type, ours.classifier_pooling) == (True, "sinusoidal", "cls")


def test_a_config_survives_a_folder(tmp_path):
    saved = ScratchConfig(
        hidden_size=19,
        num_attention_heads=3,
        head_size=7,
        norm_first=False,
        position_embedding_type="rope",
        classifier_pooling="mean",
        classifier_dropout=0.3,
        pad_token_id=None,
        tie_word_embeddings=False,
        id2label={0: "bad", 1: "fair", 2: "good"},
        label2id={"bad": 0, "fair": 1, "good": 2},
    )
    saved.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is ScratchConfig
    assert loaded.to_dict() | {"_name_or_path": ""} == saved.to_dict() | {"_name_or_path": ""}
    assert loaded.label2id == {"bad": 0, "fair": 1, "good": 2}
    assert loaded.num_labels == 3


def test_fields_are_checked_for_their_type():
    with pytest.raises(Exception, match="hidden_size"):
        ScratchConfig(hidden_size="wide")


def test_a_head_size_is_free_or_follows():
    assert ScratchConfig(hidden_size=19, num_attention_heads=2, head_size=7).attention_head_size == 7
    assert ScratchConfig(hidden_size=21, num_attention_heads=3).attention_head_size == 7


@pytest.mark.parametrize(("heads", "remedy"), [(12, "try 96 or 108"), (101, "try 101 or 202")])
def test_odd_sizes_pass_through_until_they_are_used(heads, remedy):
    odd = ScratchConfig(hidden_size=100, num_attention_heads=heads)
    with pytest.raises(ValueError, match=rf"hidden_size \(100\) .* num_attention_heads \({heads}\); {remedy}"):
        _ = odd.attention_head_size


def test_the_map_names_every_head_that_bert_has():
    heads = {auto: path.rpartition(".")[2] for auto, path in AUTO_MAP.items()}
    assert heads.pop("AutoConfig") == "ScratchConfig"
    for auto, head in heads.items():
        name = "MODEL" + "".join(f"_{c}" if c.isupper() else c for c in auto.removeprefix("AutoModel")).upper()
        table = {"MODEL": "MODEL_MAPPING_NAMES", "MODEL_FOR_MASKED_L_M": "MODEL_FOR_MASKED_LM_MAPPING_NAMES"}
        table["MODEL_FOR_PRE_TRAINING"] = "MODEL_FOR_PRETRAINING_MAPPING_NAMES"
        names = getattr(modeling_auto, table.get(name, f"{name}_MAPPING_NAMES"))
        assert head == names["bert"].replace("Bert", "Scratch")
        assert getattr(hf_scratch, head)._auto_class == auto


def test_the_map_keeps_what_others_put_there():
    config = ScratchConfig(auto_map={"AutoTokenizer": ["tokens.Tokens", None], "AutoModel": "elsewhere.Model"})
    assert config.auto_map == {"AutoTokenizer": ["tokens.Tokens", None]} | AUTO_MAP
