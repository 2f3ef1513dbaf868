from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerControl, TrainingArguments

from hf_scratch.errors import UserError
from hf_scratch.training import budget as clocks
from hf_scratch.training.budget import Budget, budget_scheduler, read_budget


@pytest.mark.parametrize(("text", "seconds"), [("20m", 1200), ("1h30m", 5400), ("90s", 90), ("0.5h", 1800), (" 2M ", 120)])
def test_times(text, seconds):
    assert read_budget(text) == seconds


@pytest.mark.parametrize("text", ["20", "m", "20 minutes", "1m x", "0m", "-1m", ""])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UserError, match=r"--budget is .*; try 20m"):
        read_budget(text)


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self):
        return self.now


ARGS = SimpleNamespace(world_size=1)


def train(seconds: float, durations, schedule=None, evaluate_at=(), budget=None, clock=None):
    """Steps of these durations until the budget stops; the learning rate of each, and the clock at the end."""
    clock = clock or Clock()
    budget = budget or Budget(seconds, clock)
    args = TrainingArguments("unused", use_cpu=True, **(schedule or {"lr_scheduler_type": "linear"}))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = budget_scheduler(args, optimizer, lambda: budget)
    control, rates = TrainerControl(), []
    budget.on_train_begin(ARGS, None, control)
    for step, duration in enumerate(durations):
        budget.on_step_begin(ARGS, None, control)
        rates.append(optimizer.param_groups[0]["lr"])
        clock.now += duration
        optimizer.step()
        budget.on_optimizer_step(ARGS, None, control)
        scheduler.step()
        control.should_evaluate = step in evaluate_at
        budget.on_step_end(ARGS, None, control)
        if control.should_evaluate:
            clock.now += 1000.0  # does not count
        if control.should_training_stop:
            break
    return rates, scheduler.get_last_lr()[0], clock.now, budget


def test_training_ends_in_time_with_the_rate_at_its_end():
    rates, last, now, _ = train(60.0, [0.5] * 1000)
    assert 59.4 <= now <= 60.0 and len(rates) == 120
    assert rates[0] == 1.0 and rates == sorted(rates, reverse=True)
    assert rates[60] == pytest.approx(0.5, abs=0.02) and last == pytest.approx(0.0, abs=1e-3)


def test_the_rate_follows_the_time_whatever_the_steps_take():
    """A first step that compiles, which the schedule does not see, then fast ones, then slow ones."""
    rates, last, now, _ = train(72.0, [12.0] + [0.1] * 240 + [1.0] * 1000)
    assert rates[1] == 1.0 and rates[240] == pytest.approx(1 - 24 / 60, abs=0.01)
    assert 70.5 <= now <= 72.0 and last == pytest.approx(0.0, abs=0.02)


def test_a_slow_first_step_ends_nothing():
    rates, _, now, _ = train(60.0, [39.0] + [0.1] * 1000)
    assert len(rates) > 200 and 59.8 <= now <= 60.0


def test_warm_up_and_cosine_are_shares_of_the_time():
    schedule = {"lr_scheduler_type": "cosine", "warmup_steps": 0.1}
    rates, last, _, _ = train(100.0, [1.0] * 1000, schedule)
    assert rates[0] == 0.0 and rates[6] == pytest.approx(0.6, abs=0.02) and max(rates) == pytest.approx(1.0, abs=1e-4)
    assert rates[54] == pytest.approx(0.5, abs=0.02) and last == pytest.approx(0.0, abs=1e-3)


def test_evaluation_does_not_count():
    rates, _, now, _ = train(60.0, [0.5] * 1000, evaluate_at=(7, 31))
    assert len(rates) == 120 and now == pytest.approx(2060.0, abs=1)


@pytest.mark.parametrize(
    ("takes", "at"), [(0.1, (15.4, 30.1, 45.5)), (2.0, (15.4, 30.1, 45.5)), (4.0, (15.4, 45.5)), (9.0, (15.4,))]
)
def test_held_out_rows_are_scored_at_shares_of_the_time_as_long_as_that_takes_a_tenth_of_it(takes, at):
    clock, asked = Clock(), []
    budget = Budget(60.0, clock, evaluate_every=0.25)
    decide = budget.on_step_end

    def on_step_end(args, state, control):
        decide(args, state, control)
        if control.should_evaluate:
            asked.append(budget.elapsed)
            clock.now += takes
            budget.on_evaluate(args, state, control)

    budget.on_step_end = on_step_end
    train(60.0, [0.7] * 1000, budget=budget, clock=clock)
    assert asked == [pytest.approx(moment, abs=0.7) for moment in at]
    assert Budget.from_state(budget.state()).evaluate_every == 0.25


def test_a_resumed_run_has_the_time_that_was_left():
    _, _, _, budget = train(60.0, [0.5] * 40)
    restored = Budget.from_state(budget.state())
    clock = restored.clock = Clock()
    clock.now = 5000.0
    rates, last, now, _ = train(60.0, [0.5] * 1000, budget=restored, clock=clock)
    assert now - 5000 == pytest.approx(40.0, abs=0.6) and len(rates) in (79, 80, 81) and last == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"warmup_steps": 100}, "--warmup_steps is 100, but with --budget it is a share; try 0.05"),
        (
            {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps"},
            "--lr_scheduler_type reduce_lr_on_plateau cannot follow the clock",
        ),
    ],
)
def test_schedules_that_cannot_follow_the_clock_are_refused(schedule, message):
    args = TrainingArguments("unused", use_cpu=True, **schedule)
    with pytest.raises(UserError, match=message):
        budget_scheduler(args, torch.optim.SGD([torch.zeros(1)], lr=1.0), None)


def test_several_processes_agree_on_the_clock_without_waiting_for_their_devices(monkeypatch):
    asked = []

    def broadcast(value, source, group):
        asked.append((value.device.type, source, group))
        value.fill_(7.0)

    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    monkeypatch.setattr(clocks, "side_channel", lambda: "beside")
    assert clocks.agreed(5.0, SimpleNamespace(world_size=2, device=torch.device("cuda"))) == 7.0
    assert asked == [("cpu", 0, "beside")]
    assert clocks.agreed(5.0, SimpleNamespace(world_size=1)) == 5.0
