import torch

from hf_scratch.results import encoder_speed
from hf_scratch.results.encoder_speed import SIZES, build, time_encoders


def test_both_models_are_timed_on_every_row(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", (1, 12, 3, 17))
    rows = list(time_encoders("cpu", repeats=3, rows=[("tiny", 2, 7, "float32"), ("tiny", 3, 5, "float64")]))
    steps = [(row.shape, row.step) for row in rows]
    assert steps == [(shape, step) for shape in ((2, 7), (3, 5)) for step in ("forward", "forward+backward")]
    assert all(row.bert > 0 and row.scratch > 0 and row.ratio > 0 for row in rows)


def test_the_ratio_is_berts_time_over_ours(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", (1, 12, 3, 17))
    monkeypatch.setattr(encoder_speed, "timed", lambda run, model, given: 3.0 if "Bert" in type(model).__name__ else 2.0)
    (row, _) = time_encoders("cpu", repeats=2, rows=[("tiny", 2, 7, "float32")])
    assert (row.bert, row.scratch, row.ratio) == (3000.0, 2000.0, 1.5)


def test_what_is_timed_computes_the_same(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", (2, 12, 3, 17))
    models = build("tiny", "float32", "cpu")
    ids = torch.randint(1, 1000, (3, 7), generator=torch.Generator().manual_seed(0))
    bert, scratch = (models[name].eval()(ids).last_hidden_state for name in ("bert", "scratch"))
    torch.testing.assert_close(scratch, bert, rtol=0, atol=1e-5)
