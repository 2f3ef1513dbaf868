"""What a user can get wrong: one message with value, rule and remedy, exit code 2, nothing left behind, within seconds."""

import gzip
import json
import os
import time

import pandas as pd
import pytest

import run_glue_style
from hf_scratch.data import sources, tasks
from hf_scratch.data.arguments import DataArguments

SCRATCH = ("--model_type", "scratch")
QUICKSTART = ("--recipe", "quickstart")
HEADER = "text,label\n"
ROWS = "".join(f"text {row},{'good' if row % 2 else 'bad'}\n" for row in range(61))
LINES = "".join(json.dumps({"text": f"text {row}", "label": row % 2}) + "\n" for row in range(61))


def parquet(**columns):
    """The bytes of a parquet file."""
    return pd.DataFrame(columns).to_parquet()


def file(content, *flags, name="rows.csv", model=SCRATCH, option="--train_file"):
    """A case: a file of this content, given with --train_file or another option; `{file}` stands for its path."""
    return {name: content}, [
        *model,
        *(("--train_file", "{good}") if option != "--train_file" else ()),
        option,
        "{file}",
        *flags,
    ]


def good(*flags, model=SCRATCH):
    """A case: a file that is as it should be, and flags."""
    return file(HEADER + ROWS, *flags, model=model)


def flags(*flags):
    """A case: flags alone."""
    return {}, list(flags)


# Case -> files and flags; parts of the message: value, rule, remedy.
CASES = {
    # Metrics and losses
    "a metric of other labels": (
        good("--metric_name", "rmse"),
        ["--metric_name rmse is not a metric of classification labels", "Give one of accuracy"],
    ),
    "weights that are nowhere": (
        good("--class_weights", "balancd"),
        ["--class_weights balancd is neither none, balanced nor a file"],
    ),
    "weights of other classes": (
        file('{"good": 1, "worse": 2}', name="w.json", option="--class_weights"),
        ["w.json: gives a weight to 'worse', but the classes are bad, good", "Give each class its name"],
    ),
    "a submission of no GLUE task": (
        good("--glue_submission"),
        ["--glue_submission is for GLUE, but the task is rows", "give one of cola"],
    ),
    # Files
    "missing file": (
        flags(*SCRATCH, "--train_file", "nothing.csv"),
        ["nothing.csv", "no such file", "give the path of a file"],
    ),
    "folder for a file": (
        flags(*SCRATCH, "--train_file", "{folder}"),
        ["{folder}", "is a folder, but a split is one file", "--dataset_name"],
    ),
    "unknown kind": (
        file("x", name="rows.xlsx"),
        ["rows.xlsx", "files that end in .xlsx are not read", "rename or convert it to .csv"],
    ),
    "a web address": (
        flags(*SCRATCH, "--train_file", "https://example.org/rows.csv"),
        ["https://example.org/rows.csv", "is an address on a network", "files are read from this machine", "download it first"],
    ),
    "bytes that are no text": (
        file(bytes(range(256)) * 7),
        ["rows.csv: line 1 holds a NUL byte", "text has none", "give a file of rows"],
    ),
    "a NUL byte": (
        file(HEADER + ROWS + "a\0b,good\n"),
        ["rows.csv: line 63 holds a NUL byte", "text has none", "remove them: tr -d"],
    ),
    "Latin-1": (
        file((HEADER + ROWS + "café,good\n").encode("latin-1")),
        ["rows.csv: line 63 is not in UTF-8", "reads 'café,good'", "iconv -f LATIN1 -t UTF-8"],
    ),
    "UTF-16": (
        file((HEADER + ROWS).encode("utf-16")),
        ["rows.csv: is in UTF-16", "text is read as UTF-8", "iconv -f UTF-16 -t UTF-8"],
    ),
    "UTF-16 without a mark": (
        file((HEADER + ROWS).encode("utf-16-le")),
        ["rows.csv: line 1 holds a NUL byte", "text has none", "iconv -f UTF-16 -t UTF-8"],
    ),
    "a picture": (
        file(b"\x89PNG\r\n\x1a\n" + bytes(range(256))),
        ["rows.csv: is a picture, but not .csv", "give a file of rows"],
    ),
    "a spreadsheet": (
        file(b"PK\x03\x04" + bytes(97)),
        ["rows.csv: is a zip archive or a spreadsheet, but not .csv", "save the sheet as .csv"],
    ),
    "a web page": (
        file("<!DOCTYPE html><html>404</html>\n"),
        ["rows.csv: is a web page, but not .csv", "download the file of rows"],
    ),
    "a pointer of Git LFS": (
        file("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", name="rows.parquet"),
        ["rows.parquet: is a pointer of Git LFS", "not the rows", "git lfs pull"],
    ),
    "csv called parquet": (
        file(HEADER, name="rows.parquet"),
        ["rows.parquet: begins with b'text,label", "a file that ends in .parquet does not", "mend its name"],
    ),
    "parquet called csv": (
        file(parquet(text=["a", "b"], label=[0, 1])),
        ["rows.csv: is a parquet file", "its name says .csv", "rename it to .parquet"],
    ),
    "parquet cut short": (
        file(parquet(text=["a", "b"], label=[0, 1])[:-11], name="rows.parquet"),
        ["rows.parquet: cannot be read as .parquet", "check that it is whole"],
    ),
    "parquet without rows": (
        file(parquet(text=[], label=[]), name="rows.parquet"),
        ["rows.parquet: the file has no rows", "a split needs some", "check how it was written"],
    ),
    "an archive cut short": (
        file(gzip.compress((HEADER + ROWS).encode(), mtime=0)[:-31], name="rows.csv.gz"),
        ["rows.csv.gz: cannot be unpacked", "check that it is whole: gzip -t"],
    ),
    "csv called gz": (
        file(HEADER + ROWS, name="rows.csv.gz"),
        ["rows.csv.gz: begins with b'text,label", "a file that ends in .gz does not", "mend its name"],
    ),
    "gz called csv": (
        file(gzip.compress((HEADER + ROWS).encode(), mtime=0)),
        ["rows.csv: is compressed by gzip", "its name says .csv", "add .gz to its name"],
    ),
    "a line with a cell too many": (
        file(HEADER + ROWS + "well, well,good\n" + ROWS),
        ["rows.csv: line 63 has 3 cells, but the header 2", "into quotes"],
    ),
    "a quote that stays open": (
        file(HEADER + ROWS + '"well,good\n' + ROWS),
        ["rows.csv: a quote that opens in row 62 is never closed", "close it, or double"],
    ),
    "semicolons": (
        file((HEADER + ROWS).replace(",", ";")),
        ["rows.csv: the header 'text;label' is separated by semicolons, but .csv by commas", "write it with commas"],
    ),
    "tabs in csv": (
        file((HEADER + ROWS).replace(",", "\t")),
        ["is separated by tabs, but .csv by commas", "rename it to .tsv"],
    ),
    "commas in tsv": (
        file(HEADER + ROWS, name="rows.tsv"),
        ["the header 'text,label' is separated by commas, but .tsv by tabs", "rename it to .csv"],
    ),
    "two columns of one name": (
        file("text,label,text\na,b,c\n"),
        ["rows.csv: two columns are called 'text'", "each needs a name of its own", "rename one"],
    ),
    "one broken line of json": (
        file(LINES + '{"text": "a", "label": \n' + LINES, name="rows.jsonl"),
        ['rows.jsonl: line 62 is not JSON: \'{"text": "a", "label":\'', "write one object a line"],
    ),
    "one line of json in Latin-1": (
        file((LINES + '{"text": "é", "label": 1}\n').encode("latin-1"), name="rows.jsonl"),
        ["rows.jsonl: line 62 is not in UTF-8", "iconv -f LATIN1"],
    ),
    "one object of json": (
        file(json.dumps({"text": ["a", "b"], "label": [0, 1]}, indent=1), name="rows.json"),
        ["rows.json: is one object (of 'text', 'label')", "rows are a list of objects", "for each row"],
    ),
    "nested json": (
        file(json.dumps({"data": [{"text": "a", "label": 1}]}), name="rows.json"),
        ["rows.json: is one object (of 'data', 'text', 'label')", "rows are a list of objects", "for each row"],
    ),
    "a list of numbers in json": (
        file("[3, 5, 7]", name="rows.json"),
        ["no label column", "name it with --label_column_name"],
    ),
    "lists for texts": (
        file(LINES.replace('"text ', '["text ').replace('", "l', '"], "l'), name="rows.jsonl"),
        ["column 'text' of the train part holds List", "a text column holds strings", "--text_column_names"],
    ),
    "objects for texts": (
        file(LINES.replace('"text ', '{"body": "text ').replace('", "l', '"}, "l'), name="rows.jsonl"),
        ["column 'text' of the train part holds {'body'", "a text column holds strings", "--text_column_names"],
    ),
    "bytes for texts": (
        file(parquet(text=[b"a", b"b"], label=[0, 1]), name="rows.parquet"),
        ["column 'text' of the train part holds binary", "a text column holds strings", "--text_column_names"],
    ),
    "empty file": (file(""), ["rows.csv", "the file has no rows, but a split needs some", "check how it was written"]),
    "header only": (file(HEADER), ["rows.csv", "the file has no rows", "check how it was written"]),
    "empty test file": (
        file("", name="test.csv", option="--test_file"),
        ["test.csv", "the file has no rows", "check how it was written"],
    ),
    "unknown package": (
        flags(*SCRATCH, "--train_file", "package://no_such_package/x.csv"),
        ["package://no_such_package/x.csv", "no installed package is called 'no_such_package'", "install it first"],
    ),
    "no such path in a package": (
        flags(*SCRATCH, "--train_file", "package://sklearn/x.csv"),
        ["package://sklearn/x.csv", "the package holds no 'x.csv'", "mend the path"],
    ),
    # Columns
    "no label column": (
        file("text,stars\na,1\nb,2\n"),
        ["no label column", "the columns are text, stars", "name it with --label_column_name"],
    ),
    "a text file": (
        file("one\ntwo\n", name="rows.txt"),
        ["no label column", "the columns are text", "--label_column_name"],
    ),
    "misspelt column": (
        good("--text_column_names", "txet"),
        ["no column 'txet'", "the columns are text, label", "Did you mean text?"],
    ),
    "which text": (
        file("a,b,label\nx,y,1\nz,w,2\n"),
        ["the text column cannot be told among a, b", "name it with --text_column_names"],
    ),
    "numbers for text": (
        file("text,label\n3,1\n5,2\n"),
        ["column 'text' of the train part holds int64", "a text column holds strings", "--text_column_names"],
    ),
    "empty text column": (
        file("text,label\n,1\n,2\n"),
        ["column 'text' of the train part holds nothing", "a text column holds strings", "--text_column_names"],
    ),
    "blank text column": (
        file("text,label\n ,1\n ,2\n"),
        ["column 'text' of the train part is empty in all 2 rows", "there must be text", "--text_column_names"],
    ),
    "test file without the text": (
        file("label\ngood\nbad\n", name="test.csv", option="--test_file"),
        ["the test part has no column 'text'", "give its rows the same columns"],
    ),
    "text and label in one column": (
        good("--text_column_names", "label", "--label_column_name", "label"),
        ["column 'label' is named as text and as label", "a model must not read the answer", "name another"],
    ),
    "a text column named twice": (
        good("--text_column_names", "text,text,text"),
        ["--text_column_names names a column twice", "once is enough", "leave the repeated away"],
    ),
    "rows without text": (
        file(HEADER + ROWS + " ,good\n,bad\n"),
        ["training rows have no text (train/6", "there must be text to learn from", "--drop_empty"],
    ),
    "test texts in training": (
        file("text,label\ntext 7,good\nnew,bad\n", "--strict", name="test.csv", option="--test_file"),
        ["1 of 2 test rows have a text that training has too (test/0)", "numbers on them flatter", "--drop_shared"],
    ),
    # Labels
    "one class": (
        file(HEADER + "a,good\nb,good\n"),
        ["only the class 'good'", "a classifier needs at least 2", "check the file"],
    ),
    "a row without label": (
        file(HEADER + "a,good\nb,\nc,bad\n"),
        ["1 of 3 training rows have no label", "(rows 1;", "each needs one", "fill them in, drop them"],
    ),
    "fractions for labels": (
        file(HEADER + "a,0.5\nb,1.5\n", "--problem_type", "single_label_classification"),
        ["column 'label' of the train part holds 0.5", "a class is a name or a whole number", "bin the numbers into classes"],
    ),
    "unknown label": (
        file(HEADER + "a,good\nb,fair\n", name="test.csv", option="--test_file"),
        ["the label fair", "training does not (bad, good)", "mend the label, or add training rows of it"],
    ),
    "a label in other letters": (
        file("text,label\nb,bad\na,GOOD\n", name="test.csv", option="--test_file"),
        ["the label GOOD", "(rows 1)", "training does not (bad, good)", "Did you mean good?", "mend the label"],
    ),
    # Parts
    "too few rows": (
        file(HEADER + "a,good\nb,bad\n"),
        ["cannot be carved", "with 2 different texts in 2 classes", "give files for the parts or more rows"],
    ),
    "fraction too large": (
        good("--validation_fraction", "0.7"),
        ["--validation_fraction is 0.7", "above 0 and below 0.5", "try 0.1"],
    ),
    "sample of nothing": (
        good("--max_train_samples", "0"),
        ["a sample of 0 rows", "it needs at least 1", "mend --max_train_samples"],
    ),
    "sample of one class": (
        good("--max_train_samples", "1"),
        ["a sample of 1 training rows holds one class only", "needs at least 2", "a larger --max_train_samples"],
    ),
    # Flags
    "unknown task": (
        flags(*SCRATCH, "--task_name", "movie_review"),
        ["task 'movie_review' is not in the table", "Did you mean movie_reviews?", "--train_file FILE"],
    ),
    "unknown recipe": (
        flags("--recipe", "quikstart"),
        ["there is no recipe 'quikstart'", "one of course, quickstart", "Did you mean quickstart?"],
    ),
    "unknown flag": (
        good("--lerning_rate", "1"),
        ["unknown flag --lerning_rate", "Did you mean --learning_rate?", "--help"],
    ),
    "abbreviated flag": (good("--max_seq", "17"), ["unknown flag --max_seq", "Did you mean --max_s", "--help"]),
    "no number": (good("--max_seq_length", "long"), ["--max_seq_length", "invalid int value: 'long'", "--help"]),
    "no choice": (good("--eval_strategy", "daily"), ["daily", "--eval_strategy", "--help"]),
    "a value without a flag": (good("17"), ["'17' belongs to no flag", "flags begin with two dashes"]),
    "flags that exclude each other": (
        good("--load_best_model_at_end", "--eval_strategy", "no"),
        ["load_best_model_at_end", "--help"],
    ),
    "no model": (good(model=()), ["no model flag given", "exactly one model", "--model_type scratch"]),
    "two models": (
        good("--model_name_or_path", "x"),
        ["--model_name_or_path and --model_type given", "exactly one model"],
    ),
    "no data": (flags(*SCRATCH), ["no data flag given", "exactly one source of rows", "--train_file FILE"]),
    "two sources": (
        good("--task_name", "movie_reviews"),
        ["--task_name and --train_file given", "exactly one source of rows"],
    ),
    "a file that would be ignored": (
        flags(*QUICKSTART, "--test_file", "test.csv"),
        ["--test_file test.csv given with --task_name", "does not go with it", "leave one of the two away"],
    ),
    "no room for a token": (
        good("--max_seq_length", "2", "--config_overrides", "num_hidden_layers=1"),
        ["--max_seq_length is 2", "an input must hold [CLS], a token and [SEP]", "give at least 3"],
    ),
    "no room for a letter": (
        good("--tokenizer_vocab_size", "7"),
        ["--tokenizer_vocab_size is 7", "at least 100", "8000 suits"],
    ),
    # Models
    "unknown model type": (
        good(model=("--model_type", "scrach")),
        ["--model_type 'scrach' is not registered", "Did you mean scratch?", "Give scratch, bert"],
    ),
    "unknown config key": (
        good("--config_overrides", "hiden_size=32"),
        ["--config_overrides hiden_size", "has no 'hiden_size'", "Did you mean hidden_size?"],
    ),
    "config value of the wrong kind": (
        good("--config_overrides", "hidden_size=wide"),
        ["--config_overrides hidden_size=wide", "give values of that kind"],
    ),
    "a config key alone": (
        good("--config_overrides", "hidden_size"),
        ["--config_overrides holds 'hidden_size'", "takes key=value pairs", "write hidden_size=VALUE"],
    ),
    "sizes that do not fit": (
        good("--config_overrides", "hidden_size=31,num_attention_heads=3,num_hidden_layers=1"),
        ["hidden_size (31)", "num_attention_heads (3)", "mend --config_overrides"],
    ),
    "no such model folder": (
        good(model=("--model_name_or_path", "./nothing")),
        ["./nothing", "no such folder", "give the folder of a checkpoint"],
    ),
    "a folder without a model": (
        good(model=("--model_name_or_path", "{folder}")),
        ["{folder}", "cannot be loaded", "the folder holds config.json"],
    ),
    # The Hub, with no network
    "Hub data set": (
        flags(*SCRATCH, "--dataset_name", "owner/stars"),
        ["data set 'owner/stars'", "the Hub cannot be reached", "connect and run once"],
    ),
    "Hub task": (
        flags(*SCRATCH, "--task_name", "sst2"),
        ["data set 'nyu-mll/glue'", "the Hub cannot be reached", "connect and run once"],
    ),
    "Hub model": (
        good(model=("--model_name_or_path", "owner/bert")),
        ["model 'owner/bert'", "the Hub cannot be reached", "a local folder"],
    ),
    # Folders
    "nothing to resume": (
        good("--resume_from_checkpoint", "last"),
        ["--resume_from_checkpoint last", "there is no whole checkpoint", "leave the flag away"],
    ),
}


@pytest.mark.parametrize(("case", "parts"), CASES.values(), ids=CASES)
def test_bad_input_ends_with_one_message_and_no_trace(case, parts, tmp_path, capfd):
    files, argv = case
    for name, content in {"good.csv": HEADER + ROWS, **files}.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "folder").mkdir()
    output_dir = tmp_path / "run"
    places = {"{file}": tmp_path / next(iter(files), ""), "{good}": tmp_path / "good.csv", "{folder}": tmp_path / "folder"}

    def filled(word):
        for mark, place in places.items():
            word = word.replace(mark, str(place))
        return word

    start = time.perf_counter()
    assert run_glue_style.main([*map(filled, argv), "--output_dir", str(output_dir), "--use_cpu"]) == 2
    seconds = time.perf_counter() - start
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\nerror: ") == 0 and error.endswith("\n")
    assert "Traceback" not in error and "Warning" not in error
    for part in parts:
        assert filled(part) in error
    assert not output_dir.exists()
    assert seconds < 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path, capfd):
    rows = tmp_path / "rows.csv"
    rows.write_text(HEADER + ROWS)
    rows.chmod(0)
    assert run_glue_style.main(["--train_file", str(rows), *SCRATCH, "--output_dir", str(tmp_path / "run")]) == 2
    assert "may not be read by you, but a run needs its rows; mend its permissions" in capfd.readouterr().err


@pytest.mark.parametrize("content", [(HEADER + ROWS).encode("utf-8-sig"), (HEADER + ROWS).replace("\n", "\r\n").encode()])
def test_what_spreadsheets_write_is_read(content, tmp_path):
    """A mark of the byte order, and the line ends of Windows."""
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    rows = sources.load_splits(tasks.choose_task(DataArguments(train_file=str(path))))["train"]
    assert rows.column_names == ["text", "label"] and rows[60] == {"text": "text 60", "label": "bad"}


@pytest.mark.parametrize("name", ["thesis.tex", "model.safetensors"])
def test_a_folder_that_holds_other_files_is_left_as_it_is(name, tmp_path, capfd):
    folder, rows = tmp_path / "thesis", tmp_path / "rows.csv"
    folder.mkdir()
    (folder / name).write_text("years of work")
    rows.write_text(HEADER + ROWS)
    given = ["--train_file", str(rows), *SCRATCH, "--output_dir", str(folder), "--overwrite_output_dir"]
    assert run_glue_style.main(given) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"error: --output_dir {folder} holds files that are no run ({name})") and error.count("\n") == 1
    assert "give a new or an empty folder" in error
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "years of work"


def test_a_file_in_place_of_the_folder(tmp_path, capfd):
    (tmp_path / "run").write_text("years of work")
    (tmp_path / "rows.csv").write_text(HEADER + ROWS)
    given = ["--train_file", str(tmp_path / "rows.csv"), *SCRATCH, "--output_dir", str(tmp_path / "run")]
    assert run_glue_style.main(given) == 2
    error = capfd.readouterr().err
    assert f"{tmp_path / 'run'} is a file, but a run needs a folder; give another name" in error
    assert (tmp_path / "run").read_text() == "years of work"
