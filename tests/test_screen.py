import pytest

from hf_scratch.screen import plain, show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a warm, funny film", "a warm, funny film"),
        ("Ümläut, 你好, 👩\u200d🚀\tand\nlines", "Ümläut, 你好, 👩\u200d🚀\tand\nlines"),
        ("\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"),
        ("good\rbad", "good\\rbad"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text, shown):
    assert plain(text) == shown


def test_show_prints_plain_text(capsys):
    show("class", "\x1b[31mred", 3)
    assert capsys.readouterr().out == "class \\x1b[31mred 3\n"
