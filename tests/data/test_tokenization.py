"""A vocabulary of the training part alone, in BERT's form."""

from dataclasses import replace

import pytest
from datasets import Dataset, DatasetDict
from transformers import AutoTokenizer, BertTokenizer

from hf_scratch.data import tokenization
from hf_scratch.data.tokenization import Tokenizing, tokenize, train_wordpiece, usable_length
from hf_scratch.errors import UserError

TRAIN = ["The film is warm, and its end is lovely!", "a cold film; Café Société", "some length of film"] * 5
TEXTS = ["the WARM café", "film, of some length!", "a zebra", "[MASK] warm [SEP] lovely", "", "naïve\tend\n", "x" * 101]


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece(TRAIN, vocab_size=149, max_length=23)


@pytest.fixture(scope="module")
def bert(tokenizer):
    """Transformers' own BertTokenizer over the same vocabulary."""
    return BertTokenizer(vocab=tokenizer.get_vocab(), do_lower_case=True)


@pytest.mark.parametrize("text", TEXTS)
def test_it_tokenizes_as_bert_does(tokenizer, bert, text):
    assert dict(tokenizer(text)) == dict(bert(text))
    assert dict(tokenizer(text, "a cold film")) == dict(bert(text, "a cold film"))
    ids = tokenizer(text, "lovely")["input_ids"]
    assert tokenizer.decode(ids) == bert.decode(ids)


def test_a_pair_is_cls_a_sep_b_sep_with_token_types(tokenizer):
    encoded = tokenizer("warm film", "cold")
    assert tokenizer.convert_ids_to_tokens(encoded["input_ids"]) == ["[CLS]", "warm", "film", "[SEP]", "cold", "[SEP]"]
    assert encoded["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert encoded["attention_mask"] == [1] * 6


def test_special_tokens_come_first(tokenizer):
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert (tokenizer.pad_token_id, tokenizer.mask_token) == (0, "[MASK]")


def test_only_the_training_part_shapes_the_vocabulary(tokenizer):
    assert tokenizer.tokenize("film") == ["film"]
    assert len(tokenizer.tokenize("lengthily")) > 1
    assert tokenizer.tokenize("猫") == ["[UNK]"]
    with_test_part = train_wordpiece([*TRAIN, *["lengthily 猫"] * 5], vocab_size=149, max_length=23)
    assert with_test_part.tokenize("lengthily 猫") == ["lengthily", "猫"]


def test_case_and_accents_fold_only_if_asked(tokenizer):
    assert tokenizer.tokenize("CAFÉ") == tokenizer.tokenize("cafe")
    kept = train_wordpiece(TRAIN, vocab_size=149, max_length=23, lowercase=False)
    assert kept.tokenize("Café") == ["Café"]


def test_the_same_texts_give_the_same_vocabulary(tokenizer):
    assert train_wordpiece(TRAIN, vocab_size=149, max_length=23).get_vocab() == tokenizer.get_vocab()


def words(first, count):
    return "".join(chr(first + letter) for letter in range(count))


@pytest.mark.parametrize(
    "texts",
    [
        [f"{word}{other}" for word in TRAIN[0].split() for other in TRAIN[1].split()],
        [words(0x4E00 + row * 41, 41) for row in range(53)],  # Chinese: each character is a word
        [words(0x0E01 + row, 43) for row in range(5)],  # Thai: a line is a word
    ],
    ids=["latin", "chinese", "thai"],
)
@pytest.mark.parametrize("size", [101, 157])
def test_the_vocabulary_is_at_most_as_large_as_asked(texts, size):
    assert 0.4 * size < len(train_wordpiece(texts, vocab_size=size, max_length=23)) <= size


def test_the_most_frequent_letters_are_kept():
    texts = [words(0x4E00, 211), *[words(0x4E00 + 199, 3)] * 2]
    tokenizer = train_wordpiece(texts, vocab_size=101, max_length=23)
    assert tokenizer.tokenize(words(0x4E00 + 199, 3)) == list(words(0x4E00 + 199, 3))
    assert tokenizer.tokenize(words(0x4E00 + 101, 1)) == ["[UNK]"]
    assert not [piece for piece in tokenizer.get_vocab() if piece.startswith("##")]  # none stands inside a word


def test_a_vocabulary_without_room_is_refused():
    with pytest.raises(UserError, match="--tokenizer_vocab_size is 99, but it must be at least 100; 8000 suits a small corpus"):
        train_wordpiece(TRAIN, vocab_size=99, max_length=23)


def test_saved_and_loaded_by_the_auto_class_it_gives_the_same(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.model_max_length == 23 and loaded.get_vocab() == tokenizer.get_vocab()
    for options in ({}, {"padding": True, "truncation": True, "max_length": 7}):
        assert dict(loaded(TEXTS, **options)) == dict(tokenizer(TEXTS, **options))
        assert dict(loaded(TEXTS, TRAIN[: len(TEXTS)], **options)) == dict(tokenizer(TEXTS, TRAIN[: len(TEXTS)], **options))


def parts(**columns):
    rows = Dataset.from_dict({"text": TRAIN[:3], "label": [0, 1, 1]} | columns)
    return DatasetDict(train=rows, test=rows.select([1]))


@pytest.fixture
def how(tokenizer, tmp_path):
    return Tokenizing(tokenizer, max_length=23, cache_dir=str(tmp_path))


def run(parts, how):
    return tokenize(parts, how, how.fingerprints(parts))


def test_every_part_gets_the_models_inputs_and_keeps_its_columns(tokenizer, how):
    tokenized = run(parts(), how)
    assert tokenized["test"].column_names == ["text", "label", "input_ids", "token_type_ids", "lost"]
    assert tokenized["train"]["input_ids"][:] == tokenizer(TRAIN[:3])["input_ids"]
    assert tokenized["test"]["input_ids"][0] == tokenized["train"]["input_ids"][1]
    assert tokenized["train"]["token_type_ids"][:] == tokenizer(TRAIN[:3])["token_type_ids"]
    assert tokenized["train"]["lost"][:] == [0, 0, 0]


def test_long_texts_are_truncated_and_keep_their_last_separator(tokenizer, how):
    rows = run(parts(), replace(how, max_length=7))["train"]
    assert [len(row) for row in rows["input_ids"]] == [7, 7, 6] and rows["lost"][:] == [6, 1, 0]
    assert all(row[-1] == tokenizer.sep_token_id for row in rows["input_ids"])


def test_of_a_pair_the_longer_text_is_truncated_first(tokenizer, how):
    rows = run(parts(text_pair=["warm"] * 3), replace(how, max_length=7))["train"]
    assert [row[-2] for row in rows["input_ids"]] == tokenizer.convert_tokens_to_ids(["warm"]) * 3
    assert rows["token_type_ids"][0] == [0, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(("policy", "side"), [("head", "right"), ("tail", "left")])
def test_a_slow_tokenizer_cuts_by_itself(tokenizer, how, monkeypatch, policy, side):
    monkeypatch.setattr(tokenizer, "truncation_side", side)
    how = replace(how, max_length=7, policy=policy)
    fast = run(parts(), how)["train"].to_dict()
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    assert run(parts(), replace(how, overwrite_cache=True))["train"].to_dict() == fast


def test_what_is_kept_is_not_tokenized_again_unless_asked(how, monkeypatch):
    first = run(parts(), how)["train"].to_dict()
    encode, calls = Tokenizing.encode, []
    monkeypatch.setattr(Tokenizing, "encode", lambda self, table: calls.append(len(table)) or encode(self, table))
    assert run(parts(), how)["train"].to_dict() == first and calls == []
    assert run(parts(), replace(how, overwrite_cache=True))["train"].to_dict() == first and calls == [3, 1]


@pytest.mark.parametrize("change", ["rows", "labels", "tokenizer", "max_length", "policy"])
def test_whatever_is_changed_never_meets_what_was_kept_before(how, change):
    rows, other = parts(), how
    run(rows, how)
    if change == "rows":
        rows = parts(text=[TRAIN[1], *TRAIN[1:3]])
    elif change == "labels":
        rows = parts(label=[1, 1, 0])
    elif change == "tokenizer":
        other = replace(how, tokenizer=train_wordpiece([*TRAIN, "zebra"] * 3, vocab_size=149, max_length=23))
    else:
        other = replace(how, **{"max_length": {"max_length": 7}, "policy": {"policy": "tail"}}[change])
    assert other.fingerprints(rows)["train"] != how.fingerprints(parts())["train"]
    fresh = run(rows, replace(other, overwrite_cache=True))
    assert run(rows, other)["train"].to_dict() == fresh["train"].to_dict()


def test_two_processes_give_what_one_gives(how, monkeypatch, tmp_path):
    monkeypatch.setattr(tokenization, "ROWS_AT_ONCE", 2)
    one = run(parts(), how)["train"].to_dict()
    assert run(parts(), replace(how, num_proc=2, cache_dir=str(tmp_path / "two")))["train"].to_dict() == one


@pytest.mark.parametrize(
    ("asked", "positions", "length"), [(13, 37, 13), (64, 17, 17), (64, 37, 23), (64, None, 23), (19, None, 19), (13, -1, 13)]
)
def test_the_shortest_of_flag_tokenizer_and_positions_counts(tokenizer, asked, positions, length):
    assert usable_length(asked, tokenizer, positions) == length


@pytest.mark.parametrize(
    ("asked", "positions", "value"),
    [(2, 37, "--max_seq_length is 2"), (-7, None, "--max_seq_length is -7"), (13, 1, "max_position_embeddings is 1")],
)
def test_a_length_without_room_for_a_token_is_refused(tokenizer, asked, positions, value):
    with pytest.raises(UserError, match=rf"^{value}, but an input must hold \[CLS\], a token and \[SEP\]; give at least 3"):
        usable_length(asked, tokenizer, positions)
