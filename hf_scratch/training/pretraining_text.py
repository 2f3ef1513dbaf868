"""What pre-training takes from its flags before there is a model: a task's own text, the tokenizer, the length."""

import torch
from datasets import Dataset, concatenate_datasets
from transformers import AutoModel

from ..data import columns, sources, splits, tasks, tokenization
from ..data.arguments import DataArguments
from ..data.documents import lines_of_pairs
from ..errors import UserError
from .models import count_positions, load_config, named_tokenizer


def task_documents(names: list[str], split_seed: int) -> Dataset:
    """The texts of tasks' training parts, as `run_glue_style.py` carves them with this seed: no row that it reports is read.

    A pair of texts is one document of two lines.
    """
    parts = []
    for name in names:
        args = DataArguments(task_name=name, split_seed=split_seed)
        task = tasks.choose_task(args)
        rows = sources.load_splits(task)
        examples, labels = columns.to_examples(rows, columns.find_columns(rows, task))
        train = splits.choose_parts(examples, args, labels, selects=True, evaluates=True)["train"]
        parts.append(Dataset.from_dict(lines_of_pairs(*zip(*columns.texts_of(train), strict=True))))
    return concatenate_datasets(parts)


def tokenizer_for(args, documents: Dataset):
    """The named tokenizer, else that of the weights, else a WordPiece vocabulary learnt from a sample of the documents.

    Args:
        args: a `PretrainRun`.
        documents: to learn from.
    """
    flags = args.pretrain
    if args.model.tokenizer_name or args.model.model_name_or_path:
        name = args.model.tokenizer_name or args.model.model_name_or_path
        return check_special(named_tokenizer(name, args.model), name)
    sample = splits.sample(documents, flags.tokenizer_train_samples, flags.split_seed)
    return tokenization.train_wordpiece(sample["text"][:], args.model.tokenizer_vocab_size, 512, flags.do_lower_case)


def check_special(tokenizer, name: str):
    """The tokenizer, if it is a fast one with the tokens that inputs are made of.

    Raises:
        UserError: if it is not.
    """
    lacking = [name for name in ("cls", "sep", "mask", "pad") if getattr(tokenizer, f"{name}_token_id") is None]
    if lacking or not tokenizer.is_fast:
        lacks = f"no {' and no '.join(lacking)} token" if lacking else "no fast version"
        raise UserError(
            f"tokenizer {name}: has {lacks}, but inputs are [CLS] A [SEP] B [SEP] with [MASK] and [PAD]; give BERT's kind, or "
            "leave --tokenizer_name away to learn a vocabulary"
        )
    return tokenizer


def usable_length(args, tokenizer, say) -> int:
    """--max_seq_length, or the most that the model takes; and what the tokenizer truncates to from now on."""
    positions = positions_of(args.model, tokenizer)
    length = tokenization.usable_length(args.pretrain.max_seq_length, tokenizer, positions)
    if length < args.pretrain.max_seq_length:
        say.note(f"max_seq_length {args.pretrain.max_seq_length} is lowered to {length}, the most that the model takes")
    if positions and positions > 0:
        tokenizer.model_max_length = positions  # whoever fine-tunes may use longer inputs
    return length


def positions_of(args, tokenizer) -> int | None:
    """`count_positions` of the model that the flags name, before it is built: no weight is drawn or read."""
    config = load_config(args)
    if not args.model_name_or_path:
        config.pad_token_id = tokenizer.pad_token_id  # as `build_pretraining_model` does: RoBERTa counts from behind it
    try:
        with torch.device("meta"):
            return count_positions(AutoModel.from_config(config, trust_remote_code=args.trust_remote_code))
    except Exception:  # of sizes that do not fit together, which is said when the model is built
        return getattr(config, "max_position_embeddings", None)
