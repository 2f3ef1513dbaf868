"""The rows and classes that the flags leave out or join; what is held out keeps all of its rows."""

import numpy as np
from datasets import DatasetDict

from ..errors import UserError
from .arguments import DataArguments
from .labels import Labels
from .statistics import label_numbers, rows_without_text, text_groups


def clean(examples: DatasetDict, labels: Labels, args: DataArguments) -> tuple[DatasetDict, Labels]:
    """Do what --merge_spellings and the --drop_... flags ask for, before parts are carved.

    Args:
        examples: splits as `to_examples` makes them.
        labels: of the task.
        args: the flags.

    Raises:
        UserError: if no training row would be left, or rows of one class only.
    """
    if args.merge_spellings and labels.single:
        examples, labels = merge_spellings(examples, labels)
    dropped = to_drop(examples, labels, args)
    if len(dropped):
        kept = np.setdiff1d(np.arange(len(examples["train"])), dropped)
        if len(kept) == 0 or (labels.single and len(np.unique(labels.gold(examples["train"])[kept])) < 2):
            raise UserError(
                f"the --drop flags leave {len(kept)} of {len(examples['train'])} training rows, but two classes are needed to "
                "learn from; leave one of the flags away"
            )
        examples = DatasetDict({**examples, "train": examples["train"].select(kept)})
    return examples, labels


def to_drop(examples: DatasetDict, labels: Labels, args: DataArguments) -> np.ndarray:
    """Positions of the training rows to leave out."""
    train = examples["train"]
    dropped = [rows_without_text(train)] if args.drop_empty else []
    if args.drop_repeated or args.drop_shared or args.drop_contradictory:
        groups = text_groups(examples)
    if args.drop_contradictory:
        dropped.append(contradicted(groups, label_numbers(examples, labels)))
    if args.drop_shared:
        held_out = [groups[part] for part in examples if part != "train"]
        dropped.append(np.isin(groups["train"], np.concatenate([[-1], *held_out])).nonzero()[0])
    if args.drop_repeated:
        dropped.append(repeats(groups["train"]))
    return np.unique(np.concatenate([*dropped, []])).astype(np.int64)


def repeats(groups: np.ndarray) -> np.ndarray:
    """Positions of the rows whose text an earlier row has; `groups` numbers the texts, `(N,)`."""
    return np.setdiff1d(np.arange(len(groups)), np.unique(groups, return_index=True)[1])


def contradicted(groups: dict[str, np.ndarray], answers: dict[str, np.ndarray]) -> np.ndarray:
    """Positions of the training rows whose text has another label somewhere.

    Args:
        groups: a part's texts by number, `(N,)` each.
        answers: its labels by number, -1 for none.
    """
    texts, numbers = (np.concatenate(list(of_parts.values())) for of_parts in (groups, answers))
    known = numbers >= 0
    lowest, highest = np.full(texts.max() + 1, numbers.max()), np.full(texts.max() + 1, -1)
    np.minimum.at(lowest, texts[known], numbers[known])
    np.maximum.at(highest, texts[known], numbers[known])
    return (lowest < highest)[groups["train"]].nonzero()[0]


def merge_spellings(examples: DatasetDict, labels: Labels) -> tuple[DatasetDict, Labels]:
    """Join classes whose names differ by case or space only, under the spelling that most training rows have."""
    counts = np.bincount(labels.gold(examples["train"]), minlength=labels.num_labels)
    chosen = {}
    for names in same_but_for_spelling(labels.names):
        best = max(names, key=lambda name: counts[labels.names.index(name)])
        chosen |= dict.fromkeys(names, best)
    merged = Labels(labels.kind, tuple(name for name in labels.names if chosen[name] == name))
    ids = np.array([merged.names.index(chosen[name]) for name in labels.names] + [-1])  # -1, no label, stays -1
    return DatasetDict(
        {
            part: rows.remove_columns("label").add_column("label", ids[labels.gold(rows)].tolist())
            for part, rows in examples.items()
        }
    ), merged


def same_but_for_spelling(names: tuple[str, ...]) -> list[list[str]]:
    """The names in groups that are equal but for case and space."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(" ".join(name.casefold().split()), []).append(name)
    return list(alike.values())
