"""Proof that a checkpoint answers elsewhere as the model in memory does, through every Auto class that opens it."""

import contextlib
import copy
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from ..training.launch import environment_alone
from .loading import auto_classes
from .reload import compute, fingerprints, seat

RELOAD = Path(__file__).with_name("reload.py")


@dataclass(frozen=True)
class Memory:
    """What a model in memory answers, to be compared with what its checkpoint answers elsewhere.

    Args:
        question: for the stranger: the texts, the model's class, its Auto classes, and the attention to load it with.
        tensors: tokens, outputs and the encoder's hidden state by their names.
        weights, encoder: fingerprints of all weights, and of the encoder's under the encoder's own names.
    """

    question: dict
    tensors: dict[str, torch.Tensor]
    weights: dict[str, str]
    encoder: dict[str, str]


def certify(folder: str, model, tokenizer, texts: list) -> dict:
    """Reload a checkpoint in a fresh process that cannot see this package, compare, and write roundtrip.json.

    Args:
        folder: of the checkpoint.
        model: what was saved there.
        tokenizer: the same.
        texts: a few texts, or pairs of texts.

    Returns:
        What was compared, and whether all of it is equal to the last bit: the tokens; every weight and every output
        through the checkpoint's own class; the encoder's weights and hidden states through every other Auto class. Of
        the other classes of transformers' own models the weights, where they hold the same encoder.

    Raises:
        RuntimeError: if the reloaded model differs or cannot be loaded; the folder is kept.
    """
    return compare(folder, remember(model, tokenizer, texts))


def remember(model, tokenizer, texts: list) -> Memory:
    """What the model answers now; it may go on training afterwards."""
    with without_own_forwards(model):
        here = copy.deepcopy(model).cpu().eval()
    for module in here.modules():
        if getattr(module, "to_qkv", None) is not None:
            module.split()  # checkpoints have one form
    attention = "sdpa" if here._supports_sdpa else "eager"  # what a stranger loads it with, whatever it is trained with
    here.set_attn_implementation(attention)
    question = {"texts": texts, "architecture": type(model).__name__, "seat": seat(here)}
    question |= {"classes": auto_classes(model.config)}
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    tensors = {f"tokens.{name}": tensor for name, tensor in tokens.items()} | compute(here, tokens)
    return Memory(question | {"attention": attention}, tensors, fingerprints(here), fingerprints(here.base_model))


@contextlib.contextmanager
def without_own_forwards(model):
    """While it trains padding-free, an encoder has a `forward` of its own, which no stranger has."""
    held = {module: module.__dict__.pop("forward") for module in model.modules() if "forward" in module.__dict__}
    try:
        yield
    finally:
        for module, forward in held.items():
            module.forward = forward


def compare(folder: str, memory: Memory) -> dict:
    """`certify` against what was remembered."""
    result = {"texts": len(memory.question["texts"])}
    try:
        facts, theirs = answers_of_stranger(folder, memory.question)
    except subprocess.CalledProcessError as error:
        write(folder, result | {"loaded": False, "error": error.stderr.strip().rpartition("\n")[2]})
        raise RuntimeError(f"{folder}: the saved model cannot be loaded elsewhere:\n{error.stderr[-3000:]}") from error
    result |= {"auto_classes": ["AutoConfig", "AutoTokenizer", *facts["encoders"]]}
    differing = {
        "weights": sorted(name for name, mark in memory.weights.items() if facts["weights"].get(name) != mark),
        "tokens": different(memory.tensors, theirs, "tokens."),
        "logits": different(memory.tensors, theirs, "output."),
        "encoders": different_encoders(memory, facts["encoders"], theirs),
    }
    result |= {"weights": len(memory.weights)} | {f"{kind}_equal": not names for kind, names in differing.items()}
    write(folder, result)
    if any(differing.values()):
        named = "; ".join(f"{kind}: {', '.join(names[:5])}" for kind, names in differing.items() if names)
        raise RuntimeError(f"{folder}: the saved model answers differently when it is loaded elsewhere ({named}); it is kept")
    return result


def answers_of_stranger(folder: str, question: dict):
    """Run `reload` in a process of its own, with an empty cache for the code that it loads.

    Returns:
        facts: the fingerprints of the weights, and of the encoder's through each Auto class.
        answers: tokens, outputs and hidden states by their names.

    Raises:
        CalledProcessError: if the checkpoint cannot be loaded.
    """
    with tempfile.TemporaryDirectory() as scratch:
        asked, answers = Path(scratch, "asked.json"), Path(scratch, "answers.safetensors")
        asked.write_text(json.dumps(question), encoding="utf-8")
        environment = environment_alone() | {"HF_MODULES_CACHE": str(Path(scratch, "modules")), "HF_HUB_OFFLINE": "1"}
        environment |= {"OMP_NUM_THREADS": str(torch.get_num_threads()), "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, str(RELOAD), str(folder), str(asked), str(answers)]
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        with safe_open(answers, "pt") as file:
            return json.loads(file.metadata()["facts"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def different(ours: dict, theirs: dict, prefix: str) -> list[str]:
    """Names under a prefix whose tensors are not equal to the last bit, or which only one side has."""
    names = {name for name in (*ours, *theirs) if name.startswith(prefix)}
    return sorted(name for name in names if name not in ours or name not in theirs or not equal(ours[name], theirs[name]))


def equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)


def different_encoders(memory: Memory, encoders: dict, theirs: dict) -> list[str]:
    """Auto classes through which the encoder has other weights or hidden states; only a pooler may be left out."""
    names = []
    for name, marks in encoders.items():
        lost = [weight for weight in memory.encoder if weight not in marks and not weight.startswith("pooler.")]
        changed = [weight for weight in memory.encoder if weight in marks and marks[weight] != memory.encoder[weight]]
        states = theirs.get(f"encoder.{name}", memory.tensors["encoder"])  # of some only the weights were asked for
        if lost or changed or not equal(memory.tensors["encoder"], states):
            names.append(name)
    return names


def write(folder: str, result: dict):
    """A new file: the old one may be a link to another folder's."""
    path = Path(folder, "roundtrip.json")
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
