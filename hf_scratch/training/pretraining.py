"""Pre-training through the Hugging Face Trainer: masked tokens, alone, with next sentences or with replaced ones."""

import functools
import math
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback

from ..data.masking import IGNORED, CountMasked, Masking, asked_first, in_flattened
from ..data.pairs import SegmentCollator, SegmentRows, full_segments
from ..model.modeling_scratch import mean_cross_entropy
from ..screen import show
from .arguments import take_compilation
from .budget import Budget, budget_scheduler
from .checkpoints import WholeCheckpoints
from .compilation import Compilation, choose_compilation, compiling
from .faults import FaultsExplained
from .muon import MuonAdamW, parameter_groups
from .padding_free import CountTokens, choose_padding_free, why_padded
from .pretraining_model import MaskedPositions
from .replaced_tokens import ReplacedTokens
from .sharding import shard_by_layers
from .stopping import StopOnRequest

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "next_sentence_label", "num_tokens")


class MaskedRows(Dataset):
    """Held-out rows, masked once: the same question at every evaluation, on any number of processes.

    Args:
        inputs: of the model, `(N, T)`.
        masking: the rule.
        seed: of the masks.
    """

    def __init__(self, inputs: dict[str, torch.Tensor], masking: Masking, seed: int):
        ids, positions, labels = masking(inputs["input_ids"], torch.Generator().manual_seed(seed))
        columns = positions % ids.shape[1]
        self.tensors = {**inputs, "input_ids": ids, "columns": columns, "labels": labels}

    def __len__(self) -> int:
        return len(self.tensors["input_ids"])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: tensor[index] for name, tensor in self.tensors.items()}


class PretrainingTrainer(WholeCheckpoints, FaultsExplained, Trainer):
    """`Trainer` that masks each batch as it comes, on its device, and answers evaluations by sums a row.

    Args:
        masking: the rule for training batches; held-out rows come masked.
        collate_train: for training rows.
        muon_learning_rate: Muon for the encoder's matrices; None trains all with --optim.
        padding_free: "auto" or "never"; rows that are always full have no padding to spare, and Trainer's own --torch_compile
            takes them. On a GPU the layers are compiled for what is left of the others.
        replaced_tokens: generator and detector of the model; None asks for masked tokens alone. Wants full rows.

    Attributes:
        execution: how padding is treated, and what was compiled, in a sentence.
    """

    def __init__(
        self,
        *args,
        masking: Masking,
        muon_learning_rate: float | None = None,
        padding_free: str = "auto",
        replaced_tokens: ReplacedTokens | None = None,
        **kwargs,
    ):
        gaps = kwargs["train_dataset"].draw is not full_segments
        self.compiles_layers = gaps and padding_free == "auto" and can_compile_layers(kwargs["model"], kwargs["args"])
        if self.compiles_layers:
            take_compilation(kwargs["args"])
        # Else each step waits until the one before it is done, and the device until the next one is launched.
        kwargs["args"].accelerator_config.non_blocking = kwargs["args"].dataloader_pin_memory
        super().__init__(*args, **kwargs)
        shard_by_layers(self)
        self.model_accepts_loss_kwargs = False  # a mean over the batch, as in ClassificationTrainer
        self.masking = masking.to(self.args.device)
        self.replaced_tokens = replaced_tokens
        # Of what it trains on, the generator replaces some; held-out rows are those of any other objective.
        self.masking_of_training = self.masking.hiding_all() if replaced_tokens else self.masking
        self.muon_learning_rate = muon_learning_rate
        self.masked_positions = MaskedPositions(self.model)
        self.padding_free, self.execution = None, "every row is full: there is no padding"
        if gaps:
            wanted = "never" if self.args.torch_compile else padding_free  # compiled, batches have one shape
            self.padding_free, self.execution = choose_padding_free(wanted, self.model, self.args)
        if self.padding_free:
            self.data_collator = CountMasked(CountTokens(self.data_collator), masking.to("cpu"))
        self.compilation: Compilation | None = None

    def train(self, *args, **kwargs):
        """Trainer's, padding-free and compiled where that spares something; the model that it leaves is the plain one."""
        attached = self.replaced_tokens.attached() if self.replaced_tokens else nullcontext()
        with self.padding_free or nullcontext(), attached, self.layers_compiled():
            return super().train(*args, **kwargs)

    @contextmanager
    def layers_compiled(self):
        """Within, steps are timed, plain and compiled, if --torch_compile asks and batches have gaps."""
        if not self.compiles_layers:
            yield
            return
        left = self.seconds_left if self.budget() else None
        chosen = choose_compilation(True, self.padding_free, self.args, self.train_dataset.max_length, left)
        if isinstance(chosen, str) and self.is_world_process_zero():  # who asks for it is told at once
            show(f"  {chosen}")
        try:
            with compiling(self, chosen):
                yield
        finally:
            self.execution = f"{self.execution}; {chosen}"

    def seconds_left(self) -> float:
        """Of a run that a clock ends."""
        return self.budget().seconds - self.budget().elapsed

    def _prepare_inputs(self, inputs):
        """Trainer's inputs, without the numbers of the documents, which no model takes."""
        inputs = dict(super()._prepare_inputs(inputs))
        self.rows = inputs.pop("document", None)
        return inputs

    def name_of(self, row: int) -> str:
        """Number and first words of a document."""
        tokens = self.train_dataset.corpus.tokens_of(row)[:8]
        return f"document {row} ({self.processing_class.decode(tokens)} ...)"

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Mean loss of the masked tokens, plus the means of next sentences and of replaced tokens where these are asked."""
        ids, labels = inputs["input_ids"], inputs.get("labels")
        more = {}
        if labels is None:
            if self.compilation:
                self.compilation.watch(inputs["num_tokens"])
            ids, positions, labels = self.masking_of_training(ids)
            if "num_masked" in inputs:
                positions, labels = asked_first(positions, labels, inputs["num_masked"])
            elif ids.device.type == "cpu":  # an accelerator would have to wait until their number is known
                asked = labels != IGNORED
                positions, labels = positions[asked], labels[asked]
            if self.replaced_tokens:
                more = {"original": inputs["input_ids"], "positions": positions.flatten()}
        else:
            positions = in_flattened(inputs["columns"], ids.shape[1])
        inputs = {name: inputs[name] for name in INPUTS if name in inputs} | {"input_ids": ids, "labels": labels.flatten()}
        if self.compilation and self.compilation.is_on and not return_outputs:
            return self.compiled_loss(model, inputs, positions)
        with nullcontext() if more else self.masked_positions.only(positions):
            outputs = model(**inputs, **more)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def compiled_loss(self, model, inputs, positions) -> torch.Tensor:
        """The model's loss, that over the vocabulary by a compiled kernel, which writes no `(M, V)` numbers of its own."""
        labels, next_labels = inputs.pop("labels"), inputs.pop("next_sentence_label", None)
        with self.masked_positions.judged(positions, labels, self.vocabulary_loss) as losses:
            outputs = model(**inputs)
        if next_labels is not None:
            losses.append(mean_cross_entropy(outputs["seq_relationship_logits"], next_labels))
        return sum(losses)

    def vocabulary_loss(self, logits, labels) -> torch.Tensor:
        """Mean over the labels that are asked for, compiled if that succeeds."""
        return self.compilation.tried(compiled(mean_cross_entropy), mean_cross_entropy, logits, labels)

    def hold(self, rows: SegmentRows, collate: SegmentCollator, size: int):
        """Keep a seeded sample of held-out rows, masked once for every evaluation, and once more with one token a row."""
        seed, masking = self.args.seed, self.masking.to("cpu")
        order = np.random.default_rng(seed).permutation(len(rows))[:size]
        inputs = collate(rows.__getitems__(order))
        self.eval_dataset = MaskedRows(inputs, masking, seed)
        self.one_hidden = MaskedRows(inputs, masking.one_a_row(), seed)

    def evaluate_held_out(self) -> dict[str, float]:
        """Loss and accuracy of both objectives, and pseudo-perplexity: exp of the mean loss of tokens hidden one at a time.

        The latter is of one token drawn from each row (Salazar et al. 2020, equation 3, by sampling).
        """
        results = self.evaluate()
        single = self.evaluate(self.one_hidden, metric_key_prefix="single")
        return results | {"eval_pseudo_perplexity": math.exp(single["single_mlm_loss"])}

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Sums a row, `(B, 5)` or `(B, 10)`, in place of logits that would fill the memory; see both `sums_of_rows`."""
        inputs = self._prepare_inputs(inputs)
        explained = self.memory_explained(inputs, training=False)
        with explained, torch.no_grad(), self.compute_loss_context_manager(), self.padding_free or nullcontext():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
            sums = sums_of_rows(outputs, inputs["labels"], inputs.get("next_sentence_label"))
            if self.replaced_tokens:
                sums = torch.cat([sums, self.sums_of_replaced(inputs)], dim=1)
        return loss.detach(), sums, torch.zeros(len(sums), device=sums.device)

    def sums_of_replaced(self, inputs) -> torch.Tensor:
        """How a held-out batch is judged; the generator's draws are the same at every evaluation by as many processes."""
        self.replaced_tokens.eval()  # once training is over it is no part of the model, which is told
        draws = torch.Generator(self.args.device).manual_seed(self.args.seed)
        ids = inputs["input_ids"]
        positions = in_flattened(inputs["columns"], ids.shape[1])
        return self.replaced_tokens.sums_of_rows(ids, positions, inputs["labels"], inputs.get("attention_mask"), draws)

    def get_train_dataloader(self):
        """Trainer's; a compiled model gets batches of one shape only, for another one would be compiled anew."""
        self.args.dataloader_drop_last = self.args.torch_compile
        try:
            return super().get_train_dataloader()
        finally:
            self.args.dataloader_drop_last = False  # held-out rows count, all of them

    def _get_eval_sampler(self, eval_dataset):
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def create_optimizer(self, model=None):
        """Trainer's, or Muon with AdamW."""
        if self.muon_learning_rate is None or self.optimizer is not None:
            return super().create_optimizer() if model is None else super().create_optimizer(model)
        model, args = self.model if model is None else model, self.args
        decayed = set(self.get_decay_parameter_names(model))
        encoders = [model.base_model, *([self.replaced_tokens.generator] if self.replaced_tokens else [])]
        groups = parameter_groups(model, encoders, decayed, args.learning_rate, self.muon_learning_rate, args.weight_decay)
        fused = True if args.device.type == "cuda" else None
        self.optimizer = MuonAdamW(groups, betas=(args.adam_beta1, args.adam_beta2), eps=args.adam_epsilon, fused=fused)
        return self.optimizer

    def create_scheduler(self, num_training_steps, optimizer=None):
        """Trainer's, or one that follows the clock where the run has a budget."""
        if self.lr_scheduler is None and self.budget() is not None:
            self.lr_scheduler = budget_scheduler(self.args, optimizer or self.optimizer, self.budget)
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def budget(self) -> Budget | None:
        """The clock of the run, if it has one; asked each time, for resuming replaces it."""
        return next((callback for callback in self.callback_handler.callbacks if isinstance(callback, Budget)), None)

    def asked_to_stop(self) -> bool:
        """Whether a signal has come to this process, or the run has ended because of one."""
        return any(stop.is_asked for stop in self.callback_handler.callbacks if isinstance(stop, StopOnRequest))


class DrawAnew(TrainerCallback):
    """Draws the rows of each epoch anew; masks are drawn with every batch.

    Args:
        rows: of training.
    """

    def __init__(self, rows: SegmentRows):
        self.rows = rows

    def on_epoch_begin(self, args, state, control, **kwargs):
        """Before the epoch's first batch; also where a run goes on."""
        self.rows.set_epoch(int(state.epoch + 1e-6))


@functools.cache
def compiled(function):
    """`torch.compile` of it, once a process; the compiler itself is not loaded before."""
    return torch.compile(function)


def can_compile_layers(model, args) -> bool:
    """Whether --torch_compile can mean the layers, padding-free; who names a backend or a mode means Trainer's, of all."""
    asked = args.torch_compile and args.torch_compile_backend == "inductor" and args.torch_compile_mode is None
    return asked and args.device.type == "cuda" and why_padded(model, args) is None


def sums_of_rows(outputs, labels: torch.Tensor, next_labels: torch.Tensor | None) -> torch.Tensor:
    """What the metrics are made of, for each row.

    Args:
        outputs: of the model, `logits` or `prediction_logits` `(B·K, V)`, and `seq_relationship_logits` `(B, 2)` or none.
        labels: `(B, K)`.
        next_labels: `(B,)` or None.

    Returns:
        `(B, 5)`: masked tokens, their summed loss, how many were told right; next sentence loss, and whether it was right (NaN
        without).
    """
    logits = outputs.get("prediction_logits", outputs.get("logits")).float()
    flat = labels.flatten()
    asked = (labels != IGNORED).sum(1)
    loss = nn.functional.cross_entropy(logits, flat, ignore_index=IGNORED, reduction="none").view_as(labels).sum(1)
    right = (logits.argmax(-1) == flat).view_as(labels).sum(1)
    if next_labels is None:
        next_loss = next_right = torch.full_like(loss, math.nan)
    else:
        next_logits = outputs["seq_relationship_logits"].float()
        next_loss = nn.functional.cross_entropy(next_logits, next_labels, reduction="none")
        next_right = (next_logits.argmax(-1) == next_labels).float()
    return torch.stack([asked.float(), loss, right.float(), next_loss, next_right], dim=1)


def metrics_of_sums(prediction) -> dict[str, float]:
    """`compute_metrics` of the Trainer: means over all held-out rows."""
    asked, loss, right, next_loss, next_right, *detection = prediction.predictions.astype("float64").T
    metrics = {"mlm_loss": loss.sum() / asked.sum(), "mlm_accuracy": right.sum() / asked.sum()}
    if not math.isnan(next_loss[0]):
        metrics |= {"nsp_loss": next_loss.mean(), "nsp_accuracy": next_right.mean()}
    if detection:
        visible, loss, replaced, called, found = (sums.sum() for sums in detection)
        metrics |= {"rtd_loss": loss / visible, "rtd_precision": found / max(called, 1), "rtd_recall": found / max(replaced, 1)}
    return {name: float(value) for name, value in metrics.items()}
