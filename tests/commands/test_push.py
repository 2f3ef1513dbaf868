import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertForSequenceClassification

from hf_scratch.__main__ import main
from tests.hub_server import HubServer

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def run(tiny_bert, tmp_path):
    """A folder with a classifier and its tokenizer."""
    folder = tmp_path / "run"
    BertForSequenceClassification.from_pretrained(tiny_bert).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def alice(monkeypatch):
    with HubServer({"alices": "alice", "bobs": "bob"}) as server:
        server.connect(monkeypatch, "alices")
        yield server


@pytest.mark.slow
def test_a_folder_is_certified_and_pushed(run, alice, capsys):
    assert main(["push", run, "film", "--private", "--revision", "trial"]) == 0
    assert f"pushed: {alice.url}/alice/film/commit/" in capsys.readouterr().out
    repository = alice.repositories["alice/film"]
    assert repository.private and repository.history("trial") == ["initial commit", "Push run"]
    assert {"model.safetensors", "config.json", "tokenizer.json", "roundtrip.json"} <= set(repository.find("trial").tree)
    assert not Path(run, "roundtrip.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bob/film"], "bob/film cannot be pushed to: the token may not write there"),
        (["film", "--token", "nonsense"], "no token, or one that it does not know; log in by `hf auth login`"),
        (["a/b/c"], "a/b/c cannot be pushed to: Repo id must be in the form"),
    ],
)
def test_what_the_user_can_mend_is_said_before_anything_is_sent(words, message, run, alice, capsys):
    assert main(["push", run, *words]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
    assert not [path for method, path in alice.requests if method == "PUT" or "/commit/" in path]


def test_a_folder_without_a_whole_checkpoint_is_refused(run, tmp_path, alice, capsys):
    (tmp_path / "nowhere").mkdir()
    assert main(["push", str(tmp_path / "nowhere"), "film"]) == 2
    assert "holds no config.json, but a checkpoint has one; give the folder of a run" in capsys.readouterr().err
    broken = shutil.copytree(run, tmp_path / "broken")
    Path(broken, "model.safetensors").write_bytes(b"cut")
    assert main(["push", str(broken), "film"]) == 2
    assert "cannot be loaded" in capsys.readouterr().err
    assert alice.repositories == {}
