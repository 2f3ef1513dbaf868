"""`--dry_run`: a few measured steps, and what the whole run will take.

Time is measured on Trainer's own steps, on batches of its own sampler that cover all sizes, and fitted as

    seconds of an update = a + b · real tokens + c · computed tokens + d · Σ rows · length²,    a, b, c, d ≥ 0

of which the sum over all updates of an epoch is taken. Predictions are timed on whole batches; what follows them is done on few
rows, with answers drawn at random.
"""

import contextlib
import io
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate.data_loader import prepare_data_loader
from datasets import Dataset, DatasetDict
from scipy.optimize import nnls
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import PredictionOutput

from .folder import RECORD
from .token_batches import row_lengths

WARM_UP = 3  # updates; the first is the largest of all, for the memory
MEASURED = (12, 60)  # updates: at least, at most
SECONDS = 15.0  # of measured training, after which the fewest updates are enough
EVALUATED = 8  # batches
ROWS = 4000  # training rows, of which the report is made twice, once of half of them, if there are more
GOLDEN = (math.sqrt(5) - 1) / 2


def settle(training: TrainingArguments):
    """Have Trainer write, push and show nothing."""
    training.output_dir = tempfile.gettempdir()  # Trainer makes the folder that stands here
    training.push_to_hub, training.report_to, training.disable_tqdm = False, [], True


@dataclass
class Forecast:
    """What a run will take.

    Args:
        seconds: of each of its stages.
        facts: a line each.
        files: that it writes.
        peak_memory: in bytes.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    peak_memory: int = 0

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return sum(self.seconds.values())

    def say_what_else(self, seeds: int, compiles: bool):
        """Add what is not of one plain run: other seeds, and what a compiler would change."""
        if seeds > 1:
            self.facts["seeds"] = f"{seeds} runs like this one, one after the other: {clock(seeds * self.total)} in all"
        if compiles:
            self.facts["compilation"] = "its seconds, and what it spares afterwards, are not foretold"

    def page(self, folder: str) -> str:
        """A line a stage, a line a fact, and the files in `folder`."""
        lines = ["dry run: the whole run will take"]
        lines += [f"  {stage:<24}{clock(seconds):>12}" for stage, seconds in self.seconds.items() if seconds]
        lines += [
            f"  {'in all':<24}{clock(self.total):>12}  ({self.total:.1f} s)",
            f"  {'peak memory':<24}{self.peak_memory / 2**20:>9,.0f} MB",
            "",
        ]
        lines += [f"{name}: {fact}" for name, fact in self.facts.items()]
        return "\n".join([*lines, f"files in {folder}: {', '.join(self.files)}", "nothing was written"])


def clock(seconds: float) -> str:
    """'7 s', '3 min 20 s', '5 h 7 min'."""
    if seconds < 99.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


class StepClock(TrainerCallback):
    """When each update ended, and how long a checkpoint took; enough is when the fewest took long enough."""

    def __init__(self):
        self.ends: list[float] = []
        self.saving = 0.0

    def on_step_end(self, args, state, control, **kwargs):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        measured = len(self.ends) - WARM_UP
        enough = measured >= MEASURED[0] and self.ends[-1] - self.ends[WARM_UP - 1] > SECONDS
        if enough or state.global_step >= state.max_steps:
            control.should_training_stop = control.should_save = True

    def on_save(self, *args, **kwargs):
        self.saving = time.perf_counter() - self.ends[-1]


def work(update: list[list[int]], lengths: np.ndarray, padded_to: int | None) -> np.ndarray:
    """The regressors of an update: 1, real tokens, computed tokens, Σ rows · length², `(4,)`.

    Args:
        update: its batches, each a list of rows.
        lengths: in tokens of all rows, `(N,)`.
        padded_to: the length of every batch, if it is one for all.
    """
    of_rows = [lengths[[row if row >= 0 else ~row for row in batch]] for batch in update]
    longest = [padded_to or batch.max() for batch in of_rows]
    computed = [len(batch) * length for batch, length in zip(of_rows, longest, strict=True)]
    square = sum(tokens * length for tokens, length in zip(computed, longest, strict=True))
    return np.array([1, sum(batch.sum() for batch in of_rows), sum(computed), square], dtype=float)


def fit(work_done: np.ndarray, seconds: np.ndarray, work_to_do: np.ndarray) -> float:
    """Seconds that work will take, from the seconds that other work took.

    Args:
        work_done: `(M, 4)`.
        seconds: `(M,)`.
        work_to_do: `(N, 4)`.
    """
    scale = work_done.max(axis=0)
    # A step that the machine was busy with something else in counts no more than three times the median.
    seconds = np.minimum(seconds, 3 * np.median(seconds))
    rates, _ = nnls(work_done / scale, seconds)
    return float((work_to_do / scale @ rates).sum())


def spread(sizes: np.ndarray, count: int) -> np.ndarray:
    """Positions of `count` updates, whose sizes lie evenly among all sizes however early one stops; the largest ones first."""
    by_size = np.argsort(sizes, kind="stable")
    even = by_size[(len(sizes) * ((np.arange(1, count - WARM_UP + 1) * GOLDEN) % 1)).astype(int)]
    return np.concatenate([np.full(WARM_UP, by_size[-1]), even])


@dataclass(frozen=True)
class Measured:
    """A whole training, as a few of its updates foretell it.

    Args:
        seconds: of all updates.
        saving: seconds of one checkpoint.
        steps: updates.
        in_epoch: updates of an epoch.
        tokens: real ones.
        padding: share of the computed tokens.
        updates: that were measured.
    """

    seconds: float
    saving: float
    steps: int
    in_epoch: int
    tokens: float
    padding: float
    updates: int

    def __str__(self):
        return (
            f"{self.steps:,} steps in {self.steps / self.in_epoch:.3g} epochs, {self.tokens:,.0f} real tokens, "
            f"{self.tokens / self.seconds:,.0f} a second; {self.padding:.0%} of the batches is padding; "
            f"{self.updates} steps measured"
        )


def measure(trainer: Trainer, padded_to: int | None = None) -> Measured:
    """Train for a few updates.

    Args:
        trainer: that has not begun; its model is spoilt.
        padded_to: the length of every batch, if it is one for all.
    """
    args, loader = trainer.args, trainer.get_train_dataloader()
    lengths = row_lengths(trainer.train_dataset)
    batches, size = list(loader.batch_sampler), args.gradient_accumulation_steps
    updates = [batches[start : start + size] for start in range(0, len(batches), size)]
    whole = np.array([work(update, lengths, padded_to) for update in updates])
    steps = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * len(updates))
    epochs = steps / len(updates)
    chosen, ends = spread(whole[:, 2], WARM_UP + MEASURED[1]), StepClock()
    with few_steps(trainer, [batch for update in chosen for batch in updates[update]], len(chosen), loader):
        trainer.add_callback(ends)
        trainer.train()
        trainer.remove_callback(ends)
    took = np.diff(ends.ends)[WARM_UP - 1 :]
    seconds = fit(whole[chosen[WARM_UP : WARM_UP + len(took)]], took, whole) * epochs
    _, real, computed, _ = whole.sum(axis=0)
    return Measured(seconds, ends.saving, steps, len(updates), real * epochs, 1 - real / computed, len(took))


@contextlib.contextmanager
def few_steps(trainer: Trainer, batches: list[list[int]], steps: int, loader: DataLoader):
    """Within, the trainer trains on these batches and ends; it evaluates nothing."""
    few = DataLoader(loader.dataset, batch_sampler=batches, collate_fn=loader.collate_fn)
    few = prepare_data_loader(few, trainer.args.device, num_processes=1, process_index=0, put_on_device=True)
    changes = {"max_steps": steps, "eval_strategy": "no", "eval_on_start": False, "save_strategy": "no"}
    changes |= {"load_best_model_at_end": False}
    before = {name: getattr(trainer.args, name) for name in changes}
    trainer.get_train_dataloader = lambda: few
    try:
        for name, value in changes.items():
            setattr(trainer.args, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(trainer.args, name, value)
        del trainer.get_train_dataloader


def every(strategy: str, interval: float, steps: int, in_epoch: int) -> int:
    """How often something is done in `steps` steps that is done every `interval` steps and at the end, or every epoch."""
    if strategy == "no":
        return 0
    if strategy == "steps":
        return math.ceil(steps / (interval if interval >= 1 else math.ceil(interval * steps)))
    return math.ceil(steps / in_epoch)


def checkpoints(args: TrainingArguments, steps: int, in_epoch: int) -> int:
    """How many are written; of the best, not more than there are evaluations."""
    best = args.save_strategy == "best"
    strategy, interval = (args.eval_strategy, args.eval_steps) if best else (args.save_strategy, args.save_steps)
    return every(strategy, interval or args.logging_steps, steps, in_epoch)


def evaluations(args: TrainingArguments, steps: int, in_epoch: int) -> int:
    """How often the selecting part is evaluated in training."""
    return every(args.eval_strategy, args.eval_steps or args.logging_steps, steps, in_epoch) + bool(args.eval_on_start)


def learning_rates(trainer: Trainer, steps: int) -> str:
    """The first, the highest and the last rate, from the scheduler that Trainer makes."""
    if trainer.args.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy"):
        return f"{trainer.args.learning_rate:g} at first, then by what is measured"
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=trainer.args.learning_rate)
    trainer.lr_scheduler = None
    scheduler = trainer.create_scheduler(steps, optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    peak = int(np.argmax(rates))
    return f"{rates[0]:.3g} at step 1, {rates[peak]:.3g} at step {peak + 1:,}, {rates[-1]:.3g} at step {steps:,}"


def seconds_to_predict(trainer: Trainer, rows: Dataset) -> float:
    """Predict some whole batches of a part, evenly spread over it; the seconds that all of them will take."""
    rows = rows.remove_columns("label")
    batches = list(trainer.get_test_dataloader(rows).batch_sampler)
    chosen = [batches[index] for index in np.unique(np.linspace(0, len(batches) - 1, EVALUATED).astype(int))]
    few = rows.select(np.concatenate(chosen))
    trainer.predict(few.select(range(len(chosen[0]))))
    started = time.perf_counter()
    trainer.predict(few)
    return (time.perf_counter() - started) * row_lengths(rows).sum() / row_lengths(few).sum()


@contextlib.contextmanager
def answers_drawn_at_random(trainer: Trainer):
    """Within, `predict` answers at once, with logits that mean nothing."""
    rng = np.random.default_rng(0)

    def predict(rows, ignore_keys=None, metric_key_prefix="test"):
        logits = rng.normal(size=(len(rows), trainer.model.config.num_labels)).astype(np.float32)
        labels = np.asarray(rows["label"][:]) if "label" in rows.column_names else None
        return PredictionOutput(logits, labels, {f"{metric_key_prefix}_loss": 0.0})

    trainer.predict = predict
    try:
        yield
    finally:
        del trainer.predict


def seconds_to_report(report: Callable[[DatasetDict], object], parts: DatasetDict) -> float:
    """Time what follows the predictions, on all rows if they are few, else on two shares of them, and drawn out in a line."""
    share = min(1.0, ROWS / len(parts["train"]))
    shares = [share] if share == 1 else [share / 2, share]
    took = []
    for part_of in shares:
        few = DatasetDict(
            {part: rows.shuffle(seed=0).select(range(math.ceil(part_of * len(rows)))) for part, rows in parts.items()}
        )
        started = time.perf_counter()
        report(few)
        took.append(time.perf_counter() - started)
    if len(took) == 1:
        return took[0]
    slope = max(0.0, took[1] - took[0]) / (shares[1] - shares[0])
    return took[1] + slope * (1 - shares[1])


def peak_memory() -> int:
    """The most that was held at once, in bytes: of the GPUs where there are some, else of this process."""
    if torch.cuda.is_available():
        return max(torch.cuda.max_memory_reserved(device) for device in range(torch.cuda.device_count()))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forecast_training(trainer: Trainer, forecast: Forecast, padded_to: int | None):
    """Updates, evaluations and checkpoints; the learning rates; the peak of the memory, for the largest batch was computed."""
    measured = measure(trainer, padded_to)
    steps, in_epoch = measured.steps, measured.in_epoch
    forecast.seconds["training"] = measured.seconds
    forecast.seconds["checkpoints"] = measured.saving * checkpoints(trainer.args, steps, in_epoch)
    forecast.facts["training"] = str(measured)
    forecast.facts["learning rate"] = learning_rates(trainer, steps)
    if count := evaluations(trainer.args, steps, in_epoch):
        forecast.seconds["evaluations"] = count * seconds_to_predict(trainer, trainer.eval_dataset)
        forecast.facts["evaluations"] = f"{count} of {len(trainer.eval_dataset):,} rows"


def rehearse(
    trainer: Trainer,
    parts: DatasetDict,
    predicted: list[Dataset],
    report: Callable[[DatasetDict], object],
    close: Callable[[], object],
    first: Trainer | None = None,
    padded_to: int | None = None,
    prepared: float = 0.0,
) -> Forecast:
    """Go through the run in a folder that is thrown away.

    Args:
        trainer: made of arguments that `settle` has changed.
        parts: tokenized.
        predicted: those that are predicted in the end.
        report: predicts the held-out parts it is given and writes all that is told of them.
        close: proves that the folder loads elsewhere, and writes the page.
        first: trains the model on another task before.
        padded_to: the length of every batch, if it is one for all.
        prepared: seconds that the data and the model have taken.
    """
    forecast, args = Forecast({"data and model": prepared}), trainer.args
    with tempfile.TemporaryDirectory() as args.output_dir, contextlib.redirect_stdout(io.StringIO()):
        if first:
            first.args.output_dir = args.output_dir  # it has a copy of the arguments
            forecast.seconds["first task"] = measure(first, padded_to).seconds
        if args.do_train:
            forecast_training(trainer, forecast, padded_to)
            trainer.save_metrics("train", {})
            trainer.save_state()
        trainer.save_model()
        forecast.seconds["predictions"] = sum(seconds_to_predict(trainer, rows) for rows in predicted)
        with answers_drawn_at_random(trainer):
            forecast.seconds["baselines, intervals"] = seconds_to_report(report, parts)
        started = time.perf_counter()
        close()
        forecast.seconds["proof, report"] = time.perf_counter() - started
        forecast.files = sorted({RECORD, *written(Path(args.output_dir), args.save_strategy != "no")})
        forecast.peak_memory = peak_memory()
    return forecast


def written(folder: Path, saves: bool) -> set[str]:
    """What lies in a folder; of the checkpoint that was timed nothing, and their pattern if the run saves some."""
    names = {path.name for path in folder.iterdir() if path.name not in ("last", "best")}
    numbered = {name for name in names if name.startswith("checkpoint-")}
    return names - numbered | ({"checkpoint-N"} if saves else set())
