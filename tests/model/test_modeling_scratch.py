import copy
import json
import logging
import math
import os
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors import safe_open
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, layer_norm, mse_loss
from transformers import AttentionInterface, AutoConfig, PreTrainedTokenizerFast, pipeline
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import hf_scratch
from hf_scratch import (
    ScratchConfig,
    ScratchForMaskedLM,
    ScratchForMultipleChoice,
    ScratchForNextSentencePrediction,
    ScratchForPreTraining,
    ScratchForQuestionAnswering,
    ScratchForSequenceClassification,
    ScratchForTokenClassification,
    ScratchModel,
)
from hf_scratch.model import modeling_scratch
from hf_scratch.model.configuration_scratch import AUTO_MAP

# Distinct numbers, mostly primes, so that two axes that are taken for one another cannot pass for right.
B, T, D, H, K, F, V, LAYERS, LABELS, CHOICES, TYPES, POSITIONS = 3, 7, 19, 2, 6, 37, 53, 4, 5, 11, 2, 13

KINDS = {
    "pre-norm sinusoidal": {},
    "post-norm learned": {"norm_first": False, "position_embedding_type": "learned"},
    "pre-norm rope mean": {"position_embedding_type": "rope", "classifier_pooling": "mean"},
}
HEADS = {auto: getattr(hf_scratch, path.rpartition(".")[2]) for auto, path in AUTO_MAP.items() if auto != "AutoConfig"}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_head = pytest.mark.parametrize("auto", HEADS)


def config(kind="pre-norm sinusoidal", **fields):
    sizes = {
        "vocab_size": V,
        "hidden_size": D,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": H,
        "head_size": K,
        "intermediate_size": F,
        "type_vocab_size": TYPES,
        "max_position_embeddings": POSITIONS,
        "num_labels": LABELS,
    }
    return ScratchConfig(**sizes | KINDS[kind] | fields)


def build(head=ScratchModel, kind="pre-norm sinusoidal", seed=0, **fields):
    """A model in evaluation mode, its parameters large enough for mistakes to show."""
    torch.manual_seed(seed)
    model = head(config(kind, **{"initializer_range": 0.3} | fields))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data.normal_(std=0.3)
    return model.eval()


def inputs(seed=0, length=T, padded=True):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([length, length - 2, 3]) if padded else torch.full((B,), length)
    return {
        "input_ids": torch.randint(1, V, (B, length), generator=generator),
        "token_type_ids": torch.randint(0, TYPES, (B, length), generator=generator),
        "attention_mask": (torch.arange(length) < lengths[:, None]).long(),
    }


def inputs_for(head, labelled=False, **options):
    given = inputs(**options)
    if head is ScratchForMultipleChoice:
        given = {name: torch.stack([x.roll(c, 1) for c in range(CHOICES)], 1) for name, x in given.items()}
        given["attention_mask"] = torch.ones_like(given["input_ids"])
    return given | (labels_for(head) if labelled else {})


def labels_for(head):
    random = torch.Generator().manual_seed(5)
    classes = {
        ScratchForMaskedLM: V,
        ScratchForPreTraining: V,
        ScratchForTokenClassification: LABELS,
        ScratchForSequenceClassification: LABELS,
        ScratchForNextSentencePrediction: 2,
        ScratchForMultipleChoice: CHOICES,
    }
    if head is ScratchModel:
        return {}
    if head is ScratchForQuestionAnswering:
        return {"start_positions": torch.tensor([1, 0, 2]), "end_positions": torch.tensor([3, 4, T + 9])}
    a_token = head in (ScratchForMaskedLM, ScratchForPreTraining, ScratchForTokenClassification)
    labels = torch.randint(0, classes[head], (B, T) if a_token else (B,), generator=random)
    if a_token:
        labels[0, 2:5] = -100
    both = {"next_sentence_label": torch.tensor([0, 1, 1])} if head is ScratchForPreTraining else {}
    return {"labels": labels} | both


def hidden(model, **given):
    with torch.no_grad():
        return model(**given).last_hidden_state


def outputs(model, **given):
    with torch.no_grad():
        return {name: x for name, x in model(**given).items() if isinstance(x, torch.Tensor)}


def assert_same(first, second, atol=1e-5):
    torch.testing.assert_close(first, second, atol=atol, rtol=1e-5)


# Classes, folders, code


@every_head
@every_kind
def test_a_saved_model_comes_back_through_its_auto_class(auto, kind, tmp_path):
    model = build(HEADS[auto], kind)
    model.save_pretrained(tmp_path)
    again, info = getattr(transformers, auto).from_pretrained(tmp_path, output_loading_info=True)
    assert type(again) is HEADS[auto]
    assert type(AutoConfig.from_pretrained(tmp_path)) is ScratchConfig
    assert not any(info.values()), info
    assert model.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in model.state_dict().items())
    given = inputs_for(HEADS[auto])
    for name, x in outputs(model, **given).items():
        assert_same(outputs(again, **given)[name], x, atol=1e-6)


@every_head
def test_a_model_is_built_from_its_config_by_its_auto_class(auto):
    assert type(getattr(transformers, auto).from_config(config())) is HEADS[auto]


def test_every_head_is_registered_and_exported():
    assert len(HEADS) == 8
    assert {head.__name__ for head in HEADS.values()} <= set(hf_scratch.__all__)


@pytest.mark.slow
def test_a_folder_opens_through_every_auto_class_where_the_package_is_not_installed(tmp_path):
    model = build(ScratchForPreTraining, "post-norm learned")
    model.save_pretrained(tmp_path / "checkpoint")
    given = inputs()
    torch.save((given, outputs(model, **given)), tmp_path / "expected.pt")
    script = tmp_path / "stranger.py"
    script.write_text(f"""
import sys
sys.modules["hf_scratch"] = None
import torch, transformers
given, expected = torch.load("expected.pt")
for auto in {list(HEADS)}:
    model = getattr(transformers, auto).from_pretrained("checkpoint", trust_remote_code=True)
    if auto == "AutoModelForPreTraining":
        assert all(torch.equal(x, model(**given)[name]) for name, x in expected.items())
    model.save_pretrained("again")
    again = getattr(transformers, auto).from_pretrained("again", trust_remote_code=True)
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in model.state_dict().items())
""")
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p.endswith("site-packages") or "tf5" in p)
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_a_head_takes_over_the_encoder_of_another(tmp_path, caplog):
    pretrained = build(ScratchForPreTraining)
    pretrained.save_pretrained(tmp_path)
    model, info = ScratchForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(hidden(model.scratch, **inputs()), hidden(pretrained.scratch, **inputs()))
    assert torch.equal(hidden(ScratchModel.from_pretrained(tmp_path), **inputs()), hidden(model.scratch, **inputs()))


@every_head
def test_there_is_a_pooler_only_where_it_is_used(auto):
    users = {
        "AutoModel",
        "AutoModelForPreTraining",
        "AutoModelForNextSentencePrediction",
        "AutoModelForSequenceClassification",
        "AutoModelForMultipleChoice",
    }
    assert any("pooler" in name for name in build(HEADS[auto]).state_dict()) == (auto in users)
    mean = build(HEADS[auto], classifier_pooling="mean")
    still = users - {"AutoModelForSequenceClassification", "AutoModelForMultipleChoice"}
    assert any("pooler" in name for name in mean.state_dict()) == (auto in still)


# What the model computes


@every_kind
@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_without_a_mask_every_token_sees_every_other(kind, backend):
    model = build(kind=kind, attn_implementation=backend)
    given = {"input_ids": inputs()["input_ids"]}
    changed = {"input_ids": given["input_ids"].clone()}
    changed["input_ids"][:, -1] = changed["input_ids"][:, -1] % (V - 1) + 1
    difference = (hidden(model, **given) - hidden(model, **changed)).abs().amax(dim=(0, 2))
    assert (difference > 1e-4).all(), difference


@every_kind
@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_padding_changes_nothing(kind, backend):
    model = build(ScratchForSequenceClassification, kind, attn_implementation=backend)
    given = inputs()
    for b, length in enumerate(given["attention_mask"].sum(dim=1)):
        alone = {name: x[b : b + 1, :length] for name, x in given.items()}
        assert_same(outputs(model, **alone)["logits"][0], outputs(model, **given)["logits"][b])
        assert_same(hidden(model.scratch, **alone)[0], hidden(model.scratch, **given)[b, :length])


@pytest.mark.parametrize("kind", ["pre-norm sinusoidal", "post-norm learned"])
def test_the_first_hidden_state_is_the_normed_sum_of_three_vectors(kind):
    model, given = build(kind=kind), inputs()
    embeddings = model.embeddings
    scale = math.sqrt(D) if kind == "pre-norm sinusoidal" else 1.0
    x = scale * embeddings.word_embeddings.weight[given["input_ids"]]
    x = x + embeddings.token_type_embeddings.weight[given["token_type_ids"]]
    if kind == "post-norm learned":
        x = x + embeddings.position_embeddings.weight[:T]
    else:
        x = x + torch.tensor(
            [[(math.cos if i % 2 else math.sin)(t / 10000 ** ((i - i % 2) / D)) for i in range(D)] for t in range(T)]
        )
    expected = layer_norm(x, (D,), embeddings.norm.weight, embeddings.norm.bias, eps=1e-12)
    assert_same(model(**given, output_hidden_states=True).hidden_states[0], expected)


def test_rotary_attention_scores_depend_on_distances_only():
    model, ids = build(kind="pre-norm rope mean", attn_implementation="eager"), inputs()["input_ids"]
    positions = torch.arange(T).unsqueeze(0)
    assert_same(hidden(model, input_ids=ids), hidden(model, input_ids=ids, position_ids=positions + 101), atol=1e-4)
    stretched = hidden(model, input_ids=ids, position_ids=positions * 3)
    assert (stretched - hidden(model, input_ids=ids)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["pre-norm sinusoidal", "post-norm learned"])
def test_added_positions_are_absolute(kind):
    model, ids = build(kind=kind), inputs()["input_ids"]
    positions = torch.arange(T).unsqueeze(0)
    assert torch.equal(hidden(model, input_ids=ids), hidden(model, input_ids=ids, position_ids=positions))
    shifted = hidden(model, input_ids=ids, position_ids=positions + 3)
    assert (shifted - hidden(model, input_ids=ids)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", ["pre-norm sinusoidal", "pre-norm rope mean"])
def test_computed_positions_go_beyond_the_table(kind):
    short, long = build(kind=kind), build(kind=kind, max_position_embeddings=101)
    given = inputs(length=POSITIONS + 10)
    assert_same(hidden(short, **given), hidden(long, **given))


def test_learned_positions_end_with_their_table():
    model = build(kind="post-norm learned")
    hidden(model, **inputs(length=POSITIONS))
    message = rf"has {POSITIONS + 1} tokens, .* end at {POSITIONS}; truncate the text to max_length={POSITIONS}"
    with pytest.raises(ValueError, match=message):
        model(**inputs(length=POSITIONS + 1))


@every_kind
def test_vectors_may_take_the_place_of_ids(kind):
    model, given = build(kind=kind), inputs()
    vectors = given | {"inputs_embeds": model.get_input_embeddings()(given["input_ids"])}
    del vectors["input_ids"]
    assert torch.equal(hidden(model, **given), hidden(model, **vectors))
    for wrong in (vectors | given, {"attention_mask": given["attention_mask"]}):
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            model(**wrong)


def test_token_types_are_zero_unless_given():
    model, given = build(), inputs()
    zeros = given | {"token_type_ids": torch.zeros_like(given["token_type_ids"])}
    assert (hidden(model, **given) - hidden(model, **zeros)).abs().max() > 1e-2
    del given["token_type_ids"]
    assert torch.equal(hidden(model, **given), hidden(model, **zeros))


@every_kind
@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_a_mask_of_pairs_is_taken_as_it_is(kind, backend):
    model, given = build(ScratchForSequenceClassification, kind, attn_implementation=backend), inputs()
    pairs = given | {"attention_mask": given["attention_mask"][:, None, None, :].bool().expand(B, 1, T, T)}
    assert_same(outputs(model, **given)["logits"], outputs(model, **pairs)["logits"])
    pairs["attention_mask"] = torch.eye(T, dtype=torch.bool).expand(B, 1, T, T)  # nobody sees anybody else
    changed = copy.deepcopy(pairs)
    changed["input_ids"][:, 0] = changed["input_ids"][:, 0] % (V - 1) + 1
    difference = hidden(model.scratch, **pairs) - hidden(model.scratch, **changed)
    assert torch.equal(difference[:, 1:], torch.zeros(B, T - 1, D))
    assert difference[:, 0].abs().min() > 0


def test_the_mean_needs_to_know_the_real_tokens():
    model, given = build(ScratchForSequenceClassification, "pre-norm rope mean"), inputs()
    given["attention_mask"] = torch.zeros(B, 1, T, T)
    with pytest.raises(ValueError, match=r"shape \(3, 1, 7, 7\) and dtype torch.float32; give a boolean one"):
        model(**given)


def test_the_mean_is_over_real_tokens_only():
    model, given = build(ScratchForSequenceClassification, "pre-norm rope mean"), inputs()
    states, lengths = hidden(model.scratch, **given), given["attention_mask"].sum(dim=1)
    means = torch.stack([states[b, :length].mean(dim=0) for b, length in enumerate(lengths)])
    assert_same(outputs(model, **given)["logits"], model.classifier(means).detach())


def test_a_score_a_choice():
    model, given = build(ScratchForMultipleChoice, "post-norm learned"), inputs_for(ScratchForMultipleChoice)
    logits = outputs(model, **given)["logits"]
    assert logits.shape == (B, CHOICES)
    for c in range(CHOICES):
        pooled = model.scratch(**{name: x[:, c] for name, x in given.items()}).pooler_output
        assert_same(logits[:, c], model.classifier(pooled)[:, 0].detach())


# What transformers asks of a model


@every_kind
@pytest.mark.parametrize("backend", ["sdpa", "flex_attention"])
@pytest.mark.filterwarnings("ignore:(?s).*flex_attention called without torch.compile:UserWarning")  # so it is meant here
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of transformers and torch, on the way to flex attention
def test_attention_backends_agree(kind, backend):
    # Flex attention takes heads of 16, 32, ... features.
    model, given = build(kind=kind, head_size=16), inputs()
    model.set_attn_implementation("eager")
    real = given["attention_mask"].bool()
    expected = hidden(model, **given)[real]
    model.set_attn_implementation(backend)
    with torch.compiler.set_stance("force_eager"):  # to compile it would take a minute
        assert_same(hidden(model, **given)[real], expected)


def test_every_kind_of_backend_is_declared():
    assert all(getattr(ScratchModel, f"_supports_{kind}") for kind in ("sdpa", "flash_attn", "flex_attn"))
    assert ScratchModel.is_backend_compatible()


def test_a_registered_backend_gets_everything():
    seen = []

    def attention(module, query, key, value, mask, **options):
        seen.append((module, query.shape, mask, options))
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, mask, **options)

    AttentionInterface.register("watched", attention)
    AttentionMaskInterface.register("watched", sdpa_mask)
    model, given = build(attention_probs_dropout_prob=0.3), inputs()
    expected = hidden(model, **given)
    model.set_attn_implementation("watched")
    assert torch.equal(hidden(model, **given, cu_seq_lens_q="handed on", position_ids=torch.arange(T)[None]), expected)
    assert len(seen) == LAYERS
    for module, shape, mask, options in seen:
        assert shape == (B, H, T, K)
        assert mask.shape[-1] == T
        assert module.is_causal is False
        assert options["scaling"] == K**-0.5
        assert options["dropout"] == 0.0
        assert options["cu_seq_lens_q"] == "handed on"
        assert options["position_ids"].shape == (1, T)
    seen.clear()
    model.train()(**given)
    assert [options["dropout"] for *_, options in seen] == [0.3] * LAYERS


@every_kind
def test_hidden_states_and_attentions_are_recorded(kind):
    model, given = build(ScratchForTokenClassification, kind, attn_implementation="eager"), inputs()
    with torch.no_grad():
        found = model(**given, output_hidden_states=True, output_attentions=True)
    assert len(found.hidden_states) == LAYERS + 1
    assert len(found.attentions) == LAYERS
    assert torch.equal(found.hidden_states[-1], hidden(model.scratch, **given))
    for x in found.hidden_states:
        assert x.shape == (B, T, D)
    for weights in found.attentions:
        assert weights.shape == (B, H, T, T)
        assert_same(weights.sum(dim=-1), torch.ones(B, H, T))
        assert (weights.movedim(1, -1)[:, 0][given["attention_mask"] == 0] == 0).all()
    with torch.no_grad():
        assert model(**given).hidden_states is None
        assert len(model(**given, return_dict=False)) == 1


def test_recorded_layers_are_those_of_the_stack():
    model, given = build(), inputs()
    states = model(**given, output_hidden_states=True).hidden_states
    mask = given["attention_mask"][:, None, None, :].bool()
    for layer, before, after in zip(list(model.layers)[:-1], states[:-2], states[1:-1], strict=True):
        assert_same(layer(before, mask), after)
    assert_same(model.final_norm(model.layers[-1](states[-2], mask)), states[-1])


@every_kind
def test_checkpointed_activations_give_the_same_gradients(kind):
    model, given = build(ScratchForMaskedLM, kind), inputs_for(ScratchForMaskedLM, labelled=True)
    calls = []
    for layer in model.scratch.layers:
        layer.feed_forward.register_forward_pre_hook(lambda *_: calls.append(1))

    def gradients():
        model.zero_grad()
        model.train()(**given).loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for layer in model.scratch.layers:
        layer.attention.dropout = 0.0
    expected = gradients()
    assert len(calls) == LAYERS
    # transformers 5.12 and 5.17 know the second name only.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    found = gradients()
    assert len(calls) == 3 * LAYERS  # once more, and once again on the way back
    for first, second in zip(expected, found, strict=True):
        assert_same(first, second)


@every_kind
@pytest.mark.parametrize("auto", ["AutoModelForSequenceClassification", "AutoModelForMaskedLM"])
def test_a_model_compiles_into_one_graph(kind, auto):
    model, given = build(HEADS[auto], kind), inputs_for(HEADS[auto], labelled=True)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for name, x in outputs(model, **given).items():
        assert_same(outputs(compiled, **given)[name], x)


@every_kind
@pytest.mark.parametrize("auto", ["AutoModelForSequenceClassification", "AutoModelForQuestionAnswering"])
def test_a_model_exports_with_free_batch_and_length(kind, auto):
    model, given = build(HEADS[auto], kind), inputs()
    batch, length = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("length", min=2, max=POSITIONS)
    shapes = {name: {0: batch, 1: length} for name in given}
    exported = torch.export.export(model, (), given, dynamic_shapes=shapes).module()
    for other in (given, {name: x[:2] for name, x in inputs(length=POSITIONS - 2).items()}):
        for name, x in outputs(model, **other).items():
            assert_same(exported(**other)[name], x)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_load_in_half_precision(kind, dtype, tmp_path):
    model = build(ScratchForSequenceClassification, kind, max_position_embeddings=512)
    model.save_pretrained(tmp_path)
    half = ScratchForSequenceClassification.from_pretrained(tmp_path, dtype=dtype)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    given = inputs(length=499)
    expected = outputs(model, **given)["logits"]
    found = outputs(half, **given)["logits"]
    assert found.dtype == dtype
    assert (found.float() - expected).abs().max() < 0.05 * expected.abs().max()


def test_rotary_angles_do_not_suffer_from_half_precision(tmp_path):
    model = build(kind="pre-norm rope mean")
    model.save_pretrained(tmp_path)
    half = ScratchModel.from_pretrained(tmp_path, dtype=torch.bfloat16)
    positions = torch.arange(499).unsqueeze(0)
    for found, expected in zip(
        half.rotary(torch.zeros(1, dtype=torch.bfloat16), positions), model.rotary(torch.zeros(1), positions), strict=True
    ):
        assert (found.float() - expected).abs().max() < 2**-8  # what bfloat16 keeps of a number up to 1


@every_kind
def test_attention_gets_one_dtype_under_autocast(kind):
    seen = []

    def attention(module, query, key, value, mask, **options):
        seen.append((query.dtype, key.dtype, value.dtype))
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, mask, **options)

    AttentionInterface.register("dtypes", attention)
    AttentionMaskInterface.register("dtypes", sdpa_mask)
    model = build(kind=kind)
    model.set_attn_implementation("dtypes")
    with torch.autocast("cpu", torch.bfloat16):
        model(**inputs())
    assert seen == [(torch.bfloat16,) * 3] * LAYERS


def test_without_a_mask_a_compiled_model_masks_nothing(monkeypatch):
    masks = []

    def backend(graph, _):
        attention = torch.nn.functional.scaled_dot_product_attention
        masks.extend(node.kwargs["attn_mask"] for node in graph.graph.nodes if node.target is attention)
        return graph

    def ones(**given):
        """What transformers 5.17 builds while it compiles."""
        return torch.ones(B, 1, T, T, dtype=torch.bool)

    monkeypatch.setattr(modeling_scratch, "create_bidirectional_mask", ones)
    torch.compiler.reset()
    given = inputs(padded=False) | {"attention_mask": None}
    torch.compile(build(), backend=backend)(**given)
    assert masks == [None] * LAYERS


@every_kind
@pytest.mark.parametrize("device_map", ["auto", "cpu", {"": "cpu"}])
def test_a_device_map_places_every_tensor(kind, device_map, tmp_path):
    model = build(ScratchForMaskedLM, kind)
    model.save_pretrained(tmp_path)
    placed = ScratchForMaskedLM.from_pretrained(tmp_path, device_map=device_map)
    assert torch.equal(outputs(placed.cpu(), **inputs())["logits"], outputs(model, **inputs())["logits"])
    names = {type(module).__name__ for module in model.modules()}
    assert set(ScratchModel._no_split_modules) <= names


@pytest.mark.parametrize("head", [ScratchForMaskedLM, ScratchForPreTraining])
@pytest.mark.parametrize("tokens", [V + 8, V - 8])
@pytest.mark.parametrize("tied", [True, False])
def test_resizing_the_vocabulary_resizes_both_ends(head, tokens, tied, tmp_path):
    model, given = build(head, tie_word_embeddings=tied), inputs()
    given["input_ids"] %= V - 8
    before, kept = next(iter(outputs(model, **given).values())), min(tokens, V)
    model.resize_token_embeddings(tokens, mean_resizing=False)
    after = next(iter(outputs(model, **given).values()))
    assert model.config.vocab_size == tokens
    assert after.shape == (B, T, tokens)
    assert_same(after[..., :kept], before[..., :kept])
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    assert model.get_output_embeddings().bias.shape == (tokens,)
    model.save_pretrained(tmp_path)
    assert torch.equal(next(iter(outputs(head.from_pretrained(tmp_path), **given).values())), after)


@pytest.mark.parametrize("head", [ScratchForMaskedLM, ScratchForPreTraining])
def test_tied_weights_are_one_tensor_in_memory_and_on_disk(head, tmp_path):
    model = build(head)
    assert model.mlm_head.decoder.weight is model.scratch.embeddings.word_embeddings.weight
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names == set(model.state_dict()) - {"mlm_head.decoder.weight"}
    again = head.from_pretrained(tmp_path)
    assert again.mlm_head.decoder.weight is again.scratch.embeddings.word_embeddings.weight
    untied = build(head, tie_word_embeddings=False)
    untied.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(untied.state_dict())


@every_head
def test_the_loss_is_a_mean_whatever_the_trainer_counts(auto):
    head = HEADS[auto]
    assert head.accepts_loss_kwargs is False
    if head is not ScratchModel:
        model, given = build(head), inputs_for(head, labelled=True)
        assert torch.equal(model(**given).loss, model(**given, num_items_in_batch=torch.tensor(1000)).loss)


def test_two_halves_give_the_gradient_of_the_whole():
    model, given = build(ScratchForSequenceClassification), inputs_for(ScratchForSequenceClassification, labelled=True)
    double = {name: torch.cat([x, x.flip(0)]) for name, x in given.items()}
    model(**double).loss.backward()
    whole = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for half in (slice(B), slice(B, 2 * B)):
        (model(**{name: x[half] for name, x in double.items()}).loss / 2).backward()
    for expected, found in zip(whole, (parameter.grad for parameter in model.parameters()), strict=True):
        assert_same(found, expected)


# Losses, initialisation, learning


def test_losses_are_the_textbook_ones():
    for head in (ScratchForMaskedLM, ScratchForTokenClassification):
        found = build(head)(**inputs_for(head, labelled=True))
        assert_same(found.loss, cross_entropy(found.logits.flatten(0, 1), labels_for(head)["labels"].flatten()))
    for head in (ScratchForNextSentencePrediction, ScratchForSequenceClassification, ScratchForMultipleChoice):
        found = build(head)(**inputs_for(head, labelled=True))
        assert_same(found.loss, cross_entropy(found.logits, labels_for(head)["labels"]))

    model, given = build(ScratchForPreTraining), inputs_for(ScratchForPreTraining, labelled=True)
    found = model(**given)
    masked = cross_entropy(found.prediction_logits.flatten(0, 1), given["labels"].flatten())
    sentence = cross_entropy(found.seq_relationship_logits, given["next_sentence_label"])
    assert_same(found.loss, masked + sentence)
    assert_same(model(**given | {"labels": None}).loss, sentence)
    assert_same(model(**given | {"next_sentence_label": None}).loss, masked)
    assert model(**inputs()).loss is None

    found = build(ScratchForQuestionAnswering)(**inputs_for(ScratchForQuestionAnswering, labelled=True))
    start = cross_entropy(found.start_logits, torch.tensor([1, 0, 2]))
    end = cross_entropy(found.end_logits[:2], torch.tensor([3, 4]))  # the third answer ends outside the text
    assert_same(found.loss, (start + end) / 2)


@pytest.mark.parametrize("problem_type", [None, "given"])
def test_labels_decide_the_kind_of_problem(problem_type):
    numbers, flags = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([[1.0, 0, 1, 0, 0]] * B)
    fields = {"problem_type": problem_type and "regression"}
    found = build(ScratchForSequenceClassification, num_labels=1, **fields)(**inputs(), labels=numbers)
    assert_same(found.loss, mse_loss(found.logits[:, 0], numbers))
    fields = {"problem_type": problem_type and "multi_label_classification"}
    found = build(ScratchForSequenceClassification, **fields)(**inputs(), labels=flags)
    assert_same(found.loss, binary_cross_entropy_with_logits(found.logits, flags))


@every_kind
def test_an_untrained_model_knows_nothing(kind):
    sizes = {"initializer_range": 0.02, "hidden_size": 64, "vocab_size": 997, "num_labels": 7}
    torch.manual_seed(0)
    given = {"input_ids": torch.randint(1, 997, (16, T)), "labels": torch.randint(0, 7, (16,))}
    model = ScratchForSequenceClassification(config(kind, **sizes))
    assert abs(model(**given).loss.item() - math.log(7)) < 0.1
    given |= {"labels": torch.randint(0, 997, (16, T)), "next_sentence_label": torch.randint(0, 2, (16,))}
    model = ScratchForPreTraining(config(kind, **sizes))
    assert abs(model(**given).loss.item() - math.log(997) - math.log(2)) < 0.1


@every_kind
def test_weights_are_drawn_as_the_table_says(kind):
    torch.manual_seed(0)
    std = 0.07
    sizes = {"initializer_range": std, "hidden_size": 64, "intermediate_size": 128, "head_size": 32}
    for name, parameter in ScratchForPreTraining(config(kind, **sizes, pad_token_id=3)).named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            rows = parameter[torch.arange(len(parameter)) != 3] if "word_embeddings" in name else parameter
            error = std / math.sqrt(rows.numel())
            assert abs(rows.mean()) < 5 * error, name
            assert abs(rows.std() - std) < 5 * error, name
        if "word_embeddings" in name:
            assert (parameter[3] == 0).all()


@every_head
@every_kind
def test_every_parameter_of_a_head_learns(auto, kind):
    model = build(HEADS[auto], kind).train()
    found = model(**inputs_for(HEADS[auto], labelled=True))
    loss = found.loss if auto != "AutoModel" else found.last_hidden_state.sum() + found.pooler_output.sum()
    loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    still = [name for name, parameter in model.named_parameters() if not parameter.grad.any()]
    assert [name for name in still if not name.endswith("key.bias")] == []  # it moves every score of a row alike


@pytest.mark.slow
@pytest.mark.parametrize(
    ("auto", "kind"),
    [("AutoModelForSequenceClassification", kind) for kind in KINDS] + [("AutoModelForMaskedLM", "post-norm learned")],
)
def test_two_layers_memorise_a_batch(auto, kind):
    torch.manual_seed(0)
    model = HEADS[auto](config(kind, num_hidden_layers=2, hidden_size=32)).train()
    given = inputs_for(HEADS[auto], labelled=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(100):
        loss = model(**given).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.eval()(**given).loss < 0.05


def test_dropout_acts_in_training_only():
    model, given = build(ScratchForSequenceClassification), inputs()
    assert torch.equal(outputs(model, **given)["logits"], outputs(model, **given)["logits"])
    model.train()
    assert not torch.equal(outputs(model, **given)["logits"], outputs(model, **given)["logits"])
    still = build(ScratchForSequenceClassification, classifier_dropout=0.0, hidden_dropout_prob=0.0)
    expected = outputs(still, **given)["logits"]
    for layer in still.train().scratch.layers:
        layer.attention.dropout = 0.0
    assert_same(outputs(still, **given)["logits"], expected)


# What is refused


@pytest.mark.parametrize(
    ("head", "fields", "message"),
    [
        (ScratchModel, {"position_embedding_type": "alibi"}, "'alibi', but it must be one of sinusoidal, learned, rope"),
        (ScratchForSequenceClassification, {"classifier_pooling": "max"}, "'max', but it must be one of cls, mean"),
        (ScratchForMultipleChoice, {"classifier_pooling": "max"}, "'max', but it must be one of cls, mean"),
        (ScratchModel, {"head_size": None, "num_attention_heads": 4}, r"hidden_size \(19\) .* \(4\); try 16 or 20"),
        (ScratchModel, {"head_size": None, "num_attention_heads": 23}, r"hidden_size \(19\) .* \(23\); try 23 or 46"),
        (ScratchModel, {"num_attention_heads": 0}, "num_attention_heads is 0, but it must be at least 1"),
        (ScratchModel, {"vocab_size": 0}, "vocab_size is 0, but it must be at least 1"),
        (ScratchModel, {"pad_token_id": V}, f"pad_token_id is {V}, .* the {V} tokens .* give 0 to {V - 1}"),
        (ScratchModel, {"head_size": 7, "position_embedding_type": "rope"}, r"head_size \(7\) must be even .* 6 or 8"),
    ],
)
def test_what_does_not_fit_together_is_refused_when_a_model_is_built(head, fields, message):
    odd = config(**fields)
    with pytest.raises(ValueError, match=message):
        head(odd)


# Pipelines


@pytest.fixture
def tokenizer():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "food", "and", "very"]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=core, cls_token="[CLS]", sep_token="[SEP]", **special)


@pytest.mark.parametrize(
    ("task", "auto"),
    [
        ("text-classification", "AutoModelForSequenceClassification"),
        ("fill-mask", "AutoModelForMaskedLM"),
        ("token-classification", "AutoModelForTokenClassification"),
        ("feature-extraction", "AutoModel"),
    ],
)
@every_kind
def test_pipelines_answer_as_the_model_does(task, auto, kind, tokenizer, tmp_path, caplog):
    model = build(HEADS[auto], kind)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = ["good [MASK]", "very bad food and [MASK] film"]
    with caplog.at_level(logging.WARNING):
        answers = pipeline(task, model=str(tmp_path), device="cpu")(texts, batch_size=2)
    assert "not supported" not in caplog.text
    for text, answer in zip(texts, answers, strict=True):
        given = tokenizer(text, return_tensors="pt")
        raw = next(iter(outputs(model, **given).values()))[0]
        if task == "text-classification":
            assert answer["label"] == f"LABEL_{raw.argmax()}"
            assert answer["score"] == pytest.approx(raw.softmax(-1).max().item(), rel=1e-4)
        elif task == "fill-mask":
            at = (given["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
            assert answer[0]["token"] == raw[at].argmax()
        elif task == "token-classification":
            assert [token["entity"] for token in answer] == [f"LABEL_{i}" for i in raw[1:-1].argmax(-1)]
        else:
            assert_same(torch.tensor(answer[0])[: len(raw)], raw)


def test_the_saved_config_names_every_auto_class(tmp_path):
    build(ScratchForTokenClassification).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["auto_map"] == AUTO_MAP
    assert saved["architectures"] == ["ScratchForTokenClassification"]


def test_a_fused_model_is_saved_as_any_other(tmp_path):
    model = build(ScratchForMaskedLM)
    expected = model(**inputs()).logits
    for layer in model.scratch.layers:
        layer.attention.fuse()
    assert_same(model(**inputs()).logits, expected)
    model.save_pretrained(tmp_path)
    assert_same(ScratchForMaskedLM.from_pretrained(tmp_path)(**inputs()).logits, expected)
    assert all(layer.attention.to_qkv is not None for layer in model.scratch.layers)  # the model in memory is left as it was
