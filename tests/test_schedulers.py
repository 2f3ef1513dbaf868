"""Every learning-rate schedule of the installed transformers, through the script, for random and for pre-trained weights."""

import json
import math
from pathlib import Path

import pytest
from transformers.trainer_utils import SchedulerType

import run_glue_style

PEAK, WARMUP, EPOCHS, ACCUMULATION, BATCH_SIZE, ROWS = 0.003, 3, 3, 4, 17, 168
UPDATES = EPOCHS * math.ceil(math.ceil(ROWS / BATCH_SIZE) / ACCUMULATION)  # the last batch and the last group are incomplete
NEEDS = {
    "cosine_with_min_lr": ["--lr_scheduler_kwargs", '{"min_lr": 0.0001}'],
    "cosine_warmup_with_min_lr": ["--lr_scheduler_kwargs", '{"min_lr": 0.0001, "warmup_lr_rate": 0.01}'],
    "warmup_stable_decay": ["--lr_scheduler_kwargs", '{"num_decay_steps": 3}'],
    "reduce_lr_on_plateau": ["--eval_strategy", "epoch"],
    "greedy": ["--eval_strategy", "epoch"],
}
MEASURED = {"reduce_lr_on_plateau", "greedy"}  # these follow the loss, not a plan
FIRST = {"constant": PEAK, "cosine_warmup_with_min_lr": 0.01 * PEAK}


def fraction_of_peak(schedule: str, step: int) -> float:
    """The closed form of the plans that have one without options, at update `step`, counted from 0."""
    if schedule == "constant":
        return 1.0
    if step < WARMUP:
        return step / WARMUP
    progress = (step - WARMUP) / (UPDATES - WARMUP)
    return {
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        "polynomial": (1 - progress) * (1 - 1e-7 / PEAK) + 1e-7 / PEAK,
        "constant_with_warmup": 1.0,
        "inverse_sqrt": math.sqrt(WARMUP / step),
    }[schedule]


def learning_rates(flags, folder: Path) -> list[float]:
    assert run_glue_style.main(flags) == 0
    log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry["learning_rate"] for entry in log if "learning_rate" in entry]


@pytest.mark.parametrize("model", ["scratch", "bert"])
@pytest.mark.parametrize("schedule", list(SchedulerType), ids=lambda schedule: schedule.value)
def test_every_schedule_trains_as_planned(schedule, model, request, tmp_path, monkeypatch):
    monkeypatch.setattr(run_glue_style, "certify", lambda *_: {"weights": 0, "texts": 0})
    flags = [
        *request.getfixturevalue(f"{model}_flags"),
        *("--lr_scheduler_type", schedule.value, "--learning_rate", str(PEAK), "--warmup_steps", str(WARMUP)),
        *("--num_train_epochs", str(EPOCHS), "--gradient_accumulation_steps", str(ACCUMULATION), "--logging_steps", "1"),
        *("--baselines", "never", *NEEDS.get(schedule.value, [])),
    ]
    used = learning_rates(flags, tmp_path / "run")
    assert len(used) == UPDATES
    if schedule.value in MEASURED:
        assert used[0] == PEAK and all(rate > 0 for rate in used)
        return
    assert used[0] == pytest.approx(FIRST.get(schedule.value, 0.0))
    assert max(used) == pytest.approx(PEAK)
    if schedule.value in ("constant", "linear", "cosine", "polynomial", "constant_with_warmup", "inverse_sqrt"):
        assert used == pytest.approx([PEAK * fraction_of_peak(schedule.value, step) for step in range(UPDATES)])
    else:
        assert used.index(max(used)) in (WARMUP - 1, WARMUP) and used[-1] < PEAK
