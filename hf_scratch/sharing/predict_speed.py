"""`hf-scratch predict` beside `transformers.pipeline`: rows a second on texts of mixed lengths, the same answers."""

import random
import time
from statistics import median

import torch
from transformers import BertConfig, BertForSequenceClassification, pipeline

from .predict import Predictor, in_windows

SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
WORDS = ("a", "film", "of", "some", "length", "and", "its", "end", "warm", "awful", "music", "cast", "unputdownable")
PIPELINE_BATCHES = (1, 32)  # its default, and what its documentation proposes to try


def mixed_texts(count: int, seed: int = 0) -> list[str]:
    """Texts whose lengths are spread as those of reviews: lognormal, median 90 words, a twentieth above 350."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=max(3, int(rng.lognormvariate(4.5, 0.83))))) for _ in range(count)]


def random_bert(tokenizer) -> BertForSequenceClassification:
    """A classifier of MiniLM's size; its speed does not depend on its weights."""
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **SIZES)).eval()


def compare_speed(model, tokenizer, texts: list[str], repeats: int = 3) -> list[tuple[str, float]]:
    """Rows a second of each way, in turn, the median of `repeats`.

    Args:
        model: on its device.
        tokenizer: the model's.
        texts: to ask about.
        repeats: of the whole.

    Returns:
        The name of the way and its rows a second.

    Raises:
        RuntimeError: if the ways disagree.
    """
    length = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    ways, answers = {}, {}
    for size in PIPELINE_BATCHES:
        classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device=model.device, batch_size=size)
        options = {"truncation": True, "max_length": length, "top_k": None}
        ways[f"pipeline, batch_size={size}"] = lambda classify=classify, options=options: [
            {share["label"]: share["score"] for share in shares} for shares in classify(texts, **options)
        ]
    predictor = Predictor(model, tokenizer)
    ways["hf-scratch predict"] = lambda: [
        answer.probabilities for window in predictor.answers(in_windows(texts)) for answer in window
    ]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            answers[name] = way()
            seconds[name].append(time.perf_counter() - start)
    tolerance = 1e-4 if model.dtype == torch.float32 else 2e-2
    for theirs in answers.values():
        for one, other in zip(answers["hf-scratch predict"], theirs, strict=True):
            if max(abs(one[name] - other[name]) for name in one) > tolerance:
                raise RuntimeError(f"pipeline and predict disagree: {other} and {one}")
    return [(name, len(texts) / median(times)) for name, times in seconds.items()]
