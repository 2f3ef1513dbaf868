import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    TrainingArguments,
)

from hf_scratch import ScratchConfig, ScratchForMaskedLM
from hf_scratch.data.corpus import from_lengths
from hf_scratch.data.masking import IGNORED, Masking
from hf_scratch.data.pairs import DRAWS, SegmentCollator, SegmentRows
from hf_scratch.errors import UserError
from hf_scratch.training.muon import MuonAdamW
from hf_scratch.training.pretraining import DrawAnew, PretrainingTrainer, metrics_of_sums
from hf_scratch.training.replaced_tokens import ReplacedTokens

V, T, MASK = 53, 19, 4
SIZES = {
    "vocab_size": V,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": T,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.5,  # far from uniform logits
}


def model_of(kind="scratch", **sizes):
    torch.manual_seed(0)
    config, model = {"scratch": (ScratchConfig, ScratchForMaskedLM), "bert": (BertConfig, BertForMaskedLM)}[kind]
    return model(config(**SIZES | sizes))


@pytest.fixture
def question():
    """A batch whose first row asks for one token fewer, and what the trainer hands on of it."""
    torch.manual_seed(1)
    original = torch.randint(5, V, (7, T))
    columns = torch.rand(7, T).topk(5, dim=1).indices
    positions = columns + torch.arange(7)[:, None] * T
    labels = original.gather(1, columns)
    labels[0, 3] = IGNORED
    hidden = torch.where(labels == IGNORED, original.gather(1, columns), MASK)
    masked = original.scatter(1, columns, hidden)
    return {"input_ids": masked, "positions": positions.flatten(), "labels": labels.flatten(), "original": original}


def seen_by(replaced, monkeypatch):
    """What the generator makes of batches to come."""
    seen, replace = [], replaced.replace

    def spy(*args):
        seen.append(replace(*args))
        return seen[-1]

    monkeypatch.setattr(replaced, "replace", spy)
    return seen


@pytest.mark.parametrize("kind", ["scratch", "bert"])
@pytest.mark.parametrize("padded", [False, True])
def test_the_losses_are_those_of_a_slow_loop(question, monkeypatch, kind, padded):
    model = model_of(kind)
    replaced = ReplacedTokens(model, MASK, layers=2, weight=3.7)
    if padded:  # the last two columns, where nothing is chosen
        mask = torch.ones(7, T, dtype=torch.long)
        chosen = torch.zeros(7 * T, dtype=torch.bool)
        chosen[question["positions"]] = True
        mask[:, -2:] = chosen.view(7, T)[:, -2:].long()
        question["attention_mask"] = mask
    else:
        mask = torch.ones(7, T, dtype=torch.long)
    draws = seen_by(replaced, monkeypatch)
    with replaced.attached():
        found = model(**question)
    (seen,) = draws

    asked = torch.full((7 * T,), IGNORED)
    asked[question["positions"]] = question["labels"]
    mlm = model(input_ids=seen, attention_mask=mask, labels=asked.view(7, T)).loss
    generator = type(model)(type(model.config)(**SIZES | {"num_hidden_layers": 2}))
    generator.load_state_dict(model.state_dict(), strict=False)  # head, embeddings and, untrained, the first two layers
    expected = generator(input_ids=question["input_ids"], attention_mask=mask, labels=asked.view(7, T)).loss
    hidden = model.base_model(seen, attention_mask=mask).last_hidden_state
    losses = []
    for row in range(7):
        for column in range(T):
            if mask[row, column] and seen[row, column] != MASK:
                p = 1 / (1 + math.exp(-replaced.detector(hidden[row, column]).item()))
                losses.append(-math.log(p if seen[row, column] != question["original"][row, column] else 1 - p))
    assert found.mlm_loss.item() == pytest.approx(mlm.item(), rel=1e-5)
    assert found.generator_loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert found.detection_loss.item() == pytest.approx(np.mean(losses), rel=1e-5)
    total = mlm.item() + expected.item() + 3.7 * np.mean(losses)
    assert found.loss.item() == pytest.approx(total, rel=1e-5)


def test_half_of_the_chosen_is_hidden_and_the_rest_drawn_from_the_generators_softmax():
    replaced = ReplacedTokens(model_of(), MASK)
    n, logits = 40_000, torch.tensor([0.3, -1.2, 2.0, 0.9, -0.4, 0.0, 1.1])
    torch.manual_seed(0)
    original = torch.full((n, 3), 6)
    positions = torch.arange(n) * 3 + 1
    labels = torch.full((n,), 6)
    labels[::10] = IGNORED
    seen = replaced.replace(logits.expand(n, 7), positions, labels, original)
    assert (seen[:, [0, 2]] == 6).all() and (seen[::10] == 6).all()
    middle = seen[:, 1][labels != IGNORED]
    assert (original == 6).all()  # only read
    drawn = torch.softmax(logits, 0) / 2
    drawn[MASK] += 0.5
    counts = torch.bincount(middle, minlength=7)
    bounds = 4.5 * (len(middle) * drawn * (1 - drawn)).sqrt()
    assert ((counts - len(middle) * drawn).abs() < bounds).all()


def test_the_generator_learns_from_its_own_loss_alone(question):
    gradients = []
    for weight in (1e-9, 1e3):
        model = model_of()
        replaced = ReplacedTokens(model, MASK, weight=weight)
        torch.manual_seed(2)
        replaced(**question).loss.backward()
        gradients.append([p.grad.clone() for p in replaced.generator.parameters()])
        assert all(p.grad is not None for p in [*model.parameters(), *replaced.parameters()])  # DDP looks for none without
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    assert any(gradient.abs().max() > 0 for gradient in gradients[0])


def test_the_model_has_generator_and_detector_only_while_they_are_attached(question):
    model = model_of()
    names, ids = set(model.state_dict()), question["original"]
    before = model(ids).logits
    replaced = ReplacedTokens(model, MASK)
    with pytest.raises(ZeroDivisionError), replaced.attached():
        assert {name.split(".")[0] for name in set(model.state_dict()) - names} == {"replaced_tokens"}
        assert torch.equal(model(ids).logits, before) and model(**question).loss > 0
        raise ZeroDivisionError
    assert set(model.state_dict()) == names and torch.equal(model(ids).logits, before)
    assert not any("word_embeddings" in name for name in replaced.state_dict())  # the encoder's own


@pytest.mark.parametrize(("layers", "wanted", "count"), [(8, None, 2), (3, None, 1), (1, None, 1), (3, 3, 3)])
def test_the_generator_has_a_quarter_of_the_layers_and_begins_as_the_first_ones(layers, wanted, count):
    model = model_of(num_hidden_layers=layers)
    generator = ReplacedTokens(model, MASK, wanted).generator
    assert len(generator.layers) == count
    assert torch.equal(generator.layers[-1].attention.query.weight, model.scratch.layers[count - 1].attention.query.weight)


@pytest.mark.parametrize("layers", [0, 4])
def test_a_generator_that_is_no_smaller_copy_is_refused(layers):
    with pytest.raises(UserError, match=f"--generator_layers is {layers}, .* of the encoder's 3 layers; give 1 to 3"):
        ReplacedTokens(model_of(), MASK, layers)


def test_a_head_of_two_modules_is_refused():
    sizes = {name: SIZES[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
    model = ElectraForMaskedLM(ElectraConfig(vocab_size=V, embedding_size=7, **sizes))
    with pytest.raises(UserError, match=r"with ElectraForMaskedLM, but .* states of size 12, .* give --objective mlm, or"):
        ReplacedTokens(model, MASK)


def test_a_head_with_parts_in_front_is_refused():
    config = DistilBertConfig(vocab_size=V, dim=12, n_layers=3, n_heads=3, hidden_dim=17)
    with pytest.raises(UserError, match=r"with DistilBertForMaskedLM, but .* its head has more parts or takes others"):
        ReplacedTokens(DistilBertForMaskedLM(config), MASK)


def test_held_out_rows_are_judged_as_by_a_slow_loop(question, monkeypatch):
    model = model_of()
    replaced = ReplacedTokens(model, MASK)
    draws = seen_by(replaced, monkeypatch)
    positions, labels = question["positions"].view(7, 5), question["labels"].view(7, 5)
    ids = question["original"].clone()
    ids.flatten()[positions[:, :2].flatten()] = 5  # as BERT's rule may leave them: not all of the asked are hidden
    ids[0] = question["original"][0]
    with torch.no_grad():
        sums = replaced.sums_of_rows(ids, positions, labels, generator=torch.Generator().manual_seed(3))
        hidden = model.scratch(draws[0]).last_hidden_state
        for row in range(7):
            expected = np.zeros(5)
            for column in range(T):
                token, old = draws[0][row, column], question["original"][row, column]
                if token != MASK:
                    logit = replaced.detector(hidden[row, column]).item()
                    loss = math.log1p(math.exp(-logit if token != old else logit))
                    expected += [1, loss, token != old, logit > 0, token != old and logit > 0]
            assert sums[row].tolist() == pytest.approx(expected, rel=1e-4)
        again = replaced.sums_of_rows(ids, positions, labels, generator=torch.Generator().manual_seed(3))
    assert torch.equal(sums, again) and 0 < sums[:, 2].sum() < sums[:, 0].sum()


def trainer_of(folder, muon=None, sizes=None, **flags):
    """Documents of one repeated token each: what was replaced can be told."""
    counts = np.full(97, 6)
    tokens = np.concatenate([np.append(np.full(24, 5 + row % 7), 3) for row in range(97)])
    corpus = from_lengths(tokens, np.full(counts.sum(), 4), counts)
    model = model_of(**{"initializer_range": 0.2, "position_embedding_type": "rope"} | (sizes or {}))
    values = {"max_steps": 8, "per_device_train_batch_size": 17, "learning_rate": 0.01, "save_strategy": "no"}
    args = TrainingArguments(
        output_dir=str(folder), disable_tqdm=True, use_cpu=True, remove_unused_columns=False, dataloader_pin_memory=False,
        logging_steps=1, **values | flags,
    )  # fmt: skip
    rows, collate = SegmentRows(corpus, DRAWS["mlm+rtd"], T, seed=0), SegmentCollator(corpus, {"cls": 2, "sep": 3, "pad": 0}, T)
    ordinary = torch.arange(V) >= 5
    trainer = PretrainingTrainer(
        model=model, args=args, train_dataset=rows, data_collator=collate, compute_metrics=metrics_of_sums,
        masking=Masking(MASK, ordinary, ordinary.nonzero()[:, 0], probability=0.3), muon_learning_rate=muon,
        replaced_tokens=ReplacedTokens(model, MASK), callbacks=[DrawAnew(rows)],
    )  # fmt: skip
    trainer.hold(SegmentRows(corpus, DRAWS["mlm+rtd"], T, seed=1), collate, size=71)
    return trainer


@pytest.mark.slow
def test_it_learns_to_tell_what_was_replaced_and_what_was_hidden(tmp_path):
    trainer = trainer_of(tmp_path, sizes={"hidden_size": 24}, max_steps=150, warmup_steps=0.1)
    trainer.train()
    results = trainer.evaluate_held_out()
    assert results["eval_mlm_accuracy"] > 0.9 > 3 / 7 and results["eval_rtd_loss"] < 0.2
    assert not any(name.startswith("replaced_tokens") for name in trainer.model.state_dict())


def test_a_checkpoint_of_it_loads_without_a_word_as_the_plain_model(tmp_path):
    trainer = trainer_of(tmp_path, max_steps=2, save_strategy="steps", save_steps=2)
    trainer.train()
    assert any("replaced_tokens" in name for name in load_file(tmp_path / "checkpoint-2" / "model.safetensors"))
    model, found = ScratchForMaskedLM.from_pretrained(tmp_path / "checkpoint-2", output_loading_info=True)
    assert not found["unexpected_keys"] and not found["missing_keys"]
    for name, weight in trainer.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


@pytest.mark.slow
@pytest.mark.parametrize("muon", [None, 0.02])
def test_a_resumed_run_is_the_unbroken_one(tmp_path, muon):
    whole = trainer_of(tmp_path / "whole", muon, max_steps=13)
    whole.train()
    trainer_of(tmp_path / "broken", muon, max_steps=13, save_strategy="steps", save_steps=7, save_only_model=False).train()
    resumed = trainer_of(tmp_path / "broken", muon, max_steps=13)
    resumed.train(resume_from_checkpoint=str(tmp_path / "broken" / "checkpoint-7"))
    assert isinstance(resumed.optimizer.optimizer, MuonAdamW) == (muon is not None)
    for part in ("model", "replaced_tokens"):
        for name, weight in getattr(whole, part).state_dict().items():
            assert torch.equal(weight, getattr(resumed, part).state_dict()[name]), name


def test_muon_trains_the_generators_matrices_too_and_the_detector_is_adamws(tmp_path):
    trainer = trainer_of(tmp_path, muon=0.02, max_steps=1)
    trainer.train()
    groups = trainer.optimizer.optimizer.param_groups
    muon = {p for group in groups if group["muon"] for p in group["params"]}
    other = {p for group in groups if not group["muon"] for p in group["params"]}
    replaced = trainer.replaced_tokens
    assert {replaced.generator.layers[0].attention.query.weight, trainer.model.scratch.layers[2].attention.query.weight} <= muon
    assert {replaced.detector[0].weight, trainer.model.get_input_embeddings().weight} <= other and not muon & other


def test_held_out_questions_of_masked_tokens_are_those_of_any_objective(tmp_path):
    trainer = trainer_of(tmp_path)
    results = trainer.evaluate_held_out()
    held = trainer.eval_dataset.tensors
    assert 0.02 < (held["input_ids"].gather(1, held["columns"]) != MASK).float().mean() < 0.35  # 20 % are not hidden
    labels = torch.full_like(held["input_ids"], IGNORED).scatter(1, held["columns"], held["labels"])
    with torch.no_grad():
        logits = trainer.model.eval()(held["input_ids"]).logits
    expected = cross_entropy(logits.flatten(0, 1), labels.flatten()).item()
    assert results["eval_mlm_loss"] == pytest.approx(expected, rel=1e-5)
    for part in (trainer.model, trainer.replaced_tokens):
        part.train()  # as training leaves them
        for dropout in (module for module in part.modules() if isinstance(module, torch.nn.Dropout)):
            dropout.p = 0.5
    assert all(trainer.evaluate()[key] == results[key] for key in ("eval_rtd_loss", "eval_rtd_precision", "eval_rtd_recall"))
