"""A classifier's answers on any number of texts: in their order, in bounded memory, in batches of texts of one length."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from ..data.batching import make_collator
from ..data.long_text import encode
from ..data.tokenization import usable_length
from ..results.metrics import decide, to_probabilities
from ..training.models import count_positions
from ..training.padding_free import HALF, CountTokens, PaddingFree, why_not_proven
from ..training.token_batches import MOST_EVALUATED, longest_first

WINDOW = 4096  # texts that are sorted by length at a time
MOST_TOKENS = {"cpu": 2048}  # of a batch, its padding included: what a cache holds


@dataclass(frozen=True)
class Answer:
    """What a classifier says of one text.

    Args:
        text: or a pair of texts.
        label: the class's name; of several labels the names of all that hold; of a regression the number. None for a text
            that holds nothing.
        probabilities: by the classes' names; none of a regression, or where there is no label.
    """

    text: str | tuple[str, str]
    label: str | list[str] | float | None
    probabilities: dict[str, float]


class Predictor:
    """Asks a model, as fast as the machine allows.

    Texts are sorted by length within a window, so that the texts of a batch need next to no padding, and batches hold
    a number of tokens, not of texts. Where that was proven to give the same answers, no padding is computed at all. While
    the model computes, the next window is tokenized.

    Args:
        model: a classifier, on the device and in the type in which it is to compute.
        tokenizer: the model's.
        max_tokens: of a batch; by default what suits the device.
    """

    def __init__(self, model, tokenizer, max_tokens: int | None = None):
        config, device = model.config, model.device.type
        self.model, self.tokenizer = model.eval(), tokenizer
        self.kind = kind_of(config)
        self.names = [str(config.id2label[id_]) for id_ in range(config.num_labels)]
        self.max_length = usable_length(10**6, tokenizer, count_positions(model))
        self.max_tokens = max_tokens or MOST_TOKENS.get(device, MOST_EVALUATED)
        self.collate, self.execution = make_collator(tokenizer, self.max_length), nullcontext()
        if why_not_proven(config, model.device, half=model.dtype in HALF) is None:
            self.collate, self.execution = CountTokens(self.collate), PaddingFree(model)

    def answers(self, windows: Iterable[list]) -> Iterator[list[Answer]]:
        """The answers of each window, in the order of its texts.

        Args:
            windows: lists of texts, or of pairs of texts, such as `in_windows` makes.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            windows = iter(windows)
            following = pool.submit(self.encode_next, windows)
            while (window := following.result()) is not None:
                following = pool.submit(self.encode_next, windows)
                yield self.answer(*window)

    def encode_next(self, windows: Iterator[list]):
        """The next window: its texts, the places of those that hold something, and their tokens; None at the end."""
        texts = next(windows, None)
        if texts is None:
            return None
        full = [place for place, text in enumerate(texts) if any(part.strip() for part in as_tuple(text))]
        columns = zip(*(as_tuple(texts[place]) for place in full), strict=True)
        encoded = encode(self.tokenizer, [*map(list, columns)], self.max_length) if full else {}
        return texts, full, encoded

    @torch.inference_mode()
    def answer(self, texts: list, full: list[int], encoded) -> list[Answer]:
        """The answers of one window."""
        answers = [Answer(text, None, {}) for text in texts]
        if not full:
            return answers
        logits, batches = [], longest_first(np.array(list(map(len, encoded["input_ids"]))), max_tokens=self.max_tokens)
        for rows in batches:
            batch = self.collate([{name: encoded[name][row] for name in encoded} for row in rows])
            batch = {name: x.to(self.model.device) if isinstance(x, torch.Tensor) else x for name, x in batch.items()}
            with self.execution:
                logits.append(self.model(**batch).logits)
        probabilities = np.empty((len(full), len(self.names)))
        probabilities[np.concatenate(batches)] = to_probabilities(self.kind, torch.cat(logits).float().cpu().numpy())
        for place, row, decision in zip(full, probabilities.tolist(), decide(self.kind, probabilities), strict=True):
            answers[place] = self.named(texts[place], row, decision)
        return answers

    def named(self, text, probabilities: list[float], decision) -> Answer:
        """An answer by the names of the classes."""
        if self.kind == "regression":
            return Answer(text, probabilities[0], {})
        by_name = dict(zip(self.names, probabilities, strict=True))
        if self.kind == "multi_label":
            return Answer(text, [name for name, holds in zip(self.names, decision, strict=True) if holds], by_name)
        return Answer(text, self.names[decision], by_name)


def kind_of(config) -> str:
    """What the head's logits mean, as `transformers.pipeline` decides it."""
    if config.problem_type in ("regression", "multi_label_classification"):
        return {"regression": "regression"}.get(config.problem_type, "multi_label")
    return "regression" if config.num_labels == 1 else "classification"


def as_tuple(text) -> tuple:
    return (text,) if isinstance(text, str) else tuple(text)


def in_windows(rows: Iterable, size: int = WINDOW) -> Iterator[list]:
    """Cut rows into lists of `size`; the last may be shorter."""
    rows = iter(rows)
    while window := list(islice(rows, size)):
        yield window
