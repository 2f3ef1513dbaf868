"""Proof that a checkpoint answers elsewhere as the model in memory does."""

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

RELOAD = Path(__file__).with_name("reload.py")


def certify(folder: str, model, tokenizer, texts: list) -> dict:
    """Reload a checkpoint in a fresh process that cannot see this package, compare, and write roundtrip.json.

    Args:
        folder: of the checkpoint.
        model: what was saved there.
        tokenizer: the same.
        texts: a few texts, or pairs of texts.

    Returns:
        What was compared, and whether all of it is equal to the last bit.

    Raises:
        RuntimeError: if the reloaded model differs or cannot be loaded; the folder is kept.
    """
    answers = answers_of_stranger(folder, texts)
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        here = copy.deepcopy(model).cpu().eval()
        logits = here(**inputs).logits
    weights = here.state_dict()
    differing = [name for name, tensor in weights.items() if not equal(tensor, answers.get(f"weight.{name}"))]
    result = {
        "texts": len(texts),
        "weights": len(weights),
        "weights_equal": not differing,
        "tokens_equal": equal(inputs["input_ids"], answers["input_ids"]),
        "logits_equal": equal(logits, answers["logits"]),
    }
    Path(folder, "roundtrip.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if not all(value for key, value in result.items() if key.endswith("_equal")):
        raise RuntimeError(
            f"{folder}: the saved model answers differently when it is loaded elsewhere: {result} {differing[:5]}"
        )
    return result


def equal(first: torch.Tensor, second: torch.Tensor | None) -> bool:
    return second is not None and first.dtype == second.dtype and torch.equal(first, second)


def answers_of_stranger(folder: str, texts: list) -> dict[str, torch.Tensor]:
    """Run `reload` in a process of its own, with an empty cache for the code that it loads."""
    with tempfile.TemporaryDirectory() as scratch:
        texts_file, answers_file = Path(scratch, "texts.json"), Path(scratch, "answers.safetensors")
        texts_file.write_text(json.dumps(texts), encoding="utf-8")
        environment = os.environ | {"HF_MODULES_CACHE": str(Path(scratch, "modules")), "HF_HUB_OFFLINE": "1"}
        environment |= {"OMP_NUM_THREADS": str(torch.get_num_threads()), "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, str(RELOAD), folder, str(texts_file), str(answers_file)]
        child = subprocess.run(command, env=environment, capture_output=True, text=True)
        if child.returncode:
            raise RuntimeError(f"{folder}: the saved model cannot be loaded elsewhere:\n{child.stderr[-3000:]}")
        return load_file(answers_file)
