"""The made-up reviews and the measurement itself; how fast it is, is no matter of a test."""

import numpy as np
import pandas as pd
import pytest

from hf_scratch.data.arguments import DataArguments
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.data.tokenizing_speed import Timing, make_file, time_tokenizing
from tests.conftest import make_reviews


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece([text for text, _ in make_reviews(211)], vocab_size=251, max_length=10_000)


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_every_step_from_file_to_tokens_is_timed(tokenizer, tmp_path, end):
    make_file(tmp_path / f"rows.{end}", 307, tokenizer)
    args = DataArguments(max_seq_length=37)
    timing = time_tokenizing(tmp_path / f"rows.{end}", tokenizer, args, str(tmp_path / "cache"))
    assert timing.rows == 307 and 307 * 30 < timing.tokens <= 307 * 37
    steps = ["read the file", "find texts and labels", "carve parts", "examine", "fingerprint", "tokenize"]
    assert list(timing.seconds) == steps
    assert min(timing.seconds.values()) > 0 and len(timing.alone) == 2 and timing.peak > 10**8


def test_speeds_are_of_all_steps_together():
    timing = Timing(rows=100, alone=[30.0, 50.0], seconds={"a": 1.0, "b": 4.0}, tokens=0, peak=0)
    assert timing.speed == 20 and timing.ratio == 0.5


def test_reviews_have_the_lengths_of_yelp_and_all_stars(tokenizer, tmp_path):
    make_file(tmp_path / "rows.parquet", 5003, tokenizer, seed=7)
    table = pd.read_parquet(tmp_path / "rows.parquet")
    words = np.minimum(table.text.str.count(" ") + 1 + 2, 512)  # and [CLS] and [SEP]
    assert words.median() == pytest.approx(117, rel=0.1) and words.mean() == pytest.approx(153, rel=0.1)
    assert table.label.value_counts().between(900, 1100).all() and table.label.nunique() == 5
