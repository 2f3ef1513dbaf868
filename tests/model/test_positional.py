import math

import pytest
import torch

from hf_scratch import PositionalEncoding, RotaryPositionEmbedding
from hf_scratch.model.positional import rotate_by_position, sinusoids
from tests import reference
from tests.reference import B, D, H, T, random


@pytest.mark.parametrize("dim", [1, 2, D, 16])
def test_sinusoids_equal_the_loops(dim):
    table = sinusoids(torch.arange(T), dim)
    assert table.shape == (T, dim)
    for position in range(T):
        for feature in range(dim):
            wanted = reference.sinusoid(position, feature, dim)
            assert table[position, feature].item() == pytest.approx(wanted, abs=1e-12)


def test_the_table_is_added_and_nothing_is_learned():
    ours, x = PositionalEncoding(D, max_len=T), random(B, T, D)
    torch.testing.assert_close(ours(x) - x, sinusoids(torch.arange(T), D).expand(B, T, D), rtol=0, atol=1e-6)
    assert list(ours.parameters()) == []
    assert ours.state_dict() == {}


def test_sequences_longer_than_the_table_go_on():
    x = random(B, T, D)
    torch.testing.assert_close(PositionalEncoding(D, max_len=2)(x), PositionalEncoding(D)(x), rtol=0, atol=1e-6)


def test_given_positions_are_used():
    ours, x, positions = PositionalEncoding(D), random(1, T, D), torch.tensor([[4, 3, 2, 1, 0]])
    torch.testing.assert_close(ours(x, positions), ours(x.flip(1)).flip(1), rtol=0, atol=1e-6)
    far = ours(x[:, :1], torch.tensor([[100_003]])) - x[:, :1]
    assert far[0, 0, 0].item() == pytest.approx(math.sin(100_003), abs=1e-9)


def test_it_adds_in_the_dtype_of_the_sequence():
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert PositionalEncoding(D)(torch.zeros(B, T, D, dtype=dtype)).dtype is dtype


def test_a_rotation_turns_each_pair_by_its_angle():
    K = 6
    x, rotary = random(B, H, T, K), RotaryPositionEmbedding(K).double()
    turned = rotate_by_position(x, *rotary(x, torch.arange(T).unsqueeze(0)))
    for m in range(T):
        for i in range(K // 2):
            angle = m * 10000 ** (-2 * i / K)
            first, second = x[:, :, m, i], x[:, :, m, i + K // 2]
            wanted = first * math.cos(angle) - second * math.sin(angle)
            torch.testing.assert_close(turned[:, :, m, i], wanted, rtol=0, atol=1e-6)
            wanted = first * math.sin(angle) + second * math.cos(angle)
            torch.testing.assert_close(turned[:, :, m, i + K // 2], wanted, rtol=0, atol=1e-6)


def test_rotated_scores_depend_on_the_distance_only():
    query, key, rotary = random(B, H, T, 6), random(B, H, T, 6, seed=5), RotaryPositionEmbedding(6).double()

    def scores(offset):
        rotation = rotary(query, torch.arange(offset, offset + T).unsqueeze(0))
        return rotate_by_position(query, *rotation) @ rotate_by_position(key, *rotation).mT

    torch.testing.assert_close(scores(0), scores(977), rtol=0, atol=1e-9)
    assert not torch.allclose(scores(0), query @ key.mT)


def test_what_it_refuses():
    with pytest.raises(ValueError, match="max_len is 0, but it must be at least 1"):
        PositionalEncoding(D, 0)
    with pytest.raises(ValueError, match=r"x has shape \(3, 5, 7\), but this block takes \(batch, length, 11\)"):
        PositionalEncoding(D)(torch.randn(B, T, 7))
    with pytest.raises(ValueError, match=r"head_size \(7\) must be even .* try 6 or 8"):
        RotaryPositionEmbedding(7)
