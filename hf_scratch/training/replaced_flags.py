"""Flags of the reference scripts' relatives and of older versions of transformers, and what to write in place of each."""

LEAVE = "leave it away"
REPLACED = {
    # run_glue_no_trainer.py, run_xnli.py, and what both were in older versions
    "max_length": "write --max_seq_length",
    "use_slow_tokenizer": f"transformers 5 loads fast tokenizers only: {LEAVE}",
    "do_lower_case": "a tokenizer's own files say whether it folds case: name another with --tokenizer_name",
    "use_auth_token": "write --token TOKEN, or log in by `hf auth login`",
    "max_train_steps": "write --max_steps",
    "num_warmup_steps": "write --warmup_steps",
    "checkpointing_steps": "write --save_strategy steps --save_steps N, or --save_strategy epoch",
    "with_tracking": "write --report_to with the tracker's name, such as --report_to tensorboard",
    "evaluate_during_training": "write --eval_strategy steps",
    "validation_split_percentage": "write --validation_fraction with a share, such as 0.1",
    # TrainingArguments before version 5
    "evaluation_strategy": "write --eval_strategy",
    "group_by_length": "write --train_sampling_strategy group_by_length",
    "warmup_ratio": "write --warmup_steps with a share of the steps below 1, such as 0.1",
    "gradient_checkpointing": "write --activation_checkpointing",
    "gradient_checkpointing_kwargs": "write --activation_checkpointing_kwargs",
    "logging_dir": "set the environment variable TENSORBOARD_LOGGING_DIR",
    "include_inputs_for_metrics": "write --include_for_metrics inputs",
    "include_tokens_per_second": "write --include_num_input_tokens_seen; train_tokens_per_second is reported anyway",
    "no_cuda": "write --use_cpu",
    "use_mps_device": f"the device is found: {LEAVE}",
    "per_gpu_train_batch_size": "write --per_device_train_batch_size",
    "per_gpu_eval_batch_size": "write --per_device_eval_batch_size",
    "adafactor": "write --optim adafactor",
    "save_safetensors": f"weights are always saved so: {LEAVE}",
    "push_to_hub_model_id": "write --hub_model_id",
    "push_to_hub_organization": "write --hub_model_id ORGANIZATION/NAME",
    "push_to_hub_token": "write --hub_token",
    "fp16_backend": f"torch's own is used: {LEAVE}",
    "half_precision_backend": f"torch's own is used: {LEAVE}",
    "jit_mode_eval": f"evaluation computes real tokens only: {LEAVE}",
    "torchscript": f"transformers 5 has no TorchScript: {LEAVE}",
    "past_index": f"encoders keep no state between batches: {LEAVE}",
    "torchdynamo": "write --torch_compile",
    "fsdp_min_num_params": "write it into --fsdp_config",
    "fsdp_transformer_layer_cls_to_wrap": "write it into --fsdp_config",
    "sharded_ddp": "write --fsdp",
    "dispatch_batches": "write it into --accelerator_config",
    "split_batches": "write it into --accelerator_config",
}


def replacement(flag: str) -> str | None:
    """What to write in place of a flag that is unknown here, in words; None if nobody knows it.

    Args:
        flag: with its dashes.
    """
    name = flag.lstrip("-").replace("-", "_")
    return REPLACED.get(name) or REPLACED.get(name.removeprefix("no_"))
