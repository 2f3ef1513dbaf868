"""What is wrong with the data, said before training."""

from collections import Counter

from datasets import Dataset, DatasetDict

from .columns import texts_of
from .labels import Labels


def examine(parts: DatasetDict, labels: Labels) -> list[str]:
    """Look the parts over; what forbids training has been refused by `columns` and `splits` before.

    Args:
        parts: as `choose_parts` makes them.
        labels: of the task.

    Returns:
        One line a finding, none when all is well.
    """
    findings = []
    train = Counter(texts_of(parts["train"]))
    repeated = sum(count - 1 for count in train.values())
    if repeated:
        findings.append(f"{repeated} training rows repeat the text of another one")
    for part, rows in parts.items():
        empty = [id_ for id_, (text, _) in zip(rows["id"][:], texts_of(rows), strict=True) if not text.strip()]
        if empty:
            findings.append(f"{len(empty)} rows of {part} have an empty text ({', '.join(empty[:5])})")
        shared = sum(text in train for text in texts_of(rows)) if part != "train" else 0
        if shared:
            findings.append(f"{shared} of {len(rows)} {part} rows have a text that training has too: numbers on them flatter")
    counts = Counter(parts["train"]["label"][:])
    absent = [name for id_, name in enumerate(labels.names) if not counts[id_]]
    if absent:
        findings.append(f"training has no row of the classes {', '.join(absent[:10])}")
    return findings


def truncated(rows: Dataset, max_length: int) -> str | None:
    """What the length limit costs, if it costs anything.

    Args:
        rows: tokenized, with `input_ids`.
        max_length: that they were truncated to.
    """
    full = sum(len(ids) >= max_length for ids in rows["input_ids"])
    if not full:
        return None
    return f"{full / len(rows):.0%} of the training texts reach {max_length} tokens and are cut there; see --max_seq_length"


def describe(parts: DatasetDict, labels: Labels) -> str:
    """'6,824 train, 853 validation, 853 test rows; 2 classes: negative 50%, positive 50%'."""
    sizes = ", ".join(f"{len(rows):,} {part}" for part, rows in parts.items())
    gold, names = parts["train"]["label"][:], labels.names
    shares = ", ".join(f"{names[id_]} {count / len(gold):.0%}" for id_, count in sorted(Counter(gold).most_common(10)))
    return f"{sizes} rows; {len(names)} classes: {shares}{', ...' if len(names) > 10 else ''}"
