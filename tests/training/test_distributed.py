import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import RandomSampler

from hf_scratch.training.distributed import (
    FILLER,
    Answers,
    BatchesInTurn,
    NumberedRows,
    SeededByEpoch,
    SharedBatches,
    destroy_process_groups,
    in_order,
    side_channel,
)
from tests import parallel_worker


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 97, 99, 101])
def test_every_row_is_trained_on_once_an_epoch_and_in_the_same_global_batch(size, world_size):
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0)).tolist()
    shares = [list(SharedBatches(order, size, 12 // world_size, rank, world_size)) for rank in range(world_size)]
    assert {len(share) for share in shares} == {len(SharedBatches(order, size, 12 // world_size, 0, world_size))}
    together = [[row for batch in batches for row in batch if row >= 0] for batches in zip(*shares, strict=True)]
    assert together == [order[start : start + 12] for start in range(0, size, 12)]
    for batches in zip(*shares, strict=True):
        real = [len([row for row in batch if row >= 0]) for batch in batches]
        assert max(real) - min(real) <= 1 and all(batches)  # nobody waits for another, and nobody has nothing to compute


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 97, 99, 101])
def test_evaluation_has_the_same_batches_on_any_number_of_processes(size, world_size):
    whole = np.split(np.random.default_rng(0).permutation(size), range(8, size, 8))
    dealt = [list(BatchesInTurn(whole, rank, world_size)) for rank in range(world_size)]
    assert {len(batches) for batches in dealt} == {len(BatchesInTurn(whole, 0, world_size))}
    in_turn = [batch for turn in zip(*dealt, strict=True) for batch in turn if batch[0] >= 0]
    assert in_turn == [batch.tolist() for batch in whole]


def test_a_row_knows_its_position_and_a_filler_has_none():
    rows = NumberedRows([{"text": "first"}, {"text": "second"}])
    assert len(rows) == 2
    assert rows[1] == {"text": "second", "row": 1}
    assert rows[~1] == {"text": "second", "row": FILLER}


@pytest.mark.parametrize("form", [None, "numpy"])
def test_rows_of_a_data_set_come_with_whole_arrays(form):
    rows = NumberedRows(Dataset.from_dict({"ids": [[3, 5], [7]], "label": [1, 0]}).with_format(form))
    first, filler = rows.__getitems__([1, ~0])
    assert isinstance(first["ids"], np.ndarray) and first["ids"].tolist() == [7] and filler["ids"].tolist() == [3, 5]
    assert (first["label"], first["row"], filler["label"], filler["row"]) == (0, 1, 1, FILLER)


def test_the_order_follows_from_seed_and_epoch_alone():
    def orders(seed, epochs):
        batches = SharedBatches(SeededByEpoch(RandomSampler(range(97)), seed), 97, 97)
        for epoch in epochs:
            torch.rand(1)  # what else draws numbers does not matter
            batches.set_epoch(epoch)
            yield next(iter(batches))

    first, second = orders(7, (0, 1))
    assert first != second
    assert list(orders(7, (1,))) == [second] == list(orders(8, (0,)))


def test_answers_come_back_in_the_order_of_the_rows_and_the_loss_is_their_mean():
    answers = Answers()
    for rows, loss in (([4, 1], 0.5), ([3, 0, 2], 1.0), ([FILLER], 100.0)):
        logits = torch.tensor(rows)[:, None].expand(-1, len(rows)).float()
        answers.add(torch.tensor(rows), torch.tensor(loss), (logits, torch.tensor(rows)), torch.tensor(rows))
    loss, (logits, second), labels = answers.gather(5)
    assert loss == (3 * 1.0 + 2 * 0.5) / 5
    assert labels.tolist() == second.tolist() == [0, 1, 2, 3, 4]
    assert logits[:, 0].tolist() == [0, 1, 2, 3, 4] and logits[4].tolist() == [4, 4, -100]
    assert logits[3].tolist() == [3, 3, 3]


@pytest.mark.parametrize("rows", [[[0, 1]], [[0, 1], [2, 3]], [[0, 1], [1, 2]]], ids=["missing", "too many", "twice"])
def test_answers_that_are_not_one_to_each_row_are_no_answers(rows):
    answers = Answers()
    for batch in rows:
        answers.add(torch.tensor(batch), None, torch.zeros(len(batch), 2), None)
    with pytest.raises(RuntimeError, match="answers came back to 3 rows, not one to each"):
        answers.gather(3)


def test_arrays_of_equal_width_are_joined_as_they_are():
    parts, places = [np.arange(6.0).reshape(3, 2), np.arange(4.0).reshape(2, 2)], [np.array([4, 0, 2]), np.array([1, 3])]
    assert np.array_equal(in_order(parts, places)[[4, 0, 2, 1, 3]], np.concatenate(parts))


def threads_of_gloo() -> int:
    return [name.read_text() for name in Path("/proc/self/task").glob("*/comm")].count("pt_gloo_runloop\n")


@pytest.mark.skipif(sys.platform != "linux", reason="the names of threads are read as Linux tells them")
def test_no_thread_outlives_the_groups_that_a_trainer_and_the_side_channel_held():
    """One that does ends the process with SIGABRT, where it drops a tensor while Python ends."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 5))
    model.trainer = [model]  # a cycle, as every Trainer is
    assert side_channel() and threads_of_gloo()
    del model
    destroy_process_groups()
    assert not threads_of_gloo() and not torch.distributed.is_initialized()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return parallel_worker.run_all(tmp_path_factory.mktemp("alone"), 1)


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_several_processes_have_the_numbers_of_one(world_size, alone, tmp_path):
    """50 steps over 5 epochs whose last batches are incomplete; evaluation of 1, 97, 99 and 101 rows."""
    assert parallel_worker.start(tmp_path, world_size) == [0] * world_size
    results = json.loads((tmp_path / "results.json").read_text())
    assert results.pop("world_size") == world_size
    for message in results.pop("no number"):
        assert f"the loss is nan at step 3 on process {world_size - 1}, in the batch of the rows" in message
    stops = results.pop("stops")
    for name, ends in stops.items():
        assert [end["stopped_at"] for end in ends] == [7 if name == "stopped" else None] * world_size
        assert len({str(end["weights"]) for end in ends}) == 1
    assert stops["resumed"][0] == stops["unbroken"][0] != stops["stopped"][0]
    assert results.keys() == alone.keys()
    for case, together in results.items():
        expected = alone[case]
        assert len(together["losses"]) == 50 and together["epochs"] == expected["epochs"]
        assert together["losses"] == pytest.approx(expected["losses"], abs=1e-5)
        assert together["gradients"] == pytest.approx(expected["gradients"], abs=1e-5)
        assert together["train_loss"] == pytest.approx(expected["train_loss"], abs=1e-5)
        assert together["evaluated"] == {str(size): metrics for size, metrics in expected["evaluated"].items()}
        assert [metrics["eval_rows"] for metrics in together["evaluated"].values()] == [1, 97, 99, 101]
