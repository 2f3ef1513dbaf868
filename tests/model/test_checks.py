import re

import pytest
import torch

from hf_scratch.model.checks import allowed_positions, require_positive, require_width


def test_what_fits_passes():
    require_positive(heads=1, dim=7)
    require_width("x", torch.zeros(2, 3, 5), 5)
    assert allowed_positions(None, (2, 3, 5)) is None
    assert allowed_positions(torch.ones(2, 5), (2, 3, 5)).shape == (2, 1, 5)
    assert allowed_positions(torch.ones(2, 5), (2, 7, 3, 5)).shape == (2, 1, 1, 5)
    assert allowed_positions(torch.ones(5).bool(), (2, 7, 3, 5)).dtype == torch.bool


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: require_positive(dim=3, heads=0), "heads is 0, but it must be at least 1; pass how many are wanted"),
        (
            lambda: require_width("x", torch.zeros(2, 3, 7), 5),
            "x has shape (2, 3, 7), but this block takes (batch, length, 5)",
        ),
        (
            lambda: allowed_positions(torch.ones(2, 3), (2, 3, 5)),
            "does not fit scores of shape (2, 3, 5); pass one flag a key, shape (2, 5)",
        ),
        (lambda: allowed_positions(-torch.ones(2, 5), (2, 3, 5)), "pass `mask == 0` for an additive mask"),
    ],
)
def test_what_does_not_fit_raises_with_the_remedy(check, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check()
