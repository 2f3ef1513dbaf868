import fcntl
import json
import os
import random

import pytest

from hf_scratch import ScratchConfig, ScratchForMaskedLM
from hf_scratch.__main__ import main
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.results import transfer

SIZES = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 17}
QUICK = "--flags=--max_steps 2 --use_cpu --max_seq_length 16"


@pytest.fixture
def encoder(tmp_path):
    """A folder with a tiny masked language model."""
    words = ["a", "cat", "dog", "sat", "ran", "on", "it", "the", "mat"]
    texts = [" ".join(random.Random(row).choices(words, k=7)) for row in range(53)]
    tokenizer = train_wordpiece(texts, 131, 32)
    tokenizer.save_pretrained(tmp_path / "encoder")
    config = ScratchConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **SIZES)
    ScratchForMaskedLM(config).save_pretrained(tmp_path / "encoder")
    return str(tmp_path / "encoder")


@pytest.fixture
def data(tmp_path):
    """Rows of two tasks, as they are told to be kept."""
    for task, columns in (("cola", "sentence,label"), ("mrpc", "sentence1,sentence2,label")):
        (tmp_path / "data" / task).mkdir(parents=True)
        for part, rows in (("train", 40), ("validation", 13)):
            lines = [",".join(["the cat sat"] * columns.count("sentence") + [str(row % 2)]) for row in range(rows)]
            (tmp_path / "data" / task / f"{part}.csv").write_text("\n".join([columns, *lines]) + "\n")
    return str(tmp_path / "data")


@pytest.mark.slow
def test_tasks_and_seeds_make_a_table_and_the_same_command_keeps_what_is_done(encoder, data, tmp_path, capfd):
    folder = tmp_path / "table"
    command = ["transfer", encoder, "--data", data, "--output_dir", str(folder), QUICK]
    assert main([*command, "--tasks", "mrpc", "--seeds", "1"]) == 0
    first = json.loads((folder / "transfer.json").read_text())
    assert first["encoder"] == encoder and set(first["runs"]) == {"mrpc-seed-0"}
    assert sorted(path.name for path in folder.iterdir()) == ["mrpc-seed-0.log", "transfer.json"]
    assert "text from sentence1 and sentence2" in (folder / "mrpc-seed-0.log").read_text()
    capfd.readouterr()

    command[1] += "/"  # the same encoder, as a shell completes it
    assert main([*command, "--tasks", "mrpc", "cola", "--seeds", "2"]) == 0
    printed = capfd.readouterr().out
    second = json.loads((folder / "transfer.json").read_text())
    assert second["runs"].keys() == {"mrpc-seed-0", "cola-seed-0", "mrpc-seed-1", "cola-seed-1"}
    assert all(second["runs"][name] == run for name, run in first["runs"].items())
    assert {run["metric"] for run in second["runs"].values()} == {"accuracy", "matthews_correlation"}
    scores = [100 * second["runs"][f"mrpc-seed-{seed}"]["score"] for seed in (0, 1)]
    row = f"| mrpc | accuracy | {sum(scores) / 2:.1f} | {scores[0]:.1f} {scores[1]:.1f} |"
    assert row in printed and "mrpc, seed 0" not in printed and "mrpc, seed 1" in printed


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_are_kept(encoder, data, tmp_path, capfd):
    (tmp_path / "data" / "cola" / "train.csv").write_text("sentence,label\nthe cat,yes\n")
    folder = tmp_path / "table"
    command = ["transfer", encoder, "--data", data, "--tasks", "cola", "mrpc", "--seeds", "1", "--output_dir", str(folder)]
    assert main([*command, QUICK]) == 2
    printed = capfd.readouterr()
    assert "failed: cola-seed-0; " in printed.err and "cola, seed 0: error: " in printed.out
    assert "| mrpc | accuracy |" in printed.out and "| cola |" not in printed.out
    assert json.loads((folder / "transfer.json").read_text())["runs"].keys() == {"mrpc-seed-0"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--tasks", "mrcp"], "--tasks mrcp: there is no such task. Did you mean mrpc?"),
        (["--tasks", "yelp_1000"], "holds no rows of yelp_1000: "),
        (["--seeds", "0"], "--seeds is 0, but each task is fine-tuned at least once"),
        (["--flags=--seed 3"], 'flags "... --seed ...", but each run gets its --seed from the command'),
        (["--flags=--do_eval false"], "each run gets its --do_eval from the command"),
        (["--flags=--problem_type regression"], "each run gets its --problem_type from the command"),
        (["--flags=--learning_rat 3"], "learning_rat"),
        (["--processes", "0"], "--processes is 0, but at least one run goes at a time"),
        (['--flags=--max_steps "2'], """--flags --max_steps "2: No closing quotation, but each quote must be closed"""),
    ],
)
def test_what_the_user_can_mend_is_said_before_anything_runs(encoder, data, tmp_path, change, message, capsys):
    folder = tmp_path / "table"
    command = ["transfer", encoder, "--data", data, "--tasks", "mrpc", "--output_dir", str(folder)]
    assert main([*command, *change]) == 2
    assert message in capsys.readouterr().err and not list(folder.glob("*"))


def test_folders_of_something_else_and_of_another_encoder_are_refused(encoder, data, tmp_path, capsys):
    folder = tmp_path / "table"
    folder.mkdir()
    command = ["transfer", encoder, "--data", data, "--tasks", "mrpc", "--output_dir", str(folder)]
    (folder / "diary.txt").write_text("mine")
    assert main(command) == 2 and "holds something else" in capsys.readouterr().err
    (folder / "transfer.json").write_text(json.dumps({"encoder": "another", "runs": {}}))
    assert main(command) == 2 and "holds the runs of another, which would be mixed" in capsys.readouterr().err
    assert (folder / "diary.txt").read_text() == "mine"


def test_two_commands_do_not_write_one_table(encoder, data, tmp_path, capsys):
    folder = tmp_path / "table"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert main(["transfer", encoder, "--data", data, "--tasks", "mrpc", "--output_dir", str(folder)]) == 2
    assert "another process is writing a run there" in capsys.readouterr().err and not list(folder.iterdir())
    os.close(descriptor)


@pytest.mark.parametrize("content", ['{"enc', "", "{}", "[]", '{"encoder": "mine"}'])
def test_a_damaged_table_is_refused_and_kept(encoder, data, tmp_path, capsys, content):
    path = tmp_path / "transfer.json"
    path.write_text(content)
    assert main(["transfer", encoder, "--data", data, "--tasks", "mrpc", "--output_dir", str(tmp_path)]) == 2
    assert f"{path} is damaged: it must hold the encoder and its runs" in capsys.readouterr().err
    assert path.read_text() == content


def test_a_task_that_is_named_twice_runs_once(encoder, data):
    assert [run.name for run in transfer.runs_of(encoder, data, ["mrpc", "mrpc"], 2, [])] == ["mrpc-seed-0", "mrpc-seed-1"]


def test_what_failed_before_its_first_score_is_gone_on_with(encoder, data, tmp_path, capsys):
    (tmp_path / "data" / "mrpc" / "train.csv").write_text("sentence1,sentence2,label\n")
    command = ["transfer", encoder, "--data", data, "--tasks", "mrpc", "--seeds", "1", "--output_dir", str(tmp_path / "table")]
    for _ in range(2):  # not "holds something else" the second time
        assert main(command) == 2 and "failed: mrpc-seed-0" in capsys.readouterr().err
