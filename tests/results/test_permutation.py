import numpy as np
import pytest

from hf_scratch.results.permutation import find_permutation

NAMES = tuple("abcdefghijk")


def answers(rows, labels, accuracy, seed=0):
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, labels, rows)
    return gold, np.where(rng.random(rows) < accuracy, gold, rng.integers(0, labels, rows))


def test_turned_names_of_two_classes_are_found():
    gold, predicted = answers(101, 2, 0.8)
    found = find_permutation(gold, 1 - predicted, ("bad", "good"))
    assert found.names == {"bad": "good", "good": "bad"}
    assert found.permuted_accuracy == pytest.approx((gold == predicted).mean()) == pytest.approx(1 - found.accuracy)
    assert "'bad' means 'good', 'good' means 'bad'; check the order" in str(found)
    assert f"accuracy is {found.accuracy:.1%}, and would be {found.permuted_accuracy:.1%}" in str(found)


def test_a_circle_of_three_among_five_is_found_and_the_others_keep_their_names():
    gold, predicted = answers(499, 5, 0.7)
    circle = np.array([2, 1, 4, 3, 0])  # the head calls class 0 'c', 2 'e' and 4 'a'
    assert find_permutation(gold, circle[predicted], NAMES[:5]).names == {"a": "e", "c": "a", "e": "c"}


@pytest.mark.parametrize("labels", [2, 3, 5, 11])
@pytest.mark.parametrize("seed", range(20))
def test_luck_is_not_taken_for_a_permutation(labels, seed):
    """Answers at random: the best of many permutations always gains something."""
    for rows in (1, 13, 101):
        gold, predicted = answers(rows, labels, 0.0, seed)
        assert find_permutation(gold, predicted, NAMES[:labels]) is None


def test_a_good_model_has_its_own_names():
    assert find_permutation(*answers(211, 5, 0.7), NAMES[:5]) is None


def test_a_model_that_names_one_class_for_all_is_not_permuted():
    gold = np.array([0] * 70 + [1] * 20 + [2] * 11)
    assert find_permutation(gold, np.full(101, 2), NAMES[:3]) is None
