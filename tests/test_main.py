import subprocess
import sys

import pytest

from hf_scratch.__main__ import main


def test_help_lists_every_verb_with_one_line(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "benchmark" in printed and "Time a recipe" in printed


def test_a_verbs_help_has_an_example(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["benchmark", "--help"])
    assert "hf-scratch benchmark quickstart" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["benchmrk"], "there is no verb 'benchmrk'. Did you mean benchmark? The verbs are"),
        (["benchmark"], "the following arguments are required: recipe; `hf-scratch benchmark --help`"),
        (["benchmark", "quickstart", "--flags", "--fp16"], 'begins with dashes is written --flag="--so"; `hf-scratch'),
        (["ladder", "--budgt", "10m"], "'--budgt' is not known to ladder. Did you mean --budget? `hf-scratch ladder --help`"),
        (["report", "runs/film", "--share=yes"], "'--share=yes' is not known to report. Did you mean --shared? `hf-scratch"),
        (["compare", "--modls", "a,b"], "unknown flag --modls. Did you mean --models? A flag is one"),
        (["compare", "--models", "a,b", "--task_nam", "rte"], "unknown flag --task_nam. Did you mean --task_name?"),
        (["compare", "--seed", "3"], "'--seed' is a flag of a training, but nothing is trained. Did you mean --seeds? Name"),
        (["doctor", "--jsn", "--train_file", "x.csv"], "unknown flag --jsn. Did you mean --json?"),
        (["doctor", "--do_lower_case"], "is a flag of other scripts or of older versions"),
        (["pretrain", "--objectiv", "mlm"], "unknown flag --objectiv. Did you mean --objective?"),
        (["benchmark", "quickstart", "--splits", "0"], "--splits is 0, but at least 1 run is needed"),
    ],
)
def test_mendable_errors_are_one_message_and_exit_code_2(argv, message, capsys):
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == ""


@pytest.mark.slow
def test_the_module_runs_as_a_program():
    child = subprocess.run([sys.executable, "-m", "hf_scratch", "nothing"], capture_output=True, text=True)
    assert child.returncode == 2 and child.stderr.startswith("error: there is no verb 'nothing'")


@pytest.mark.parametrize(
    "words",
    [
        *("report RUN", "compare RUN RUN", "push RUN name", "predict RUN x", "convert RUN out"),
        *("export RUN --to torch_export", "demo RUN"),
    ],
)
def test_every_verb_names_the_runs_where_the_one_asked_for_is_not(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hf_scratch.commands.demo.require_gradio", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "film-20261123").mkdir(parents=True)
    (tmp_path / "runs" / "film-20261123" / "run.json").write_text("{}")
    assert main(words.replace("RUN", "runs/film").split()) == 2
    assert capsys.readouterr().err == "error: runs/film: no such folder; give one of runs/film-20261123\n"
