import pytest

from hf_scratch.errors import UserError
from hf_scratch.training.arguments import parse_arguments


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--per_device_train_batch_size 0", "is 0, but it must be at least 1; try 8"),
        ("--learning_rate=-1e-3", "is -0.001, but it must be at least 0; try 5e-5"),
        ("--learning_rate nan", "is nan, but it must be at least 0 and finite; try 5e-5"),
        ("--learning_rate inf", "is inf, but it must be at least 0 and finite; try 5e-5"),
        ("--adam_beta2 2", "is 2, but it must be at least 0 and below 1; try 0.999"),
        ("--weight_decay -1", "is -1, but it must be at least 0; try 0.01"),
        ("--max_grad_norm -1", "is -1, but it must be at least 0; try 1"),
        ("--label_smoothing_factor 2", "is 2, but it must be at least 0 and below 1; try 0.1"),
        ("--neftune_noise_alpha -5", "is -5, but it must be at least 0; try 5"),
        ("--num_train_epochs nan", "is nan, but it must be above 0 and finite; try 3"),
        ("--dataloader_num_workers -1", "is -1, but it must be at least 0; try 2"),
        ("--seed 99999999999", "is 1e+11, but it must be at least 0 and below 4294967296; try 42"),
        ("--data_seed -1", "is -1, but it must be at least 0"),
        ("--dataloader_drop_last", "true is not possible here: every row is predicted and scored; leave it away"),
        ("--label_names stars", "stars is not possible here: a model's answers are scored against the one column"),
        ("--dataloader_persistent_workers", "given, but there are no workers; add --dataloader_num_workers 1"),
        ('--accelerator_config {"split_batches":true}', "split_batches is not possible here: each process reads its own"),
        ("--use_liger_kernel", "given, but the package liger-kernel is not installed; install it, or leave it away"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_once(flags, message, monkeypatch):
    monkeypatch.setattr("hf_scratch.training.bounds.is_liger_kernel_available", lambda: False)
    with pytest.raises(UserError) as refused:
        parse_arguments(["--use_cpu", *flags.split()])
    assert str(refused.value).startswith(flags.split()[0].partition("=")[0]) and message in str(refused.value)


def test_a_package_that_a_flag_needs_and_that_is_missing_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"deepspeed.*; mend the flag"):
        parse_arguments(["--deepspeed", str(tmp_path / "config.json")])
