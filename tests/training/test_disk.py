import errno
import json

import pytest

from hf_scratch.training import disk
from hf_scratch.training.disk import is_of_the_disk, put_in_place, replace_json


def test_what_is_not_the_disks_is_not_called_so():
    assert is_of_the_disk(OSError(errno.ENOSPC, "full")) and not is_of_the_disk(OSError(errno.ENOENT, "no such file"))
    assert is_of_the_disk(RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/1"))
    assert is_of_the_disk(RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 152323 vs 152276"))
    assert not is_of_the_disk(RuntimeError("Connection closed by peer")) and not is_of_the_disk(KeyError("x"))


def test_files_go_over_those_that_stand_there_the_weights_last(tmp_path, monkeypatch):
    written, folder = tmp_path / "written", tmp_path / "folder"
    for name in ("model.safetensors", "config.json", "inside/vocab.txt"):
        for place in (written, folder):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(place.name)
    (folder / "mine.txt").write_text("mine")
    moved, synchronized, replace = [], [], disk.Path.replace
    monkeypatch.setattr(disk, "synchronize", lambda path: synchronized.append(path.name))
    monkeypatch.setattr(disk.Path, "replace", lambda path, place: moved.append(path.name) or replace(path, place))
    put_in_place(written, folder, last="model.safetensors")
    assert moved[-1] == "model.safetensors" and sorted(moved) == ["config.json", "model.safetensors", "vocab.txt"]
    assert synchronized[:3] == moved and synchronized[3] == "folder"  # all are on the disk before the first is moved
    assert {path.name: path.read_text() for path in folder.rglob("*.*")} == dict.fromkeys(moved, "written") | {
        "mine.txt": "mine"
    }


def test_a_file_of_numbers_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "numbers.json"
    replace_json(path, {"b": 1, "a": 2})
    assert json.loads(path.read_text()) == {"a": 2, "b": 1} and [file.name for file in tmp_path.iterdir()] == ["numbers.json"]
    monkeypatch.setattr(disk, "synchronize", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        replace_json(path, {})
    assert json.loads(path.read_text()) == {"a": 2, "b": 1}
