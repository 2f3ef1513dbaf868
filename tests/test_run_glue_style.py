"""The script from end to end, as a user runs it, for random and for pre-trained weights."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    pipeline,
    set_seed,
)

import run_glue_style
from hf_scratch.data import columns, sources, splits, tasks
from hf_scratch.data.arguments import DataArguments
from hf_scratch.results import glue_submission
from tests.conftest import TINY, make_reviews

FILES = (
    *("README.md", "all_results.json", "config.json", "eval_results.json", "model.safetensors", "predict_results.json"),
    *("predictions.parquet", "predictions.tsv", "roundtrip.json", "run.json", "tokenizer.json", "train_results.json"),
    *("trainer_state.json", "report/report.html", "report/headline.png", "report/confusion_matrix.png"),
)
STRANGER = """
import sys
sys.modules["hf_scratch"] = None
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
folder, text, out = sys.argv[1:]
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
save_file({"logits": model(**inputs).logits.detach()}, out)
answer = pipeline("text-classification", model=folder, trust_remote_code=True)(text)
assert answer[0]["label"] in ("good", "bad"), answer
"""


@pytest.fixture
def quick(monkeypatch):
    """Leave out the certificate and the report, which take seconds, where a test is about something else."""
    monkeypatch.setattr(run_glue_style, "write_report", lambda *_: None)
    monkeypatch.setattr(run_glue_style, "certify", lambda *_: {"weights": 0, "texts": 0})


def results_of(folder) -> dict:
    return json.loads(Path(folder, "all_results.json").read_text(encoding="utf-8"))


@pytest.fixture(params=["scratch", "bert"])
def flags(request):
    """The same flags but for the model's."""
    return request.getfixturevalue(f"{request.param}_flags")


@pytest.mark.slow
def test_the_whole_flow_leaves_all_files_and_honest_keys(flags, tmp_path, capsys):
    assert run_glue_style.main(flags) == 0
    folder = tmp_path / "run"
    assert not [name for name in FILES if not (folder / name).exists()]
    results = results_of(folder)
    for key in ("eval_accuracy", "test_accuracy", "test_macro_f1", "baseline_majority_accuracy", "baseline_tfidf_macro_f1"):
        assert 0 <= results[f"{key}_low"] <= results[key] <= results[f"{key}_high"] <= 1
    assert results["train_samples"] + results["eval_samples"] + results["predict_samples"] == 211
    assert results["train_tokens_per_second"] > 0
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert list(predictions) == ["id", "text", "label", "prediction", "probability_bad", "probability_good"]
    assert (predictions.label == predictions.prediction).mean() == pytest.approx(results["test_accuracy"])
    assert np.allclose(predictions.filter(like="probability_").sum(axis=1), 1)
    assert pd.read_csv(folder / "predictions.tsv", sep="\t").id.tolist() == predictions.id.tolist()
    assert json.loads((folder / "roundtrip.json").read_text())["logits_equal"] is True
    printed = capsys.readouterr().out
    assert "TF-IDF + logistic regression" in printed and "majority class" in printed and "95%" in printed


@pytest.mark.slow
def test_the_folder_opens_in_a_process_without_the_package(scratch_flags, tmp_path):
    assert run_glue_style.main(scratch_flags) == 0
    folder, out, text = str(tmp_path / "run"), tmp_path / "logits.safetensors", "a lovely film"
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules")}
    subprocess.run([sys.executable, "-c", STRANGER, folder, text, str(out)], check=True, env=environment)
    from safetensors.torch import load_file

    # With the package imported no trust is needed.
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    assert torch.equal(model(**inputs).logits, load_file(out)["logits"])
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert pipeline("text-classification", model=folder)(text)[0]["label"] in ("bad", "good")


def test_bert_has_the_loss_curve_of_a_plain_trainer(quick, bert_flags, reviews_csv, tiny_bert, tmp_path):
    """With our own features off, nothing of ours may stand between BERT and Trainer."""
    assert run_glue_style.main([*bert_flags, "--logging_steps", "1", "--num_train_epochs", "2", "--padding_free", "never"]) == 0
    ours = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]

    data = DataArguments(train_file=reviews_csv)
    task = tasks.choose_task(data)
    as_read = sources.load_splits(task)
    examples, labels = columns.to_examples(as_read, columns.find_columns(as_read, task))
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    parts = splits.choose_parts(examples, data, labels, selects=False, evaluates=True)
    parts = parts.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=37), batched=True)
    set_seed(42)
    plain = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=2),
        args=TrainingArguments(
            output_dir=str(tmp_path / "plain"),
            per_device_train_batch_size=17,
            num_train_epochs=2,
            logging_steps=1,
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=parts["train"],
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    plain.train()
    theirs = plain.state.log_history
    losses = [step["loss"] for step in ours if "loss" in step]
    assert len(losses) == 20
    assert losses == [step["loss"] for step in theirs if "loss" in step]
    assert [step["grad_norm"] for step in ours if "loss" in step] == [step["grad_norm"] for step in theirs if "loss" in step]


def test_the_same_command_twice_gives_the_same_weights(quick, scratch_flags, tmp_path):
    assert run_glue_style.main(scratch_flags) == 0
    first = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert run_glue_style.main([*scratch_flags, "--overwrite_output_dir"]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == first


def test_a_run_is_never_overwritten_unasked(quick, scratch_flags, tmp_path, capsys):
    assert run_glue_style.main(scratch_flags) == 0
    before = results_of(tmp_path / "run")
    capsys.readouterr()
    assert run_glue_style.main(scratch_flags) == 2
    error = capsys.readouterr().err
    assert "holds a run" in error and "--resume_from_checkpoint last" in error and "Traceback" not in error
    assert results_of(tmp_path / "run") == before


def test_an_unlabelled_test_part_is_predicted_and_validation_reported(quick, scratch_flags, tmp_path, capsys):
    test = tmp_path / "test.csv"
    test.write_text("text\na lovely film\nan awful film\n", encoding="utf-8")
    assert run_glue_style.main([*scratch_flags, "--test_file", str(test)]) == 0
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert predictions.id.tolist() == ["test/0", "test/1"] and predictions.label.isna().all()
    results = results_of(tmp_path / "run")
    assert "test_accuracy" not in results and "baseline_tfidf_accuracy" in results
    assert "validation part" in capsys.readouterr().out


def test_the_best_checkpoint_by_validation_is_what_is_saved(quick, scratch_flags, tmp_path):
    flags = ["--load_best_model_at_end", "--eval_strategy=epoch", "--save_strategy=epoch", "--metric_for_best_model=accuracy"]
    assert run_glue_style.main([*scratch_flags, *flags, "--num_train_epochs", "5", "--learning_rate", "0.01"]) == 0
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    best = max(entry["eval_accuracy"] for entry in state["log_history"] if "eval_accuracy" in entry)
    assert results_of(tmp_path / "run")["eval_accuracy"] == best == state["best_metric"]


def test_training_by_length_leaves_the_predictions_in_their_order(quick, scratch_flags, tmp_path):
    """Trainer alone would predict in the order of length, and every number on it would be chance."""
    flags = ["--train_sampling_strategy", "group_by_length", "--num_train_epochs", "7", "--learning_rate", "0.01"]
    flags += ["--config_overrides", f"{TINY},initializer_range=0.1,classifier_pooling=mean"]
    assert run_glue_style.main([*scratch_flags, *flags]) == 0
    assert results_of(tmp_path / "run")["test_accuracy"] > 0.9


def test_a_trained_head_is_judged_by_its_own_names_whatever_their_order(quick, scratch_flags, tmp_path, capsys):
    """The same model with its classes numbered the other way round has the same accuracy; with their names left, it is told."""
    flags = [*scratch_flags, "--num_train_epochs", "9", "--learning_rate", "0.01"]
    flags += ["--config_overrides", f"{TINY},initializer_range=0.1,classifier_pooling=mean"]
    assert run_glue_style.main(flags) == 0
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight.flip(0))
        model.classifier.bias.copy_(model.classifier.bias.flip(0))
    model.config.id2label, model.config.label2id = {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    model.save_pretrained(tmp_path / "turned")
    AutoTokenizer.from_pretrained(tmp_path / "run").save_pretrained(tmp_path / "turned")
    of_random_weights = ("--model_type", "scratch", "--config_overrides", TINY, "--tokenizer_vocab_size", "151")
    flags = [flag for flag in scratch_flags if flag not in of_random_weights]
    flags += ["--model_name_or_path", str(tmp_path / "turned"), "--output_dir", str(tmp_path / "judged"), "--do_predict"]
    assert run_glue_style.main(flags) == 0
    assert results_of(tmp_path / "judged")["test_accuracy"] == results_of(tmp_path / "run")["test_accuracy"] > 0.9
    assert "permuted" not in capsys.readouterr().out

    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(tmp_path / "turned")
    assert run_glue_style.main([*flags, "--overwrite_output_dir"]) == 0
    results = results_of(tmp_path / "judged")
    assert results["test_permuted_accuracy"] == results_of(tmp_path / "run")["test_accuracy"] == 1 - results["test_accuracy"]
    assert "'bad' means 'good', 'good' means 'bad'" in capsys.readouterr().out
    record = json.loads((tmp_path / "judged" / "run.json").read_text())
    assert record["label_permutation"] == {"bad": "good", "good": "bad"}
    assert any("'bad' means 'good'" in note for note in record["notes"])


def test_without_a_test_part_the_selecting_rows_are_not_the_reported_ones(quick, scratch_flags, tmp_path):
    flags = ["--do_train", "--do_eval", "--load_best_model_at_end", "--eval_strategy=epoch", "--save_strategy=epoch"]
    assert run_glue_style.main([*scratch_flags, *flags]) == 0
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    selecting = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    assert results_of(tmp_path / "run")["eval_loss"] not in selecting


def test_a_calibrated_run_saves_the_temperature_and_answers_at_it_everywhere(quick, scratch_flags, tmp_path, capsys):
    """Trained until it is far too sure: the pipeline's, the file's and the model's probabilities are the same, milder ones."""
    flags = [*scratch_flags, "--num_train_epochs", "9", "--learning_rate", "0.01"]
    flags += ["--config_overrides", f"{TINY},initializer_range=0.1,classifier_pooling=mean", "--calibrate"]
    assert run_glue_style.main(flags) == 0
    temperature = json.loads((tmp_path / "run" / "config.json").read_text())["calibration_temperature"]
    assert f"the logits are divided by {temperature:.2f}" in capsys.readouterr().out and abs(temperature - 1) > 0.01
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    answers = pipeline("text-classification", model=str(tmp_path / "run"))(predictions.text.tolist())
    stated = predictions.filter(like="probability_").max(axis=1)
    assert [answer["score"] for answer in answers] == pytest.approx(stated.tolist(), rel=1e-4)


@pytest.mark.slow
def test_the_whole_task_of_a_leaderboard_is_answered_in_its_zip(quick, scratch_flags, tmp_path, monkeypatch, capsys):
    """Made-up rows under a GLUE task's name; weights of classes and another headline on the way."""
    small = glue_submission.SubmissionFile("rte", "test", "RTE.tsv", 13, ("bad", "good"))
    monkeypatch.setattr(glue_submission, "FILES", (small,))
    rows = [text.rsplit(" ", 1)[0] for text, _ in make_reviews(13, seed=3)]
    (tmp_path / "rte.csv").write_text(Path(scratch_flags[1]).read_text())
    (tmp_path / "test.csv").write_text("text\n" + "\n".join(rows) + "\n")
    (tmp_path / "weights.json").write_text('{"good": 1, "bad": 3}')
    flags = ["--train_file", str(tmp_path / "rte.csv"), *scratch_flags[2:], "--test_file", str(tmp_path / "test.csv")]
    flags += ["--glue_submission", str(tmp_path / "all.zip"), "--class_weights", str(tmp_path / "weights.json")]
    flags += ["--metric_name", "log_loss", "--load_best_model_at_end", "--eval_strategy=epoch", "--save_strategy=epoch"]
    assert run_glue_style.main(flags) == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        lines = archive.read("RTE.tsv").decode().splitlines()
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet").prediction
    assert lines == ["index\tprediction", *(f"{row}\t{int(name == 'good')}" for row, name in enumerate(predictions))]
    printed = capsys.readouterr().out
    assert "class weights: bad 1.5, good 0.502" in printed and "in log loss" in printed
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    assert state["best_metric"] == min(entry["eval_log_loss"] for entry in state["log_history"] if "eval_log_loss" in entry)
    validation = pd.read_parquet(tmp_path / "run" / "predictions_validation.parquet")
    assert validation.label.notna().all() and len(validation) == results_of(tmp_path / "run")["eval_samples"]


def test_a_run_that_selects_on_the_test_part_is_marked_in_every_file(quick, scratch_flags, reviews_csv, tmp_path, capsys):
    flags = ["--test_file", reviews_csv, "--allow_test_as_validation", "--load_best_model_at_end", "--eval_strategy=epoch"]
    assert run_glue_style.main([*scratch_flags, *flags, "--save_strategy=epoch", "--calibrate"]) == 0
    folder, told = tmp_path / "run", "The checkpoint was chosen on rows that are reported"
    printed, card = capsys.readouterr().out, (folder / "README.md").read_text()
    assert told in printed and told in card and "211 rows that are reported" in printed and "fitted on these rows" in card
    marks = ["selected_on_reported", "test_as_validation"]
    for name in ("all", "train", "eval", "predict"):
        found = json.loads((folder / f"{name}_results.json").read_text())
        assert [found[mark] for mark in marks] == [1, 1]
    record = json.loads((folder / "run.json").read_text())
    assert list(record["marks"]) == marks and "temperature" not in record
    for name in ("predictions", "predictions_validation"):
        assert set(pd.read_parquet(folder / f"{name}.parquet").marks) == {", ".join(marks)}
        assert set(pd.read_csv(folder / f"{name}.tsv", sep="\t").marks) == {", ".join(marks)}


COLUMNS_OF_KINDS = {
    "ordinal": {"label": [f"{row % 3 + 1} stars" for row in range(211)]},
    "regression": {"label": [row % 7 / 2 for row in range(211)]},
    "multi_label": {"label": [["warm", "cold"][: row % 3] for row in range(211)]},
    "multi-label": {"warm": [row % 2 for row in range(211)], "cold": [row % 3 // 2 for row in range(211)]},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COLUMNS_OF_KINDS)
def test_every_kind_of_labels_trains_and_predicts(quick, scratch_flags, tmp_path, capsys, kind):
    rows = {"text": [f"a film of some length {row}" for row in range(211)], **COLUMNS_OF_KINDS[kind]}
    pd.DataFrame(rows).to_json(tmp_path / "rows.jsonl", orient="records", lines=True)
    flags = [*scratch_flags, "--train_file", str(tmp_path / "rows.jsonl"), "--max_steps", "2"]
    flags += ["--label_column_name", "warm,cold"] if "warm" in rows else []
    assert run_glue_style.main(flags) == 0
    assert f"{kind.replace('_', '-')}: " in capsys.readouterr().out
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    problems = {"ordinal": "single_label_classification", "regression": "regression"}
    assert config["problem_type"] == problems.get(kind, "multi_label_classification")
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    results = results_of(tmp_path / "run")
    assert len(predictions) == results["predict_samples"] == 22 and predictions.label.notna().all()
    assert [key for key in results if key.startswith("baseline_")]


def test_a_test_file_of_another_kind_without_labels_is_predicted_and_sampled(quick, scratch_flags, tmp_path):
    (tmp_path / "lines.txt").write_text("a lovely film\nan awful film\na film\n")
    flags = ["--test_file", str(tmp_path / "lines.txt"), "--max_predict_samples", "2", "--max_steps", "2"]
    assert run_glue_style.main([*scratch_flags, *flags]) == 0
    assert len(pd.read_parquet(tmp_path / "run" / "predictions.parquet")) == 2


def test_a_seed_among_several_is_the_run_of_that_seed_alone(quick, scratch_flags, tmp_path, capsys):
    assert run_glue_style.main([*scratch_flags, "--seeds", "2", "--seed", "7"]) == 0
    assert "in the mean of 2 seeds" in capsys.readouterr().out
    several = results_of(tmp_path / "run")
    each = [results_of(tmp_path / "run" / f"seed-{seed}")["test_accuracy"] for seed in (7, 8)]
    assert several["test_accuracy"] == pytest.approx(np.mean(each)) and several["seeds"] == 2
    assert run_glue_style.main([*scratch_flags, "--seed", "8", "--output_dir", str(tmp_path / "alone")]) == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in (tmp_path / "alone", tmp_path / "run" / "seed-8")]
    assert weights[0] == weights[1]


def test_a_collapsed_run_is_reported_and_ends_with_what_to_change(quick, scratch_flags, tmp_path, capsys):
    """A learning rate a thousand times too high for 210 steps; the files are written all the same, and say so."""
    flags = ["--num_train_epochs", "21", "--learning_rate", "9", "--max_grad_norm", "0"]
    assert run_glue_style.main([*scratch_flags, *flags]) == 2
    assert "collapsed by step 2" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["collapsed"].startswith("collapsed by step 2")
    assert results_of(tmp_path / "run")["test_accuracy"] < 0.8
    assert "This run is no good" in (tmp_path / "run" / "README.md").read_text()


def test_a_row_without_a_label_chooses_no_checkpoint(quick, scratch_flags, tmp_path):
    """No loss may be asked of it, and no metric."""
    rows = [f"a lovely film {row},good" for row in range(13)] + ["an awful film,", "a dull film,-1", "a cold film,bad"]
    (tmp_path / "validation.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    flags = ["--load_best_model_at_end", "--eval_strategy=epoch", "--save_strategy=epoch", "--learning_rate", "0.01"]
    flags += ["--validation_file", str(tmp_path / "validation.csv"), "--test_file", str(tmp_path / "validation.csv")]
    assert run_glue_style.main([*scratch_flags, *flags]) == 0
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    assert round(14 * state["best_metric"], 6) % 1 == 0
    results = results_of(tmp_path / "run")
    assert results["eval_accuracy"] == results["test_accuracy"] == pytest.approx(state["best_metric"])
    assert results["predict_samples"] == 16
