import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy.special import rel_entr
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertConfig, BertForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.data.batching import make_collator
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.training import trainer as trainer_module
from hf_scratch.training.arguments import RegularizationArguments, SpeedArguments
from hf_scratch.training.trainer import ClassificationTrainer, divergence, drop_tokens

SIZES = {
    "vocab_size": 31,
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 17,
    "max_position_embeddings": 13,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
MODELS = [(ScratchConfig, ScratchForSequenceClassification), (BertConfig, BertForSequenceClassification)]


def one_step(model, folder, batch_size: int, accumulation: int, regularization=None):
    """Train one step on the same 32 rows; the logged loss and gradient norm, and the weights."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(1, 31, (32, 7), generator=generator)
    rows = Dataset.from_dict({"input_ids": ids.tolist(), "labels": [row % 2 for row in range(32)]})
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        max_steps=1,
        logging_steps=1,
        learning_rate=1e-3,
        optim="sgd",
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    trainer = ClassificationTrainer(model=model, args=args, train_dataset=rows, regularization=regularization)
    trainer.train()
    logged = trainer.state.log_history[0]
    return logged["loss"], {name: weight.detach().clone() for name, weight in model.named_parameters()}


@pytest.mark.parametrize(("config_class", "model_class"), MODELS)
def test_accumulating_four_batches_of_eight_is_one_batch_of_32(config_class, model_class, tmp_path):
    torch.manual_seed(0)
    model = model_class(config_class(**SIZES)).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss, weights = one_step(model, tmp_path, 32, 1)
    model.load_state_dict(start)
    accumulated_loss, accumulated_weights = one_step(model, tmp_path, 8, 4)
    assert accumulated_loss == pytest.approx(loss, rel=1e-9)
    for name, weight in weights.items():
        torch.testing.assert_close(accumulated_weights[name], weight, rtol=1e-9, atol=1e-12)


def test_work_is_counted_as_trainer_counts_it(tmp_path):
    model = ScratchForSequenceClassification(ScratchConfig(**SIZES))
    trainer = ClassificationTrainer(model, TrainingArguments(str(tmp_path), use_cpu=True, report_to=[]))
    inputs = {"input_ids": torch.ones(3, 7, dtype=torch.long)}
    assert trainer.floating_point_ops(inputs) == Trainer.floating_point_ops(trainer, inputs) > 0


def test_no_step_waits_for_its_loss_to_be_filtered(tmp_path):
    model = ScratchForSequenceClassification(ScratchConfig(**SIZES))
    trainer = ClassificationTrainer(model, TrainingArguments(str(tmp_path), use_cpu=True, report_to=[]))
    assert trainer.args.logging_nan_inf_filter is False


def test_token_dropout_hides_its_share_and_never_a_special_token():
    torch.manual_seed(0)
    ids = torch.randint(0, 31, (101, 97))
    mask = (torch.arange(97) < 89).long().expand(101, 97)
    hidden = drop_tokens({"input_ids": ids, "attention_mask": mask, "labels": ids}, 0.3, special_ids=[2, 3])
    special = torch.isin(ids, torch.tensor([2, 3]))
    new = hidden["attention_mask"]
    assert torch.equal(new[special], mask[special]) and new[mask == 0].sum() == 0
    ordinary = ~special & (mask == 1)
    share = 1 - new[ordinary].float().mean()
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / ordinary.sum()) ** 0.5
    assert mask.sum() == 101 * 89 and hidden["labels"] is ids  # the caller's tensors are left as they were


def test_the_divergence_is_that_of_scipy():
    first, second = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = first.softmax(-1).numpy(), second.softmax(-1).numpy()
    expected = (rel_entr(p, q).sum(-1) + rel_entr(q, p).sum(-1)).mean() / 2
    assert divergence(first, second).item() == pytest.approx(expected)
    p, q = first.sigmoid().numpy(), second.sigmoid().numpy()
    both = (rel_entr(p, q) + rel_entr(1 - p, 1 - q) + rel_entr(q, p) + rel_entr(1 - q, 1 - p)).sum(-1).mean() / 2
    assert divergence(first, second, "multi_label_classification").item() == pytest.approx(both)
    assert divergence(first, second, "regression").item() == pytest.approx(((first - second) ** 2).mean().item())


def test_r_drop_without_dropout_changes_nothing(tmp_path):
    """Two passes that drop nothing agree: the mean loss over both is that of one, and the divergence is zero."""
    torch.manual_seed(0)
    model = ScratchForSequenceClassification(ScratchConfig(**SIZES)).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss, weights = one_step(model, tmp_path, 32, 1)
    model.load_state_dict(start)
    doubled_loss, doubled_weights = one_step(model, tmp_path, 32, 1, RegularizationArguments(r_drop=3.0))
    assert doubled_loss == pytest.approx(loss)
    for name, weight in weights.items():
        torch.testing.assert_close(doubled_weights[name], weight, rtol=1e-9, atol=1e-12)


def test_r_drop_with_dropout_adds_to_the_loss(tmp_path):
    torch.manual_seed(0)
    model = ScratchForSequenceClassification(ScratchConfig(**SIZES | {"hidden_dropout_prob": 0.5})).double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses = []
    for weight in (1e-9, 1000.0):
        model.load_state_dict(start)
        losses.append(one_step(model, tmp_path, 32, 1, RegularizationArguments(r_drop=weight))[0])
    assert losses[1] > losses[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"token_dropout": 1.0}, "--token_dropout is 1, but a probability"), ({"r_drop": -1.0}, "--r_drop is -1, but a weight")],
)
def test_refused_regularization(values, message):
    with pytest.raises(ValueError, match=message):
        RegularizationArguments(**values)


def lengths_rows(count=41):
    """Rows of 2 to 13 tokens."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(2, 14, (count,), generator=generator).tolist()
    ids = [torch.randint(4, 31, (length,), generator=generator).tolist() for length in lengths]
    rows = {"input_ids": ids, "attention_mask": [[1] * length for length in lengths], "labels": [n % 2 for n in lengths]}
    return Dataset.from_dict(rows), sum(lengths)


def budget_run(folder, max_tokens, model_class=ScratchForSequenceClassification, speed=None, **fields):
    """Train a model in double precision on rows of several lengths; the trainer."""
    torch.manual_seed(0)
    config_class = {model: config for config, model in MODELS}[model_class]
    model = model_class(config_class(**SIZES)).double()
    rows, _ = lengths_rows()
    given = {"optim": "sgd", "learning_rate": 1e-2, "max_grad_norm": 0.0, "logging_steps": 1, "save_strategy": "no"}
    args = TrainingArguments(
        str(folder), use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False, seed=7, **given | fields
    )
    speed = SpeedArguments(max_tokens_per_batch=max_tokens, **speed or {})
    collator = DataCollatorWithPadding(train_wordpiece(["a"], 100, 13))
    trainer = ClassificationTrainer(model, args, collator, rows, speed=speed)
    trainer.train(resume_from_checkpoint=fields.get("resume_from_checkpoint"))
    return trainer


def weights_of(trainer):
    return {name: weight.detach() for name, weight in trainer.model.named_parameters()}


@pytest.mark.parametrize("model_class", [model for _, model in MODELS])
@pytest.mark.parametrize("padding_free", ["auto", "never"])
def test_unequal_batches_weigh_by_their_rows(model_class, padding_free, tmp_path):
    """Two batches of different numbers of rows, accumulated, are one batch of all rows."""
    tokens = lengths_rows()[1]
    speed = {"padding_free": padding_free}
    whole = budget_run(tmp_path, tokens, model_class, speed, max_steps=1)
    parts = budget_run(tmp_path, tokens // 2 + 13, model_class, speed, max_steps=1, gradient_accumulation_steps=2)
    assert len(whole.get_train_dataloader()) == 1 and len(parts.get_train_dataloader()) == 2
    assert parts.state.log_history[0]["loss"] == pytest.approx(whole.state.log_history[0]["loss"], rel=1e-6)
    for name, weight in weights_of(whole).items():
        torch.testing.assert_close(weights_of(parts)[name], weight, rtol=0, atol=1e-8)


def test_evaluation_by_tokens_is_evaluation_by_rows(tmp_path):
    trainer = budget_run(tmp_path, 67, max_steps=1)
    by_tokens = trainer.predict(trainer.train_dataset)
    trainer.speed.max_tokens_per_batch = trainer.padding_free = None
    trainer.data_collator = trainer.data_collator.collator
    by_rows = trainer.predict(trainer.train_dataset)
    assert by_tokens.metrics["test_loss"] == pytest.approx(by_rows.metrics["test_loss"], abs=1e-6)
    torch.testing.assert_close(torch.tensor(by_tokens.predictions), torch.tensor(by_rows.predictions), rtol=0, atol=1e-6)


def evaluating_trainer(folder, speed=None, **fields):
    """A trainer that evaluates rows of several lengths, in batches of 7 rows."""
    torch.manual_seed(0)
    given = {"per_device_eval_batch_size": 7, "disable_tqdm": True, "dataloader_pin_memory": False, "report_to": []}
    args = TrainingArguments(str(folder), use_cpu=True, **given | fields)
    collator = make_collator(train_wordpiece(["a"], 100, 13), 13)
    return ClassificationTrainer(
        ScratchForSequenceClassification(ScratchConfig(**SIZES)), args, collator, speed=speed, eval_dataset=lengths_rows()[0]
    )


def test_evaluation_starts_no_processes_and_takes_texts_of_one_length_together(tmp_path):
    trainer = evaluating_trainer(tmp_path, dataloader_num_workers=3, dataloader_persistent_workers=True)
    loader = trainer.get_eval_dataloader()
    assert loader.num_workers == 0 and trainer.workers()["num_workers"] == 3
    assert [len(batch["row"]) for batch in loader] == [7, 7, 7, 7, 7, 6]
    computed, real = (
        sum(count(batch) for batch in loader) for count in (lambda b: b["input_ids"].numel(), lambda b: b["num_tokens"])
    )
    assert real == lengths_rows()[1] and computed < 1.1 * real


def test_batches_of_evaluation_may_be_filled_by_tokens(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "MOST_EVALUATED", 39)
    by_rows = evaluating_trainer(tmp_path)
    assert "evaluation" not in by_rows.execution and by_rows.evaluated_tokens() is None
    speed = SpeedArguments()
    speed.eval_by_tokens = True
    by_tokens = evaluating_trainer(tmp_path, speed)
    assert by_tokens.execution["evaluation"] == "evaluation in batches of up to 39 tokens, the longest texts first"
    computed = [batch["input_ids"].numel() for batch in by_tokens.get_eval_dataloader()]
    assert max(computed) <= 39 and min(computed[:-1]) > 39 - 13
    expected, found = (trainer.predict(lengths_rows()[0]) for trainer in (by_rows, by_tokens))
    assert found.metrics["test_loss"] == pytest.approx(expected.metrics["test_loss"], abs=1e-6)
    torch.testing.assert_close(torch.tensor(found.predictions), torch.tensor(expected.predictions), rtol=0, atol=1e-6)
    assert evaluating_trainer(tmp_path, SpeedArguments(max_tokens_per_batch=500)).evaluated_tokens() == 39
    assert evaluating_trainer(tmp_path, SpeedArguments(max_tokens_per_batch=31)).evaluated_tokens() == 31
    speed.padding_free = "never"
    assert evaluating_trainer(tmp_path, speed).evaluated_tokens() is None  # its memory is another


class Casts(TorchDispatchMode):
    """Counts how often a matrix of the given shape is made one of bfloat16."""

    def __init__(self, shape):
        super().__init__()
        self.shape, self.count = shape, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        is_cast = func is torch.ops.aten._to_copy.default and (kwargs or {}).get("dtype") is torch.bfloat16
        self.count += is_cast and args[0].shape == self.shape
        return func(*args, **kwargs or {})


def test_weights_are_cast_once_an_evaluation_and_the_numbers_stay(tmp_path, monkeypatch):
    trainer = evaluating_trainer(tmp_path, bf16=True)
    weight = trainer.model.scratch.layers[0].feed_forward.widen.weight
    with Casts(weight.shape) as casts:
        found = trainer.predict(lengths_rows()[0])
    assert casts.count == 1
    monkeypatch.setattr(trainer, "weights_cast_once", nullcontext)
    with Casts(weight.shape) as casts:
        expected = trainer.predict(lengths_rows()[0])
    assert casts.count == 6  # batches
    assert np.array_equal(found.predictions, expected.predictions)
    assert found.metrics["test_loss"] == expected.metrics["test_loss"]


def test_steps_are_counted_and_a_run_resumed_within_an_epoch_is_the_same(tmp_path):
    common = {"num_train_epochs": 3, "lr_scheduler_type": "linear", "max_tokens": 67}
    unbroken = budget_run(tmp_path / "a", **common, save_strategy="steps", save_steps=7)
    batches = len(unbroken.get_train_dataloader())
    assert batches > 3 and unbroken.state.global_step == 3 * batches and unbroken.state.epoch == 3
    assert unbroken.state.log_history[-2]["learning_rate"] == pytest.approx(1e-2 / (3 * batches))  # of the last step
    assert 7 % batches
    resumed = budget_run(tmp_path / "b", **common, resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-7"))
    for name, weight in weights_of(unbroken).items():
        assert torch.equal(weights_of(resumed)[name], weight), name


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    """Each sees its share of the same batches, and the loss is the mean over the rows of both.

    Grouped by length, for padding is computed, the last batch of an epoch has one row: the other process computes a filler.
    """
    common = {"speed": {"padding_free": "never"}, "num_train_epochs": 2}
    alone = budget_run(tmp_path / "one", 49, **common)
    assert min(map(len, alone.get_train_dataloader().batch_sampler)) == 1
    assert alone.execution["batches"] == "batches of up to 49 tokens, each of about one length"
    script = tmp_path / "ranks.py"
    script.write_text(
        "import os, sys, torch\n"
        "from hf_scratch.training.distributed import destroy_process_groups\n"
        "from tests.training.test_trainer import budget_run, weights_of\n"
        f"trainer = budget_run({str(tmp_path / 'two')!r}, 49, **{common}, ddp_backend='gloo')\n"
        "assert trainer.args.world_size == 2\n"
        "if trainer.args.process_index == 0:\n"
        f"    torch.save([weights_of(trainer), trainer.state.log_history], {str(tmp_path / 'two.pt')!r})\n"
        "del trainer\n"
        "destroy_process_groups()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    weights, history = torch.load(tmp_path / "two.pt")
    losses = [[entry["loss"] for entry in log[:-1]] for log in (history, alone.state.log_history)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, weight in weights_of(alone).items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("asked", "said"), [(True, ["  not compiled: it was not proven to pay on cpu"]), (None, [])])
def test_who_asks_for_compiling_is_told_that_there_is_none(tmp_path, capsys, asked, said):
    trainer = evaluating_trainer(tmp_path, max_steps=1, save_strategy="no")
    trainer.train_dataset, trainer.speed.torch_compile = trainer.eval_dataset, asked
    trainer.train()
    assert [line for line in capsys.readouterr().out.splitlines() if "compiled" in line] == said
