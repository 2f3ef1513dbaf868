"""Which tokens are hidden and have to be told (Devlin et al. 2019, section 3.1, task 1, and A.1)."""

from dataclasses import dataclass, replace

import torch

from ..errors import UserError

IGNORED = -100  # label of what is not asked for


@dataclass(frozen=True)
class Masking:
    """The rule: choose tokens, then hide 80 % of the chosen, replace 10 % by random tokens, and keep 10 %.

    Of n ordinary tokens in a row, exactly round(probability · n) are chosen, at least one, as the authors' code does: so a full
    row always asks for the same number, and shapes stay fixed. Special tokens and padding are never chosen.

    Args:
        mask_id: of [MASK].
        is_ordinary: whether an id is no special token, `(V,)`.
        ordinary: the ids that are none, `(V',)`: random tokens are drawn from them.
        continuing: whether an id continues a word ("##ing"), `(V,)`; chooses whole words. None chooses tokens.
        probability: of choosing a token.
        shares: of the chosen that are hidden and replaced; the rest stays.
    """

    mask_id: int
    is_ordinary: torch.Tensor
    ordinary: torch.Tensor
    continuing: torch.Tensor | None = None
    probability: float = 0.15
    shares: tuple[float, float] = (0.8, 0.1)

    def to(self, device) -> "Masking":
        """The same rule with its tables on a device."""
        tables = {name: getattr(self, name) for name in ("is_ordinary", "ordinary", "continuing")}
        return replace(self, **{name: table if table is None else table.to(device) for name, table in tables.items()})

    def hiding_all(self) -> "Masking":
        """All chosen tokens hidden."""
        return replace(self, shares=(1.0, 0.0))

    def one_a_row(self) -> "Masking":
        """One hidden token a row and nothing else: what pseudo-perplexity asks for (Salazar et al. 2020)."""
        return replace(self.hiding_all(), continuing=None, probability=0.0)

    def __call__(self, input_ids: torch.Tensor, generator: torch.Generator | None = None):
        """
        Args:
            input_ids: `(B, T)`; only read.
            generator: of the draws, on the same device.

        Returns:
            `input_ids` with the chosen tokens treated, `(B, T)`; `positions` of the chosen in the flattened batch, `(B, K)`
            for the largest number K that a row of T tokens can ask for; and their `labels`, `(B, K)`, IGNORED where a row asks
            for fewer.
        """
        B, T = input_ids.shape
        eligible = self.is_ordinary[input_ids]
        wanted = self.wanted(eligible)
        if self.continuing is None:
            score = torch.rand(B, T, device=input_ids.device, generator=generator)
        else:
            score = self.word_scores(input_ids, eligible, wanted, generator)
        score = score.masked_fill(~eligible, -1.0)
        K = max(1, round(T * self.probability))
        columns = score.topk(K, dim=1).indices  # (B, K), the chosen first
        chosen = torch.arange(K, device=input_ids.device) < wanted[:, None]
        if self.continuing is not None:
            chosen &= score.gather(1, columns) >= 1
        labels = input_ids.gather(1, columns).masked_fill(~chosen, IGNORED)
        return self.treat(input_ids, columns, chosen, generator), in_flattened(columns, T), labels

    def wanted(self, eligible: torch.Tensor) -> torch.Tensor:
        """How many tokens are chosen in each row, `(B, T)` -> `(B,)`; of whole words it may be fewer."""
        return (eligible.sum(1) * self.probability).round().long().clamp(min=1).minimum(eligible.sum(1))

    def treat(self, input_ids, columns, chosen, generator):
        """80 % [MASK], 10 % a random token, 10 % as it was; what was not chosen stays."""
        hidden, replaced = self.shares
        draw = torch.rand(columns.shape, device=columns.device, generator=generator)
        which = torch.randint(len(self.ordinary), columns.shape, device=columns.device, generator=generator)
        old = input_ids.gather(1, columns)
        new = torch.where(draw < hidden, self.mask_id, torch.where(draw < hidden + replaced, self.ordinary[which], old))
        return input_ids.scatter(1, columns, torch.where(chosen, new, old))

    def word_scores(self, input_ids, eligible, wanted, generator):
        """Scores `(B, T)`, at least 1 for the tokens of the words that are chosen, below 1 for the rest.

        Words in a random order are taken whole; one that would be too many is passed over, as in the authors' code.
        """
        B, T = input_ids.shape
        begins = eligible & ~self.continuing[input_ids]
        begins[:, 1:] |= eligible[:, 1:] & ~eligible[:, :-1]  # a segment that was cut within a word
        word = torch.where(eligible, begins.long().cumsum(1), 0)  # (B, T), tokens of one word share a number
        sizes = torch.zeros(B, T + 1, dtype=torch.long, device=input_ids.device).scatter_add_(1, word, eligible.long())
        order = torch.rand(B, T + 1, device=input_ids.device, generator=generator)
        taken = torch.zeros_like(sizes, dtype=torch.bool)
        left = wanted.clone()
        for _ in range(3):  # each pass fills what the last left open; three leave next to nothing
            open_ = ~taken & (sizes > 0) & (sizes <= left[:, None])
            ranks = order.masked_fill(~open_, 2.0).argsort(1)
            total = torch.where(open_, sizes, 0).gather(1, ranks).cumsum(1)
            fits = (total <= left[:, None]) & open_.gather(1, ranks)
            taken = taken.scatter(1, ranks, fits | taken.gather(1, ranks))
            left = wanted - torch.where(taken, sizes, 0).sum(1)
        return taken.gather(1, word).float()


class CountMasked:
    """A collator that adds how many tokens of its batches will be chosen, or more: counted here, no device is waited for later.

    Args:
        collator: to whose batches it is added.
        masking: the rule, with its tables where the batches are.
    """

    def __init__(self, collator, masking: Masking):
        self.collator, self.masking = collator, masking

    def __call__(self, rows) -> dict:
        batch = dict(self.collator(rows))
        if "labels" not in batch:
            batch["num_masked"] = int(self.masking.wanted(self.masking.is_ordinary[batch["input_ids"]]).sum())
        return batch


def asked_first(positions: torch.Tensor, labels: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `count` positions and labels, each `(count,)`, once those that are asked for stand before the rest."""
    order = (labels == IGNORED).flatten().byte().sort(stable=True).indices[:count]
    return positions.flatten()[order], labels.flatten()[order]


def in_flattened(columns: torch.Tensor, T: int) -> torch.Tensor:
    """Where columns `(B, K)` of a batch `(B, T)` are in the flattened batch, `(B, K)`."""
    return columns + torch.arange(len(columns), device=columns.device)[:, None] * T


def masking_for(tokenizer, probability: float = 0.15, whole_words: bool = False) -> Masking:
    """The rule for a WordPiece tokenizer's vocabulary.

    Raises:
        UserError: if whole words are asked for, and nothing in the vocabulary continues a word.
    """
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    is_ordinary = torch.ones(len(tokenizer), dtype=torch.bool)
    is_ordinary[tokenizer.all_special_ids] = False
    continuing = torch.tensor([token.startswith("##") for token in tokens]) if whole_words else None
    if whole_words and not continuing.any():
        raise UserError(
            f"--whole_word_mask given, but none of the tokenizer's {len(tokens):,} tokens begins with ##, so words cannot be "
            "told; leave the flag away, or give a WordPiece tokenizer"
        )
    return Masking(tokenizer.mask_token_id, is_ordinary, is_ordinary.nonzero()[:, 0], continuing, probability)
