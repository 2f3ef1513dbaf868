"""Weak scaling: the same work a process, on one and on several of them; run under torchrun, which says how many there are."""

import math
import tempfile
import time
from dataclasses import dataclass
from statistics import mean, stdev

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from transformers import TrainerCallback, TrainingArguments

from ..model import ScratchConfig, ScratchForSequenceClassification
from ..training.arguments import SpeedArguments
from ..training.trainer import ClassificationTrainer

SMALL = {"vocab_size": 97, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 29}
WARM_UP, LONGEST, MEDIAN, SPREAD = 10, 512, 141, 0.85  # tokens of a Yelp review: about log-normal


@dataclass(frozen=True)
class Speed:
    """Steps and real tokens a second, over all processes, with their standard deviations over the repeats."""

    processes: int
    steps: float
    steps_spread: float
    tokens: float
    tokens_spread: float


class Clock(TrainerCallback):
    """Notes when each block of steps was done, on the device too."""

    def __init__(self, every: int):
        self.every, self.times = every, []

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= WARM_UP and (state.global_step - WARM_UP) % self.every == 0:
            if args.device.type == "cuda":
                torch.cuda.synchronize()
            self.times.append(time.perf_counter())


def measure(tokens: int, steps: int, repeats: int, small: bool = False, bf16: bool = True) -> Speed:
    """Train a BERT-base-size encoder on made-up texts of Yelp's lengths, a batch of `tokens` real tokens a process.

    Args:
        tokens: of a process's batch.
        steps: of a repeat.
        repeats: blocks of steps that are timed, after ten steps that are not.
        small: a tiny encoder instead.
        bf16: as a GPU computes.
    """
    torch.manual_seed(0)
    config = ScratchConfig(**(SMALL if small else {}), max_position_embeddings=LONGEST, num_labels=5)
    clock = Clock(steps)
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            max_steps=WARM_UP + repeats * steps,
            bf16=bf16,
            logging_steps=steps,
            save_strategy="no",
            ddp_find_unused_parameters=False,
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
        )
        processes, budget = args.world_size, tokens * args.world_size
        rows = make_rows(budget)
        speed = SpeedArguments(max_tokens_per_batch=budget)
        speed.torch_compile = False  # one process would compile, several would not
        trainer = ClassificationTrainer(
            model=ScratchForSequenceClassification(config),
            args=args,
            train_dataset=rows,
            data_collator=collate,
            speed=speed,
            callbacks=[clock],
        )
        trainer.log = lambda *_, **__: None
        batches = trainer.get_train_dataloader()
        real = sum(map(len, rows["input_ids"])) / len(batches)
        trainer.train()
    seconds = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
    slowest = [max(block) for block in zip(*gather_object([seconds]), strict=True)] if processes > 1 else seconds
    rates = [steps / block for block in slowest]
    spread = stdev(rates) if len(rates) > 1 else 0.0
    return Speed(processes, mean(rates), spread, mean(rates) * real, spread * real)


def make_rows(budget: int) -> Dataset:
    """Enough rows for forty global batches; the same on every process."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.empty(40 * budget // MEDIAN).log_normal_(math.log(MEDIAN), SPREAD, generator=generator)
    lengths = lengths.round().clamp(5, LONGEST).long().tolist()
    ids = [torch.randint(5, 97, (length,), generator=generator).tolist() for length in lengths]
    masks = [[1] * length for length in lengths]
    return Dataset.from_dict({"input_ids": ids, "attention_mask": masks, "labels": [row % 5 for row in range(len(ids))]})


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    """A batch, padded; padding-free training takes the padding out again."""
    batch = {
        name: pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True)
        for name in ("input_ids", "attention_mask")
    }
    return batch | {name: torch.tensor([row[name] for row in rows]) for name in ("labels", "row")}
