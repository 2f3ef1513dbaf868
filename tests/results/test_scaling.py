import torch

from hf_scratch.results.scaling import LONGEST, collate, make_rows, measure


def test_lengths_are_those_of_reviews_and_the_rows_the_same_everywhere():
    rows = make_rows(5000)
    lengths = torch.tensor([len(ids) for ids in rows["input_ids"]]).float()
    assert 120 < lengths.median() < 165 and lengths.max() <= LONGEST
    assert rows[0] == make_rows(5000)[0]


def test_a_batch_is_padded():
    rows = [{"input_ids": [7] * n, "attention_mask": [1] * n, "labels": n, "row": n} for n in (2, 5)]
    batch = collate(rows)
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1] * 5] and batch["row"].tolist() == [2, 5]


def test_speed_is_counted_from_the_steps_that_were_timed():
    speed = measure(tokens=600, steps=2, repeats=3, small=True, bf16=False)
    assert speed.processes == 1 and speed.steps > 0
    assert 300 < speed.tokens / speed.steps <= 600  # real tokens of a batch
