from types import SimpleNamespace

import pytest
import torch
from torch.distributed.fsdp import FSDPModule
from transformers import BertConfig, BertForSequenceClassification

from hf_scratch import ScratchConfig, ScratchForConditionalGeneration, ScratchForSequenceClassification
from hf_scratch.errors import UserError
from hf_scratch.training.sharding import check_sharding, layer_classes, shard_by_layers, whole_copy
from tests.parallel_worker import SIZES


@pytest.mark.parametrize(("fsdp", "environment"), [(True, ""), (None, "true")])
@pytest.mark.parametrize(("processes", "device"), [(1, "cuda:0"), (2, "cpu")])
def test_shards_without_devices_to_hold_them_are_refused(fsdp, environment, processes, device, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", environment)
    training = SimpleNamespace(fsdp=fsdp, world_size=processes, device=torch.device(device))
    asked = "--fsdp" if fsdp else "accelerate's configuration"
    with pytest.raises(UserError, match=rf"{asked} asks for .*several GPUs only, and here {processes} process.* on {device};"):
        check_sharding(training)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_sharding(SimpleNamespace(fsdp=None, world_size=processes, device=torch.device(device)))
    check_sharding(SimpleNamespace(fsdp=True, world_size=2, device=torch.device("cuda:0")))


@pytest.mark.parametrize(
    ("model_class", "config_class", "expected"),
    [
        (BertForSequenceClassification, BertConfig, ["BertLayer"]),
        (ScratchForSequenceClassification, ScratchConfig, ["TransformerEncoderBlock"]),
        (ScratchForConditionalGeneration, ScratchConfig, ["TransformerDecoderBlock", "TransformerEncoderBlock"]),
    ],
)
def test_the_layers_are_shards_and_the_embeddings_are_not(model_class, config_class, expected):
    assert layer_classes(model_class(config_class(**SIZES))) == expected


@pytest.mark.parametrize(("named", "expected"), [(None, ["BertLayer"]), (["BertAttention"], ["BertAttention"])])
def test_classes_that_the_user_names_stay(named, expected):
    plugin = SimpleNamespace(transformer_cls_names_to_wrap=named)
    model = BertForSequenceClassification(BertConfig(**SIZES))
    shard_by_layers(SimpleNamespace(model=model, accelerator=SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin))))
    assert plugin.transformer_cls_names_to_wrap == expected
    shard_by_layers(SimpleNamespace(model=model, accelerator=SimpleNamespace(state=SimpleNamespace())))


def test_a_copy_of_a_model_in_shards_is_whole_and_plain():
    """torch makes the class of a sharded model as here."""
    model = ScratchForSequenceClassification(ScratchConfig(**SIZES)).eval()
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.__class__ = type("FSDPScratch", (FSDPModule, ScratchForSequenceClassification), {})
    state = torch.get_rng_state()
    whole = whole_copy(model, expected)
    assert type(whole) is ScratchForSequenceClassification and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in whole.state_dict().items())
