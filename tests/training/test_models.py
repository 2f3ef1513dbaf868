import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, BertConfig

import hf_scratch  # noqa: F401  registers the scratch model
from hf_scratch.data.labels import Labels
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.errors import UserError
from hf_scratch.training.arguments import ModelArguments
from hf_scratch.training.models import (
    build_model,
    class_order,
    count_positions,
    load_config,
    load_tokenizer,
    overridden,
    read_overrides,
)
from tests.conftest import TINY, make_reviews

LABELS = Labels("classification", ("bad", "good", "so-so"))
TEXTS = [text for text, _ in make_reviews(97)]


@pytest.mark.parametrize("model_type", ["scratch", "bert"])
def test_random_weights_of_any_type_fit_the_tokenizer_and_the_classes(model_type):
    args = ModelArguments(model_type=model_type, config_overrides=TINY)
    tokenizer = train_wordpiece(TEXTS, vocab_size=151, max_length=37)
    model = build_model(args, load_config(args), tokenizer, LABELS)
    assert model.config.model_type == model_type
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.config.id2label == dict(enumerate(LABELS.names))
    assert model(**tokenizer(TEXTS[:5], padding=True, return_tensors="pt")).logits.shape == (5, 3)


def test_loaded_weights_are_those_of_the_checkpoint(tiny_bert):
    args = ModelArguments(model_name_or_path=tiny_bert)
    model = build_model(args, load_config(args), AutoTokenizer.from_pretrained(tiny_bert), LABELS)
    for name, tensor in load_file(f"{tiny_bert}/model.safetensors").items():
        assert torch.equal(model.bert.state_dict()[name], tensor)
    assert model.config.num_labels == 3


def test_a_checkpoint_without_part_of_its_encoder_is_refused(tiny_bert, tmp_path):
    import shutil

    folder = tmp_path / "torn"
    shutil.copytree(tiny_bert, folder)
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor for name, tensor in weights.items() if "layer.1.intermediate" not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    args = ModelArguments(model_name_or_path=str(folder))
    with pytest.raises(UserError, match=r"2 tensors of the encoder are not in the checkpoint \(bert.encoder.layer.1"):
        build_model(args, load_config(args), None, LABELS)


@pytest.mark.parametrize("anew", [True, False])
def test_weights_of_other_sizes_are_refused_even_where_a_new_head_may_be(tiny_bert, anew):
    args = ModelArguments(model_name_or_path=tiny_bert, config_overrides="hidden_size=24", ignore_mismatched_sizes=anew)
    message = (
        r"of the encoder have other sizes in the checkpoint than in the configuration \(bert.embeddings.word_embeddings.weight "
        r"is 151 x 12 there, 151 x 24 here\), and would be random; leave --config_overrides .*--model_type bert"
    )
    with pytest.raises(UserError, match=message):
        build_model(args, load_config(args), None, LABELS)


def test_a_tokenizer_with_more_tokens_than_the_weights_know_is_refused(tiny_bert):
    args = ModelArguments(model_name_or_path=tiny_bert, tokenizer_name="bigger")
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.add_tokens(["one_more"])
    with pytest.raises(UserError, match=r"bigger: the tokenizer has 152 tokens, but the weights of .* know 151; give"):
        build_model(args, load_config(args), tokenizer, LABELS)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "deberta-v2"])
def test_a_folder_without_the_files_of_a_tokenizer_gives_none(model_type, tmp_path):
    AutoConfig.for_model(model_type, vocab_size=151).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"knows no words, .* \(tokenizer.json, or vocab.txt\), but .*--tokenizer_name NAME"):
        load_tokenizer(ModelArguments(model_name_or_path=str(tmp_path)), TEXTS, 23)


def test_a_head_of_another_size_is_replaced_only_when_asked(tiny_bert, tmp_path):
    AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=5).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    args = ModelArguments(model_name_or_path=str(tmp_path))
    with pytest.raises(UserError, match="another number of classes than the data; add --ignore_mismatched_sizes"):
        build_model(args, load_config(args), tokenizer, LABELS)
    args.ignore_mismatched_sizes = True
    assert build_model(args, load_config(args), tokenizer, LABELS).classifier.out_features == 3


def test_the_tokenizer_is_the_named_one_the_models_or_learnt(tiny_bert):
    learnt = load_tokenizer(ModelArguments(model_type="scratch", tokenizer_vocab_size=131), TEXTS, 23)
    assert (len(learnt), learnt.model_max_length) == (131, 23)
    models = load_tokenizer(ModelArguments(model_name_or_path=tiny_bert), TEXTS, 23)
    named = load_tokenizer(ModelArguments(model_type="scratch", tokenizer_name=tiny_bert), TEXTS, 23)
    assert len(models) == len(named) == 151


def test_overrides_have_the_types_of_yaml():
    values = read_overrides("hidden_size=36, hidden_act=relu,hidden_dropout_prob=0.3,layer_norm_eps=1e-5")
    assert values == {"hidden_size": 36, "hidden_act": "relu", "hidden_dropout_prob": 0.3, "layer_norm_eps": 1e-5}
    assert overridden(BertConfig(), values, anew=False).layer_norm_eps == 1e-5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("hiden_size=32", r"the configuration of bert has no 'hiden_size'\. Did you mean hidden_size\?"),
        ("hidden_size", "holds 'hidden_size', but takes key=value pairs; write hidden_size=VALUE"),
        ("hidden_size=wide", "--config_overrides hidden_size=wide: .*; give values of that kind"),
    ],
)
@pytest.mark.parametrize("anew", [True, False])
def test_refused_overrides(overrides, message, anew):
    with pytest.raises(UserError, match=message):
        overridden(BertConfig(), read_overrides(overrides), anew)


SMALL = "hidden_size=12,num_hidden_layers=2,num_attention_heads=3,intermediate_size=29"


@pytest.mark.filterwarnings("ignore:.torch.jit.script")  # of DeBERTa's, in transformers before 5.17
@pytest.mark.parametrize(
    ("model_type", "overrides"),
    [
        ("modernbert", SMALL),  # a type for each layer
        ("deberta-v2", SMALL),  # the size of its pooler
        ("xlnet", "d_model=12,n_layer=2,n_head=3,d_inner=29"),  # sizes that fit only together
        ("t5", "d_model=12,num_layers=1,num_heads=3,d_ff=29,d_kv=4"),  # decoders, which begin with a token
        ("bart", "d_model=12,encoder_layers=1,decoder_layers=1,encoder_attention_heads=3,decoder_attention_heads=3"),
    ],
)
def test_what_follows_from_an_override_follows(model_type, overrides):
    """And special tokens are those of the vocabulary that is learnt, where the last one counts too."""
    args = ModelArguments(model_type=model_type, config_overrides=overrides)
    tokenizer = train_wordpiece(TEXTS, vocab_size=151, max_length=37)
    model = build_model(args, load_config(args), tokenizer, LABELS)
    assert model.config.eos_token_id in (None, tokenizer.sep_token_id)
    assert model(**tokenizer(TEXTS[:5], padding=True, return_tensors="pt")).logits.shape == (5, 3)


@pytest.mark.parametrize(("model_type", "positions"), [("roberta", 36), ("mpnet", 35), ("bert", 37)])
def test_the_longest_input_is_as_long_as_there_are_positions(model_type, positions):
    """RoBERTa begins to count behind its padding token's id, here 0; MPNet behind 1, always."""
    args = ModelArguments(model_type=model_type, config_overrides=f"{SMALL},max_position_embeddings=37")
    model = build_model(args, load_config(args), train_wordpiece(TEXTS, vocab_size=151, max_length=37), LABELS)
    assert count_positions(model) == positions
    assert model(input_ids=torch.full((1, positions), 5)).logits.shape == (1, 3)
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, positions + 1), 5))


def test_sizes_that_do_not_fit_are_refused():
    args = ModelArguments(model_type="scratch", config_overrides="hidden_size=100,num_attention_heads=12")
    tokenizer = train_wordpiece(TEXTS, vocab_size=151, max_length=37)
    with pytest.raises(UserError, match=r"hidden_size \(100\) must be divisible by num_attention_heads \(12\); try 96 or 108"):
        build_model(args, load_config(args), tokenizer, LABELS)


def test_an_unknown_type_is_refused():
    with pytest.raises(UserError, match=r"'scratsch' is not registered\. Did you mean scratch\?"):
        load_config(ModelArguments(model_type="scratsch"))


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder"])
def test_a_missing_folder_is_refused(name):
    with pytest.raises(UserError, match="no such folder; give the folder of a checkpoint"):
        load_config(ModelArguments(model_name_or_path=name))


def test_a_run_whose_name_was_cut_short_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "film-20261123").mkdir(parents=True)
    (tmp_path / "runs" / "film-20261123" / "run.json").write_text("{}")
    for name in ("runs/film", "./runs/film"):
        with pytest.raises(UserError, match=rf"^{name}: no such folder; give one of runs/film-20261123$"):
            load_config(ModelArguments(model_name_or_path=name))
    with pytest.raises(UserError, match=r"^model 'film-2': there is no such folder, the Hub .*; give one of film-20261123$"):
        monkeypatch.chdir("runs")
        load_config(ModelArguments(model_name_or_path="film-2"))


def test_a_name_on_the_hub_without_a_network_is_refused():
    with pytest.raises(UserError, match=r"model 'bert-base-cased': the Hub cannot be reached.*package://"):
        load_config(ModelArguments(model_name_or_path="bert-base-cased"))


def test_a_head_that_knows_the_classes_keeps_its_order_and_one_that_does_not_must_be_trained():
    config = BertConfig(id2label={0: "so-so", 1: "bad", 2: "good"}, label2id={"so-so": 0, "bad": 1, "good": 2})
    own = Labels("classification", ("so-so", "bad", "good"))
    others = Labels("classification", ("a", "b", "c"))
    assert class_order(config, LABELS, trains=False) == class_order(config, LABELS, trains=True) == own
    assert class_order(config, others, trains=True) == others
    assert class_order(BertConfig(num_labels=3), LABELS, trains=False) == LABELS
    with pytest.raises(UserError, match="the model's classes are so-so, bad, good, the data's a, b, c"):
        class_order(config, others, trains=False)


def test_weights_that_are_a_pickle_are_not_read(tiny_bert, tmp_path):
    weights = load_file(f"{tiny_bert}/model.safetensors")
    load_config(ModelArguments(model_name_or_path=tiny_bert)).save_pretrained(tmp_path)
    torch.save(weights, tmp_path / "pytorch_model.bin")
    args = ModelArguments(model_name_or_path=str(tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    with pytest.raises(UserError, match=r"cannot be loaded .*model\.safetensors"):
        build_model(args, load_config(args), tokenizer, Labels("classification", ("bad", "good")))
