import copy

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from hf_scratch import ScratchConfig, ScratchForMaskedLM
from hf_scratch.training.muon import MuonAdamW, orthogonalize, parameter_groups


@pytest.mark.parametrize(("rows", "columns"), [(7, 13), (13, 7), (11, 11)])
def test_the_singular_values_come_near_one(rows, columns):
    matrices = torch.randn(3, rows, columns, generator=torch.Generator().manual_seed(0))
    U, S, V = torch.linalg.svd(matrices, full_matrices=False)
    near = orthogonalize(matrices).float()
    assert near.shape == matrices.shape
    values = torch.linalg.svdvals(near)
    assert (values[S > 0.1 * S.max()] > 0.6).all() and (values < 1.3).all()
    assert ((U.mT @ near @ V.mT).diagonal(dim1=-2, dim2=-1) > 0.3).all()  # along the same singular vectors


def steps(optimizer_of, count=5):
    """Train a small network some steps; its weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(7, 13), nn.Tanh(), nn.Linear(13, 13), nn.Tanh(), nn.Linear(13, 5))
    optimizer = optimizer_of(network)
    x, y = torch.randn(17, 7), torch.randn(17, 5)
    for _ in range(count):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(x), y).backward()
        optimizer.step()
    return network, optimizer


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has its own Muon from 2.9 on")
def test_matrices_are_stepped_as_by_torchs_own_muon_and_the_rest_as_by_adamw():
    def ours(network):
        matrices = [p for p in network.parameters() if p.ndim == 2]
        vectors = [p for p in network.parameters() if p.ndim == 1]
        muon = {"params": matrices, "lr": 0.02, "weight_decay": 0.1, "muon": True}
        return MuonAdamW([muon, {"params": vectors, "lr": 1e-3, "weight_decay": 0.01, "muon": False}])

    class Both:
        """The two optimizers of torch."""

        def __init__(self, network):
            matrices = [p for p in network.parameters() if p.ndim == 2]
            vectors = [p for p in network.parameters() if p.ndim == 1]
            muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1, adjust_lr_fn="original")
            self.all = muon, torch.optim.AdamW(vectors, lr=1e-3, weight_decay=0.01)

        def zero_grad(self):
            for optimizer in self.all:
                optimizer.zero_grad()

        def step(self):
            for optimizer in self.all:
                optimizer.step()

    start = steps(ours, 0)[0].parameters()
    for before, network, expected in zip(start, steps(ours)[0].parameters(), steps(Both)[0].parameters(), strict=True):
        error = (network - expected).norm() / (expected - before).norm()
        assert error < (0.1 if network.ndim == 2 else 0.03)  # the iteration runs in bfloat16


def groups_of(network):
    return [
        {"params": [p for p in network.parameters() if p.ndim == d], "lr": 0.01, "weight_decay": 0.1, "muon": d == 2}
        for d in (1, 2)
    ]


def test_a_saved_state_goes_on_as_if_never_stopped():
    def optimizer_of(network):
        return MuonAdamW(groups_of(network))

    unbroken, _ = steps(optimizer_of, 6)
    stopped, optimizer = steps(optimizer_of, 3)
    again = copy.deepcopy(stopped)
    restored = MuonAdamW(groups_of(again))
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    get_scheduler("constant", restored)  # schedulers write the rates into the groups, which both halves share
    torch.manual_seed(0)
    nn.Sequential(nn.Linear(7, 13), nn.Tanh(), nn.Linear(13, 13), nn.Tanh(), nn.Linear(13, 5))
    x, y = torch.randn(17, 7), torch.randn(17, 5)
    for _ in range(3):
        restored.zero_grad()
        nn.functional.mse_loss(again(x), y).backward()
        restored.step()
    for ours, theirs in zip(again.parameters(), unbroken.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_rate_set_in_the_groups_reaches_both():
    network, optimizer = steps(lambda network: MuonAdamW(groups_of(network)), 1)
    before = [p.detach().clone() for p in network.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    optimizer.step()
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(old, new)


def test_muon_gets_the_encoders_matrices_and_adamw_all_the_rest():
    sizes = {"vocab_size": 31, "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 17}
    model = ScratchForMaskedLM(ScratchConfig(**sizes))
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, [model.scratch], {"mlm_head.dense.weight"}, lr=1e-3, muon_lr=0.02, weight_decay=0.1)
    named = {tuple(sorted(names[id(p)] for p in group["params"])): group for group in groups}
    assert sum(len(group["params"]) for group in groups) == len(names)
    (muon,) = (names for names, group in named.items() if group["muon"])
    assert len(muon) == 2 * 6 and all(".attention." in name or ".feed_forward." in name for name in muon)
    assert {group["lr"] for group in groups if not group["muon"]} == {1e-3}
    assert named[("mlm_head.dense.weight",)]["weight_decay"] == 0.1
