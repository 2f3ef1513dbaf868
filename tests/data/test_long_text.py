"""What is kept of long texts, against the tokenizer's own truncation and the paper's numbers."""

import pytest
from datasets import Dataset
from transformers import AutoTokenizer

from hf_scratch.data.arguments import DataArguments
from hf_scratch.data.long_text import describe, kept_positions, settle_policy, share, truncate
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.errors import UserError

WORDS = ["a", "film", "of", "some", "length", "and", "its", "end", "is", "warm", "lovely", "cold", "awful", "grim"]
TEXTS = [
    " ".join(WORDS[(row + word) % len(WORDS)] for word in range(length)) for row, length in enumerate((1, 7, 13, 29, 2, 41))
]
PAIRS = [TEXTS[-row] for row in range(len(TEXTS))]


@pytest.fixture
def tokenizer():
    return train_wordpiece(WORDS * 3, vocab_size=149, max_length=10_000)


@pytest.mark.parametrize("limit", [5, 7, 11, 13, 17, 43])  # of a pair, an odd token is another text's in some versions
@pytest.mark.parametrize("texts", [(TEXTS,), (TEXTS, PAIRS)], ids=["single", "pair"])
@pytest.mark.parametrize(("policy", "side"), [("head", "right"), ("tail", "left")])
def test_head_and_tail_are_what_the_tokenizer_itself_cuts(tokenizer, texts, policy, side, limit):
    encoded = tokenizer(*texts, verbose=False)
    lengths = list(map(len, encoded["input_ids"]))
    lost = truncate(encoded, limit, policy)
    tokenizer.truncation_side = side
    assert dict(encoded) == dict(tokenizer(*texts, truncation=True, max_length=limit))
    assert lost == [max(0, length - limit) for length in lengths]


@pytest.mark.parametrize(
    ("first", "second", "room", "kept"),
    [(5, 5, 3, (1, 2)), (7, 5, 3, (2, 1)), (5, 2, 6, (4, 2)), (2, 5, 6, (2, 4)), (2, 3, 6, (2, 3)), (4, 5, 0, (0, 0))],
)
def test_the_longer_of_two_texts_is_shortened_first(first, second, room, kept):
    assert share(first, second, room) == kept


def test_head_and_tail_of_the_paper_are_128_and_382_of_510():
    kept = kept_positions([None, *[0] * 1013, None], 512, "head_tail")
    assert kept == [0, *range(1, 129), *range(1014 - 382, 1014), 1014]


def test_of_another_limit_the_same_share_is_head():
    assert kept_positions([None, *[0] * 101, None], 25, "head_tail") == [0, *range(1, 7), *range(102 - 17, 102), 102]


def test_both_texts_of_a_pair_keep_head_and_tail():
    kept = kept_positions([None, *[0] * 50, None, *[1] * 40, None], 43, "head_tail")
    assert kept == [0, *range(1, 6), *range(36, 51), 51, *range(52, 57), *range(77, 92), 92]


def test_token_types_are_cut_with_their_tokens(tokenizer):
    encoded = tokenizer(TEXTS, PAIRS, verbose=False)
    truncate(encoded, 17, "head_tail")
    for ids, types in zip(encoded["input_ids"], encoded["token_type_ids"], strict=True):
        assert len(ids) == len(types) <= 17 and types.count(1) == len(ids) - ids.index(tokenizer.sep_token_id) - 1


@pytest.mark.parametrize(
    ("flags", "policy", "side"),
    [
        ({}, "head", "right"),
        ({"long_text": "tail"}, "tail", "left"),
        ({"truncation_side": "left"}, "tail", "left"),
        ({"long_text": "head_tail"}, "head_tail", "right"),
        ({"long_text": "head", "truncation_side": "right"}, "head", "right"),
    ],
)
def test_the_policy_is_saved_with_the_tokenizer(tokenizer, tmp_path, flags, policy, side):
    assert settle_policy(DataArguments(**flags), tokenizer) == policy
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.truncation_side == side and settle_policy(DataArguments(), loaded) == policy


def test_flags_that_contradict_each_other(tokenizer):
    with pytest.raises(UserError, match="--long_text head_tail and --truncation_side left contradict each other; leave one"):
        settle_policy(DataArguments(long_text="head_tail", truncation_side="left"), tokenizer)


def test_a_tokenizer_that_cannot_tell_its_texts_apart(tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(UserError, match=r"head_tail needs a fast tokenizer, but .* is none; take head or tail"):
        settle_policy(DataArguments(long_text="head_tail"), tokenizer)


def test_what_was_lost_is_told():
    rows = Dataset.from_dict({"input_ids": [[1] * 11, [1] * 5, [1] * 11, [1] * 3], "lost": [20, 0, 10, 0]})
    assert describe(rows, 11, "head_tail") == (
        "60 tokens in 4 training texts; 50.0% of the texts are longer than 11, and 50.0% of all tokens are lost: of a longer "
        "text the first 25% of the limit and the end is read (--long_text head_tail)"
    )
    assert describe(rows.select([1, 3]), 11, "head") == "8 tokens in 2 training texts, none longer than 11"
