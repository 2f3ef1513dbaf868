"""What a model must beat to be worth its time: the most frequent class, and a linear model on word counts."""

import re
import time
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

WORD = r"\w+"
INVERSE_PENALTY = 10.0  # scikit-learn's C; 10 beats the default 1 on short reviews


@dataclass(frozen=True)
class Baseline:
    """A simple classifier's predictions on the reported part.

    Args:
        name: as in the table.
        key: as in the results' keys.
        predicted: class ids, `(N,)`.
        seconds: to fit and to predict.
    """

    name: str
    key: str
    predicted: np.ndarray
    seconds: float


def fit_baselines(train: Dataset, reported: Dataset) -> list[Baseline]:
    """Fit the baselines on the training part and predict the reported part.

    Args:
        train: with `text` and `label`.
        reported: the rows that the model is judged on.
    """
    baselines = [majority(train, reported)]
    if any(re.search(WORD, text) for text in whole_texts(train)):  # some texts are nothing but signs
        baselines.append(tfidf(train, reported))
    return baselines


def majority(train: Dataset, reported: Dataset) -> Baseline:
    start = time.perf_counter()
    most_frequent = np.bincount(train["label"][:]).argmax()
    predicted = np.full(len(reported), most_frequent)
    return Baseline("majority class", "majority", predicted, time.perf_counter() - start)


def tfidf(train: Dataset, reported: Dataset) -> Baseline:
    """Words and pairs of words, weighted by TF-IDF, under logistic regression."""
    start = time.perf_counter()
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD),
        LogisticRegression(C=INVERSE_PENALTY, max_iter=1000),
    )
    model.fit(whole_texts(train), train["label"][:])
    predicted = model.predict(whole_texts(reported))
    return Baseline("TF-IDF + logistic regression", "tfidf", predicted, time.perf_counter() - start)


def whole_texts(rows: Dataset) -> list[str]:
    if "text_pair" not in rows.column_names:
        return rows["text"][:]
    return [f"{text} {pair}" for text, pair in zip(rows["text"][:], rows["text_pair"][:], strict=True)]
