import numpy as np
import pytest
from datasets import Dataset

from hf_scratch.errors import UserError
from hf_scratch.training.token_batches import ORDERS, TokenBatches, longest_first, row_lengths, share


def lengths_of(count, seed=0, longest=97):
    draws = np.random.default_rng(seed).lognormal(3.0, 0.75, count)
    return np.clip(draws.astype(int), 3, longest)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("count", "max_tokens"), [(1009, 997), (1009, 97), (211, 331), (13, 5000), (1, 97), (53, 101)])
def test_every_row_once_an_epoch_within_the_budget(count, max_tokens, order):
    lengths = lengths_of(count)
    sampler = TokenBatches(lengths, max_tokens, seed=3, order=order)
    seen = []
    for epoch in (0, 1, 4):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        assert sorted(row for batch in batches for row in batch) == list(range(count))
        assert max(lengths[batch].sum() for batch in batches) <= max_tokens
        seen.append(batches)
    sampler.set_epoch(0)
    assert list(sampler) == seen[0]
    assert order != "random" or len(sampler) <= 1.1 * lengths.sum() / max_tokens + 1
    if order == "sequential":
        rows = [sorted(batch) for batch in sampler]
        assert [row for batch in rows for row in batch] == list(range(count))
    elif count > 53:
        assert len({frozenset(map(frozenset, batches)) for batches in seen}) == 3  # other companions in each epoch


def test_mixed_batches_waste_little_and_hold_all_lengths():
    lengths = lengths_of(5003)
    batches = TokenBatches(lengths, 4096).batches(0)
    assert len(batches) <= 1.03 * lengths.sum() / 4096 + 1
    assert max(map(len, batches)) - min(map(len, batches)) <= 1
    means = [lengths[batch].mean() for batch in batches]
    assert np.std(means) < 0.02 * lengths.mean()


def test_grouped_batches_are_of_one_length():
    lengths = lengths_of(5003)
    batches = TokenBatches(lengths, 4096, order="group_by_length").batches(0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.05 * lengths.sum()
    assert np.corrcoef(np.arange(len(batches)), [lengths[batch].mean() for batch in batches])[0, 1] < 0.5  # in no order


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("max_tokens", [97, 997])  # of the smaller budget some batches hold fewer rows than there are processes
def test_processes_share_the_same_batches_by_their_tokens(world_size, order, max_tokens):
    lengths = lengths_of(1009)
    alone = list(TokenBatches(lengths, max_tokens, seed=3, order=order))
    ranks = [list(TokenBatches(lengths, max_tokens, 3, rank, world_size, order)) for rank in range(world_size)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        real = [[row for row in part if row >= 0] for part in parts]
        assert sorted(whole) == sorted(row for part in real for row in part)
        assert all(len(part) == 1 for part, rows in zip(parts, real, strict=True) if not rows)  # a filler, and no more
        assert all(real) or len(whole) < world_size
        tokens = [lengths[part].sum() for part in real]
        assert max(tokens) - min(tokens) <= lengths[whole].max()
    assert (min(map(len, alone)) < world_size) == (max_tokens == 97) or order == "group_by_length"  # whose last one is a rest


def test_shares_go_there_and_back():
    assert [share(np.arange(7), rank, 3).tolist() for rank in range(3)] == [[0, 5, 6], [1, 4], [2, 3]]


@pytest.mark.parametrize(
    ("max_tokens", "order", "message"),
    [
        (96, "random", "is 96, but the longest training row has 97 tokens; give at least"),
        (97, "batch_rebalance", "batch_rebalance given with --max_tokens_per_batch, whose batches are balanced already; leave"),
    ],
)
def test_what_does_not_fit_is_refused(max_tokens, order, message):
    with pytest.raises(UserError, match=message):
        TokenBatches(lengths_of(1009), max_tokens, order=order)


def test_lengths_are_those_of_the_rows_even_when_selected():
    rows = Dataset.from_dict({"input_ids": [[1] * length for length in (5, 2, 7, 3)]})
    assert row_lengths(rows).tolist() == [5, 2, 7, 3]
    assert row_lengths(rows.select([2, 0])).tolist() == [7, 5]
    assert row_lengths([{"input_ids": [1, 2]}, {"input_ids": [1]}]).tolist() == [2, 1]


@pytest.mark.parametrize("limit", [{"rows": 8}, {"rows": 1}, {"rows": 500}, {"max_tokens": 61}, {"max_tokens": 997}], ids=str)
def test_evaluation_takes_the_longest_rows_first_and_each_once(limit):
    lengths = lengths_of(211)  # some rows are longer than the smaller budget
    batches = longest_first(lengths, **limit)
    assert sorted(np.concatenate(batches).tolist()) == list(range(211))
    assert np.all(np.diff(lengths[np.concatenate(batches)]) <= 0)
    if "rows" in limit:
        assert {len(batch) for batch in batches[:-1]} <= {limit["rows"]} and len(batches[-1]) <= limit["rows"]
    else:
        padded = np.array([len(batch) * lengths[batch].max() for batch in batches])
        assert all(len(batch) == 1 or tokens <= limit["max_tokens"] for batch, tokens in zip(batches, padded, strict=True))
        one_more = [tokens + lengths[batch].max() for batch, tokens in zip(batches[:-1], padded[:-1], strict=True)]
        assert min(one_more) > limit["max_tokens"]  # no batch is cut before it is full


def test_rows_of_one_length_keep_their_order():
    assert [batch.tolist() for batch in longest_first(np.array([5, 99, 5, 0]), max_tokens=10)] == [[1], [0, 2], [3]]
