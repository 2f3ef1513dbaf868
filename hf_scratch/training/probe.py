"""What the encoder is good for while it is pre-trained: a copy is fine-tuned on a task at intervals, by run_glue_style.py."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from transformers import TrainerCallback

from ..data.tasks import TASKS
from ..errors import UserError
from .launch import environment_alone

FLAGS = "--num_train_epochs 2 --max_train_samples 2000 --max_eval_samples 1000 --learning_rate 3e-4 --warmup_steps 0.1"
ALWAYS = ["--do_train", "--do_eval", "--baselines", "never", "--save_strategy", "no", "--disable_tqdm", "true"]


class Probe(TrainerCallback):
    """Fine-tunes a copy on a task at equal shares of the training, and keeps the curve in probes.json.

    Args:
        task: of the table, or a file with rows of text and label.
        every: share of the training between two probes.
        flags: more flags for run_glue_style.py, in one string.
        tokenizer: is saved beside the copy.
        budget: returns the run's `Budget` or None; its clock stands meanwhile.
        log: takes a dict of numbers, as `Trainer.log` does.
    """

    def __init__(self, task: str, every: float, flags: str, tokenizer, budget, log):
        self.task, self.every, self.flags = task, every, shlex.split(FLAGS) + shlex.split(flags)
        self.tokenizer, self.budget, self.log = tokenizer, budget, log

    def on_train_begin(self, args, state, control, **kwargs):
        """Where a run goes on, past probes are not repeated."""
        self.next = self.every * (1 + int(self.share(state) / self.every))

    def share(self, state) -> float:
        """Of the training that is done."""
        budget = self.budget()
        return state.global_step / state.max_steps if budget is None else budget.elapsed / budget.seconds

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Probe when it is time; the last one is left to the end of training."""
        if self.share(state) >= self.next - 1e-9 and self.next < 1 - 1e-9:
            self.next += self.every
            self.run(args.output_dir, state, model)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """What has come of it."""
        self.run(args.output_dir, state, model)

    def run(self, folder: str, state, model):
        """Save a copy, fine-tune it in a process of its own, keep its numbers and drop it."""
        if self.budget() is not None:
            self.budget().pause()
        if not state.is_world_process_zero:
            return
        place = Path(folder, "probe")
        model.save_pretrained(place / "encoder")
        self.tokenizer.save_pretrained(place / "encoder")
        command = [sys.executable, "-m", "run_glue_style", "--model_name_or_path", str(place / "encoder"), *self.data_flags()]
        command += ["--output_dir", str(place / "run"), *ALWAYS, *self.flags]
        # One process, whatever launched the run.
        child = subprocess.run(command, env=environment_alone(), capture_output=True, text=True)
        if child.returncode:
            raise UserError(
                f"--probe {self.task} ended with code {child.returncode}, but a probe must be a task or file that "
                "run_glue_style.py trains on; mend --probe or --probe_flags, or leave both away. It said: "
                f"{(child.stderr or child.stdout)[-1500:].strip()}"
            )
        results = json.loads((place / "run" / "eval_results.json").read_text(encoding="utf-8"))
        shutil.rmtree(place)
        measured = {key.replace("eval_", "probe_", 1): value for key, value in results.items() if is_measure(key)}
        path = Path(folder, "probes.json")
        curve = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        curve.append({"step": state.global_step, "share": round(self.share(state), 4), **measured})
        path.write_text(json.dumps(curve, indent=2) + "\n", encoding="utf-8")
        self.log(measured)

    def data_flags(self) -> list[str]:
        return ["--task_name" if self.task in TASKS else "--train_file", self.task]


def is_measure(key: str) -> bool:
    """Of the results of an evaluation: a metric, neither its interval nor a time."""
    ends = ("_low", "_high", "_runtime", "_per_second", "_samples")
    return key.startswith("eval_") and not key.startswith("eval_class_") and not key.endswith(ends)
