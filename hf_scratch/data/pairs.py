"""Inputs of pre-training, drawn anew each epoch: pairs of segments for next sentence prediction, or segments alone.

A segment is a stretch of the corpus, so an input is five numbers: where A and B begin and end, and whether B is a random one.
"""

import random
from bisect import bisect_left

import numpy as np
import torch

from ..errors import UserError
from .corpus import Corpus

SHORT = 0.1  # share of the pairs that aim at a random shorter length (Devlin et al. 2019, A.2; their code's short_seq_prob)
NEXT, RANDOM = 0, 1  # classes of next sentence prediction, as BERT numbers them


def next_sentence_pairs(corpus: Corpus, max_length: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs `[CLS] A [SEP] B [SEP]`; B is the true next half the time, else from another document (section 3.1, task 2).

    As in the authors' code, whole sentences are gathered up to the length, cut in two at a random one, and what is too long is
    cut at a random end of the longer segment; sentences that a random B pushed out are used again. Unlike there, a single
    sentence makes no pair, for it has no next: so the halves are exact.

    Args:
        corpus: with at least two documents.
        max_length: of an input, with its three special tokens.
        rng: of this epoch.

    Returns:
        `(N, 5)`: first and last-plus-one of A, of B, and `NEXT` or `RANDOM`; in the order of the documents.

    Raises:
        UserError: if no document has two sentences, or there is only one document.
    """
    sizes = np.diff(corpus.documents, axis=1)[:, 0]
    if len(sizes) < 2 or sizes.max() < 2:
        raise UserError(
            "next sentence prediction needs two documents, and one of two sentences, but there are "
            f"{len(sizes)} documents of {sizes.max(initial=0)} sentences at most; give longer documents, or --objective mlm"
        )
    # Millions of small draws and look-ups: lists, bisection and Python's own generator take a fifth of numpy's time.
    (starts, ends), documents = corpus.sentences.T.tolist(), corpus.documents.tolist()
    dice, room = random.Random(int(rng.integers(2**63))), max_length - 3
    pairs = []
    for document, (first, last) in enumerate(documents):
        while last - first >= 2:
            target = dice.randint(2, room) if dice.random() < SHORT else room
            stop = bisect_left(ends, starts[first] + target, first, last) + 1
            stop = min(max(stop, first + 2), last)  # gather until the target is reached, two at least
            cut = dice.randrange(first + 1, stop)
            a = starts[first], ends[cut - 1]
            if dice.random() < 0.5:
                pairs.append((*a, a[1], ends[stop - 1], NEXT))
                first = stop
            else:
                other = dice.randrange(len(documents) - 1)
                begin, end = documents[other + (other >= document)]
                begin = dice.randrange(begin, end)
                stop = bisect_left(ends, starts[begin] + max(1, target - (a[1] - a[0])), begin, end) + 1
                pairs.append((*a, starts[begin], ends[min(stop, end) - 1], RANDOM))
                first = cut
    return truncate_pairs(np.array(pairs, dtype=np.int64), room, rng)


def truncate_pairs(pairs: np.ndarray, room: int, rng: np.random.Generator) -> np.ndarray:
    """Cut what is too long, token by token from the longer segment, each at its front or its back with equal chance."""
    pairs = pairs.copy()
    lengths = pairs[:, [1, 3]] - pairs[:, [0, 2]]  # (N, 2)
    excess = np.maximum(lengths.sum(1) - room, 0)
    gap = lengths[:, 0] - lengths[:, 1]
    # The longer one pays until both are equal, then they take turns.
    alone = np.minimum(excess, abs(gap))
    rest = excess - alone
    cut_a = np.where(gap > 0, alone, 0) + rest // 2
    cut_b = np.where(gap > 0, 0, alone) + rest - rest // 2
    for column, cut in ((0, cut_a), (2, cut_b)):
        front = rng.binomial(cut, 0.5)
        pairs[:, column] += front
        pairs[:, column + 1] -= cut - front
    return pairs


def full_segments(corpus: Corpus, max_length: int, rng: np.random.Generator) -> np.ndarray:
    """`[CLS] A [SEP]`, each filled to the length across documents, which a [SEP] parts (Liu et al. 2019, FULL-SENTENCES).

    Where the first one begins is drawn anew, so that no token stands at an edge in every epoch.

    Returns:
        `(N, 5)` as of `next_sentence_pairs`, with an empty B.
    """
    room = max_length - 2
    if len(corpus.tokens) <= room:
        return segments(np.array([0]), np.array([len(corpus.tokens) - 1]))
    starts = np.arange(rng.integers(min(room, len(corpus.tokens) - room)), len(corpus.tokens) - room + 1, room)
    return segments(starts, starts + room)


def document_segments(corpus: Corpus, max_length: int, rng: np.random.Generator) -> np.ndarray:
    """`[CLS] A [SEP]` of one document each: what is longer is cut into pieces of the length.

    Returns:
        `(N, 5)` as of `next_sentence_pairs`, with an empty B.
    """
    room = max_length - 2
    first, last = corpus.sentences[corpus.documents[:, 0], 0], corpus.sentences[corpus.documents[:, 1] - 1, 1]
    pieces = -(-(last - first) // room)
    piece = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(first, pieces) + piece * room
    return segments(starts, np.minimum(starts + room, np.repeat(last, pieces)))


def segments(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.stack([starts, ends, ends, ends, np.full_like(starts, RANDOM)], axis=1)


DRAWS = {"mlm+nsp": next_sentence_pairs, "mlm": full_segments, "mlm+rtd": full_segments, "document": document_segments}


class SegmentRows(torch.utils.data.Dataset):
    """A map-style data set of segments; fetches a batch at a time, and is drawn anew by `set_epoch`.

    Args:
        corpus: what the rows are cut from.
        draw: one of `DRAWS`' functions.
        max_length: of a row, in tokens.
        seed: of the draws, together with the epoch.
    """

    def __init__(self, corpus: Corpus, draw, max_length: int, seed: int):
        self.corpus, self.draw, self.max_length, self.seed = corpus, draw, max_length, seed
        self.epoch, self.size = None, None
        self.set_epoch(0)

    def set_epoch(self, epoch: int):
        """Draw the rows of an epoch; as many as in the first, so that an epoch has the same number of steps."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.rows = self.draw(self.corpus, self.max_length, np.random.default_rng([self.seed, epoch]))
            self.size = self.size or len(self.rows)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> np.ndarray:
        return self.rows[index % len(self.rows)]

    def __getitems__(self, indices: list[int]) -> np.ndarray:
        return self.rows[np.asarray(indices) % len(self.rows)]

    def real_tokens(self) -> int:
        """Of an epoch, special tokens included and padding not."""
        pairs = self.rows[:, 3] > self.rows[:, 2]
        return int((self.rows[:, [1, 3]] - self.rows[:, [0, 2]]).sum() + 2 * len(self.rows) + pairs.sum())


class SegmentCollator:
    """Rows of `SegmentRows` -> the model's inputs, `(B, T)` each, and the documents that they begin in, `(B,)`.

    Args:
        corpus: that the rows point into.
        special: ids by the names cls, sep and pad.
        pad_to: one length T for all batches; None pads to the longest row.
    """

    def __init__(self, corpus: Corpus, special: dict[str, int], pad_to: int | None = None):
        self.corpus, self.special, self.pad_to = corpus, special, pad_to

    def __call__(self, rows) -> dict[str, torch.Tensor]:
        if isinstance(rows[0], dict):  # held-out rows were collated when they were masked
            return torch.utils.data.default_collate(rows)
        rows = np.asarray(rows)  # (B, 5)
        a, b = (rows[:, [1, 3]] - rows[:, [0, 2]]).T[:, :, None]  # lengths, each (B, 1)
        length = 2 + a + b + (b > 0)
        T = self.pad_to or int(length.max())
        place = np.arange(T)[None]  # (1, T)
        in_a = (place >= 1) & (place <= a)
        in_b = (place >= a + 2) & (place <= a + 1 + b)
        source = np.where(in_b, rows[:, 2:3] + place - a - 2, rows[:, 0:1] + place - 1)
        ids = self.corpus.tokens[np.where(in_a | in_b, source, 0)].astype(np.int64)
        ids = np.where(in_a | in_b, ids, np.where(place < length, self.special["sep"], self.special["pad"]))
        ids[:, 0] = self.special["cls"]
        batch = {"input_ids": torch.from_numpy(ids), "document": torch.from_numpy(self.corpus.document_of(rows[:, 0]))}
        if (length < T).any():
            batch["attention_mask"] = torch.from_numpy((place < length).astype(np.int64))
        if (b > 0).any():
            batch["token_type_ids"] = torch.from_numpy(((place >= a + 2) & (place < length)).astype(np.int64))
            batch["next_sentence_label"] = torch.from_numpy(rows[:, 4])
        return batch
