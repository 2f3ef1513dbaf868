"""Replaced token detection beside masked tokens: what Clark et al. 2020 (ELECTRA) add to BERT's question.

Of the chosen tokens BERT hides 80 %, replaces 10 % by random words and keeps 10 %. Here [MASK] hides half of them, and a small
generator, which sees them all hidden, puts words of its own into the places of the other half. The encoder is asked for every
chosen token, as ever, and of every token that it sees whether it is the one that stood there: so each token teaches, and not
the chosen ones alone. Generator and detector serve the training only; what is saved in the end is the masked language model.
"""

import copy
import functools
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from ..data.masking import IGNORED
from ..errors import UserError
from ..model.modeling_scratch import mean_cross_entropy
from .pretraining_model import head_of, pick

NAME = "replaced_tokens"  # of the module within the model, while it trains
WEIGHT = 10.0  # of the detector's loss: of 10 and 30 the better after 150 seconds of one GPU (README, Results)
HIDDEN = 0.5  # share of the chosen tokens that is [MASK]; the generator draws the others


@dataclass
class ReplacedTokensOutput(ModelOutput):
    """The sum of the three losses, and each of them before it is weighted."""

    loss: torch.Tensor | None = None
    mlm_loss: torch.Tensor | None = None
    generator_loss: torch.Tensor | None = None
    detection_loss: torch.Tensor | None = None


class ReplacedTokens(nn.Module):
    """A generator and a detector for a masked language model: loss = MLM + MLM of the generator + weight · detection.

    The generator is the encoder with fewer layers. It begins as a copy of the first ones, and reads and answers with
    the encoder's own word vectors and head. No gradient goes from the detector to it: a draw has none.

    Args:
        model: a masked language model; gets this module as a part while it is `attached`.
        mask_id: of [MASK].
        layers: of the generator, at least 1; None takes a quarter of the encoder's, rounded down.
        weight: of the detector's loss; None takes WEIGHT.

    Raises:
        UserError: if the model cannot have so many layers, or its head is more than one module.
    """

    def __init__(self, model: PreTrainedModel, mask_id: int, layers: int | None = None, weight: float | None = None):
        super().__init__()
        self.mask_id, self.weight = mask_id, WEIGHT if weight is None else weight
        self.parts = (model, head_of(model))  # in a tuple they do not become parts of this module
        config = copy.deepcopy(model.config)
        most = getattr(config, "num_hidden_layers", None) or 0
        config.num_hidden_layers = max(1, most // 4) if layers is None else layers
        if not 1 <= config.num_hidden_layers <= most:
            raise UserError(
                f"--generator_layers is {layers}, but the generator has some of the encoder's {most} layers; give 1 to {most}, "
                "or leave the flag away"
            )
        self.generator = type(model)(config).base_model
        self.generator.load_state_dict(model.base_model.state_dict(), strict=False)
        self.generator.set_input_embeddings(nn.Identity())  # it is handed the encoder's vectors
        D = config.hidden_size
        check_head(self.parts[1], D, model)
        self.detector = nn.Sequential(nn.Linear(D, D), nn.GELU(), nn.Linear(D, 1)).apply(model._init_weights)
        self.to(model.device)

    @contextmanager
    def attached(self):
        """Within, the model has this module as a part, for optimizer and checkpoints, and its forward takes `original` too."""
        model, plain = self.parts[0], self.parts[0].forward

        # A function, not a method: accelerate binds the function of a method to the model.
        @functools.wraps(plain)
        def forward(*args, original=None, **kwargs):
            return plain(*args, **kwargs) if original is None else self(original=original, **kwargs)

        model.add_module(NAME, self)
        model.forward = forward
        try:
            yield
        finally:
            delattr(model, NAME)

    def forward(self, input_ids, positions, labels, original, attention_mask=None) -> ReplacedTokensOutput:
        """
        Args:
            input_ids: `(B, T)`, all chosen tokens hidden.
            positions: `(M,)` of the chosen in the flattened batch.
            labels: `(M,)`, what stood there; IGNORED where a row asks for fewer tokens.
            original: `(B, T)`, nothing hidden.
            attention_mask: `(B, T)`, 1 for real tokens; None where all are.

        Returns:
            The losses.
        """
        _, head = self.parts
        guesses = self.guess(input_ids, positions, attention_mask)  # (M, V)
        seen = self.replace(guesses.detach(), positions, labels, original)
        hidden = self.encode(seen, attention_mask)
        mlm_loss = mean_cross_entropy(head(pick(hidden, positions)), labels)
        generator_loss = mean_cross_entropy(guesses, labels)
        visible = self.visible(seen, attention_mask)
        detection, _ = self.detect(hidden, seen != original)
        detection_loss = (detection * visible).sum() / visible.sum()
        loss = mlm_loss + generator_loss + self.weight * detection_loss
        return ReplacedTokensOutput(loss, mlm_loss.detach(), generator_loss.detach(), detection_loss.detach())

    def guess(self, input_ids, positions, attention_mask):
        """What the generator makes of the hidden tokens: logits `(M, V)`."""
        model, head = self.parts
        words = model.get_input_embeddings()(input_ids)  # (B, T, D)
        hidden = self.generator(inputs_embeds=words, attention_mask=attention_mask).last_hidden_state
        return head(pick(hidden, positions))

    def replace(self, guesses, positions, labels, original, generator: torch.Generator | None = None):
        """`(B, T)`: of the chosen tokens a half [MASK], drawn anew, and the rest words drawn from softmax(guesses)."""
        # argmax(logits - log E) with E ~ Exp(1) is a draw from their softmax (Gumbel's trick).
        noise = torch.empty_like(guesses, dtype=torch.float).exponential_(generator=generator).clamp_min(1e-20).log()
        drawn = (guesses.float() - noise).argmax(-1)
        hidden = torch.empty_like(labels, dtype=torch.float).uniform_(generator=generator) < HIDDEN
        flat = original.flatten()
        new = torch.where(hidden, self.mask_id, drawn)
        return flat.scatter(0, positions, torch.where(labels != IGNORED, new, flat[positions])).view_as(original)

    def encode(self, input_ids, attention_mask):
        """The encoder's last hidden states, `(B, T, D)`."""
        return self.parts[0].base_model(input_ids, attention_mask=attention_mask).last_hidden_state

    def visible(self, seen, attention_mask):
        """Which tokens the encoder sees: neither [MASK] nor padding; `(B, T)`."""
        visible = seen != self.mask_id
        return visible if attention_mask is None else visible & attention_mask.bool()

    def detect(self, hidden, replaced):
        """Binary cross-entropy of each token, and whether the detector calls it replaced; each `(B, T)`."""
        logits = self.detector(hidden).squeeze(-1).float()  # (B, T, D) -> (B, T)
        losses = nn.functional.binary_cross_entropy_with_logits(logits, replaced.float(), reduction="none")
        return losses, logits > 0

    def sums_of_rows(
        self, input_ids, positions, labels, attention_mask=None, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """How held-out rows are judged.

        Args:
            input_ids: `(B, T)`, some of the asked tokens hidden.
            positions: `(B, K)` of the asked in the flattened batch.
            labels: `(B, K)`.
            attention_mask: `(B, T)` or None.
            generator: of the draws.

        Returns:
            `(B, 5)`: visible tokens, their summed loss, how many were replaced, were called so, and both.
        """
        flat, positions, labels = input_ids.flatten(), positions.flatten(), labels.flatten()
        chosen, old = labels != IGNORED, flat[positions]
        original = flat.scatter(0, positions, torch.where(chosen, labels, old)).view_as(input_ids)
        masked = flat.scatter(0, positions, torch.where(chosen, self.mask_id, old)).view_as(input_ids)
        seen = self.replace(self.guess(masked, positions, attention_mask), positions, labels, original, generator)
        visible, replaced = self.visible(seen, attention_mask), seen != original
        losses, called = self.detect(self.encode(seen, attention_mask), replaced)
        counted = (visible, losses * visible, replaced & visible, called & visible, replaced & called & visible)
        return torch.stack([part.sum(1).float() for part in counted], dim=1)


def check_head(head: nn.Module, D: int, model: PreTrainedModel):
    """Refuse a model that does more than call its head: DistilBERT's and ModernBERT's have parts in front of it."""
    others = [weight for child in model.children() if child not in (model.base_model, head) for weight in child.parameters()]
    try:
        with torch.no_grad():
            head(torch.zeros(1, D, device=model.device, dtype=model.dtype))
        fits = not others
    except RuntimeError:
        fits = False
    if not fits:
        raise UserError(
            f"--objective mlm+rtd with {type(model).__name__}, but generator and encoder share one head over hidden states of "
            f"size {D}, and its head has more parts or takes others; give --objective mlm, or --model_type scratch or bert"
        )
