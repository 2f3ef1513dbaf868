"""Rows to batches."""

from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase


def make_collator(tokenizer: PreTrainedTokenizerBase, max_length: int, pad_to_max_length: bool = False):
    """Pad each batch to its longest row, or to `max_length`.

    Args:
        tokenizer: knows the padding token and side.
        max_length: in tokens.
        pad_to_max_length: one shape for all batches.
    """
    padding = "max_length" if pad_to_max_length else "longest"
    return DataCollatorWithPadding(tokenizer, padding=padding, max_length=max_length)
