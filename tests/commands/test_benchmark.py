import json

import pytest

from hf_scratch.__main__ import main
from hf_scratch.results import encoder_speed, pretraining_speed
from tests.conftest import TINY


@pytest.mark.slow
def test_every_split_is_run_and_recorded(reviews_csv, tmp_path, capsys):
    recipe = tmp_path / "tiny.json"
    recipe.write_text(json.dumps({"train_file": reviews_csv, "model_type": "scratch", "config_overrides": TINY}))
    record = tmp_path / "record.json"
    flags = "--num_train_epochs 1 --max_seq_length 37 --tokenizer_vocab_size 151 --use_cpu"
    assert main(["benchmark", str(recipe), "--splits", "2", "--record", str(record), "--flags", flags]) == 0
    runs = json.loads(record.read_text())
    assert [run["split_seed"] for run in runs] == [0, 1]
    assert all(run["seconds"] > 1 and run["peak_mb"] > 100 and 0 <= run["test_accuracy"] <= 1 for run in runs)
    assert "over 2 splits, standard deviation" in capsys.readouterr().out


def test_the_encoder_is_timed_beside_berts(monkeypatch, capsys):
    monkeypatch.setattr(encoder_speed, "CPU_ROWS", [("tiny", 2, 7, "float32")])
    monkeypatch.setattr(encoder_speed, "CUDA_ROWS", [("tiny", 2, 7, "float32")])
    monkeypatch.setitem(encoder_speed.SIZES, "tiny", (1, 12, 3, 17))
    assert main(["benchmark", "encoder", "--repeats", "2"]) == 0
    assert "| tiny | 2 x 7 | float32 | forward+backward |" in capsys.readouterr().out
    assert main(["benchmark", "encoder", "--repeats", "0"]) == 2


def test_the_way_to_tokens_is_timed(tiny_bert, tmp_path, capsys):
    record = tmp_path / "record.json"
    flags = ["--examples", "211", "--kind", "csv", "--tokenizer", tiny_bert, "--record", str(record)]
    assert main(["benchmark", "tokenize", *flags]) == 0
    printed = capsys.readouterr().out
    assert "carve parts" in printed and "the tokenizer alone" in printed and "peak memory" in printed
    assert json.loads(record.read_text())["rows"] == 211
    assert main(["benchmark", "tokenize", "--examples", "7"]) == 2


@pytest.mark.slow
def test_a_run_that_fails_is_told_with_its_message(capsys):
    assert main(["benchmark", "no-such-recipe", "--splits", "1"]) == 2
    assert "there is no recipe 'no-such-recipe'" in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "size"), [([], "mini"), (["--size", "small"], "small")])
def test_pretraining_is_timed_at_the_size_that_is_named(flags, size, monkeypatch, tmp_path, capsys):
    asked = []

    def compare(*args):
        asked.append(args)
        return 1000.0, [pretraining_speed.PretrainingSpeed("mlm", 870.0, 0.87, 0.25)]

    monkeypatch.setattr(pretraining_speed, "compare", compare)
    record = tmp_path / "record.json"
    assert main(["benchmark", "pretraining", "--tokens", "512", "--steps", "3", "--record", str(record), *flags]) == 0
    assert asked == [(size, "cpu", 512, 3, 0.15)]
    assert "| mlm | 870 | 0.87 | 0.9 | 25% |" in capsys.readouterr().out
    assert json.loads(record.read_text())["pretraining"][0]["ratio"] == 0.87


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--tokens", "0"], "--tokens is 0, but the longest row has 512"),
        (["--tokens", "511"], "--tokens is 511, but the longest row has 512"),
        (["--steps", "-1"], "--steps is -1, but a timing takes at least 1 step"),
        (["--mlm_probability", "2"], "--mlm_probability is 2, but a share is above 0 and below 1"),
        (["--mlm_probability", "0"], "--mlm_probability is 0, but a share is above 0 and below 1"),
    ],
)
def test_what_pretraining_cannot_be_timed_with_is_refused(flags, said, monkeypatch, capsys):
    monkeypatch.setattr(pretraining_speed, "compare", lambda *args: pytest.fail("it was timed"))
    assert main(["benchmark", "pretraining", *flags]) == 2
    assert said in capsys.readouterr().err
