import pytest

from hf_scratch.data.arguments import DataArguments
from hf_scratch.data.tasks import TASKS, choose_task
from hf_scratch.errors import UserError


def choose(**flags):
    return choose_task(DataArguments(**flags))


@pytest.mark.parametrize("name", TASKS)
def test_each_row_of_the_table_is_whole(name):
    task = choose(task_name=name)
    assert task.name == name
    assert bool(task.dataset) != bool(task.files)
    assert len(task.text_columns) in (1, 2) and task.label_columns


def test_all_nine_tasks_of_glue_are_there():
    names = {name for name, task in TASKS.items() if task.dataset == "nyu-mll/glue"}
    assert names == {"cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli"}
    assert all(TASKS[name].config == name for name in names)
    assert TASKS["stsb"].kind == "regression" and TASKS["mnli"].diagnostics == "ax"


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({}, None),
        ({"do_regression": True}, "regression"),
        ({"problem_type": "multi_label_classification"}, "multi_label"),
        ({"problem_type": "single_label_classification"}, "classification"),
        ({"problem_type": "ordinal"}, "ordinal"),
    ],
)
def test_the_kind_of_labels_may_be_asked_for(flags, kind):
    assert choose(train_file="a.csv", **flags).kind == kind


def test_a_mirror_takes_the_place_of_the_tasks_data_set():
    task = choose(task_name="rte", dataset_name="/mirror/glue")
    assert (task.dataset, task.config, task.text_columns) == ("/mirror/glue", "rte", ("sentence1", "sentence2"))
    with pytest.raises(UserError, match="--task_name and --dataset_name given, but a run takes exactly one source"):
        choose(task_name="movie_reviews", dataset_name="/mirror/glue")


def test_splits_and_columns_by_other_names():
    task = choose(dataset_name="x", train_split_name="full", remove_splits="a, b", remove_columns="c", text_column_delimiter="")
    assert (task.split_names, task.left_out, task.columns_left_out) == ({"train": "full"}, ("a", "b"), ("c",))
    assert task.text_delimiter == ""


def test_files_become_splits():
    task = choose(train_file="some/reviews.csv.gz", test_file="held.out.jsonl")
    assert task.name == "reviews"
    assert task.files == {"train": "some/reviews.csv.gz", "test": "held.out.jsonl"}
    assert task.text_columns == () and task.label_columns == ()


@pytest.mark.parametrize(("file", "name"), [("trec/train.parquet", "trec"), ("train.csv", "train"), ("a/b.csv", "b")])
def test_a_file_that_is_named_after_its_part_is_called_by_its_folder(file, name):
    assert choose(train_file=file).name == name


def test_a_file_without_a_name_still_has_a_task_name():
    assert choose(train_file="folder/.csv").name == "files"


@pytest.mark.parametrize("dataset", ["owner/stars", "stars", "/data/stars/"])
def test_a_data_set_is_called_by_its_last_name(dataset):
    task = choose(dataset_name=dataset, dataset_config_name="english")
    assert (task.name, task.dataset, task.config) == ("stars", dataset, "english")


def test_flags_replace_the_tables_columns():
    task = choose(task_name="movie_reviews", text_column_names="one, two", label_column_name="stars")
    assert task.text_columns == ("one", "two") and task.label_columns == ("stars",)
    assert TASKS["movie_reviews"].text_columns == ("text",)


@pytest.mark.parametrize("flags", [{}, {"task_name": "sst2", "train_file": "a.csv"}])
def test_exactly_one_source_of_rows(flags):
    with pytest.raises(UserError, match="given, but a run takes exactly one source of rows; give --task_name NAME"):
        choose(**flags)


def test_an_unknown_task_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"'movie_review' is not in the table.*Did you mean movie_reviews\?.*--train_file FILE"):
        choose(task_name="movie_review")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"task_name": "sst2", "test_file": "b.csv"}, "--test_file b.csv given with --task_name"),
        ({"dataset_name": "x", "validation_file": "b.csv"}, "--validation_file b.csv given with --dataset_name"),
        ({"train_file": "a.csv", "dataset_config_name": "en"}, "--dataset_config_name en given with --train_file"),
    ],
)
def test_a_flag_that_would_be_ignored_is_refused(flags, message):
    with pytest.raises(UserError, match=f"{message}, which does not go with it: .* leave one of the two away"):
        choose(**flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"task_name": "sst2", "language": "de"}, "--language de given, but only --task_name xnli has languages"),
        ({"task_name": "xnli", "language": "de", "dataset_config_name": "en"}, "--language de given, but .*_config_name alone"),
        ({"task_name": "xnli", "train_language": "en"}, "--train_language en given without the language to judge in; add"),
    ],
)
def test_languages_are_for_xnli(flags, message):
    with pytest.raises(UserError, match=message):
        choose(**flags)
