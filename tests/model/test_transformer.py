import copy
import re

import pytest
import torch
from torch import nn
from torch.func import functional_call

from hf_scratch import Transformer
from tests import reference
from tests.reference import B, D, F, H, K, S, T, V, assert_same, random_mask, randomize

SOURCE_V = 23
MASKS = {"no mask": None, "padded": random_mask(B, S)}
BOS, EOS, PAD = 1, 2, 0


def transformer(dim=D, heads=H, dim_head=K, depth=2, **options):
    options = {"intermediate_size": F} | options
    return randomize(Transformer(SOURCE_V, V, dim, depth, heads, dim_head, max_len=S, **options))


def ids():
    generator = torch.Generator().manual_seed(7)
    source = torch.randint(SOURCE_V, (B, S), generator=generator)
    return source, torch.randint(V, (B, T), generator=generator)


def pytorch_transformer(ours, bias):
    """`nn.Transformer` and our weights under its names; final norms only where ours has them."""
    encoder_layer = reference.pytorch_layer(nn.TransformerEncoderLayer, ours.encoder[0], bias)
    decoder_layer = reference.pytorch_layer(nn.TransformerDecoderLayer, ours.decoder.layers[0], bias)
    norm = nn.LayerNorm(ours.dim, bias=bias) if ours.encoder_norm else None
    depth = len(ours.encoder)
    encoder = nn.TransformerEncoder(encoder_layer, depth, norm, enable_nested_tensor=False)
    decoder = nn.TransformerDecoder(decoder_layer, depth, copy.deepcopy(norm))
    theirs = nn.Transformer(ours.dim, 1, custom_encoder=encoder, custom_decoder=decoder, batch_first=True)
    weights = {}
    for i in range(depth):
        weights |= reference.block_weights(ours.encoder[i], encoder.layers[i], f"encoder.layers.{i}.")
        weights |= reference.block_weights(ours.decoder.layers[i], decoder.layers[i], f"decoder.layers.{i}.")
    if norm is not None:
        weights |= reference.prefixed("encoder.norm", ours.encoder_norm)
        weights |= reference.prefixed("decoder.norm", ours.decoder.final_norm)
    return theirs, weights


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("sizes", [(D, 1, D), (D, H, K), (2 * K, H, K)])
def test_it_equals_pytorch(sizes, mask, norm_first, bias):
    ours, (source, target) = transformer(*sizes, norm_first=norm_first, bias=bias), ids()
    theirs, weights = pytorch_transformer(ours, bias)
    padding = None if mask is None else ~mask
    embedded = ours.embed(source, ours.source_embedding), ours.embed(target, ours.target_embedding)
    options = {"src_key_padding_mask": padding, "memory_key_padding_mask": padding}
    options |= {"tgt_mask": torch.ones(T, T, dtype=torch.bool).triu(1), "tgt_is_causal": True}
    expected = ours.generator(functional_call(theirs, weights, embedded, options))
    assert_same(ours(source, target, mask), expected, list(ours.parameters()))


def test_it_equals_the_loops():
    ours, (source, target) = transformer(depth=1), ids()
    vectors = []
    for tokens, embedding in ((source[0], ours.source_embedding), (target[0], ours.target_embedding)):
        rows = [
            [embedding.weight[token, d].item() * D**0.5 + reference.sinusoid(t, d, D) for d in range(D)]
            for t, token in enumerate(tokens)
        ]
        vectors.append(torch.tensor(rows, dtype=torch.float64))
    memory = reference.encoder_block(ours.encoder[0], vectors[0], lambda t, s: True)
    memory = reference.layer_norm(ours.encoder_norm, memory)
    x = reference.decoder_block(ours.decoder.layers[0], vectors[1], memory, lambda t, s: True, lambda t, s: True)
    logits = reference.project(ours.generator, reference.layer_norm(ours.decoder.final_norm, x))
    torch.testing.assert_close(ours(source[:1], target[:1])[0], logits, rtol=0, atol=1e-6)


def test_its_shape_and_its_first_weights():
    ours = Transformer(SOURCE_V, V, 256, 1)
    logits = ours(*ids())
    assert logits.shape == (B, T, V)
    assert ours.source_embedding.weight.std().item() == pytest.approx(1 / 16, rel=0.05)
    bound = (6 / (256 + 512)) ** 0.5  # Glorot and Bengio's, for W^Q: D = 256, H·K = 512
    assert bound * 0.99 < ours.encoder[0].attention.query.weight.abs().max().item() <= bound
    assert (ours.encoder[0].attention.query.bias == 0).all()


def test_a_changed_future_leaves_the_past_as_it_was():
    ours, (source, target) = transformer(), ids()
    changed = target.clone()
    changed[:, 3:] = (changed[:, 3:] + 1) % V
    before, after = ours(source, target), ours(source, changed)
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(dim=-1).all()


def test_padding_the_source_changes_nothing():
    ours, (source, target) = transformer(), ids()
    padded = torch.cat([source, source[:, :2]], dim=1)
    mask = torch.arange(S + 2).expand(B, -1) < S
    torch.testing.assert_close(ours(padded, target, mask), ours(source, target), rtol=0, atol=1e-6)


def test_dropout_is_off_unless_asked_for_and_in_eval():
    assert torch.equal(*(transformer()(*ids()) for _ in range(2)))
    dropping = transformer(dropout=0.5)
    assert not torch.equal(dropping(*ids()), dropping(*ids()))
    assert torch.equal(dropping.eval()(*ids()), transformer()(*ids()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_near(dtype):
    ours = transformer().float()
    with torch.autocast("cpu", dtype=dtype):
        logits = ours(*ids(), random_mask(B, S))
    torch.testing.assert_close(logits.float(), ours(*ids(), random_mask(B, S)), rtol=0.1, atol=0.1)


def test_a_graph_captures_it_whole():
    ours = transformer(depth=1)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*ids(), random_mask(B, S)), ours(*ids(), random_mask(B, S)))


def test_greedy_decoding_appends_the_likeliest_token_until_the_end():
    ours, (source, _), mask = transformer().eval(), ids(), random_mask(B, S)
    written = ours.generate(source, BOS, EOS, 13, source_mask=mask)
    assert (written[:, 0] == BOS).all()
    for row in range(B):
        tokens = [BOS]
        while len(tokens) < written.shape[1] and tokens[-1] != EOS:
            logits = ours(source[row : row + 1], torch.tensor([tokens]), mask[row : row + 1])
            tokens.append(logits[0, -1].argmax().item())
        assert written[row].tolist() == tokens + [EOS] * (written.shape[1] - len(tokens))


def test_a_row_that_has_ended_stays_ended(monkeypatch):
    ours, (source, _) = transformer(), ids()
    wishes = torch.tensor([[3, EOS, 4, 5], [EOS, 6, 7, 8], [9, 10, 11, EOS]])
    monkeypatch.setattr(ours, "decode", lambda ids, *_: nn.functional.one_hot(wishes[:, : ids.shape[1]], V))
    written = ours.generate(source, BOS, EOS, 13)
    assert written.tolist() == [[BOS, 3, EOS, EOS, EOS], [BOS, EOS, EOS, EOS, EOS], [BOS, 9, 10, 11, EOS]]


def test_greedy_decoding_stops_when_all_rows_have_ended():
    ours, (source, _) = transformer(), ids()
    with torch.no_grad():
        ours.generator.bias[EOS] = 1e6
    assert ours.generate(source, BOS, EOS, 13).tolist() == [[BOS, EOS]] * B
    with torch.no_grad():
        ours.generator.bias[EOS] = -1e6
    assert ours.generate(source, BOS, EOS, 13).shape == (B, 1 + 13)


def strings_and_their_reverses(rows, generator):
    """Random strings of 4 to 12 tokens, filled up with PAD `(B, 12)`; and backwards, with EOS behind them `(B, 13)`."""
    lengths, positions = torch.randint(4, 13, (rows, 1), generator=generator), torch.arange(13)
    tokens = torch.randint(3, 20, (rows, 13), generator=generator)
    backwards = tokens.gather(1, (lengths - 1 - positions).clamp(min=0))
    backwards = backwards.masked_fill(positions > lengths, PAD).masked_fill(positions == lengths, EOS)
    return tokens.masked_fill(positions >= lengths, PAD)[:, :12], backwards


@pytest.mark.slow
def test_it_learns_to_reverse_strings():
    torch.manual_seed(0)
    generator, steps = torch.Generator().manual_seed(0), 800
    ours = Transformer(20, 20, dim=64, depth=1, heads=4, dim_head=16, max_len=13)
    optimizer = torch.optim.AdamW(ours.parameters(), betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.2)
    for _ in range(steps):
        source, target = strings_and_their_reverses(64, generator)
        shifted = nn.functional.pad(target[:, :-1], (1, 0), value=BOS)
        logits = ours(source, shifted, source_mask=source != PAD)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(ours.parameters(), 1.0)
        optimizer.step()
        schedule.step()

    source, target = strings_and_their_reverses(1000, torch.Generator().manual_seed(1))
    written = ours.eval().generate(source, BOS, EOS, max_new_tokens=13, source_mask=source != PAD)[:, 1:]
    written = nn.functional.pad(written, (0, 13 - written.shape[1]), value=EOS)
    exact = (written == target.where(target != PAD, EOS)).all(dim=1).double().mean().item()
    assert exact >= 0.99


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Transformer(0, V), "source_vocab_size is 0, but it must be at least 1"),
        (lambda: Transformer(V, V, depth=0), "depth is 0, but it must be at least 1"),
        (
            lambda: transformer()(ids()[0], ids()[1][:2]),
            "source_ids has 3 rows, target_ids 2; pass one target for each",
        ),
        (lambda: transformer()(*ids(), torch.ones(B, T)), "a mask of shape (3, 5) does not fit scores of shape"),
        (lambda: transformer().generate(ids()[0], BOS, EOS, 0), "max_new_tokens is 0, but it must be at least 1"),
    ],
)
def test_what_it_refuses(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()
