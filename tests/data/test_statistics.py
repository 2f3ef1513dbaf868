import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from hf_scratch.data import statistics
from hf_scratch.data.labels import Labels
from hf_scratch.data.tokenization import Tokenizing, tokenize, train_wordpiece
from tests.conftest import make_reviews


def rows_of(texts, **columns):
    return Dataset.from_dict({"text": texts} | columns)


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_equal_numbers_are_equal_texts_over_all_parts_and_batches(batch, monkeypatch):
    monkeypatch.setattr(statistics, "BATCH", batch)
    parts = {"train": ["a", "b", "a", "", "é"], "test": ["b", "c", "e\u0301", "a "], "dev": ["a"]}
    groups = statistics.text_groups(DatasetDict({part: rows_of(texts) for part, texts in parts.items()}))
    texts = [text for of_part in parts.values() for text in of_part]
    numbers = np.concatenate(list(groups.values()))
    assert [len(groups[part]) for part in parts] == [5, 4, 1]
    assert (numbers[:, None] == numbers).tolist() == [[one == other for other in texts] for one in texts]


def test_a_pair_is_equal_as_a_pair_only():
    parts = DatasetDict(
        train=rows_of(["ab", "a", "ab", "b"], text_pair=["c", "bc", "c", "a"]), test=rows_of(["a"], text_pair=["b"])
    )
    groups = statistics.text_groups(parts)
    assert groups["train"][0] == groups["train"][2] and len(np.unique(groups["train"])) == 3
    assert groups["test"][0] not in groups["train"]


def test_the_digests_have_two_halves_that_know_nothing_of_each_other():
    digests = np.concatenate(list(statistics.text_digests(rows_of([str(number) for number in range(997)]))))
    assert digests.shape == (997, 2) and digests.dtype == np.uint64
    assert len(np.unique(digests)) == 2 * 997
    bits = np.unpackbits(digests.view(np.uint8).reshape(997, 2, 8), axis=2)
    assert abs(np.corrcoef(bits[:, 0].ravel(), bits[:, 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0\u3000"])
def test_space_is_no_text(text):
    assert statistics.rows_without_text(rows_of(["a", text, "b"])).tolist() == [1]
    assert statistics.rows_without_letters(rows_of(["a", text, "b"])).tolist() == []


@pytest.mark.parametrize("text", ["17", "...", " NaN ", "null", "N/A", "☺", "3.5 %"])
def test_numbers_signs_and_placeholders_hold_no_word(text):
    assert statistics.rows_without_letters(rows_of(["a", text])).tolist() == [1]


@pytest.mark.parametrize("text", ["I", "是", "Ω 3", "nano", "3rd"])
def test_words_of_any_script_are_words(text):
    assert statistics.rows_without_letters(rows_of([text])).tolist() == []


def test_of_a_pair_both_texts_must_be_empty():
    rows = rows_of(["", "a", " "], text_pair=["b", "", ""])
    assert statistics.rows_without_text(rows).tolist() == [2]


@pytest.mark.parametrize(
    ("kind", "train", "test", "equal"),
    [
        ("classification", [0, 1, 1], [1, -1], [[0], [1, 2, 3]]),
        ("multi_label", [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]], [[1.0, 1.0], [-1.0, -1.0]], [[0, 2], [1, 3]]),
        ("regression", [0.5, 2.5, 0.5], [2.5, float("nan")], [[0, 2], [1, 3]]),
    ],
)
def test_equal_numbers_are_equal_labels_over_all_parts(kind, train, test, equal):
    labels = Labels(kind, ("x",) if kind == "regression" else ("x", "y"))
    parts = DatasetDict(train=rows_of(["a"] * 3, label=train), test=rows_of(["a"] * 2, label=test))
    numbers = np.concatenate(list(statistics.label_numbers(parts, labels).values())).tolist()
    assert numbers[4] == -1
    assert sorted([row for row in range(4) if numbers[row] == number] for number in set(numbers[:4])) == sorted(equal)


def test_lengths_are_those_of_the_tokenizer():
    texts = [text for text, _ in make_reviews(97)]
    tokenizer = train_wordpiece(texts, vocab_size=151, max_length=37)
    rows = rows_of([*texts, "漢 漢"])
    tokens = statistics.count_tokens(rows, 211, tokenizer, limit=11)
    lengths = [len(tokenizer(text)["input_ids"]) for text in rows["text"]]
    assert tokens.lengths.tolist() == sorted(lengths)
    assert (tokens.rows, tokens.of, tokens.limit) == (98, 211, 11)
    assert tokens.rows_cut == pytest.approx(sum(length > 11 for length in lengths) / 98)
    assert tokens.tokens_lost == pytest.approx(sum(max(0, length - 11) for length in lengths) / sum(lengths))
    assert tokens.unknown == pytest.approx(2 / sum(lengths))


@pytest.mark.parametrize("policy", ["head", "tail", "head_tail"])
def test_tokenized_rows_tell_the_lengths_that_their_texts_had(policy, tmp_path):
    texts = [text for text, _ in make_reviews(97)]
    tokenizer = train_wordpiece(texts, vocab_size=151, max_length=37)
    rows = rows_of([*texts, "漢 漢"])
    parts = DatasetDict(train=rows.select(range(97, 0, -1)))  # as parts are: rows of a table in another order
    how = Tokenizing(tokenizer, 11, policy, cache_dir=str(tmp_path))
    rows = tokenize(parts, how, how.fingerprints(parts))["train"]
    read = statistics.tokens_of(rows, 11, tokenizer.unk_token_id)
    whole = statistics.count_tokens(parts["train"], 97, tokenizer, limit=11)
    assert read.lengths.tolist() == whole.lengths.tolist() and read.lengths[-1] > 11
    assert (read.rows, read.of, read.rows_cut, read.tokens_lost) == (97, 97, whole.rows_cut, whole.tokens_lost)
    assert read.unknown == pytest.approx(2 / np.minimum(whole.lengths, 11).sum())
    assert statistics.tokens_of(rows, 11, None).unknown == 0


def test_pairs_are_counted_as_pairs():
    tokenizer = train_wordpiece([text for text, _ in make_reviews(97)], vocab_size=151, max_length=37)
    tokens = statistics.count_tokens(rows_of(["a film"], text_pair=["some end"]), 1, tokenizer, 37)
    assert tokens.lengths.tolist() == [len(tokenizer("a film", "some end")["input_ids"])]


def test_quantiles_are_lengths_that_so_many_texts_do_not_exceed():
    tokens = statistics.TokenStatistics(200, 200, np.arange(1, 201), 150, 0.0)
    assert tokens.quantiles == {"p50": 100, "p90": 180, "p95": 190, "p99": 198, "max": 200}
    assert tokens.wanted == 200 and tokens.rows_cut == 0.25
    assert tokens.tokens_lost == pytest.approx(sum(range(1, 51)) / sum(range(1, 201)))


def test_the_sample_is_seeded_and_random():
    rows = rows_of([str(row) for row in range(997)])
    one, same, other = (statistics.sample_rows(rows, 89, seed)["text"][:] for seed in (3, 3, 5))
    assert one == same != other and len(set(one)) == 89
    assert 350 < np.mean([int(text) for text in one]) < 650
    assert statistics.sample_rows(rows, 997, 3) is rows
