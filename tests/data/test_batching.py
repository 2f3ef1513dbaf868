import pytest

from hf_scratch.data.batching import make_collator
from hf_scratch.data.tokenization import train_wordpiece


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece(["a warm film", "a cold film of some length"] * 3, vocab_size=100, max_length=17)


@pytest.mark.parametrize(("pad_to_max_length", "length"), [(False, 5), (True, 13)])
def test_a_batch_is_padded_to_its_longest_row_or_to_the_longest_allowed(tokenizer, pad_to_max_length, length):
    rows = [tokenizer("film") | {"label": 1}, tokenizer("a warm film") | {"label": 0}]
    batch = make_collator(tokenizer, max_length=13, pad_to_max_length=pad_to_max_length)(rows)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == batch["token_type_ids"].shape == (2, length)
    assert batch["attention_mask"].sum(dim=1).tolist() == [3, 5]
    assert batch["input_ids"][0, 3:].tolist() == [tokenizer.pad_token_id] * (length - 3)
    assert batch["labels"].tolist() == [1, 0]
