"""Pre-training beside fine-tuning: real tokens a second of one encoder, at the same number of tokens a step, in one run."""

import contextlib
import io
import statistics
import tempfile
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import set_seed

from ..data.corpus import Corpus, from_lengths
from ..data.masking import Masking
from ..data.pairs import DRAWS, SegmentCollator, SegmentRows
from ..model.configuration_scratch import ScratchConfig
from ..model.modeling_scratch import ScratchForMaskedLM, ScratchForPreTraining
from ..training.pretraining import PretrainingTrainer
from . import training_speed
from .encoder_speed import SIZES
from .training_speed import LONG, OURS, Clock, measure, trainer_arguments, yelp_like

MODELS = {"mlm": ScratchForMaskedLM, "mlm+nsp": ScratchForPreTraining}
SPECIAL = {"pad": 0, "cls": 1, "sep": 2, "mask": 3}
LENGTH, SENTENCE = 128, 16  # tokens of an input, and of a sentence
GOAL = 0.9


@dataclass(frozen=True)
class PretrainingSpeed:
    """What one objective came to.

    Args:
        objective: of `MODELS`.
        tokens: real ones a second, the median over windows of steps.
        ratio: to fine-tuning's.
        projection: share of the operations that the vocabulary projection of the masked positions takes.
    """

    objective: str
    tokens: float
    ratio: float
    projection: float


def made_up_corpus(documents: int, seed: int = 0) -> Corpus:
    """Documents of 2 to 20 sentences of random tokens."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 21, documents)
    ids = rng.integers(len(SPECIAL), training_speed.VOCABULARY, counts.sum() * SENTENCE)
    tokens = np.insert(ids, np.cumsum(counts) * SENTENCE, SPECIAL["sep"]).astype(np.uint16)
    return from_lengths(tokens, np.full(counts.sum(), SENTENCE), counts)


def projection_share(size: str, probability: float) -> float:
    """Of all operations a token: p V D for the vocabulary, L (4 D² + 2 D F) for the encoder, 2 L T D for attention."""
    layers, hidden, _, intermediate = SIZES[size]
    projection = probability * training_speed.VOCABULARY * hidden
    encoder = layers * (4 * hidden**2 + 2 * hidden * intermediate + 2 * LENGTH * hidden)
    return projection / (projection + encoder)


def make_trainer(objective: str, size: str, device: str, tokens: int, probability: float, folder: str) -> PretrainingTrainer:
    """The Trainer of an objective with steps of so many tokens, padding counted."""
    layers, hidden, heads, intermediate = SIZES[size]
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads}
    sizes |= {"intermediate_size": intermediate, "vocab_size": training_speed.VOCABULARY}
    set_seed(0)
    with torch.device(device):
        model = MODELS[objective](ScratchConfig(**sizes))
    args = trainer_arguments(device, LONG, folder, rows=max(1, tokens // LENGTH), compiled=device == "cuda")
    args.remove_unused_columns = False
    rows = SegmentRows(made_up_corpus(3000), DRAWS[objective], LENGTH, 0)
    is_ordinary = torch.arange(training_speed.VOCABULARY) >= len(SPECIAL)
    masking = Masking(SPECIAL["mask"], is_ordinary, is_ordinary.nonzero()[:, 0], probability=probability)
    collator = SegmentCollator(rows.corpus, SPECIAL, LENGTH)
    return PretrainingTrainer(model=model, args=args, data_collator=collator, train_dataset=rows, masking=masking)


def pretraining_tokens(objective: str, size: str, device: str, tokens: int, probability: float, steps: int) -> float:
    """Real tokens a second of pre-training."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = make_trainer(objective, size, device, tokens, probability, folder)
        clock = Clock(3 if device == "cpu" else 25, steps, training_speed.WINDOWS)
        trainer.add_callback(clock)
        trainer.train()
    seconds = statistics.median(end - start for start, end in zip(clock.marks, clock.marks[1:], strict=False))
    rows = trainer.train_dataset
    real = rows.real_tokens() / len(rows) * trainer.args.per_device_train_batch_size * steps
    del trainer
    if device == "cuda":
        torch.compiler.reset()
        torch.cuda.empty_cache()
    return real / seconds


def compare(size: str, device: str, tokens: int, steps: int, probability: float = 0.15) -> tuple[float, list[PretrainingSpeed]]:
    """Fine-tuning's real tokens a second, the mean of before and after, and each objective's.

    Args:
        size: of `SIZES`.
        device: "cpu" or "cuda".
        tokens: of a step.
        steps: of each window that is timed.
        probability: share of the tokens that are masked.
    """
    setting = replace(OURS, rows=0, tokens=tokens, compiled=device == "cuda")
    rows = yelp_like(32768 if device == "cuda" else 2048)

    def fine_tuning() -> float:
        return measure(setting, rows, size, device, steps).tokens

    before = fine_tuning()
    speeds = {objective: pretraining_tokens(objective, size, device, tokens, probability, steps) for objective in MODELS}
    mean = (before + fine_tuning()) / 2
    share = projection_share(size, probability)
    return mean, [PretrainingSpeed(objective, speed, speed / mean, share) for objective, speed in speeds.items()]
