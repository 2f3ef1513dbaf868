import os
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainingArguments

from hf_scratch.training import hardware
from hf_scratch.training.hardware import settle_hardware


def on_cuda(monkeypatch, capability=(9, 0), cpus=16, **fields):
    """Arguments as a machine with a GPU would hold them."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(hardware.os, "cpu_count", lambda: cpus)
    defaults = {"bf16": False, "fp16": False, "tf32": None, "optim": "adamw_torch_fused", "dataloader_num_workers": 0}
    defaults |= {"dataloader_pin_memory": True, "dataloader_prefetch_factor": None, "dataloader_persistent_workers": False}
    return SimpleNamespace(device=torch.device("cuda:0"), world_size=1, mixed_precision="no", **defaults | fields)


@pytest.fixture(autouse=True)
def tf32_as_before():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_an_h100_computes_in_bf16_with_prefetched_input(monkeypatch):
    training = on_cuda(monkeypatch)
    chosen = settle_hardware(training, given=set())
    assert chosen["bf16"] and chosen["tf32"] and chosen["dataloader_num_workers"] == 4 and chosen["device"] == "cuda:0"
    assert training.mixed_precision == "bf16" and training.dataloader_persistent_workers
    assert torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("flag", ["bf16", "fp16"])
def test_precision_that_was_given_stands(flag, monkeypatch):
    training = on_cuda(monkeypatch, **{flag: flag == "fp16"})
    settle_hardware(training, given={flag})
    assert training.bf16 is False and training.mixed_precision == "no"


def test_every_given_flag_stands(monkeypatch):
    training = on_cuda(monkeypatch, tf32=False, dataloader_num_workers=0, dataloader_pin_memory=False)
    settle_hardware(training, given={"tf32", "dataloader_num_workers", "dataloader_pin_memory"})
    assert training.tf32 is False and training.dataloader_num_workers == 0 and training.dataloader_pin_memory is False
    assert training.dataloader_prefetch_factor is None and not training.dataloader_persistent_workers  # torch wants workers


def test_an_older_chip_and_few_cores(monkeypatch):
    training = on_cuda(monkeypatch, capability=(7, 5), cpus=1)
    chosen = settle_hardware(training, given=set())
    assert not chosen["bf16"] and chosen["tf32"] is None and chosen["dataloader_num_workers"] == 0


def test_a_cpu_stays_in_float32_and_one_process(tmp_path, monkeypatch):
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    training = TrainingArguments(str(tmp_path), use_cpu=True)
    chosen = settle_hardware(training, given=set())
    assert int(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) < 1024  # kernels of one shape each fill memory
    assert chosen["device"] == "cpu" and not chosen["bf16"] and chosen["dataloader_pin_memory"] is False
    assert chosen["optim"] == "adamw_torch_fused" and chosen["dataloader_num_workers"] == 0
