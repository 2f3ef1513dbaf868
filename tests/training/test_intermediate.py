import pytest
import torch
from datasets import Dataset
from transformers import TrainingArguments

from hf_scratch import ScratchConfig, ScratchForSequenceClassification
from hf_scratch.data.labels import Labels
from hf_scratch.data.sources import Access
from hf_scratch.data.tasks import TASKS, Task
from hf_scratch.data.tokenization import train_wordpiece
from hf_scratch.errors import UserError
from hf_scratch.training.arguments import IntermediateArguments, RegularizationArguments, parse_arguments
from hf_scratch.training.intermediate import first_trainer, one_pass, read_intermediate
from hf_scratch.training.trainer import ClassificationTrainer
from tests.conftest import make_reviews

LABELS = Labels("classification", ("good", "bad"))


@pytest.fixture
def films(reviews_csv, monkeypatch):
    """A task of 211 texts of the classes bad and good, in the table."""
    monkeypatch.setitem(TASKS, "films", Task("films", files={"train": reviews_csv}))
    return IntermediateArguments("films", intermediate_samples=10_000, intermediate_max_seq_length=7)


@pytest.fixture(scope="module")
def tokenizer():
    return train_wordpiece([text for text, _ in make_reviews(97)], vocab_size=151, max_length=37)


def test_labels_are_matched_by_name_and_held_out_texts_left_out(films, tokenizer):
    texts, names = zip(*make_reviews(211), strict=True)
    pieces = read_intermediate(films, LABELS, tokenizer, set(texts[3:]), 0, Access())
    expected = []
    for text, name in zip(texts[:3], names[:3], strict=True):
        count = -(-len(tokenizer(text, add_special_tokens=False)["input_ids"]) // 5)
        expected += [LABELS.names.index(name)] * count
    assert pieces["label"][:] == expected


def test_the_sample_is_seeded_and_of_the_size_asked(films, tokenizer):
    films.intermediate_samples = 53
    first, same, other = (
        read_intermediate(films, LABELS, tokenizer, set(), seed, Access())["input_ids"][:] for seed in (3, 3, 5)
    )
    assert len(first) == 53 and first == same != other


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("flims", LABELS, "'flims' is not in the table.*films"),
        ("films", Labels("classification", ("one", "two")), "the classes bad, good, the task proper one, two"),
        ("films", Labels("multi_label", ("good", "bad")), "single texts of the same classes"),
    ],
)
def test_another_task_is_refused(films, tokenizer, name, labels, message):
    films.intermediate_task = name
    with pytest.raises(UserError, match=message):
        read_intermediate(films, labels, tokenizer, set(), 0, Access())


def test_one_pass_trains_the_same_model_and_leaves_the_runs_arguments_alone(tmp_path, tokenizer):
    torch.manual_seed(0)
    config = ScratchConfig(
        vocab_size=151, hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=17, pad_token_id=0
    )
    model = ScratchForSequenceClassification(config)
    rows = Dataset.from_dict({"input_ids": [[2, 5 + row, 3] for row in range(41)], "label": [row % 2 for row in range(41)]})
    args = TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=5, learning_rate=1e-5, eval_strategy="epoch", save_strategy="best",
        metric_for_best_model="loss", load_best_model_at_end=True, per_device_train_batch_size=7, use_cpu=True,
        disable_tqdm=True, dataloader_pin_memory=False, seed=3,
    )  # fmt: skip
    trainer = ClassificationTrainer(
        model=model, args=args, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer,
        regularization=RegularizationArguments(token_dropout=0.3, r_drop=2.0),
    )  # fmt: skip
    settings = args.to_dict()
    before = model.classifier.weight.detach().clone()
    first_trainer(trainer, rows, IntermediateArguments("films", intermediate_learning_rate=0.01)).train()
    assert not torch.equal(model.classifier.weight, before)
    assert trainer.model is model and trainer.state.global_step == 0
    assert args.to_dict() == settings and not list(tmp_path.glob("checkpoint-*"))
    changed = one_pass(IntermediateArguments("films", intermediate_learning_rate=0.01), args)
    assert (changed.num_train_epochs, changed.learning_rate) == (1, 0.01)


@pytest.mark.parametrize(("flag", "value"), [("max_seq_length", "2"), ("learning_rate", "-1"), ("samples", "0")])
def test_numbers_that_mean_nothing_are_refused(flag, value):
    with pytest.raises(UserError, match=f"--intermediate_{flag} is {value}, but"):
        parse_arguments([f"--intermediate_{flag}", value])


def test_other_data_drop_the_intermediate_task_of_a_recipe(tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "data: {task_name: movie_reviews}\nmodel: {model_type: scratch}\nfrom_scratch: {intermediate_task: imdb_reviews}\n",
        encoding="utf-8",
    )

    def task_of(*flags):
        return parse_arguments(["--recipe", str(recipe), *flags]).intermediate.intermediate_task

    assert task_of() == "imdb_reviews"
    assert task_of("--train_file", "x.csv") is None
    assert task_of("--model_name_or_path", "bert-base-cased") is None


def test_none_leaves_the_intermediate_task_of_a_recipe_away():
    assert parse_arguments(["--recipe", "quickstart", "--intermediate_task", "none"]).intermediate.intermediate_task is None
