"""What a model got right and wrong: the confusion matrix, the classes one by one, the rows it is most wrong about."""

from dataclasses import dataclass

import numpy as np

SURE = 1e-12


def confusion(gold: np.ndarray, predicted: np.ndarray, num_labels: int) -> np.ndarray:
    """Counts `(L, L)`: true classes in rows, predicted ones in columns."""
    return np.bincount(gold * num_labels + predicted, minlength=num_labels**2).reshape(num_labels, num_labels)


def top_confusions(counts: np.ndarray, most: int = 10) -> list[tuple[int, int, int, float]]:
    """The most frequent mistakes: true class, predicted class, rows, share of the true class's rows."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = (np.unravel_index(flat, wrong.shape) for flat in order)
    totals = counts.sum(axis=1)
    return [
        (int(true), int(named), int(wrong[true, named]), float(wrong[true, named] / totals[true]))
        for true, named in pairs
        if wrong[true, named]
    ]


@dataclass(frozen=True)
class ClassScore:
    """One class by itself.

    Args:
        rows: that it has; `named`: that were given it; `hits`: both.
    """

    rows: int
    named: int
    hits: int

    @property
    def precision(self) -> float | None:
        """Share of the rows given the class that have it; None if there are none."""
        return self.hits / self.named if self.named else None

    @property
    def recall(self) -> float | None:
        """Share of the rows of the class that were given it; None if there are none."""
        return self.hits / self.rows if self.rows else None

    @property
    def f1(self) -> float | None:
        """2·hits / (rows + named); None if the class neither occurs nor is named."""
        return 2 * self.hits / (self.rows + self.named) if self.rows + self.named else None


def class_scores(gold: np.ndarray, predicted: np.ndarray, num_labels: int) -> list[ClassScore]:
    """Every class by itself.

    Args:
        gold, predicted: class ids `(N,)`, or zeros and ones `(N, L)`.
        num_labels: L.
    """
    if gold.ndim == 1:
        gold, predicted = np.eye(num_labels, dtype=int)[gold], np.eye(num_labels, dtype=int)[predicted]
    counts = zip(gold.sum(0).tolist(), predicted.sum(0).tolist(), (gold * predicted).sum(0).tolist(), strict=True)
    return [ClassScore(*of_class) for of_class in counts]


def losses(kind: str, gold: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How wrong each row is, `(N,)`: -log p(true), for several labels summed over them; of numbers the distance."""
    if kind == "regression":
        return np.abs(probabilities[:, 0] - gold)
    inside = np.clip(probabilities, SURE, 1 - SURE)
    if kind == "multi_label":
        return -np.log(np.where(gold == 1, inside, 1 - inside)).sum(-1)
    return -np.log(inside[np.arange(len(gold)), gold])


def likely_label_errors(gold: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Rows that are surer of another class than that class's own rows are on average, `(N,)` bool.

    Confident learning (Northcutt et al. 2021, equation 1): the threshold of a class is the mean probability that its own rows
    give it. Evidence, no proof: the model may be wrong instead.

    Args:
        gold: class ids, `(N,)`.
        probabilities: `(N, L)`.
    """
    N, L = probabilities.shape
    thresholds = np.array([probabilities[gold == id_, id_].mean() if (gold == id_).any() else np.inf for id_ in range(L)])
    passing = np.where(probabilities >= thresholds, probabilities, -np.inf)
    return (passing.max(-1) > -np.inf) & (passing.argmax(-1) != gold)


def most_wrong(kind: str, gold: np.ndarray, probabilities: np.ndarray, most: int) -> list[tuple[int, bool]]:
    """The rows with the highest loss, likely label errors first: position, and whether it is one.

    Args:
        kind: of the labels.
        gold: true answers.
        probabilities: `(N, L)`; of a regression the predictions, `(N, 1)`.
        most: how many.
    """
    loss = losses(kind, gold, probabilities)
    single = kind in ("classification", "ordinal")
    suspect = likely_label_errors(gold, probabilities) if single else np.zeros(len(gold), dtype=bool)
    wrong = probabilities.argmax(-1) != gold if single else loss > 0
    order = np.lexsort((-loss, ~suspect))
    return [(int(row), bool(suspect[row])) for row in order if wrong[row]][:most]
