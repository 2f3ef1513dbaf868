"""The Hugging Face Trainer, with what it leaves open for classifiers settled."""

import torch
from torch.utils.data import SequentialSampler
from transformers import Trainer

from .arguments import RegularizationArguments
from .collapse import CollapseStop


class ClassificationTrainer(Trainer):
    """`Trainer` whose loss means the same for every model, with two regularizers that it has not.

    Trainer takes a `forward(**kwargs)` for one that divides its loss by `num_items_in_batch`, and leaves the loss of a model
    that does not multiplied by the accumulation steps and by the number of processes. The loss of a classifier is a mean over
    the batch, whatever its signature says.

    Args:
        regularization: off by default; `processing_class` must be a tokenizer to drop tokens.
        collapse: looks at every training batch.
    """

    def __init__(
        self,
        *args,
        regularization: RegularizationArguments | None = None,
        collapse: CollapseStop | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
        self.regularization = regularization or RegularizationArguments()
        self.collapse = collapse
        if collapse:
            self.add_callback(collapse)

    def _get_eval_sampler(self, eval_dataset):
        """The rows in their order. Trainer itself, told to train by groups of length, predicts by length too, out of order."""
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Trainer's loss; in training with R-Drop, of two passes, and their divergence added."""
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        weight = self.regularization.r_drop
        if weight:
            inputs = {name: torch.cat([tensor, tensor]) for name, tensor in inputs.items()}
        if self.regularization.token_dropout:
            inputs = drop_tokens(inputs, self.regularization.token_dropout, self.processing_class.all_special_ids)
        labels = inputs.get("labels")  # label smoothing takes them out
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self.collapse:
            self.collapse.watch(outputs.logits, labels)
        if weight:
            loss = loss + weight * symmetric_divergence(*outputs.logits.chunk(2))
        return (loss, outputs) if return_outputs else loss


def drop_tokens(inputs: dict[str, torch.Tensor], probability: float, special_ids: list[int]) -> dict[str, torch.Tensor]:
    """Hide tokens from the encoder, by its attention mask; [CLS] and [SEP] stay (word dropout, Iyyer et al. 2015, 2.3.1).

    Args:
        inputs: with `input_ids` and `attention_mask`, each `(B, T)`.
        probability: of hiding a token.
        special_ids: of the tokens that are never hidden.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    hidden = torch.rand(ids.shape, device=ids.device) < probability
    hidden &= ~torch.isin(ids, torch.tensor(special_ids, device=ids.device))
    return {**inputs, "attention_mask": mask.masked_fill(hidden, 0)}


def symmetric_divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of ½ KL(p‖q) + ½ KL(q‖p) = ½ Σ (p - q)(log p - log q) (Liang et al. 2021, equation 2).

    Args:
        first, second: the logits of p and q, `(B, num_labels)`.
    """
    first, second = first.log_softmax(-1), second.log_softmax(-1)
    return ((first.exp() - second.exp()) * (first - second)).sum(-1).mean() / 2
