"""Answers as people and programs read them: a table, JSON lines, CSV."""

import csv
import io
import json
import shutil

from ..results.predictions import safe_cell
from ..screen import one_line, plain, plain_json
from .predict import Answer, as_tuple

MOST_COLUMNS = 5  # of probabilities that a table shows; of more classes the first
SHARE = len("0.1234")


class Table:
    """Label, probabilities and the beginning of the text, in columns of fixed width: what is shown needs no later row."""

    def __init__(self, names: list[str], kind: str):
        self.names, self.kind = names, kind
        single = names if kind != "regression" and len(names) <= MOST_COLUMNS else []
        # Of more classes one column, without a name: the share of the first.
        self.shown = [] if kind == "regression" else [(plain(name)[:12], name) for name in single] or [("", None)]
        self.width = 10 if kind == "regression" else min(max(len("label"), *(len(plain(name)) for name in names)), 30)
        self.screen = shutil.get_terminal_size((120, 24)).columns

    def header(self) -> str:
        titles = [f"{title:>{max(SHARE, len(title))}}" for title, _ in self.shown]
        return "  ".join([f"{'label':<{self.width}}", *titles, "text"]) + "\n"

    def row(self, answer: Answer) -> str:
        label = answer.label
        if isinstance(label, float):
            label = f"{label:.4f}"
        elif isinstance(label, list):
            label = ", ".join(label) or "none"
        cells = [f"{'-' if label is None else plain(label):<{self.width}}"]
        for title, name in self.shown:
            share = max(answer.probabilities.values(), default=None) if name is None else answer.probabilities.get(name)
            cells.append(f"{'' if share is None else f'{share:.4f}':>{max(SHARE, len(title))}}")
        line = "  ".join([*cells, ""])
        text = one_line(" | ".join(as_tuple(answer.text)))
        return (line + text[: max(self.screen - len(line), 20)]).rstrip() + "\n"


class JsonLines:
    """One object a line, exact: text, text_pair, label, probabilities."""

    def __init__(self, names: list[str], kind: str):
        pass

    def header(self) -> str:
        return ""

    def row(self, answer: Answer) -> str:
        texts = dict(zip(("text", "text_pair"), as_tuple(answer.text), strict=False))
        fields = {**texts, "label": answer.label} | ({"probabilities": answer.probabilities} if answer.probabilities else {})
        return plain_json(json.dumps(fields, ensure_ascii=False)) + "\n"


class Csv:
    """One line a row, one column a class; no cell that a spreadsheet would run as a formula."""

    def __init__(self, names: list[str], kind: str):
        self.names = [] if kind == "regression" else names
        self.pairs = None

    def header(self) -> str:
        return ""  # with the first row: it knows whether rows are pairs

    def row(self, answer: Answer) -> str:
        texts, written = as_tuple(answer.text), io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        if self.pairs is None:
            self.pairs = len(texts) == 2
            head = ["text", "text_pair"][: len(texts)] + ["label"] + [f"probability_{name}" for name in self.names]
            writer.writerow(map(safe_cell, head))
        label = answer.label if isinstance(answer.label, float) or answer.label is None else safe_cell(answer.label)
        writer.writerow([*map(safe_cell, texts), label, *(answer.probabilities.get(name) for name in self.names)])
        return written.getvalue()


FORMATS = {"table": Table, "jsonl": JsonLines, "csv": Csv}
