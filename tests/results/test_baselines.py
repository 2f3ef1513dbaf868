import numpy as np
import pytest
from datasets import Dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier

from hf_scratch.data.labels import Labels
from hf_scratch.results import baselines as module
from hf_scratch.results.baselines import fit_baselines, whole_texts

TEXTS = ["a warm film", "a lovely end", "warm, lovely", "a cold film", "an awful end", "cold and awful", "warm lovely"]
GOLD = [1, 1, 1, 0, 0, 0, 1]
TRAIN = Dataset.from_dict({"text": TEXTS, "label": GOLD})
REPORTED = Dataset.from_dict({"text": ["lovely warm", "awful cold", "something else"], "label": [1, 0, 0]})
TWO = Labels("classification", ("bad", "good"))
WORDS = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+").fit(TEXTS)


def relabelled(rows, labels):
    return rows.remove_columns("label").add_column("label", labels)


def test_both_baselines_answer_the_reported_part():
    majority, tfidf = fit_baselines(TRAIN, REPORTED, TWO)
    assert (majority.key, tfidf.key) == ("majority", "tfidf")
    np.testing.assert_allclose(majority.probabilities, [[3 / 7, 4 / 7]] * 3)
    assert tfidf.probabilities.argmax(1)[:2].tolist() == [1, 0]
    np.testing.assert_allclose(tfidf.probabilities.sum(1), 1)
    assert majority.seconds >= 0 and tfidf.seconds > 0


def test_the_linear_model_is_scikit_learns_with_these_settings():
    own = LogisticRegression(C=10.0, max_iter=1000).fit(WORDS.transform(TEXTS), GOLD)
    expected = own.predict_proba(WORDS.transform(REPORTED["text"][:]))
    np.testing.assert_allclose(fit_baselines(TRAIN, REPORTED, TWO)[1].probabilities, expected, rtol=1e-6)


def test_the_most_frequent_class_is_that_of_training():
    found = fit_baselines(TRAIN, relabelled(REPORTED, [0, 0, 0]), TWO)[0].probabilities
    assert found.argmax(1).tolist() == [1, 1, 1]


def test_labels_of_the_reported_part_are_not_looked_at():
    hidden = REPORTED.remove_columns("label")
    for with_labels, without in zip(fit_baselines(TRAIN, REPORTED, TWO), fit_baselines(TRAIN, hidden, TWO), strict=True):
        assert np.array_equal(with_labels.probabilities, without.probabilities)


def test_a_class_that_training_lacks_and_rows_without_a_label_do_no_harm():
    three = Labels("ordinal", ("1", "2", "3"))
    train = relabelled(TRAIN, [2, 2, 2, 0, 0, 0, -1])
    majority, tfidf = fit_baselines(train, REPORTED, three)
    np.testing.assert_allclose(majority.probabilities[0], [1 / 2, 0, 1 / 2])
    assert tfidf.probabilities.argmax(1)[:2].tolist() == [2, 0] and not tfidf.probabilities[:, 1].any()


def test_several_labels_have_a_linear_model_each():
    flags = [
        [1.0, 1.0, 0.0],
        [1.0, 0.0, 0.0],
        [1.0, 1.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [1.0, 0.0, 0.0],
    ]
    majority, tfidf = fit_baselines(relabelled(TRAIN, flags), REPORTED, Labels("multi_label", ("x", "y", "never")))
    np.testing.assert_allclose(majority.probabilities[0], [4 / 7, 4 / 7, 0])
    own = OneVsRestClassifier(LogisticRegression(C=10.0, max_iter=1000)).fit(WORDS.transform(TEXTS), np.array(flags)[:, :2])
    np.testing.assert_allclose(tfidf.probabilities[:, :2], own.predict_proba(WORDS.transform(REPORTED["text"][:])), rtol=1e-5)
    assert not tfidf.probabilities[:, 2].any()


def test_numbers_have_their_mean_and_ridge():
    numbers = [3.0, 2.5, 3.5, -1.0, -2.0, -3.0, 4.0]
    mean, ridge = fit_baselines(relabelled(TRAIN, numbers), REPORTED, Labels("regression", ("score",)))
    assert (mean.key, ridge.key) == ("mean", "ridge")
    np.testing.assert_allclose(mean.probabilities, [[1.0]] * 3)
    own = Ridge().fit(WORDS.transform(TEXTS), numbers)
    np.testing.assert_allclose(ridge.probabilities[:, 0], own.predict(WORDS.transform(REPORTED["text"][:])), rtol=1e-4)


def test_pairs_of_words_tell_what_words_alone_do_not():
    texts = ["not good film", "good not film", "film not good", "film good not"]
    train = Dataset.from_dict({"text": texts * 5, "label": [0, 1, 0, 1] * 5})
    assert fit_baselines(train, train, TWO)[1].probabilities.argmax(1).tolist() == [0, 1, 0, 1] * 5


@pytest.mark.parametrize("column", ["text", "text_pair"])
def test_both_texts_of_a_pair_count(column):
    other = {"text": "text_pair", "text_pair": "text"}[column]
    pairs = TRAIN.rename_column("text", column) if column != "text" else TRAIN
    pairs = pairs.add_column(other, ["same"] * len(pairs))
    assert sorted(whole_texts(pairs)[0].split()) == ["a", "film", "same", "warm"]
    assert fit_baselines(pairs, pairs, TWO)[1].probabilities.argmax(1).tolist() == GOLD


def test_texts_without_a_word_have_a_majority_only():
    signs = Dataset.from_dict({"text": ["!!!", "?", "🙂🙂"], "label": [0, 1, 0]})
    assert [baseline.key for baseline in fit_baselines(signs, signs, TWO)] == ["majority"]


def test_a_large_training_part_is_sampled_and_says_so(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 5)
    found = [fit_baselines(TRAIN, REPORTED, TWO, seed)[1] for seed in (0, 0, 3)]
    assert found[0].name == "TF-IDF + logistic regression (5 of 7 rows)"
    assert np.array_equal(found[0].probabilities, found[1].probabilities)
    assert not np.array_equal(found[0].probabilities, found[2].probabilities)
