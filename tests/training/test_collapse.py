import math

import pytest
import torch
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, TrainerControl, TrainerState, TrainingArguments, set_seed

from hf_scratch.training.arguments import RegularizationArguments
from hf_scratch.training.collapse import CollapseStop
from hf_scratch.training.trainer import ClassificationTrainer

# A word of one of three classes, and a filler: what a single layer learns in a few steps.
ROWS = Dataset.from_dict(
    {"input_ids": [[1 + row % 3, 5 + row % 7] for row in range(131)], "labels": [row % 3 for row in range(131)]}
)


def train(folder, collapse, **flags):
    """Train a tiny BERT for 300 steps, 17 an epoch, and say where it ended."""
    set_seed(0)
    config = BertConfig(
        vocab_size=13, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17, num_labels=3
    )
    args = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **{"max_steps": 300} | flags,
    )
    model = BertForSequenceClassification(config)
    regularization = RegularizationArguments(r_drop=1.0)
    ClassificationTrainer(model=model, args=args, train_dataset=ROWS, collapse=collapse, regularization=regularization).train()
    return collapse


@pytest.mark.slow
def test_a_run_that_truly_collapses_is_stopped_at_step_200_and_named(tmp_path, capsys):
    """A learning rate a thousand times too high: every text gets the same answer."""
    collapse = train(tmp_path, CollapseStop(3), learning_rate=3.0, label_smoothing_factor=0.1)
    assert collapse.found.startswith("collapsed by step 200: ")


@pytest.mark.slow
def test_a_run_that_learns_is_not(tmp_path):
    assert train(tmp_path, CollapseStop(3), learning_rate=3e-3).found is None


def windows(collapse, batches, epoch=1.5, warmup_steps=0, first=0, tmp="unused"):
    """Show the callback one batch a window, and say after which step training was to stop."""
    args = TrainingArguments(output_dir=tmp, warmup_steps=warmup_steps, use_cpu=True)
    state, control = TrainerState(max_steps=10_000, epoch=epoch), TrainerControl()
    for number, (logits, labels) in enumerate(batches, 1):
        collapse.watch(torch.tensor(logits, dtype=torch.float32), torch.tensor(labels))
        state.global_step = first + 100 * number
        collapse.on_step_end(args, state, control)
        if control.should_training_stop:
            return state.global_step
    return None


SAME = ([[0.0, 0.1, 0.0]] * 6, [0, 1, 2, 0, 1, 2])
LEARNT = ([[5.0, 0, 0], [0, 5.0, 0], [0, 0, 5.0]] * 2, [0, 1, 2, 0, 1, 2])
# Ever the same class is named, but less surely where it is wrong: the loss is below that of a constant answer.
LEANING = ([[2.0, 0, 0], [2.0, 0, 0], [2.0, 0, 0], [0.1, 0, 0]], [0, 0, 0, 1])
UNSURE = ([[0.01, 0, 0], [0, 0.01, 0], [0, 0, 0.01]] * 2, [1, 2, 0, 2, 0, 1])


@pytest.mark.parametrize(
    ("batches", "settings", "stopped"),
    [
        ([SAME] * 3, {}, 200),
        ([SAME] * 9, {"epoch": 0.9}, None),
        ([SAME] * 9, {"warmup_steps": 300}, 500),
        ([SAME, LEARNT, SAME, LEARNT], {}, None),
        ([LEARNT, SAME, SAME], {}, 300),
        ([LEANING] * 9, {}, None),
        ([UNSURE] * 3, {}, 200),
        ([([[9.0, 0, 0]] * 4, [0] * 4)] * 9, {}, None),  # the window's rows are of one class themselves
    ],
)
def test_when_it_stops(batches, settings, stopped):
    assert windows(CollapseStop(3), batches, **settings) == stopped


def test_it_says_what_it_saw():
    collapse = CollapseStop(3)
    windows(collapse, [SAME] * 2)
    assert (
        collapse.found
        == "collapsed by step 200: one class is predicted for all of the last 6 training rows, and the loss is 1.100"
    )
    collapse = CollapseStop(3)
    windows(collapse, [UNSURE] * 2)
    assert f"ln(3) = {math.log(3):.3f}, that of knowing nothing" in collapse.found


def test_numbers_and_several_labels_are_not_judged():
    assert windows(CollapseStop(3), [([[0.0, 0.1, 0.0]] * 2, [[0.0, 1.0, 1.0]] * 2)] * 4) is None


def test_without_the_stop_it_is_named_all_the_same():
    collapse = CollapseStop(3, stop=False)
    assert windows(collapse, [SAME] * 4) is None and collapse.found
