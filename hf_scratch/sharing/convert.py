"""BERT checkpoints to scratch checkpoints and back, checked on real sentences before anything is left on disk."""

import contextlib
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel

from .. import model as scratch
from ..errors import UserError
from ..model.bert_weights import BERT_ARCHITECTURES, read_bert

# What a user calls a head -> the end of the class's name.
HEADS = {
    "none": "Model",
    "pretraining": "ForPreTraining",
    "masked-lm": "ForMaskedLM",
    "next-sentence-prediction": "ForNextSentencePrediction",
    "sequence-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "multiple-choice": "ForMultipleChoice",
}

# Of several lengths, so that the shorter ones are padded.
SENTENCES = (
    "I have been going to this restaurant for ten years, and not once did I leave hungry or disappointed.",
    "Awful.",
    "The room was clean, the staff was friendly and the view over the harbour made up for the noise at night!",
    "We waited 45 minutes; then they told us that the kitchen had closed.",
    "Would I come back? Perhaps, if the prices came down a little.",
)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
HALF_PRECISION_TOLERANCE = 1e-2


def convert(source: str, destination: str, head: str | None = None, to: str = "scratch") -> dict:
    """Write a BERT checkpoint as a scratch checkpoint, or the reverse, with its tokenizer.

    Args:
        source: a folder or a Hub name.
        destination: a folder that does not exist yet, or is empty.
        head: a key of `HEADS`; the source's own by default.
        to: "scratch" or "bert".

    Returns:
        `architecture` that was written, its number of `tensors`, the names of the `new` ones that the source did not
        hold, and the largest `difference` of any output on `SENTENCES`.

    Raises:
        UserError: if the source cannot be read or converted, or the destination is taken. Nothing is left there then.
    """
    folder = Path(destination).resolve()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{destination} exists and is no empty folder, and nothing is overwritten; give another name")
    # What transformers and the model's own rules refuse, the user can mend.
    try:
        original, converted, new = read(source, head, to)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, SafetensorError) as error:
        what = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{source} cannot be converted: {what}; give another checkpoint, --head or --to") from error
    inputs = tokenize(source, tokenizer, converted.config)
    difference = require_same_outputs(original, converted, inputs)
    with moved_when_whole(folder) as unfinished:
        converted.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        require_same_outputs(original, type(converted).from_pretrained(unfinished), inputs)
    return {
        "architecture": type(converted).__name__,
        "tensors": len(converted.state_dict()),
        "new": new,
        "difference": difference,
    }


def read(source: str, head: str | None, to: str) -> tuple[PreTrainedModel, PreTrainedModel, list[str]]:
    """The model as it is, the model converted, and the names of the tensors that the source does not hold.

    Raises:
        ValueError: if the source is not of the family that is converted, or has no counterpart in the other.
    """
    config, _ = PreTrainedConfig.get_config_dict(source)
    if to == "scratch":
        name = f"Bert{head_of(config, head)}"
        bert, new = read_bert(source, name)
        return bert, getattr(scratch, name.replace("Bert", "Scratch")).from_bert(bert), sorted(new)
    if config.get("model_type") != "scratch":
        raise ValueError(
            f"it has model_type {config.get('model_type')!r}, but only 'scratch' can be turned into BERT: a "
            f"checkpoint of {', '.join(name.replace('Bert', 'Scratch') for name in BERT_ARCHITECTURES)}"
        )
    scratch_class = getattr(scratch, f"Scratch{head_of(config, head)}")
    ours, info = scratch_class.from_pretrained(source, output_loading_info=True)
    return ours, ours.to_bert(), sorted(info["missing_keys"])


def head_of(config: dict, head: str | None) -> str:
    """The end of the class's name: of the head that is asked for, else of the one that wrote the checkpoint."""
    if head is not None:
        return HEADS[head]
    architecture = (config.get("architectures") or ["Model"])[0]
    ending = architecture.removeprefix("Bert").removeprefix("Scratch")
    return ending if ending in HEADS.values() else "Model"


def tokenize(source, tokenizer, config):
    """`SENTENCES` as a padded batch that the model can take.

    Raises:
        UserError: if tokenizer and model do not belong together.
    """
    inputs = tokenizer(
        list(SENTENCES), padding=True, truncation=True, max_length=config.max_position_embeddings, return_tensors="pt"
    )
    ids = inputs["input_ids"]
    if set(ids.unique().tolist()) <= set(tokenizer.all_special_ids):  # what transformers builds where there are no files
        raise UserError(
            f"the tokenizer of {source} knows none of the words of {len(SENTENCES)} English sentences; put the files of the "
            "tokenizer that the model was trained with beside it (tokenizer.json, or vocab.txt)"
        )
    highest = int(ids.max())
    if highest >= config.vocab_size:
        raise UserError(
            f"the tokenizer of {source} gives token {highest}, but the model knows {config.vocab_size} tokens; put "
            "the tokenizer that the model was trained with beside it"
        )
    return inputs


@torch.no_grad()
def require_same_outputs(original, converted, inputs) -> float:
    """Compare every output of two models on the same sentences.

    Returns:
        The largest difference.

    Raises:
        RuntimeError: if it is too large: our fault.
    """
    if type(converted).__name__.endswith("ForMultipleChoice"):
        inputs = {name: tensor.unsqueeze(1) for name, tensor in inputs.items()}  # (B, T) -> (B, 1, T)
    theirs, ours = original.eval()(**inputs), converted.eval()(**inputs)
    # Not Python's max, which may drop a NaN.
    difference = float(torch.stack([(theirs[name] - ours[name]).abs().max().double() for name in theirs]).max())
    tolerance = TOLERANCE.get(converted.dtype, HALF_PRECISION_TOLERANCE)
    if not difference <= tolerance:  # NaN is refused too
        raise RuntimeError(
            f"{type(converted).__name__} differs from {type(original).__name__} by {difference}, more than "
            f"{tolerance}, on {len(SENTENCES)} sentences; nothing was written"
        )
    return difference


@contextlib.contextmanager
def moved_when_whole(folder: Path):
    """A folder beside `folder` that takes its place at the end, or vanishes if anything goes wrong."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


__all__ = ["HEADS", "convert"]
