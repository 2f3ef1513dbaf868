"""`hf-scratch predict` beside `transformers.pipeline`: rows a second on texts of mixed lengths, the same answers."""

import random
import time
from statistics import median

import torch
from torch import nn
from torch.utils.benchmark import Timer
from transformers import BertConfig, BertForSequenceClassification, pipeline

from .predict import MOST_EVALUATED, MOST_TOKENS, Predictor, in_windows

SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
WORDS = ("a", "film", "of", "some", "length", "and", "its", "end", "warm", "awful", "music", "cast", "unputdownable")
# Lognormal, in words: reviews with median 90, a twentieth above 350; sentences with median 18, a twentieth above 45.
LENGTHS = {"reviews": (4.5, 0.83), "sentences": (2.9, 0.55)}
PIPELINE_BATCHES = (1, 32)  # its default, and what its documentation proposes to try


def mixed_texts(count: int, kind: str = "reviews", seed: int = 0) -> list[str]:
    """Texts of made-up words.

    Args:
        count: of texts.
        kind: a key of `LENGTHS`, or "both" for as many of each, shuffled.
        seed: of their words and lengths.
    """
    rng = random.Random(seed)
    kinds = list(LENGTHS) if kind == "both" else [kind]
    sizes = [rng.lognormvariate(*LENGTHS[kinds[row % len(kinds)]]) for row in range(count)]
    rng.shuffle(sizes)
    return [" ".join(rng.choices(WORDS, k=max(3, int(size)))) for size in sizes]


def random_bert(tokenizer) -> BertForSequenceClassification:
    """A classifier of MiniLM's size; its speed does not depend on its weights."""
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **SIZES)).eval()


def precisions(device: str) -> list[torch.dtype]:
    """Those that a device computes in by itself."""
    known = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 does not tell
    half = device == "cuda" or any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return [torch.float32, torch.bfloat16] if half else [torch.float32]


def most_rows(model, tokenizer, texts: list[str]) -> float:
    """Rows a second that no way can pass: if nothing but the encoder's linear layers were computed, for real tokens only,
    at the rate that this machine reaches in a large product of their shape.

    Args:
        model: on its device.
        tokenizer: the model's.
        texts: to ask about.
    """
    tokens = sum(map(len, tokenizer(texts, truncation=True, max_length=model.config.max_position_embeddings)["input_ids"]))
    linears = [module for module in model.base_model.encoder.modules() if isinstance(module, nn.Linear)]
    widest = max(linears, key=lambda linear: linear.out_features)
    x = torch.randn(MOST_TOKENS.get(model.device.type, MOST_EVALUATED), widest.in_features).to(model.device, model.dtype)
    with torch.inference_mode():
        timer = Timer("linear(x)", globals={"linear": widest, "x": x}, num_threads=torch.get_num_threads())
        seconds = min(timer.blocked_autorange(min_run_time=0.5).times)
    multiplications = tokens * sum(linear.weight.numel() for linear in linears)
    return len(texts) / (seconds * multiplications / (len(x) * widest.weight.numel()))


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
