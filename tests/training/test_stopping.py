import json
import os
import signal

import pytest
from transformers import TrainerCallback

from hf_scratch.training.stopping import StopOnRequest
from tests.training.test_checkpoints import tiny_trainer


class Ask(TrainerCallback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, number: int):
        self.step, self.number = step, number

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [3, 4])
def test_a_signal_ends_the_step_and_leaves_a_checkpoint_to_go_on_from(step, number, tmp_path):
    """Also where none would be saved: not in this rhythm, not with its optimizer, not better than the best."""
    trainer = tiny_trainer(
        tmp_path,
        max_steps=10,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="best",
        save_only_model=True,
        metric_for_best_model="checksum",
    )
    values = iter([2.0, 1.0])
    trainer.compute_metrics = lambda _: {"checksum": next(values)}
    stop = StopOnRequest()
    before = signal.getsignal(number)
    for callback in (stop, Ask(step, number)):
        trainer.add_callback(callback)
    trainer.train()
    assert stop.stopped_at == step == trainer.state.global_step
    assert signal.getsignal(number) is before
    assert (tmp_path / f"checkpoint-{step}" / "optimizer.pt").exists()
    state = json.loads((tmp_path / f"checkpoint-{step}" / "trainer_state.json").read_text())
    assert [entry["step"] for entry in state["log_history"] if "eval_loss" in entry] == [2, 4][: step // 2]
    assert state["best_metric"] == 2.0


def test_who_presses_the_key_twice_waits_for_nothing():
    stop = StopOnRequest()
    stop.remember(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        stop.remember(signal.SIGINT, None)


def test_without_a_signal_nothing_stops(tmp_path):
    trainer, stop = tiny_trainer(tmp_path), StopOnRequest()
    trainer.add_callback(stop)
    trainer.train()
    assert stop.stopped_at is None and trainer.state.global_step == 6
