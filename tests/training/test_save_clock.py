from types import SimpleNamespace

from transformers import TrainerControl

from hf_scratch.training.save_clock import EVERY, STEPS, SaveClock, drop_checkpoints

ARGS = SimpleNamespace(world_size=1)


def test_a_checkpoint_is_asked_for_when_the_last_one_is_long_ago():
    seconds, saved = 0.0, []
    clock = SaveClock(lambda: seconds)
    clock.on_train_begin(ARGS, None, None)
    for step in range(1, 1001):
        seconds += 1.7
        control, state = TrainerControl(), SimpleNamespace(global_step=step)
        clock.on_step_end(ARGS, state, control)
        if control.should_save or step == 300:  # once on request
            saved.append(step)
            clock.on_save(ARGS, state, control)
    assert saved == [180, 300, 480, 660, 840] and 180 * 1.7 >= EVERY > (180 - STEPS) * 1.7


def test_of_a_run_at_its_end_the_checkpoints_go_and_nothing_else(tmp_path):
    for name in ("checkpoint-7", "checkpoint-11", "checkpoint-of-mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "last").symlink_to("checkpoint-11")
    (tmp_path / "model.safetensors").write_bytes(b"")
    drop_checkpoints(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-of-mine", "model.safetensors"]
