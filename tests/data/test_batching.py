import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast

from hf_scratch.data.arrow import as_rows
from hf_scratch.data.batching import make_collator
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.errors import UserError


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


LABELS = {"label": [3, 0, 1], "label_ids": [2, 2, 0], "labels": [0.5, -1.0, 2.25]}
KINDS = {name: {name: values} for name, values in LABELS.items()}
KINDS |= {"several": {"labels": [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]}, "none": {}, "position": {"row": [5, 6, -1]}}
MASK = [[1, 0, 1, 1, 0, 1, 1], [1, 1], [1, 1, 0]]


@pytest.mark.parametrize("mask", [{}, {"attention_mask": MASK}], ids=["no mask", "mask"])
@pytest.mark.parametrize("labels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pad_to_max_length", [False, True])
def test_a_batch_is_that_of_the_library(tokenizer, pad_to_max_length, side, labels, mask, monkeypatch):
    monkeypatch.setattr(tokenizer, "padding_side", side)
    monkeypatch.setattr(tokenizer, "_pad_token_type_id", 3)
    columns = {"input_ids": [[2, 31, 17, 5, 7, 11, 3], [2, 3], [2, 41, 3]], **mask, **labels}
    columns["token_type_ids"] = [[index % 2 for index in range(len(ids))] for ids in columns["input_ids"]]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    padding = "max_length" if pad_to_max_length else "longest"
    expected = DataCollatorWithPadding(tokenizer, padding, 13)([dict(row) for row in rows])
    collate = make_collator(tokenizer, 13, pad_to_max_length)
    for batch in (collate(rows), collate(as_rows(Dataset.from_list(rows).with_format("arrow")[:]))):
        assert batch.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.equal(batch[name], tensor) and batch[name].dtype == tensor.dtype, name


def test_a_tokenizer_without_a_mask_makes_none(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "model_input_names", ["input_ids"])
    assert make_collator(tokenizer, 13)([{"input_ids": np.array([2, 3])}]).keys() == {"input_ids"}


def test_a_tokenizer_that_pads_inputs_of_its_own_is_asked(tokenizer):
    class Peculiar(PreTrainedTokenizerFast):
        def _pad(self, encoded_inputs, *args, **kwargs):
            return super()._pad(encoded_inputs, *args, **kwargs) | {"own": [7]}

    peculiar = Peculiar(tokenizer_object=tokenizer.backend_tokenizer, pad_token="[PAD]")
    assert make_collator(peculiar, 13)([{"input_ids": [2, 3]}, {"input_ids": [2]}])["own"].tolist() == [[7], [7]]


def test_a_tokenizer_without_padding_is_refused(tokenizer):
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(UserError, match=r'no padding token, but .* name one .* "pad_token"'):
        make_collator(bare, 13)
