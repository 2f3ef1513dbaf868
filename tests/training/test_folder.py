import os
import signal

import pytest

from hf_scratch.errors import UserError
from hf_scratch.training.folder import RECORD, check_folder, open_folder


def test_a_new_and_an_empty_folder_are_free(tmp_path):
    check_folder(str(tmp_path / "new"), checkpoint=None, overwrite=False)
    check_folder(str(tmp_path), checkpoint=None, overwrite=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_files_is_refused_whatever_is_asked(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"files that are no run \(thesis.tex\).*an empty folder"):
        check_folder(str(tmp_path), checkpoint=None, overwrite=overwrite)


def test_a_file_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UserError, match="is a file, but a run needs a folder"):
        check_folder(str(path), checkpoint=None, overwrite=False)


def test_a_run_is_continued_or_replaced_only_when_asked(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / RECORD).write_text("{}")
    (folder / "checkpoint-3").mkdir()
    (folder / "model.safetensors").write_text("")
    (folder / "mine.csv").write_text("rows of the user's own")
    with pytest.raises(UserError, match="holds a run; replace it with --overwrite_output_dir, or give another"):
        check_folder(str(folder), checkpoint=None, overwrite=False)
    for name in ("trainer_state.json", "optimizer.pt"):  # only then there is something to go on from
        (folder / "checkpoint-3" / name).write_text("{}")
    with pytest.raises(UserError, match="holds a run; continue it with --resume_from_checkpoint last"):
        check_folder(str(folder), checkpoint=None, overwrite=False)
    (folder / "last").symlink_to("checkpoint-3", target_is_directory=True)
    check_folder(str(folder), checkpoint="checkpoint-3", overwrite=False)
    with pytest.raises(UserError, match="holds a run that began meanwhile; give another folder"):
        open_folder(str(folder), overwrite=False)
    open_folder(str(folder), overwrite=False, goes_on=True)
    assert (folder / "checkpoint-3").exists()
    check_folder(str(folder), checkpoint=None, overwrite=True)
    open_folder(str(folder), overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["mine.csv"]  # only what a run writes is replaced
    open_folder(str(folder), overwrite=True)


def test_what_the_run_reads_is_not_overwritten(tmp_path):
    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(UserError, match=r"would delete what the run reads: .*mine.csv; give another --output_dir"):
        check_folder(str(tmp_path), checkpoint=None, overwrite=True, inputs=[None, str(tmp_path / "mine.csv")])


def test_a_folder_of_others_is_refused_to_a_resumed_run_too(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match="holds files that are no run"):
        check_folder(str(tmp_path), checkpoint="elsewhere/checkpoint-3", overwrite=False)


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("")
    with pytest.raises(UserError, match=r"rows.csv is a file, but a run needs a folder"):
        check_folder(str(tmp_path / "rows.csv" / "run"), checkpoint=None, overwrite=False)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_two_runs_never_write_into_one_folder(tmp_path):
    """The one that comes second is refused, until the first has ended; what the first forks holds nothing."""
    ready, told = os.pipe()
    first = os.fork()
    if first == 0:
        open_folder(str(tmp_path / "run"), overwrite=False)
        worker = os.fork()
        if worker:
            os.write(told, str(worker).encode())
        signal.pause()
    worker = int(os.read(ready, 9))
    with pytest.raises(UserError, match="another process is writing a run there, and both would be lost; wait for it, or"):
        open_folder(str(tmp_path / "run"), overwrite=True)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    open_folder(str(tmp_path / "run"), overwrite=False)
    open_folder(str(tmp_path / "run"), overwrite=False)  # once more by the same process
    os.kill(worker, signal.SIGKILL)
