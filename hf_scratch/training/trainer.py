"""The Hugging Face Trainer, with what it leaves open for classifiers settled."""

from transformers import Trainer


class ClassificationTrainer(Trainer):
    """`Trainer` whose loss means the same for every model.

    Trainer takes a `forward(**kwargs)` for one that divides its loss by `num_items_in_batch`, and leaves the loss of a model
    that does not multiplied by the accumulation steps and by the number of processes. The loss of a classifier is a mean over
    the batch, whatever its signature says.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
