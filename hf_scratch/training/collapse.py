"""A run that has stopped learning before it began: noticed, named, and stopped.

Small data and a high learning rate can throw an encoder into a state where it answers every text alike: one class, or the same
probability for all, a loss of ln(num_labels). No later step leads out of it (Mosbach et al. 2021).
"""

import math

import torch
import torch.nn.functional as F
from transformers import TrainerCallback

WINDOW = 100  # steps; two windows in a row are judged, so never fewer than 200
NEAR = 0.98  # of the loss of a constant answer
REMEDY = (
    "lower --learning_rate to a tenth, lengthen --warmup_steps (0.1 is a tenth of the run), or try another --seed; where "
    "classes differ much in size, give --class_weights balanced; --no_collapse_stop trains on"
)


class CollapseStop(TrainerCallback):
    """Stops training once two windows of 100 steps, after warm-up and at least an epoch, show answers that are all alike.

    A window is alike if its cross-entropy, unweighted and unsmoothed, is no lower than that of the best constant answer (the
    entropy of the window's classes), and either one class was named for all of its rows or the loss is at ln(num_labels).

    Args:
        num_labels: classes.
        stop: whether to stop; if not, what is found is kept all the same.

    Attributes:
        found: the sentence that says what happened, None as long as nothing did.
    """

    def __init__(self, num_labels: int, stop: bool = True):
        self.num_labels = num_labels
        self.stop = stop
        self.found: str | None = None
        self.suspicions = 0
        self.forget()

    def forget(self):
        self.sums = None

    @torch.no_grad()
    def watch(self, logits: torch.Tensor, labels: torch.Tensor):
        """Count a batch; nothing is copied from the device.

        Args:
            logits: `(B, num_labels)`.
            labels: class ids, `(B,)`; answers of another kind, which are floats, are not judged.
        """
        if labels.is_floating_point():
            return
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        classes = torch.arange(self.num_labels, device=labels.device)  # bincount would wait for the device
        named, true = ((ids[:, None] == classes).sum(0) for ids in (logits.argmax(-1), labels))
        sums = torch.cat([loss[None], named, true])
        self.sums = sums if self.sums is None else self.sums + sums

    def on_step_end(self, args, state, control, **kwargs):
        """Judge each window; on several processes all see the sums of all, and so agree."""
        if state.global_step % WINDOW or self.sums is None:
            return
        sums = self.sums
        self.forget()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        began = state.global_step - WINDOW
        alike = self.alike(sums.tolist()) if began >= args.get_warmup_steps(state.max_steps) else None
        self.suspicions = self.suspicions + 1 if alike else 0
        if self.suspicions >= 2 and state.epoch >= 1 and self.found is None:
            self.found = f"collapsed by step {state.global_step}: {alike}"
            control.should_training_stop |= self.stop

    def alike(self, sums: list[float]) -> str | None:
        """What is wrong with a window: its summed loss, how often each class was named, and how often it was true."""
        loss, named, true = sums[0], sums[1 : self.num_labels + 1], sums[self.num_labels + 1 :]
        N = sum(true)
        constant = -sum(count / N * math.log(count / N) for count in true if count)
        loss, chance = loss / N, math.log(self.num_labels)
        if not constant or loss < NEAR * constant:
            return None
        if max(named) == N:
            return f"one class is predicted for all of the last {N:,.0f} training rows, and the loss is {loss:.3f}"
        if loss >= NEAR * chance:
            return f"the loss is {loss:.3f}, no lower than ln({self.num_labels}) = {chance:.3f}, that of knowing nothing"
        return None
