"""Names made of contents: the same for the same, another for anything else."""

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, Features, Value, concatenate_datasets
from transformers import AutoTokenizer

from hf_scratch.data import cache
from hf_scratch.data.cache import digest_of_files, digest_of_parts, digest_of_rows, digest_of_tokenizer, kept_under
from hf_scratch.data.tokenization import train_wordpiece

ROWS = Dataset.from_dict(
    {"id": ["t/0", "t/1", "t/2"], "text": ["ab", "", "c"], "text_pair": ["x", "y", ""], "label": [1, 0, -1]}
)


def digest_with(**columns):
    return digest_of_rows(Dataset.from_dict(ROWS.to_dict() | columns))


def test_rows_have_one_digest_however_they_are_held(monkeypatch):
    digest = digest_of_rows(ROWS)
    wide = Features({name: Value("large_string") for name in ("id", "text", "text_pair")} | {"label": Value("int32")})
    assert digest_of_rows(ROWS.cast(wide)) == digest
    assert digest_of_rows(concatenate_datasets([ROWS.select([0]), ROWS.select([1, 2])])) == digest
    assert digest_of_rows(concatenate_datasets([ROWS, ROWS]).select([3, 4, 5])) == digest
    assert (
        digest_of_rows(ROWS.add_column("input_ids", [[1]] * 3).select_columns(["label", "input_ids", *ROWS.column_names[:3]]))
        == digest
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"text": ["a", "b", "c"]},  # the same letters in other cells
        {"text_pair": ["x", "", "y"]},
        {"label": [1, 0, 0]},
        {"id": ["t/0", "t/1", "u/2"]},
    ],
)
def test_any_other_cell_is_another_digest(columns):
    assert digest_with(**columns) != digest_of_rows(ROWS)


@pytest.mark.parametrize(("one", "other"), [([[0.0, 1.0], [1.0]], [[0.0], [1.0, 1.0]]), ([0.5, 0.25], [0.5, 0.26])])
def test_labels_of_all_kinds_count(one, other):
    assert digest_of_rows(Dataset.from_dict({"label": one})) != digest_of_rows(Dataset.from_dict({"label": other}))
    assert digest_of_rows(Dataset.from_dict({"label": one})) == digest_of_rows(Dataset.from_dict({"label": one}))


def test_the_same_rows_as_another_part_are_another_digest():
    assert digest_of_parts(DatasetDict(a=ROWS)) != digest_of_parts(DatasetDict(b=ROWS))


def test_files_count_by_name_and_bytes(tmp_path):
    for name, content in (("a.csv", "xy"), ("b.csv", "z")):
        (tmp_path / name).write_text(content)
    files = sorted(tmp_path.iterdir())
    digest = digest_of_files(tmp_path, files)
    assert digest == digest_of_files(tmp_path, reversed(files))
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "b.csv").write_text("yz")
    assert digest_of_files(tmp_path, files) != digest
    assert digest_of_files(tmp_path, files[:1]) != digest_of_files(tmp_path, files)


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece(["a warm film"] * 3, vocab_size=101, max_length=23)


def test_a_tokenizer_has_one_digest_whatever_it_was_used_for(tokenizer, tmp_path):
    digest = digest_of_tokenizer(tokenizer)
    tokenizer(["a", "warm film"], truncation=True, max_length=3, padding=True)
    assert digest_of_tokenizer(tokenizer) == digest
    tokenizer.save_pretrained(tmp_path)
    assert digest_of_tokenizer(AutoTokenizer.from_pretrained(tmp_path)) == digest


def test_a_tokenizer_that_was_changed_has_another(tokenizer):
    digest = digest_of_tokenizer(tokenizer)
    others = [train_wordpiece(["a warm film"] * 3, 101, 23, lowercase=False), train_wordpiece(["a cold film"] * 3, 101, 23)]
    others[0].add_tokens(["lovely"])
    assert len({digest, *map(digest_of_tokenizer, others)}) == 3


def test_a_slow_tokenizer_counts_by_its_vocabulary(tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    assert (
        digest_of_tokenizer(tokenizer)
        == digest_of_tokenizer(tokenizer)
        != digest_of_tokenizer(train_wordpiece(["a cold film"] * 3, 101, 23))
    )


def test_the_folder_is_below_the_one_that_is_asked_for(tmp_path):
    assert kept_under("a" * 64, str(tmp_path)) == str(tmp_path / "hf_scratch" / ("a" * 24))
    assert kept_under("a" * 64).startswith(str(cache.datasets.config.HF_DATASETS_CACHE))


def test_columns_are_bytes_of_one_width():
    ints, floats = (b"".join(cache.column_bytes(pa.array([1, 2], dtype))) for dtype in (pa.int8(), pa.float32()))
    assert ints == np.array([1, 2], np.int64).tobytes() and floats == np.array([1, 2], np.float64).tobytes()
