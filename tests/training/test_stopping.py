import json
import os
import pty
import signal
import sys
from pathlib import Path

import pytest
from transformers import TrainerCallback

from hf_scratch.training.stopping import SIGNALS, StopOnRequest
from tests.training.test_checkpoints import tiny_trainer


class Ask(TrainerCallback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, number: int):
        self.step, self.number = step, number

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step - 1:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
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


def test_where_nothing_is_saved_a_signal_ends_training_and_leaves_nothing(tmp_path):
    trainer = tiny_trainer(tmp_path, max_steps=10, save_strategy="no")
    stop = StopOnRequest(saves=False)
    for callback in (stop, Ask(3, signal.SIGTERM)):
        trainer.add_callback(callback)
    trainer.train()
    assert stop.stopped_at == 3 == trainer.state.global_step and not list(tmp_path.glob("checkpoint-*"))


def test_training_that_fails_gives_signals_back(tmp_path):
    """In a notebook the process lives on, and Ctrl-C has to end what is run next."""
    trainer = tiny_trainer(tmp_path, save_strategy="no")
    trainer.compute_loss = lambda *args, **kwargs: 1 / 0
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), StopOnRequest() as stop:
        trainer.add_callback(stop)
        trainer.train()
    assert [signal.getsignal(number) for number in SIGNALS] == before


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_is_ignored_stays_ignored(number, tmp_path):
    """As in a background job, or under nohup."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        trainer, stop = tiny_trainer(tmp_path), StopOnRequest()
        for callback in (stop, Ask(3, number)):
            trainer.add_callback(callback)
        trainer.train()
        assert stop.stopped_at is None and trainer.state.global_step == 6
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


CLOSING = """
import sys
import time
from transformers import TrainerCallback
from hf_scratch.training.stopping import StopOnRequest
from tests.training.test_checkpoints import tiny_trainer

class Talk(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        print("step", state.global_step, flush=True)
        patience = time.monotonic() + 60
        while state.global_step == 2 and stop.signal is None and time.monotonic() < patience:  # until the terminal is closed
            pass

stop = StopOnRequest()
trainer = tiny_trainer(sys.argv[1], max_steps=6, save_strategy="no")
trainer.add_callback(stop)
trainer.add_callback(Talk())
trainer.train()
print("saved", flush=True)
sys.exit(75 if stop.stopped_at == 3 else 1)
"""


def test_a_terminal_that_is_closed_costs_nothing(tmp_path):
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(Path(__file__).parents[2])
        os.execv(sys.executable, [sys.executable, "-c", CLOSING, str(tmp_path / "run")])
    seen = b""
    while b"step 2" not in seen:
        seen += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 75
    assert (tmp_path / "run" / "checkpoint-3" / "optimizer.pt").exists()
