"""The files of runs that never were: small, complete, and with texts that try to break out."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

EVIL = '<script>alert("x")</script> & \x1b[31m\u202e $x^2$ | [a](b)'
NAMES = {"classification": ["bad", "<b>good</b>", "$odd|"], "ordinal": ["1", "2", "3"], "multi_label": ["x", "y", "z"]}


def predictions(kind: str, N: int = 61, seed: int = 0) -> pd.DataFrame:
    """Rows as `predictions.parquet` holds them; the last has no label where one class is asked for."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"id": [f"test/{row}" for row in range(N)], "text": [f"{EVIL} {row}" for row in range(N)]})
    if kind == "regression":
        table["label"] = np.random.default_rng(0).normal(size=N)
        table["prediction"] = table["label"] + rng.normal(size=N)
        return table
    names = np.array(NAMES[kind])
    gold = np.random.default_rng(0).integers(0, 3, N)
    probabilities = rng.dirichlet(np.ones(3), N) + 0.3 * np.eye(3)[gold]
    probabilities /= probabilities.sum(-1, keepdims=True)
    if kind == "multi_label":
        table["label"] = [names[[row, (row + 1) % 3]].tolist() for row in gold]
        table["prediction"] = [names[row > 0.3].tolist() for row in probabilities]
    else:
        table["label"] = names[gold]
        table.loc[N - 1, "label"] = None
        table["prediction"] = names[probabilities.argmax(-1)]
    for id_, name in enumerate(names):
        table[f"probability_{name}"] = probabilities[:, id_]
    return table


def make_run(folder: Path, kind: str = "classification", seed: int = 0, **record) -> Path:
    """Write a run's files; `record` is added to run.json."""
    folder.mkdir(parents=True)
    predictions(kind, seed=seed).to_parquet(folder / "predictions.parquet", index=False)
    metric = {"regression": "rmse", "multi_label": "micro_f1"}.get(kind, "accuracy")
    results = {"train_runtime": 7.3, "train_tokens_per_second": 2113.7, "predict_samples": 61}
    for key, value in (("test", 0.71 + seed / 100), ("baseline_majority", 0.37)):
        results |= {f"{key}_{metric}": value, f"{key}_{metric}_low": value - 0.05, f"{key}_{metric}_high": value + 0.05}
    history = [{"step": step, "loss": 1 / step, "learning_rate": 0.01 / step} for step in range(1, 12)]
    history.append({"step": 11, "eval_loss": 0.9, f"eval_{metric}": 0.6})
    facts = {
        **{"model": f"model {EVIL}", "task": "made_up", "parameters": 12347, "reported": "test", "seconds": 61.0},
        "labels": {"kind": kind, "names": NAMES.get(kind, ["score"])},
        "rows": {"train": 97, "test": 61},
        "classes": {} if kind == "regression" else {"train": [31, 13, 53]},
        "lengths": {
            **{"limit": 13, "lengths": [5, 11, 17], "counts": [23, 61, 13], "sample": 97, "of": 97},
            **{"rows_cut": 13 / 97, "tokens_lost": 0.05},
        },
        "baselines": [{"name": "majority class", "key": "majority", "seconds": 0.1}],
        "scoring": {"headline": metric, "percent": ["accuracy", "micro_f1"]},
        "verdict": "It is better.",
        "temperature": 1.7,
        "memory": {"process_mb": 983},
        "seconds_of": {"train": 7.3, "report": 1.1},
        "versions": {"torch": "2.13.0"},
        "arguments": {"results": {"confidence_level": 0.95}, "training": {"learning_rate": 0.01, "seed": 42}},
        "command": ["/home/me/run_glue_style.py", "--train_file=/home/me/my rows.csv", "--output_dir", "runs/x"],
    }
    files = {
        "run": facts | record,
        "all_results": results,
        "trainer_state": {"log_history": history, "global_step": 11},
        "config": {"model_type": "bert"},
    }
    for name, contents in files.items():
        (folder / f"{name}.json").write_text(json.dumps(contents), encoding="utf-8")
    return folder


def make_pretraining(folder: Path, **record) -> Path:
    """Write the files of a pre-training; `record` is added to run.json."""
    folder.mkdir(parents=True)
    history = [{"step": step, "loss": 1 + 1 / step, "learning_rate": 0.01 / step} for step in range(1, 12)]
    for step in (5, 11):
        measured = {"eval_mlm_loss": 2.6, "eval_mlm_accuracy": 0.4, "eval_nsp_accuracy": 0.8}
        history.append({"step": step, "eval_loss": 3.0, **measured})
    results = {
        **{"eval_mlm_loss": 2.583, "eval_mlm_accuracy": 0.453, "eval_pseudo_perplexity": 13.7, "eval_samples": 61},
        **{"eval_nsp_loss": 0.31, "eval_nsp_accuracy": 0.88, "train_tokens": 4507, "train_tokens_per_second": 2113.7},
    }
    facts = {
        **{"model": "scratch", "parameters": 12347, "seconds": 61.0, "versions": {"torch": "2.13.0"}},
        "corpus": {
            "name": f"wiki.parquet {EVIL}",
            "to learn from": {"documents": 97, "sentences": 211, "tokens": 3001},
            "held out": {"documents": 13, "sentences": 29, "tokens": 401},
            **{"length": 29, "inputs": 107, "filled": 0.75},
        },
        "arguments": {
            "pretrain": {"objective": "mlm+nsp", "mlm_probability": 0.15, "whole_word_mask": True, "probe": "made_up"},
            "training": {"learning_rate": 0.01, "seed": 42},
        },
        "command": ["/home/me/hf_scratch/__main__.py", "pretrain", "--train_file=/home/me/wiki.parquet"],
    }
    files = {
        "run": facts | record,
        "all_results": results,
        "trainer_state": {"log_history": history, "global_step": 11, "epoch": 1.5},
        "config": {"model_type": "scratch", "vocab_size": 100},
        "probes": [{"step": step, "share": step / 11, "probe_accuracy": 0.5 + step / 44} for step in (5, 11)],
    }
    for name, contents in files.items():
        (folder / f"{name}.json").write_text(json.dumps(contents), encoding="utf-8")
    return folder
