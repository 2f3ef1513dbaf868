"""Training and evaluation beside the stock Trainer's: the same sizes and lengths, one after the other in one run."""

import contextlib
import dataclasses
import io
import math
import statistics
import tempfile
import time
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from ..data.batching import make_collator
from ..data.tokenization import train_wordpiece
from ..errors import UserError
from ..model.configuration_scratch import ScratchConfig
from ..model.modeling_scratch import ScratchForSequenceClassification
from ..training.arguments import SpeedArguments
from ..training.hardware import settle_hardware
from ..training.trainer import ClassificationTrainer
from .encoder_speed import SIZES

PEAK = 989e12  # operations a second of an H100 in bf16, by its data sheet
VOCABULARY, LONGEST, CLASSES = 30522, 512, 5
WINDOWS = 9  # timings, of which the median counts
LONG = 10_000  # steps of a run that is worth compiling for; the clock ends it long before
EVALUATED = {"cpu": 128, "cuda": 8192}  # rows


@dataclass(frozen=True)
class Setting:
    """One way to train.

    Args:
        stock: the stock Trainer, or ours.
        model: of `build`.
        rows: of a batch; for ours, 0 with `tokens`; on CUDA ours evaluates by tokens, as it does by default.
        tokens: budget of a batch.
        padding: "max_length" or "longest", of the stock Trainer.
        grouped: by length.
        compiled: by torch.compile.
        evaluates: evaluation is timed, not training.
    """

    stock: bool
    model: str = "bert"
    rows: int = 32
    tokens: int | None = None
    padding: str = "longest"
    grouped: bool = False
    compiled: bool = False
    evaluates: bool = False


@dataclass(frozen=True)
class Comparison:
    """A row of the table.

    Args:
        name: what is compared.
        ours: our setting.
        stock: stock settings, of which the fastest counts; without one, the useful share of the peak is judged.
        goal: the ratio, or the share, to reach.
    """

    name: str
    ours: Setting
    stock: tuple[Setting, ...]
    goal: float


@dataclass(frozen=True)
class Speed:
    """What a setting came to: medians over windows of steps.

    Args:
        examples, tokens: a second; tokens are real ones.
        useful: share of an H100's bf16 peak: 6 operations a weight (embeddings aside) and token, and the attention's.
        chosen: what ours said it did.
    """

    examples: float
    tokens: float
    useful: float
    chosen: str


STOCK = Setting(stock=True, padding="max_length")
OURS = Setting(stock=False, model="scratch")
LARGE = dataclasses.replace(OURS, rows=0, tokens=65536, compiled=True)
COMPARISONS = {
    "cuda": {
        "default": Comparison("any batch, against run_glue's default", LARGE, (STOCK,), 7),
        "batch32": Comparison(
            "32 examples a step, against the best stock setting",
            dataclasses.replace(OURS, compiled=True),
            (STOCK, dataclasses.replace(STOCK, padding="longest", grouped=True)),
            4,
        ),
        "best": Comparison(
            "any batch, against the best stock setting", LARGE, (dataclasses.replace(STOCK, rows=64, compiled=True),), 3.3
        ),
        "bert": Comparison(
            "BertForSequenceClassification, against run_glue's default",
            dataclasses.replace(LARGE, model="bert"),
            (STOCK,),
            6,
        ),
        "small": Comparison("16k tokens a step", dataclasses.replace(LARGE, tokens=16384), (), 0.34),
        "large": Comparison("64k tokens a step", LARGE, (), 0.40),
        "evaluation": Comparison(
            "evaluation", dataclasses.replace(OURS, evaluates=True), (dataclasses.replace(STOCK, evaluates=True),), 5
        ),
    },
    "cpu": {
        "default": Comparison("32 examples a step, against run_glue's default", OURS, (STOCK,), 6),
        "grouped": Comparison(
            "32 examples a step, against dynamic padding grouped by length",
            OURS,
            (dataclasses.replace(STOCK, padding="longest", grouped=True),),
            1.4,
        ),
        "bert": Comparison(
            "BertForSequenceClassification, against run_glue's default", dataclasses.replace(OURS, model="bert"), (STOCK,), 6
        ),
        "evaluation": Comparison(
            "evaluation", dataclasses.replace(OURS, evaluates=True), (dataclasses.replace(STOCK, evaluates=True),), 5
        ),
    },
}


def yelp_like(count: int, seed: int = 0) -> Dataset:
    """Rows of random tokens with the lengths of Yelp's reviews: lognormal, median 126, at most 512."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(math.log(126), 0.75, count), 8, LONGEST).astype(int)
    ids = [rng.integers(1000, VOCABULARY, length) for length in lengths]
    rows = {"input_ids": ids, "attention_mask": [np.ones(length, dtype=int) for length in lengths]}
    return Dataset.from_dict(rows | {"labels": rng.integers(0, CLASSES, count)})


def build(model: str, size: str, device: str) -> torch.nn.Module:
    """A classifier of a size, "bert", "scratch" (pre-norm), or "converted": BERT's weights in the scratch encoder."""
    layers, hidden, heads, intermediate = SIZES[size]
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
    sizes |= {"intermediate_size": intermediate, "vocab_size": VOCABULARY, "num_labels": CLASSES}
    set_seed(0)
    with torch.device(device):
        if model == "scratch":
            return ScratchForSequenceClassification(ScratchConfig(**sizes))
        bert = BertForSequenceClassification._from_config(BertConfig(**sizes), attn_implementation="sdpa")
    return bert if model == "bert" else ScratchForSequenceClassification.from_bert(bert)


class Clock(TrainerCallback):
    """Seconds of windows of steps, once the first steps are done and the device has caught up; after them training ends."""

    def __init__(self, warm: int, steps: int, windows: int):
        self.warm, self.steps, self.windows, self.marks = warm, steps, windows, []

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= self.warm and (state.global_step - self.warm) % self.steps == 0:
            self.marks.append(now())
            control.should_training_stop |= len(self.marks) > self.windows


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def trainer_arguments(device: str, steps: int, folder: str, rows: int, compiled: bool) -> TrainingArguments:
    """Those of every run that is timed: bf16 on CUDA, nothing logged or saved on the way."""
    return TrainingArguments(
        folder,
        max_steps=steps,
        per_device_train_batch_size=rows,
        per_device_eval_batch_size=rows,
        torch_compile=compiled,
        bf16=device == "cuda",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        logging_steps=steps,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=0,
    )


def make_trainer(setting: Setting, rows: Dataset, size: str, device: str, steps: int, folder: str) -> Trainer:
    """The Trainer of a setting, ours or the stock one, on the same rows."""
    args = trainer_arguments(device, steps, folder, setting.rows or 1, compiled=setting.compiled and setting.stock)
    args.train_sampling_strategy = "group_by_length" if setting.grouped else "random"
    model = build(setting.model, size, device)
    tokenizer = train_wordpiece(["a"], 100, LONGEST)
    if setting.stock:
        collator = DataCollatorWithPadding(tokenizer, setting.padding, LONGEST)
        return Trainer(model, args, collator, rows, rows)
    settle_hardware(args, given=set())
    speed = SpeedArguments(max_tokens_per_batch=setting.tokens)
    speed.torch_compile, speed.eval_by_tokens = setting.compiled, device == "cuda"
    return ClassificationTrainer(model, args, make_collator(tokenizer, LONGEST), rows, rows, speed=speed)


def measure(setting: Setting, rows: Dataset, size: str, device: str, steps: int) -> Speed:
    """Time one setting.

    Args:
        setting: the way to train.
        rows: to train on.
        size: of `SIZES`.
        device: "cpu" or "cuda".
        steps: of each of `WINDOWS` windows.
    """
    warm, windows = 3 if device == "cpu" else 25, WINDOWS
    if setting.grouped:  # sorted within 50 batches: a window that holds all of them is fair
        rows, steps, windows = rows.select(range(50 * setting.rows)), 50, 1 if device == "cpu" else 3
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = make_trainer(setting, rows, size, device, LONG, folder)
        if setting.evaluates:
            examples = evaluation_speed(trainer, rows.select(range(EVALUATED[device])))
        else:
            clock = Clock(warm, steps, windows)
            trainer.add_callback(clock)
            trainer.train()
            seconds = statistics.median(end - start for start, end in zip(clock.marks, clock.marks[1:], strict=False))
            examples = len(rows) / len(trainer.get_train_dataloader()) * steps / seconds
    lengths = np.array([len(ids) for ids in rows["input_ids"][:]], dtype=float)
    weights = sum(weight.numel() for name, weight in trainer.model.named_parameters() if "embeddings" not in name)
    layers, hidden, *_ = SIZES[size]
    operations = 6 * weights * lengths.mean() + 12 * layers * hidden * (lengths**2).mean()
    operations /= 3 if setting.evaluates else 1  # forward only
    chosen = "; ".join(getattr(trainer, "execution", {}).values())
    del trainer
    if device == "cuda":
        torch.compiler.reset()
        torch.cuda.empty_cache()
    return Speed(examples, examples * lengths.mean(), examples * operations / PEAK, chosen)


def evaluation_speed(trainer: Trainer, rows: Dataset) -> float:
    """Examples a second of evaluating the rows, the median of three."""
    seconds = []
    for _ in range(4):
        start = now()
        trainer.evaluate(rows)
        seconds.append(now() - start)
    return len(rows) / statistics.median(seconds[1:])


def losses(size: str, device: str, rows: Dataset) -> tuple[float, float]:
    """The loss on some rows, with the same weights, of the stock Trainer with BERT and of ours with the scratch encoder."""
    found = []
    for setting in (STOCK, dataclasses.replace(OURS, model="converted")):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            trainer = make_trainer(setting, rows, size, device, 1, folder)
            found.append(trainer.evaluate(rows.select(range(64)))["eval_loss"])
    return found[0], found[1]


def compare(names: list[str] | None, steps: int, limit: float) -> dict:
    """Print the table row by row, each setting timed once; all of it as one dict.

    Args:
        names: of rows; all of the machine's by default.
        steps: of each window; 0 for the machine's default.
        limit: seconds after which no further row is begun.

    Raises:
        UserError: if there is no such row.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    comparisons, size, started = COMPARISONS[device], "base" if device == "cuda" else "mini", time.perf_counter()
    for name in names or ():
        if name not in comparisons:
            raise UserError(f"--rows holds {name!r}, but the rows on {device} are {', '.join(comparisons)}; leave it away")
    machine = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    rows, measured, table = yelp_like(32768 if device == "cuda" else 2048), {}, {}
    stock_loss, our_loss = losses(size, device, rows)
    print(f"{machine}, torch {torch.__version__}, transformers {transformers.__version__}, size {size}, {SIZES[size]}")
    print(f"the same weights on the same rows: loss {stock_loss:.5f} by stock BERT, {our_loss:.5f} by ours")
    print("| row | stock ex/s | ours ex/s | ours tokens/s | useful share | ratio | goal |\n|---|---|---|---|---|---|---|")
    for name in names or comparisons:
        comparison = comparisons[name]
        if time.perf_counter() - started > limit:
            print(f"| {name}: {comparison.name} | not measured: {limit:g} s are over |")
            continue
        for setting in (comparison.ours, *comparison.stock):
            if setting not in measured:
                measured[setting] = measure(setting, rows, size, device, steps or steps_of(setting, device))
        table[name] = judged(comparison, measured)
        print(f"{as_row(comparison.name, table[name])}", flush=True)
    facts = {"machine": machine, "size": size, "loss_stock": stock_loss, "loss_ours": our_loss}
    return facts | {"rows": table, "seconds": round(time.perf_counter() - started, 1)}


def steps_of(setting: Setting, device: str) -> int:
    """Steps of a window: about a third of a second on an H100, or one step on a CPU."""
    return 1 if device == "cpu" else 3 if (setting.tokens or 0) > 32768 else 8


def judged(comparison: Comparison, measured: dict[Setting, Speed]) -> dict:
    """A row's numbers."""
    ours, stock = measured[comparison.ours], [measured[setting].examples for setting in comparison.stock]
    ratio = {"stock": round(max(stock), 1), "ratio": round(ours.examples / max(stock), 2)} if stock else {}
    numbers = {"ours": round(ours.examples, 1), "tokens": round(ours.tokens), "useful": round(ours.useful, 4)}
    return numbers | ratio | {"goal": comparison.goal, "chosen": ours.chosen}


def as_row(name: str, row: dict) -> str:
    ratio = f"{row['ratio']:.2f}x | {row['goal']}x" if "ratio" in row else f"{row['useful']:.3f} | {row['goal']}"
    numbers = f"{row.get('stock', '–')} | {row['ours']} | {row['tokens']:,} | {100 * row['useful']:.1f} %"
    return f"| {name} | {numbers} | {ratio} |"
