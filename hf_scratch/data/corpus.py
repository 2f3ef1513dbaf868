"""A corpus as numbers: the token ids of all documents in one array, and where sentences and documents begin."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from .documents import split_sentences


@dataclass(frozen=True)
class Corpus:
    """Documents in token ids, each ended by a [SEP] that belongs to no sentence.

    Args:
        tokens: `(N,)`.
        sentences: first and last-plus-one position of each sentence in `tokens`, `(S, 2)`.
        documents: first and last-plus-one of each document's sentences in `sentences`, `(D, 2)`.
    """

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    def document_of(self, positions: np.ndarray) -> np.ndarray:
        """The documents that tokens at these positions belong to."""
        return np.searchsorted(self.sentences[self.documents[:, 0], 0], positions, side="right") - 1

    def tokens_of(self, document: int) -> np.ndarray:
        """Of all its sentences."""
        first, last = self.documents[document]
        return self.tokens[self.sentences[first, 0] : self.sentences[last - 1, 1]]

    def counts(self) -> dict[str, int]:
        """Documents, sentences and tokens."""
        tokens = len(self.tokens) - len(self.documents)
        return {"documents": len(self.documents), "sentences": len(self.sentences), "tokens": tokens}

    def describe(self) -> str:
        """'2,213 documents, 38,077 sentences, 911,240 tokens'."""
        return ", ".join(f"{count:,} {name}" for name, count in self.counts().items())


def to_corpus(documents: Dataset, tokenizer: PreTrainedTokenizerBase, num_proc: int | None = None) -> Corpus:
    """Split documents into sentences, and sentences into tokens.

    The work is done once: `datasets` keeps it on disk under a fingerprint of the texts, the rule and the tokenizer.

    Args:
        documents: with the column `text`.
        tokenizer: a fast one; special tokens are added later, to segments.
        num_proc: processes; None for one.
    """
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
    arguments = {"backend": tokenizer.backend_tokenizer.to_str(), "sep": tokenizer.sep_token_id}
    rows = documents.with_format("arrow").map(
        Encoder(**arguments), batched=True, batch_size=256, num_proc=num_proc, remove_columns=documents.column_names
    )
    tokens = np.concatenate([chunk.flatten().to_numpy() for chunk in rows.data.column("tokens").chunks]).astype(dtype)
    lengths = [chunk.flatten().to_numpy() for chunk in rows.data.column("lengths").chunks]
    counts = [chunk.value_lengths().to_numpy() for chunk in rows.data.column("lengths").chunks]
    return from_lengths(tokens, np.concatenate(lengths).astype(np.int64), np.concatenate(counts).astype(np.int64))


def from_lengths(tokens: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> Corpus:
    """A corpus from its sentences' lengths `(S,)` and the number of sentences in each document `(D,)`."""
    counts = counts[counts > 0]  # a document without a token leaves nothing, no [SEP] either
    last = np.cumsum(counts)
    ends = np.cumsum(lengths) + np.repeat(np.arange(len(counts)), counts)  # one [SEP] for each document before
    return Corpus(tokens, np.stack([ends - lengths, ends], axis=1), np.stack([last - counts, last], axis=1))


class Encoder:
    """What `datasets` calls on each batch, in any process; hashed by its arguments.

    Args:
        backend: the tokenizer as JSON.
        sep: id of the token that ends a document.
    """

    def __init__(self, backend: str, sep: int):
        self.backend, self.sep = backend, sep
        self.tokenizer = None

    def __getstate__(self):
        return {"backend": self.backend, "sep": self.sep, "tokenizer": None}

    def __call__(self, batch: pa.Table) -> pa.Table:
        """`text` -> `tokens` (ids of a document, [SEP] last) and `lengths` (of its sentences)."""
        if self.tokenizer is None:
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_str(self.backend)
            self.tokenizer.no_padding()
            self.tokenizer.no_truncation()
        texts = [split_sentences(text) for text in batch["text"].to_pylist()]
        encoded = iter(self.tokenizer.encode_batch_fast(list(chain.from_iterable(texts)), add_special_tokens=False))
        tokens, lengths = [], []
        for sentences in texts:
            ids = [next(encoded).ids for _ in sentences]
            ids = [sentence for sentence in ids if sentence]
            lengths.append([len(sentence) for sentence in ids])
            tokens.append([*chain.from_iterable(ids), self.sep] if ids else [])
        kinds = pa.list_(pa.uint16() if self.tokenizer.get_vocab_size() <= 2**16 else pa.int32()), pa.list_(pa.int32())
        return pa.table({"tokens": pa.array(tokens, kinds[0]), "lengths": pa.array(lengths, kinds[1])})
