import json

import numpy as np
import pandas as pd
import pytest

from hf_scratch.errors import UserError
from hf_scratch.results.run import read_run
from tests.runs import NAMES, make_run


def test_answers_come_back_by_id(tmp_path):
    run = read_run(make_run(tmp_path / "run"))
    table = pd.read_parquet(tmp_path / "run" / "predictions.parquet").dropna(subset="label")
    names = NAMES["classification"]
    assert [names[id_] for id_ in run.gold] == table.label.tolist() and len(run.gold) == 60
    assert (run.probabilities.argmax(-1) == run.predicted).all() and run.names == names


def test_several_labels_come_back_as_flags_and_numbers_as_numbers(tmp_path):
    run = read_run(make_run(tmp_path / "flags", "multi_label"))
    assert run.gold.shape == (61, 3) and (run.gold.sum(1) == 2).all()
    run = read_run(make_run(tmp_path / "numbers", "regression"))
    assert run.gold.dtype == np.float64 and (run.probabilities[:, 0] == run.predicted).all()


def test_the_systems_stand_with_their_values(tmp_path):
    run = read_run(make_run(tmp_path / "run"))
    (_, model, values), (name, key, baseline) = run.systems
    assert (model, name, key) == ("model", "majority class", "majority") and run.headline == "accuracy"
    assert values == {"accuracy": (0.71, pytest.approx(0.66), 0.76)} and baseline["accuracy"][0] == 0.37


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_an_old_record_is_completed_from_the_predictions(tmp_path, kind):
    folder = make_run(tmp_path / "run", kind)
    (folder / "run.json").write_text("{}")
    run = read_run(folder)
    assert (run.kind, run.part, run.level, run.name) == (kind, "test", 0.95, "run")
    assert run.names == NAMES.get(kind, []) and len(run.gold) in (60, 61)


def test_what_is_of_another_kind_is_left_out_and_named(tmp_path):
    folder = make_run(tmp_path / "run")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"labels": 7, "seconds": "long"}))
    run = read_run(folder)
    assert "labels" not in run.record and "run.json: seconds is of another kind" in run.missing


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        read_run(tmp_path)
