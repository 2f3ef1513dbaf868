"""Each drawn sample has the metric that scikit-learn and scipy give to its rows."""

import numpy as np
import pytest

from hf_scratch.results import ranks
from hf_scratch.results.measures import CLASSES, FLAGS, NUMBERS
from tests.results.answers import drawn as answers

CASES = {
    "two classes": ("classification", 2, ranks.of_classes, CLASSES),
    "four classes": ("classification", 4, ranks.of_classes, CLASSES),
    "several labels": ("multi_label", 3, ranks.of_flags, FLAGS),
    "numbers": ("regression", 1, ranks.of_numbers, NUMBERS),
}


@pytest.mark.parametrize(("kind", "count", "prepare", "measures"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("rows", [5, 61])  # of five rows many draws lack a class
def test_each_draw_has_the_value_of_its_rows(kind, count, prepare, measures, rows):
    gold, probabilities = answers(kind, rows, count)
    gold, probabilities = (np.round(values, 1) if values.dtype.kind == "f" else values for values in (gold, probabilities))
    probabilities = probabilities[:, 0] if kind == "regression" else probabilities  # rounded: with ties
    drawn = np.random.default_rng(1).multinomial(rows, [1 / rows] * rows, size=53).T
    found = prepare(gold, probabilities)(drawn)
    for place, counts in enumerate(drawn.T):
        chosen = np.repeat(np.arange(rows), counts)
        for name, values in found.items():
            expected = measures[name].compute(gold[chosen], probabilities[chosen])
            if expected is None:
                assert np.isnan(values[place])
            else:
                assert values[place] == pytest.approx(expected, abs=1e-9), (name, place)


def test_the_order_is_found_once_and_ties_are_whole():
    first, last = ranks.tied(np.array([5, 5, 3, 2, 2, 2]))
    assert first.tolist() == [0, 0, 2, 3, 3, 3] and last.tolist() == [1, 1, 2, 5, 5, 5]
    drawn = np.array([[1], [2], [0], [1]])
    assert ranks.ranker(np.array([7.0, 1.0, 3.0, 7.0]))(drawn)[[0, 1, 3], 0].tolist() == [3.5, 1.5, 3.5]
