import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

import run_glue_style
from hf_scratch.__main__ import main
from hf_scratch.sharing import certificate
from hf_scratch.training import save_clock
from hf_scratch.training.pretraining import PretrainingTrainer

SIZES = "hidden_size=12,num_hidden_layers=1,num_attention_heads=3,intermediate_size=29,max_position_embeddings=41"


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    """97 documents of made-up sentences, parted by blank lines."""
    rng = random.Random(0)
    words = "the cat dog bird sat ran flew on over to a mat house tree and then it slept".split()  # noqa: SIM905

    def sentence():
        return f"{' '.join(rng.choices(words, k=rng.randint(3, 9))).capitalize()}."

    path = tmp_path_factory.mktemp("text") / "stories.txt"
    path.write_text("\n\n".join(" ".join(sentence() for _ in range(rng.randint(2, 9))) for _ in range(97)), encoding="utf-8")
    return str(path)


@pytest.fixture
def flags(text_file, tmp_path):
    return [
        *("pretrain", "--train_file", text_file, "--output_dir", str(tmp_path / "run"), "--use_cpu", "--disable_tqdm", "true"),
        *("--config_overrides", SIZES, "--tokenizer_vocab_size", "131", "--max_seq_length", "29"),
        *("--per_device_train_batch_size", "17", "--num_train_epochs", "1", "--logging_steps", "3"),
    ]


@pytest.fixture
def quick(monkeypatch):
    """Without the proof of reloading, which takes a process of its own."""
    monkeypatch.setattr(certificate, "certify", lambda *args: None)


@pytest.mark.slow
def test_the_whole_flow_leaves_a_model_that_others_load_and_that_fine_tunes(flags, tmp_path, reviews_csv, monkeypatch, capsys):
    assert main(flags) == 0
    folder = tmp_path / "run"
    results = json.loads((folder / "all_results.json").read_text())
    for key in ("eval_mlm_loss", "eval_mlm_accuracy", "eval_nsp_loss", "eval_nsp_accuracy", "eval_pseudo_perplexity"):
        assert results[key] >= 0
    assert results["train_tokens_per_second"] > 0
    record = json.loads((folder / "run.json").read_text())
    assert record["arguments"]["pretrain"]["objective"] == "mlm+nsp" and record["results"] and record["versions"]["torch"]
    proof = json.loads((folder / "roundtrip.json").read_text())
    assert all(value for key, value in proof.items() if key.endswith("_equal"))
    assert "held out" in capsys.readouterr().out and "report/loss.png" in (folder / "README.md").read_text("utf-8")
    page = (folder / "report" / "report.html").read_text("utf-8")
    assert "Not shown" not in page and "could not be read" not in page and record["seconds_of"].keys() >= {"train", "certify"}
    assert (
        json.loads((folder / "trainer_state.json").read_text())["log_history"][-2]["eval_mlm_loss"] == results["eval_mlm_loss"]
    )
    assert pipeline("fill-mask", model=str(folder))("the cat [MASK] .")
    assert main(flags) == 2 and "holds a run" in capsys.readouterr().err

    tuned = [*("--model_name_or_path", str(folder), "--train_file", reviews_csv, "--output_dir", str(tmp_path / "tuned"))]
    monkeypatch.setattr(run_glue_style, "certify", lambda *args: {"weights": 0, "texts": 0})
    monkeypatch.setattr(run_glue_style, "write_report", lambda *_: None)
    assert run_glue_style.main([*tuned, "--num_train_epochs", "1", "--use_cpu", "--disable_tqdm", "true"]) == 0


@pytest.mark.slow
def test_bert_by_the_same_command_then_further_on_other_text(quick, flags, tmp_path):
    assert main([*flags, "--model_type", "bert", "--objective", "mlm", "--line_by_line", "--whole_word_mask"]) == 0
    first = AutoModelForMaskedLM.from_pretrained(tmp_path / "run")
    assert first.config.model_type == "bert"
    overrides = flags.index("--config_overrides")
    flags = [*flags[:overrides], *flags[overrides + 4 :]]  # nor the size of the vocabulary
    flags[flags.index("--output_dir") + 1] = str(tmp_path / "further")
    assert main([*flags, "--init_from", str(tmp_path / "run"), "--learning_rate", "0"]) == 0
    further = AutoModelForMaskedLM.from_pretrained(tmp_path / "further")
    for name, tensor in first.state_dict().items():
        assert torch.equal(further.state_dict()[name], tensor), name
    vocabularies = [AutoTokenizer.from_pretrained(tmp_path / name).get_vocab() for name in ("run", "further")]
    assert vocabularies[0] == vocabularies[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scratch", "bert"])
def test_replaced_tokens_leave_a_masked_language_model_and_their_numbers(flags, tmp_path, kind, capsys):
    overrides = flags.index("--config_overrides") + 1
    flags[overrides] = flags[overrides].replace("layers=1", "layers=2")
    more = ["--objective", "mlm+rtd", "--model_type", kind, "--eval_strategy", "epoch", "--num_train_epochs", "2"]
    if kind == "scratch":  # a probe copies the model while generator and detector are part of it
        more += ["--probe", write_task(tmp_path), "--probe_every", "1", "--probe_flags=--max_steps 2 --use_cpu"]
    assert main([*flags, *more]) == 0
    folder = tmp_path / "run"
    weights = load_file(folder / "model.safetensors")
    assert weights and not any("replaced" in name or "detect" in name for name in weights)
    record, results = (json.loads((folder / name).read_text()) for name in ("run.json", "all_results.json"))
    assert record["parameters"] == AutoModelForMaskedLM.from_pretrained(folder).num_parameters()
    assert 0 <= results["eval_rtd_recall"] <= 1 and results["eval_rtd_loss"] > 0
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    assert len([entry for entry in history if "eval_rtd_recall" in entry]) == 3
    for page in ("report/report.html", "README.md"):
        assert "replaced tokens: recall" in (folder / page).read_text("utf-8"), page
    assert "a generator and a detector of" in capsys.readouterr().out
    proof = json.loads((folder / "roundtrip.json").read_text())
    assert all(value for key, value in proof.items() if key.endswith("_equal"))


def write_task(folder: Path) -> str:
    """A table of texts with labels."""
    path = folder / "task.csv"
    path.write_text("text,label\n" + "".join(f"the {'cat' if i % 2 else 'dog'} sat {i},{i % 2}\n" for i in range(40)))
    return str(path)


@pytest.mark.slow
def test_a_folder_of_texts_is_read_and_held_out_rows_are_scored_on_the_way(quick, flags, text_file, tmp_path):
    source = flags.index("--train_file")
    flags[source : source + 2] = ["--dataset_name", str(Path(text_file).parent)]
    assert main([*flags, "--eval_strategy", "epoch", "--num_train_epochs", "2", "--max_train_samples", "31"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["corpus"]["to learn from"]["documents"] == 31
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    assert [entry["epoch"] for entry in history if "eval_mlm_loss" in entry] == [1, 2, 2]


@pytest.mark.slow
def test_a_budget_ends_training_with_the_rate_at_its_end(quick, flags, tmp_path):
    counted = flags.index("--num_train_epochs")
    flags[counted : counted + 2] = ["--budget", "3s"]
    assert main([*flags, "--objective", "mlm", "--muon_learning_rate", "0.02", "--logging_steps", "1"]) == 0
    results = json.loads((tmp_path / "run" / "all_results.json").read_text())
    assert results["train_runtime"] < 8
    log = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    rates = [entry["learning_rate"] for entry in log if "learning_rate" in entry]
    assert rates[-1] < 0.05 * max(rates)


@pytest.mark.slow
def test_a_budgeted_run_that_is_killed_goes_on_from_the_clocks_checkpoint(quick, flags, tmp_path, monkeypatch, capsys):
    counted = flags.index("--num_train_epochs")
    flags[counted : counted + 2] = ["--budget", "6s", "--objective", "mlm"]
    monkeypatch.setattr(save_clock, "EVERY", 0.0)
    step = PretrainingTrainer.training_step

    def die_at(self, *args, **kwargs):
        if self.state.global_step == 25:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(PretrainingTrainer, "training_step", die_at)
        assert main(flags) == 130
    assert [path.name for path in tmp_path.glob("run/checkpoint-*")] == ["checkpoint-20"]  # the last one only
    used = json.loads((tmp_path / "run" / "last" / "trainer_state.json").read_text())["stateful_callbacks"]["Budget"]
    assert used["attributes"]["used"] > 0
    monkeypatch.setattr(save_clock, "EVERY", 300.0)
    assert main([*flags, "--resume_from_checkpoint", "last"]) == 0
    assert "going on from" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "train_results.json").read_text())
    assert results["train_seconds"] <= 6.1 and results["train_runtime"] < 6.1 - used["attributes"]["used"] + 2
    assert not list(tmp_path.glob("run/checkpoint-*")) and not (tmp_path / "run" / "last").is_symlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--train_file", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--tokenizer_name", "./nowhere"], "./nowhere: no such folder"),
        (["--config_overrides", "hiden_size=3"], "has no 'hiden_size'"),
        (["--max_train_steps", "3"], "--max_train_steps is a flag of other scripts or of older versions; write --max_steps"),
    ],
)
def test_what_the_user_can_mend_is_said_and_leaves_nothing(flags, tmp_path, change, message, capsys):
    assert main([*flags, *change]) == 2
    printed = capsys.readouterr().err
    assert message in printed and "Traceback" not in printed and not (tmp_path / "run").exists()


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["pretrain", "--help"])
    printed = capsys.readouterr().out
    assert "imdb_reviews" in printed and "--mlm_probability" in printed


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_to_the_same_weights(quick, flags, text_file, tmp_path, monkeypatch, capsys):
    import signal

    assert main(flags) == 0
    whole = (tmp_path / "run" / "model.safetensors").read_bytes()
    flags[flags.index("--output_dir") + 1] = str(tmp_path / "stopped")
    step = PretrainingTrainer.training_step

    def stop_at_the_fifth(self, *args, **kwargs):
        if self.state.global_step == 4:
            signal.raise_signal(signal.SIGTERM)
        return step(self, *args, **kwargs)

    monkeypatch.setattr(PretrainingTrainer, "training_step", stop_at_the_fifth)
    assert main(flags) == 75
    printed = capsys.readouterr().err
    assert "stopped after step 5, all of it saved" in printed and "pretrain --train_file" in printed
    monkeypatch.undo()
    again = [*flags, "--resume_from_checkpoint", "last"]
    assert main([*again, "--learning_rate", "0.02"]) == 2
    assert "was trained with other flags (--learning_rate: 0.003, now 0.02)" in capsys.readouterr().err
    Path(tmp_path, "more.txt").write_text(Path(text_file).read_text() + "\n\nOne more. A last document.")
    assert main([*again, "--train_file", str(tmp_path / "more.txt")]) == 2
    assert "belongs to other rows than those read now" in capsys.readouterr().err
    assert main(again) == 0
    assert (tmp_path / "stopped" / "model.safetensors").read_bytes() == whole
    assert not list((tmp_path / "stopped").rglob("training_args.bin"))
