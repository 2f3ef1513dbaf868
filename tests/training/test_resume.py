import json
from pathlib import Path

import pytest
from transformers import TrainingArguments

from hf_scratch.errors import UserError
from hf_scratch.training.resume import check_same_run, epochs_before, find_checkpoint, write_start


def test_a_checkpoint_without_its_optimizer_cannot_be_resumed(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "checkpoint-3" / "trainer_state.json").write_text("{}")
    with pytest.raises(UserError, match=r"saved without its optimizer .*--save_only_model false"):
        find_checkpoint(str(tmp_path), "last")


def test_the_last_checkpoint_is_the_whole_one_with_most_steps(tmp_path):
    for step in (7, 11, 101, 103):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "optimizer.pt").write_text("")
        if step < 103:  # the last one was cut off while it was saved
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-mine").mkdir()
    said = []
    assert find_checkpoint(str(tmp_path), "last", said.append) == str(tmp_path / "checkpoint-101")
    assert len(said) == 1 and "checkpoint-103 is not whole" in said[0]
    assert find_checkpoint(str(tmp_path), str(tmp_path / "checkpoint-7")) == str(tmp_path / "checkpoint-7")
    assert find_checkpoint(str(tmp_path), None) is None


def arguments(**training) -> dict:
    """As run.json holds them: what Trainer derives from the flags is there too."""
    training = {"learning_rate": 0.1, "per_device_train_batch_size": 8, "output_dir": "here", "use_cpu": True} | training
    training = TrainingArguments(**training).to_sanitized_dict()
    return {"model": {"model_type": "scratch", "token": None}, "data": {"max_seq_length": 37}, "training": training}


@pytest.fixture
def checkpoint(tmp_path):
    record = {"arguments": arguments(), "data": "f00d", "processes": 1}
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "checkpoint-3").mkdir()
    return str(tmp_path / "checkpoint-3")


def test_the_same_run_goes_on(checkpoint):
    assert check_same_run(checkpoint, arguments(), "f00d", 1) is None
    assert check_same_run(checkpoint, arguments(logging_steps=3, output_dir="elsewhere", save_steps=7), "f00d", 1) is None


@pytest.mark.parametrize(
    ("size", "processes", "words"),
    [
        (2, 1, "rows an update: 8, now 2; --gradient_accumulation_steps 4 keeps them on 1 process"),
        (8, 2, "rows an update: 8, now 16; --per_device_train_batch_size 4 keeps them on 2 processes"),
        (3, 3, r"rows an update: 8, now 9\)"),
    ],
)
def test_the_flags_that_keep_the_batch_are_named(checkpoint, size, processes, words):
    with pytest.raises(UserError, match=words):
        check_same_run(checkpoint, arguments(per_device_train_batch_size=size), "f00d", processes)


def test_a_damaged_record_is_named(checkpoint):
    (Path(checkpoint).parent / "run.json").write_text('{"argum')
    with pytest.raises(UserError, match=r"run.json is cut off or damaged .*; to go on without it, give --resume_from_ch"):
        check_same_run(checkpoint, arguments(), "f00d", 1)


def test_another_number_of_processes_with_the_same_batch_is_told(checkpoint):
    note = check_same_run(checkpoint, arguments(per_device_train_batch_size=4), "f00d", 2)
    assert "began on 1 processes and goes on with 2" in note


@pytest.mark.parametrize(
    ("changes", "fingerprint", "processes", "message"),
    [
        ({}, "beef", 1, "belongs to other rows"),
        ({"learning_rate": 0.2}, "f00d", 1, r"other flags \(--learning_rate: 0.1, now 0.2\)"),
        ({}, "f00d", 2, "rows an update: 8, now 16"),
        ({"gradient_accumulation_steps": 2}, "f00d", 1, "rows an update: 8, now 16"),
    ],
)
def test_another_run_is_refused(checkpoint, changes, fingerprint, processes, message):
    with pytest.raises(UserError, match=message):
        check_same_run(checkpoint, arguments(**changes), fingerprint, processes)


def test_other_lengths_and_models_are_other_runs(checkpoint):
    changed = arguments() | {"data": {"max_seq_length": 41}, "model": {"model_type": "bert"}}
    with pytest.raises(UserError, match=r"--model_type: scratch, now bert; --max_seq_length: 37, now 41"):
        check_same_run(checkpoint, changed, "f00d", 1)


def test_without_a_record_nothing_can_be_compared_and_that_is_told(tmp_path):
    assert "cannot be told" in check_same_run(str(tmp_path / "checkpoint-3"), arguments(), "f00d", 1)


def test_a_resumed_run_keeps_its_record_and_adds_to_it(tmp_path):
    def write(folder, **facts):
        path = tmp_path / "run.json"
        path.write_text(json.dumps((json.loads(path.read_text()) if path.exists() else {}) | facts))

    facts = {"command": ["run"], "arguments": arguments(), "started": 1}
    write_start(str(tmp_path), None, facts, write)
    write_start(str(tmp_path), "checkpoint-3", facts | {"command": ["run", "again"], "started": 2}, write)
    write_start(str(tmp_path), "checkpoint-5", facts | {"started": 3}, write)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["command"] == ["run"] and record["started"] == 1
    again = {"from": "checkpoint-3", "command": ["run", "again"], "started": 2}
    assert record["resumed"] == [again, {"from": "checkpoint-5", "started": 3}]


def test_epochs_of_a_checkpoint(tmp_path):
    (tmp_path / "trainer_state.json").write_text('{"epoch": 1.5}')
    assert epochs_before(str(tmp_path)) == 1.5 and epochs_before(None) == 0
