import pytest

from hf_scratch.errors import UserError
from hf_scratch.training.arguments import parse_arguments

MODEL = ["--model_type", "scratch", "--train_file", "rows.csv", "--use_cpu", "--output_dir", "nowhere"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--optim", "adamw_bnb_8bit"],
            r"--optim adamw_bnb_8bit cannot be used here \(.*bitsandbytes.*\); install what it needs",
        ),
        (
            ["--lr_scheduler_type", "cosine_with_min_lr"],
            r"--lr_scheduler_type cosine_with_min_lr: .*min_lr.*--lr_scheduler_kwargs",
        ),
        (["--lr_scheduler_type", "linear", "--lr_scheduler_kwargs", '{"min": 1}'], "--lr_scheduler_type linear: .*'min'"),
        (["--early_stopping_patience", "3"], "--early_stopping_patience 3 given, but .*add --eval_strategy epoch"),
        (["--early_stopping_patience", "-1"], "--early_stopping_patience is -1, but a count is not negative"),
    ],
)
def test_what_is_missing_is_told_before_the_data_are_read(flags, message):
    with pytest.raises(UserError, match=message):
        parse_arguments([*MODEL, *flags])


def test_what_can_be_used_passes():
    for optim in ("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "rmsprop"):
        assert parse_arguments([*MODEL, "--optim", optim]).training.optim == optim
