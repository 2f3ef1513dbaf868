import os
from concurrent.futures import Future

import pytest

from hf_scratch.errors import UserError
from hf_scratch.results import transfer
from hf_scratch.results.transfer import Record, TransferRun
from hf_scratch.training import launch
from hf_scratch.training.arguments import RECIPES, recipe_values


def test_every_recipe_is_of_a_task_and_scores_no_checkpoint_on_the_way():
    names = sorted(path.stem for path in (RECIPES / "transfer").glob("*.yaml"))
    assert names == ["cola", "mrpc", "sst2", "sst5", "yelp", "yelp_1000"]
    for name in names:
        values = recipe_values(str(RECIPES / "transfer" / f"{name}.yaml"), {"model_name_or_path"})
        assert values["eval_strategy"] == "no" and (values.get("task_name") or values["dataset_name"])


def test_seeds_come_one_after_the_other_and_yelps_rows_serve_both(tmp_path):
    for name in ("mrpc", "yelp"):
        (tmp_path / name).mkdir()
        for part in ("train", "validation"):
            (tmp_path / name / f"{part}.parquet").touch()
    runs = transfer.runs_of("bert-base-cased", str(tmp_path), ["yelp_1000", "mrpc"], 2, ["--r_drop", "1"])
    assert [(run.task, run.seed) for run in runs] == [("yelp_1000", 0), ("mrpc", 0), ("yelp_1000", 1), ("mrpc", 1)]
    assert str(tmp_path / "yelp" / "train.parquet") in runs[0].flags and runs[0].flags[-2:] == ("--r_drop", "1")


@pytest.mark.parametrize("changed", ["encoder/model.safetensors", "mrpc/train.csv"])
def test_other_weights_or_rows_under_the_same_names_are_told(tmp_path, changed):
    for name in ("encoder/config.json", "encoder/model.safetensors", "mrpc/train.csv", "mrpc/validation.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")

    def read():
        return [run.read for run in transfer.runs_of(str(tmp_path / "encoder"), str(tmp_path), ["mrpc"], 2, [])]

    before = read()
    (tmp_path / "encoder" / "run.json").write_text("no part of it")
    assert read() == before and before[0] == before[1]
    (tmp_path / changed).write_text("[]")  # as long
    assert read()[0] != before[0]


def test_scores_are_of_the_same_flags_only(tmp_path):
    record = Record(str(tmp_path / "table"), "mine")
    runs = [TransferRun("mrpc", seed, ("--r_drop", "1")) for seed in (0, 1, 2)]
    for run, score in zip(runs[:2], (0.75, 0.7), strict=True):
        record.keep(run, {"score": score, "seconds": 3.0})
    again = Record(str(tmp_path / "table"), "mine")
    assert again.scores(runs) == {"mrpc": ("accuracy", [0.75, 0.7])}
    assert again.score_of(TransferRun("mrpc", 0, ())) is None
    assert again.score_of(TransferRun("mrpc", 0, ("--r_drop", "1"), "other weights")) is None
    assert transfer.markdown(again.scores(runs)).splitlines()[-1] == "| mrpc | accuracy | 72.5 | 75.0 70.0 |"


@pytest.mark.parametrize(
    ("gpus", "cores", "asked", "expected"),
    [
        (0, 64, None, ([""], 1)),
        (2, 32, None, (["0", "1"], 8)),
        (2, 8, None, (["0", "1"], 2)),
        (1, 1, None, (["0"], 1)),
        (1, 2, 5, (["0"], 5)),
    ],
)
def test_runs_go_side_by_side_as_the_machine_allows(monkeypatch, gpus, cores, asked, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert transfer.workers_of(asked) == expected


def test_a_process_takes_its_device(monkeypatch):
    class Places:
        def get(self):
            return "1"

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv(launch.STARTER, "0")
    monkeypatch.setattr(launch, "end_with_launcher", lambda: None)
    transfer.begin(Places())
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1" and os.environ[launch.STARTER] == str(os.getppid())


def test_a_process_that_the_system_ends_is_told(tmp_path, monkeypatch):
    class Gone:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def submit(self, *_):
            future = Future()
            future.set_exception(transfer.BrokenProcessPool())
            return future

    monkeypatch.setattr(transfer, "ProcessPoolExecutor", Gone)
    monkeypatch.setattr(transfer, "workers_of", lambda processes: ([""], 3))
    with pytest.raises(UserError, match="no memory left, with 3 at a time; give a smaller --processes"):
        transfer.take([TransferRun("mrpc", 0, ())], Record(str(tmp_path / "table"), "mine"), None, print)
