import numpy as np
import pytest
from datasets import Dataset

from hf_scratch.results.baselines import fit_baselines, whole_texts

TRAIN = Dataset.from_dict(
    {
        "text": [
            "a warm film",
            "a lovely end",
            "warm, lovely",
            "a cold film",
            "an awful end",
            "cold and awful",
            "warm lovely",
        ],
        "label": [1, 1, 1, 0, 0, 0, 1],
    }
)
REPORTED = Dataset.from_dict({"text": ["lovely warm", "awful cold", "something else"], "label": [1, 0, 0]})


def test_both_baselines_predict_the_reported_part():
    majority, tfidf = fit_baselines(TRAIN, REPORTED)
    assert (majority.key, tfidf.key) == ("majority", "tfidf")
    assert majority.predicted.tolist() == [1, 1, 1]
    assert tfidf.predicted[:2].tolist() == [1, 0]
    assert majority.seconds >= 0 and tfidf.seconds > 0


def test_the_most_frequent_class_is_that_of_training():
    reported = REPORTED.remove_columns("label").add_column("label", [0, 0, 0])
    assert fit_baselines(TRAIN, reported)[0].predicted.tolist() == [1, 1, 1]


def test_labels_of_the_reported_part_are_not_looked_at():
    hidden = REPORTED.remove_columns("label")
    for with_labels, without in zip(fit_baselines(TRAIN, REPORTED), fit_baselines(TRAIN, hidden), strict=True):
        assert np.array_equal(with_labels.predicted, without.predicted)


def test_pairs_of_words_tell_what_words_alone_do_not():
    texts = ["not good film", "good not film", "film not good", "film good not"]
    train = Dataset.from_dict({"text": texts * 5, "label": [0, 1, 0, 1] * 5})
    assert fit_baselines(train, train)[1].predicted.tolist() == [0, 1, 0, 1] * 5


@pytest.mark.parametrize("column", ["text", "text_pair"])
def test_both_texts_of_a_pair_count(column):
    other = {"text": "text_pair", "text_pair": "text"}[column]
    pairs = TRAIN.rename_column("text", column) if column != "text" else TRAIN
    pairs = pairs.add_column(other, ["same"] * len(pairs))
    assert sorted(whole_texts(pairs)[0].split()) == ["a", "film", "same", "warm"]
    assert fit_baselines(pairs, pairs)[1].predicted.tolist() == TRAIN["label"][:]


def test_texts_without_a_word_have_a_majority_only():
    signs = Dataset.from_dict({"text": ["!!!", "?", "🙂🙂"], "label": [0, 1, 0]})
    assert [baseline.key for baseline in fit_baselines(signs, signs)] == ["majority"]
