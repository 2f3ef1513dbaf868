"""Do the classes have each other's names? A head whose labels are permuted is good, and scores below chance."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln
from scipy.stats import binom

LARGE = 0.1  # share of the rows that a permutation must gain, over the names as they are and over one class for all
SURE = 0.001  # chance of so large a gain by luck, over all permutations


@dataclass(frozen=True)
class Permutation:
    """Other names for what the model answers.

    Args:
        names: the name that each answer should have, where it is not its own.
        accuracy: with the names as they are.
        permuted_accuracy: with these.
    """

    names: dict[str, str]
    accuracy: float
    permuted_accuracy: float

    def __str__(self):
        pairs = ", ".join(f"{name!r} means {meant!r}" for name, meant in self.names.items())
        return (
            f"the labels look permuted: accuracy is {self.accuracy:.1%}, and would be {self.permuted_accuracy:.1%} if {pairs}; "
            "check the order of the classes in the data and in the model's id2label"
        )


def find_permutation(gold: np.ndarray, predicted: np.ndarray, names) -> Permutation | None:
    """The permutation of the names that would beat the accuracy by far, if there is one.

    The best one is an assignment problem on the confusion matrix (Kuhn 1955). Its gain must be large; must beat naming the most
    frequent class for all rows as much, for a collapsed model is no permuted one; and must be no luck: on the rows where the
    two differ, a binomial test against one half, times the number of permutations that were tried (Bonferroni).

    Args:
        gold, predicted: class ids, each `(N,)`.
        names: of the classes.
    """
    L, N = len(names), len(gold)
    confusion = np.bincount(predicted * L + gold, minlength=L * L).reshape(L, L)
    _, meant = linear_sum_assignment(confusion, maximize=True)
    own, best = np.trace(confusion), confusion[np.arange(L), meant].sum()
    if best - max(own, confusion.sum(axis=0).max()) < LARGE * N:
        return None
    changed = (meant != np.arange(L)).nonzero()[0]
    gained, lost = confusion[changed, meant[changed]].sum(), confusion[changed, changed].sum()
    if binom.logsf(gained - 1, gained + lost, 0.5) + gammaln(L + 1) > np.log(SURE):
        return None
    return Permutation({names[id_]: names[meant[id_]] for id_ in changed}, own / N, best / N)
