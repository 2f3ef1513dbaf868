"""The predictions of a run, as a table that is exact and as one that is safe to look at."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from ..data.labels import Labels
from ..screen import one_line
from .metrics import decide
from .outcome import Outcome

FORMULA_SIGNS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # and their full-width forms


def write_parts(folder: str, outcomes: dict[str, Outcome], marks: Collection[str] = ()):
    """Write predictions.parquet and .tsv of the test part, else of the first one; of the others predictions_PART.

    Args:
        folder: of the run.
        outcomes: part name to what was predicted of it.
        marks: of the run.
    """
    first = "test" if "test" in outcomes else next(iter(outcomes))
    for part, outcome in outcomes.items():
        name = "predictions" if part == first else f"predictions_{part}"
        write_predictions(folder, outcome.rows, outcome.probabilities, outcome.labels, name, marks)


def write_predictions(
    folder: str,
    rows: Dataset,
    probabilities: np.ndarray,
    labels: Labels,
    name: str = "predictions",
    marks: Collection[str] = (),
):
    """Write NAME.parquet and NAME.tsv: id, text, gold and predicted label by name, one probability a class.

    Of several labels gold and prediction are lists of names; of a regression they are numbers, without probabilities. The
    parquet file is exact. The tsv file is for eyes and spreadsheets: one line a row, spaces in place of tabs and line
    ends, other control characters written out; a cell that a spreadsheet would take for a formula (= + - @) begins with an
    apostrophe.

    Args:
        folder: of the run.
        rows: the part that was predicted.
        probabilities: `(N, num_labels)`.
        labels: of the task.
        name: of the files.
        marks: of a run whose rows were not used as they should be; a last column holds them, for who sees this file alone.
    """
    table = pd.DataFrame({column: rows[column][:] for column in ("id", "text", "text_pair") if column in rows.column_names})
    gold, known = labels.gold(rows), labels.known(rows)
    table["label"] = named(gold, known, labels)
    table["prediction"] = named(decide(labels.kind, probabilities), np.ones_like(known), labels)
    if labels.kind != "regression":
        shares = {f"probability_{class_name}": probabilities[:, id_] for id_, class_name in enumerate(labels.names)}
        table = pd.concat([table, pd.DataFrame(shares)], axis=1)
    if marks:
        table["marks"] = ", ".join(marks)
    table.to_parquet(Path(folder, f"{name}.parquet"), index=False)
    safe = table.rename(columns=safe_cell)
    for column in safe.columns[[not pd.api.types.is_numeric_dtype(dtype) for dtype in safe.dtypes]]:
        safe[column] = safe[column].map(safe_cell, na_action="ignore")
    safe.to_csv(Path(folder, f"{name}.tsv"), sep="\t", index=False)


def named(answers: np.ndarray, known: np.ndarray, labels: Labels) -> list:
    """Answers as the files show them: a name, a list of names, or a number; None where there is none."""
    if labels.kind == "regression":
        return [float(answer) if is_known else None for answer, is_known in zip(answers, known, strict=True)]
    if labels.single:
        return [labels.names[answer] if is_known else None for answer, is_known in zip(answers, known, strict=True)]
    names = np.array(labels.names, dtype=object)
    return [names[row == 1].tolist() if is_known else None for row, is_known in zip(answers, known, strict=True)]


def safe_cell(cell) -> str:
    """A cell of text on one line, that no spreadsheet runs as a formula."""
    text = cell if isinstance(cell, str) else json.dumps(list(cell), ensure_ascii=False)
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(FORMULA_SIGNS) else text
