"""Running text: documents from files, tables, the Hub or a task's own training part, and their sentences."""

import itertools
import re
from pathlib import PurePath

import numpy as np
from datasets import Dataset, Value, concatenate_datasets

from ..errors import UserError, closest
from .columns import usual_text_columns
from .sources import kind_of, load_data_set, load_file
from .tasks import Task

LINE = re.compile(r"\n+|(?:<br\s*/?>\s*)+")  # film reviews carry HTML's own
# The end of a sentence: a terminator, closing quotes, space, and what may begin one; or a terminator that stands alone, as in
# text that was tokenized and lower-cased.
END = re.compile(r"""([.!?…]["'”’)\]]*)\s+(?=["'“‘(\[]*[A-Z0-9À-ÞА-Я])|(?<=\s)([.!?])\s+""")
ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“])(?:[A-Z]|[Mm]rs?|[Mm]s|[Dd]r|[Pp]rof|[Ss]t|[Jj]r|[Ss]r|[Ll]t|[Cc]ol|[Gg]en|[Cc]apt|[Rr]ev|[Hh]on|[Ss]gt|[Nn]o|"
    r"[Vv]ols?|[Ff]igs?|[Ee]d|[Pp]p?|cf|ca?|vs|[Ii]nc|[Ll]td|[Cc]o|[Uu]\.[Ss]|i\.e|e\.g|al|approx|Jan|Feb|Mar|Apr|Aug|Sept?|Oct|Nov|Dec)\.$"
)


def read_files(addresses: list[str], column: str | None = None) -> Dataset:
    """Documents of files, in their order; see `documents_of`.

    Raises:
        UserError: if a file is missing, unreadable or without text.
    """
    return concatenate_datasets([documents_of(load_file(address), address, column) for address in addresses])


def read_data_set(name: str, config: str | None, column: str | None = None) -> Dataset:
    """Documents of the training part of a data set on the Hub, or of a folder laid out like one."""
    splits = load_data_set(Task(name, dataset=name, config=config))
    part = "train" if "train" in splits else next(iter(splits))
    return documents_of(splits[part], name, column)


def documents_of(rows: Dataset, name: str, column: str | None = None) -> Dataset:
    """One document a row, in the column `text`; of a txt file, one between blank lines, or one a line where there is none.

    A pair of texts, as a task's table holds it, is one document of two lines.

    Args:
        rows: as they were read.
        name: of their file, for messages.
        column: that holds the text; found by its usual name or names, or as the only column of strings.

    Raises:
        UserError: if there is no such column, or no text in it.
    """
    found = text_columns(rows, name, column)
    rows = rows.select_columns(list(found))
    if len(found) > 1:
        rows = rows.map(lines_of_pairs, batched=True, input_columns=list(found), remove_columns=list(found))
    rows = rows.rename_column(rows.column_names[0], "text") if rows.column_names != ["text"] else rows
    if kind_of(PurePath(name)).removesuffix(".gz") == ".txt":
        rows = paragraphs_to_documents(rows)
    rows = rows.filter(lambda texts: [bool(text and text.strip()) for text in texts], batched=True, input_columns="text")
    if not len(rows):
        raise UserError(f"{name}: holds no text, but there must be some to learn from; check the file or the column")
    return rows.cast_column("text", Value("large_string"))  # whatever wrote the file: several are put together


def text_columns(rows: Dataset, name: str, column: str | None) -> tuple[str, ...]:
    """The column of the text, or the two of a pair; the same that a fine-tuning finds."""
    strings = [key for key, value in rows.features.items() if isinstance(value, Value) and "string" in value.dtype]
    usual = usual_text_columns(strings)
    if column and column not in strings:
        raise UserError(
            f"{name}: there is no column of text called {column!r}; they are {', '.join(strings) or 'none'}."
            f"{closest(column, strings)} Name one with --text_column_name"
        )
    if not column and not usual and len(strings) != 1:
        raise UserError(
            f"{name}: the text column cannot be told among {', '.join(strings) or 'no columns of text'}; name it with "
            "--text_column_name"
        )
    return (column,) if column else (usual or [(strings[0],)])[0]


def lines_of_pairs(firsts: list[str | None], seconds: list[str | None]) -> dict[str, list[str]]:
    """Pairs of texts -> documents of two lines."""
    return {"text": ["\n".join(filter(None, pair)) for pair in zip(firsts, seconds, strict=True)]}


def paragraphs_to_documents(rows: Dataset) -> Dataset:
    """Lines of a txt file -> documents: joined up to the next blank line."""
    lines = rows["text"][:]
    if all(line.strip() for line in lines):
        return rows
    groups = itertools.groupby(lines, key=lambda line: bool(line.strip()))
    return Dataset.from_dict({"text": ["\n".join(group) for full, group in groups if full]})


def drop_repeated(documents: Dataset) -> Dataset:
    """Each text once: a document that is met again would be learnt by heart, or be held out and known."""
    first: dict[int, int] = {}
    for row, text in enumerate(documents["text"]):
        first.setdefault(hash(text), row)
    return documents if len(first) == len(documents) else documents.select(list(first.values()))


def hold_out(documents: Dataset, fraction: float, most: int, seed: int) -> tuple[Dataset, Dataset]:
    """Training documents and held-out ones, whole and seeded.

    Args:
        documents: all.
        fraction: held out of them.
        most: how many at most: the numbers on a thousand documents are precise enough.
        seed: of the choice.

    Raises:
        UserError: if nothing would be left on one side.
    """
    if not 0 < fraction < 0.5:
        raise UserError(f"--validation_fraction is {fraction:g}, but it must be above 0 and below 0.5; try 0.05")
    size = min(most, max(1, round(fraction * len(documents))))
    if size >= len(documents):
        raise UserError(
            f"{len(documents)} document given, but one is held out and others must be left to learn from; separate documents "
            "by blank lines in a txt file, or give one a row in a table"
        )
    order = np.random.default_rng(seed).permutation(len(documents))
    return documents.select(np.sort(order[size:])), documents.select(np.sort(order[:size]))


def split_sentences(text: str) -> list[str]:
    """Sentences of a document; a line break ends one, an abbreviation or an initial does not.

    A light rule for Latin-script text: next sentence prediction needs units, not linguistics. Text without terminators stays
    one sentence a line.
    """
    sentences: list[str] = []
    for line in LINE.split(text):
        pending = ""
        for piece in END.sub(r"\1\2\n", line.strip()).split("\n"):
            pending = f"{pending} {piece}" if pending else piece
            if not ABBREVIATION.search(pending[-16:]):
                sentences.append(pending)
                pending = ""
        sentences.append(pending)
    return [sentence for sentence in map(str.strip, sentences) if sentence]
