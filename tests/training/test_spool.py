import numpy as np
import pytest
import torch

from hf_scratch.training import distributed, spool
from hf_scratch.training.distributed import Answers
from hf_scratch.training.spool import OnDisk, Spool, loaded, room


@pytest.mark.parametrize("most", [0, 1000, 2**28])
def test_answers_that_do_not_fit_go_to_disk_and_come_back_the_same(most, monkeypatch):
    monkeypatch.setattr(spool, "MOST_BYTES", most)
    monkeypatch.setattr(distributed, "RECENT", 3)
    generator, answers, expected = torch.Generator().manual_seed(0), Answers(), []
    sizes = [7, 7, 7, 7, 7, 2]
    for batch, size in enumerate(sizes):
        rows = torch.arange(7 * batch, 7 * batch + size)
        logits = torch.randn(size, 3 + batch % 2, 5, generator=generator)
        answers.add(rows, torch.tensor(float(batch)), (logits, logits[:, 0]), rows + 1)
        expected.append(torch.nn.functional.pad(logits, (0, 0, 0, 1 - batch % 2), value=-100))
    loss, (first, second), labels = answers.gather(37)
    assert loss == pytest.approx(sum(batch * size for batch, size in enumerate(sizes)) / 37)
    assert np.array_equal(first, torch.cat(expected).numpy()) and np.array_equal(second, first[:, 0])
    assert np.array_equal(labels, np.arange(1, 38))
    assert isinstance(first, np.memmap) == (most < first.nbytes) and (answers.spool.file is not None) == (most < 2**28)


def test_what_is_kept_is_read_back_from_memory_or_disk(monkeypatch):
    monkeypatch.setattr(spool, "MOST_BYTES", 100)
    kept, arrays = Spool(), [np.arange(count, dtype=np.float32).reshape(-1, 3) for count in (21, 15, 3)]
    places = [kept.keep(array) for array in arrays]
    assert [isinstance(place, OnDisk) for place in places] == [False, True, True]
    for place, array in zip(places, arrays, strict=True):
        assert np.array_equal(loaded(place), array) and place.shape == array.shape
    assert isinstance(room((5, 5), np.dtype("float32")), np.ndarray)
    assert isinstance(room((5, 6), np.dtype("float32")), np.memmap)
