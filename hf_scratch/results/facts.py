"""What the report of a run must know and no other of its files holds: gathered while it runs, for run.json."""

import sys
from collections.abc import Sequence

import numpy as np
from datasets import DatasetDict

from ..data.doctor import class_counts
from ..data.labels import Labels
from ..data.statistics import TokenStatistics
from .baselines import Baseline
from .metrics import Scoring


def data_facts(parts: DatasetDict, labels: Labels, tokens: TokenStatistics) -> dict:
    """Sizes of the parts and their classes, and how long the training texts are.

    Args:
        parts: of the run.
        labels: of the task.
        tokens: of the training texts.
    """
    counted = labels.kind != "regression"
    return {
        "labels": {"kind": labels.kind, "names": list(labels.names)},
        "rows": {part: len(rows) for part, rows in parts.items()},
        "classes": {part: class_counts(rows, labels).tolist() for part, rows in parts.items()} if counted else {},
        "lengths": length_counts(tokens),
    }


def length_counts(tokens: TokenStatistics) -> dict:
    """A histogram of the uncut lengths, and what the limit takes away."""
    lengths, counts = np.unique(tokens.lengths, return_counts=True)
    return {
        **{"lengths": lengths.tolist(), "counts": counts.tolist(), "sample": tokens.rows, "of": tokens.of},
        **{"limit": tokens.limit, "rows_cut": tokens.rows_cut, "tokens_lost": tokens.tokens_lost},
    }


def scoring_facts(scoring: Scoring, baselines: Sequence[Baseline]) -> dict:
    """What the metrics are, and which baselines there were."""
    measures = scoring.measures
    return {
        "scoring": {
            "headline": scoring.headline,
            "shown": list(scoring.shown),
            "names": list(scoring.names),
            "percent": [name for name in scoring.names if measures[name].percent],
            "greater_is_better": [name for name in scoring.names if measures[name].greater_is_better],
        },
        "baselines": [
            {"name": baseline.name, "key": baseline.key, "seconds": round(baseline.seconds, 3)} for baseline in baselines
        ],
    }


def peak_memory() -> dict[str, int]:
    """The most that this process held, in MB; and on its device, if it has one."""
    import resource

    import torch

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    peak = {"process_mb": round(kilobytes / 1024)}
    if torch.cuda.is_available():
        peak["device_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return peak
