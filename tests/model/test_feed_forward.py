import pytest
import torch
from torch import nn

from hf_scratch import FeedForward
from tests import reference
from tests.reference import B, D, F, T, assert_same, random, randomize

ACTIVATIONS = {"gelu": nn.GELU(), "relu": nn.ReLU(), "silu": nn.SiLU(), "gelu_pytorch_tanh": nn.GELU("tanh")}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("hidden_act", ACTIVATIONS)
def test_it_equals_pytorch(hidden_act, bias):
    ours, x = randomize(FeedForward(D, F, hidden_act, bias=bias)), random(B, T, D)
    theirs = nn.Sequential(nn.Linear(D, F, bias), ACTIVATIONS[hidden_act], nn.Linear(F, D, bias))
    weights = reference.prefixed("0", ours.widen) | reference.prefixed("2", ours.narrow)
    assert_same(ours(x), torch.func.functional_call(theirs, weights, x), [x, *ours.parameters()])


def test_it_equals_the_loops():
    ours, x = randomize(FeedForward(D, F)), random(T, D)
    torch.testing.assert_close(ours(x), reference.feed_forward(ours, x.detach()), rtol=0, atol=1e-12)


def test_it_is_four_times_as_wide_by_default_and_knows_no_neighbours():
    ours, x = randomize(FeedForward(D)), random(B, T, D)
    assert ours.widen.out_features == 4 * D
    torch.testing.assert_close(ours(x)[:, 2:3], ours(x[:, 2:3]))


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"hidden_act 'gleu' is unknown; choose one of .*gelu"):
        FeedForward(D, F, "gleu")
    with pytest.raises(ValueError, match="hidden_dim is 0, but it must be at least 1"):
        FeedForward(D, 0)
