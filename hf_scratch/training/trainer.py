"""The Hugging Face Trainer, with what it leaves open for classifiers settled."""

from contextlib import nullcontext
from functools import cached_property, partial

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput, EvalPrediction, seed_worker

from ..screen import show
from .arguments import RegularizationArguments, SpeedArguments
from .checkpoints import WholeCheckpoints
from .class_weights import ClassWeights
from .collapse import CollapseStop
from .compilation import Compilation, choose_compilation, compiling
from .distributed import FILLER, Answers, BatchesInTurn, NumberedRows, SeededByEpoch, SharedBatches
from .faults import FaultsExplained
from .padding_free import CountTokens, choose_padding_free
from .sharding import shard_by_layers
from .token_batches import MOST_EVALUATED, TokenBatches, longest_first, row_lengths

WORDS = {"random": "of all lengths", "group_by_length": "each of about one length", "sequential": "as the rows come"}


class ClassificationTrainer(WholeCheckpoints, FaultsExplained, Trainer):
    """`Trainer` whose loss means the same for every model, with two regularizers that it has not.

    Trainer takes a `forward(**kwargs)` for one that divides its loss by `num_items_in_batch`, and leaves the loss of a model
    that does not multiplied by the accumulation steps and by the number of processes. The loss of a classifier is a mean over
    the batch, whatever its signature says.

    Args:
        regularization: off by default; `processing_class` must be a tokenizer to drop tokens.
        speed: padding-free wherever that is proven, and batches of a number of rows, by default.
        collapse: looks at every training batch.
        class_weights: of the loss in training; none by default.

    Attributes:
        execution: what was chosen for speed, a sentence each.
    """

    def __init__(
        self,
        *args,
        regularization: RegularizationArguments | None = None,
        speed: SpeedArguments | None = None,
        collapse: CollapseStop | None = None,
        class_weights: ClassWeights | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        shard_by_layers(self)
        self.model_accepts_loss_kwargs = False
        self.regularization = regularization or RegularizationArguments()
        self.speed = speed or SpeedArguments()
        self.max_tokens = self.speed.max_tokens_per_batch
        hides_tokens = self.regularization.token_dropout > 0
        self.padding_free, padding = choose_padding_free(self.speed.padding_free, self.model, self.args, hides_tokens)
        self.execution = {"padding": padding}
        if tokens := self.evaluated_tokens():
            self.execution["evaluation"] = f"evaluation in batches of up to {tokens:,} tokens, the longest texts first"
        if self.padding_free:
            self.data_collator = CountTokens(self.data_collator)
        self.class_weights = class_weights
        self.compilation = None
        if self.speed.max_tokens_per_batch and self.train_dataset is not None:
            self.token_batches(self.train_dataset)  # refuses a budget that is too small before anything is written
        self.collapse = collapse
        if collapse:
            self.add_callback(collapse)
        self.answers = None

    def _remove_unused_columns(self, dataset, description=None):
        """What the model takes, and each row's position, by which its answer is known."""
        return NumberedRows(super()._remove_unused_columns(dataset, description))

    def _get_train_sampler(self, train_dataset=None):
        """Trainer's order, drawn anew from the seed in each epoch; groups of length are those of the global batch."""
        sampler = super()._get_train_sampler(train_dataset)
        if self.args.train_sampling_strategy in ("sequential", "batch_rebalance"):
            return sampler
        if hasattr(sampler, "batch_size"):
            sampler.batch_size *= self.args.world_size
        return SeededByEpoch(sampler, self.args.seed if self.args.data_seed is None else self.args.data_seed)

    def _get_dataloader(self, dataset, description, batch_size, sampler_fn=None, is_training=False, dataloader_key=None):
        """Batches of this process. Trainer's own would repeat rows wherever the processes do not divide them evenly."""
        args = self.args
        if is_training and args.train_sampling_strategy == "batch_rebalance":  # shares the rows out itself
            return super()._get_dataloader(dataset, description, batch_size, sampler_fn, is_training, dataloader_key)
        rows = self._remove_unused_columns(dataset, description=description)
        share = {"rank": args.process_index, "world_size": args.world_size}
        if is_training and self.speed.max_tokens_per_batch:
            batches = self.token_batches(rows.rows)
        elif is_training:
            batches = SharedBatches(sampler_fn(rows), len(rows), batch_size, **share)
        else:
            tokens = self.evaluated_tokens()
            batches = longest_first(row_lengths(rows.rows), None if tokens else batch_size, tokens)
            batches = BatchesInTurn(batches, **share)
        loader = DataLoader(
            rows,
            batch_sampler=batches,
            collate_fn=self.data_collator,
            pin_memory=args.dataloader_pin_memory,
            **(self.workers() if is_training else {}),  # an evaluation is over while they start
        )
        # The batches are shared out already: to accelerate each process is the only one.
        return prepare_data_loader(
            *(loader, args.device),
            num_processes=1,
            process_index=0,
            put_on_device=True,
            non_blocking=args.dataloader_pin_memory,
        )

    def workers(self) -> dict:
        """What a `DataLoader` is told of its workers."""
        args = self.args
        return {
            "num_workers": args.dataloader_num_workers,
            "persistent_workers": args.dataloader_persistent_workers,
            "prefetch_factor": args.dataloader_prefetch_factor,
            "worker_init_fn": partial(seed_worker, num_workers=args.dataloader_num_workers, rank=args.process_index),
        }

    def evaluated_tokens(self) -> int | None:
        """Of a batch of evaluation; None if it has a number of rows. The same on any number of processes."""
        if not self.padding_free or not (self.speed.max_tokens_per_batch or self.speed.eval_by_tokens):
            return None
        return min(self.speed.max_tokens_per_batch or MOST_EVALUATED, MOST_EVALUATED)

    def token_batches(self, rows) -> TokenBatches:
        """This process's share of training batches with a budget of tokens, in the order that the flags ask for.

        Rows in a random order are grouped all the same where padding is computed, for it would fill mixed batches.
        """
        args, order = self.args, getattr(self.args.train_sampling_strategy, "value", self.args.train_sampling_strategy)
        if order == "random" and self.padding_free is None:
            order = "group_by_length"
        self.execution["batches"] = f"batches of up to {self.speed.max_tokens_per_batch:,} tokens, {WORDS.get(order)}"
        return TokenBatches(
            *(row_lengths(rows), self.speed.max_tokens_per_batch),
            seed=args.seed if args.data_seed is None else args.data_seed,
            rank=args.process_index,
            world_size=args.world_size,
            order=order,
        )

    def _prepare_inputs(self, inputs):
        """Trainer's inputs, without the positions of the rows, which no model takes."""
        inputs = dict(super()._prepare_inputs(inputs))
        self.rows = inputs.pop("row", None)
        return inputs

    def _get_num_items_in_batch(self, batch_samples, device):
        """The rows of one update: of all its batches, on all processes. None in evaluation, where each batch stands alone."""
        if self.answers is not None:
            return None
        count = sum((batch["row"] != FILLER).sum() for batch in batch_samples)
        return self.accelerator.reduce(count.to(device))

    def train(self, *args, **kwargs):
        """Trainer's, padding-free and compiled if that was chosen; the model that it leaves is the plain one."""
        chosen = self.choose_compilation()
        self.execution["compilation"] = str(chosen)
        if isinstance(chosen, str) and self.speed.torch_compile and self.is_world_process_zero():  # who asks is told at once
            show(f"  {chosen}")
        try:
            with self.padding_free or nullcontext(), compiling(self, chosen):
                return super().train(*args, **kwargs)
        finally:
            self.execution["compilation"] = str(chosen)

    def choose_compilation(self) -> Compilation | str:
        """What will compile the training, or why nothing will."""
        longest = int(row_lengths(self.train_dataset).max())
        return choose_compilation(self.speed.torch_compile, self.padding_free, self.args, longest)

    @cached_property
    def num_weights(self) -> int:
        return self.model.num_parameters(exclude_embeddings=True)

    def floating_point_ops(self, inputs):
        """Trainer's estimate, 6 a weight and token; the weights are counted once, as counting takes as long as a small step."""
        return 6 * inputs["input_ids"].numel() * self.num_weights

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Trainer's loss; in training with R-Drop, of two passes, and their divergence added.

        In training the batch weighs as many rows as it has among those of the update, so that the update is the mean over its
        rows, however they are spread over batches and processes.
        """
        if not model.training:
            return super().compute_loss(model, inputs, return_outputs)
        weight = self.regularization.r_drop
        if weight:
            inputs = {name: torch.cat([x, x]) if torch.is_tensor(x) else 2 * x for name, x in inputs.items()}
        if self.compilation:
            self.compilation.watch(inputs.get("num_tokens", inputs["input_ids"].numel()))
        if self.regularization.token_dropout:
            inputs = drop_tokens(inputs, self.regularization.token_dropout, self.processing_class.all_special_ids)
        labels = inputs.get("labels")  # label smoothing takes them out
        loss, outputs = super().compute_loss(model, inputs, True)
        if self.class_weights:
            loss = self.class_weights.loss(outputs.logits, labels, self.args.label_smoothing_factor)
        if self.collapse:
            self.collapse.watch(outputs.logits, labels)
        if weight:
            loss = loss + weight * divergence(*outputs.logits.chunk(2), self.model.config.problem_type)
        if num_items_in_batch is not None:
            # Trainer divides by the batches of the update, and the processes are averaged.
            batches = self.current_gradient_accumulation_steps * self.args.world_size
            loss = loss * ((self.rows != FILLER).sum() * batches / num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Trainer's, with the answers kept for `evaluation_loop`, which needs nothing of them until all are there."""
        with self.memory_explained(inputs, training=False):
            loss, logits, labels = super().prediction_step(model, inputs, prediction_loss_only, ignore_keys)
        self.answers.add(self.rows, loss, logits, labels)
        return None, None, None

    def weights_cast_once(self):
        """A block for a whole evaluation. In mixed precision, what autocast makes of the weights lives as long as its outermost
        block, which else is one batch."""
        return self.accelerator.autocast() if self.padding_free else nullcontext()

    def evaluation_loop(self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"):
        """Trainer's loop over the batches of this process; then loss and metrics of all rows, each counted once."""
        self.answers = Answers()
        try:
            with self.padding_free or nullcontext(), self.weights_cast_once():
                super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
            loss, logits, labels = self.answers.gather(len(dataloader.dataset))
        finally:
            self.answers = None
            if not self.is_in_train:
                # What accelerate has once prepared for evaluation alone, it would train without exchanging gradients.
                self.model._is_accelerate_prepared = False
        metrics = {} if loss is None else {"loss": loss}
        if self.compute_metrics and labels is not None:
            metrics |= self.compute_metrics(EvalPrediction(predictions=logits, label_ids=labels))
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(logits, labels, metrics, len(dataloader.dataset))


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
    kept = {name: x for name, x in inputs.items() if name != "num_tokens"}  # to be counted anew
    return kept | {"attention_mask": mask.masked_fill(hidden, 0)}


def divergence(first: torch.Tensor, second: torch.Tensor, problem_type: str | None = None) -> torch.Tensor:
    """How far two passes over the same rows are apart, a mean over the batch (R-Drop, Liang et al. 2021).

    Of classes, their equation 2: ½ KL(p‖q) + ½ KL(q‖p) = ½ Σ (p - q)(log p - log q). Of several labels the same for the two
    outcomes of each, which is ½ (p - q)(logit p - logit q), summed. Of numbers their squared difference, as they do for STS-B.

    Args:
        first, second: the logits of p and q, `(B, num_labels)`.
        problem_type: of the model's configuration; None for classes.
    """
    if problem_type == "regression":
        return ((first - second) ** 2).mean()
    if problem_type == "multi_label_classification":
        return ((first.sigmoid() - second.sigmoid()) * (first - second)).sum(-1).mean() / 2
    first, second = first.log_softmax(-1), second.log_softmax(-1)
    return ((first.exp() - second.exp()) * (first - second)).sum(-1).mean() / 2
