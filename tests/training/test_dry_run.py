import json
import math
import re
import tempfile

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from transformers import TrainingArguments

import run_glue_style
from hf_scratch.data.tasks import TASKS, Task
from hf_scratch.training import dry_run
from hf_scratch.training.dry_run import WARM_UP, Forecast, clock, every, fit, seconds_to_report, spread, work

FOUR_WEIGHTS = np.array([0.05, 3e-6, 1e-5, 2e-8])


def test_work_counts_real_and_computed_tokens():
    lengths = np.array([3, 5, 7, 11])
    assert work([[0, 1], [3]], lengths, None).tolist() == [1, 19, 2 * 5 + 11, 2 * 5 * 5 + 11 * 11]
    assert work([[0, 1], [3]], lengths, 13).tolist() == [1, 19, 3 * 13, 3 * 13 * 13]
    assert work([[~2]], lengths, None).tolist() == [1, 7, 7, 49]  # a filler is computed too


def test_the_seconds_of_all_updates_follow_from_a_few():
    rng = np.random.default_rng(0)
    whole = np.array([work([rng.integers(0, 997, 17).tolist()], rng.integers(3, 257, 997), None) for _ in range(211)])
    chosen = spread(whole[:, 2], WARM_UP + 19)[WARM_UP:]
    seconds = whole @ FOUR_WEIGHTS
    assert fit(whole[chosen], seconds[chosen], whole) == pytest.approx(seconds.sum(), rel=1e-3)
    noise = np.where(np.arange(19) == 7, 20.0, 1.0)  # another program took the machine
    assert fit(whole[chosen], seconds[chosen] * noise, whole) == pytest.approx(seconds.sum(), rel=0.15)


def test_the_largest_come_first_and_then_all_sizes_evenly():
    sizes = np.random.default_rng(0).permutation(211)
    chosen = spread(sizes, WARM_UP + 60)
    assert (sizes[chosen[:WARM_UP]] == 210).all()
    for count in (7, 12, 31, 60):
        some = np.sort(sizes[chosen[WARM_UP : WARM_UP + count]])
        assert np.diff([0, *some, 210]).max() < 2.7 * 211 / count
    assert len(spread(np.array([5, 5]), WARM_UP + 60)) == WARM_UP + 60  # fewer updates than are measured


@pytest.mark.parametrize(
    ("strategy", "interval", "count"),
    [("no", 10, 0), ("epoch", 10, 4), ("steps", 10, 11), ("steps", 0.25, 4), ("steps", 27, 4)],
)
def test_how_often_something_is_done(strategy, interval, count):
    assert every(strategy, interval, steps=103, in_epoch=29) == count


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.44, "0.4 s"), (9.94, "9.9 s"), (61, "61 s"), (200, "3 min 20 s"), (3600, "60 min 00 s"), (18440, "5 h 07 min")],
)
def test_durations_are_readable(seconds, words):
    assert clock(seconds) == words


def test_a_report_on_many_rows_is_drawn_out_from_two_shares(monkeypatch):
    now, seen = [0.0], []

    def report(parts):
        seen.append(len(parts["train"]))
        now[0] += 2.0 + 0.01 * len(parts["train"]) + 0.03 * len(parts["test"])

    monkeypatch.setattr(dry_run.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(dry_run, "ROWS", 200)
    parts = {part: Dataset.from_dict({"label": [0] * rows}) for part, rows in {"train": 1000, "test": 500}.items()}
    assert seconds_to_report(report, DatasetDict(parts)) == pytest.approx(2.0 + 10.0 + 15.0)
    assert seen == [100, 200]
    assert seconds_to_report(report, DatasetDict(parts | {"train": parts["test"].select(range(100))})) == pytest.approx(18.0)


def test_the_page_sums_up(monkeypatch):
    page = Forecast({"training": 100.0, "checkpoints": 0.0, "predictions": 5.0}, {"rate": "1"}, ["a", "b"], 3 * 2**20).page(
        "runs/x"
    )
    assert "training" in page and "checkpoints" not in page
    assert re.search(r"in all +1 min 45 s  \(105\.0 s\)\n  peak memory +3 MB", page)
    assert page.endswith("rate: 1\nfiles in runs/x: a, b\nnothing was written")


def test_the_page_says_what_is_not_of_one_plain_run():
    forecast = Forecast({"training": 50.0})
    forecast.say_what_else(3, True)
    assert "seeds: 3 runs like this one, one after the other: 2 min 30 s in all" in forecast.page("x")
    assert "compilation: its seconds" in forecast.page("x")


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        [
            "--eval_strategy",
            "steps",
            "--eval_steps",
            "7",
            "--save_steps",
            "7",
            "--load_best_model_at_end",
            "--warmup_steps",
            "0.3",
        ],
        ["--gradient_accumulation_steps", "3", "--train_sampling_strategy", "group_by_length", "--save_strategy", "no"],
    ],
    ids=["selecting", "accumulating"],
)
def test_what_is_foretold_is_what_happens(flags, scratch_flags, tmp_path, monkeypatch, capsys):
    """Steps, tokens, evaluations, learning rates and files are exact; only seconds are guessed."""
    monkeypatch.setattr(run_glue_style, "certify", lambda *_: {"weights": 0, "texts": 0})
    flags = [*scratch_flags, *flags, "--num_train_epochs", "2", "--logging_steps", "1"]
    before = sorted(tmp_path.iterdir())
    assert run_glue_style.main([*flags, "--dry_run"]) == 0
    page = capsys.readouterr().out
    assert sorted(tmp_path.iterdir()) == before and "nothing was written" in page
    assert run_glue_style.main(flags) == 0
    folder = tmp_path / "run"
    state = json.loads((folder / "trainer_state.json").read_text())
    rates = [entry["learning_rate"] for entry in state["log_history"] if "learning_rate" in entry]
    peak = int(np.argmax(rates))
    assert f"training: {state['global_step']:,} steps in 2 epochs, " in page
    told = f"{rates[0]:.3g} at step 1, {rates[peak]:.3g} at step {peak + 1}, {rates[-1]:.3g} at step {len(rates)}\n"
    assert f"learning rate: {told}" in page
    evaluations = sum("eval_loss" in entry for entry in state["log_history"])
    assert (f"evaluations: {evaluations} of" in page) == (evaluations > 0)
    files = re.search(r"^files in .*: (.*)$", page, flags=re.M)[1].split(", ")
    there = {path.name for path in folder.iterdir() if path.name not in ("last", "best")}
    assert ("checkpoint-N" in files) == any(name.startswith("checkpoint") for name in there)
    assert set(files) - {"checkpoint-N"} == {name for name in there if not name.startswith("checkpoint")}


@pytest.mark.slow
def test_a_task_before_is_rehearsed_without_a_trace(scratch_flags, reviews_csv, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_glue_style, "certify", lambda *_: {"weights": 0, "texts": 0})
    monkeypatch.setitem(TASKS, "films", Task("films", files={"train": reviews_csv}))
    elsewhere = tmp_path / "elsewhere"
    foreign = elsewhere / "checkpoint-1"
    foreign.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    first = ["--intermediate_task", "films", "--intermediate_max_seq_length", "7", "--save_total_limit", "1"]
    assert run_glue_style.main([*scratch_flags, *first, "--dry_run"]) == 0
    assert "first task" in capsys.readouterr().out
    assert foreign.exists() and [path.name for path in elsewhere.glob("checkpoint-*")] == ["checkpoint-1"]


@pytest.mark.slow
def test_a_dry_run_looks_at_the_folder_that_the_run_would_take(scratch_flags, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    assert run_glue_style.main([*scratch_flags, "--dry_run"]) == 2
    assert "holds files that are no run" in capsys.readouterr().err


def test_trainer_is_told_to_show_push_and_write_nothing(tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path / "run"), push_to_hub=True, report_to=["tensorboard"], use_cpu=True)
    dry_run.settle(args)
    assert args.report_to == [] and not args.push_to_hub and args.output_dir != str(tmp_path / "run")
    assert not math.isnan(dry_run.peak_memory()) and not (tmp_path / "run").exists()
