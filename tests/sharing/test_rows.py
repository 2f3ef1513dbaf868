import io
import threading

import pandas as pd
import pytest

from hf_scratch.errors import UserError
from hf_scratch.sharing.rows import file_rows, lines, live_windows


def test_only_a_line_feed_ends_a_text():
    stream = io.BytesIO("one\r\n\n\u2028two\x0b\x85three\n".encode() + b"\xff\x00end")
    assert list(lines(stream)) == ["one", "", "\u2028two\x0b\x85three", "\ufffd\x00end"]


def test_a_pair_has_one_tab():
    assert list(lines(io.BytesIO(b"a\tb\n\n"), pairs=True)) == [("a", "b"), ("", "")]
    for text, count in (("a", 0), ("a\tb\tc", 2)):
        with pytest.raises(
            UserError, match=f"holds {count} tabs, but a pair is two texts with one tab between them; put one tab there"
        ):
            list(lines(io.BytesIO(text.encode()), pairs=True))


def test_windows_are_full_where_rows_come_fast_and_complete():
    windows = list(live_windows(iter(range(100)), size=17))
    assert [row for window in windows for row in window] == list(range(100))
    assert max(map(len, windows)) <= 17
    assert list(live_windows(iter([]))) == []


def test_what_is_there_is_answered_while_the_writer_pauses():
    go = threading.Event()

    def rows():
        yield "first"
        go.wait(30)
        yield "second"

    windows = live_windows(rows())
    assert next(windows) == ["first"]
    go.set()
    assert list(windows) == [["second"]]


def test_a_fault_of_the_writer_is_raised_where_it_is_read():
    def rows():
        yield "first"
        raise OSError("the pipe is gone")

    with pytest.raises(OSError, match="the pipe is gone"):
        list(live_windows(rows()))


@pytest.mark.parametrize(
    ("table", "columns", "rows"),
    [
        ({"text": ["a", None], "label": [0, 1]}, None, ["a", ""]),
        ({"text": ["a"], "text_pair": ["b"]}, None, [("a", "b")]),
        ({"review": ["a"], "stars": [3]}, None, ["a"]),
        ({"premise": ["a"], "claim": ["b"], "x": ["c"]}, "claim, premise", [("b", "a")]),
        ({"text": ["a"], "title": ["b"]}, "title", ["b"]),
    ],
)
def test_the_column_of_text_is_found_or_named(table, columns, rows, tmp_path):
    path = tmp_path / "rows.parquet"
    pd.DataFrame(table).to_parquet(path)
    assert list(file_rows(str(path), columns)) == rows


def test_an_unclear_or_unknown_column_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("premise,claim\na,b\n")
    with pytest.raises(UserError, match="which of its columns premise, claim is the text is not clear; name it by --text_col"):
        list(file_rows(str(path)))
    with pytest.raises(
        UserError, match=r"--text_column_names text: .* has (the columns )?premise, claim; name one or two of them"
    ):
        list(file_rows(str(path), "text"))
