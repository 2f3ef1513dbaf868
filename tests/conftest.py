"""What all tests share: no network, no cache of the user's, and tiny inputs made here."""

import os
import tempfile

# Before transformers and datasets are imported: they read these once.
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf_scratch-tests-")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import random
import signal

import pytest
import torch

torch.set_num_threads(1)

GOOD = ("fine", "warm", "lovely", "bright")
BAD = ("dull", "cold", "awful", "grim")
FILLER = ("a", "film", "of", "some", "length", "and", "its", "end")


def make_reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts of made-up words, each with a label that a few of the words decide."""
    rng = random.Random(seed)
    rows = []
    for row in range(count):
        label, words = (("good", GOOD), ("bad", BAD))[row % 2]
        text = rng.choices(FILLER, k=rng.randint(3, 11)) + rng.choices(words, k=2)
        rng.shuffle(text)
        rows.append((f"{' '.join(text)} {row}", label))
    return rows


@pytest.fixture(autouse=True, scope="session")
def as_in_a_terminal():
    """Signals as a terminal leaves them: in a background job and under nohup some are ignored, by all that is started too."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def reviews_csv(tmp_path):
    """A file of 211 labelled texts."""
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in make_reviews(211)), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A folder that holds a tiny BertModel of random weights and its tokenizer, as a pre-trained one would."""
    from transformers import BertConfig, BertModel

    from hf_scratch.data.tokenization import train_wordpiece

    folder = str(tmp_path_factory.mktemp("tiny_bert"))
    tokenizer = train_wordpiece([text for text, _ in make_reviews(97)], vocab_size=151, max_length=37)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=29,
        max_position_embeddings=37,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


TINY = "hidden_size=12,num_hidden_layers=1,num_attention_heads=3,intermediate_size=29,max_position_embeddings=37"


@pytest.fixture
def scratch_flags(reviews_csv, tmp_path):
    """Flags of a run of seconds: a tiny scratch encoder on made-up reviews."""
    return [
        *("--train_file", reviews_csv, "--output_dir", str(tmp_path / "run"), "--max_seq_length", "37"),
        *("--model_type", "scratch", "--config_overrides", TINY, "--tokenizer_vocab_size", "151"),
        *("--per_device_train_batch_size", "17", "--num_train_epochs", "1", "--disable_tqdm", "true", "--use_cpu"),
    ]


@pytest.fixture
def bert_flags(reviews_csv, tmp_path, tiny_bert):
    """The same run with a tiny pre-trained BERT: only the model's flags differ."""
    return [
        *("--train_file", reviews_csv, "--output_dir", str(tmp_path / "run"), "--max_seq_length", "37"),
        *("--model_name_or_path", tiny_bert),
        *("--per_device_train_batch_size", "17", "--num_train_epochs", "1", "--disable_tqdm", "true", "--use_cpu"),
    ]
