import re

import pytest

from hf_scratch.errors import UserError
from hf_scratch.training.arguments import Parser, parse_arguments
from hf_scratch.training.replaced_flags import REPLACED, replacement

# Of run_glue.py, run_classification.py and run_xnli.py of transformers 5, beside TrainingArguments.
# fmt: off
REFERENCE = {
    "task_name", "dataset_name", "dataset_config_name", "max_seq_length", "overwrite_cache", "pad_to_max_length",
    "max_train_samples", "max_eval_samples", "max_predict_samples", "train_file", "validation_file", "test_file",
    "do_regression", "text_column_names", "text_column_delimiter", "train_split_name", "validation_split_name",
    "test_split_name", "remove_splits", "remove_columns", "label_column_name", "preprocessing_num_workers",
    "shuffle_train_dataset", "shuffle_seed", "metric_name", "language", "train_language", "model_name_or_path",
    "config_name", "tokenizer_name", "cache_dir", "use_fast_tokenizer", "model_revision", "token", "trust_remote_code",
    "ignore_mismatched_sizes",
}
# fmt: on


def known() -> set[str]:
    return {action.dest for action in Parser()._actions}


def test_every_flag_of_the_reference_scripts_is_there():
    assert not REFERENCE - known()


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_named_in_place_of_a_flag_is_there(name):
    assert name in known() or set(re.findall(r"--(\w+)", REPLACED[name])) <= known()


@pytest.mark.parametrize("flag", ["--evaluation_strategy", "--evaluation-strategy", "--evaluation_strategy=epoch"])
def test_a_flag_of_older_versions_is_told_its_new_name(flag):
    with pytest.raises(UserError, match=r"strategy is a flag of other scripts or of older versions; write --eval_strategy$"):
        parse_arguments([flag])


def test_a_flag_that_nobody_knows_has_no_replacement():
    assert replacement("--lerning_rate") is None
    assert replacement("--no_cuda") == "write --use_cpu" and replacement("--no_adafactor") == "write --optim adafactor"


def test_a_command_for_the_reference_scripts_is_understood():
    words = "--model_name_or_path a --task_name sst2 --output_dir x --use_fast_tokenizer --use_cpu"
    args = parse_arguments(words.split())
    assert args.model.use_fast_tokenizer
    with pytest.raises(UserError, match="--use_fast_tokenizer false, but transformers 5 loads fast tokenizers only; leave it"):
        parse_arguments([*words.split(), "--use_fast_tokenizer", "false"])
