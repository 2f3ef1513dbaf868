"""The flags of `hf-scratch pretrain`, from the command line, a recipe or both."""

import dataclasses
import datetime
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from transformers import AutoConfig, TrainingArguments
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ..data.sources import resolve_address
from ..data.tasks import TASKS
from ..errors import UserError, closest
from .arguments import (
    LENGTHS,
    RECIPES,
    ModelArguments,
    Parser,
    as_flags,
    check_vocabulary,
    flag_value,
    hide_token,
    parse,
    recipe_values,
)
from .bounds import check_training
from .budget import ENDLESS, check_warmup, read_budget
from .optimization import check_optimization

DEFAULT = "small"  # of recipes/pretraining
MEASURES = {"mlm": ("mlm_loss", "mlm_accuracy")}
MEASURES["mlm+nsp"] = (*MEASURES["mlm"], "nsp_loss", "nsp_accuracy")
MEASURES["mlm+rtd"] = (*MEASURES["mlm"], "rtd_loss", "rtd_precision", "rtd_recall")
DATA_FLAGS = ("train_file", "dataset_name", "task_name")


@dataclass
class PretrainArguments:
    """Text to read, what to learn from it, and for how long. Give one of --train_file, --dataset_name and --task_name."""

    train_file: list[str] | None = field(
        default=None,
        metadata={"help": "Documents: txt (parted by blank lines, else one a line) or tables (one a row); package:// too."},
    )
    validation_file: list[str] | None = field(default=None, metadata={"help": "Held-out documents; else some are carved."})
    dataset_name: str | None = field(default=None, metadata={"help": "Documents of a data set on the Hub, or of a folder."})
    dataset_config_name: str | None = field(default=None, metadata={"help": "The data set's configuration."})
    task_name: list[str] | None = field(
        default=None, metadata={"help": "Texts of the training parts of tasks, as run_glue_style.py carves them."}
    )
    text_column_name: str | None = field(
        default=None, metadata={"help": "The column of text; its usual name by default, or both names of a pair."}
    )
    recipe: str | None = field(
        default=None, metadata={"help": "A recipe of hf_scratch/recipes/pretraining, or a file of flags."}
    )
    init_from: str | None = field(
        default=None, metadata={"help": "Weights to go on from, BERT's or ours: a folder, a Hub name, or package://NAME/PATH."}
    )
    objective: Literal["mlm+nsp", "mlm", "mlm+rtd"] = field(
        default="mlm+nsp",
        metadata={
            "help": "Masked tokens with next sentences, as BERT; or alone; or with replaced token detection, as ELECTRA: a "
            "small generator replaces some tokens, and the encoder tells which."
        },
    )
    generator_layers: int | None = field(
        default=None,
        metadata={"help": "With --objective mlm+rtd: layers of the generator; a quarter of the encoder's by default."},
    )
    detection_weight: float | None = field(
        default=None, metadata={"help": "With --objective mlm+rtd: weight of the detection's loss; 10 by default."}
    )
    mlm_probability: float = field(default=0.15, metadata={"help": "Share of the tokens that are chosen."})
    whole_word_mask: bool = field(default=False, metadata={"help": "Choose whole words, not pieces of them."})
    line_by_line: bool = field(
        default=False,
        metadata={"help": "With --objective mlm: one document an input; else inputs are filled across documents."},
    )
    max_seq_length: int = field(default=128, metadata={"help": "Length of an input in tokens."})
    do_lower_case: bool = field(default=True, metadata={"help": "Whether the vocabulary that is learnt is uncased."})
    tokenizer_train_samples: int = field(default=50_000, metadata={"help": "Documents that the vocabulary is learnt from."})
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Documents to learn from, a seeded random sample; all by default."}
    )
    validation_fraction: float = field(default=0.05, metadata={"help": "Share of the documents that is held out."})
    max_validation_documents: int = field(default=1_000, metadata={"help": "Most documents that are held out."})
    max_eval_samples: int = field(default=1_000, metadata={"help": "Held-out inputs that are scored."})
    split_seed: int = field(default=42, metadata={"help": "Seed of what is held out."})
    preprocessing_num_workers: int | None = field(default=None, metadata={"help": "Processes that tokenize."})
    padding_free: Literal["auto", "never"] = field(
        default="auto", metadata={"help": "Compute real tokens only, wherever that is proven equal."}
    )
    budget: str | None = field(default=None, metadata={"help": "Time to train, such as 20m: the schedule follows the clock."})
    muon_learning_rate: float | None = field(
        default=None, metadata={"help": "Train the encoder's matrices by Muon at this rate, and the rest by AdamW."}
    )
    probe: str | None = field(default=None, metadata={"help": "A task or file to fine-tune a copy on at intervals."})
    probe_every: float = field(default=0.25, metadata={"help": "Share of training between two probes."})
    probe_flags: str = field(default="", metadata={"help": "More flags for the probes' run_glue_style.py, in one string."})
    overwrite_output_dir: bool = field(default=False, metadata={"help": "Replace the run that output_dir holds."})

    def __post_init__(self):
        counts = ("max_train_samples", "max_validation_documents", "max_eval_samples", "tokenizer_train_samples")
        for name in (*counts, "preprocessing_num_workers"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"--{name} is {getattr(self, name)}, but it must be at least 1")
        if self.muon_learning_rate is not None and not 0 < self.muon_learning_rate < float("inf"):
            raise ValueError(f"--muon_learning_rate is {self.muon_learning_rate:g}, but it must be above 0; try 0.02")
        if not 0 < self.mlm_probability < 1:
            raise ValueError(f"--mlm_probability is {self.mlm_probability:g}, but a share is above 0 and below 1; try 0.15")
        if self.max_seq_length < 8:
            raise ValueError(f"--max_seq_length is {self.max_seq_length}, but two segments need room; try 128")
        if not 0 < self.probe_every <= 1:
            raise ValueError(f"--probe_every is {self.probe_every:g}, but a share is above 0 and at most 1; try 0.25")
        for name in ("generator_layers", "detection_weight"):
            value = getattr(self, name)
            if value is not None and self.objective != "mlm+rtd":
                raise ValueError(f"--{name} {value:g} goes with --objective mlm+rtd only, which has a generator and a detector")
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"--{name} is {value:g}, but it must be above 0; leave it away for the default")
        if self.line_by_line and self.objective != "mlm":
            raise ValueError("--line_by_line true goes with --objective mlm only; the others fill inputs from running text")
        self.seconds = read_budget(self.budget) if self.budget else None
        self.evaluate_every = None  # share of the budget

    @property
    def draw(self) -> str:
        """Which of `data.pairs.DRAWS` makes the inputs."""
        return "document" if self.line_by_line else self.objective


PRETRAIN_GROUPS = (ModelArguments, PretrainArguments, TrainingArguments)


@dataclass
class PretrainRun:
    """All flags of a pre-training, settled."""

    model: ModelArguments
    pretrain: PretrainArguments
    training: TrainingArguments
    command: list[str]
    given: set[str]

    def output_dir(self) -> str:
        """Where the run's files go: --output_dir, or a new folder under runs/."""
        if "output_dir" in self.given:
            return self.training.output_dir
        return str(Path("runs", f"pretrain-{datetime.datetime.now():%Y%m%d-%H%M%S}"))

    def inputs(self) -> list[str | None]:
        """The files and folders that the run reads, where they are named."""
        files = [*(self.pretrain.train_file or ()), *(self.pretrain.validation_file or ()), self.pretrain.dataset_name]
        return [*files, self.model.model_name_or_path, self.model.config_name, self.model.tokenizer_name]

    @property
    def saves_by_the_clock(self) -> bool:
        """Whether nobody says when checkpoints are saved, or what for."""
        others = self.training.load_best_model_at_end or self.training.save_only_model
        return not others and not self.given.intersection(("save_strategy", "save_steps"))

    @property
    def corpus_label(self) -> str:
        """What was read, as the card shows it: no path of this machine."""
        names = self.pretrain.train_file or self.pretrain.task_name or [self.pretrain.dataset_name]
        return ", ".join(name.removeprefix("package://") if "://" in name else Path(name).name for name in names)

    def record(self) -> dict:
        """What run.json holds of them: all that is needed to run it again, and no token."""
        arguments = {name: dataclasses.asdict(getattr(self, name)) for name in ("model", "pretrain")}
        arguments["model"]["token"] = None
        arguments["training"] = self.training.to_sanitized_dict()
        return {"command": hide_token(self.command), "arguments": arguments}


def parse_pretrain_arguments(argv: list[str]) -> PretrainRun:
    """Settle the flags: the recipe's values first, the user's over them; without --recipe, the recipe `small`.

    Raises:
        UserError: if a flag, recipe or value is unknown, or they contradict each other.
    """
    parser = Parser(
        PRETRAIN_GROUPS,
        prog="hf-scratch pretrain",
        description="Pre-train an encoder on running text. Example: hf-scratch pretrain --task_name imdb_reviews --budget 10m",
    )
    if "-h" in argv:
        parser.parse_args(["--help"])
    given = parser.given(argv)
    recipe = flag_value(parser, argv, "recipe") or DEFAULT
    loads = {"model_name_or_path"} if "init_from" in given else set()  # a recipe has other values for weights that are loaded
    values = recipe_values(recipe, given | loads, RECIPES / "pretraining")
    parser.given([f"--{name}" for name in values])
    model, pretrain, training, extra = parse(parser, [*as_flags(values), *argv])
    if extra:
        parser.error(f"{extra[0]!r} belongs to no flag; flags begin with two dashes")
    pretrain.recipe = recipe
    check_length(pretrain, training, given | set(values))
    settle_model(model, pretrain, given)
    check(pretrain, training)
    settle_training(training, pretrain)
    run = PretrainRun(model, pretrain, training, [sys.argv[0], "pretrain", *argv], given | set(values))
    if run.saves_by_the_clock:
        training.save_strategy = SaveStrategy.NO
        training.save_total_limit = training.save_total_limit or 1
    return run


def settle_model(model: ModelArguments, pretrain: PretrainArguments, given: set[str]):
    """--init_from names the weights; another family than scratch takes those of a recipe's sizes that it knows."""
    if pretrain.init_from and "model_type" in given:
        raise UserError(
            f"--init_from {pretrain.init_from} and --model_type {model.model_type} given, but weights are of one model; leave "
            "--model_type away to go on from them, or --init_from to begin with random ones"
        )
    if pretrain.init_from:
        model.model_name_or_path, model.model_type = pretrain.init_from, None
        check_vocabulary(model, given)
    elif model.model_name_or_path:
        raise UserError("--model_name_or_path given, but pre-training goes on from weights by --init_from; use that flag")
    else:
        model.model_type = model.model_type or "scratch"
    if model.model_type in CONFIG_MAPPING and "config_overrides" not in given:
        config = AutoConfig.for_model(model.model_type)
        pairs = [pair for pair in (model.config_overrides or "").split(",") if hasattr(config, pair.split("=")[0])]
        model.config_overrides = ",".join(pairs)


def settle_training(training: TrainingArguments, pretrain: PretrainArguments):
    """What follows from the budget, the device and the way that rows are made."""
    training.remove_unused_columns = False  # rows are numbers, the collator makes the columns
    training.restore_callback_states_from_checkpoint = True  # the budget's clock
    training._n_gpu = min(1, training.n_gpu)  # several GPUs want a process each: masked positions cannot be scattered
    if training.ddp_find_unused_parameters is None:
        training.ddp_find_unused_parameters = False  # every one has its part in the losses: torch need not look at each step
    if pretrain.seconds:
        training.max_steps = ENDLESS
        training.disable_tqdm = True
        if training.eval_strategy == IntervalStrategy.STEPS and training.eval_steps < 1:  # a share, of the time
            pretrain.evaluate_every, training.eval_steps = training.eval_steps, None
            training.eval_strategy = IntervalStrategy.NO


def check_length(pretrain: PretrainArguments, training: TrainingArguments, given: set[str]):
    """Either the clock ends training or a count does."""
    counts = [f"--{name} {getattr(training, name):g}" for name in LENGTHS[1:] if name in given]
    if pretrain.budget and counts:
        raise UserError(
            f"--budget {pretrain.budget} and {' and '.join(counts)} given, but one of them ends the training; leave --budget "
            "away to count, or the other to go by the clock"
        )


def check(pretrain: PretrainArguments, training: TrainingArguments):
    """Exactly one source of text; values that Trainer would trip over."""
    named = [name for name in DATA_FLAGS if getattr(pretrain, name)]
    if len(named) != 1:
        raise UserError(
            f"{' and '.join(f'--{name}' for name in named) or 'no text'} given, but a run reads one source; give --train_file "
            "FILE ..., --dataset_name NAME or --task_name TASK, such as --task_name imdb_reviews"
        )
    if training.push_to_hub:
        raise UserError(
            "--push_to_hub given, but a pre-trained model is pushed when it is there; leave the flag away, then: hf-scratch "
            "push OUTPUT NAME"
        )
    if training.eval_strategy == "no" and training.load_best_model_at_end:
        raise UserError("--load_best_model_at_end given, but nothing is evaluated on the way; add --eval_strategy epoch")
    check_training(training, MEASURES[pretrain.objective])
    check_optimization(training)
    if pretrain.seconds:
        check_warmup(training)
    if pretrain.probe and pretrain.probe not in TASKS and not Path(resolve_address(pretrain.probe)).is_file():
        raise UserError(
            f"--probe {pretrain.probe}: there is no such task or file.{closest(pretrain.probe, TASKS)} Give a file of rows, or "
            f"one of {', '.join(TASKS)}"
        )
