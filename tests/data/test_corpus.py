import numpy as np
import pytest
from datasets import Dataset

from hf_scratch.data.corpus import from_lengths, to_corpus
from hf_scratch.data.documents import split_sentences
from hf_scratch.data.tokenization import train_wordpiece

TEXTS = ["A warm film. It ends.", "\x00", "Dull and cold.\nAwful! Grim, grim, grim.", "One."]


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece(TEXTS, vocab_size=151, max_length=512)


@pytest.mark.parametrize("processes", [None, 2])
def test_a_corpus_holds_every_sentence_as_the_tokenizer_makes_it(tokenizer, processes):
    corpus = to_corpus(Dataset.from_dict({"text": TEXTS}), tokenizer, processes)
    kept = [text for text in TEXTS if tokenizer.tokenize(text)]
    assert len(corpus.documents) == len(kept) == 3 and corpus.tokens.dtype == np.uint16
    position = 0
    for text, (first, last) in zip(kept, corpus.documents, strict=True):
        for sentence, (start, end) in zip(split_sentences(text), corpus.sentences[first:last], strict=True):
            assert start == position
            assert corpus.tokens[start:end].tolist() == tokenizer(sentence, add_special_tokens=False)["input_ids"]
            position = end
        assert corpus.tokens[position] == tokenizer.sep_token_id  # ends the document, and belongs to no sentence
        position += 1
    assert position == len(corpus.tokens)
    assert corpus.describe() == f"3 documents, 6 sentences, {position - 3} tokens"


def test_another_tokenizer_never_meets_an_old_cache(tokenizer):
    documents = Dataset.from_dict({"text": TEXTS})
    to_corpus(documents, tokenizer)
    other = train_wordpiece(TEXTS, vocab_size=151, max_length=512, lowercase=False)
    corpus = to_corpus(documents, other)
    start, end = corpus.sentences[0]
    assert corpus.tokens[start:end].tolist() == other("A warm film.", add_special_tokens=False)["input_ids"]


def test_offsets_count_one_separator_a_document():
    corpus = from_lengths(np.arange(11), np.array([2, 3, 4]), np.array([1, 0, 2]))
    assert corpus.sentences.tolist() == [[0, 2], [3, 6], [6, 10]]
    assert corpus.documents.tolist() == [[0, 1], [1, 3]]
    assert corpus.document_of(np.arange(11)).tolist() == [0] * 3 + [1] * 8  # a [SEP] is of the document that it ends
    assert corpus.tokens_of(1).tolist() == list(range(3, 10))
