import contextlib
import errno
import itertools
import json
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, modeling_utils

from hf_scratch.errors import UserError
from hf_scratch.training import checkpoints, disk
from hf_scratch.training.checkpoints import point, what_is_missing
from hf_scratch.training.resume import find_checkpoint
from tests.parallel_worker import MODELS, SIZES, make_rows, make_trainer


def tiny_trainer(folder, **changes):
    config_class, model_class = MODELS["scratch"]
    torch.manual_seed(0)
    changes = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2} | changes
    return make_trainer(model_class(config_class(**SIZES)), folder, make_rows(53), 12, **changes)


def test_checkpoints_are_whole_and_known_by_name(tmp_path):
    trainer = tiny_trainer(
        tmp_path,
        eval_strategy="steps",
        eval_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="checksum",
        save_total_limit=1,
    )
    values = iter([1.0, 3.0, 2.0])  # the second evaluation is the best
    trainer.compute_metrics = lambda _: {"checksum": next(values)}
    trainer.train()
    folders = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert folders == ["checkpoint-4", "checkpoint-6"]  # the best and the last, though only one was to be kept
    assert os.readlink(tmp_path / "best") == "checkpoint-4" and os.readlink(tmp_path / "last") == "checkpoint-6"
    for folder in folders:
        assert what_is_missing(tmp_path / folder) is None
        state = json.loads((tmp_path / folder / "trainer_state.json").read_text())
        assert state["best_model_checkpoint"] == str(tmp_path / "checkpoint-4")
    assert not (tmp_path / "unfinished").exists() and not list(tmp_path.rglob("training_args.bin"))


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_ends_with_the_newest_whole_checkpoint_in_its_place(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path)
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda *args: full() if trainer.state.global_step == 4 else save(*args))
    with pytest.raises(UserError, match=r"checkpoint-4 could not be written .*No space left.*checkpoint-2 is whole"):
        trainer.train()
    assert [path.name for path in tmp_path.glob("*")] and not (tmp_path / "unfinished").exists()
    assert find_checkpoint(str(tmp_path), "last") == str(tmp_path / "checkpoint-2")


def test_a_file_that_the_system_does_not_let_grow(tmp_path):
    """The same from libraries in Rust and C++, which raise what they like."""
    trainer = tiny_trainer(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(UserError, match=r"checkpoint-2 could not be written .*no checkpoint is whole yet"):
            trainer.train()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob("checkpoint-*")) and not (tmp_path / "unfinished").exists()


def model_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def finished(tmp_path):
    """A trainer whose folder holds an earlier model, and the files of that one."""
    trainer = tiny_trainer(tmp_path)
    trainer.save_model()
    files = model_files(tmp_path)
    for weight in trainer.model.parameters():
        weight.data += 1
    return trainer, tmp_path, files


class Killed(BaseException):
    """What nobody catches, as nobody catches SIGKILL."""


@pytest.mark.parametrize("when", ["writing", 0, 3, -1, None])
def test_a_kill_in_the_last_save_leaves_the_old_model_or_the_new_one(finished, monkeypatch, when):
    trainer, folder, old = finished
    replace, count, stroke = Path.replace, itertools.count(), len(old) - 1 if when == -1 else when  # the weights come last

    def killed(*_, **__):
        raise Killed

    def killed_at(path, target):
        return killed() if next(count) == stroke else replace(path, target)

    with monkeypatch.context() as patch:
        if when == "writing":
            patch.setattr(modeling_utils, "safe_save_file", killed)
        patch.setattr(Path, "replace", killed_at)
        with contextlib.nullcontext() if when is None else pytest.raises(Killed):
            trainer.save_model()
    left = model_files(folder)
    assert {name for name in left if left[name] != old[name]} == ({"model.safetensors"} if when is None else set())
    AutoModelForSequenceClassification.from_pretrained(folder)

    trainer.save_model()  # as whoever goes on does
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[name], weight) for name, weight in trainer.model.state_dict().items())
    assert not (folder / "unfinished").exists()


def test_a_full_disk_in_the_last_save_is_explained_and_leaves_the_old_model(finished, monkeypatch):
    trainer, folder, old = finished
    monkeypatch.setattr(modeling_utils, "safe_save_file", full)
    with pytest.raises(UserError, match=r"model.safetensors could not be written .*make room"):
        trainer.save_model()
    assert model_files(folder) == old and not (folder / "unfinished").exists()


def test_results_are_added_to_and_never_half_written(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path)
    trainer.save_metrics("train", {"train_loss": 0.5})
    trainer.save_metrics("eval", {"eval_loss": 0.7})
    assert json.loads((tmp_path / "all_results.json").read_text()) == {"train_loss": 0.5, "eval_loss": 0.7}
    assert json.loads((tmp_path / "eval_results.json").read_text()) == {"eval_loss": 0.7}
    before = model_files(tmp_path)
    monkeypatch.setattr(disk, "synchronize", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.save_metrics("eval", {"eval_loss": 0.1})
    assert before.items() <= model_files(tmp_path).items()


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    tiny_trainer(folder, max_steps=4).train()
    return folder


@pytest.mark.parametrize(
    ("name", "flaw"),
    [
        ("optimizer.pt", "optimizer.pt has 100 of"),
        ("model.safetensors", "model.safetensors has 100 of"),
        ("trainer_state.json", "trainer_state.json or files.json is cut off or damaged"),
        ("files.json", "trainer_state.json or files.json is cut off or damaged"),
        ("rng_state.pth", "rng_state.pth has 100 of"),
    ],
)
def test_a_truncated_checkpoint_is_passed_over_and_named(two_checkpoints, tmp_path, name, flaw):
    folder = tmp_path / "run"
    shutil.copytree(two_checkpoints, folder, symlinks=True)
    with open(folder / "checkpoint-4" / name, "r+b") as file:
        file.truncate(100)
    said = []
    assert find_checkpoint(str(folder), "last", said.append) == str(folder / "checkpoint-2")
    assert flaw in said[0] and "going on from" in said[0]
    with pytest.raises(UserError, match=r"no whole checkpoint in .*checkpoint-2 is whole: --resume_from_checkpoint last"):
        find_checkpoint(str(folder), str(folder / "checkpoint-4"))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_a_damaged_file_of_its_old_length_is_named_and_so_is_another_checkpoint(two_checkpoints, tmp_path, name):
    folder = shutil.copytree(two_checkpoints, tmp_path / "run")
    file = folder / "checkpoint-4" / name
    file.write_bytes(b"\xff" * file.stat().st_size)
    with pytest.raises(UserError, match=r"checkpoint-4 cannot be read .*are damaged, go on from .*checkpoint-2 by"):
        tiny_trainer(folder).train(resume_from_checkpoint=str(folder / "checkpoint-4"))


def test_a_checkpoint_lacking_a_file_is_not_whole(two_checkpoints, tmp_path):
    shutil.copytree(two_checkpoints / "checkpoint-4", tmp_path / "checkpoint-4")
    (tmp_path / "checkpoint-4" / "scheduler.pt").unlink()
    assert what_is_missing(tmp_path / "checkpoint-4") == "scheduler.pt has gone"


def test_a_checkpoint_written_twice_is_the_second(tmp_path):
    for content in ("first", "second"):
        (tmp_path / checkpoints.ASIDE / "checkpoint-1").mkdir(parents=True)
        (tmp_path / checkpoints.ASIDE / "checkpoint-1" / "file").write_text(content)
        checkpoints.move(tmp_path / checkpoints.ASIDE / "checkpoint-1", tmp_path / "checkpoint-1")
        shutil.rmtree(tmp_path / checkpoints.ASIDE)
    assert (tmp_path / "checkpoint-1" / "file").read_text() == "second"


def test_links_are_renewed(tmp_path):
    for best, last in ((None, "checkpoint-1"), ("x/checkpoint-1", "checkpoint-2")):
        point(tmp_path, best, last)
    assert os.readlink(tmp_path / "best") == "checkpoint-1" and os.readlink(tmp_path / "last") == "checkpoint-2"


def test_what_is_loaded_to_a_numbered_cpu_is_loaded(tmp_path):
    torch.save(torch.arange(7), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", map_location=torch.device("cpu", 0), weights_only=True)
    assert loaded.tolist() == list(range(7)) and loaded.device == torch.device("cpu")
