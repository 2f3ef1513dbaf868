import pytest

from hf_scratch.errors import UserError
from hf_scratch.training.folder import RECORD, check_folder, find_checkpoint, open_folder


def test_a_new_and_an_empty_folder_are_free(tmp_path):
    check_folder(str(tmp_path / "new"), resume=False, overwrite=False)
    check_folder(str(tmp_path), resume=False, overwrite=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused_whatever_is_asked(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"files that are no run \(thesis.tex\).*an empty folder"):
        check_folder(str(tmp_path), resume=False, overwrite=overwrite)


def test_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UserError, match="is a file, but a run needs a folder"):
        check_folder(str(path), resume=False, overwrite=False)


def test_a_run_is_continued_or_replaced_only_when_asked(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / RECORD).write_text("{}")
    (folder / "checkpoint-3").mkdir()
    with pytest.raises(UserError, match="holds a run; continue it with --resume_from_checkpoint last"):
        check_folder(str(folder), resume=False, overwrite=False)
    check_folder(str(folder), resume=True, overwrite=False)
    open_folder(str(folder), overwrite=False)
    assert (folder / "checkpoint-3").exists()
    check_folder(str(folder), resume=False, overwrite=True)
    open_folder(str(folder), overwrite=True)
    assert list(folder.iterdir()) == []


def test_the_last_checkpoint_is_the_one_with_most_steps(tmp_path):
    for step in (7, 11, 101):
        (tmp_path / f"checkpoint-{step}").mkdir()
    assert find_checkpoint(str(tmp_path), "last") == str(tmp_path / "checkpoint-101")
    assert find_checkpoint(str(tmp_path), str(tmp_path / "checkpoint-7")) == str(tmp_path / "checkpoint-7")
    assert find_checkpoint(str(tmp_path), None) is None


@pytest.mark.parametrize("asked", ["last", "elsewhere/checkpoint-5"])
def test_a_checkpoint_that_is_not_there(tmp_path, asked):
    with pytest.raises(UserError, match=f"--resume_from_checkpoint {asked}: there is no such checkpoint"):
        find_checkpoint(str(tmp_path), asked)
