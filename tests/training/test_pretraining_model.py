import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForPreTraining

from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.errors import UserError
from hf_scratch.training.arguments import ModelArguments
from hf_scratch.training.pretraining_model import MaskedPositions, build_pretraining_model
from tests.conftest import make_reviews

SIZES = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 13,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece([text for text, _ in make_reviews(97)], vocab_size=151, max_length=37)


@pytest.mark.parametrize(
    ("model_type", "auto"),
    [
        *(("scratch", auto) for auto in (AutoModelForMaskedLM, AutoModelForPreTraining)),
        *(("bert", auto) for auto in (AutoModelForMaskedLM, AutoModelForPreTraining)),
        ("roberta", AutoModelForMaskedLM),
    ],
)
def test_masked_positions_alone_give_the_loss_and_gradients_of_all(model_type, auto):
    torch.manual_seed(0)
    model = auto.from_config(AutoConfig.for_model(model_type, **SIZES)).double()
    ids = torch.randint(5, 31, (5, 11))
    labels = torch.full_like(ids, -100)
    chosen = torch.rand(ids.shape) < 0.3
    labels[chosen] = ids[chosen]
    extra = {"next_sentence_label": torch.tensor([0, 1, 1, 0, 1])} if auto is AutoModelForPreTraining else {}
    full = model(input_ids=ids, labels=labels, **extra)
    full.loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()

    masked = MaskedPositions(model)
    with masked.only(chosen.flatten().nonzero()):
        spared = model(input_ids=ids, labels=labels[chosen], **extra)
    spared.loss.backward()
    name = "logits" if "logits" in spared else "prediction_logits"
    assert spared[name].shape == (chosen.sum(), 31)
    torch.testing.assert_close(spared[name], full[name][chosen])
    torch.testing.assert_close(spared.loss, full.loss)
    for key, p in model.named_parameters():
        torch.testing.assert_close(p.grad, gradients[key])
    model.zero_grad()
    with masked.judged(chosen.flatten().nonzero(), labels[chosen], torch.nn.functional.cross_entropy) as losses:
        outputs = model(input_ids=ids)
    assert outputs[name].shape == (0, 31) and outputs.loss is None
    if extra:
        losses.append(torch.nn.functional.cross_entropy(outputs.seq_relationship_logits, extra["next_sentence_label"]))
    sum(losses).backward()
    close = {"check_dtype": False, "rtol": 1e-5, "atol": 1e-7}  # the scratch encoder's own loss is in float32
    torch.testing.assert_close(sum(losses), full.loss, **close)
    for key, p in model.named_parameters():
        torch.testing.assert_close(p.grad, gradients[key], **close)
    assert torch.equal(model(input_ids=ids)[name], full[name])  # outside, the published forward


@pytest.mark.parametrize("model_type", ["scratch", "bert"])
@pytest.mark.parametrize("next_sentence", [False, True])
def test_a_new_model_has_the_heads_of_its_objective_and_the_tokenizers_vocabulary(tokenizer, model_type, next_sentence):
    config = AutoConfig.for_model(model_type, **SIZES)
    model = build_pretraining_model(ModelArguments(model_type=model_type), config, tokenizer, next_sentence)
    assert type(model).__name__.endswith("ForPreTraining" if next_sentence else "ForMaskedLM")
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_weights_of_other_sizes_are_refused(tiny_bert, tokenizer):
    config = AutoConfig.from_pretrained(tiny_bert, hidden_size=24)
    with pytest.raises(
        UserError, match=r"other sizes in the checkpoint .*151 x 12 there, 151 x 24 here\), and would be random"
    ):
        build_pretraining_model(ModelArguments(model_name_or_path=tiny_bert), config, tokenizer, True)


def test_weights_to_go_on_from_are_loaded_into_the_encoder(tiny_bert, tokenizer):
    args = ModelArguments(model_name_or_path=tiny_bert)
    model = build_pretraining_model(args, AutoConfig.from_pretrained(tiny_bert), tokenizer, True)
    from transformers import BertModel

    for name, tensor in BertModel.from_pretrained(tiny_bert).state_dict().items():
        assert torch.equal(model.bert.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    ("model_type", "next_sentence", "message"),
    [
        ("roberta", True, "--model_type roberta, but .* both masked tokens and next sentences; try --objective mlm, or"),
        ("gpt2", False, "--model_type gpt2, but .* heads for masked tokens; try --model_type scratch or bert"),
    ],
)
def test_types_without_the_heads_are_refused(tokenizer, model_type, next_sentence, message):
    with pytest.raises(UserError, match=message):
        build_pretraining_model(
            ModelArguments(model_type=model_type), AutoConfig.for_model(model_type), tokenizer, next_sentence
        )


def test_sizes_that_do_not_fit_are_refused(tokenizer):
    config = AutoConfig.for_model("scratch", **SIZES | {"num_attention_heads": 5})
    with pytest.raises(UserError, match=r"no scratch model can be built so: .*; mend --config_overrides"):
        build_pretraining_model(ModelArguments(model_type="scratch"), config, tokenizer, False)
