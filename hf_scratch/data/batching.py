"""Rows to batches."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ..errors import UserError

STEPS = ("pad", "_pad")  # of a tokenizer, in which some pad inputs of their own


def make_collator(tokenizer: PreTrainedTokenizerBase, max_length: int, pad_to_max_length: bool = False):
    """Pad each batch to its longest row, or to `max_length`.

    Args:
        tokenizer: knows the padding token and side.
        max_length: in tokens.
        pad_to_max_length: one shape for all batches.

    Raises:
        UserError: if the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise UserError(
            "the tokenizer has no padding token, but the rows of a batch are padded to one length; name one in its "
            'tokenizer_config.json, such as "pad_token": "[PAD]"'
        )
    if any(getattr(type(tokenizer), step) is not getattr(PreTrainedTokenizerBase, step) for step in STEPS):
        return DataCollatorWithPadding(tokenizer, "max_length" if pad_to_max_length else "longest", max_length)
    fillers = {"token_type_ids": tokenizer.pad_token_type_id, "attention_mask": 0, "special_tokens_mask": 1}
    fillers[tokenizer.model_input_names[0]] = tokenizer.pad_token_id
    left, masked = tokenizer.padding_side == "left", "attention_mask" in tokenizer.model_input_names
    return PaddingCollator(fillers, left, masked, max_length if pad_to_max_length else None)


@dataclass(frozen=True)
class PaddingCollator:
    """What `DataCollatorWithPadding` makes of rows, from whole arrays: the library looks at every token by itself.

    Args:
        fillers: of each input that has a value a token, what it is padded with.
        left: where it is padded; else on the right.
        masked: whether rows without an `attention_mask` get one.
        length: of all batches; None for that of the longest row.
    """

    fillers: dict[str, int]
    left: bool = False
    masked: bool = True
    length: int | None = None

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """The batch: inputs `(B, T)`, and whatever else the rows hold, `label` under the name `labels`."""
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        lengths = np.fromiter(map(len, columns["input_ids"]), np.int64, len(rows))
        place = np.arange(max(self.length or 0, lengths.max()))
        real = place >= len(place) - lengths[:, None] if self.left else place < lengths[:, None]  # (B, T)
        batch = {"attention_mask": torch.from_numpy(real.astype(np.int64))} if self.masked else {}
        for name, values in columns.items():
            if name in self.fillers:
                padded = np.full(real.shape, self.fillers[name])
                padded[real] = np.concatenate(values)
                batch[name] = torch.from_numpy(padded)
            else:
                batch["labels" if name in ("label", "label_ids") else name] = as_tensor(values)
        return batch


def as_tensor(values: list) -> torch.Tensor:
    """Numbers, or lists of as many numbers, in the types that models take."""
    tensor = torch.from_numpy(np.array(values))
    return tensor.float() if tensor.is_floating_point() else tensor.long()
