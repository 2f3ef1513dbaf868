"""What is wrong with the data, said before training: errors that forbid it, and warnings with the flag that mends them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, DatasetDict

from ..errors import UserError
from .cleaning import contradicted, repeats, same_but_for_spelling
from .labels import Labels
from .statistics import TokenStatistics, label_numbers, rows_without_letters, rows_without_text, text_groups

FEW = 10  # training rows; a class with fewer is hardly learnt
UNEVEN = 10  # times as many rows as the rarest class
SHOWN = 5  # rows and names in a message


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        kind: repeated, shared, contradictory, empty, wordless, spelling, absent, few, uneven, sorted, cut or unknown.
        message: value, rule and remedy.
        rows: ids of the first rows that have it, if it is about rows.
        is_error: whether it forbids training.
    """

    kind: str
    message: str
    rows: tuple[str, ...] = ()
    is_error: bool = False


def examine(parts: DatasetDict, labels: Labels, strict: bool = False) -> list[Finding]:
    """Look the parts over; what has no meaning at all has been refused by `columns` and `splits` before.

    Args:
        parts: with `id`, `text` and `label`, one of them called train.
        labels: of the task.
        strict: whether a held-out text that training has too is an error.

    Returns:
        What was found, errors first; nothing when all is well.
    """
    groups = text_groups(parts)
    found = [*texts_that_say_nothing(parts), *repeated(parts, groups), *shared(parts, groups, strict)]
    found += [*contradictory(parts, groups, labels), *spellings(labels), *classes(parts["train"], labels)]
    return sorted(found, key=lambda finding: not finding.is_error)


def refuse(findings: list[Finding]) -> list[Finding]:
    """The warnings among the findings.

    Raises:
        UserError: if there is an error among them; all of them are told.
    """
    errors = [finding.message for finding in findings if finding.is_error]
    if errors:
        raise UserError("\nerror: ".join(errors))
    return findings


def texts_that_say_nothing(parts: DatasetDict) -> Iterator[Finding]:
    for part, rows in parts.items():
        for_training = part == "train"
        if len(empty := rows_without_text(rows)):
            ids, some = named(rows, empty)
            rule = "but there must be text to learn from; fill them in, or leave them out with --drop_empty"
            rule = rule if for_training else "and are answered blindly; fill them in"
            yield Finding("empty", f"{count(empty, rows, part)} have no text {some}, {rule}", ids, for_training)
        if len(wordless := rows_without_letters(rows)):
            ids, some = named(rows, wordless)
            first = rows[int(wordless[0])]["text"].strip()[:30]
            remedy = "look at them, or name another column with --text_column_names"
            yield Finding("wordless", f"{count(wordless, rows, part)} hold no word {some}, such as {first!r}; {remedy}", ids)


def repeated(parts: DatasetDict, groups: dict[str, np.ndarray]) -> Iterator[Finding]:
    if len(again := repeats(groups["train"])):
        ids, some = named(parts["train"], again)
        message = f"{count(again, parts['train'])} repeat the text of an earlier one {some}"
        yield Finding("repeated", f"{message}; --drop_repeated keeps the first of each", ids)


def shared(parts: DatasetDict, groups: dict[str, np.ndarray], strict: bool) -> Iterator[Finding]:
    for part, rows in parts.items():
        known = np.isin(groups[part], groups["train"]).nonzero()[0] if part != "train" else []
        if len(known):
            ids, some = named(rows, known)
            message = f"{count(known, rows, part)} have a text that training has too {some}, and numbers on them flatter"
            yield Finding("shared", f"{message}; --drop_shared leaves these texts out of training", ids, strict)


def contradictory(parts: DatasetDict, groups: dict[str, np.ndarray], labels: Labels) -> Iterator[Finding]:
    """Texts with two labels, in one part or in two."""
    train = parts["train"]
    if len(rows := contradicted(groups, label_numbers(parts, labels))):
        ids, some = named(train, rows)
        message = f"{count(rows, train)} have a text that has another label elsewhere {some}"
        yield Finding("contradictory", f"{message}; mend the labels, or leave them out with --drop_contradictory", ids)


def spellings(labels: Labels) -> Iterator[Finding]:
    for names in same_but_for_spelling(labels.names):
        if len(names) > 1:
            message = f"the classes {' and '.join(map(repr, names))} differ by case or space only"
            yield Finding("spelling", f"{message}; --merge_spellings makes them one")


def classes(train: Dataset, labels: Labels) -> Iterator[Finding]:
    """Classes that are absent, rare, or much rarer than others; and an order by class."""
    if labels.kind == "regression":
        return
    counts = class_counts(train, labels)
    if not counts.all():
        yield Finding("absent", f"training has no row of the classes {some_of(labels, counts == 0)}; add some")
    if ((counts > 0) & (counts < FEW)).any():
        rare = some_of(labels, (counts > 0) & (counts < FEW), counts)
        yield Finding("few", f"fewer than {FEW} training rows for the classes {rare}; add rows, or join them with others")
    if counts.max() >= UNEVEN * max(1, counts.min()) and counts.min() > 0:
        most, least = labels.names[counts.argmax()], labels.names[counts.argmin()]
        message = f"{most!r} has {counts.max() / counts.min():.0f} times as many training rows as {least!r}"
        yield Finding("uneven", f"{message}; --class_weights balanced gives each class the same weight")
    if labels.single and is_sorted(labels.gold(train)):
        message = "the training rows are sorted by class, and read so they would show one class at a time"
        yield Finding("sorted", f"{message}; any --train_sampling_strategy but sequential mixes them")


def class_counts(rows: Dataset, labels: Labels) -> np.ndarray:
    """Rows of each class, `(L,)`."""
    gold = labels.gold(rows)[labels.known(rows)]
    return np.bincount(gold, minlength=labels.num_labels) if labels.single else gold.sum(axis=0)


def is_sorted(gold: np.ndarray) -> bool:
    """Whether equal labels stand together: neighbours differ ten times less often than shuffled ones would."""
    shares = np.unique(gold, return_counts=True)[1] / len(gold)
    return len(gold) >= 20 and (gold[1:] != gold[:-1]).mean() < 0.1 * (1 - (shares**2).sum())


def examine_tokens(tokens: TokenStatistics, positions: int | None) -> list[Finding]:
    """What --max_seq_length and the vocabulary cost.

    Args:
        tokens: of the training part.
        positions: how many the model has; None if it takes any length.
    """
    found, of_sample = [], "" if tokens.rows == tokens.of else f" (of a sample of {tokens.rows:,})"
    if tokens.rows_cut > 0.01:
        lost = f"{tokens.rows_cut:.1%} of the training texts{of_sample} are longer than {tokens.limit} tokens, and "
        lost += f"{tokens.tokens_lost:.1%} of all tokens are lost"
        wanted = min(tokens.wanted, positions) if positions and positions > 0 else tokens.wanted
        remedy = f"--max_seq_length {wanted} keeps {(tokens.lengths <= wanted).mean():.1%} of the texts whole"
        full = "the model takes no longer input, and --long_text chooses what it reads"
        found.append(Finding("cut", f"{lost}; {remedy if wanted > tokens.limit else full}"))
    if tokens.unknown > 0.01:
        message = f"{tokens.unknown:.1%} of the tokens{of_sample} are unknown to the vocabulary"
        found.append(Finding("unknown", f"{message}; another --tokenizer_name or --model_name_or_path may know them"))
    return found


def count(chosen: np.ndarray, rows: Dataset, part: str = "train") -> str:
    """'3 of 1,000 training rows'."""
    return f"{len(chosen):,} of {len(rows):,} {'training' if part == 'train' else part} rows"


def named(rows: Dataset, chosen: np.ndarray) -> tuple[tuple[str, ...], str]:
    """The ids of the first chosen rows, and as words: '(train/3, train/9, ...)'."""
    ids = tuple(rows[[int(row) for row in chosen[:SHOWN]]]["id"])
    return ids, f"({', '.join(ids)}{', ...' if len(chosen) > SHOWN else ''})"


def some_of(labels: Labels, chosen: np.ndarray, counts: np.ndarray | None = None) -> str:
    """The first chosen classes by name, with their rows."""
    names = [f"{labels.names[id_]!r}" + (f" ({counts[id_]})" if counts is not None else "") for id_ in chosen.nonzero()[0]]
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def describe(parts: DatasetDict, labels: Labels) -> str:
    """'6,824 train, 853 validation, 853 test rows; 2 classes: negative 50%, positive 50%'."""
    sizes = ", ".join(f"{len(rows):,} {part}" for part, rows in parts.items()) + " rows"
    if labels.kind == "regression":
        gold = labels.gold(parts["train"])
        return f"{sizes}; a number from {gold.min():g} to {gold.max():g}, mean {gold.mean():.3g}"
    counts = class_counts(parts["train"], labels)
    frequent = np.sort(np.argsort(-counts, kind="stable")[:10])
    shares = ", ".join(f"{labels.names[id_]} {counts[id_] / len(parts['train']):.0%}" for id_ in frequent)
    return f"{sizes}; {labels.num_labels} classes: {shares}{', ...' if labels.num_labels > 10 else ''}"
