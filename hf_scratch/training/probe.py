"""What the encoder is good for while it is pre-trained: a copy is fine-tuned on a task at intervals, by run_glue_style.py."""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import TrainerCallback

from ..data.tasks import TASKS
from ..errors import UserError
from .disk import replace_json
from .launch import environment_alone

CURVE = "probes.json"
FLAGS = "--num_train_epochs 2 --max_train_samples 2000 --max_eval_samples 1000 --learning_rate 3e-4 --warmup_steps 0.1"
ALWAYS = ["--do_train", "--do_eval", "--baselines", "never", "--save_strategy", "no", "--disable_tqdm", "true"]


class Probe(TrainerCallback):
    """Fine-tunes a copy on a task at equal shares of the training, and keeps the curve in probes.json.

    Args:
        task: of the table, or a file with rows of text and label.
        every: share of the training between two probes.
        flags: more flags for run_glue_style.py, in one string.
        tokenizer: is saved beside the copy.
        trainer: has the methods `budget`, whose clock stands meanwhile, `asked_to_stop`, which cuts a probe off, and `log`.
    """

    def __init__(self, task: str, every: float, flags: str, tokenizer, trainer):
        self.task, self.every, self.flags = task, every, shlex.split(FLAGS) + shlex.split(flags)
        self.tokenizer, self.trainer = tokenizer, trainer

    def check(self, model):
        """Let run_glue_style.py look at task and flags before anything is trained or written; raises as `run` does."""
        with tempfile.TemporaryDirectory() as place:
            self.fine_tune(Path(place), model, ("--dry_run",))

    def on_train_begin(self, args, state, control, **kwargs):
        """Where a run goes on, past probes are not repeated, and one that was cut off is made up for."""
        done = max((point["share"] for point in curve_before(args.output_dir, state.global_step + 1)), default=0.0)
        self.next = self.after(done)

    def after(self, share: float) -> float:
        """When the next probe is due; shares are kept with four digits."""
        return self.every * (1 + int((share + 1e-4) / self.every))

    def share(self, state) -> float:
        """Of the training that is done."""
        budget = self.trainer.budget()
        return state.global_step / state.max_steps if budget is None else budget.elapsed / budget.seconds

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Probe when it is time; the last one is left to the end of training."""
        if self.share(state) >= self.next - 1e-9 and self.next < 1 - 1e-9:
            self.next = self.after(self.share(state))
            self.run(args.output_dir, state, model)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """What has come of it."""
        self.run(args.output_dir, state, model)

    def run(self, folder: str, state, model):
        """Save a copy, fine-tune it, keep its numbers and drop it; nothing of it where the run is to stop."""
        if self.trainer.budget() is not None:
            self.trainer.budget().pause()
        if not state.is_world_process_zero or self.trainer.asked_to_stop():
            return
        place = Path(folder, "probe")
        shutil.rmtree(place, ignore_errors=True)  # of a run that was killed
        try:
            if not self.fine_tune(place, model):
                return
            results = json.loads((place / "run" / "eval_results.json").read_text(encoding="utf-8"))
        finally:
            shutil.rmtree(place, ignore_errors=True)
        measured = {key.replace("eval_", "probe_", 1): value for key, value in results.items() if is_measure(key)}
        point = {"step": state.global_step, "share": round(self.share(state), 4), **measured}
        replace_json(Path(folder, CURVE), [*curve_before(folder, state.global_step), point])
        self.trainer.log(measured)

    def fine_tune(self, place: Path, model, more: tuple[str, ...] = ()) -> bool:
        """Train a copy in one process, whatever launched this one.

        Args:
            place: folder for the copy and its run.
            model: to copy.
            more: flags.

        Returns:
            Whether it came to its end; if not, the run was asked to stop.

        Raises:
            UserError: if it failed.
        """
        model.save_pretrained(place / "encoder")
        self.tokenizer.save_pretrained(place / "encoder")
        flags = ["--task_name" if self.task in TASKS else "--train_file", self.task]
        flags += ["--model_name_or_path", str(place / "encoder"), "--output_dir", str(place / "run")]
        command = [sys.executable, "-m", "run_glue_style", *flags, *ALWAYS, *self.flags, *more]
        code, words = run_until(command, self.trainer.asked_to_stop)
        if code and not self.trainer.asked_to_stop():
            raise UserError(
                f"--probe {self.task} ended with code {code}, but a probe must be a task or file that run_glue_style.py trains "
                f"on; mend --probe or --probe_flags, or leave both away. It said: {words[-1500:].strip()}"
            )
        return not code


def run_until(command: list[str], asked_to_stop) -> tuple[int, str]:
    """Run a command of no launch to its end, or to a second after this process was asked to stop.

    Returns:
        Its exit code, and its errors, or what it said if there are none.
    """
    with subprocess.Popen(command, env=environment_alone(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while True:
            try:
                said, errors = child.communicate(timeout=1)
                return child.returncode, errors or said
            except subprocess.TimeoutExpired:
                if asked_to_stop():
                    child.kill()


def curve_before(folder: str, step: int) -> list[dict]:
    """The points of probes.json below a step: a run that goes on from an earlier one measures the others again."""
    path = Path(folder, CURVE)
    curve = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return [point for point in curve if point["step"] < step]


def is_measure(key: str) -> bool:
    """Of the results of an evaluation: a metric, neither its interval nor a time."""
    ends = ("_low", "_high", "_runtime", "_per_second", "_samples")
    return key.startswith("eval_") and not key.startswith("eval_class_") and not key.endswith(ends)
