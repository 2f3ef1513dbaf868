import dataclasses

import numpy as np
import pytest
import torch

from hf_scratch.errors import UserError
from hf_scratch.results import training_speed
from hf_scratch.results.training_speed import OURS, STOCK, Comparison, compare, judged, measure, yelp_like


def test_lengths_are_those_of_yelp():
    lengths = np.array([len(ids) for ids in yelp_like(5003)["input_ids"][:]])
    assert abs(np.median(lengths) - 126) < 6 and lengths.max() == 512 and 150 < lengths.mean() < 170


def test_the_scratch_encoder_with_berts_weights_has_berts_loss(tiny):
    stock, ours = training_speed.losses("mini", "cpu", yelp_like(67))
    assert ours == pytest.approx(stock, abs=1e-5)


@pytest.mark.slow
def test_training_and_evaluation_are_timed(tiny, monkeypatch, capsys):
    few = dataclasses.replace(OURS, rows=7)
    table = {
        "default": Comparison("training", few, (dataclasses.replace(STOCK, rows=7),), 6),
        "budget": Comparison("tokens", dataclasses.replace(OURS, rows=0, tokens=131), (), 0.4),
        "evaluation": Comparison("evaluation", dataclasses.replace(few, evaluates=True), (), 5),
    }
    monkeypatch.setitem(training_speed.COMPARISONS, "cpu", table)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training_speed, "yelp_like", lambda count: yelp_like(131))
    found = compare(None, 1, 1000)
    assert found["rows"].keys() == table.keys() and found["loss_ours"] == pytest.approx(found["loss_stock"], abs=1e-5)
    row = found["rows"]["default"]
    assert row["ratio"] == pytest.approx(row["ours"] / row["stock"], rel=0.02) and row["chosen"].startswith(
        "padding-free: only"
    )
    assert "| training | " in capsys.readouterr().out


def test_the_fastest_stock_setting_counts():
    slow, fast, ours = (training_speed.Speed(examples, 10 * examples, 0.1, "") for examples in (2.0, 4.0, 12.0))
    grouped = dataclasses.replace(STOCK, grouped=True)
    row = judged(Comparison("", OURS, (STOCK, grouped), 4), {STOCK: slow, grouped: fast, OURS: ours})
    assert row["stock"] == 4.0 and row["ratio"] == 3.0


def test_a_limit_of_seconds_and_an_unknown_row(tiny, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(training_speed, "yelp_like", lambda count: yelp_like(67))
    assert compare(["grouped"], 1, 0.0)["rows"] == {}
    assert "not measured: 0 s are over" in capsys.readouterr().out
    with pytest.raises(UserError, match="--rows holds 'gruoped', but the rows on cpu are default, grouped"):
        compare(["gruoped"], 1, 10)


def test_useful_work_counts_what_it_should(tiny):
    """Of one layer: 4 D² and 2 D F weights, pooler and classifier beside; no embeddings."""
    speed = measure(dataclasses.replace(OURS, rows=7, model="bert"), yelp_like(67), "mini", "cpu", 1)
    lengths = np.array([len(ids) for ids in yelp_like(67)["input_ids"][:]])
    D, F = 12, 17
    weights = 4 * (D * D + D) + (D * F + F) + (F * D + D) + 4 * D + (D * D + D) + (5 * D + 5)
    operations = 6 * weights * lengths.mean() + 12 * D * (lengths**2).mean()
    assert speed.useful == pytest.approx(speed.examples * operations / 989e12)
