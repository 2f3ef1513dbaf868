import pytest
import torch
import transformers
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ElectraForSequenceClassification,
    ModernBertConfig,
    RobertaConfig,
    TrainingArguments,
)

from hf_scratch import ScratchConfig
from hf_scratch.errors import UserError
from hf_scratch.training import padding_free
from hf_scratch.training.padding_free import CountTokens, PaddingFree, Shapes, choose_padding_free, pack

SIZES = {
    "vocab_size": 43,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 23,
    "num_labels": 5,
    "pad_token_id": 1,
}
DISTILBERT = {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 17}
MODERNBERT = {"local_attention": 6, "global_attn_every_n_layers": 2, "bos_token_id": 2, "eos_token_id": 3}
CONFIGS = {
    "scratch": (ScratchConfig, {}),
    "scratch-mean": (ScratchConfig, {"classifier_pooling": "mean"}),
    "scratch-learned": (ScratchConfig, {"position_embedding_type": "learned", "norm_first": False}),
    "scratch-rope": (ScratchConfig, {"position_embedding_type": "rope"}),
    "bert": (BertConfig, {}),
    "roberta": (RobertaConfig, {"max_position_embeddings": 31}),
    "distilbert": (DistilBertConfig, DISTILBERT),
    "modernbert": (ModernBertConfig, MODERNBERT | {"classifier_pooling": "cls"}),
    "modernbert-mean": (ModernBertConfig, MODERNBERT | {"classifier_pooling": "mean"}),
}
HEADS = {
    "sequence": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "masked": AutoModelForMaskedLM,
}
LENGTHS = (19, 3, 11, 7, 19)


def build(name, auto_class=AutoModelForSequenceClassification, **fields):
    config_class, own = CONFIGS[name]
    config = config_class(**SIZES | own | fields)
    torch.manual_seed(0)
    return auto_class.from_config(config).eval()


def batch(lengths=LENGTHS, seed=0):
    """Ids of 4 and more, padded on the right by the padding token's id, 1."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 43, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids.where(mask.bool(), 1), "attention_mask": mask}


def labels_for(head, inputs):
    generator = torch.Generator().manual_seed(3)
    if head == "sequence":
        return torch.randint(0, 5, (len(LENGTHS),), generator=generator)
    labels = torch.randint(0, 5, inputs["input_ids"].shape, generator=generator)
    return labels.where(inputs["attention_mask"].bool(), -100)


def outcome(model, inputs):
    """Loss, logits and gradients of one pass."""
    model.zero_grad()
    outputs = model(**inputs)
    outputs.loss.backward()
    return outputs.loss.detach(), outputs.logits.detach(), {n: p.grad for n, p in model.named_parameters()}


def assert_equal_outcomes(padded, free, real=None):
    torch.testing.assert_close(free[0], padded[0], rtol=0, atol=1e-5)
    logits = (padded[1], free[1]) if real is None else (padded[1][real], free[1][real])
    torch.testing.assert_close(logits[1], logits[0], rtol=0, atol=1e-5)
    for name, gradient in padded[2].items():
        if gradient is None:
            assert free[2][name] is None, name
        else:
            torch.testing.assert_close(free[2][name], gradient, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", CONFIGS)
def test_loss_logits_and_gradients_are_those_of_the_padded_batch(name, head):
    model = build(name, HEADS[head])
    inputs = batch()
    inputs["labels"] = labels_for(head, inputs)
    padded = outcome(model, inputs)
    with PaddingFree(model):
        free = outcome(model, inputs | {"num_tokens": sum(LENGTHS)})
    assert_equal_outcomes(padded, free, None if head == "sequence" else inputs["attention_mask"].bool())
    assert_equal_outcomes(padded, outcome(model, inputs))  # outside, the model is as it was


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        ("regression", torch.tensor([0.5, -1.0, 2.0, 0.0, 1.5])),
        ("multi_label_classification", torch.eye(5)),
        ("single_label_classification", torch.arange(5)),
    ],
)
@pytest.mark.parametrize("name", ["scratch", "scratch-mean", "bert", "roberta"])
def test_every_kind_of_label(name, problem_type, labels):
    model = build(name, problem_type=problem_type, num_labels=1 if problem_type == "regression" else 5)
    inputs = batch() | {"labels": labels}
    padded = outcome(model, inputs)
    with PaddingFree(model):
        assert_equal_outcomes(padded, outcome(model, inputs))


@pytest.mark.parametrize("auto_class", [transformers.AutoModelForPreTraining, transformers.AutoModelForNextSentencePrediction])
@pytest.mark.parametrize("name", ["scratch", "bert"])
def test_next_sentences_and_pairs(name, auto_class):
    model = build(name, auto_class)
    inputs = batch() | {"token_type_ids": (torch.arange(19) > 2).long().expand(5, 19)}
    padded = model(**inputs)
    with PaddingFree(model):
        free = model(**inputs)
    real = inputs["attention_mask"].bool()
    for key in padded:
        rows = real if padded[key].shape[:2] == real.shape else slice(None)
        torch.testing.assert_close(free[key][rows], padded[key][rows], rtol=0, atol=1e-5)


def test_only_real_tokens_are_computed():
    model = build("bert")
    seen = []
    model.bert.encoder.layer[0].register_forward_hook(lambda module, args, output: seen.append(args[0].shape))
    with PaddingFree(model):
        model(**batch())
    assert seen == [(1, sum(LENGTHS), 24)]


@pytest.mark.parametrize("name", CONFIGS)
def test_no_text_sees_another(name):
    model, inputs = build(name), batch()
    other = inputs | {"input_ids": inputs["input_ids"].clone()}
    other["input_ids"][2, :11] = torch.arange(20, 31)
    longer = other | {"attention_mask": inputs["attention_mask"].clone()}
    longer["attention_mask"][2, :17] = 1
    longer["input_ids"] = other["input_ids"].clone()
    longer["input_ids"][2, 11:17] = 5
    with PaddingFree(model), torch.no_grad():
        logits, words, length = (model(**given).logits for given in (inputs, other, longer))
    others = [0, 1, 3, 4]
    assert not torch.equal(words[2], logits[2])
    assert torch.equal(words[others], logits[others])
    torch.testing.assert_close(length[others], logits[others], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(CONFIGS) - {"modernbert", "modernbert-mean"}))
def test_hidden_tokens_are_not_computed_and_leave_gaps_in_the_positions(name):
    model, inputs = build(name), batch()
    inputs["attention_mask"][0, 4:7] = inputs["attention_mask"][3, 2] = 0
    with torch.no_grad():
        padded = model(**inputs).logits
        with PaddingFree(model):
            free = model(**inputs).logits
    torch.testing.assert_close(free, padded, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shapes", [None, Shapes(37, 4, 19)])
@pytest.mark.parametrize("name", ["scratch-mean", "modernbert", "roberta"])
def test_tokens_that_fill_up_change_nothing(name, shapes):
    model, inputs = build(name), batch() | {"labels": torch.arange(5)}
    padded = outcome(model, inputs)
    with PaddingFree(model) as free:
        free.shapes = shapes
        assert_equal_outcomes(padded, outcome(model, inputs | {"num_tokens": 61}))


def test_packing_and_back_loses_nothing():
    mask = batch()["attention_mask"]
    x = torch.randn(5, 19, 7, generator=torch.Generator().manual_seed(0))
    for given, tokens, texts in (((), 59, 5), ((59,), 59, 9), ((101,), 101, 11), ((59, Shapes(37, 4, 19)), 74, 10)):
        packing = pack(mask, *given)
        assert packing.cu_seq_lens.dtype == torch.int32 and len(packing.cu_seq_lens) == texts + 1
        assert packing.cu_seq_lens.diff()[:5].tolist() == list(LENGTHS)
        assert packing.cu_seq_lens[-1] == tokens and packing.cu_seq_lens.diff().max() <= 19
        assert torch.equal(packing.pad(packing.unpad(x)), x * mask.unsqueeze(-1))
        assert torch.equal(packing.first(packing.unpad(x)), x[:, :1])


def test_hidden_states_are_padded_again_and_attention_weights_refused():
    model, inputs = build("bert"), batch()
    padded = model(**inputs, output_hidden_states=True).hidden_states
    with PaddingFree(model):
        free = model(**inputs, output_hidden_states=True).hidden_states
        with pytest.raises(ValueError, match="keeps no attention weights; run with --padding_free never"):
            model(**inputs, output_attentions=True)
        with pytest.raises(ValueError, match=r"of shape \(B, T\), but got \(5, 1, 19, 19\)"):
            model(inputs["input_ids"], torch.ones(5, 1, 19, 19))
    real = inputs["attention_mask"].bool()
    assert len(free) == len(padded)
    for ours, theirs in zip(free, padded, strict=True):
        torch.testing.assert_close(ours[real], theirs[real], rtol=0, atol=1e-5)


def test_vectors_in_place_of_ids_and_no_mask():
    model, inputs = build("roberta"), batch((7, 7, 7))
    vectors = model.get_input_embeddings()(inputs["input_ids"])
    padded = model(inputs_embeds=vectors).logits
    with PaddingFree(model):
        torch.testing.assert_close(model(inputs_embeds=vectors).logits, padded, rtol=0, atol=1e-5)


def test_dropout_in_attention_is_kept():
    model = build("bert", attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0).train()
    with PaddingFree(model):
        assert not torch.equal(model(**batch()).logits, model(**batch()).logits)


def test_recomputing_activations_gives_the_same_gradients():
    model, inputs = build("scratch", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train(), batch()
    inputs["labels"] = torch.arange(5)
    with PaddingFree(model):
        kept = outcome(model, inputs)
        enable = "activation_checkpointing_enable"
        getattr(model, enable if hasattr(model, enable) else "gradient_checkpointing_enable")()
        assert_equal_outcomes(kept, outcome(model, inputs))


def test_nothing_stays_behind(tmp_path):
    model = build("bert")
    before = model.config._attn_implementation
    free = PaddingFree(model)
    with free, free:
        model.save_pretrained(tmp_path)
    assert model.config._attn_implementation == before and "forward" not in vars(model.bert)
    assert "padding_free" not in (tmp_path / "config.json").read_text()


def fake_kernel(calls):
    """What the kernel on CUDA computes, by a loop: takes `(N, H, K)`."""

    def varlen(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *dropout, scale=None, window_size=(-1, -1), **window):
        assert query.shape == (59, 3, 8) and torch.equal(cu_seq_q, cu_seq_k) and max_q == max_k == 19
        calls.append((dropout[:1], window_size))
        query, key, value = (x.transpose(0, 1).unsqueeze(0) for x in (query, key, value))
        lengths = cu_seq_q.diff().tolist()
        out = padding_free.attention_by_text(query, key, value, lengths, scale, 0.0, window_size[0])
        return out[0]

    return varlen


@pytest.mark.parametrize("name", ["scratch", "modernbert"])
def test_the_kernel_on_cuda_is_given_what_it_takes(name, monkeypatch):
    from torch.nn.attention import varlen

    calls, model = [], build(name)
    monkeypatch.setattr(varlen, "varlen_attn", fake_kernel(calls))

    def on_cuda(module, query, key, value, mask, scaling, dropout, cu_seq_lens_q, max_length_q, sliding_window=None, **kwargs):
        window = -1 if sliding_window is None else sliding_window - 1
        args = query, key, value, cu_seq_lens_q, max_length_q, scaling, dropout, window
        return padding_free.flash_attention(*args), None

    expected = model(**batch()).logits
    monkeypatch.setitem(transformers.AttentionInterface._global_mapping, "padding_free", on_cuda)
    with PaddingFree(model):
        torch.testing.assert_close(model(**batch()).logits, expected, rtol=0, atol=1e-5)
    windows = [window for _, window in calls]
    assert windows == ([(-1, -1)] * 2 if name == "scratch" else [(-1, -1), (3, 3)])


def arguments(folder, **fields):
    return TrainingArguments(output_dir=str(folder), use_cpu=True, **fields)


def test_what_is_chosen_is_said(tmp_path, monkeypatch):
    args = arguments(tmp_path)
    assert choose_padding_free("auto", build("bert"), args)[1] == "padding-free: only real tokens are computed"
    assert choose_padding_free("never", build("bert"), args)[0] is None
    other = ElectraForSequenceClassification(ElectraConfig(**SIZES | {"embedding_size": 24}))
    chosen, line = choose_padding_free("auto", other, args)
    assert chosen is None and line.startswith("padding is computed: electra is not among bert, distilbert")
    with pytest.raises(UserError, match="--padding_free always is not possible: electra is not among"):
        choose_padding_free("always", other, args)
    decoder = transformers.BertForSequenceClassification(BertConfig(**SIZES, is_decoder=True))
    monkeypatch.setattr(args, "torch_compile", True)
    assert "compile every number of tokens anew" in choose_padding_free("auto", build("bert"), args)[1]
    monkeypatch.setattr(args, "torch_compile", False)
    monkeypatch.setattr(args, "neftune_noise_alpha", 5.0)
    assert "would take the batch for one" in choose_padding_free("auto", build("bert"), args)[1]
    monkeypatch.setattr(args, "neftune_noise_alpha", None)
    assert "sliding windows" in choose_padding_free("auto", build("modernbert"), args, hides_tokens=True)[1]
    assert "the model is a decoder" in choose_padding_free("auto", decoder, args)[1]


def test_the_collator_counts_real_tokens():
    collate = CountTokens(batch)
    assert collate(LENGTHS)["num_tokens"] == sum(LENGTHS)
