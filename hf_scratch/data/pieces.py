"""Long labelled texts as many short ones: pieces of a few tokens, each with the label of its text."""

from datasets import Dataset
from transformers import PreTrainedTokenizerBase


def cut_into_pieces(rows: Dataset, tokenizer: PreTrainedTokenizerBase, length: int) -> Dataset:
    """Cut every text into consecutive pieces, each between the tokenizer's special tokens.

    Args:
        rows: with `text` and `label`.
        tokenizer: a fast one, which alone returns what it cut off.
        length: of a piece in tokens, special ones included.

    Returns:
        The model's inputs and `label`, one row a piece; a text's last piece may be shorter.
    """

    def cut(batch):
        pieces = tokenizer(batch["text"], truncation=True, max_length=length, return_overflowing_tokens=True)
        sources = pieces.pop("overflow_to_sample_mapping")
        return {**pieces, "label": [batch["label"][source] for source in sources]}

    return rows.map(cut, batched=True, remove_columns=rows.column_names, desc="cut into pieces")
