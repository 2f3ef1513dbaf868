import gzip

import pytest

from hf_scratch.data.file_faults import BLOCK, check_file, explain, first_bad_line, lines_with_nul
from hf_scratch.errors import UserError


@pytest.fixture
def write(tmp_path):
    def write(content, name="rows.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# The files that each message is for stand in tests/test_bad_input.py; here is what they do not reach.
@pytest.mark.parametrize("before", [0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 17])
def test_a_nul_byte_is_found_in_any_block_with_its_line(before, write):
    text = (b"abcdef\n" * (before // 7 + 1))[:before]
    ((number, line),) = lines_with_nul(write(text + b"x\0y\nmore"))
    assert number == text.count(b"\n") + 1 and line.endswith(b"\0y")
    assert list(lines_with_nul(write(text))) == []


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_other_encodings_are_found_beyond_the_first_block(name, write):
    content = b'{"text": "a"}\n' * (BLOCK // 7) + b'{"text": "\xe9"}\n'
    path = write(gzip.compress(content, 1) if name.endswith(".gz") else content, name)
    with pytest.raises(UserError, match=rf"line {BLOCK // 7 + 1} is not in UTF-8"):
        check_file("rows", path, ".jsonl")


def test_a_letter_across_two_blocks_is_whole(write):
    check_file("rows", write("é" * BLOCK, "rows.jsonl"), ".jsonl")


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        ("a.csv", ".csv", "text,label\r\n1,2\r\n"),
        ("a.csv", ".csv", "text\nwell; well\n"),
        ("a.csv", ".csv", '"text","label"\na,b\n'),
        ("a.tsv", ".tsv", "a text, long\tlabel\n"),
        ("a.json", ".json", '{"text": "a"}\n{"text": "b"}\n'),
        ("a.json", ".json", '\ufeff[\n{"text": "a"}]'),
        ("a.txt", ".txt", "any | line; of text\n"),
        ("a.csv", ".csv", ""),
        ("a.parquet", ".parquet", b"PAR1...PAR1"),
        ("a.csv.gz", ".csv", gzip.compress(b"text,label\n", mtime=0)),
    ],
)
def test_what_may_be_whole_is_left_to_the_reader(name, kind, content, write):
    check_file("rows", write(content, name), kind)


def test_the_first_line_that_cannot_be_read_is_told(write):
    path = write("3\n5\nx\ny\n")
    assert first_bad_line(path, int) == (3, b"x\n")
    assert first_bad_line(path, str) == (0, b"")


def test_a_cause_that_nobody_knows_is_handed_on(write):
    fault, remedy = explain(write("text,label\n"), ".csv", "the moon is full")
    assert fault == "cannot be read as .csv (the moon is full)" and remedy.startswith("check that it is whole")
