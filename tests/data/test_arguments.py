import pytest
from transformers import HfArgumentParser

from hf_scratch.data.arguments import DataArguments


def test_every_flag_is_explained():
    help_text = HfArgumentParser(DataArguments, prog="hf").format_help()
    for name in DataArguments.__dataclass_fields__:
        assert f"--{name}" in help_text
        assert DataArguments.__dataclass_fields__[name].metadata["help"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_seq_length", 512), ("validation_fraction", None), ("split_seed", 42), ("pad_to_max_length", False)],
)
def test_defaults(name, value):
    assert getattr(HfArgumentParser(DataArguments).parse_args_into_dataclasses([])[0], name) == value


def test_flags_reach_their_fields():
    flags = ["--train_file", "a.csv", "--max_train_samples", "17", "--pad_to_max_length", "--split_seed=3"]
    (args,) = HfArgumentParser(DataArguments).parse_args_into_dataclasses(flags)
    assert (args.train_file, args.max_train_samples, args.pad_to_max_length, args.split_seed) == ("a.csv", 17, True, 3)
