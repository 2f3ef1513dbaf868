"""The zip that GLUE's leaderboard takes: eleven files of `index` and `prediction`, one line a test row.

Layout: gluebenchmark.com/faq; sizes are those of the published test parts. The leaderboard wants all eleven files, so the tasks
that were not run hold a sample: one answer for all rows. Several runs may share a zip, each replacing its own task's files.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.labels import Labels
from ..errors import UserError
from .metrics import decide
from .outcome import Outcome

ENTAILMENT = ("entailment", "not_entailment")
INFERENCE = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class SubmissionFile:
    """One file of the zip.

    Args:
        task: whose model answers it.
        part: of the task's rows.
        name: in the zip.
        rows: of the test part.
        names: GLUE's names of the classes, by its ids; empty for numbers.
        by_name: whether the file holds names; ids otherwise.
    """

    task: str
    part: str
    name: str
    rows: int
    names: tuple[str, ...] = ()
    by_name: bool = False


FILES = (
    SubmissionFile("cola", "test", "CoLA.tsv", 1063, ("unacceptable", "acceptable")),
    SubmissionFile("sst2", "test", "SST-2.tsv", 1821, ("negative", "positive")),
    SubmissionFile("mrpc", "test", "MRPC.tsv", 1725, ("not_equivalent", "equivalent")),
    SubmissionFile("stsb", "test", "STS-B.tsv", 1379),
    SubmissionFile("qqp", "test", "QQP.tsv", 390_965, ("not_duplicate", "duplicate")),
    SubmissionFile("mnli", "test", "MNLI-m.tsv", 9796, INFERENCE, by_name=True),
    SubmissionFile("mnli", "test_mismatched", "MNLI-mm.tsv", 9847, INFERENCE, by_name=True),
    SubmissionFile("qnli", "test", "QNLI.tsv", 5463, ENTAILMENT, by_name=True),
    SubmissionFile("rte", "test", "RTE.tsv", 3000, ENTAILMENT, by_name=True),
    SubmissionFile("wnli", "test", "WNLI.tsv", 146, ("not_entailment", "entailment")),
    SubmissionFile("mnli", "ax", "AX.tsv", 1104, INFERENCE, by_name=True),
)
TASKS = tuple(dict.fromkeys(file.task for file in FILES))


def files_of(task: str, parts) -> list[SubmissionFile]:
    """The files that a task's parts fill.

    Args:
        task: its name.
        parts: part name to rows; only their number counts.

    Raises:
        UserError: if the task is not GLUE's, or a part does not hold all rows of GLUE's test part.
    """
    if task not in TASKS:
        raise UserError(
            f"--glue_submission is for GLUE, but the task is {task}; give one of {', '.join(TASKS)}, or leave it away"
        )
    files = [file for file in FILES if file.task == task and file.part in parts]
    if not files:
        raise UserError(f"--glue_submission needs the test part of {task}, but there is none to predict; add --do_predict")
    for file in files:
        if len(parts[file.part]) != file.rows:
            raise UserError(
                f"the {file.part} part of {task} has {len(parts[file.part]):,} rows, but {file.name} must answer all "
                f"{file.rows:,}; use GLUE's own test part, and leave --max_predict_samples away"
            )
    return files


def answers(file: SubmissionFile, probabilities: np.ndarray, labels: Labels) -> list[str]:
    """A part's answers in the leaderboard's words: names, GLUE's ids, or numbers from 0 to 5.

    Args:
        file: that they are for.
        probabilities: `(N, L)`; of numbers `(N, 1)`.
        labels: of the task; their names are GLUE's, or its ids as text.
    """
    decided = decide(labels.kind, probabilities)
    if not file.names:
        return [f"{number:.3f}" for number in np.clip(decided, 0, 5)]
    ids = [file.names.index(name) if name in file.names else int(name) for name in labels.names]
    words = [file.names[id_] if file.by_name else str(id_) for id_ in ids]
    return [words[label] for label in decided]


def write_submission(path: str | Path, files: list[SubmissionFile], outcomes: dict[str, Outcome]):
    """Write or extend the zip.

    Args:
        path: of the zip; the files that it holds and that are not answered here are kept.
        files: that are answered here, from `files_of`.
        outcomes: part name to what was predicted of it, in the order of GLUE's rows.
    """
    path, held = Path(path), {}
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            held = {name: archive.read(name).decode() for name in archive.namelist()}
    for file in files:
        outcome = outcomes[file.part]
        held[file.name] = table(answers(file, outcome.probabilities, outcome.labels))
    aside = path.with_suffix(f".{os.getpid()}.new")
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in FILES:
            archive.writestr(file.name, held.get(file.name) or table(sample(file)))
    aside.replace(path)


def sample(file: SubmissionFile) -> list[str]:
    """One valid answer for all rows of a task that was not run."""
    answer = (file.names[0] if file.by_name else "0") if file.names else "2.500"
    return [answer] * file.rows


def table(predictions: list[str]) -> str:
    return "index\tprediction\n" + "".join(f"{index}\t{prediction}\n" for index, prediction in enumerate(predictions))
