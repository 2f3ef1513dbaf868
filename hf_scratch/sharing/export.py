"""A classifier as one file that runs without its Python code: ONNX or torch.export, checked by running the file."""

import importlib.util
import json
import logging
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.export import Dim

from ..errors import UserError
from .convert import SENTENCES, moved_when_whole

TOLERANCE = 1e-4  # of any logit
SHAPES = ((1, 16), (1, 128), (8, 128))  # of the latency table: batch, length
FILES = {"onnx": "model.onnx", "torch_export": "model.pt2"}
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch_export": ()}


class Logits(nn.Module):
    """A model as a function of tensors alone.

    Args:
        model: a classifier.
        names: of its inputs, in their order.
    """

    def __init__(self, model, names: tuple[str, ...]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs):
        """`(B, T)` each -> logits `(B, num_labels)`."""
        return self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True).logits


def export(model, tokenizer, destination: str, to: str) -> dict:
    """Write the model as a file for any batch and any length up to its own, with its tokenizer and config.

    Args:
        model: a classifier.
        tokenizer: the model's.
        destination: a folder that does not exist yet, or is empty.
        to: a key of `FILES`.

    Returns:
        What export.json holds: the `file`, its `inputs`, the largest `difference` of a logit, and the `latency` table.

    Raises:
        UserError: if a package is missing, the destination is taken, or the model cannot be exported; nothing is left then.
        RuntimeError: if the file answers otherwise: our fault; nothing is left.
    """
    check(destination, to)
    model = model.cpu().float().eval()
    samples = encode(tokenizer, list(SENTENCES), model)
    eager = Logits(model, tuple(samples))
    with moved_when_whole(Path(destination).resolve()) as folder:
        file = Path(folder, FILES[to])
        try:
            write(eager, tuple(samples.values()), file, to)
        except Exception as error:  # the exporters raise errors of every kind
            what = " ".join(str(error).split())[:400]
            raise UserError(f"{type(model).__name__} cannot be exported to {to}: {what}; try another --to") from error
        exported = RUNNERS[to](file, eager.names)
        record = {"file": file.name, "inputs": list(eager.names), "difference": require_same(eager, exported, tokenizer)}
        record["latency"] = latency(eager, exported, model.config)
        model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        Path(folder, "export.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def check(destination: str, to: str):
    """Refuse what would fail at the end."""
    missing = [name for name in NEEDED[to] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"--to {to} needs {', '.join(missing)}, which is not installed; run: pip install 'hf-scratch[export]'")
    folder = Path(destination)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{destination} exists and is no empty folder, and nothing is overwritten; give another --output")


def encode(tokenizer, texts: list[str], model) -> dict[str, torch.Tensor]:
    length = min(tokenizer.model_max_length, longest(model.config))
    return dict(tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt"))


def longest(config) -> int:
    return getattr(config, "max_position_embeddings", None) or 4096


@torch.no_grad()
def write(eager: Logits, samples: tuple, file: Path, to: str):
    """Trace the model once, for shapes that are free in both dimensions."""
    shape = {0: Dim("batch"), 1: Dim("length", max=longest(eager.model.config))}
    program = torch.export.export(eager, samples, dynamic_shapes=((shape,) * len(samples),))
    if to == "torch_export":
        torch.export.save(program, file)
        return
    names = {"input_names": list(eager.names), "output_names": ["logits"]}
    with without_foreign_words():
        torch.onnx.export(program, samples, file, dynamo=True, external_data=False, verbose=False, **names)


@contextmanager
def without_foreign_words():
    """Within, torch's exporter says neither that torchvision is not installed, nor that it calls what torch deprecates."""
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")

    def is_ours(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("torchvision is not installed")

    registry.addFilter(is_ours)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        try:
            yield
        finally:
            registry.removeFilter(is_ours)


def run_onnx(file: Path, names: tuple[str, ...]) -> Callable:
    """The file as a function of tensors, by onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    wanted = [given.name for given in session.get_inputs()]  # what the model does not use is not there

    def run(*inputs):
        tensors = dict(zip(names, inputs, strict=True))
        return torch.from_numpy(session.run(None, {name: tensors[name].numpy() for name in wanted})[0])

    return run


def run_torch_export(file: Path, names: tuple[str, ...]) -> Callable:
    """The file as a function of tensors, by torch."""
    return torch.export.load(file).module()


RUNNERS = {"onnx": run_onnx, "torch_export": run_torch_export}


@torch.no_grad()
def require_same(eager: Logits, exported: Callable, tokenizer) -> float:
    """Compare on real sentences, in batches and lengths other than the one that was traced.

    Returns:
        The largest difference of a logit.

    Raises:
        RuntimeError: if it is above `TOLERANCE`, or not a number.
    """
    shortest, all_in_one = min(SENTENCES, key=len), " ".join(SENTENCES * 9)
    differences = []
    for texts in (list(SENTENCES), [shortest], [shortest, all_in_one, *SENTENCES[::2]]):
        inputs = tuple(encode(tokenizer, texts, eager.model).values())
        differences.append((eager(*inputs) - exported(*inputs)).abs().max())
    difference = float(torch.stack(differences).max())
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"the exported file differs from {type(eager.model).__name__} by {difference}, more than {TOLERANCE}; "
            "nothing was written"
        )
    return difference


@torch.no_grad()
def latency(eager: Logits, exported: Callable, config, repeats: int = 9) -> list[dict]:
    """Milliseconds of one call on the CPU, eager and exported in turn, the median of `repeats`."""
    rows = []
    for batch, length in SHAPES:
        length = min(length, longest(config))
        values = {"input_ids": torch.full((batch, length), 1), "attention_mask": torch.ones(batch, length, dtype=torch.long)}
        inputs = [values.get(name, torch.zeros(batch, length, dtype=torch.long)) for name in eager.names]
        seconds: dict[str, list[float]] = {"eager": [], "exported": []}
        for _ in range(repeats):
            for name, way in (("eager", eager), ("exported", exported)):
                start = time.perf_counter()
                way(*inputs)
                seconds[name].append(time.perf_counter() - start)
        rows.append({"batch": batch, "length": length} | {f"{name}_ms": 1000 * median(s) for name, s in seconds.items()})
    return rows
