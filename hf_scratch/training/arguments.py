"""Every flag of a run, from the command line, a recipe or both."""

import dataclasses
import datetime
import json
import math
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from transformers import HfArgumentParser, TrainingArguments

from ..data.arguments import DataArguments
from ..data.sources import Access
from ..errors import UserError, closest
from .bounds import check_training
from .optimization import check_optimization
from .replaced_flags import replacement

RECIPES = Path(__file__).parents[1] / "recipes"
GROUPS = ("model", "data", "training", "from_scratch", "from_pretrained")
MODEL_FLAGS = ("model_name_or_path", "model_type")
DATA_FLAGS = ("task_name", "dataset_name", "train_file")
SOURCE_FLAGS = (
    *DATA_FLAGS,
    *(
        "dataset_config_name",
        "language",
        "train_language",
        "dataset_revision",
        "validation_file",
        "test_file",
        "remove_splits",
        "remove_columns",
    ),
    *("train_split_name", "validation_split_name", "test_split_name", "text_column_names", "text_column_delimiter"),
    *("label_column_name", "problem_type", "do_regression", "intermediate_task"),
)
LENGTHS = ("budget", "max_steps", "num_train_epochs")  # each ends a training by itself
ACTIONS = ("do_train", "do_eval", "do_predict")


@dataclass
class ModelArguments:
    """Give one of --model_name_or_path (weights are loaded) and --model_type (they are drawn)."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Weights to start from: a name on the Hub, a folder, or package://NAME/PATH."}
    )
    model_type: str | None = field(
        default=None, metadata={"help": "Random weights of this type: scratch, bert, or any other that is registered."}
    )
    config_overrides: str | None = field(
        default=None, metadata={"help": "Changes to the configuration: hidden_size=128,num_hidden_layers=2"}
    )
    config_name: str | None = field(default=None, metadata={"help": "A configuration other than the model's."})
    tokenizer_name: str | None = field(default=None, metadata={"help": "A tokenizer other than the model's."})
    use_fast_tokenizer: bool = field(
        default=True, metadata={"help": "As in the reference scripts; transformers 5 has no other tokenizers to choose."}
    )
    tokenizer_vocab_size: int = field(
        default=8000, metadata={"help": "Size of the WordPiece vocabulary that is learnt where no tokenizer is named."}
    )
    cache_dir: str | None = field(default=None, metadata={"help": "Where downloads are kept."})
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit on the Hub."})
    token: str | None = field(default=None, metadata={"help": "The Hub's token, if not the one of `hf auth login`."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Run the code that a model's folder carries."})
    ignore_mismatched_sizes: bool = field(
        default=False, metadata={"help": "Replace a head whose size does not fit the classes by a new one."}
    )

    def __post_init__(self):
        if not self.use_fast_tokenizer:
            raise ValueError("--use_fast_tokenizer false, but transformers 5 loads fast tokenizers only; leave it away")


@dataclass
class RegularizationArguments:
    """What keeps an encoder from learning a small training part by heart, beyond dropout and TrainingArguments' own."""

    token_dropout: float = field(
        default=0.0, metadata={"help": "Probability of hiding a token from the encoder in training (Iyyer et al. 2015)."}
    )
    r_drop: float = field(
        default=0.0,
        metadata={"help": "Weight of the divergence between two passes with different dropout (R-Drop, Liang et al. 2021)."},
    )

    early_stopping_patience: int = field(
        default=0, metadata={"help": "End training after so many evaluations in a row without a new best one; 0 never does."}
    )

    def __post_init__(self):
        if self.early_stopping_patience < 0:
            raise ValueError(
                f"--early_stopping_patience is {self.early_stopping_patience}, but a count is not negative; 0 is off, try 3"
            )
        if not 0 <= self.token_dropout < 1:
            raise ValueError(f"--token_dropout is {self.token_dropout:g}, but a probability is from 0 to below 1; try 0.1")
        if self.r_drop < 0:
            raise ValueError(f"--r_drop is {self.r_drop:g}, but a weight is not negative; 0 turns it off, try 1")


@dataclass
class IntermediateArguments:
    """A larger task of the same classes to train on first, in pieces (Phang et al. 2018)."""

    intermediate_task: str | None = field(
        default=None,
        metadata={"help": "Train first on this task of the table, which must have the same classes; none: no other."},
    )
    intermediate_samples: int = field(default=75_000, metadata={"help": "How many of its pieces, a seeded random sample."})
    intermediate_max_seq_length: int = field(default=32, metadata={"help": "Length of a piece in tokens."})
    intermediate_learning_rate: float = field(default=1e-3, metadata={"help": "Peak learning rate of that one pass."})

    def __post_init__(self):
        if self.intermediate_task == "none":  # so that a recipe's can be left away
            self.intermediate_task = None
        if not 0 <= self.intermediate_learning_rate < math.inf:
            raise ValueError(
                f"--intermediate_learning_rate is {self.intermediate_learning_rate:g}, but it must be at least 0 and finite; "
                "try 1e-3"
            )
        if self.intermediate_samples < 1:
            raise ValueError(f"--intermediate_samples is {self.intermediate_samples}, but at least one is read; try 75000")
        if self.intermediate_max_seq_length < 3:
            raise ValueError(
                f"--intermediate_max_seq_length is {self.intermediate_max_seq_length}, but a piece holds [CLS], a token and "
                "[SEP]; give at least 3, try 32"
            )


@dataclass
class SpeedArguments:
    """What makes a run faster and leaves its numbers as they are."""

    padding_free: Literal["auto", "always", "never"] = field(
        default="auto", metadata={"help": "Compute real tokens only; auto: for every encoder for which it is proven equal."}
    )
    max_tokens_per_batch: int | None = field(
        default=None,
        metadata={
            "help": "Fill training batches with rows up to so many real tokens, over all processes, in place of "
            "per_device_train_batch_size; and, padding-free, those of evaluation, of each process."
        },
    )
    torch_compile: bool | None = field(default=None, init=False)  # TrainingArguments' own flag, if it was given
    eval_by_tokens: bool = field(default=False, init=False)  # wherever no padding is computed

    def __post_init__(self):
        if self.max_tokens_per_batch is not None and self.max_tokens_per_batch < 1:
            raise ValueError(f"--max_tokens_per_batch is {self.max_tokens_per_batch}, but it must be at least 1; try 4096")


@dataclass
class ResultArguments:
    """What a run reports, and where it puts its files."""

    recipe: str | None = field(
        default=None, metadata={"help": "A recipe of hf_scratch/recipes by its name, or a YAML or JSON file of flags."}
    )
    overwrite_output_dir: bool = field(default=False, metadata={"help": "Replace the run that output_dir holds."})
    metric_name: str | None = field(
        default=None, metadata={"help": "The metric that decides, in place of the task's own: macro_f1, roc_auc, rmse, ..."}
    )
    glue_submission: str | None = field(
        default=None,
        metadata={
            "nargs": "?",
            "const": "glue_submission.zip",
            "help": "Write the zip of GLUE's leaderboard: in the run's folder, or PATH/NAME.zip, which several runs may fill.",
        },
    )
    dry_run: bool = field(default=False, metadata={"help": "Measure a few steps, say what the run will take, write nothing."})
    confidence_level: float = field(default=0.95, metadata={"help": "Of the intervals."})
    baselines: Literal["auto", "never"] = field(default="auto", metadata={"help": "A majority class and a linear model."})
    seeds: int = field(
        default=1, metadata={"help": "Train so many, --seed and those after it, each in OUTPUT/seed-K, and sum up in OUTPUT."}
    )
    calibrate: bool = field(
        default=False,
        metadata={"help": "Divide the logits by the temperature that fits rows that select, in the saved model too."},
    )
    collapse_stop: bool = field(
        default=True, metadata={"help": "Stop a run that answers every text alike, after 200 steps and an epoch."}
    )

    def __post_init__(self):
        if self.seeds < 1:
            raise ValueError(f"--seeds is {self.seeds}, but at least one is trained; 5 show how much a seed matters")
        if not 0 < self.confidence_level < 1:
            raise ValueError(f"--confidence_level is {self.confidence_level:g}, but it must be above 0 and below 1; try 0.95")


@dataclass
class RunArguments:
    """All flags of a run, settled."""

    model: ModelArguments
    data: DataArguments
    results: ResultArguments
    regularization: RegularizationArguments
    intermediate: IntermediateArguments
    speed: SpeedArguments
    training: TrainingArguments
    command: list[str]
    given: set[str]

    @property
    def model_label(self) -> str:
        """The model's name, as tables and the card show it: of a folder no more than its own name."""
        name = self.model.model_name_or_path or self.model.model_type
        return Path(name).resolve().name if Path(name).is_dir() else name.removeprefix("package://")

    def inputs(self) -> list[str | None]:
        """The files and folders that the run reads, where they are named."""
        names = [self.model.model_name_or_path, self.model.config_name, self.model.tokenizer_name, self.data.dataset_name]
        return [*names, self.data.train_file, self.data.validation_file, self.data.test_file]

    @property
    def selects(self) -> bool:
        """Whether rows of a held-out part decide which weights are kept, or what is done with them."""
        return self.training.load_best_model_at_end or self.results.calibrate

    def access(self) -> Access:
        """How the data are reached and kept."""
        return Access(self.model.cache_dir, self.model.token, self.data.dataset_revision, self.data.overwrite_cache)

    def output_dir(self, task: str) -> str:
        """Where the run's files go: --output_dir, or a new folder under runs/."""
        if "output_dir" in self.given:
            return self.training.output_dir
        name = Path(self.results.recipe).stem if self.results.recipe else task
        return str(Path("runs", f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"))

    def record(self) -> dict:
        """What run.json holds of them: all that is needed to run it again, and no token."""
        names = ("model", "data", "results", "regularization", "intermediate", "speed")
        groups = {name: getattr(self, name) for name in names}
        arguments = {name: dataclasses.asdict(group) for name, group in groups.items()}
        arguments["model"]["token"] = None
        arguments["training"] = self.training.to_sanitized_dict()  # hides its tokens
        return {"command": hide_token(self.command), "arguments": arguments}


def hide_token(command: list[str]) -> list[str]:
    """The command without the values of --token and --hub_token."""
    hidden, secret = [], False
    for word in command:
        name, equals, _ = word.partition("=")
        is_flag = name.replace("-", "_") in ("__token", "__hub_token")
        hidden.append("***" if secret else f"{name}=***" if is_flag and equals else word)
        secret = is_flag and not equals
    return hidden


RUN_GROUPS = (
    *(ModelArguments, DataArguments, ResultArguments, RegularizationArguments, IntermediateArguments),
    *(SpeedArguments, TrainingArguments),
)


class Parser(HfArgumentParser):
    """Flags only in full, and complaints that say what to do."""

    def __init__(self, groups=None, prog="python run_glue_style.py", description=None):
        super().__init__(
            groups or RUN_GROUPS,
            prog=prog,
            allow_abbrev=False,
            description=description
            or "Fine-tune an encoder, from random or pre-trained weights, and report a number that can be trusted.",
        )

    def error(self, message):
        raise UserError(f"{message}; `{self.prog} --help` lists every flag")

    def given(self, argv: list[str], beside: Collection[str] = ()) -> set[str]:
        """The names of the arguments that `argv` sets.

        Args:
            argv: the command line without the program's name.
            beside: flags that are not this parser's, but may be what a misspelt one means.

        Raises:
            UserError: if it holds an unknown flag.
        """
        names = set()
        for word in argv:
            flag = word.split("=")[0]
            if flag.startswith("--") and " " not in flag:  # with spaces it is a value: flags for another program
                if flag not in self._option_string_actions:
                    if instead := replacement(flag):
                        raise UserError(f"{flag} is a flag of other scripts or of older versions; {instead}")
                    known = [*beside, *self._option_string_actions]
                    self.error(f"unknown flag {flag}.{closest(flag, known)} A flag is one that is listed")
                names.add(self._option_string_actions[flag].dest)
        return names


def parse_arguments(argv: list[str], metrics: Collection[str] = ()) -> RunArguments:
    """Settle the flags: a recipe's values first, the user's over them; without either, the recipe `quickstart`.

    Args:
        argv: the command line without the program's name; or one YAML or JSON file.
        metrics: what --metric_for_best_model may name, beside the loss; anything if empty.

    Raises:
        UserError: if a flag, recipe or value is unknown or they contradict each other.
    """
    if len(argv) == 1 and Path(argv[0]).suffix in (".yaml", ".yml", ".json"):
        argv = ["--recipe", argv[0]]
    parser = Parser()
    if "-h" in argv:
        parser.parse_args(["--help"])
    given = parser.given(argv)
    recipe = flag_value(parser, argv, "recipe")
    if not given.intersection(("recipe", *MODEL_FLAGS, *DATA_FLAGS)):
        recipe = "quickstart"
    values = recipe_values(recipe, given) if recipe else {}
    parser.given([f"--{name}" for name in values])
    *groups, training, extra = parse(parser, [*as_flags(values), *argv])
    model, _, results, regularization = groups[:4]
    if extra:
        parser.error(f"{extra[0]!r} belongs to no flag; flags begin with two dashes")
    results.recipe = recipe
    check_model(model)
    check_vocabulary(model, given)
    check_training(training, metrics)
    check_early_stopping(regularization, training)
    check_optimization(training)
    settle_training(training, given | set(values))
    settle_compilation(groups[-1], training, given | set(values))
    settle_evaluation(groups[-1], training, given | set(values))
    return RunArguments(*groups, training, [sys.argv[0], *argv], given | set(values))


def parse(parser: Parser, argv: list[str]):
    """Let the dataclasses check the values."""
    try:
        return parser.parse_args_into_dataclasses(argv, return_remaining_strings=True, look_for_args_file=False)
    except UserError:
        raise
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(f"{' '.join(str(error).split())}; mend the flag, or see `{parser.prog} --help`") from error


def flag_value(parser: Parser, argv: list[str], name: str) -> str | None:
    """The value of one flag, before the others can be parsed."""
    known, _ = parser.parse_known_args(argv)
    return getattr(known, name)


def recipe_values(recipe: str, given: set[str], folder: Path = RECIPES) -> dict:
    """Read a recipe: flat flags, or the groups model, data, training, and from_scratch or from_pretrained.

    What the user replaces is dropped: the group model with --model_name_or_path or --model_type; what says where the rows are
    with --task_name, --dataset_name or --train_file, while lengths and sizes stay; what ends the training with another end.

    Args:
        recipe: name or file.
        given: the flags of the command line.
        folder: that holds the recipes with names.

    Raises:
        UserError: if there is no such recipe, or it is no table of flags.
    """
    path = Path(recipe) if Path(recipe).suffix else folder / f"{recipe}.yaml"
    if not path.is_file():
        names = sorted(file.stem for file in folder.glob("*.yaml"))
        raise UserError(
            f"there is no recipe {recipe!r}; a recipe is a file, or one of {', '.join(names)}.{closest(recipe, names)}"
        )
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as YAML or JSON ({error}); a recipe holds one `flag: value` a line") from error
    if not isinstance(table, dict):
        raise UserError(f"{path}: holds a {type(table).__name__}, but a recipe is a table; write one `flag: value` a line")
    groups = {name: table.pop(name, None) or {} for name in GROUPS}
    for name, group in groups.items():
        if not isinstance(group, dict):
            raise UserError(f"{path}: {name} holds {group!r}, but a group is a table; write one `flag: value` a line below it")
    if given.intersection(MODEL_FLAGS):
        groups["model"] = {}
    if given.intersection(DATA_FLAGS):
        for name, group in groups.items():
            groups[name] = {flag: value for flag, value in group.items() if flag not in SOURCE_FLAGS}
    pretrained = "model_name_or_path" in given | set(groups["model"]) | set(table)
    groups.pop("from_scratch" if pretrained else "from_pretrained")
    for group in groups.values():
        table |= group
    replaced = {"recipe", *(LENGTHS if given.intersection(LENGTHS) else ())}
    return {name: value for name, value in table.items() if name not in replaced}


def as_flags(values: dict) -> list[str]:
    """`{"learning_rate": 1e-3, "bf16": True}` -> `["--learning_rate=0.001", "--bf16=true"]`."""
    flags = []
    for name, value in values.items():
        if isinstance(value, list):
            flags += [f"--{name}", *map(str, value)]
        elif value is not None:
            flags.append(f"--{name}={value if isinstance(value, str) else json.dumps(value)}")
    return flags


def check_model(model: ModelArguments):
    """Exactly one model must be named."""
    named = [name for name in MODEL_FLAGS if getattr(model, name)]
    if len(named) != 1:
        raise UserError(
            f"{' and '.join(f'--{name}' for name in named) or 'no model flag'} given, but a run trains exactly one model; give "
            "--model_name_or_path bert-base-cased for pre-trained weights, --model_type scratch for random ones, or --recipe "
            "quickstart for a small encoder that trains in minutes"
        )


def check_vocabulary(model: ModelArguments, given: set[str]):
    """A vocabulary is learnt only where nothing has one; a recipe's size is for that case, the user's would be passed over."""
    name = model.tokenizer_name or model.model_name_or_path
    if name and "tokenizer_vocab_size" in given:
        raise UserError(
            f"--tokenizer_vocab_size {model.tokenizer_vocab_size} given, but {name} has a vocabulary already; leave the flag "
            "away, or begin with random weights and no --tokenizer_name to learn one of this size"
        )


def check_early_stopping(regularization: RegularizationArguments, training: TrainingArguments):
    """Patience counts evaluations, and what is kept at the end is the best of them."""
    patience = regularization.early_stopping_patience
    if patience and (not training.load_best_model_at_end or training.eval_strategy == "no"):
        raise UserError(
            f"--early_stopping_patience {patience} given, but it counts evaluations without a new best checkpoint; add "
            "--eval_strategy epoch --save_strategy epoch --load_best_model_at_end"
        )


def settle_training(training: TrainingArguments, given: set[str]):
    """Without --do_train, --do_eval and --do_predict, do all of them; pin memory only where there is a device to copy to."""
    if not given.intersection(ACTIONS):
        training.do_train = training.do_eval = training.do_predict = True
    if training.device.type == "cpu":
        training.dataloader_pin_memory = False
    training.restore_callback_states_from_checkpoint = True  # the patience of early stopping
    if training.do_train is False and training.load_best_model_at_end:
        training.load_best_model_at_end = False


def settle_compilation(speed: SpeedArguments, training: TrainingArguments, given: set[str]):
    """--torch_compile is ours, but who names a backend or a mode of Trainer's means Trainer's."""
    if "torch_compile" in given and not given & {"torch_compile_backend", "torch_compile_mode"}:
        speed.torch_compile = training.torch_compile
        take_compilation(training)


def take_compilation(args: TrainingArguments):
    """--torch_compile is ours from here on: Trainer would compile the whole model anew for every shape of a padded batch."""
    args.torch_compile, args.torch_compile_backend = False, None  # accelerate compiles where a backend is named
    os.environ.pop("ACCELERATE_DYNAMO_BACKEND", None)


def settle_evaluation(speed: SpeedArguments, training: TrainingArguments, given: set[str]):
    """On CUDA Trainer's 8 rows a batch leave a GPU idle: who does not name a number gets as many as fit."""
    speed.eval_by_tokens = training.device.type == "cuda" and "per_device_eval_batch_size" not in given
