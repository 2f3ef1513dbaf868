import json
from statistics import mean, stdev

import pytest

from hf_scratch.errors import Stopped, UserError
from hf_scratch.results import plots, seeds
from hf_scratch.results.report import write_report
from hf_scratch.training.arguments import parse_arguments
from tests.runs import make_run


@pytest.fixture
def several(tmp_path, monkeypatch):
    """Run seeds 5, 6, ... of a command whose runs are made up; `ends` says how each of them ends."""
    monkeypatch.setattr(plots, "png", lambda *_: None)
    trained = []

    def start(ends: dict, *flags):
        def run(one):
            seed = one.training.seed
            trained.append(seed)
            end = ends.get(seed)
            if isinstance(end, Exception) and "collapsed" not in str(end):
                raise end
            make_run(tmp_path / "run" / f"seed-{seed}", seed=seed, results={"x": 1}, collapsed=end and str(end))
            if end:
                raise end

        argv = ["--task_name", "sst2", "--model_type", "scratch", "--output_dir", str(tmp_path / "run"), "--use_cpu"]
        argv += ["--seed", "5", "--seeds", "3", *flags]
        seeds.run_seeds(parse_arguments(argv), argv, run, parse_arguments)

    start.folder, start.trained = tmp_path / "run", trained
    return start


def read(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def test_the_sum_is_the_mean_with_its_spread_and_an_interval(several, capsys):
    several({})
    assert several.trained == [5, 6, 7]
    each = [read(several.folder / f"seed-{seed}", "all_results") for seed in (5, 6, 7)]
    values = [results["test_accuracy"] for results in each]
    summed = read(several.folder, "all_results")
    assert summed["test_accuracy"] == pytest.approx(mean(values)) and summed["test_accuracy_std"] == pytest.approx(
        stdev(values)
    )
    assert (summed["seeds"], summed["seeds_collapsed"], summed["seeds_failed"]) == (3, 0, 0)
    assert summed["test_accuracy_low"] < summed["test_accuracy_high"] and summed["train_tokens_per_second"] == 2113.7
    assert summed["baseline_majority_accuracy_low"] == each[0]["baseline_majority_accuracy_low"]
    assert "in the mean of 3 seeds" in capsys.readouterr().out


def test_the_report_shows_every_seed(several):
    several({6: UserError("collapsed by step 200")})
    page = write_report(str(several.folder)).read_text("utf-8")
    assert "<h2>Seeds</h2>" in page and page.count("<tr><td>") == 3 and "collapsed by step 200" in page
    assert "1 of them collapsed" in page and "Confusions" not in page


def test_a_seed_that_fails_does_not_lose_the_others(several, capsys):
    with pytest.raises(UserError, match="seed 6 failed: no memory; --resume_from_checkpoint last tries"):
        several({6: RuntimeError("no memory")})
    summed, record = read(several.folder, "all_results"), read(several.folder, "run")
    assert several.trained == [5, 6, 7] and (summed["seeds"], summed["seeds_failed"]) == (2, 1)
    assert [entry["error"] for entry in record["seeds"]] == [None, "no memory", None]
    assert "Traceback" in capsys.readouterr().out


def test_going_on_trains_only_what_is_not_finished(several):
    with pytest.raises(UserError, match="seed 6 failed"):
        several({6: RuntimeError("no memory")})
    del several.trained[:]
    several({}, "--resume_from_checkpoint", "last")
    assert several.trained == [6] and read(several.folder, "all_results")["seeds"] == 3


def test_a_run_of_seeds_is_not_overwritten_unasked(several):
    several({})
    with pytest.raises(UserError, match="holds a run"):
        several({})
    several({}, "--overwrite_output_dir")
    assert several.trained == [5, 6, 7] * 2


def test_who_stops_one_stops_all(several):
    with pytest.raises(Stopped, match=r"saved\n.*resume_from_checkpoint last") as stopped:
        several({6: Stopped("saved\n... --seeds 1 --seed 6")})
    assert several.trained == [5, 6] and "--seeds 1" not in str(stopped.value)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--glue_submission", "all.zip"], "--glue_submission holds the answers of one run"),
        (["--resume_from_checkpoint", "runs/x/checkpoint-3"], "checkpoint-3 is of one seed.*give last"),
        (["--push_to_hub"], "push every seed to one name"),
    ],
)
def test_what_is_for_one_run_is_refused(several, flags, message):
    with pytest.raises(UserError, match=message):
        several({}, *flags)
    assert several.trained == [] and not several.folder.exists()


def test_all_failing_is_a_failure(several):
    with pytest.raises(UserError, match="every seed failed: no rows; mend it"):
        several(dict.fromkeys((5, 6, 7), UserError("no rows")))


def test_one_of_several_processes_does_not_go_on_alone():
    def fail():
        raise RuntimeError("only here")

    with pytest.raises(RuntimeError, match="only here"):
        seeds.attempt(fail, "nowhere", alone=False)


@pytest.mark.parametrize(
    ("flags", "message"), [(["--seeds", "0"], "--seeds is 0"), (["--push_to_hub"], "push every seed to one name")]
)
def test_refused(several, flags, message):
    with pytest.raises(UserError, match=message):
        several({}, *flags)


def test_a_recipe_alone_is_a_command_line_too():
    assert seeds.one_seed(["mine.yaml"], 3, "x")[:2] == ["--recipe", "mine.yaml"]
