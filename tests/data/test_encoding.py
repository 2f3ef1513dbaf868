"""The faster call against the plain one, for the families of tokenizers that are in use."""

import json

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from hf_scratch.data.encoding import as_arrow, encode
from hf_scratch.data.long_text import truncate
from hf_scratch.data.tokenization import train_wordpiece

TEXTS = [
    "The film is warm, and its end is lovely!",
    "",
    " a  cold\tfilm\n",
    "Café naïve 日本 é 🙂",
    "<mask> [SEP] </s>",
    "x" * 101,
]
PAIRS = ["warm", "a film of some length, and a long one", "", "[CLS] end", "🙂 " * 23, "lovely film"]


def train(model, before, trainer, **options) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    tokenizer.train_from_iterator(TEXTS * 3, trainer(show_progress=False, **options))
    return tokenizer


def wordpiece():
    return train_wordpiece(TEXTS * 3, vocab_size=149, max_length=23)


def bert():
    return BertTokenizer(vocab=wordpiece().get_vocab(), do_lower_case=True)


def roberta():
    """Byte-level BPE, with a post-processor that cares for places in the text."""
    special, letters = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": 307, "special_tokens": special, "initial_alphabet": letters}
    trained = train(models.BPE(), pre_tokenizers.ByteLevel(), trainers.BpeTrainer, **options)
    merges = json.loads(trained.to_str())["model"]["merges"]
    return RobertaTokenizer(vocab=trained.get_vocab(), merges=[tuple(merge) for merge in merges])


def unigram():
    """T5's kind: no token types, and one special token, at the end."""
    options = {"vocab_size": 127, "special_tokens": ["</s>", "<unk>"], "unk_token": "<unk>"}
    trained = train(models.Unigram(), pre_tokenizers.Metaspace(), trainers.UnigramTrainer, **options)
    trained.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 0)])
    names = ["input_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=trained, model_input_names=names, eos_token="</s>", unk_token="<unk>")


FAMILIES = {build.__name__: build() for build in (wordpiece, bert, roberta, unigram)}


class Louder(BertTokenizer):
    """A tokenizer with a step of its own before its backend."""

    def _encode_plus(self, text, *args, **kwargs):
        return super()._encode_plus([f"{one} warm" for one in text], *args, **kwargs)


def plain(tokenizer, *rows, **options):
    return tokenizer(*rows, return_attention_mask=False, **options)


def faster(encoded) -> bool:
    """Whether nobody asked where the tokens stand."""
    return not any(any(place) for row in encoded.encodings for place in row.offsets)


@pytest.mark.parametrize("rows", [(TEXTS,), (TEXTS, PAIRS)], ids=["single", "pairs"])
@pytest.mark.parametrize("tokenizer", FAMILIES.values(), ids=FAMILIES)
def test_the_inputs_are_those_of_the_plain_call(tokenizer, rows):
    expected, encoded = plain(tokenizer, *rows), encode(tokenizer, *rows)
    assert dict(encoded) == dict(expected) and max(map(len, encoded["input_ids"])) > 10
    assert [encoded.sequence_ids(row) for row in range(6)] == [expected.sequence_ids(row) for row in range(6)]
    assert faster(encoded) and not faster(expected)


@pytest.mark.parametrize("rows", [(TEXTS,), (TEXTS, PAIRS)], ids=["single", "pairs"])
@pytest.mark.parametrize("policy", ["head", "tail", "head_tail"])
@pytest.mark.parametrize("tokenizer", FAMILIES.values(), ids=FAMILIES)
def test_they_are_cut_as_those_of_the_plain_call(tokenizer, rows, policy, monkeypatch):
    expected, encoded = plain(tokenizer, *rows), encode(tokenizer, *rows)
    assert truncate(encoded, 7, policy) == truncate(expected, 7, policy) != [0] * 6
    assert dict(encoded) == dict(expected)
    if policy != "head_tail" and len(rows) == 1:  # the library cuts these too; of pairs, see the tests of long_text
        monkeypatch.setattr(tokenizer, "truncation_side", {"head": "right", "tail": "left"}[policy])
        assert dict(encoded) == dict(plain(tokenizer, *rows, truncation=True, max_length=7))


def test_what_was_asked_of_the_tokenizer_before_is_forgotten():
    tokenizer = wordpiece()
    expected = dict(plain(tokenizer, TEXTS))
    tokenizer(TEXTS, truncation=True, max_length=5, padding="max_length")
    assert dict(encode(tokenizer, TEXTS)) == expected


def test_special_tokens_that_stand_in_a_text_are_split_if_the_tokenizer_says_so():
    tokenizer = roberta()
    whole = encode(tokenizer, TEXTS)["input_ids"]
    tokenizer.split_special_tokens = True
    split = encode(tokenizer, TEXTS)
    assert split["input_ids"] == tokenizer(TEXTS)["input_ids"] != whole and faster(split)


def test_a_tokenizer_with_a_step_of_its_own_is_called_itself():
    louder = Louder(vocab=wordpiece().get_vocab())
    encoded = encode(louder, TEXTS)
    assert dict(encoded) == dict(plain(louder, TEXTS)) and not faster(encoded)
    assert all(louder.decode(ids[-3:-1]).endswith("warm") for ids in encoded["input_ids"])


def test_lists_as_arrow_are_the_lists():
    lists = [[3, 1], [], [7]]
    assert as_arrow(lists, pa.int32()).to_pylist() == lists and as_arrow([], pa.int8()).to_pylist() == []
