import pytest
import torch
from transformers import TrainingArguments

from hf_scratch.errors import UserError
from hf_scratch.training.faults import is_out_of_memory, out_of_memory
from tests.parallel_worker import make_rows
from tests.training.test_checkpoints import tiny_trainer

NO_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_training_with_step_and_rows(bad, tmp_path):
    trainer = tiny_trainer(tmp_path, train_sampling_strategy="sequential", save_steps=1)
    trainer.train_dataset = make_rows(53).add_column("id", [f"train/{row}" for row in range(53)])
    compute, seen = trainer.compute_loss, []

    def compute_loss(*args, **kwargs):
        seen.append(compute(*args, **kwargs))
        return seen[-1] * (bad if len(seen) == 3 else 1)

    trainer.compute_loss = compute_loss
    rows = ", ".join(f"train/{row}" for row in range(24, 36))
    with pytest.raises(UserError, match=rf"the loss is {bad:g} at step 3, in the batch of the rows {rows}, but .*lower --"):
        trainer.train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert len(trainer.state.log_history) == 2  # nothing of it was logged


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(NO_MEMORY)])
@pytest.mark.parametrize("training", [True, False])
def test_memory_that_is_full_ends_with_the_batch_and_the_flags(error, training, tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path)

    def forward(*_, **__):
        raise error

    monkeypatch.setattr(trainer.model.classifier, "forward", forward)
    flags = "--per_device_train_batch_size 6 --gradient_accumulation_steps 2, then --.*checkpointing"
    message = rf"training took a batch of 12 x 7 .*{flags}" if training else r"evaluation took .*8 x 7 .*_eval_batch_size 4"
    with pytest.raises(UserError, match=message):
        trainer.train() if training else trainer.evaluate(make_rows(17))


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path)
    monkeypatch.setattr(trainer.model.classifier, "forward", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_single_row_is_made_shorter(tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=1, use_cpu=True)
    assert "--max_seq_length 256" in str(out_of_memory(args, {"input_ids": torch.zeros(1, 512)}, training=True))


def test_a_budget_of_tokens_is_halved_where_it_takes_the_place_of_the_batch_size(tmp_path):
    args = TrainingArguments(str(tmp_path), per_device_train_batch_size=1, use_cpu=True)
    message = str(out_of_memory(args, {"input_ids": torch.zeros(7, 31)}, True, 4096))
    assert "--max_tokens_per_batch 2048" in message and "batch_size" not in message
