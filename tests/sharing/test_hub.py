import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.fsdp import FSDPModule
from transformers import Trainer, TrainingArguments

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.errors import UserError
from hf_scratch.sharing import hub as module
from hf_scratch.sharing.hub import PushOnSave, Remote, push, take_over
from tests.conftest import TINY, make_reviews
from tests.hub_server import HubServer

# The client's own, about the way in which it calls its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
ROOT = Path(__file__).parents[2]
TEXTS = [text for text, _ in make_reviews(97)]
TOKENS = {"alices": "alice", "read-alices": "alice", "bobs": "bob"}
CAPTURE = {"capture_output": True, "text": True, "timeout": 240}
# A copy lies in memory as the original does: some kernels round by the alignment of a file that is mapped.
# A stranger loads a private model of a branch, then once more with the network gone, and a data set.
STRANGER = """
import sys
sys.modules["hf_scratch"] = None
import copy, datasets, huggingface_hub, torch
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer
name, text, out = sys.argv[1:]
@torch.no_grad()
def answer():
    options = {"revision": "trial", "trust_remote_code": True}
    model = copy.deepcopy(AutoModelForSequenceClassification.from_pretrained(name, **options))
    inputs = AutoTokenizer.from_pretrained(name, **options)(text, return_tensors="pt")
    return model(**inputs).logits
logits = answer()
rows = datasets.load_dataset("alice/rows", split="train")
huggingface_hub.constants.HF_HUB_OFFLINE = True
huggingface_hub.constants.ENDPOINT = "http://127.0.0.1:9"
save_file({"logits": logits, "offline": answer(), "rows": torch.tensor(rows["label"][:])}, out)
"""


@pytest.fixture
def server():
    with HubServer(TOKENS) as server:
        yield server


@pytest.fixture
def alice(server, monkeypatch):
    """The server, with this process as Alice's."""
    server.connect(monkeypatch, "alices")
    return server


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder as a run leaves it, and its model."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    tokenizer = train_wordpiece(TEXTS, vocab_size=151, max_length=37)
    torch.manual_seed(0)
    config = ScratchConfig(vocab_size=151, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17)
    model = ScratchForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text('# trained\n\n    pipeline("text-classification", model="trained")\n')
    (folder / "run.json").write_text(json.dumps({"command": [str(folder / "run.py")]}))
    (folder / "training_args.bin").write_bytes(b"a pickle")
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "optimizer.pt").write_bytes(b"a pickle")
    return folder, model, tokenizer


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the folder that a test may change."""
    return str(shutil.copytree(trained[0], tmp_path / "trained"))


def files_of(server, name="alice/film", branch="main"):
    """Content by path."""
    return {path: server.contents[entry.oid] for path, entry in server.repositories[name].find(branch).tree.items()}


def test_what_is_shared_is_pushed_in_one_commit_and_then_only_what_changed(alice, run):
    remote = Remote("film").open()
    assert remote.name == "alice/film"
    push(run, remote)
    pushed = files_of(alice)
    assert {"model.safetensors", "config.json", "modeling_scratch.py", "attention.py", "tokenizer.json", "README.md"} <= set(
        pushed
    )
    assert not [name for name in pushed if name.endswith((".bin", ".pt")) or "checkpoint" in name]
    assert pushed["model.safetensors"] == Path(run, "model.safetensors").read_bytes()
    assert b'model="alice/film"' in pushed["README.md"] and 'model="trained"' in Path(run, "README.md").read_text()
    assert not [name for name, content in pushed.items() if str(Path(run).parent).encode() in content]
    assert alice.repositories["alice/film"].history() == ["initial commit", "Push of a run"]
    assert not list(Path(run).parent.glob(".parcel*"))

    alice.requests.clear()
    push(run, remote)
    assert len(alice.repositories["alice/film"].history()) == 2
    Path(run, "README.md").write_text("# another card\n")
    push(run, remote)
    assert len(alice.repositories["alice/film"].history()) == 3
    assert not [path for method, path in alice.requests if method == "PUT"]
    assert files_of(alice) == pushed | {"README.md": b"# another card\n"}


def test_a_branch_is_made_and_a_private_repository_is_hidden(alice, run, monkeypatch):
    push(run, Remote("film", revision="trial", private=True).open())
    assert alice.repositories["alice/film"].private
    assert files_of(alice) == {} and "model.safetensors" in files_of(alice, branch="trial")
    alice.connect(monkeypatch, "bobs")
    with pytest.raises(UserError, match="alice/film cannot be pushed to: the token may not write there"):
        Remote("alice/film").open()


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("nonsense", "film", "no token, or one that it does not know; log in by `hf auth login`"),
        (None, "film", "no token, or one that it does not know"),
        ("alices", "bob/film", "the token may not write there; take a name of your own"),
        ("read-alices", "film", "the token may not write there"),
        ("read-alices", "alice/there", "the token may not write there"),
        (
            "alices",
            "a film",
            "cannot be pushed to: Repo id must use alphanumeric chars.*; give a name such as film-reviews or ",
        ),
        ("alices", "alice/film/x", "cannot be pushed to: Repo id must be in the form .*; give a name such as film-reviews or "),
    ],
)
def test_who_may_not_push_is_told_before_training(token, name, message, alice, monkeypatch):
    Remote("there").open()
    alice.connect(monkeypatch, token)
    with pytest.raises(UserError, match=message):
        Remote(name).open()
    assert set(alice.repositories) == {"alice/there"}


def test_without_a_hub_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(module, "hub_is_reachable", lambda: False)
    with pytest.raises(UserError, match="film cannot be pushed to: the Hub cannot be reached; connect, or leave the push away"):
        Remote("film").open()


def test_a_push_that_fails_at_the_end_names_the_command_that_retries(alice, run, monkeypatch):
    remote = Remote("film", revision="trial", private=True).open()
    before = {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()}
    alice.connect(monkeypatch, "nonsense")
    command = f"hf-scratch push {run} alice/film --private --revision trial"
    with pytest.raises(
        UserError, match=f"trained is whole, but could not be pushed to alice/film: .*; then push it by `{command}`"
    ):
        push(run, remote)
    assert {path: path.read_bytes() for path in Path(run).rglob("*") if path.is_file()} == before


def test_a_parcel_that_answers_otherwise_is_not_pushed(alice, run, trained, monkeypatch):
    def fail(*_):
        raise RuntimeError("the saved model answers differently")

    monkeypatch.setattr(module, "compare", fail)
    with pytest.raises(RuntimeError, match="answers differently"):
        push(run, Remote("film").open(), *trained[1:], TEXTS[:3])
    assert files_of(alice) == {}


def test_models_push_themselves(alice, trained):
    trained[1].push_to_hub("film", private=True)
    assert {"model.safetensors", "config.json", "modeling_scratch.py", "attention.py"} <= set(files_of(alice))
    assert len(json.loads(files_of(alice)["config.json"])["auto_map"]) == 9


@pytest.mark.slow
def test_a_stranger_loads_it_to_the_last_bit_and_again_without_a_network(alice, run, trained, tmp_path):
    push(run, Remote("film", revision="trial", private=True).open())
    api = module.HfApi()
    api.create_repo("rows", repo_type="dataset")
    api.upload_file(
        path_or_fileobj=b"text,label\na,0\nb,1\n", path_in_repo="train.csv", repo_id="alice/rows", repo_type="dataset"
    )
    out = tmp_path / "answers.safetensors"
    environment = os.environ | alice.client_environment(tmp_path / "home", "alices")
    child = subprocess.run([sys.executable, "-c", STRANGER, "alice/film", TEXTS[0], str(out)], env=environment, **CAPTURE)
    assert child.returncode == 0, child.stderr
    answers = load_file(out)
    with torch.no_grad():
        logits = trained[1](**trained[2](TEXTS[0], return_tensors="pt")).logits
    assert torch.equal(answers["logits"], logits) and torch.equal(answers["offline"], logits)
    assert answers["rows"].tolist() == [0, 1]


@pytest.mark.slow
def test_a_client_that_is_killed_leaves_the_old_revision_whole(alice, run, tmp_path):
    remote = Remote("film").open()
    push(run, remote)
    old = files_of(alice)
    Path(run, "config.json").write_text("{}")
    Path(run, "model.safetensors").write_bytes(bytes(50_000))
    arrived, killed = threading.Event(), threading.Event()

    def wait(oid):
        arrived.set()
        killed.wait(60)

    alice.before_keeping = wait
    code = f"from hf_scratch.sharing.hub import *; push({run!r}, Remote('alice/film'))"
    environment = os.environ | alice.client_environment(tmp_path / "home", "alices") | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment)
    assert arrived.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    alice.before_keeping = lambda oid: None
    killed.set()
    assert files_of(alice) == old
    push(run, remote)
    assert files_of(alice)["config.json"] == b"{}" and files_of(alice)["model.safetensors"] == bytes(50_000)


@pytest.mark.parametrize(
    ("strategy", "titles", "copies"),
    [
        ("end", [], []),
        ("every_save", ["Training in progress, step 1", "Training in progress, step 2"], []),
        ("checkpoint", ["Training in progress, step 1", "Training in progress, step 2"], ["last-checkpoint"]),
        ("all_checkpoints", ["Training in progress, step 1", "Training in progress, step 2"], ["checkpoint-1", "checkpoint-2"]),
    ],
)
def test_checkpoints_are_pushed_as_the_strategy_says(strategy, titles, copies, alice, trained, tmp_path, monkeypatch, capsys):
    model, tokenizer, asked = copy.deepcopy(trained[1]), trained[2], []
    monkeypatch.setattr(module, "compare", lambda folder, memory: asked.append(memory))
    flags = {"push_to_hub": True, "hub_model_id": "film", "hub_strategy": strategy, "hub_private_repo": True}
    flags |= {"hub_always_push": True, "save_steps": 1, "save_total_limit": 1, "max_steps": 2}
    args = TrainingArguments(
        str(tmp_path / "run"), **flags, use_cpu=True, dataloader_pin_memory=False, disable_tqdm=True, report_to="none"
    )
    pusher = PushOnSave(take_over(args), tokenizer, TEXTS[:3])
    assert not args.push_to_hub and alice.repositories["alice/film"].private
    rows = [{**tokenizer(text), "labels": row % 2} for row, text in enumerate(TEXTS[:1] * 4)]
    trainer = Trainer(model, args, train_dataset=rows, processing_class=tokenizer, callbacks=[pusher])
    trainer.train()
    trainer.save_model()
    Path(args.output_dir, "README.md").write_text("# the card, which is written last\n")
    pusher.finish(args.output_dir, print)
    assert alice.repositories["alice/film"].history() == ["initial commit", *titles, "Push of a run"]
    assert len(asked) == len(titles)
    names = set(files_of(alice))
    weights = {"model.safetensors", *(f"{copy}/model.safetensors" for copy in copies)}
    assert {name for name in names if name.endswith(".safetensors")} == weights
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth"))]


def test_what_fails_on_its_way_is_said_and_the_end_is_pushed(alice, run, trained, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("the saved model answers differently")

    monkeypatch.setattr(module, "compare", fail)
    pusher = PushOnSave(Remote("film").open(), trained[2], TEXTS[:3])
    args, state = TrainingArguments(run, hub_strategy="every_save"), type("State", (), {})()
    state.is_world_process_zero, state.global_step = True, 3
    shutil.copy(Path(run, "config.json"), Path(run, "checkpoint-3"))
    pusher.on_save(args, state, None, model=object.__new__(type("Sharded", (FSDPModule, torch.nn.Module), {})))
    assert not pusher.pushes  # no process has it whole
    pusher.on_save(args, state, None, model=trained[1])
    pusher.finish(run, print)
    assert "note: the push at step 3 failed: the saved model answers differently" in capsys.readouterr().out
    assert alice.repositories["alice/film"].history() == ["initial commit", "Push of a run"]


@pytest.mark.slow
def test_two_processes_train_on_a_data_set_of_the_hub_and_push_once(alice, tmp_path):
    api = module.HfApi()
    api.create_repo("reviews", repo_type="dataset", private=True)
    rows = "text,label\n" + "".join(f"{text},{label}\n" for text, label in make_reviews(211))
    api.upload_file(path_or_fileobj=rows.encode(), path_in_repo="train.csv", repo_id="alice/reviews", repo_type="dataset")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python"]
    command += [
        sys.executable,
        "-m",
        "run_glue_style",
        "--dataset_name",
        "alice/reviews",
        "--output_dir",
        str(tmp_path / "run"),
    ]
    command += [
        "--model_type",
        "scratch",
        "--config_overrides",
        TINY,
        "--tokenizer_vocab_size",
        "151",
        "--max_seq_length",
        "37",
    ]
    command += ["--num_train_epochs", "1", "--use_cpu", "--baselines", "never", "--push_to_hub", "--hub_strategy", "end"]
    command += ["--hub_model_id", "film", "--hub_private_repo", "true", "--hub_revision", "trial"]
    environment = os.environ | alice.client_environment(tmp_path / "home", "alices") | {"PYTHONPATH": str(ROOT)}
    child = subprocess.run(command, env=environment, cwd=tmp_path, **CAPTURE)
    assert child.returncode == 0, child.stderr
    assert "pushed: http" in child.stdout
    repository, pushed = alice.repositories["alice/film"], files_of(alice, branch="trial")
    assert repository.private and repository.history("trial") == ["initial commit", "Push of a run"]
    assert {"README.md", "all_results.json", "run.json", "roundtrip.json", "model.safetensors"} <= set(pushed)
    assert not [name for name in pushed if name.endswith((".bin", ".pt", ".parquet"))]
    assert not [name for name, content in pushed.items() if str(tmp_path).encode() in content or b"alices" in content]
    assert json.loads(pushed["roundtrip.json"])["encoders_equal"]
