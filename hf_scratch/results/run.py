"""A run, read back from its files: what they say, and what they lack."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UserError, missing_folder, runs_near

PREFIXES = {"test": "test", "validation": "eval"}
SHARE = "probability_"
FEW = 8  # metrics of an old run that does not say which of them are the task's
# What the entries of run.json are; one that is something else is left out.
TABLES = ("labels", "rows", "classes", "lengths", "scoring", "memory", "seconds_of", "versions", "arguments", "marks", "corpus")
SHAPES = dict.fromkeys(TABLES, dict) | dict.fromkeys(("baselines", "command", "seeds", "devices", "notes"), list)
SHAPES |= dict.fromkeys(("seconds", "parameters", "temperature", "cpus"), int | float)


@dataclass(frozen=True)
class Run:
    """The files of a run's folder. A file that is missing or broken is empty here, and named in `missing`.

    Args:
        folder: of the run.
        record: run.json.
        results: all_results.json.
        state: trainer_state.json.
        config: config.json.
        predictions: of the reported part: predictions.parquet, or predictions_validation.parquet where the test rows have no
            labels; None of a pre-training.
        missing: what could not be read, each with its reason.
    """

    folder: Path
    record: dict
    results: dict
    state: dict
    config: dict
    predictions: pd.DataFrame | None
    missing: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the model, or of the folder where the record does not say."""
        return str(self.record.get("model") or self.folder.resolve().name)

    @property
    def task(self) -> str | None:
        """The task's name."""
        return self.record.get("task")

    @property
    def is_pretraining(self) -> bool:
        """Whether it learnt from running text."""
        return "pretrain" in (self.record.get("arguments") or {})

    @property
    def kind(self) -> str:
        """Of the labels; of an old run by what its predictions look like."""
        kind = (self.record.get("labels") or {}).get("kind")
        if kind or self.predictions is None:
            return kind or "classification"
        return "classification" if self.stated_names else "regression"

    @property
    def names(self) -> list[str]:
        """Of the classes by id."""
        return list((self.record.get("labels") or {}).get("names") or self.stated_names)

    @property
    def stated_names(self) -> list[str]:
        columns = [] if self.predictions is None else self.predictions.columns
        return [name.removeprefix(SHARE) for name in columns if name.startswith(SHARE)]

    @property
    def part(self) -> str | None:
        """The part that is reported: "test" or "validation"."""
        return self.record.get("reported") or next((part for part in PREFIXES if self.values(PREFIXES[part])), None)

    @property
    def headline(self) -> str | None:
        """The metric that decides."""
        return (self.record.get("scoring") or {}).get("headline") or next(iter(self.values(PREFIXES.get(self.part))), None)

    @property
    def metrics(self) -> dict[str, tuple[float, float, float]]:
        """The model's metrics with their intervals, without those of single classes."""
        values = self.values(PREFIXES.get(self.part))
        names = (self.record.get("scoring") or {}).get("names")
        return {name: values[name] for name in names if name in values} if names else dict(list(values.items())[:FEW])

    @property
    def marks(self) -> dict[str, str]:
        """What is to be known of how its rows were used, in a sentence each; none of a run whose numbers are fair."""
        return {str(key): str(sentence) for key, sentence in (self.record.get("marks") or {}).items()}

    @property
    def level(self) -> float:
        """Confidence level of the intervals."""
        return self.argument("results", "confidence_level") or 0.95

    def argument(self, group: str, name: str):
        """The value of a flag; None if the record does not know it."""
        flags = (self.record.get("arguments") or {}).get(group)
        return flags.get(name) if isinstance(flags, dict) else None

    @property
    def history(self) -> list[dict]:
        """What Trainer logged, step by step."""
        return [entry for entry in self.state.get("log_history") or [] if isinstance(entry, dict)]

    def curve(self, key: str) -> list[tuple[int, float]]:
        """The finite values that were logged under a name, each with its step."""
        return [
            (entry["step"], entry[key])
            for entry in self.history
            if isinstance(entry.get(key), int | float) and math.isfinite(entry[key]) and "step" in entry
        ]

    def values(self, prefix: str | None) -> dict[str, tuple[float, float, float]]:
        """Metric to value, low and high, of those results under a prefix that have an interval."""
        found = {}
        for key, value in self.results.items():
            low, high = (self.results.get(f"{key}_{end}") for end in ("low", "high"))
            if prefix and key.startswith(f"{prefix}_") and low is not None and high is not None:
                found[key.removeprefix(f"{prefix}_")] = (value, low, high)
        return found

    @property
    def systems(self) -> list[tuple[str, str, dict]]:
        """The model and its baselines: name, key and `values` of each."""
        rows = [(self.name, "model", self.values(PREFIXES.get(self.part)))]
        for baseline in self.record.get("baselines") or []:
            rows.append((baseline["name"], baseline["key"], self.values(f"baseline_{baseline['key']}")))
        return [row for row in rows if row[2]]

    @cached_property
    def labelled(self) -> pd.DataFrame:
        """The predicted rows that have a true answer."""
        if self.predictions is None:
            return pd.DataFrame(columns=["id", "text", "label", "prediction"])
        return self.predictions[self.predictions["label"].notna()].reset_index(drop=True)

    @cached_property
    def gold(self) -> np.ndarray:
        """True answers of `labelled`: class ids `(N,)`, zeros and ones `(N, L)`, or numbers `(N,)`."""
        return self.to_ids(self.labelled["label"])

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted answers of `labelled`, in the form of `gold`."""
        return self.to_ids(self.labelled["prediction"])

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Of `labelled`, `(N, L)`; of a regression the predictions, `(N, 1)`."""
        if self.kind == "regression":
            return self.predicted[:, None]
        return self.labelled[[f"{SHARE}{name}" for name in self.names]].to_numpy(dtype=np.float64)

    def to_ids(self, answers: pd.Series) -> np.ndarray:
        """Answers by name -> by id."""
        ids = {name: id_ for id_, name in enumerate(self.names)}
        if self.kind == "regression":
            return answers.to_numpy(dtype=np.float64)
        if self.kind == "multi_label":
            flags = np.zeros((len(answers), len(ids)), dtype=np.int64)
            for row, named in enumerate(answers):
                flags[row, [ids[name] for name in named]] = 1
            return flags
        return answers.map(ids).to_numpy(dtype=np.int64)


def read_run(folder: str) -> Run:
    """Read what is there.

    Raises:
        UserError: if the folder holds no file of a run at all.
    """
    path, missing = Path(folder), []
    files = {
        name: read_json(path / f"{file}.json", missing)
        for name, file in {"record": "run", "results": "all_results", "state": "trainer_state", "config": "config"}.items()
    }
    misshapen = {key for key, value in files["record"].items() if not isinstance(value, SHAPES.get(key, object))}
    missing += [f"run.json: {key} is of another kind" for key in sorted(misshapen)]
    files["record"] = {key: value for key, value in files["record"].items() if key not in misshapen}
    predictions = None
    if "pretrain" not in (files["record"].get("arguments") or {}):
        predictions = read_predictions(reported_predictions(path, files["record"]), missing)
    if predictions is None and not any(files.values()):
        remedy = "give the --output_dir of one"
        if not path.exists():
            raise missing_folder(folder, remedy)
        files_of_run = "no run.json, all_results.json or predictions.parquet"
        raise UserError(f"{folder}: holds no run ({files_of_run}); {runs_near(folder) or remedy}")
    return Run(path, predictions=predictions, missing=tuple(missing), **files)


def reported_predictions(folder: Path, record: dict) -> Path:
    """The table of the reported part; predictions.parquet is another one's where the test rows have no labels."""
    of_part = folder / "predictions_validation.parquet"
    return of_part if record.get("reported") == "validation" and of_part.exists() else folder / "predictions.parquet"


def read_json(path: Path, missing: list[str]) -> dict:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(table, dict):
            return table
        missing.append(f"{path.name}: holds no table")
    except FileNotFoundError:
        missing.append(f"{path.name}: is not there")
    except (OSError, ValueError) as error:
        missing.append(f"{path.name}: {error}")
    return {}


def read_list(path: Path) -> list[dict]:
    """The tables of a JSON file; none if it is not there or holds something else."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def read_predictions(path: Path, missing: list[str]) -> pd.DataFrame | None:
    try:
        table = pd.read_parquet(path)
        lacking = {"id", "text", "label", "prediction"} - set(table.columns)
        if not lacking:
            return table
        missing.append(f"{path.name}: has no column {', '.join(sorted(lacking))}")
    except FileNotFoundError:
        missing.append(f"{path.name}: is not there")
    except (OSError, ValueError) as error:  # pyarrow's errors are among them
        missing.append(f"{path.name}: {error}")
    return None
