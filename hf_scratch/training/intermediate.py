"""Training on another task of the same classes first ("STILTs", Phang et al. 2018, section 3).

A small task teaches an encoder of random weights few words. A larger one with the same classes teaches it many, even when its
texts are cut into pieces as short as the small task's and each piece is given the label of its whole text.
"""

import copy

from datasets import Dataset
from transformers import Trainer, TrainingArguments

from ..data import columns, sources, splits, tasks
from ..data.labels import Labels
from ..data.pieces import cut_into_pieces
from ..errors import UserError, closest
from .arguments import IntermediateArguments, RegularizationArguments

# One pass that nobody evaluates, saves or follows.
ONE_PASS = {
    "num_train_epochs": 1,
    "max_steps": -1,
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "report_to": [],
    "push_to_hub": False,
}


def read_intermediate(
    args: IntermediateArguments,
    labels: Labels,
    tokenizer,
    held_out: set[str],
    seed: int,
    access: sources.Access,
) -> Dataset:
    """A seeded sample of the pieces of the intermediate task's training texts.

    Args:
        args: name the task, how many pieces and how long.
        labels: of the task proper; the intermediate task's are matched by name.
        tokenizer: of the task proper.
        held_out: texts that must not be trained on.
        seed: of the sample.
        access: how the data are reached and kept.

    Raises:
        UserError: if there is no such task, its inputs are pairs, or its classes are others.
    """
    name = args.intermediate_task
    if name not in tasks.TASKS:
        raise UserError(
            f"--intermediate_task {name!r} is not in the table, which holds {', '.join(tasks.TASKS)}."
            f"{closest(name, tasks.TASKS)} Name one of them, or leave the flag away"
        )
    splits_as_read = sources.load_splits(tasks.TASKS[name], access)
    task = columns.find_columns(splits_as_read, tasks.TASKS[name])
    examples, own = columns.to_examples(splits_as_read, task)
    if len(task.text_columns) > 1 or sorted(own.names) != sorted(labels.names) or not labels.single:
        raise UserError(
            f"--intermediate_task {name}: it has {len(task.text_columns)} text columns and the classes "
            f"{', '.join(own.names[:10])}, the task proper {', '.join(labels.names[:10])}, but both must be single texts of "
            "the same classes; name another task, or leave the flag away"
        )
    rows = columns.renumber(examples, own, labels)["train"]
    rows = rows.select([row for row, text in enumerate(rows["text"][:]) if text not in held_out])
    pieces = cut_into_pieces(rows, tokenizer, args.intermediate_max_seq_length)
    return splits.sample(pieces, args.intermediate_samples, seed)


def one_pass(args: IntermediateArguments, training: TrainingArguments) -> TrainingArguments:
    """The run's own arguments for one pass at the intermediate learning rate, with nothing evaluated or saved on the way."""
    changed = copy.copy(training)
    for name, value in (ONE_PASS | {"learning_rate": args.intermediate_learning_rate}).items():
        setattr(changed, name, value)
    return changed


def first_trainer(trainer: Trainer, rows: Dataset, args: IntermediateArguments) -> Trainer:
    """A trainer of the same model for one pass over the pieces, without R-Drop, which many rows need less.

    Args:
        trainer: of the task proper, which has not begun.
        rows: the pieces.
        args: hold the learning rate of the pass.
    """
    return type(trainer)(
        model=trainer.model,
        args=one_pass(args, trainer.args),
        train_dataset=rows,
        data_collator=trainer.data_collator,
        processing_class=trainer.processing_class,
        regularization=RegularizationArguments(token_dropout=trainer.regularization.token_dropout),
        speed=trainer.speed,
    )
