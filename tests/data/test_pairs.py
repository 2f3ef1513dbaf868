import numpy as np
import pytest
import torch

from hf_scratch.data.corpus import from_lengths
from hf_scratch.data.pairs import (
    DRAWS,
    RANDOM,
    SegmentCollator,
    SegmentRows,
    document_segments,
    full_segments,
    next_sentence_pairs,
    truncate_pairs,
)
from hf_scratch.errors import UserError

SEP, CLS, PAD, FIRST = 3, 2, 0, 5
LENGTH = 41


@pytest.fixture(scope="module")
def corpus():
    """997 documents of 1 to 23 sentences of 1 to 17 tokens; a token is its own position, so that it tells where it was."""
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 24, 997)
    lengths = rng.integers(1, 18, counts.sum())
    tokens = FIRST + np.arange(lengths.sum() + len(counts))
    corpus = from_lengths(tokens, lengths, counts)
    corpus.tokens[corpus.sentences[corpus.documents[:, 1] - 1, 1]] = SEP
    return corpus


@pytest.fixture(scope="module")
def pairs(corpus):
    return next_sentence_pairs(corpus, LENGTH, np.random.default_rng(1))


def document_of(corpus, position):
    ends = corpus.sentences[corpus.documents[:, 1] - 1, 1]
    return np.searchsorted(ends, position, side="right")


def binomial(count: int, share: float) -> tuple[float, float]:
    """Four standard deviations around the expectation."""
    spread = 4 * (count * share * (1 - share)) ** 0.5
    return count * share - spread, count * share + spread


def test_half_of_the_second_segments_are_random(pairs):
    low, high = binomial(len(pairs), 0.5)
    assert len(pairs) > 2000 and low < (pairs[:, 4] == RANDOM).sum() < high


def test_the_next_is_what_follows_and_the_random_is_of_another_document(corpus, pairs):
    first, second = document_of(corpus, pairs[:, 0]), document_of(corpus, pairs[:, 2])
    is_next = pairs[:, 4] != RANDOM
    assert (first[is_next] == second[is_next]).all() and (first[~is_next] != second[~is_next]).all()
    assert (pairs[:, [1, 3]] > pairs[:, [0, 2]]).all()  # no empty segment
    room = pairs[:, 1] - pairs[:, 0] + pairs[:, 3] - pairs[:, 2]
    whole = is_next & (room < LENGTH - 3)  # was not cut
    assert (pairs[whole, 1] == pairs[whole, 2]).all() and (pairs[is_next, 1] <= pairs[is_next, 2]).all()


def test_segments_are_filled_to_the_length_and_are_whole_sentences_where_nothing_was_cut(corpus, pairs):
    lengths = pairs[:, 1] - pairs[:, 0] + pairs[:, 3] - pairs[:, 2]
    assert lengths.max() == LENGTH - 3
    # Short are those that aim to be, ends of documents, and random ones whose document ended.
    first, last = corpus.documents[document_of(corpus, pairs[:, 0])].T
    at_end = np.maximum(pairs[:, 1], np.where(pairs[:, 4] != RANDOM, pairs[:, 3], 0)) >= corpus.sentences[last - 1, 1]
    inside = ~at_end & (pairs[:, 4] != RANDOM)
    low, high = binomial(inside.sum(), 0.1 * (1 - 1 / (LENGTH - 4)))
    assert (lengths[inside] < LENGTH - 3).sum() < high
    whole = lengths < LENGTH - 3
    edges = set(corpus.sentences[:, 0]), set(corpus.sentences[:, 1])
    assert set(pairs[whole][:, [0, 2]].flat) <= edges[0] and set(pairs[whole][:, [1, 3]].flat) <= edges[1]


def truncate_by_hand(a, b, room, rng):
    """The authors' loop: one token at a time from the longer one."""
    while len(a) + len(b) > room:
        longer = a if len(a) > len(b) else b
        longer.pop(0 if rng.random() < 0.5 else -1)
    return len(a), len(b)


@pytest.mark.parametrize(("a", "b"), [(3, 90), (90, 3), (31, 31), (20, 21), (40, 37), (5, 7)])
def test_truncation_is_the_authors_loop(a, b):
    rng = np.random.default_rng(0)
    many = np.tile([[100, 100 + a, 300, 300 + b, 0]], (2003, 1))
    cut = truncate_pairs(many, 38, rng)
    lengths = (cut[:, 1] - cut[:, 0]).tolist(), (cut[:, 3] - cut[:, 2]).tolist()
    expected = truncate_by_hand(list(range(a)), list(range(b)), 38, rng)
    assert set(zip(*lengths, strict=True)) == {expected}
    for start, end, size in ((0, 1, a), (2, 3, b)):
        front = cut[:, start] - many[:, start]
        assert (front >= 0).all() and (cut[:, end] <= many[:, end]).all()
        low, high = binomial(2003 * (size - expected[start // 2]), 0.5)
        assert low <= front.sum() <= high


def test_without_next_sentences_documents_are_refused():
    short = from_lengths(np.arange(8), np.array([3, 3]), np.array([1, 1]))
    with pytest.raises(UserError, match="2 documents of 1 sentences at most; give longer documents, or --objective mlm"):
        next_sentence_pairs(short, LENGTH, np.random.default_rng(0))


def test_full_segments_hold_every_token_but_those_at_the_ends(corpus):
    rows = full_segments(corpus, LENGTH, np.random.default_rng(0))
    assert (rows[:, 1] - rows[:, 0] == LENGTH - 2).all() and (rows[1:, 0] == rows[:-1, 1]).all()
    assert rows[0, 0] < LENGTH - 2 and len(corpus.tokens) - rows[-1, 1] < LENGTH - 2
    assert (rows[:, 2] == rows[:, 3]).all()
    assert full_segments(corpus, 10**6, np.random.default_rng(0))[0].tolist()[:2] == [0, len(corpus.tokens) - 1]


def test_document_segments_stay_in_their_document_and_hold_it_all(corpus):
    rows = document_segments(corpus, LENGTH, np.random.default_rng(0))
    assert (document_of(corpus, rows[:, 0]) == document_of(corpus, rows[:, 1] - 1)).all()
    held = np.concatenate([np.arange(*row[:2]) for row in rows])
    assert held.tolist() == [p for p in range(len(corpus.tokens)) if corpus.tokens[p] != SEP]


def test_every_epoch_is_drawn_anew_and_the_same_for_the_same_seed(corpus):
    rows, again = (SegmentRows(corpus, DRAWS["mlm+nsp"], LENGTH, seed=7) for _ in range(2))
    first, size = rows.rows, len(rows)
    rows.set_epoch(3)
    assert not np.array_equal(rows.rows[:50], first[:50]) and len(rows) == size
    again.set_epoch(3)
    assert np.array_equal(rows.rows, again.rows)
    assert rows.__getitems__([0, size - 1]).shape == (2, 5)


def row_by_hand(corpus, row):
    """[CLS] A [SEP] B [SEP], with token types."""
    a, b = corpus.tokens[row[0] : row[1]].tolist(), corpus.tokens[row[2] : row[3]].tolist()
    ids, types = [CLS, *a, SEP], [0] * (len(a) + 2)
    return (ids + b + [SEP], types + [1] * (len(b) + 1)) if b else (ids, types)


@pytest.mark.parametrize("draw", sorted(DRAWS))
@pytest.mark.parametrize("pad_to", [None, LENGTH])
def test_the_inputs_are_those_made_by_hand(corpus, draw, pad_to):
    rows = SegmentRows(corpus, DRAWS[draw], LENGTH, seed=0)
    some = rows.__getitems__(list(range(0, len(rows), 13)))
    batch = SegmentCollator(corpus, {"cls": CLS, "sep": SEP, "pad": PAD}, pad_to)(some)
    mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
    types = batch.get("token_type_ids", torch.zeros_like(mask))
    for row, ids, real, kinds in zip(some, batch["input_ids"], mask, types, strict=True):
        expected, expected_types = row_by_hand(corpus, row)
        assert ids[real.bool()].tolist() == expected and kinds[real.bool()].tolist() == expected_types
        assert real.sum() == len(expected) <= LENGTH and (ids[real == 0] == PAD).all() and (kinds[real == 0] == 0).all()
    assert ("next_sentence_label" in batch) == (draw == "mlm+nsp")
    if draw == "mlm+nsp":
        assert batch["next_sentence_label"].tolist() == some[:, 4].tolist()
    sizes = [len(row_by_hand(corpus, row)[0]) for row in rows.rows]
    assert rows.real_tokens() == sum(sizes)
