"""What is kept of a text that is longer than the model takes: its head, its tail, or both (Sun et al. 2019, section 5.3.1).

They found that the first 128 and the last 382 of 510 tokens classify long reviews best.
"""

import numpy as np
from datasets import Dataset
from transformers import BatchEncoding, PreTrainedTokenizerBase

from ..errors import UserError
from .arguments import DataArguments
from .arrow import arrow_column, count_tokens

HEAD_SHARE = 128 / 510
SIDES = {"head": "right", "tail": "left", "head_tail": "right"}  # at which a tokenizer alone would cut
BY_SIDE = {"right": "head", "left": "tail"}


def settle_policy(args: DataArguments, tokenizer: PreTrainedTokenizerBase) -> str:
    """head, tail or head_tail: --long_text, else --truncation_side, else what the tokenizer was saved with.

    It is written into the tokenizer, so that who loads it later cuts as was trained, or can.

    Raises:
        UserError: if the flags contradict each other, or the tokenizer does not tell where its tokens come from.
    """
    if args.long_text and args.truncation_side and args.long_text != BY_SIDE[args.truncation_side]:
        raise UserError(
            f"--long_text {args.long_text} and --truncation_side {args.truncation_side} contradict each other; leave one away"
        )
    policy = args.long_text or BY_SIDE.get(args.truncation_side) or saved_policy(tokenizer)
    if policy == "head_tail" and not tokenizer.is_fast:
        raise UserError(
            f"--long_text head_tail needs a fast tokenizer, but {type(tokenizer).__name__} is none; take head or tail"
        )
    tokenizer.truncation_side = SIDES[policy]
    tokenizer.init_kwargs |= {"long_text": policy, "truncation_side": SIDES[policy]}
    return policy


def saved_policy(tokenizer: PreTrainedTokenizerBase) -> str:
    """head, tail or head_tail: what a tokenizer was saved with, by us or by others."""
    return tokenizer.init_kwargs.get("long_text") or BY_SIDE[tokenizer.truncation_side]


def encode(tokenizer: PreTrainedTokenizerBase, texts: list[list[str]], limit: int) -> BatchEncoding:
    """Texts in tokens, cut as the tokenizer was saved with: as in training.

    Args:
        tokenizer: of a checkpoint.
        texts: one list; two for pairs.
        limit: in tokens, special ones included.
    """
    if saved_policy(tokenizer) != "head_tail":
        return tokenizer(*texts, truncation=True, max_length=limit)
    encoded = tokenizer(*texts, verbose=False)
    truncate(encoded, limit, "head_tail")
    return encoded


def truncate(encoded: BatchEncoding, limit: int, policy: str) -> list[int]:
    """Shorten the rows that are too long, in place.

    Args:
        encoded: whole texts or pairs, by a fast tokenizer.
        limit: in tokens, special ones included.
        policy: head, tail or head_tail.

    Returns:
        How many tokens each row lost.
    """
    lost = [max(0, len(ids) - limit) for ids in encoded["input_ids"]]
    for row in np.flatnonzero(lost):
        kept = kept_positions(encoded.sequence_ids(row), limit, policy)
        for cells in encoded.values():
            cells[row] = list(map(cells[row].__getitem__, kept))
    return lost


def kept_positions(sequence_ids: list[int | None], limit: int, policy: str) -> list[int]:
    """Which tokens stay: all special ones, and of each text as many as it may keep.

    Args:
        sequence_ids: of each token which text it is of, 0 or 1; None for special ones.
        limit: in tokens.
        policy: head, tail or head_tail.
    """
    owners = np.array(sequence_ids, float)  # NaN: special
    first, second = ((owners == which).nonzero()[0] for which in (0, 1))
    special = np.isnan(owners).nonzero()[0]
    room = share(len(first), len(second), max(0, limit - len(special)))
    texts = (part_of(text, size, policy) for text, size in zip((first, second), room, strict=True))
    return np.sort(np.concatenate([special, *texts])).tolist()


def share(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens two texts keep if the longer is shortened first: tokenizers' `longest_first`, to the token.

    Args:
        first, second: their lengths in tokens.
        room: for both.
    """
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    long = max(short, room - short) if short <= room else short
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    return (long, short) if first > second else (short, long)


def part_of(tokens: np.ndarray, size: int, policy: str) -> np.ndarray:
    """`size` of the tokens: the first, the last, or some of both."""
    if len(tokens) <= size:
        return tokens
    head = {"head": size, "tail": 0}.get(policy, round(size * HEAD_SHARE))
    return np.concatenate([tokens[:head], tokens[len(tokens) - (size - head) :]])


def describe(rows: Dataset, limit: int, policy: str) -> str:
    """What training reads of its texts, and what it does not.

    Args:
        rows: tokenized, with `input_ids` and `lost`.
        limit: in tokens.
        policy: head, tail or head_tail.
    """
    lost = np.asarray(arrow_column(rows, "lost"))
    kept = count_tokens(rows)
    total = f"{lost.sum() + kept:,} tokens in {len(rows):,} training texts"
    if not lost.any():
        return f"{total}, none longer than {limit}"
    read = {"head": "the beginning", "tail": "the end", "head_tail": f"the first {HEAD_SHARE:.0%} of the limit and the end"}
    return (
        f"{total}; {(lost > 0).mean():.1%} of the texts are longer than {limit}, and {lost.sum() / (lost.sum() + kept):.1%} of "
        f"all tokens are lost: of a longer text {read[policy]} is read (--long_text {policy})"
    )
