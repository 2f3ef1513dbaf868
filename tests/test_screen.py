import json

import pytest

from hf_scratch.screen import one_line, plain, plain_json, show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a warm, funny film", "a warm, funny film"),
        ("Ümläut, 你好, 👩\u200d🚀\tand\nlines", "Ümläut, 你好, 👩\u200d🚀\tand\nlines"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("good\rbad", "good\\rbad"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b31m", "\\x9b31m"),
        ("two\r\nlines\u2028more", "two\nlines\\u2028more"),
        ("\u05d0\u200f \u0645\u06cc\u200c\u0634", "\u05d0\u200f \u0645\u06cc\u200c\u0634"),  # Hebrew and Persian
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert plain(text) == shown


def test_show_prints_plain_text(capsys):
    show("class", "\x1b[31mred", 3)
    assert capsys.readouterr().out == "class \\x1b[31mred 3\n"


def test_one_line_is_one_line():
    assert one_line("a\tb\r\nc\u2028d\x1b") == "a b  c d\\x1b"


def test_json_stays_json_and_is_not_obeyed():
    value = {"\x9b31m \x7f": "\u202e \U000e0041 你 \x1b\n"}
    written = plain_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(written) == value and plain(written) == written and "你" in written
