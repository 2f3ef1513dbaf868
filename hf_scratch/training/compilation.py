"""torch.compile where it pays: a layer is compiled once for all, small steps are recorded as CUDA graphs, and plain steps are
timed beside them.

Compiling the layers by themselves takes seconds, where the whole encoder takes a minute, and all layers share one graph for any
number of tokens. A small step is bound by launching its kernels from Python: recorded as a CUDA graph a shape, forward and
backward, it is launched at once.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
from torch import nn
from transformers import Trainer, TrainerCallback
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..screen import show
from .padding_free import PaddingFree, Shapes

WARM, TIMED = 3, 7  # steps before a timing, and of it
LEAST_SECONDS = 30  # that a run must still last for compiling to be worth its while
MOST_RECORDED = 24  # CUDA graphs
LEAST_FREE = 1 / 3  # of the memory, to record another: each keeps the activations of its shape to itself
LARGE = 32768  # tokens of a step from which on launching takes no time beside computing
TEXTS = 32
PROVEN = ("bert", "scratch")  # encoders that were trained compiled on a GPU: only these unless --torch_compile asks


def layers_of(encoder: nn.Module) -> nn.ModuleList:
    """The stack of an encoder's layers, whatever it is called."""
    depth = encoder.config.num_hidden_layers
    return next(module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module) == depth)


class RecordedBody:
    """An encoder on packed tokens, recorded as one CUDA graph a shape; runs as it is outside training, or past the bound.

    Args:
        body: the encoder without its pooler.
        record: `torch.cuda.make_graphed_callables`.
    """

    def __init__(self, body: nn.Module, record=None):
        self.body = body
        self.record = record or torch.cuda.make_graphed_callables
        self.graphs, self.most = {}, MOST_RECORDED

    def __call__(self, cu_seq_lens_q, max_length_q, **inputs):
        tensors = {name: value for name, value in inputs.items() if torch.is_tensor(value)} | {"cu_seq_lens_q": cu_seq_lens_q}
        key = (max_length_q, *((name, tuple(value.shape)) for name, value in tensors.items()))
        asked = any(value for name, value in inputs.items() if name not in tensors and name != "return_dict")
        trains = torch.is_grad_enabled() and self.body.training
        if asked or not trains or not (key in self.graphs or self.has_room()):
            return self.body.forward(cu_seq_lens_q=cu_seq_lens_q, max_length_q=max_length_q, **inputs)
        if key not in self.graphs:
            self.graphs[key] = self.recorded(list(tensors), max_length_q, tuple(tensors.values()))
        return BaseModelOutputWithPooling(last_hidden_state=self.graphs[key](*tensors.values()))

    def has_room(self) -> bool:
        """Whether another shape may be recorded; where memory was short once, none ever."""
        if len(self.graphs) < self.most and free_share() < LEAST_FREE:
            self.most = len(self.graphs)
        return len(self.graphs) < self.most

    def recorded(self, names: list[str], longest: int, tensors: tuple[torch.Tensor, ...]):
        """Record a shape. Random numbers go on as if nothing had been recorded."""
        device = tensors[0].device
        half, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)
        module = PositionalBody(self.body, names, longest).train()
        devices = [device] if device.type == "cuda" else []
        # Recording runs on a stream of its own, which is as it should be, and torch would warn of with every graph.
        getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", bool)(False)
        with torch.random.fork_rng(devices), torch.autocast(device.type, dtype, half, cache_enabled=False):
            return self.record(module, tensors, allow_unused_input=True)


class PositionalBody(nn.Module):
    """An encoder that takes its tensors by position and returns one, as recording wants it."""

    def __init__(self, body: nn.Module, names: list[str], longest: int):
        super().__init__()
        self.body, self.names, self.longest = body, names, longest

    def forward(self, *tensors):
        inputs = dict(zip(self.names, tensors, strict=True))
        return self.body.forward(**inputs, max_length_q=self.longest, return_dict=True).last_hidden_state


class Compilation(TrainerCallback):
    """Times plain steps, then compiled ones, and keeps the faster. What came of it stands in `line`.

    Args:
        free: the encoder, padding-free.
        longest: tokens of the longest text.
        records: whether small steps may become CUDA graphs.
        least_seconds: that the run must still last.
        seconds_left: of a run that a clock ends; None counts its steps.
    """

    def __init__(
        self,
        free: PaddingFree,
        longest: int,
        records: bool = True,
        least_seconds: float = LEAST_SECONDS,
        seconds_left: Callable[[], float] | None = None,
    ):
        self.free, self.longest, self.records, self.least_seconds = free, longest, records, least_seconds
        self.seconds_left = seconds_left
        self.line = "compiled where that pays: steps are timed first"
        self.phase, self.times, self.body = "plain", [], None
        self.plain = self.started = None
        self.tokens, self.began_compiling = 0, 0.0

    @property
    def is_on(self) -> bool:
        """Whether steps are compiled."""
        return self.body is not None

    def watch(self, tokens: int):
        """Told of each batch's real tokens."""
        self.tokens += tokens

    def on_step_begin(self, args, state, control, **kwargs):
        if self.phase:
            self.tokens, self.started = 0, now()

    def on_step_end(self, args, state, control, **kwargs):
        if not self.phase:
            return
        self.times.append((now() - self.started, self.tokens))
        if len(self.times) < WARM + TIMED:
            return
        seconds, tokens = map(statistics.median, zip(*self.times[WARM:], strict=True))
        self.times = []
        if self.phase == "plain":
            self.plain = seconds / tokens
            left = self.seconds_left() if self.seconds_left else (state.max_steps - state.global_step) * seconds
            self.judge_plain(left, tokens / args.gradient_accumulation_steps)
        else:
            self.judge_compiled(seconds / tokens, tokens)
        if self.phase is None and state.is_world_process_zero:
            show(f"  {self.line}", flush=True)

    def judge_plain(self, remaining: float, tokens: float):
        """Begin to compile, if the run lasts long enough."""
        if remaining < self.least_seconds:
            self.phase = None
            self.line = f"not compiled: the run ends in {remaining:.0f} s, before compiling would have paid"
            return
        self.phase, self.began_compiling = "compiled", now()
        for layer in layers_of(self.free.body):
            layer.compile(dynamic=True)
        self.body, self.free.shapes = self.free.body.forward, Shapes(1, 1, self.longest)
        if self.records and tokens < LARGE:
            self.body = RecordedBody(self.free.body)
            self.free.shapes = Shapes(512 * max(1, round(tokens / 16 / 512)), TEXTS, self.longest)
        self.free.run = self.attempt

    def attempt(self, **inputs):
        """A compiled pass of the encoder, or a plain one."""
        return self.tried(self.body, self.free.body.forward, **inputs)

    def tried(self, compiled: Callable, plain: Callable, *args, **kwargs):
        """What `compiled` returns; if it fails, what `plain` does, and nothing is compiled from then on."""
        try:
            return compiled(*args, **kwargs)
        except Exception as error:  # a compiler can fail in as many ways as it has parts; what is not its fault fails again
            self.phase = None
            self.undo()
            self.line = f"compiling failed and was undone: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            show(f"  {self.line}", flush=True)
            return plain(*args, **kwargs)

    def judge_compiled(self, compiled: float, tokens: float):
        """Keep it, or go back."""
        self.phase = None
        before, after = 1000 * self.plain * tokens, 1000 * compiled * tokens
        graphs = len(getattr(self.body, "graphs", ()))
        cost = f"{compilations()} compilations and {graphs} CUDA graphs in {now() - self.began_compiling:.0f} s"
        if compiled < self.plain:
            self.line = f"compiled: a step of {tokens:.0f} tokens takes {after:.1f} ms in place of {before:.1f} ({cost})"
        else:
            self.undo()
            self.line = (
                f"compiling was undone: a step of {tokens:.0f} tokens took {after:.1f} ms in place of {before:.1f} ({cost})"
            )

    def end(self):
        """The model leaves as it came."""
        if self.plain is not None:
            self.undo()

    def __str__(self):
        return self.line

    def undo(self):
        for layer in layers_of(self.free.body):
            layer._compiled_call_impl = None
        self.free.run, self.free.shapes = self.free.body.forward, None
        self.body = None  # with the memory of its graphs


def now() -> float:
    """Seconds, once the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def free_share() -> float:
    """Of the GPU's memory, what torch does not hold: a graph takes none of what torch keeps for later."""
    if not torch.cuda.is_available():
        return 1.0
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    return free / total


def compilations() -> int:
    """How often torch.compile has made a graph in this process."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@contextmanager
def compiling(trainer: Trainer, chosen: Compilation | str):
    """Within, the chosen callback, if there is one, is `trainer.compilation`; the model that it leaves is the plain one."""
    if isinstance(chosen, str):
        yield
        return
    trainer.compilation = chosen
    trainer.add_callback(chosen)
    try:
        yield
    finally:
        chosen.end()
        trainer.remove_callback(chosen)
        trainer.compilation = None


def choose_compilation(
    wanted: bool | None, free: PaddingFree | None, args, longest: int, seconds_left: Callable[[], float] | None = None
) -> Compilation | str:
    """The callback that compiles, or the line that says why not.

    Args:
        wanted: --torch_compile if it was given, else None.
        free: the encoder padding-free, or None.
        args: the `TrainingArguments`.
        longest: tokens of the longest text.
        seconds_left: of a run that a clock ends.
    """
    if wanted is False:
        return "not compiled, as --torch_compile false asks"
    if free is None or args.device.type != "cuda":
        return f"not compiled: {'padding is computed' if free is None else f'it was not proven to pay on {args.device.type}'}"
    if wanted is None and (unproven := why_unproven(free, args)):
        return f"not compiled: not proven {unproven}; --torch_compile tries it, and keeps it where it is faster"
    if getattr(args, "activation_checkpointing", None) or getattr(args, "gradient_checkpointing", None):
        return "not compiled: activations are recomputed, and the compiler would keep them"
    records = args.world_size == 1 and args.gradient_accumulation_steps == 1
    return Compilation(free, longest, records, seconds_left=seconds_left)


def why_unproven(free: PaddingFree, args) -> str | None:
    """Why nothing is compiled unless it is asked for; None where whole runs on a GPU were compiled."""
    model_type = free.body.config.model_type
    if model_type not in PROVEN:
        return f"for {model_type}"
    if args.world_size > 1:
        return "for several processes"
    return None if args.bf16 else "but in bf16"
