"""What a model must beat to be worth its time: what answers alike for every text, and a linear model on word counts."""

import re
import time
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from ..data.labels import Labels

WORD = r"\w+"
INVERSE_PENALTY = 10.0  # scikit-learn's C; 10 beats the default 1 on short reviews
# What bounds the linear model's time and memory: 20,000 Yelp reviews take 40 s of one core and 0.6 GB.
MOST_ROWS = 50_000
MOST_FITTED = 1_000_000  # rows times labels, where each label has a model of its own
MOST_WORDS = 300_000
MOST_COEFFICIENTS = 5_000_000


@dataclass(frozen=True)
class Baseline:
    """A simple model's answers on the reported part.

    Args:
        name: as in the table.
        key: as in the results' keys.
        probabilities: `(N, L)`, or a regression's numbers `(N, 1)`.
        seconds: to fit and to predict.
    """

    name: str
    key: str
    probabilities: np.ndarray
    seconds: float


def fit_baselines(train: Dataset, reported: Dataset, labels: Labels, seed: int = 0) -> list[Baseline]:
    """Fit the baselines on the training part and answer the reported part.

    Args:
        train: with `text` and `label`; rows without a label are left out.
        reported: the rows that the model is judged on; their labels are not looked at.
        labels: of the task.
        seed: of the sample that a large training part is cut to.
    """
    train = train.select(labels.known(train).nonzero()[0])
    baselines = [always_the_same(train, reported, labels)]
    if any(re.search(WORD, text) for text in whole_texts(train)):  # some texts are nothing but signs
        baselines.append(tfidf(train, reported, labels, seed))
    return baselines


def always_the_same(train: Dataset, reported: Dataset, labels: Labels) -> Baseline:
    """The training part's shares of the classes for every text, so that the most frequent one is named; or its mean."""
    start = time.perf_counter()
    gold = labels.gold(train)
    answer = np.bincount(gold, minlength=labels.num_labels) / len(gold) if labels.single else gold.mean(axis=0)
    probabilities = np.tile(np.atleast_1d(answer).astype(np.float64), (len(reported), 1))
    name = {"regression": "mean", "multi_label": "majority of each label"}.get(labels.kind, "majority class")
    key = "mean" if labels.kind == "regression" else "majority"
    return Baseline(name, key, probabilities, time.perf_counter() - start)


def tfidf(train: Dataset, reported: Dataset, labels: Labels, seed: int) -> Baseline:
    """Words and pairs of words, weighted by TF-IDF, under logistic regression, one for each of several labels; or ridge."""
    start = time.perf_counter()
    most = MOST_FITTED // labels.num_labels if labels.kind == "multi_label" else MOST_ROWS
    rows = train if len(train) <= most else train.shuffle(seed=seed).select(range(most))
    words = min(MOST_WORDS, MOST_COEFFICIENTS // labels.num_labels)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=WORD, max_features=words)
    fitted = vectorizer.fit_transform(whole_texts(rows))
    asked, gold = vectorizer.transform(whole_texts(reported)), labels.gold(rows)
    if labels.kind == "regression":
        probabilities = Ridge().fit(fitted, gold).predict(asked)[:, None]
    elif labels.kind == "multi_label":
        probabilities = np.column_stack([class_shares(fitted, flags, asked, 2)[:, 1] for flags in gold.T])
    else:
        probabilities = class_shares(fitted, gold, asked, labels.num_labels)
    name, key = ("TF-IDF + ridge", "ridge") if labels.kind == "regression" else ("TF-IDF + logistic regression", "tfidf")
    name += f" ({len(rows):,} of {len(train):,} rows)" if len(rows) < len(train) else ""
    return Baseline(name, key, probabilities, time.perf_counter() - start)


def class_shares(fitted, gold: np.ndarray, asked, num_classes: int) -> np.ndarray:
    """Logistic regression's probabilities, `(N, num_classes)`; a class that no fitted row has gets 0."""
    probabilities = np.zeros((asked.shape[0], num_classes))
    classes = np.unique(gold)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000) if len(classes) > 1 else None
    probabilities[:, classes] = model.fit(fitted, gold).predict_proba(asked) if model else 1.0
    return probabilities


def whole_texts(rows: Dataset) -> list[str]:
    if "text_pair" not in rows.column_names:
        return rows["text"][:]
    return [f"{text} {pair}" for text, pair in zip(rows["text"][:], rows["text_pair"][:], strict=True)]
