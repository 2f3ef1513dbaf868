import itertools
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import TrainingArguments

from hf_scratch import ScratchConfig, ScratchForMaskedLM, ScratchForPreTraining
from hf_scratch.data.corpus import from_lengths
from hf_scratch.data.masking import Masking
from hf_scratch.data.pairs import DRAWS, SegmentCollator, SegmentRows
from hf_scratch.errors import UserError
from hf_scratch.training import compilation
from hf_scratch.training.budget import Budget
from hf_scratch.training.compilation import Compilation, layers_of
from hf_scratch.training.muon import MuonAdamW
from hf_scratch.training.pretraining import DrawAnew, MaskedRows, PretrainingTrainer, can_compile_layers, metrics_of_sums

V, LENGTH = 61, 23
SPECIAL = {"cls": 2, "sep": 3, "pad": 0}
SIZES = {
    "vocab_size": V,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": LENGTH,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


@pytest.fixture(scope="module")
def corpus():
    rng = np.random.default_rng(0)
    counts = rng.integers(2, 9, 53)
    lengths = rng.integers(1, 11, counts.sum())
    corpus = from_lengths(rng.integers(5, V, lengths.sum() + 53), lengths, counts)
    corpus.tokens[corpus.sentences[corpus.documents[:, 1] - 1, 1]] = SPECIAL["sep"]
    return corpus


@pytest.fixture(scope="module")
def masking():
    is_ordinary = torch.arange(V) >= 5
    return Masking(4, is_ordinary, is_ordinary.nonzero()[:, 0])


def trainer_of(corpus, masking, folder, draw="mlm+nsp", muon=None, sizes=None, padding_free="auto", **flags):
    torch.manual_seed(0)
    model = (ScratchForPreTraining if draw == "mlm+nsp" else ScratchForMaskedLM)(ScratchConfig(**SIZES | (sizes or {})))
    values = {"max_steps": 8, "per_device_train_batch_size": 17, "learning_rate": 0.01, "save_strategy": "no"}
    args = TrainingArguments(
        output_dir=str(folder), disable_tqdm=True, use_cpu=True, remove_unused_columns=False, dataloader_pin_memory=False,
        logging_steps=1, **values | flags,
    )  # fmt: skip
    rows = SegmentRows(corpus, DRAWS[draw], LENGTH, seed=0)
    collate = SegmentCollator(corpus, SPECIAL, LENGTH)
    trainer = PretrainingTrainer(
        model=model, args=args, train_dataset=rows, eval_dataset=rows, data_collator=collate, compute_metrics=metrics_of_sums,
        masking=masking, muon_learning_rate=muon, padding_free=padding_free, callbacks=[DrawAnew(rows)],
    )  # fmt: skip
    trainer.hold(SegmentRows(corpus, DRAWS[draw], LENGTH, seed=1), collate, size=71)
    return trainer


@pytest.mark.parametrize("draw", ["mlm+nsp", "mlm", "document"])
def test_evaluation_is_that_of_the_published_forward_on_all_positions(corpus, masking, tmp_path, draw):
    trainer = trainer_of(corpus, masking, tmp_path, draw, per_device_eval_batch_size=13)
    results = trainer.evaluate_held_out()
    held, model = trainer.eval_dataset.tensors, trainer.model.eval()
    B, T = held["input_ids"].shape
    labels = torch.full((B, T), -100).scatter(1, held["columns"], held["labels"])
    inputs = {name: held[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in held}
    with torch.no_grad():
        outputs = model(**inputs)
    logits = outputs.prediction_logits if draw == "mlm+nsp" else outputs.logits
    asked = labels != -100
    assert results["eval_mlm_loss"] == pytest.approx(cross_entropy(logits[asked], labels[asked]).item(), rel=1e-5)
    assert results["eval_mlm_accuracy"] == pytest.approx((logits[asked].argmax(-1) == labels[asked]).float().mean().item())
    if draw == "mlm+nsp":
        expected = cross_entropy(outputs.seq_relationship_logits, held["next_sentence_label"]).item()
        assert results["eval_nsp_loss"] == pytest.approx(expected, rel=1e-5) and 0 <= results["eval_nsp_accuracy"] <= 1
    else:
        assert "eval_nsp_loss" not in results


def test_pseudo_perplexity_hides_one_token_at_a_time(corpus, masking, tmp_path):
    trainer = trainer_of(corpus, masking, tmp_path, "mlm")
    held = trainer.one_hidden.tensors
    assert (held["input_ids"] == 4).sum(1).eq(1).all() and held["labels"].shape == (len(held["labels"]), 1)
    with torch.no_grad():
        logits = trainer.model.eval()(input_ids=held["input_ids"]).logits
    losses = cross_entropy(logits[torch.arange(len(logits)), held["columns"][:, 0]], held["labels"][:, 0])
    assert trainer.evaluate_held_out()["eval_pseudo_perplexity"] == pytest.approx(math.exp(losses), rel=1e-5)


def test_the_loss_is_the_sum_of_both_means(corpus, masking, tmp_path):
    trainer = trainer_of(corpus, masking, tmp_path)
    rows = trainer.train_dataset
    batch = trainer.data_collator(rows.__getitems__(list(range(31))))
    torch.manual_seed(7)
    loss, outputs = trainer.compute_loss(trainer.model, dict(batch), return_outputs=True)
    torch.manual_seed(7)
    ids, positions, labels = masking(batch["input_ids"])
    everything = torch.full((ids.numel(),), -100)
    everything[positions[labels != -100]] = labels[labels != -100]
    assert len(outputs.prediction_logits) == (labels != -100).sum() < labels.numel()  # no others meet the vocabulary
    full = trainer.model(**{**batch, "input_ids": ids, "labels": everything.view_as(ids)})
    nsp = cross_entropy(outputs.seq_relationship_logits, batch["next_sentence_label"])
    mlm = cross_entropy(full.prediction_logits.flatten(0, 1), everything)
    assert loss.item() == pytest.approx((mlm + nsp).item(), rel=1e-5) and full.loss.item() == pytest.approx(
        loss.item(), rel=1e-5
    )


def test_masks_and_rows_are_drawn_anew_each_epoch(corpus, masking, tmp_path):
    trainer = trainer_of(corpus, masking, tmp_path)
    ids = trainer.data_collator(trainer.train_dataset.__getitems__([0, 1, 2]))["input_ids"]
    assert not torch.equal(trainer.masking(ids)[0], trainer.masking(ids)[0])
    rows = SegmentRows(corpus, DRAWS["mlm+nsp"], LENGTH, seed=0)
    for epoch, expected in ((0.0, 0), (1.0, 1), (1.37, 1), (2.9999999, 3)):
        DrawAnew(rows).on_epoch_begin(None, SimpleNamespace(epoch=epoch), None)
        assert rows.epoch == expected


def test_padding_free_training_is_the_padded_one(corpus, masking, tmp_path):
    padded = trainer_of(corpus, masking, tmp_path, max_steps=3, padding_free="never")
    padded.train()
    spared = trainer_of(corpus, masking, tmp_path, max_steps=3)  # building it sets the seed again
    spared.train()
    assert padded.padding_free is None and spared.execution == "padding-free: only real tokens are computed"
    assert trainer_of(corpus, masking, tmp_path, "mlm").padding_free is None  # full rows have no padding
    losses = [[entry["loss"] for entry in trainer.state.log_history if "loss" in entry] for trainer in (padded, spared)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for name, weight in padded.model.state_dict().items():
        torch.testing.assert_close(spared.model.state_dict()[name], weight, rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("muon", [None, 0.02])
def test_a_resumed_run_is_the_unbroken_one(corpus, masking, tmp_path, muon):
    whole = trainer_of(corpus, masking, tmp_path / "whole", muon=muon, max_steps=24)
    whole.train()
    broken = trainer_of(corpus, masking, tmp_path / "broken", muon=muon, max_steps=24, save_strategy="steps", save_steps=17)
    broken.train()
    assert broken.state.epoch > 1 and 17 % -(-len(broken.train_dataset) // 17)  # stopped within a later epoch
    resumed = trainer_of(corpus, masking, tmp_path / "broken", muon=muon, max_steps=24)
    resumed.train(resume_from_checkpoint=str(tmp_path / "broken" / "checkpoint-17"))
    assert isinstance(resumed.optimizer.optimizer, MuonAdamW) == (muon is not None)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


@pytest.mark.slow
def test_it_learns_what_there_is_to_learn(masking, tmp_path):
    """Documents of one repeated token: the others tell a hidden one."""
    counts = np.full(97, 6)
    tokens = np.concatenate([np.append(np.full(24, 5 + row % 7), SPECIAL["sep"]) for row in range(97)])
    corpus = from_lengths(tokens, np.full(counts.sum(), 4), counts)
    sizes = {"hidden_size": 24, "initializer_range": 0.2, "position_embedding_type": "rope"}
    trainer = trainer_of(corpus, masking, tmp_path, "document", sizes=sizes, max_steps=150, warmup_steps=0.1)
    trainer.train()
    assert trainer.evaluate_held_out()["eval_mlm_accuracy"] > 0.9 > 3 / 7  # the share of the most frequent


def test_a_loss_that_is_no_number_ends_with_step_documents_and_remedy(corpus, masking, tmp_path):
    trainer = trainer_of(corpus, masking, tmp_path, per_device_train_batch_size=3)
    trainer.processing_class = SimpleNamespace(decode=lambda tokens: " ".join(map(str, tokens)))
    compute, seen = trainer.compute_loss, []

    def compute_loss(*args, **kwargs):
        seen.append(trainer.rows.tolist())
        return compute(*args, **kwargs) * (math.nan if len(seen) == 3 else 1)

    trainer.compute_loss = compute_loss
    with pytest.raises(
        UserError, match=r"the loss is nan at step 3, in the batch of the rows document .*; lower --learning_r"
    ) as error:
        trainer.train()
    for document in seen[-1]:
        first = corpus.sentences[corpus.documents[document, 0], 0]
        assert f"document {document} ({' '.join(map(str, corpus.tokens[first : first + 3]))}" in str(error.value)


@pytest.mark.parametrize("training", [True, False])
def test_memory_that_is_full_ends_with_the_batch_and_the_flags(corpus, masking, tmp_path, monkeypatch, training):
    trainer = trainer_of(corpus, masking, tmp_path, per_device_eval_batch_size=13)

    def forward(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.model.get_output_embeddings(), "forward", forward)
    size, flag = (17, "--per_device_train_batch_size 8 --grad") if training else (13, "--per_device_eval_batch_size 6")
    message = rf"{'training' if training else 'evaluation'} took a batch of {size} x {LENGTH} .*{flag}"
    with pytest.raises(UserError, match=message):
        trainer.train() if training else trainer.evaluate_held_out()


def test_held_out_rows_ask_the_same_at_every_evaluation(corpus, masking):
    rows, collate = SegmentRows(corpus, DRAWS["mlm"], LENGTH, seed=0), SegmentCollator(corpus, SPECIAL, LENGTH)
    inputs = collate(rows.__getitems__(list(range(7))))
    first, again = MaskedRows(inputs, masking, 3), MaskedRows(inputs, masking, 3)
    assert all(torch.equal(first[5][name], again[5][name]) for name in first.tensors) and len(first) == 7


def as_on_a_gpu(monkeypatch):
    """Layers are compiled, by a compiler that takes no time; the steps, plain ones first, take what a clock says."""
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")  # TrainingArguments writes it: put back afterwards
    monkeypatch.setattr("hf_scratch.training.pretraining.can_compile_layers", lambda model, args: args.torch_compile)
    monkeypatch.setattr("hf_scratch.training.pretraining.choose_compilation", compilation_of)
    monkeypatch.setattr(compilation, "TIMED", 1)
    # Seconds when a step begins and ends: plain ones, then when compiling begins, and compiled ones.
    times = itertools.chain([0.0, 2.0] * 4, [0.0], itertools.cycle([0.0, 1.0]))
    monkeypatch.setattr(compilation, "now", lambda: next(times))
    compiler, compiled = torch.nn.Module.compile, []

    def compile_eagerly(layer, dynamic):
        compiled.append(layer)
        compiler(layer, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_eagerly)
    monkeypatch.setattr("hf_scratch.training.pretraining.compiled", lambda function: noted(function, compiled))
    return compiled


def noted(function, calls):
    """The function, whose name is put into the list with every call."""
    return lambda *args: calls.append(function.__name__) or function(*args)


def compilation_of(wanted, free, args, longest, seconds_left):
    return Compilation(free, longest, records=False, seconds_left=seconds_left, least_seconds=5.0)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's own, while it traces
def test_pairs_are_compiled_layer_by_layer_and_learn_the_same(corpus, masking, tmp_path, monkeypatch):
    flags = {"max_steps": 13, "eval_strategy": "steps", "eval_steps": 7}
    plain = trainer_of(corpus, masking, tmp_path / "plain", **flags)
    plain.train()
    compiled = as_on_a_gpu(monkeypatch)
    trainer = trainer_of(corpus, masking, tmp_path / "compiled", **flags, torch_compile=True)
    assert trainer.accelerator.state.dynamo_plugin.backend.name == "NO"  # accelerate leaves the whole model as it is
    trainer.train()
    layers = list(layers_of(trainer.model.base_model))
    assert compiled[: len(layers)] == layers and compiled[len(layers) :] == ["mean_cross_entropy"] * 9  # steps
    said = re.match("padding-free: only real tokens are computed; compiled: a step of ([0-9]+) tokens", trainer.execution)
    assert 17 * 7 < int(said[1]) < 17 * LENGTH  # of 17 rows, padding not counted
    for key, times in (("loss", 13), ("eval_mlm_loss", 2)):
        losses = [[entry[key] for entry in run.state.log_history if key in entry] for run in (plain, trainer)]
        assert losses[1] == pytest.approx(losses[0], abs=1e-5) and len(losses[0]) == times
    assert trainer.compilation is None and compiled[0]._compiled_call_impl is None  # the model leaves as it came


@pytest.mark.parametrize("pinned", [True, False])
def test_no_step_waits_for_its_input_where_memory_is_pinned(corpus, masking, tmp_path, monkeypatch, pinned):
    monkeypatch.setattr(TrainingArguments, "dataloader_pin_memory", property(lambda _: pinned, lambda *_: None))  # as on a GPU
    assert trainer_of(corpus, masking, tmp_path).accelerator.non_blocking is pinned


def test_a_budget_that_soon_ends_is_not_worth_compiling(corpus, masking, tmp_path, monkeypatch):
    compiled = as_on_a_gpu(monkeypatch)
    trainer = trainer_of(corpus, masking, tmp_path, max_steps=10**8, torch_compile=True)
    trainer.add_callback(Budget(7.0, clock=itertools.count(0.5).__next__))
    trainer.train()
    assert not compiled and "before compiling would have paid" in trainer.execution


@pytest.mark.parametrize(
    ("device", "flags", "layers"),
    [
        ("cuda", {"torch_compile": True}, True),
        ("cuda", {}, False),
        ("cpu", {"torch_compile": True}, False),
        ("cuda", {"torch_compile": True, "torch_compile_mode": "default"}, False),
        ("cuda", {"torch_compile_backend": "aot_eager"}, False),
        ("cuda", {"torch_compile": True, "neftune_noise_alpha": 3.0}, False),  # padding has to be computed
    ],
)
def test_layers_are_compiled_on_a_gpu_unless_a_backend_or_mode_of_trainers_is_named(monkeypatch, device, flags, layers):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")
    monkeypatch.setenv("ACCELERATE_DYNAMO_MODE", "default")
    args = TrainingArguments("unused", report_to=[], **flags)
    monkeypatch.setattr(TrainingArguments, "device", torch.device(device))
    monkeypatch.setattr("hf_scratch.training.padding_free.why_not_on_cuda", lambda *_: None)
    assert bool(can_compile_layers(ScratchForPreTraining(ScratchConfig(**SIZES)), args)) is layers
