import json
import re
from pathlib import Path

import pytest

from hf_scratch.__main__ import main
from hf_scratch.data import cleaning, doctor
from hf_scratch.training.arguments import Parser


@pytest.fixture
def healthy(tmp_path):
    """A file of 60 texts in two classes."""
    path = tmp_path / "healthy.csv"
    path.write_text("text,label\n" + "".join(f"a film of length {row},{'xy'[row % 2]}\n" for row in range(60)))
    return path


def test_data_flags_are_enough(healthy, capsys):
    assert main(["doctor", "--train_file", str(healthy)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("healthy: 60 train rows; classification") and printed.out.endswith("nothing is wrong\n")
    assert printed.err == ""


def test_the_models_own_tokenizer_counts(healthy, tiny_bert, capsys):
    flags = ["--train_file", str(healthy), "--model_name_or_path", tiny_bert, "--max_seq_length", "5", "--json"]
    assert main(["doctor", *flags]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["tokens"]["max_seq_length"] == 5 and facts["tokens"]["rows_cut"] == 1.0
    (finding,) = facts["findings"]
    assert finding["kind"] == "cut" and "--max_seq_length 8 keeps 100.0% of the texts whole" in finding["message"]


def test_errors_end_with_exit_code_2_and_all_of_them(healthy, tmp_path, capsys):
    test = tmp_path / "test.csv"
    test.write_text("text,label\na film of length 7,y\nnew,x\n")
    healthy.write_text(healthy.read_text() + " ,x\n")
    flags = ["--train_file", str(healthy), "--test_file", str(test)]
    assert main(["doctor", *flags, "--drop_empty"]) == 0
    assert "warning: 1 of 2 test rows have a text that training has too (test/0)" in " ".join(capsys.readouterr().out.split())
    assert main(["doctor", *flags, "--strict"]) == 2
    printed = capsys.readouterr()
    assert re.findall(r"^error: 1 of \d+ (?:training|test) rows have", printed.err, flags=re.M) == [
        "error: 1 of 61 training rows have",
        "error: 1 of 2 test rows have",
    ]
    assert main(["doctor", *flags, "--strict", "--drop_empty", "--drop_shared"]) == 0


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--train_fil", "x.csv"], "Did you mean --train_file?"),
        (["x.csv"], "'x.csv' belongs to no flag"),
        (["--train_file", "x.csv"], "x.csv: no such file"),
        (["--train_file", "{healthy}", "--validation_fraction", "0.9"], "must be above 0 and below 0.5"),
    ],
)
def test_what_a_run_would_refuse_is_refused(flags, part, healthy, capsys):
    assert main(["doctor", *(flag.replace("{healthy}", str(healthy)) for flag in flags)]) == 2
    assert part in capsys.readouterr().err


def test_every_flag_that_is_recommended_exists():
    known = set(Parser()._option_string_actions)
    for module in (doctor, cleaning):
        named = set(re.findall(r"--[a-z_]+[a-z]\b", Path(module.__file__).read_text(encoding="utf-8")))
        assert named - known <= {"--drop"}  # `the --drop flags`
