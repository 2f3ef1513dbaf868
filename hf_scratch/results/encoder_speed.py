"""The scratch encoder beside BertModel: the same sizes, weights and attention, one after the other in one run."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import BertConfig, BertModel

from ..model.modeling_scratch import ScratchModel

# name: layers, hidden size, heads, intermediate size
SIZES = {"mini": (4, 256, 4, 1024), "small": (6, 384, 12, 1536), "base": (12, 768, 12, 3072)}
# size, batch, length, dtype
CPU_ROWS = [("mini", 8, 128, "float32"), ("small", 8, 128, "float32"), ("base", 2, 128, "float32")]
CUDA_ROWS = [
    *((size, 32, 128, "bfloat16") for size in SIZES),
    *(("base", 16, 512, "bfloat16"), ("base", 8, 128, "float32"), ("base", 1, 32, "bfloat16")),
]


@dataclass(frozen=True)
class Timing:
    """One pass of one size.

    Args:
        size: a name of `SIZES`.
        shape: batch and length.
        dtype: of the weights.
        step: "forward" or "forward+backward".
        bert, scratch: medians, in milliseconds.
        ratio: median over the repeats of BERT's time divided by ours; above 1, ours is faster.
    """

    size: str
    shape: tuple[int, int]
    dtype: str
    step: str
    bert: float
    scratch: float
    ratio: float


def time_encoders(device: str, repeats: int, rows=None) -> Iterator[Timing]:
    """Time both models in turn on each row of a device.

    Args:
        device: "cpu" or "cuda".
        repeats: how often each is timed; in turn, so that a machine that slows down slows both.
        rows: of sizes; the device's own by default.
    """
    for size, B, T, dtype in rows or (CUDA_ROWS if device == "cuda" else CPU_ROWS):
        models = build(size, dtype, device)
        ids = torch.randint(1, 1000, (B, T), device=device)
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        for step, run in (("forward", forward), ("forward+backward", forward_backward)):
            times = {name: [] for name in models}
            for repeat in range(-3, repeats):  # three to warm up
                for name in sorted(models, reverse=bool(repeat % 2)):
                    seconds = timed(run, models[name], given)
                    if repeat >= 0:
                        times[name].append(1000 * seconds)
            ratio = statistics.median(b / s for b, s in zip(times["bert"], times["scratch"], strict=True))
            yield Timing(size, (B, T), dtype, step, *(statistics.median(times[name]) for name in ("bert", "scratch")), ratio)


def build(size: str, dtype: str, device: str) -> dict[str, torch.nn.Module]:
    layers, hidden, heads, intermediate = SIZES[size]
    torch.manual_seed(0)
    config = BertConfig(num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads, intermediate_size=intermediate)
    bert = BertModel._from_config(config, attn_implementation="sdpa", dtype=getattr(torch, dtype)).to(device)
    return {"bert": bert, "scratch": ScratchModel.from_bert(bert)}


def forward(model, given):
    with torch.no_grad():
        model.eval()(**given)


def forward_backward(model, given):
    model.zero_grad(set_to_none=True)
    outputs = model.train()(**given)
    (outputs.last_hidden_state.float().mean() + outputs.pooler_output.float().mean()).backward()


def timed(run, model, given) -> float:
    """Seconds of one pass, on CUDA the mean of ten: alone, one is too short to time."""
    on_cuda = given["input_ids"].is_cuda
    passes = 10 if on_cuda else 1
    if on_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(passes):
        run(model, given)
    if on_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / passes
