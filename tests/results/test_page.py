import pytest
from markupsafe import Markup

from hf_scratch.results.page import Missing, command_line, fill, render, without_folders
from hf_scratch.results.run import read_run
from tests.runs import EVIL, make_run


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--output_dir=/home/me/runs/x", "--output_dir=x"),
        ("~/rows.csv", "rows.csv"),
        ("../rows.csv", "rows.csv"),
        (r"C:\Users\me\rows.csv", "rows.csv"),
        ("google-bert/bert-base-cased", "google-bert/bert-base-cased"),
        ("package://a/b", "package://a/b"),
        ("--learning_rate=1e-3", "--learning_rate=1e-3"),
    ],
)
def test_a_path_loses_its_folders_and_a_name_keeps_its_slash(word, shown):
    assert without_folders(word) == shown


def test_a_command_can_be_copied_into_a_shell(tmp_path):
    run = read_run(make_run(tmp_path / "run", command=["a.py", "--text", "it's $HOME"]))
    assert command_line(run, shared=False) == """python a.py --text 'it'"'"'s $HOME'"""


def test_a_section_that_cannot_be_filled_says_why():
    def lacks(run, figures):
        raise Missing("there is nothing")

    assert fill(lacks, None, {}) == {"missing": "there is nothing"}
    assert "KeyError" in fill(lambda run, figures: {}["rows"], None, {})["missing"]


def test_what_stands_on_a_page_is_a_text_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "t.html").write_text("{{ text }}|{{ picture }}")
    monkeypatch.setattr("hf_scratch.results.page.__file__", str(tmp_path / "page.py"))
    shown = "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; \\x1b[31m\\u202e $x^2$ | [a](b)|<svg/>"
    assert render("t.html", text=EVIL, picture=Markup("<svg/>")) == shown
