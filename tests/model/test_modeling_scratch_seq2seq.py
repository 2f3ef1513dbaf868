import json
import re
import subprocess
import sys

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSeq2SeqLM, BertConfig, BertModel

from hf_scratch import ScratchConfig, ScratchForConditionalGeneration, ScratchModel, TransformerDecoder
from hf_scratch.model.modeling_scratch_seq2seq import CACHE
from tests.reference import B, F, H, K, S, T, V

POSITIONS = ["sinusoidal", "learned", "rope"]
BOS, EOS, PAD = 1, 2, 0
NO_DROPOUT = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}


def config(**fields):
    sizes = {"vocab_size": V, "hidden_size": 22, "num_hidden_layers": 2, "num_attention_heads": H, "head_size": 14}
    tokens = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD, "decoder_start_token_id": BOS}
    # Larger first weights than usual: logits far enough apart for argmax to say something.
    rest = {"intermediate_size": F, "max_position_embeddings": 31, "initializer_range": 0.5}
    return ScratchConfig(**sizes | tokens | rest | fields)


def seq2seq(seed=0, attn="sdpa", **fields):
    torch.manual_seed(seed)
    return AutoModelForSeq2SeqLM.from_config(config(**fields), attn_implementation=attn).double().eval()


def source():
    ids = torch.randint(3, V, (B, S), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(S) < torch.tensor([[S], [K // 3], [S - 1]])
    return {"input_ids": ids.masked_fill(~mask, PAD), "attention_mask": mask.long()}


def labels():
    return torch.randint(3, V, (B, T), generator=torch.Generator().manual_seed(2))


def test_it_is_made_of_the_blocks():
    ours = seq2seq()
    assert type(ours) is ScratchForConditionalGeneration
    assert type(ours.scratch) is ScratchModel
    assert type(ours.decoder.stack) is TransformerDecoder
    assert ours.lm_head.weight is ours.scratch.embeddings.word_embeddings.weight
    assert ours.lm_head.weight is ours.decoder.embeddings.word_embeddings.weight
    given = config()
    assert ScratchForConditionalGeneration(given).config.is_encoder_decoder
    assert not given.is_encoder_decoder


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("position_embedding_type", POSITIONS)
@pytest.mark.parametrize("how", [{}, {"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}])
def test_the_cache_changes_no_token_and_no_score(how, position_embedding_type, norm_first, attn):
    ours = seq2seq(attn=attn, position_embedding_type=position_embedding_type, norm_first=norm_first)
    options = {"max_new_tokens": 11, "return_dict_in_generate": True, "output_logits": True, **how}
    cached = ours.generate(**source(), use_cache=True, **options)
    uncached = ours.generate(**source(), use_cache=False, **options)
    assert torch.equal(cached.sequences, uncached.sequences)
    for one, other in zip(cached.logits, uncached.logits, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_greedy_takes_the_likeliest_token_and_beams_find_no_worse():
    ours = seq2seq(seed=3)
    written = ours.generate(**source(), max_new_tokens=7)
    logits = ours(**source(), decoder_input_ids=written[:, :-1]).logits
    for row, tokens in enumerate(written.tolist()):
        ended = False
        for t, token in enumerate(tokens[1:]):
            assert token == (PAD if ended else logits[row, t].argmax().item())
            ended = ended or token == EOS

    def score(tokens):
        log_p = ours(**source(), decoder_input_ids=tokens[:, :-1]).logits.log_softmax(dim=-1)
        return log_p.gather(2, tokens[:, 1:, None]).sum(dim=(1, 2))

    fixed = {"min_new_tokens": 7, "max_new_tokens": 7, "length_penalty": 0.0}
    assert (score(ours.generate(**source(), **fixed, num_beams=V)) >= score(ours.generate(**source(), **fixed))).all()


@pytest.mark.parametrize("name", ["cache", "past_key_values"])  # since transformers 5.24 it is the former
def test_a_cached_step_reads_only_what_is_new(name):
    ours, target = seq2seq(), labels()
    whole = ours(**source(), decoder_input_ids=target)
    first = ours(**source(), decoder_input_ids=target[:, :3], use_cache=True)
    memory = first.encoder_last_hidden_state
    # The memory was projected at the first step: what it holds no longer matters, only its length.
    rest = ours(
        encoder_outputs=(torch.full_like(memory, 7.0),),
        attention_mask=source()["attention_mask"],
        decoder_input_ids=target[:, 3:],
        **{name: first[CACHE]},
    )
    torch.testing.assert_close(rest.logits, whole.logits[:, 3:], rtol=0, atol=1e-10)
    assert rest[CACHE].get_seq_length() == T


def test_loss_is_the_mean_over_labels_and_its_target_is_shifted():
    ours, target = seq2seq(), labels()
    target[0, 3:] = -100
    out = ours(**source(), labels=target)
    shifted = torch.cat([torch.full((B, 1), BOS), target[:, :-1]], dim=1)
    shifted[shifted == -100] = PAD
    logits = ours(**source(), decoder_input_ids=shifted).logits
    torch.testing.assert_close(out.logits, logits)
    expected = cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-100)
    torch.testing.assert_close(out.loss.double(), expected, rtol=0, atol=1e-5)


def test_parts_of_a_batch_add_up_to_the_whole():
    target = labels()
    target[0, 1:] = -100

    def gradient(rows):
        ours = seq2seq()
        for row in rows:
            inputs = {name: tensor[row] for name, tensor in source().items()}
            ours(**inputs, labels=target[row], num_items_in_batch=(target != -100).sum()).loss.backward()
        return ours.lm_head.weight.grad

    parts, whole = gradient([slice(0, 1), slice(1, B)]), gradient([slice(0, B)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)  # the loss is taken in single precision


def test_a_changed_future_leaves_the_past_as_it_was():
    for attn in ("eager", "sdpa"):
        ours, target = seq2seq(attn=attn), labels()
        changed = torch.cat([target[:, :3], 3 + (target[:, 3:] + 1) % (V - 3)], dim=1)
        before = ours(**source(), decoder_input_ids=target).logits
        after = ours(**source(), decoder_input_ids=changed).logits
        torch.testing.assert_close(before[:, :3], after[:, :3], rtol=0, atol=1e-12)
        assert (before[:, 3:] != after[:, 3:]).any(dim=-1).all()


def test_padding_the_source_changes_nothing():
    ours, target, inputs = seq2seq(), labels(), source()
    row = ours(inputs["input_ids"][1:2, : K // 3], decoder_input_ids=target[1:2]).logits
    torch.testing.assert_close(ours(**inputs, decoder_input_ids=target).logits[1:2], row, rtol=0, atol=1e-6)


def test_attentions_and_hidden_states_of_both_sides():
    out = seq2seq(attn="eager")(**source(), labels=labels(), output_attentions=True, output_hidden_states=True)
    assert [weights.shape for weights in out.encoder_attentions] == [(B, H, S, S)] * 2
    assert [weights.shape for weights in out.decoder_attentions] == [(B, H, T, T)] * 2
    assert [weights.shape for weights in out.cross_attentions] == [(B, H, T, S)] * 2
    assert (out.decoder_attentions[0].triu(1) == 0).all()
    assert [states.shape for states in out.decoder_hidden_states] == [(B, T, 22)] * 3
    assert len(out.encoder_hidden_states) == 3


def test_it_memorises_and_every_parameter_learns():
    ours, target = seq2seq(initializer_range=0.05, type_vocab_size=1, **NO_DROPOUT).float().train(), labels()
    optimizer = torch.optim.Adam(ours.parameters(), lr=1e-2)
    for _ in range(120):
        loss = ours(**source(), labels=target).loss
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in ours.parameters())
        optimizer.step()
    assert loss.item() < 0.05
    ours.eval()
    assert torch.equal(ours.generate(**source(), max_new_tokens=T)[:, 1:], target)


def test_activation_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        ours = seq2seq(**NO_DROPOUT).train()
        if checkpointing:
            # Its name in older versions of transformers warns in newer ones.
            getattr(ours, "activation_checkpointing_enable", ours.gradient_checkpointing_enable)()
        ours(**source(), labels=labels()).loss.backward()
        gradients.append([parameter.grad for parameter in ours.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_a_graph_captures_it_whole():
    ours = seq2seq(num_hidden_layers=1)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    inputs = {**source(), "decoder_input_ids": labels()}
    torch.testing.assert_close(compiled(**inputs).logits, ours(**inputs).logits)


@pytest.mark.slow
def test_what_is_saved_writes_the_same_where_the_package_is_not(tmp_path):
    ours = seq2seq(position_embedding_type="rope").float()
    ours.save_pretrained(tmp_path)
    script = f"""
import json, sys, torch
sys.modules["hf_scratch"] = None  # to import it is an error
from transformers import AutoModelForSeq2SeqLM, BertConfig, BertModel
model = AutoModelForSeq2SeqLM.from_pretrained({str(tmp_path)!r}, trust_remote_code=True)
ids, mask = (torch.tensor(rows) for rows in json.loads(sys.argv[1]))
print(json.dumps([model.generate(ids, attention_mask=mask, max_new_tokens=11, num_beams=n).tolist() for n in (1, 3)]))
"""
    environment = {"HF_HOME": str(tmp_path / "home"), "PATH": "", "HF_HUB_OFFLINE": "1"}
    rows = json.dumps([tensor.tolist() for tensor in source().values()])
    command = [sys.executable, "-I", "-c", script, rows]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = [ours.generate(**source(), max_new_tokens=11, num_beams=n).tolist() for n in (1, 3)]
    assert json.loads(done.stdout.splitlines()[-1]) == written


def test_it_reloads_to_the_last_bit_and_takes_an_encoder(tmp_path):
    ours = seq2seq().float()
    ours.save_pretrained(tmp_path / "whole")
    options = {"output_loading_info": True}
    again, info = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "whole", **options)
    assert not any(info.values())
    inputs = {**source(), "decoder_input_ids": labels()}
    assert torch.equal(ours(**inputs).logits, again(**inputs).logits)

    encoder = ScratchModel(config())
    encoder.save_pretrained(tmp_path / "encoder")
    warm, _ = ScratchForConditionalGeneration.from_pretrained(tmp_path / "encoder", **options)
    for name, weight in warm.scratch.state_dict().items():
        assert torch.equal(weight, encoder.state_dict()[name])
    assert warm.lm_head.weight is warm.scratch.embeddings.word_embeddings.weight


def test_its_encoder_takes_berts_weights():
    sizes = {"vocab_size": V, "hidden_size": 22, "num_hidden_layers": 2, "num_attention_heads": H}
    bert = BertModel(BertConfig(**sizes, intermediate_size=F, max_position_embeddings=31)).eval()
    ours = ScratchForConditionalGeneration.from_bert(bert)
    ours.config.decoder_start_token_id = BOS
    out = ours(**source(), labels=labels())
    expected = bert(**source()).last_hidden_state
    torch.testing.assert_close(out.encoder_last_hidden_state, expected, rtol=0, atol=1e-5)
    assert ours.lm_head.weight is ours.scratch.embeddings.word_embeddings.weight
    assert torch.equal(ours.lm_head.weight, bert.embeddings.word_embeddings.weight)


def test_token_types_of_a_tokenizer_are_taken():
    ours, inputs = seq2seq(), source()
    types = torch.zeros_like(inputs["input_ids"])
    written = ours.generate(**inputs, max_new_tokens=11)
    assert torch.equal(ours.generate(**inputs, token_type_ids=types, max_new_tokens=11), written)
    assert not torch.equal(
        ours(**inputs, token_type_ids=1 - types, labels=labels()).logits, ours(**inputs, labels=labels()).logits
    )


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
def test_a_source_of_padding_alone_stays_finite(attn):
    ours, inputs = seq2seq(attn=attn), source()
    inputs["attention_mask"][1] = 0
    out = ours(**inputs, labels=labels())
    out.loss.backward()
    assert out.logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())


def test_token_embeddings_are_resized_on_both_sides():
    ours = seq2seq()
    ours.resize_token_embeddings(V + 4, mean_resizing=False)
    assert ours(**source(), labels=labels()).logits.shape == (B, T, V + 4)
    assert ours.decoder.embeddings.word_embeddings.weight is ours.lm_head.weight


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seq2seq(decoder_start_token_id=None)(**source(), labels=labels()), "decoder_start_token_id is None, but"),
        (lambda: seq2seq()(**source()), "give exactly one of decoder_input_ids and decoder_inputs_embeds (or labels)"),
        (
            lambda: seq2seq(position_embedding_type="learned").generate(**source(), min_new_tokens=33, max_length=40),
            "the target has 32 tokens, but the learned positions end at 31; ask for fewer new tokens",
        ),
    ],
)
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
