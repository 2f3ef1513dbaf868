"""Made-up gold answers and probabilities of every kind, for the tests of what is computed from them."""

import numpy as np

from hf_scratch.data.labels import Labels
from hf_scratch.results.metrics import scoring_for, to_probabilities


def scoring(kind, count=4, task=None, metric=None):
    names = ("stars",) if kind == "regression" else tuple(f"c{id_}" for id_ in range(count))
    return scoring_for(Labels(kind, names), task, metric)


def sure(predicted, count=4, share=0.9):
    """Probabilities whose largest is of the predicted class."""
    probabilities = np.full((len(predicted), count), (1 - share) / (count - 1))
    probabilities[np.arange(len(predicted)), predicted] = share
    return probabilities


def drawn(kind, rows=61, count=4, seed=0):
    """Random gold answers, and probabilities that lean towards them."""
    rng = np.random.default_rng(seed)
    if kind == "regression":
        gold = rng.normal(size=rows)
        return gold, (gold + rng.normal(size=rows))[:, None]
    gold = rng.integers(0, count, rows) if kind != "multi_label" else rng.integers(0, 2, (rows, count))
    leaning = rng.normal(size=(rows, count)) + (np.eye(count)[gold] if gold.ndim == 1 else 2 * gold - 1)
    return gold, to_probabilities(kind, leaning)
