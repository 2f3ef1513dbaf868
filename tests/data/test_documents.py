import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from hf_scratch.data.documents import documents_of, drop_repeated, hold_out, read_files, split_sentences
from hf_scratch.errors import UserError


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It rained. We left!  Why?", ["It rained.", "We left!", "Why?"]),
        ("Mr. J. R. Hill of the U.S. Navy came. He left.", ["Mr. J. R. Hill of the U.S. Navy came.", "He left."]),
        ('"Why?" he asked. "So." (It was so.) Yes', ['"Why?" he asked.', '"So."', "(It was so.)", "Yes"]),
        ("It cost 3.5 m. dollars. 12 came.", ["It cost 3.5 m. dollars.", "12 came."]),
        ("a warm , funny film . it 's short !", ["a warm , funny film .", "it 's short !"]),
        ("one line\nanother<br /><br />and a third", ["one line", "another", "and a third"]),
        (" \n ", []),
    ],
)
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_no_letter_is_lost():
    text = "He said 'Go!' (Twice.) And \"so.\" Dr. No. 1 said: 'Go!' to P. T. B. and etc. etc.\nThen... nothing?! (Or so.) x"
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_documents_of_a_txt_file_are_parted_by_blank_lines_and_else_are_its_lines(tmp_path):
    parted, lines = tmp_path / "parted.txt", tmp_path / "lines.txt"
    parted.write_text("one\ntwo\n\n\nthree\n", encoding="utf-8")
    lines.write_text("one\ntwo\n", encoding="utf-8")
    assert read_files([str(parted)])["text"][:] == ["one\ntwo", "three"]
    assert read_files([str(lines), str(parted)])["text"][:] == ["one", "two", "one\ntwo", "three"]


def test_documents_of_a_table_are_its_rows(tmp_path):
    path = tmp_path / "corpus.parquet"
    Dataset.from_dict({"source": ["a", "b", "c"], "text": ["one\n\ntwo", " ", "three"]}).to_parquet(path)
    assert read_files([str(path)])["text"][:] == ["one\n\ntwo", "three"]
    assert read_files([str(path)], "source")["text"][:] == ["a", "b", "c"]


def test_a_pair_of_texts_is_a_document_of_two_lines():
    table = {"sentence1": ["one", "three", None], "sentence2": ["two", None, ""], "label": [0, 1, 0], "text": ["x", "y", "z"]}
    assert documents_of(Dataset.from_dict(table), "mrpc.csv")["text"][:] == ["one\ntwo", "three"]
    assert documents_of(Dataset.from_dict(table), "mrpc.csv", "text")["text"][:] == ["x", "y", "z"]


def test_tables_of_any_writer_and_shape_are_read_together(tmp_path):
    frame = pd.DataFrame({"sentence1": ["one"], "sentence2": ["two"], "label": [0]})
    pq.write_table(pa.table({"text": pa.array(["three"], pa.large_string())}), tmp_path / "large.parquet")
    pq.write_table(pa.table({"text": pa.array(["four"], pa.string())}), tmp_path / "small.parquet")
    frame.to_parquet(tmp_path / "pairs.parquet")
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    (tmp_path / "lines.txt").write_text("five\n", encoding="utf-8")
    names = ["large.parquet", "pairs.parquet", "small.parquet", "pairs.csv", "lines.txt"]
    read = read_files([str(tmp_path / name) for name in names])["text"][:]
    assert read == ["three", "one\ntwo", "four", "one\ntwo", "five"]


@pytest.mark.parametrize(
    ("columns", "asked", "message"),
    [
        ({"a": ["x"], "b": ["y"]}, None, "text column cannot be told among a, b; name it with --text_column_name"),
        ({"text": ["x"]}, "txet", r"no column of text called 'txet'; they are text\. Did you mean text\?"),
        ({"n": [1]}, None, "cannot be told among no columns of text"),
        ({"text": ["", " "]}, None, "holds no text, but there must be some"),
    ],
)
def test_what_is_no_text_is_refused(columns, asked, message):
    with pytest.raises(UserError, match=message):
        documents_of(Dataset.from_dict(columns), "mine.csv", asked)


def test_repeated_documents_are_dropped_and_whole_ones_held_out():
    documents = Dataset.from_dict({"text": [f"text {row % 97}" for row in range(211)]})
    once = drop_repeated(documents)
    assert once["text"][:] == [f"text {row}" for row in range(97)]
    train, held_out = hold_out(once, 0.1, 1000, seed=3)
    assert len(held_out) == 10 and set(train["text"]) | set(held_out["text"]) == set(once["text"])
    assert len(hold_out(once, 0.1, 7, seed=3)[1]) == 7
    assert held_out["text"][:] == hold_out(once, 0.1, 1000, seed=3)[1]["text"][:]
    assert held_out["text"][:] != hold_out(once, 0.1, 1000, seed=4)[1]["text"][:]


@pytest.mark.parametrize(
    ("rows", "fraction", "message"), [(1, 0.1, "1 document given"), (9, 0.5, "--validation_fraction is 0.5")]
)
def test_what_cannot_be_held_out_is_refused(rows, fraction, message):
    with pytest.raises(UserError, match=message):
        hold_out(Dataset.from_dict({"text": ["x"] * rows}), fraction, 1000, seed=0)
